package engine

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/fleet"
	"diecast/internal/local/gobuild"
)

// FleetHost runs the groups of servers, behind Auto Scaling's API.
var FleetHost = &Kind[*fleet.Host]{
	name: "autoscaling", host: true, installed: anywhere(gobuild.Installed),
	endpoints: []string{outputs.EndpointOf(autoscaling.ServiceID)},
	serve: func(ctx context.Context, options options) (*fleet.Host, error) {
		return fleet.Start(ctx, fleet.Options{
			Account: Account, Region: Region, Credentials: options.credentials,
			Dir: options.dir, Environment: options.environment,
		})
	},
}
