// Package firehose does on this machine what Amazon Data Firehose does with a Kinesis stream as its
// source, a Lambda function as its processor and a bucket as its destination: it reads every shard,
// gives batches to the processor, and writes objects. Each record that it reads ends in exactly one
// place: delivered, dropped by the processor and counted, or in the error output.
//
// The contract is that of the "Amazon Data Firehose Developer Guide", chapters "Transform source
// data", "Handle failure in data transformation", "Configure Amazon S3 object name format" and
// "Understand custom prefixes for Amazon S3 objects", and of what delivery streams were seen to do
// where it is silent. Aggregates of the Kinesis Producer Library are split before they are
// processed; one that cannot be read is handed on as the record that it is. The package knows
// nothing of templates, of what the records mean, or of what runs the function.
package firehose

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/aggregation"
	"diecast/internal/quotas"
	"diecast/internal/shards"
)

// Limits of the service ("Amazon Data Firehose Quota", "Lambda quotas") and what goes beyond the
// contract.
const (
	// MaxPayload bounds a request to the processor and its answer, in bytes.
	MaxPayload = quotas.LambdaPayload
	// MaxTimeout is how long Firehose waits for a processor.
	MaxTimeout = 5 * time.Minute
	// DefaultRetryDelay precedes the first retry of a call; it doubles up to maxRetryDelay.
	DefaultRetryDelay = 100 * time.Millisecond
	maxRetryDelay     = 5 * time.Second
	// DefaultShutdownTimeout bounds the flush at the end.
	DefaultShutdownTimeout = 30 * time.Second
	// DefaultAttempts bounds the calls for one read of a shard. With the default delays they take
	// half a minute.
	DefaultAttempts = 12
	// DefaultDeliverFor is how long an object is tried to be written ("Handle data delivery
	// failures": S3 is tried for up to 24 hours).
	DefaultDeliverFor = 24 * time.Hour

	// MaxInterval bounds what a buffer waits.
	MaxInterval = 900 * time.Second

	maxRetries = 300
)

// Buffer gathers records until it has Bytes of them or until Interval has passed since the first,
// whichever comes first. With an Interval of 0 nothing waits for more.
type Buffer struct {
	Bytes    int
	Interval time.Duration
}

// Processor is the function that transforms the records.
type Processor struct {
	FunctionARN string
	// Buffer counts the records as they are in the stream, 0.2 to 3 MB on AWS. A batch of more than
	// one record stays below MaxPayload even where the buffer allows more.
	Buffer Buffer
	// Retries is how often a batch is tried again after a function error, a throttle or a time-out.
	// Firehose's default is 3.
	Retries int
	// Timeout of one invocation. Default MaxTimeout.
	Timeout time.Duration
}

// Config says what one delivery stream does.
type Config struct {
	// Name stands in the object names, ARN and Region in the events.
	Name, ARN, Region string
	// Version stands in the object names; it counts changes of the configuration. Default 1.
	Version int
	// SourceStream is the name of the Kinesis stream, SourceARN its ARN.
	SourceStream, SourceARN string
	// FromTrimHorizon reads all that is in the stream. Default: what is put after Ready, as
	// Firehose does.
	FromTrimHorizon bool
	// Processor is nil where the records are delivered as they are.
	Processor *Processor
	// Bucket takes the objects.
	Bucket string
	// Buffer counts the processed records. The error output has its own, of the same size and
	// interval.
	Buffer Buffer
	// Prefix begins the keys of delivered objects, ErrorPrefix of those with what failed.
	// Expressions !{timestamp:...}, !{firehose:random-string} and, in ErrorPrefix,
	// !{firehose:error-output-type} are evaluated. A prefix without an expression is continued by
	// yyyy/MM/dd/HH/, that of the errors by processing-failed/yyyy/MM/dd/HH/, and the default of
	// ErrorPrefix is Prefix.
	Prefix, ErrorPrefix string
	// FileExtension ends the keys of delivered objects, such as .jsonl.
	FileExtension string
	// GZIP compresses delivered objects. Default: they are written as they are, as those of the
	// error output always are. Buffers count what is not compressed yet.
	GZIP bool

	// MaxInterval shortens the intervals of both buffers to at most this, so that a demonstration
	// need not wait for minutes. Default: the intervals hold as they are.
	MaxInterval time.Duration
	// PollInterval is the pause before a shard that had no more to give is read again. Default
	// shards.DefaultPollInterval.
	PollInterval time.Duration
	// RetryDelay, Attempts, DeliverFor and ShutdownTimeout default to the constants of those names.
	RetryDelay      time.Duration
	Attempts        int
	DeliverFor      time.Duration
	ShutdownTimeout time.Duration
	// Told is one line when an object cannot be written, one when it has been in the end, and one
	// when it is given up; it is called from any goroutine. Default: nobody.
	Told func(line string)
}

