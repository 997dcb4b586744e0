package platform

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"diecast/internal/assembly"
	"diecast/internal/local/firehose"
)

// Delivery is a delivery stream at work.
type Delivery struct {
	// Function is the processor's physical name; empty where there is none.
	Function string
	// Bucket, Prefix and ErrorPrefix say where objects lie.
	Bucket, Prefix, ErrorPrefix string
	durations
}

func (p *Platform) createDelivery(ctx context.Context, resource *assembly.Resource, t *assembly.DeliveryStream) (string, map[string]any, error) {
	name := physicalName(resource, t.Name)
	arn := fmt.Sprintf("arn:aws:firehose:%s:%s:deliverystream/%s", region, account, name)
	delivery := &Delivery{Bucket: afterLast(t.BucketARN, ":"), Prefix: t.Prefix, ErrorPrefix: t.ErrorOutputPrefix}
	configuration := firehose.Config{
		Name: name, ARN: arn, Region: region,
		SourceStream: afterLast(t.SourceARN, "/"), SourceARN: t.SourceARN,
		Bucket: delivery.Bucket, Buffer: firehose.Buffer{Bytes: t.BufferBytes, Interval: t.BufferInterval},
		Prefix: t.Prefix, ErrorPrefix: t.ErrorOutputPrefix, FileExtension: t.FileExtension,
		MaxInterval: p.options.ShortenBuffers,
	}
	if t.Processor != nil {
		delivery.Function = afterLast(t.Processor.FunctionARN, ":")
		configuration.Processor = &firehose.Processor{
			FunctionARN: t.Processor.FunctionARN, Retries: t.Processor.Retries,
			Buffer: firehose.Buffer{Bytes: t.Processor.BufferBytes, Interval: t.Processor.BufferInterval},
		}
	}
	pump, err := firehose.New(configuration, p.streams.Client(), processor{p, delivery}, p.cloud.S3())
	if err != nil {
		return "", nil, err
	}
	if err := p.background(ctx, pump.Run, pump.Ready()); err != nil {
		return "", nil, err
	}
	p.delivery = append(p.delivery, delivery)
	return name, map[string]any{"Arn": arn}, nil
}

// processor runs a delivery stream's function on the host.
type processor struct {
	platform *Platform
	delivery *Delivery
}

// Invoke runs the function.
func (i processor) Invoke(ctx context.Context, functionARN string, payload []byte) (answer []byte, functionError string, err error) {
	result, err := i.platform.invoke(ctx, &i.delivery.durations, functionARN, payload)
	return result.Payload, result.FunctionError, err
}

// engineLog is a log file of one of our own engines, below the run's folder.
func (p *Platform) engineLog(name string) (*slog.Logger, error) {
	folder, err := p.engineFolder("log")
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(folder, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p.onStop(func(context.Context) error { return file.Close() })
	return slog.New(slog.NewJSONHandler(file, nil)), nil
}

// Consumers are the event source mappings at work.
func (p *Platform) Consumers() []*Consumer { return p.consumers }

// Deliveries are the delivery streams at work.
func (p *Platform) Deliveries() []*Delivery { return p.delivery }
