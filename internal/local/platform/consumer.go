package platform

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/uuid"

	"diecast/internal/assembly"
	"diecast/internal/local/eventsource"
)

// Consumer is an event source mapping at work.
type Consumer struct {
	// Function is the consumer's physical name.
	Function string
	durations
}

// durations gathers how long a function's invocations took.
type durations struct {
	mutex  sync.Mutex
	warm   []time.Duration
	cold   []time.Duration
	failed int
}

// Durations are those of the invocations so far: of processes that were warm, and from the start of new ones to their first
// answer. Failed is how many of all ended in an error.
func (d *durations) Durations() (warm, cold []time.Duration, failed int) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return append([]time.Duration(nil), d.warm...), append([]time.Duration(nil), d.cold...), d.failed
}

// invoke runs a function on the host and notes how long it took.
func (p *Platform) invoke(ctx context.Context, noted *durations, function string, payload []byte) (eventsource.Answer, error) {
	result, err := p.functions.Invoke(ctx, afterLast(function, ":"), payload)
	if err != nil {
		return eventsource.Answer{}, err
	}
	noted.mutex.Lock()
	defer noted.mutex.Unlock()
	if result.ColdStart > 0 {
		noted.cold = append(noted.cold, result.ColdStart)
	} else {
		noted.warm = append(noted.warm, result.Duration)
	}
	if result.FunctionError != "" {
		noted.failed++
	}
	return eventsource.Answer{RequestID: result.RequestID, Payload: result.Payload, FunctionError: result.FunctionError}, nil
}

func (p *Platform) createConsumer(ctx context.Context, resource *assembly.Resource, t *assembly.EventSourceMapping) (string, map[string]any, error) {
	id := uuid.NewString()
	attributes := map[string]any{
		"Id": id, "EventSourceMappingArn": fmt.Sprintf("arn:aws:lambda:%s:%s:event-source-mapping:%s", region, account, id),
	}
	if !t.Enabled {
		return id, attributes, nil
	}
	name := afterLast(t.Function, ":")
	consumer := &Consumer{Function: name}
	mapping := eventsource.Mapping{
		UUID: id, StreamARN: t.SourceARN, FunctionARN: p.functions.ARN(name),
		RoleARN:          fmt.Sprintf("arn:aws:iam::%s:role/%s", account, name),
		StartingPosition: types.ShardIteratorTypeLatest,
		BatchSize:        t.BatchSize, BatchWindow: t.BatchingWindow, Parallelization: t.ParallelizationFactor,
		RetryAttempts: max(t.MaximumRetries, eventsource.EndlessRetries), MaxRecordAge: max(t.MaximumRecordAge, 0),
		BisectOnError: t.BisectOnError, ReportItemFailures: t.ReportBatchItemFailures,
	}
	if t.FromStart {
		mapping.StartingPosition = types.ShardIteratorTypeTrimHorizon
	}
	if t.OnFailureARN != "" {
		mapping.FailureBucket = afterLast(t.OnFailureARN, ":")
	}
	log, err := p.engineLog("consumer-" + resource.LogicalID)
	if err != nil {
		return "", nil, err
	}
	poller, err := eventsource.New(mapping, eventsource.Options{
		Stream: p.streams.Client(), Bucket: p.cloud.S3(), Logger: log,
		Invoker: eventsource.InvokerFunc(func(ctx context.Context, function string, payload []byte) (eventsource.Answer, error) {
			return p.invoke(ctx, &consumer.durations, function, payload)
		}),
	})
	if err != nil {
		return "", nil, err
	}
	if err := p.background(ctx, poller.Run, poller.Ready()); err != nil {
		return "", nil, err
	}
	p.consumers = append(p.consumers, consumer)
	return id, attributes, nil
}

// background runs work until the platform stops, and waits until it is ready.
func (p *Platform) background(ctx context.Context, work func(context.Context) error, ready <-chan struct{}) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- work(running) }()
	p.onStop(func(ctx context.Context) error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	select {
	case <-ready:
		return nil
	case err := <-ended:
		ended <- err
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
