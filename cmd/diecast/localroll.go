package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"diecast/internal/local/platform"
	"diecast/internal/local/runfolder"
	"diecast/internal/wait"
)

const (
	// askAgain is the pause between two questions about a roll.
	askAgain = 200 * time.Millisecond
	// toldWithin is how long a run may take to answer one of them.
	toldWithin = 20 * time.Second
	// compiledWithin is how long the servers' program may take to compile, in an empty cache too.
	compiledWithin = 10 * time.Minute
)

// roll has a run's web servers rolled to what their source is now, by the API that rolls those on
// AWS, and waits until that has ended.
func (l *localRun) roll(ctx context.Context) error {
	folder, err := runfolder.Of(runsFolder, l.name)
	if err != nil {
		return err
	}
	deployed, err := readDeployment(filepath.Join(folder, platform.OutputsFile))
	if err != nil {
		return err
	}
	names, err := deployed.Web()
	if err != nil {
		return err
	}
	groups, err := deployed.AutoScaling(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(l.user.err, deployed.Target())
	begun := time.Now()
	shown := startSteps(l.user.err)
	defer shown.close()
	shown.step("asking for a roll of " + names.Group)
	told, err := rolled(ctx, groups, names.Group, shown, toldWithin)
	if err != nil {
		return fmt.Errorf("roll %s: %w", names.Group, err)
	}
	shown.close()
	if told.Status != types.InstanceRefreshStatusSuccessful {
		return fmt.Errorf("%s: %s", told.Status, aws.ToString(told.StatusReason))
	}
	_, err = fmt.Fprintf(l.user.out, "rolled %s in %.1f s; %s\n", names.Group, time.Since(begun).Seconds(),
		aws.ToString(told.StatusReason))
	return err
}

// rolled starts an instance refresh and gives it when it has ended. It waits as long as the program
// may take to compile, and each server to be healthy and its predecessor to leave; for each answer
// up to the limit.
func rolled(
	ctx context.Context, groups *autoscaling.Client, group string, shown *steps, limit time.Duration,
) (told types.InstanceRefresh, err error) {
	described, err := wait.Answer(ctx, limit, groups.DescribeAutoScalingGroups,
		&autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{group}})
	if err != nil {
		return told, err
	}
	if len(described.AutoScalingGroups) != 1 {
		return told, errors.New("there is no such group of servers")
	}
	started, err := wait.Answer(ctx, limit, groups.StartInstanceRefresh,
		&autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: &group})
	if err != nil {
		return told, err
	}
	servers := described.AutoScalingGroups[0]
	grace := time.Duration(aws.ToInt32(servers.HealthCheckGracePeriod)) * time.Second
	rule := wait.Rule{
		For:   compiledWithin + 2*grace*time.Duration(aws.ToInt32(servers.DesiredCapacity)),
		Pause: askAgain,
	}
	err = rule.Until(ctx, func(ctx context.Context) error {
		answer, err := wait.Answer(ctx, limit, groups.DescribeInstanceRefreshes,
			&autoscaling.DescribeInstanceRefreshesInput{
				AutoScalingGroupName: &group, InstanceRefreshIds: []string{*started.InstanceRefreshId},
			})
		if ctx.Err() != nil {
			return ctx.Err() // the wait is over: what was told before counts
		}
		if err != nil {
			return wait.Permanent(err)
		}
		if len(answer.InstanceRefreshes) != 1 {
			return wait.Permanent(fmt.Errorf("instance refresh %s is not known any more", *started.InstanceRefreshId))
		}
		told = answer.InstanceRefreshes[0]
		shown.step(fmt.Sprintf("%s, %d servers to go", told.Status, aws.ToInt32(told.InstancesToUpdate)))
		if told.EndTime == nil {
			return fmt.Errorf("instance refresh %s, which goes on, is %s", *started.InstanceRefreshId, told.Status)
		}
		return nil
	})
	return told, err
}
