package provider

import (
	"context"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/lambdahost"
)

var functionURL = kind[assembly.FunctionURL]{
	types: []string{"AWS::Lambda::Url"}, needs: []engine.Engine{engine.FunctionHost}, create: createFunctionURL,
}

func createFunctionURL(
	_ context.Context, run *Run, _ *assembly.Resource, t *assembly.FunctionURL,
) (assembly.Creation, error) {
	auth := lambdahost.None
	if t.RequiresIAM {
		auth = lambdahost.IAM
	}
	host := engine.FunctionHost.In(run.Engines)
	name := lastPart(t.FunctionARN, ":")
	address, err := host.AddURL(name, auth)
	arn := host.ARN(name)
	return assembly.Creation{Ref: arn, Attributes: map[string]any{"FunctionArn": arn, "FunctionUrl": address}}, err
}
