package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
)

var stream = kind[assembly.Stream]{
	types: []string{"AWS::Kinesis::Stream"}, needs: []engine.Engine{engine.Kinesalite}, create: createStream,
}

// defaultRetention is what a new stream has.
const defaultRetention = 24 * time.Hour

func createStream(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Stream,
) (assembly.Creation, error) {
	name := physicalName(resource, t.Name)
	kinesalite := engine.Kinesalite.In(run.Engines)
	arn, err := kinesalite.CreateStream(ctx, name, t.Shards)
	if err != nil {
		return assembly.Creation{}, err
	}
	if t.Retention > defaultRetention {
		_, err := kinesalite.Client().IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{
			StreamName: &name, RetentionPeriodHours: aws.Int32(int32(t.Retention / time.Hour)),
		})
		if err != nil {
			return assembly.Creation{}, fmt.Errorf("keep the records of stream %s for %s: %w", name, t.Retention, err)
		}
	}
	return assembly.Creation{Ref: name, Attributes: map[string]any{"Arn": arn}}, nil
}
