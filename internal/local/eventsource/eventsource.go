// Package eventsource feeds a Kinesis stream to a function as Lambda's event source mapping does:
// in batches, with retries, bisection, partial batch responses, a limit of age, and a bucket for
// what was given up. Order is kept for each partition key. The package knows nothing of the
// records, nor of how the function is run.
//
// Contract: "Lambda Developer Guide", chapter "Using Lambda with Kinesis": "Polling and batching
// streams", "Configuring partial batch response with Kinesis Data Streams and Lambda", "Retain
// discarded batch records for a Kinesis Data Streams event source in Lambda".
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

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/quotas"
	"diecast/internal/shards"
)

// Invoker runs the function. An error means that the function did not run, as when it is throttled:
// that is tried again and uses up no retry, but ends the poller where it is a wait.Permanent one. A
// function that ran and failed is an Answer with FunctionError.
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
	DefaultBatchSize   = 100
	MaxBatchSize       = 10_000
	MaxBatchWindow     = 300 * time.Second
	MaxParallelization = 10
	MaxRetryAttempts   = 10_000
	MaxRecordAge       = 7 * 24 * time.Hour
	EndlessRetries     = -1
	DefaultBackoff     = 100 * time.Millisecond
	// FanOutInterval stands for what Kinesis takes to push a record to a consumer with enhanced
	// fan-out, typically 70 ms (Kinesis developer guide, "Develop enhanced fan-out consumers").
	FanOutInterval = 70 * time.Millisecond
	// MaxPayload bounds an event, in bytes (Lambda quotas: 6 MB).
	MaxPayload = quotas.LambdaPayload
	// maxBackoff bounds the pause between two attempts.
	maxBackoff = 10 * time.Second
	// longAttempts is how often in a row a call of the stream is made: about ten minutes.
	longAttempts = 60
	// keepFor is how long a given-up batch is tried to be kept: as long as a stream of the shortest
	// retention keeps its records.
	keepFor = 24 * time.Hour
	// putTimeout bounds one attempt to keep a given-up batch.
	putTimeout = 10 * time.Second
)

// Mapping is an AWS::Lambda::EventSourceMapping.
type Mapping struct {
	// UUID of the mapping; part of the failure records' keys.
	UUID string
	// StreamARN and FunctionARN stand in the events and failure records, and have the names in
	// them. StreamARN may be that of a consumer of the stream with enhanced fan-out: its records
	// come at once, where others are asked for.
	StreamARN, FunctionARN string
	// RoleARN is the function's role, which the events name.
	RoleARN string
	// StartingPosition is TRIM_HORIZON or LATEST.
	StartingPosition types.ShardIteratorType
	// BatchSize is the most records in an invocation, 1 to MaxBatchSize. Default DefaultBatchSize.
	BatchSize int
	// BatchWindow is how long a batch waits to fill, 0 to MaxBatchWindow. Default: a batch is what
	// has arrived.
	BatchWindow time.Duration
	// Parallelization is how many batches of a shard are handled at a time, 1 to
	// MaxParallelization. Default 1.
	Parallelization int
	// RetryAttempts is how often a failed batch is tried again: 0 to MaxRetryAttempts, or
	// EndlessRetries.
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
	Stream  shards.Stream
	Invoker Invoker
	// Bucket is required where the mapping has a FailureBucket.
	Bucket Bucket
	// Logger takes what went wrong. Default: slog.Default.
	Logger *slog.Logger
	// PollInterval is the pause before a shard that had no more to give is read again. Default
	// shards.DefaultPollInterval, or FanOutInterval for a consumer with enhanced fan-out.
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
	// giveUp ends Run with an error.
	giveUp context.CancelCauseFunc
	// givenUp is closed by GiveUp.
	givenUp chan struct{}
	once    sync.Once
}

type counts struct {
	delivered, discarded, invocations, failed, throttled atomic.Int64
	// keptRetries and keptAge are those of the discarded that are in the bucket, by condition.
	keptRetries, keptAge atomic.Int64
}

