package engine

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/gobuild"
	"diecast/internal/local/lambdahost"
)

// FunctionHost runs the functions, behind Lambda's API and function URLs.
var FunctionHost = &Kind[*lambdahost.Host]{
	name: "lambda", host: true, endpoints: []string{outputs.EndpointOf(lambda.ServiceID)},
	installed: anywhere(gobuild.Installed),
	serve: func(ctx context.Context, options options) (*lambdahost.Host, error) {
		// The host ends with its context, and this one bounds the start only.
		return lambdahost.Start(context.WithoutCancel(ctx), hostOptions(options))
	},
}

func hostOptions(options options) lambdahost.Options {
	return lambdahost.Options{
		Account: Account, Region: Region, Credentials: options.credentials,
		Dir: options.dir, Environment: options.environment,
	}
}

// HostOptions are those of another host of functions beside the run's own, against the same
// servers: Dir is to be set.
func (r *Running) HostOptions() lambdahost.Options {
	return hostOptions(options{credentials: r.credentials, environment: r.endpoints(false)})
}
