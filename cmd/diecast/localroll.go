package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"diecast/internal/deployment"
	"diecast/internal/local/platform"
	"diecast/internal/local/runfolder"
)

// askAgain is the pause between two questions about a roll.
const askAgain = 200 * time.Millisecond

// roll has a run's web servers rolled to what their source is now, by the API that rolls those on
// AWS, and waits until that has ended.
func (l *localRun) roll(ctx context.Context) error {
	folder, err := runfolder.Of(runsFolder, l.name)
	if err != nil {
		return err
	}
	deployed, err := deployment.Read(filepath.Join(folder, platform.OutputsFile))
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
	started, err := groups.StartInstanceRefresh(ctx,
		&autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: &names.Group})
	if err != nil {
		return err
	}
	shown := startSteps(l.user.err)
	defer shown.close()
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		answer, err := groups.DescribeInstanceRefreshes(ctx, &autoscaling.DescribeInstanceRefreshesInput{
			AutoScalingGroupName: &names.Group, InstanceRefreshIds: []string{*started.InstanceRefreshId},
		})
		if err != nil {
			return err
		}
		if len(answer.InstanceRefreshes) != 1 {
			return fmt.Errorf("instance refresh %s is not known any more", *started.InstanceRefreshId)
		}
		told := answer.InstanceRefreshes[0]
		shown.step(fmt.Sprintf("%s, %d servers to go", told.Status, aws.ToInt32(told.InstancesToUpdate)))
		if told.EndTime != nil {
			shown.close()
			if told.Status != types.InstanceRefreshStatusSuccessful {
				return fmt.Errorf("%s: %s", told.Status, aws.ToString(told.StatusReason))
			}
			_, err := fmt.Fprintf(l.user.out, "rolled %s in %.1f s; %s\n", names.Group, time.Since(begun).Seconds(),
				aws.ToString(told.StatusReason))
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("instance refresh %s, which goes on: %w", *started.InstanceRefreshId, context.Cause(ctx))
		}
	}
}