// kept counts discarded records that are in the bucket.
func (c *counts) kept(condition string, records int) {
	if condition == recordAgeExceeded {
		c.keptAge.Add(int64(records))
	} else {
		c.keptRetries.Add(int64(records))
	}
}

func (c *counts) byCondition() (kept map[string]int64) {
	for condition, records := range map[string]int64{
		retryAttemptsExhausted: c.keptRetries.Load(), recordAgeExceeded: c.keptAge.Load(),
	} {
		if records == 0 {
			continue
		}
		if kept == nil {
			kept = map[string]int64{}
		}
		kept[condition] = records
	}
	return kept
}

// Stats are counts since the start.
type Stats struct {
	// Delivered are records that the function handled, Discarded those that were given up.
	Delivered, Discarded int64
	// Kept are those of the discarded that are in the bucket for failures, by the condition on
	// which they were given up; the others are lost.
	Kept map[string]int64
	// Invocations ran, Failed of them with an error or with failed items. Throttled are attempts
	// that ran nothing.
	Invocations, Failed, Throttled int64
}

// New checks a mapping and what it works with; the error names every problem.
func New(mapping Mapping, options Options) (*Poller, error) {
	mapping = mapping.withDefaults()
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Backoff == 0 {
		options.Backoff = DefaultBackoff
	}
	if options.PollInterval == 0 && mapping.FanOut() {
		options.PollInterval = FanOutInterval
	}
	problems := mapping.problems()
	problems.refuse(options.Stream == nil, "no Stream is given")
	problems.refuse(options.Invoker == nil, "no Invoker is given")
	problems.refuse(mapping.FailureBucket != "" && options.Bucket == nil, "FailureBucket %q needs a Bucket",
		mapping.FailureBucket)
	if err := problems.err(); err != nil {
		return nil, err
	}
	p := &Poller{mapping: mapping, options: options, function: mapping.function(), ready: make(chan struct{}),
		givenUp: make(chan struct{})}
	p.region, p.stream = mapping.stream()
	return p, nil
}

// Validate checks a mapping alone, before there is anything that it works with; the error names
// every problem.
func (m Mapping) Validate() error { return m.withDefaults().problems().err() }

func (m Mapping) withDefaults() Mapping {
	if m.BatchSize == 0 {
		m.BatchSize = DefaultBatchSize
	}
	if m.Parallelization == 0 {
		m.Parallelization = 1
	}
	return m
}

// consumerMark stands in the ARN of a consumer between the stream's and the consumer's name.
const consumerMark = "/consumer/"

// FanOut says whether the records come by enhanced fan-out.
func (m Mapping) FanOut() bool { return strings.Contains(m.StreamARN, consumerMark) }

// stream is where the ARN leads, arn:partition:kinesis:region:account:stream/name, or with
// /consumer/name:timestamp behind that; nowhere if it is no such ARN.
func (m Mapping) stream() (region, name string) {
	of, consumer, fanOut := strings.Cut(m.StreamARN, consumerMark)
	parts := strings.Split(of, ":")
	name, is := strings.CutPrefix(parts[len(parts)-1], "stream/")
	if len(parts) != 6 || parts[2] != "kinesis" || !is || fanOut && consumer == "" {
		return "", ""
	}
	return parts[3], name
}

// Stream is the name of the stream.
func (m Mapping) Stream() string {
	_, name := m.stream()
	return name
}

// function is the name in the ARN, arn:partition:lambda:region:account:function:name; empty if it
// is no such ARN.
func (m Mapping) function() string {
	parts := strings.Split(m.FunctionARN, ":")
	if len(parts) == 7 && parts[2] == "lambda" && parts[5] == "function" {
		return parts[6]
	}
	return ""
}

// problems of a mapping.
type problems []error

func (p *problems) refuse(wrong bool, format string, values ...any) {
	if wrong {
		*p = append(*p, fmt.Errorf(format, values...))
	}
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return fmt.Errorf("event source mapping: %w", errors.Join(p...))
}

