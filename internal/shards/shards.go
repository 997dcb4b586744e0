// Package shards reads a Kinesis stream: every shard at the same time, a shard that came of others
// after them, so that the order of each partition key is kept. It knows nothing of the records, nor
// of who serves the stream.
//
// A read goes on behind the last record that was handled, whatever happens to iterators, which
// expire after five minutes (Kinesis API Reference, GetShardIterator). One that expires before the
// shard's first record was handled goes on where it pointed: at the shard's beginning, or, from
// LATEST, at the time at which it was taken. That time is this machine's: one that is ahead of
// Kinesis's clock by more than the pause passes over what was put in between.
package shards

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"diecast/internal/wait/awswait"
)

// ReadLimit is the most records of one read (Kinesis API Reference, GetRecords).
const ReadLimit = 10_000

// DefaultPollInterval is the pause before a shard that had no more to give is read again. Kinesis
// admits five reads a second and shard.
const DefaultPollInterval = 200 * time.Millisecond

// Stream is what reading needs of Kinesis; *kinesis.Client is one. Streams are asked for by name.
type Stream interface {
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput,
		...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// Handler takes the records of one shard.
type Handler interface {
	// Handle takes what one read gave, in the shard's order, never nothing. The next read waits
	// until it returns. An error ends the reading of the whole stream; the records count as not
	// handled.
	Handle(records []types.Record) error
	// Close is called once, after the last Handle, and returns when all is done that was handed
	// over: only then are the shards read that came of this one. An error ends the reading of the
	// whole stream.
	Close() error
}

// Failure is a call of the stream that failed.
type Failure struct {
	// Call in words, such as "read shard shardId-000000000000 of stream activity".
	Call string
	// Shard is empty where the shards could not be listed.
	Shard string
	// Attempt counts the failures, from 1, since the shards were last listed, or the shard last
	// read.
	Attempt int
	Err     error
}

// Reader reads one stream. Stream, Name, Position, Open and Retry are required.
type Reader struct {
	Stream Stream
	// Name of the stream.
	Name string
	// Position is where the shards that the stream has at the start are begun: TRIM_HORIZON, or
	// LATEST for what is put after Ready. Shards that appear later are read whole.
	Position types.ShardIteratorType
	// PollInterval is the pause before a shard that had no more to give is read again. Default
	// DefaultPollInterval.
	PollInterval time.Duration
	// Open makes the handler of a shard, before it is read. The context ends when the reading does,
	// for whatever reason: a handler that waits for something gives up then.
	Open func(ctx context.Context, shard string) Handler
	// Retry tells whether to make a call again, after a pause of its own that ends with the
	// context. What a call that is made again will not change (awswait.Final: no such stream or
	// shard, access denied) ends the reading, an iterator that has expired is taken anew at once;
	// Retry does not hear of either.
	Retry func(context.Context, Failure) bool
	// Ready is called once every shard that the stream has at the start is being read. Default:
	// nobody is.
	Ready func()
}

// Run reads until the context ends, and returns nil then, or until every shard was closed and read
// to its end. An error says what could not be read or handled. All handlers are closed when Run
// returns.
func (r Reader) Run(ctx context.Context) error {
	if r.PollInterval == 0 {
		r.PollInterval = DefaultPollInterval
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var problems []error
	fail := func(err error) {
		problems = append(problems, err)
		cancel()
	}
	type ending struct {
		shard string
		err   error
	}
	ended := make(chan ending)
	tree := tree{begun: map[string]bool{}, finished: map[string]bool{}}
	running := 0
	begin := func(position types.ShardIteratorType, ready func()) {
		listed, err := r.list(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			fail(err)
			return
		}
		next := tree.next(listed, position)
		var missing atomic.Int64
		missing.Store(int64(len(next)))
		for _, id := range next {
			running++
			s := &shard{reader: &r, id: id, position: position, handler: r.Open(ctx, id)}
			begun := sync.OnceFunc(func() {
				if missing.Add(-1) == 0 {
					ready()
				}
			})
			go func() { ended <- ending{id, s.run(ctx, begun)} }()
		}
	}
	ready := r.Ready
	if ready == nil {
		ready = func() {}
	}
	begin(r.Position, ready)
	for running > 0 {
		end := <-ended
		running--
		tree.finished[end.shard] = true
		if end.err != nil {
			fail(end.err)
		}
		if ctx.Err() == nil { // the shard was closed: its children come next
			begin(types.ShardIteratorTypeTrimHorizon, func() {})
		}
	}
	return errors.Join(problems...)
}

// tree is what is known of the stream's shards.
type tree struct{ begun, finished map[string]bool }

// next returns the shards to begin with, and notes them as begun: those whose parents are finished,
// or no longer kept by the stream. What comes at LATEST need not wait for anybody.
func (t tree) next(listed []types.Shard, position types.ShardIteratorType) []string {
	known := map[string]bool{}
	for _, s := range listed {
		known[aws.ToString(s.ShardId)] = true
	}
	waits := func(parent *string) bool {
		return position != types.ShardIteratorTypeLatest && parent != nil && known[*parent] && !t.finished[*parent]
	}
	var next []string
	for _, s := range listed {
		id := aws.ToString(s.ShardId)
		if !t.begun[id] && !waits(s.ParentShardId) && !waits(s.AdjacentParentShardId) {
			t.begun[id] = true
			next = append(next, id)
		}
	}
	return next
}

// list returns the shards of all pages.
func (r *Reader) list(ctx context.Context) (shards []types.Shard, err error) {
	input := &kinesis.ListShardsInput{StreamName: aws.String(r.Name)}
	for attempt := 1; ; {
		output, err := r.Stream.ListShards(ctx, input)
		if err != nil {
			if err := r.failed(ctx, Failure{Call: "list the shards of stream " + r.Name, Attempt: attempt,
				Err: err}); err != nil {
				return nil, err
			}
			attempt++
			continue
		}
		shards, attempt = append(shards, output.Shards...), 1
		if output.NextToken == nil {
			return shards, nil
		}
		input = &kinesis.ListShardsInput{NextToken: output.NextToken} // Kinesis takes one of the two
	}
}

// failed returns nil where the call is to be made again.
func (r *Reader) failed(ctx context.Context, failure Failure) error {
	var expired *types.ExpiredIteratorException
	final := awswait.Final(failure.Err) && !errors.As(failure.Err, &expired)
	if ctx.Err() == nil && !final && r.Retry(ctx, failure) && ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%s, attempt %d: %w", failure.Call, failure.Attempt, failure.Err)
}

// shard is one that is being read.
type shard struct {
	reader   *Reader
	id       string
	position types.ShardIteratorType
	handler  Handler

	iterator *string   // nil where one is to be taken
	taken    time.Time // when the first was asked for
	last     *string   // sequence number of the last record that was handled
}

// run ends when the shard is closed and all of its records are handled, or with the context.
func (s *shard) run(ctx context.Context, begun func()) error {
	err := s.read(ctx, begun)
	if ctx.Err() != nil {
		err = nil // the call that was under way failed for that
	}
	return errors.Join(err, s.handler.Close())
}

func (s *shard) read(ctx context.Context, begun func()) error {
	attempt, renewed := 1, false
	for ctx.Err() == nil {
		output, call, err := s.step(ctx, begun)
		if err != nil {
			var expired *types.ExpiredIteratorException
			if errors.As(err, &expired) {
				s.iterator = nil
				if !renewed {
					renewed = true
					continue
				}
			}
			if err := s.reader.failed(ctx, Failure{Call: call, Shard: s.id, Attempt: attempt, Err: err}); err != nil {
				return err
			}
			attempt++
			continue
		}
		attempt, renewed = 1, false
		if n := len(output.Records); n > 0 {
			if err := s.handler.Handle(output.Records); err != nil {
				return err
			}
			s.last = output.Records[n-1].SequenceNumber
		}
		if s.iterator = output.NextShardIterator; s.iterator == nil {
			return nil
		}
		if !more(output) {
			wait(ctx, s.reader.PollInterval)
		}
	}
	return nil
}

// more tells whether a read left something behind.
func more(output *kinesis.GetRecordsOutput) bool {
	n := len(output.Records)
	return n == ReadLimit || n > 0 && aws.ToInt64(output.MillisBehindLatest) > 0
}

// step reads once, with a new iterator where there is none; call says what failed.
func (s *shard) step(ctx context.Context, begun func()) (output *kinesis.GetRecordsOutput, call string, err error) {
	if s.iterator == nil {
		if err := s.takeIterator(ctx); err != nil {
			return nil, "begin to read shard " + s.id + " of stream " + s.reader.Name, err
		}
		begun()
	}
	output, err = s.reader.Stream.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: s.iterator,
		Limit: aws.Int32(ReadLimit)})
	return output, "read shard " + s.id + " of stream " + s.reader.Name, err
}

func (s *shard) takeIterator(ctx context.Context) error {
	input := &kinesis.GetShardIteratorInput{
		StreamName: aws.String(s.reader.Name), ShardId: aws.String(s.id), ShardIteratorType: s.position,
	}
	now := time.Now()
	switch {
	case s.last != nil:
		input.ShardIteratorType, input.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, s.last
	case s.position == types.ShardIteratorTypeLatest && !s.taken.IsZero():
		input.ShardIteratorType, input.Timestamp = types.ShardIteratorTypeAtTimestamp, aws.Time(s.taken)
	}
	output, err := s.reader.Stream.GetShardIterator(ctx, input)
	if err != nil {
		return err
	}
	if s.taken.IsZero() {
		s.taken = now
	}
	s.iterator = output.ShardIterator
	return nil
}

func wait(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
