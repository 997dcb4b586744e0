// Package eventsource feeds a Kinesis stream to a function as Lambda's event source mapping does: in batches, with retries,
// bisection, partial batch responses, a limit of age, and a bucket for what was given up. Order is kept for each partition
// key. The package knows nothing of the records, nor of how the function is run.
//
// Contract: "Lambda Developer Guide", chapter "Using Lambda with Kinesis": "Polling and batching streams", "Configuring
// partial batch response with Kinesis Data Streams and Lambda", "Retain discarded batch records for a Kinesis Data Streams
// event source in Lambda".
package eventsource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/quotas"
)

// Stream is what the poller needs of Kinesis; *kinesis.Client is one. Streams are asked for by name.
type Stream interface {
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// Invoker runs the function. An error means that the function did not run, as when it is throttled: that is tried again and
// uses up no retry. A function that ran and failed is an Answer with FunctionError.
type Invoker interface {
	Invoke(ctx context.Context, function string, payload []byte) (Answer, error)
}

// InvokerFunc is an Invoker that is a function.
type InvokerFunc func(ctx context.Context, function string, payload []byte) (Answer, error)

// Invoke calls f.
func (f InvokerFunc) Invoke(ctx context.Context, function string, payload []byte) (Answer, error) {
	return f(ctx, function, payload)
}

// Answer of a function.
type Answer struct {
	RequestID string
	Payload   []byte
	// FunctionError is empty where the function returned no error.
	FunctionError string
}

// Bucket takes the records of what was given up; *s3.Client is one.
type Bucket interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Limits (Lambda API Reference, CreateEventSourceMapping) and defaults.
const (
	DefaultBatchSize    = 100
	MaxBatchSize        = 10_000
	MaxBatchWindow      = 300 * time.Second
	MaxParallelization  = 10
	MaxRetryAttempts    = 10_000
	MaxRecordAge        = 7 * 24 * time.Hour
	EndlessRetries      = -1
	DefaultPollInterval = 200 * time.Millisecond
	DefaultBackoff      = 100 * time.Millisecond
	// MaxPayload bounds an event, in bytes (Lambda quotas: 6 MB).
	MaxPayload = quotas.LambdaPayload
	// maxBackoff bounds the pause between two attempts.
	maxBackoff = 10 * time.Second
	// putTimeout bounds one attempt to keep a given-up batch.
	putTimeout = 10 * time.Second
)

// Mapping is an AWS::Lambda::EventSourceMapping.
type Mapping struct {
	// UUID of the mapping; part of the failure records' keys.
	UUID string
	// StreamARN and FunctionARN stand in the events and failure records; their last parts are the names.
	StreamARN, FunctionARN string
	// RoleARN is the function's role, which the events name.
	RoleARN string
	// StartingPosition is TRIM_HORIZON or LATEST.
	StartingPosition types.ShardIteratorType
	// BatchSize is the most records in an invocation, 1 to MaxBatchSize. Default DefaultBatchSize.
	BatchSize int
	// BatchWindow is how long a batch waits to fill, 0 to MaxBatchWindow. Default: a batch is what has arrived.
	BatchWindow time.Duration
	// Parallelization is how many batches of a shard are handled at a time, 1 to MaxParallelization. Default 1.
	Parallelization int
	// RetryAttempts is how often a failed batch is tried again: 0 to MaxRetryAttempts, or EndlessRetries.
	RetryAttempts int
	// MaxRecordAge gives up what arrived longer ago. Default: no limit.
	MaxRecordAge time.Duration
	// BisectOnError splits a failed batch in two; splitting uses up no retry.
	BisectOnError bool
	// ReportItemFailures reads the function's batchItemFailures.
	ReportItemFailures bool
	// FailureBucket receives what was given up. Default: it is lost, and logged.
	FailureBucket string
}

// Options are what a poller works with. Stream and Invoker are required.
type Options struct {
	Stream  Stream
	Invoker Invoker
	// Bucket is required where the mapping has a FailureBucket.
	Bucket Bucket
	// Logger takes what went wrong. Default: slog.Default.
	Logger *slog.Logger
	// PollInterval is the pause between two reads of a shard that had no more to give. Default DefaultPollInterval; Kinesis
	// admits five reads a second and shard.
	PollInterval time.Duration
	// Backoff is the pause before the first retry; it doubles up to 10 s. Default DefaultBackoff.
	Backoff time.Duration
}

// Poller is one mapping at work.
type Poller struct {
	mapping          Mapping
	options          Options
	stream, function string // names
	region           string
	ready            chan struct{}
	counts           counts
}

type counts struct{ delivered, discarded, invocations, failed, throttled atomic.Int64 }

// Stats are counts since the start.
type Stats struct {
	// Delivered are records that the function handled, Discarded those that were given up.
	Delivered, Discarded int64
	// Invocations ran, Failed of them with an error or with failed items. Throttled are attempts that ran nothing.
	Invocations, Failed, Throttled int64
}

// New checks a mapping; the error names every problem.
func New(mapping Mapping, options Options) (*Poller, error) {
	if mapping.BatchSize == 0 {
		mapping.BatchSize = DefaultBatchSize
	}
	if mapping.Parallelization == 0 {
		mapping.Parallelization = 1
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.PollInterval == 0 {
		options.PollInterval = DefaultPollInterval
	}
	if options.Backoff == 0 {
		options.Backoff = DefaultBackoff
	}
	p := &Poller{mapping: mapping, options: options, ready: make(chan struct{})}
	var problems []error
	refuse := func(wrong bool, format string, values ...any) {
		if wrong {
			problems = append(problems, fmt.Errorf(format, values...))
		}
	}
	// arn:partition:kinesis:region:account:stream/name and arn:partition:lambda:region:account:function:name
	stream, function := strings.Split(mapping.StreamARN, ":"), strings.Split(mapping.FunctionARN, ":")
	if len(stream) == 6 && stream[2] == "kinesis" && strings.HasPrefix(stream[5], "stream/") {
		p.region, p.stream = stream[3], strings.TrimPrefix(stream[5], "stream/")
	}
	if len(function) == 7 && function[2] == "lambda" && function[5] == "function" {
		p.function = function[6]
	}
	refuse(p.stream == "", "StreamARN %q is no ARN of a Kinesis stream", mapping.StreamARN)
	refuse(p.function == "", "FunctionARN %q is no ARN of a function", mapping.FunctionARN)
	refuse(mapping.UUID == "", "UUID is empty: it is part of the failure records' keys")
	refuse(mapping.StartingPosition != types.ShardIteratorTypeTrimHorizon && mapping.StartingPosition != types.ShardIteratorTypeLatest,
		"StartingPosition %q: TRIM_HORIZON and LATEST are allowed", mapping.StartingPosition)
	refuse(mapping.BatchSize < 1 || mapping.BatchSize > MaxBatchSize, "BatchSize %d: 1 to %d is allowed", mapping.BatchSize, MaxBatchSize)
	refuse(mapping.BatchWindow < 0 || mapping.BatchWindow > MaxBatchWindow, "BatchWindow %s: 0 to %s is allowed", mapping.BatchWindow, MaxBatchWindow)
	refuse(mapping.Parallelization < 1 || mapping.Parallelization > MaxParallelization,
		"Parallelization %d: 1 to %d is allowed", mapping.Parallelization, MaxParallelization)
	refuse(mapping.RetryAttempts < EndlessRetries || mapping.RetryAttempts > MaxRetryAttempts,
		"RetryAttempts %d: 0 to %d, or %d for no limit, is allowed", mapping.RetryAttempts, MaxRetryAttempts, EndlessRetries)
	refuse(mapping.MaxRecordAge < 0 || mapping.MaxRecordAge > MaxRecordAge,
		"MaxRecordAge %s: up to %s, or 0 for no limit, is allowed", mapping.MaxRecordAge, MaxRecordAge)
	refuse(options.Stream == nil, "no Stream is given")
	refuse(options.Invoker == nil, "no Invoker is given")
	refuse(mapping.FailureBucket != "" && options.Bucket == nil, "FailureBucket %q needs a Bucket", mapping.FailureBucket)
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("event source mapping: %w", err)
	}
	return p, nil
}

// Ready is closed when every shard that the stream had at the start is being read: what is put after that is seen from
// LATEST, too.
func (p *Poller) Ready() <-chan struct{} { return p.ready }

// Stats may be asked for at any time.
func (p *Poller) Stats() Stats {
	return Stats{
		Delivered: p.counts.delivered.Load(), Discarded: p.counts.discarded.Load(), Invocations: p.counts.invocations.Load(),
		Failed: p.counts.failed.Load(), Throttled: p.counts.throttled.Load(),
	}
}

// Run reads and invokes until the context ends, and returns nil then: no invocation is begun any more, those under way are
// waited for, and what they leave undone stays in the stream. An error says that the stream cannot be read.
func (p *Poller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	shards, err := p.listShards(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("read stream %s: %w", p.stream, err)
	}
	type ending struct {
		shard string
		err   error
	}
	ended := make(chan ending)
	position := p.mapping.StartingPosition
	begun, finished := map[string]bool{}, map[string]bool{}
	running := 0
	begin := func(started func()) {
		for _, s := range follow(shards, begun, finished, position == types.ShardIteratorTypeLatest) {
			begun[s] = true
			running++
			reader := &shard{poller: p, id: s, position: position}
			go func() { ended <- ending{s, reader.run(ctx, sync.OnceFunc(started))} }()
		}
	}
	var missing atomic.Int64
	missing.Store(int64(len(follow(shards, begun, finished, position == types.ShardIteratorTypeLatest))))
	begin(func() {
		if missing.Add(-1) == 0 {
			close(p.ready)
		}
	})
	for running > 0 {
		e := <-ended
		running--
		finished[e.shard] = true
		if e.err != nil && err == nil && ctx.Err() == nil {
			err = fmt.Errorf("read shard %s of stream %s: %w", e.shard, p.stream, e.err)
			cancel()
		}
		if ctx.Err() != nil {
			continue
		}
		// The shard was closed: its children come next, from their beginning.
		position = types.ShardIteratorTypeTrimHorizon
		for attempt := 0; ; attempt++ {
			fresh, listErr := p.listShards(ctx)
			if listErr == nil {
				shards = fresh
				break
			}
			p.options.Logger.Error("cannot list the stream's shards", slog.String("stream", p.stream), slog.Any("error", listErr))
			if !p.pause(ctx, attempt) {
				break
			}
		}
		begin(func() {})
	}
	return err
}

// follow returns the shards to begin with now: those whose parents are finished, or are no longer kept by the stream.
func follow(shards []types.Shard, begun, finished map[string]bool, ignoreParents bool) []string {
	known := map[string]bool{}
	for _, s := range shards {
		known[*s.ShardId] = true
	}
	waits := func(parent *string) bool {
		return parent != nil && known[*parent] && !finished[*parent] && !ignoreParents
	}
	var next []string
	for _, s := range shards {
		if !begun[*s.ShardId] && !waits(s.ParentShardId) && !waits(s.AdjacentParentShardId) {
			next = append(next, *s.ShardId)
		}
	}
	return next
}

func (p *Poller) listShards(ctx context.Context) ([]types.Shard, error) {
	var shards []types.Shard
	input := &kinesis.ListShardsInput{StreamName: &p.stream}
	for {
		output, err := p.options.Stream.ListShards(ctx, input)
		if err != nil {
			return nil, err
		}
		shards = append(shards, output.Shards...)
		if output.NextToken == nil {
			return shards, nil
		}
		input = &kinesis.ListShardsInput{NextToken: output.NextToken}
	}
}

// pause waits before the attempt after this one, longer each time; it returns false when the context has ended.
func (p *Poller) pause(ctx context.Context, attempt int) bool {
	return wait(ctx, min(p.options.Backoff<<min(attempt, 20), maxBackoff))
}

func wait(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
