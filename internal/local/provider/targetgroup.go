package provider

import (
	"context"
	"fmt"

	"diecast/internal/assembly"
	"diecast/internal/local/balancer"
)

// A target group needs no engine: this process asks its targets.
var targetGroup = kind[assembly.TargetGroup]{
	types: []string{"AWS::ElasticLoadBalancingV2::TargetGroup"}, check: checkTargetGroup, create: createTargetGroup,
}

// madeTargetGroup is one by its ARN.
type madeTargetGroup struct {
	*balancer.Group
	arn string
}

func checkTargetGroup(
	_ context.Context, _ Options, resource *assembly.Resource, t *assembly.TargetGroup,
) assembly.Problems {
	if _, err := balancer.ParseMatcher(t.HealthyStatuses); err != nil {
		return assembly.Problems{resource.Problem("Properties.Matcher.HttpCode", "%v", err)}
	}
	return nil
}

func createTargetGroup(
	_ context.Context, run *Run, resource *assembly.Resource, t *assembly.TargetGroup,
) (assembly.Creation, error) {
	good, err := balancer.ParseMatcher(t.HealthyStatuses)
	if err != nil {
		return assembly.Creation{}, err
	}
	group := balancer.NewGroup(balancer.GroupOptions{
		Health: balancer.HealthCheck{
			Path: t.HealthPath, Interval: t.HealthInterval, Timeout: t.HealthTimeout,
			Healthy: t.HealthyThreshold, Unhealthy: t.UnhealthyThreshold, Good: good,
		},
		DeregistrationDelay: t.DeregistrationDelay, MinimumHealthy: t.MinimumHealthy,
		LeastOutstanding: t.LeastOutstanding,
	})
	run.onStop(func(context.Context) error { group.Stop(); return nil })
	name := physicalName(resource, t.Name)
	full := "targetgroup/" + name + "/" + randomText(8)
	made := &madeTargetGroup{group, arn("elasticloadbalancing", "%s", full)}
	keep(run, made)
	return assembly.Creation{Ref: made.arn, Attributes: map[string]any{
		"TargetGroupArn": made.arn, "TargetGroupFullName": full, "TargetGroupName": name,
	}}, nil
}

// Retried is how many requests of all target groups went to a second target.
func (r *Run) Retried() int {
	sum := 0
	for _, made := range Made[*madeTargetGroup](r) {
		sum += made.Retried()
	}
	return sum
}

// targetGroupOf is the one with an ARN.
func targetGroupOf(run *Run, arn string) (*balancer.Group, error) {
	for _, made := range Made[*madeTargetGroup](run) {
		if made.arn == arn {
			return made.Group, nil
		}
	}
	return nil, fmt.Errorf("%q is no target group of the template", arn)
}
