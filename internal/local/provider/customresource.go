package provider

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
)

var customResource = kind[assembly.CustomResource]{
	types: []string{"AWS::CloudFormation::CustomResource", "Custom::"}, needs: []engine.Engine{engine.FunctionHost},
	create: createCustomResource,
}

// createCustomResource calls the function behind the provider framework with the event that
// CloudFormation would send.
func createCustomResource(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.CustomResource,
) (assembly.Creation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.Timeout, fmt.Errorf("no answer within %s", t.Timeout))
	defer cancel()
	event, err := json.Marshal(map[string]any{
		"RequestType": "Create", "RequestId": uuid.NewString(),
		"ResourceType": t.Type, "LogicalResourceId": resource.LogicalID,
		"StackId":            arn("cloudformation", "stack/%s/%s", resource.Stack.Name, uuid.NewString()),
		"ResourceProperties": t.Properties,
	})
	if err != nil {
		return assembly.Creation{}, err
	}
	handler := ""
	for _, made := range Made[Function](run) {
		if made.resource == t.Handler {
			handler = made.Definition.Name
		}
	}
	result, err := engine.FunctionHost.In(run.Engines).Invoke(ctx, handler, event)
	if err != nil {
		return assembly.Creation{}, fmt.Errorf("invoking %s: %w", t.Handler, err)
	}
	if result.FunctionError != "" {
		return assembly.Creation{}, fmt.Errorf("%s failed: %s", t.Handler, result.Payload)
	}
	var answer struct {
		PhysicalResourceID string `json:"PhysicalResourceId"`
		Data               map[string]any
	}
	if err := json.Unmarshal(result.Payload, &answer); err != nil {
		return assembly.Creation{}, fmt.Errorf("%s answered %s: %w", t.Handler, result.Payload, err)
	}
	return assembly.Creation{Ref: answer.PhysicalResourceID, Attributes: answer.Data}, nil
}
