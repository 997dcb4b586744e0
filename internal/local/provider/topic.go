package provider

import (
	"context"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
)

var topic = kind[assembly.Topic]{
	types: []string{"AWS::SNS::Topic"}, needs: []engine.Engine{engine.Moto}, create: createTopic,
}

func createTopic(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Topic,
) (assembly.Creation, error) {
	name := physicalName(resource, t.Name)
	arn, err := engine.Moto.In(run.Engines).CreateTopic(ctx, name)
	return assembly.Creation{Ref: arn, Attributes: map[string]any{"TopicArn": arn, "TopicName": name}}, err
}
