package provider

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/firehose"
	"diecast/internal/local/ledger"
)

var deliveryStream = kind[assembly.DeliveryStream]{
	types: []string{"AWS::KinesisFirehose::DeliveryStream"},
	needs: []engine.Engine{engine.Kinesalite, engine.FunctionHost, engine.Moto},
	check: checkDeliveryStream, create: createDeliveryStream,
}

// Delivery is a delivery stream at work.
type Delivery struct {
	*Invocations
	// Bucket, Prefix and ErrorPrefix say where objects lie.
	Bucket, Prefix, ErrorPrefix string

	name, stream string
	pump         *firehose.Pump
}

// Account is what became of the stream's records so far.
func (d *Delivery) Account() ledger.Consumer {
	counts := d.pump.Statistics()
	account := ledger.Consumer{
		Name: d.name, Kind: "delivery stream", Stream: d.stream, Split: counts.Read - counts.Taken,
		Archived: counts.Delivered, Dropped: counts.Dropped, InError: counts.FailedByCode,
		GivenUp: counts.Undelivered,
	}
	if !counts.Waiting.IsZero() {
		account.Waiting = fmt.Sprintf("the bucket %s, which cannot be written to since %s: %s", d.Bucket,
			counts.Waiting.Format(time.TimeOnly), counts.WaitingFor)
	}
	return account
}

// Invoke runs the processor.
func (d *Delivery) Invoke(ctx context.Context, _ string, payload []byte) ([]byte, string, error) {
	result, err := d.invoke(ctx, payload)
	return result.Payload, result.FunctionError, err
}

// checkDeliveryStream has the delivery stream itself look at what is known of it.
func checkDeliveryStream(
	_ context.Context, options Options, resource *assembly.Resource, t *assembly.DeliveryStream,
) assembly.Problems {
	known := *t
	const later = "told-when-it-is-made"
	known.SourceARN, known.BucketARN = cmp.Or(t.SourceARN, later), cmp.Or(t.BucketARN, later)
	if t.Processor != nil {
		processor := *t.Processor
		processor.FunctionARN = cmp.Or(processor.FunctionARN, later)
		known.Processor = &processor
	}
	name := physicalName(resource, t.Name)
	if _, err := firehose.New(configuration(options, name, &known), nil, nil, nil); err != nil {
		return assembly.Problems{resource.Problem("Properties.ExtendedS3DestinationConfiguration", "%v", err)}
	}
	return nil
}

func configuration(options Options, name string, t *assembly.DeliveryStream) firehose.Config {
	configuration := firehose.Config{
		Name: name, ARN: arn("firehose", "deliverystream/%s", name), Region: engine.Region,
		SourceStream: lastPart(t.SourceARN, "/"), SourceARN: t.SourceARN,
		Bucket: lastPart(t.BucketARN, ":"), Buffer: firehose.Buffer{Bytes: t.BufferBytes, Interval: t.BufferInterval},
		Prefix: t.Prefix, ErrorPrefix: t.ErrorOutputPrefix, FileExtension: t.FileExtension, GZIP: t.GZIP,
		MaxInterval: options.ShortenBuffers,
	}
	if t.Processor != nil {
		configuration.Processor = &firehose.Processor{
			FunctionARN: t.Processor.FunctionARN, Retries: t.Processor.Retries,
			Buffer: firehose.Buffer{Bytes: t.Processor.BufferBytes, Interval: t.Processor.BufferInterval},
		}
	}
	return configuration
}

func createDeliveryStream(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.DeliveryStream,
) (assembly.Creation, error) {
	configuration := configuration(run.Options, physicalName(resource, t.Name), t)
	delivery := &Delivery{
		Invocations: &Invocations{host: engine.FunctionHost.In(run.Engines)},
		Bucket:      configuration.Bucket, Prefix: configuration.Prefix, ErrorPrefix: configuration.ErrorPrefix,
	}
	if t.Processor != nil {
		delivery.Function = lastPart(t.Processor.FunctionARN, ":")
	}
	configuration.Told = run.tell
	stream, bucket := engine.Kinesalite.In(run.Engines).Client(), engine.Moto.In(run.Engines).S3()
	pump, err := firehose.New(configuration, stream, delivery, bucket)
	if err != nil {
		return assembly.Creation{}, err
	}
	delivery.name, delivery.stream, delivery.pump = resource.String(), configuration.SourceStream, pump
	if err := run.background(ctx, task{
		name: "delivery stream of " + resource.String(), run: pump.Run, ready: pump.Ready(), giveUp: pump.GiveUp,
	}); err != nil {
		return assembly.Creation{}, err
	}
	keep(run, delivery)
	return assembly.Creation{Ref: configuration.Name, Attributes: map[string]any{"Arn": configuration.ARN}}, nil
}