func (m Mapping) problems() (found problems) {
	_, stream := m.stream()
	found.refuse(stream == "", "StreamARN %q is no ARN of a Kinesis stream", m.StreamARN)
	found.refuse(m.function() == "", "FunctionARN %q is no ARN of a function", m.FunctionARN)
	found.refuse(m.UUID == "", "UUID is empty: it is part of the failure records' keys")
	found.refuse(m.StartingPosition != types.ShardIteratorTypeTrimHorizon &&
		m.StartingPosition != types.ShardIteratorTypeLatest,
		"StartingPosition %q: TRIM_HORIZON and LATEST are allowed", m.StartingPosition)
	found.refuse(m.BatchSize < 1 || m.BatchSize > MaxBatchSize, "BatchSize %d: 1 to %d is allowed",
		m.BatchSize, MaxBatchSize)
	found.refuse(m.BatchWindow < 0 || m.BatchWindow > MaxBatchWindow, "BatchWindow %s: 0 to %s is allowed",
		m.BatchWindow, MaxBatchWindow)
	found.refuse(m.Parallelization < 1 || m.Parallelization > MaxParallelization,
		"Parallelization %d: 1 to %d is allowed", m.Parallelization, MaxParallelization)
	found.refuse(m.RetryAttempts < EndlessRetries || m.RetryAttempts > MaxRetryAttempts,
		"RetryAttempts %d: 0 to %d, or %d for no limit, is allowed", m.RetryAttempts, MaxRetryAttempts,
		EndlessRetries)
	found.refuse(m.MaxRecordAge < 0 || m.MaxRecordAge > MaxRecordAge,
		"MaxRecordAge %s: up to %s, or 0 for no limit, is allowed", m.MaxRecordAge, MaxRecordAge)
	return found
}

// Ready is closed when every shard that the stream had at the start is being read: what is put
// after that is seen from LATEST, too.
func (p *Poller) Ready() <-chan struct{} { return p.ready }

// Stats may be asked for at any time.
func (p *Poller) Stats() Stats {
	return Stats{
		Delivered: p.counts.delivered.Load(), Discarded: p.counts.discarded.Load(),
		Invocations: p.counts.invocations.Load(),
		Failed:      p.counts.failed.Load(), Throttled: p.counts.throttled.Load(),
		Kept: p.counts.byCondition(),
	}
}

// GiveUp ends what a Run whose context has ended still does: no invocation is begun any more, and
// those under way are waited for.
func (p *Poller) GiveUp() { p.once.Do(func() { close(p.givenUp) }) }

// Run reads and invokes until the context ends. Then it reads no more, has the function handle what
// was read, without trying anything again that it does not handle, and returns nil: what is undone
// stays in the stream. An error says that the stream cannot be read, longAttempts times in a row or
// as it will not change, or that the function will never run.
func (p *Poller) Run(ctx context.Context) error {
	working, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	p.giveUp = giveUp
	reading, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(working, stop)()
	go func() {
		select {
		case <-p.givenUp:
			giveUp(nil)
		case <-working.Done():
		}
	}()
	err := p.read(reading, working)
	if err == nil && ctx.Err() == nil {
		err = context.Cause(working)
	}
	return err
}

func (p *Poller) read(ctx, working context.Context) error {
	reading := false
	return shards.Reader{
		Stream: p.options.Stream, Name: p.stream, Position: p.mapping.StartingPosition,
		PollInterval: p.options.PollInterval,
		Open: func(ctx context.Context, id string) shards.Handler {
			reading = true
			return p.openShard(ctx, working, id)
		},
		Retry: func(ctx context.Context, failure shards.Failure) bool {
			if failure.Shard == "" && !reading || failure.Attempt >= longAttempts { // it never was there, or is gone
				return false
			}
			p.options.Logger.Error("cannot read the stream; trying again", slog.String("stream", p.stream),
				slog.String("shard", failure.Shard), slog.String("call", failure.Call), slog.Any("error", failure.Err))
			return p.pause(ctx, failure.Attempt-1)
		},
		Ready: func() { close(p.ready) },
	}.Run(ctx)
}

// pause waits before the attempt after this one, longer each time; it returns false when the
// context has ended.
func (p *Poller) pause(ctx context.Context, attempt int) bool {
	timer := time.NewTimer(min(p.options.Backoff<<min(attempt, 20), maxBackoff))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
