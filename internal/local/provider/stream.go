package provider

import (
	"context"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/kinesalite"
)

var stream = kind[assembly.Stream]{
	types: []string{"AWS::Kinesis::Stream"}, needs: []engine.Engine{engine.Kinesalite},
	check: checkStream, create: createStream,
}

func checkStream(
	_ context.Context, _ Options, resource *assembly.Resource, t *assembly.Stream,
) assembly.Problems {
	if t.Shards > kinesalite.MaxShards {
		return assembly.Problems{resource.Problem("Properties.ShardCount",
			"got %d, want at most the %d shards of kinesalite",
			t.Shards, kinesalite.MaxShards)}
	}
	return nil
}

func createStream(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Stream,
) (assembly.Creation, error) {
	name := physicalName(resource, t.Name)
	arn, err := engine.Kinesalite.In(run.Engines).CreateStream(ctx, kinesalite.Stream{
		Name: name, Shards: t.Shards, Retention: t.Retention,
	})
	if err != nil {
		return assembly.Creation{}, err
	}
	return assembly.Creation{Ref: name, Attributes: map[string]any{"Arn": arn}}, nil
}
