package provider

import (
	"context"
	"strconv"
	"time"

	"diecast/internal/assembly"
)

// streamConsumer makes nothing: kinesalite has no enhanced fan-out. Who reads by the consumer's ARN
// does so as fast as that promises, see package eventsource.
var streamConsumer = kind[assembly.StreamConsumer]{
	types: []string{"AWS::Kinesis::StreamConsumer"}, create: createStreamConsumer,
}

func createStreamConsumer(
	_ context.Context, _ *Run, _ *assembly.Resource, t *assembly.StreamConsumer,
) (assembly.Creation, error) {
	created := strconv.FormatInt(time.Now().Unix(), 10)
	arn := t.StreamARN + "/consumer/" + t.Name + ":" + created
	return assembly.Creation{Ref: arn, Attributes: map[string]any{
		"ConsumerARN": arn, "ConsumerCreationTimestamp": created, "ConsumerName": t.Name, "ConsumerStatus": "ACTIVE",
		"StreamARN": t.StreamARN,
	}}, nil
}
