package engine

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/stepfunctions"
)

// StateMachineHost runs the state machines, behind Step Functions' API.
var StateMachineHost = &Kind[*stepfunctions.Host]{
	name: "stepfunctions", host: true, endpoints: []string{outputs.EndpointOf(sfn.ServiceID)},
	installed: func(context.Context, string) error { return nil }, // it is this program
	serve: func(ctx context.Context, options options) (*stepfunctions.Host, error) {
		return stepfunctions.Start(ctx, stepfunctions.Options{
			Account: Account, Region: Region, AccessKeyID: options.credentials.AccessKeyID,
		})
	},
}
