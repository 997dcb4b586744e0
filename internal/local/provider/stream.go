package provider

import (
	"context"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/kinesalite"
)

var stream = kind[assembly.Stream]{
	types: []string{"AWS::Kinesis::Stream"}, needs: []engine.Engine{engine.Kinesalite},
	create: createStream,
}

// checkStreams holds all streams together to what one server takes.
func checkStreams(plan *assembly.Plan) assembly.Problems {
	shards := 0
	for resource, t := range rehearsed[assembly.Stream](plan) {
		if shards += t.Shards; shards > kinesalite.MaxShards {
			return assembly.Problems{resource.Problem("Properties.ShardCount",
				"got %d, which makes %d with the streams before it, want at most %d shards in all streams",
				t.Shards, shards, kinesalite.MaxShards)}
		}
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
