package engine

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/glue"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/gluejobs"
)

// JobHost runs the jobs, behind Glue's API.
var JobHost = &Kind[*gluejobs.Host]{
	name: "glue", host: true, installed: anywhere(gluejobs.Installed),
	endpoints: []string{outputs.EndpointOf(glue.ServiceID)},
	serve: func(ctx context.Context, options options) (*gluejobs.Host, error) {
		return gluejobs.Start(ctx, gluejobs.Options{
			Account: Account, Region: Region, Credentials: options.credentials,
			Dir: options.dir, Environment: options.environment,
		})
	},
}
