package provider

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"diecast/internal/assembly"
	"diecast/internal/local/admission"
	"diecast/internal/local/balancer"
)

var loadBalancer = kind[assembly.LoadBalancer]{
	types: []string{"AWS::ElasticLoadBalancingV2::LoadBalancer"}, create: createLoadBalancer,
}

var listener = kind[assembly.Listener]{
	types: []string{"AWS::ElasticLoadBalancingV2::Listener"}, create: createListener,
}

// madeLoadBalancer is one by its ARN.
type madeLoadBalancer struct {
	*balancer.Balancer
	arn, full string
}

func createLoadBalancer(
	_ context.Context, run *Run, resource *assembly.Resource, t *assembly.LoadBalancer,
) (assembly.Creation, error) {
	log, err := run.log(resource.LogicalID)
	if err != nil {
		return assembly.Creation{}, err
	}
	started, err := balancer.Start(balancer.Options{
		Idle: t.Idle, KeepAlive: t.KeepAlive, DropInvalidHeaders: t.DropInvalidHeaders,
		ForwardedFor: balancer.ForwardedFor(t.ForwardedFor), Log: log, Token: admission.NewSecret(),
	})
	if err != nil {
		return assembly.Creation{}, err
	}
	run.onFlush(started.Stop)
	run.Engines.Watch("load balancer of "+resource.String(), filepath.Join(run.Dir, "log"), started)
	name := physicalName(resource, t.Name)
	full := "app/" + name + "/" + randomText(8)
	made := &madeLoadBalancer{started, arn("elasticloadbalancing", "loadbalancer/%s", full), full}
	keep(run, made)
	return assembly.Creation{Ref: made.arn, Attributes: map[string]any{
		// A name on AWS; here a port belongs to it, and what lets people in, which an address that
		// ends with it takes alike.
		"DNSName":         started.PageAddress(),
		"LoadBalancerArn": made.arn, "LoadBalancerFullName": full, "LoadBalancerName": name,
	}}, nil
}

func createListener(
	_ context.Context, run *Run, _ *assembly.Resource, t *assembly.Listener,
) (assembly.Creation, error) {
	added := balancer.Listener{Port: t.Port, Secure: t.Secure}
	if to := t.Redirect; to != nil {
		added.Redirect = &balancer.Redirect{
			Status: http.StatusFound, Protocol: to.Protocol, Host: to.Host, Port: to.Port, Path: to.Path,
			Query: to.Query,
		}
		if to.Permanent {
			added.Redirect.Status = http.StatusMovedPermanently
		}
	} else {
		var err error
		if added.Forward, err = targetGroupOf(run, t.TargetGroupARN); err != nil {
			return assembly.Creation{}, err
		}
	}
	for _, made := range Made[*madeLoadBalancer](run) {
		if made.arn == t.LoadBalancerARN {
			listening := arn("elasticloadbalancing", "listener/%s/%s", made.full, randomText(8))
			return assembly.Creation{Ref: listening, Attributes: map[string]any{"ListenerArn": listening}},
				made.Listen(added)
		}
	}
	return assembly.Creation{}, fmt.Errorf("%q is no load balancer of the template", t.LoadBalancerARN)
}