// Invoker runs the processor. It must return when the context ends. A function error is what
// Lambda's Invoke tells in the header X-Amz-Function-Error; the error is that of the call itself.
type Invoker interface {
	Invoke(ctx context.Context, functionARN string, payload []byte) (answer []byte, functionError string, err error)
}

// Store takes the objects.
type Store interface {
	PutObject(ctx context.Context, input *s3.PutObjectInput, options ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Pump is one delivery stream.
type Pump struct {
	config      Config
	prefix      prefix
	errorPrefix prefix
	stream      shards.Stream
	invoker     Invoker
	store       Store
	ready       chan struct{}
	statistics  recorder
	givenUp     chan struct{}
	giveUp      func()
}

// New checks the configuration; the error tells all that is wrong with it. The invoker may be nil
// where there is no processor.
func New(config Config, stream shards.Stream, invoker Invoker, store Store) (*Pump, error) {
	config = config.withDefaults()
	p := &Pump{config: config, stream: stream, invoker: invoker, store: store, ready: make(chan struct{}),
		givenUp: make(chan struct{})}
	p.giveUp = sync.OnceFunc(func() { close(p.givenUp) })
	problems := config.problems()
	var err error
	if p.prefix, err = parsePrefix(config.Prefix); err != nil {
		problems = append(problems, fmt.Errorf("%s: %w", "Prefix", err))
	}
	if p.errorPrefix, err = parseErrorPrefix(config.ErrorPrefix, config.Prefix); err != nil {
		problems = append(problems, fmt.Errorf("%s: %w", "ErrorPrefix", err))
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("delivery stream %s: %w", config.Name, errors.Join(problems...))
	}
	return p, nil
}

func (c Config) withDefaults() Config {
	if c.Version == 0 {
		c.Version = 1
	}
	if c.RetryDelay == 0 {
		c.RetryDelay = DefaultRetryDelay
	}
	if c.Attempts == 0 {
		c.Attempts = DefaultAttempts
	}
	if c.DeliverFor == 0 {
		c.DeliverFor = DefaultDeliverFor
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = DefaultShutdownTimeout
	}
	if c.Told == nil {
		c.Told = func(string) {}
	}
	if c.MaxInterval > 0 {
		c.Buffer.Interval = min(c.Buffer.Interval, c.MaxInterval)
	}
	if c.Processor != nil {
		processor := *c.Processor
		if processor.Timeout == 0 {
			processor.Timeout = MaxTimeout
		}
		if c.MaxInterval > 0 {
			processor.Buffer.Interval = min(processor.Buffer.Interval, c.MaxInterval)
		}
		c.Processor = &processor
	}
	return c
}

func (c Config) problems() (problems []error) {
	refuse := func(format string, arguments ...any) {
		problems = append(problems, fmt.Errorf(format, arguments...))
	}
	for _, required := range []struct{ name, value string }{
		{"Name", c.Name}, {"SourceStream", c.SourceStream}, {"Bucket", c.Bucket},
	} {
		if strings.TrimSpace(required.value) == "" {
			refuse("%s is empty and must not be", required.name)
		}
	}
	checkBuffer := func(name string, buffer Buffer) {
		if buffer.Bytes < 1 {
			refuse("%s.Bytes is %d, must be at least 1", name, buffer.Bytes)
		}
		if buffer.Interval < 0 || buffer.Interval > MaxInterval {
			refuse("%s.Interval is %s, must be 0 to %s", name, buffer.Interval, MaxInterval)
		}
	}
	checkBuffer("Buffer", c.Buffer)
	for _, positive := range []struct {
		name  string
		value time.Duration
	}{{"MaxInterval", c.MaxInterval}, {"PollInterval", c.PollInterval}, {"RetryDelay", c.RetryDelay},
		{"DeliverFor", c.DeliverFor}, {"ShutdownTimeout", c.ShutdownTimeout}} {
		if positive.value < 0 {
			refuse("%s is %s, must not be negative", positive.name, positive.value)
		}
	}
	if c.Attempts < 1 {
		refuse("Attempts is %d, must be at least 1", c.Attempts)
	}
	if c.Processor == nil {
		return problems
	}
	checkBuffer("Processor.Buffer", c.Processor.Buffer)
	if c.Processor.FunctionARN == "" {
		refuse("Processor.FunctionARN is empty and must not be")
	}
	if c.Processor.Retries < 0 || c.Processor.Retries > maxRetries {
		refuse("Processor.Retries is %d, must be 0 to %d", c.Processor.Retries, maxRetries)
	}
	if c.Processor.Timeout < 0 || c.Processor.Timeout > MaxTimeout {
		refuse("Processor.Timeout is %s, must be at most %s", c.Processor.Timeout, MaxTimeout)
	}
	return problems
}

// Ready is closed when every shard is being read: without FromTrimHorizon, what is put earlier is
// not delivered.
func (p *Pump) Ready() <-chan struct{} { return p.ready }

// errShutdown ends the flush.
var errShutdown = errors.New("the records that were read could not be flushed within the shutdown time-out")

// GiveUp ends the flush of a Run whose context has ended; before that it does nothing but shorten
// the flush to come.
func (p *Pump) GiveUp() { p.giveUp() }

// Run pumps until the context ends; then it reads no more, flushes its buffers, and returns nil. It
// ends early, after flushing what it can, with the error of a stream that cannot be read. A bucket
// that cannot be written to is tried for DeliverFor, while the stream keeps what is not read; an
// object that is given up then is counted. Where an error leaves records neither delivered nor in
// the error output it tells how many: they are still in the stream. A Pump runs once.
func (p *Pump) Run(ctx context.Context) error {
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	// The flush outlives the reading, but not for ever.
	working, stopWorking := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWorking(nil)
	defer context.AfterFunc(reading, func() {
		timeout := time.NewTimer(p.config.ShutdownTimeout)
		defer timeout.Stop()
		select {
		case <-timeout.C:
		case <-p.givenUp:
		case <-working.Done():
		}
		stopWorking(errShutdown)
	})()

	outcomes := make(chan []outcome)
	delivered := make(chan error, 1)
	go func() {
		err := p.deliver(working, outcomes)
		stopReading()
		stopWorking(err)
		delivered <- err
	}()
	readError := p.source(reading, working, outcomes)
	stopReading()
	close(outcomes)
	err := errors.Join(readError, <-delivered)
	pending := p.Statistics().Pending()
	if err == nil && pending > 0 {
		err = errShutdown // it came between two objects
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("delivery stream %s: %w", p.config.Name, err)
	if pending > 0 {
		err = fmt.Errorf("%w (%d records were read and neither delivered nor put into the error output; they are "+
			"still in stream %s)", err, pending, p.config.SourceStream)
	}
	return err
}

// record of the stream, or one of those within an aggregated record.
type record struct {
	shard, sequence, partitionKey string
	subsequence                   int // within the aggregate, from 0
	arrival, read                 time.Time
	data                          []byte
}

// newRecords are those that a record of the stream holds: itself, but where it is an aggregate.
func newRecords(shard string, from types.Record, now time.Time) []record {
	whole := newRecord(shard, from, now)
	users, err := aggregation.Split(whole.data)
	if err != nil { // no aggregate, or one that the processor has to refuse
		return []record{whole}
	}
	split := make([]record, len(users))
	for i, user := range users {
		split[i] = whole
		split[i].subsequence, split[i].partitionKey, split[i].data = i, user.PartitionKey, user.Data
	}
	return split
}

func newRecord(shard string, from types.Record, now time.Time) record {
	r := record{shard: shard, arrival: now, read: now, data: from.Data}
	if from.SequenceNumber != nil {
		r.sequence = *from.SequenceNumber
	}
	if from.PartitionKey != nil {
		r.partitionKey = *from.PartitionKey
	}
	if from.ApproximateArrivalTimestamp != nil {
		r.arrival = *from.ApproximateArrivalTimestamp
	}
	return r
}

// id is unique in the stream: sequence numbers are in their shard, and carry its number. Six digits
// or more for a record within an aggregated one follow.
func (r record) id() string { return fmt.Sprintf("%s%06d", r.sequence, r.subsequence) }

// outcome of one record.
type outcome struct {
	record
	result result
	// output is delivered.
	output []byte
	// failure is the reason of a failed record.
	failure
	attempts       int
	started, ended time.Time // the first attempt and the last one's end
}

type result int

const (
	delivered result = iota
	dropped
	failed
)

// pause waits before the attempt after so many; it returns early, with its cause, when the context
// ends.
func (p *Pump) pause(ctx context.Context, attempts int) error {
	delay := maxRetryDelay
	if shift := attempts - 1; shift < 16 {
		delay = min(delay, p.config.RetryDelay<<shift)
	}
	return wait(ctx, delay)
}

func wait(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
