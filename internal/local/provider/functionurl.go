package provider

import (
	"context"
	"errors"
	"slices"
	"strings"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/lambdahost"
)

var functionURL = kind[assembly.FunctionURL]{
	types: []string{"AWS::Lambda::Url"}, needs: []engine.Engine{engine.FunctionHost},
	create: createFunctionURL,
}

// checkFunctionURLs refuses a target that no function of the plan can become. A function's name
// that refers to another resource is not known before that is made, and may be any.
func checkFunctionURLs(plan *assembly.Plan) (problems assembly.Problems) {
	named := map[string]bool{}
	for resource, t := range rehearsed[assembly.Function](plan) {
		if t.Name == "" && namedLater(plan, resource) {
			return nil
		}
		named[t.Name] = true
	}
	for resource, t := range rehearsed[assembly.FunctionURL](plan) {
		if t.FunctionARN != "" && !named[lastPart(t.FunctionARN, ":")] {
			problems = append(problems, resource.Problem("Properties.TargetFunctionArn",
				"got %q, which is no function that runs, want the name or ARN of one", t.FunctionARN))
		}
	}
	return problems
}

// namedLater tells whether the template's name of a function refers to what is not made yet.
func namedLater(plan *assembly.Plan, function *assembly.Resource) bool {
	_, err := plan.Evaluate(function)
	var problems assembly.Problems
	return errors.As(err, &problems) && slices.ContainsFunc(problems, func(problem assembly.Problem) bool {
		return strings.HasPrefix(problem.Path, "Properties.FunctionName")
	})
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
