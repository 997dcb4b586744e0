// Package producer puts events on a Kinesis stream when a profile of demand says that they are due,
// and accounts for each of them.
//
// The load is open-loop: events are due by the clock, whether or not the stream has taken earlier
// ones, as those of customers are who do not know of each other. What the stream does not take is
// put again after a pause, and holds up nobody else. The package knows neither what is in an event
// nor who makes it.
package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/semaphore"

	"diecast/internal/demand"
	"diecast/internal/quotas"
	"diecast/internal/wait/awswait"
)

// The limits of a request, and of what is under way.
const (
	// MaxBatch is how many records PutRecords takes, MaxBatchBytes how much of data and keys.
	// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
	MaxBatch      = 500
	MaxBatchBytes = 5 << 20
	// Linger is how long events that are due wait for others that go with them.
	Linger = 50 * time.Millisecond
	// requests under way at a time.
	requests = 16
	// outstanding events at a time are those under way and those that are put again: beyond, what
	// is due waits until some are taken or given up.
	outstanding = 50_000
	// requestWithin bounds one request; graceWithin those under way when a run is interrupted.
	requestWithin = 20 * time.Second
	graceWithin   = 3 * time.Second
)

// Retry is the pause before what was not taken is put again, which doubles up to Longest, and how
// long that goes on.
type Retry struct{ Pause, Longest, For time.Duration }

// DefaultRetry suits a shard that has more to take than it may in a second.
var DefaultRetry = Retry{Pause: 100 * time.Millisecond, Longest: 2 * time.Second, For: time.Minute}

// Event is what is put.
type Event struct {
	// Key is the partition key, 1 to 256 characters; Data is at most quotas.KinesisRecord.
	Key  string
	Data []byte
}

// Source gives one event after the other; due is when that one is. io.EOF ends the run.
type Source func(due time.Time) (Event, error)

// Stream is what producing needs of Kinesis; *kinesis.Client is one.
type Stream interface {
	PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
}

// Receipt is what the stream says of an event that it took.
type Receipt struct {
	// Number of the event among all, from 0.
	Number int
	Event  Event
	// Due is when the event was; Put is when the request was sent that the stream took it from,
	// Taken when the answer had come.
	Due, Put, Taken time.Time
	// Shard and SequenceNumber are its place in the stream.
	Shard, SequenceNumber string
}

// Options of a run. Stream, Name, Source and Profile are required.
type Options struct {
	Stream Stream
	// Name of the stream.
	Name    string
	Source  Source
	Profile demand.Profile
	// Events end the run before the profile does. Default 0: the profile ends it.
	Events int
	// Taken is told of the events of a request that the stream has taken, of one request after the
	// other. Default: nobody is.
	Taken func([]Receipt)
	// Progress is told the account after each answer. Default: nobody is.
	Progress func(Account)
	// Retry defaults to DefaultRetry.
	Retry Retry
}

// Account is where the events of a run are. Due is always the sum of Taken, GivenUp and Unsent, and
// of what is under way until the run has ended.
type Account struct {
	// Due events whose time had come. Taken by the stream, once each as far as it told.
	Due, Taken int
	// GivenUp were not taken for as long as Retry says, by the last reason.
	GivenUp map[string]int
	// Unsent were not taken when the run was interrupted.
	Unsent int
	// Refused counts how often the stream refused a record, by its reason: each was put again,
	// until it was given up.
	Refused map[string]int
	// Unanswered counts how often a record was put and no answer came: it was put again, and the
	// stream may hold it twice.
	Unanswered int
	// Requests that were answered; Bytes of the data that was taken.
	Requests int
	Bytes    int64
	// Late is the longest that an event waited to be sent for the first time, beyond Linger.
	Late time.Duration
	// Elapsed is the time from the beginning to the last answer.
	Elapsed time.Duration
	// Interrupted says that the context ended before the run did.
	Interrupted bool
}

// Lost is how many events were given up.
func (a Account) Lost() (lost int) {
	for _, events := range a.GivenUp {
		lost += events
	}
	return lost
}

// Check fails where an account of a run that has ended does not add up.
func (a Account) Check() error {
	if sum := a.Taken + a.Lost() + a.Unsent; sum != a.Due {
		return fmt.Errorf("%d events were due, and %d are accounted for: %d taken, %d given up, %d not sent", a.Due,
			sum, a.Taken, a.Lost(), a.Unsent)
	}
	return nil
}

// run is one at work.
type run struct {
	options Options
	begun   time.Time
	// slots are the requests that may still be sent, room the events that may still be under way.
	slots chan struct{}
	room  *semaphore.Weighted
	work  sync.WaitGroup
	// over ends the run for an error that no waiting mends.
	over context.CancelCauseFunc

	mutex   sync.Mutex
	account Account
	// told serialises Taken and Progress.
	told sync.Mutex
}

// one event on its way.
type one struct {
	number int
	event  Event
	due    time.Time
}

// size is what an event takes of a request.
func (o one) size() int { return len(o.event.Data) + len(o.event.Key) }

// Run puts events until the profile, the source or Options.Events end, and waits until each is
// taken or given up. When the context ends first, what came of the events by then is returned
// without an error, and marked as Interrupted. An error says what of the options is not allowed,
// why the source has no more, or what of the stream no waiting mends; the account is valid even so.
func Run(ctx context.Context, options Options) (Account, error) {
	if err := options.Profile.Check(); err != nil {
		return Account{}, err
	}
	if options.Retry == (Retry{}) {
		options.Retry = DefaultRetry
	}
	sending, over := context.WithCancelCause(ctx)
	defer over(nil)
	r := &run{options: options, begun: time.Now(), slots: make(chan struct{}, requests), over: over,
		room:    semaphore.NewWeighted(outstanding),
		account: Account{GivenUp: map[string]int{}, Refused: map[string]int{}}}
	err := r.send(sending)
	r.work.Wait()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.account.Interrupted = ctx.Err() != nil
	if cause := context.Cause(sending); cause != nil && ctx.Err() == nil {
		err = errors.Join(err, cause)
	}
	return r.account, err
}

// send gives the events away that are due, until there are no more.
func (r *run) send(ctx context.Context) error {
	var batch []one
	bytes := 0
	flush := func() {
		if len(batch) > 0 {
			r.dispatch(ctx, batch)
		}
		batch, bytes = nil, 0
	}
	defer flush()
	flushed := r.begun
	for number := 0; r.options.Events == 0 || number < r.options.Events; number++ {
		since := r.options.Profile.Due(number)
		if since >= r.options.Profile.Duration {
			return nil
		}
		due := r.begun.Add(since)
		if wait := time.Until(due); wait > 0 {
			flush()
			// Those that come within Linger go together.
			if !pass(ctx, max(wait, time.Until(flushed.Add(Linger)))) {
				return nil
			}
			flushed = time.Now()
		}
		if ctx.Err() != nil {
			return nil
		}
		event, err := r.options.Source(due)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = event.check()
		}
		if err != nil {
			return fmt.Errorf("event %d: %w", number+1, err)
		}
		r.count(func(a *Account) { a.Due++ })
		if err := r.room.Acquire(ctx, 1); err != nil {
			r.count(func(a *Account) { a.Unsent++ })
			return nil
		}
		next := one{number: number, event: event, due: due}
		if len(batch) == MaxBatch || bytes+next.size() > MaxBatchBytes {
			flush()
		}
		batch, bytes = append(batch, next), bytes+next.size()
		if len(batch) == MaxBatch {
			flush()
		}
	}
	return nil
}

// check says what Kinesis would refuse a whole request for.
func (e Event) check() error {
	if n := len([]rune(e.Key)); n < 1 || n > 256 {
		return fmt.Errorf("its partition key has %d characters: 1 to 256 are allowed", n)
	}
	if len(e.Data) > quotas.KinesisRecord {
		return fmt.Errorf("it has %d bytes: a stream takes %d", len(e.Data), quotas.KinesisRecord)
	}
	return nil
}

func (r *run) count(change func(*Account)) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	change(&r.account)
}

// dispatch puts a batch without waiting for it.
func (r *run) dispatch(ctx context.Context, batch []one) {
	r.work.Go(func() {
		begun, pause := time.Now(), r.options.Retry.Pause
		for first := true; ; first = false {
			left, reasons := r.put(ctx, batch, first)
			if len(left) == 0 {
				return
			}
			if ctx.Err() == nil && time.Since(begun) >= r.options.Retry.For {
				r.settle(len(left), func(a *Account) {
					for _, reason := range reasons {
						a.GivenUp[reason]++
					}
				})
				return
			}
			if ctx.Err() != nil || !pass(ctx, pause) {
				r.settle(len(left), func(a *Account) { a.Unsent += len(left) })
				return
			}
			batch, pause = left, min(2*pause, r.options.Retry.Longest)
		}
	})
}

// settle counts events that are not under way any more.
func (r *run) settle(events int, change func(*Account)) {
	r.room.Release(int64(events))
	r.count(change)
}

// put puts a batch once, and gives what the stream did not take, with the reason for each.
func (r *run) put(ctx context.Context, batch []one, first bool) (left []one, reasons []string) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return batch, slices.Repeat([]string{"interrupted"}, len(batch))
	}
	defer func() { <-r.slots }()
	// A request that is under way when the run is interrupted gets a moment for its answer: what
	// becomes of its events would not be known.
	request, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWithin)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(graceWithin, cancel) })()
	entries := make([]types.PutRecordsRequestEntry, len(batch))
	for n, o := range batch {
		entries[n] = types.PutRecordsRequestEntry{Data: o.event.Data, PartitionKey: aws.String(o.event.Key)}
	}
	sent := time.Now()
	answer, err := r.options.Stream.PutRecords(request, &kinesis.PutRecordsInput{StreamName: &r.options.Name,
		Records: entries}, func(options *kinesis.Options) { options.RetryMaxAttempts = 1 })
	now := time.Now()
	if err == nil && len(answer.Records) != len(batch) {
		err = fmt.Errorf("the stream answered for %d records of %d", len(answer.Records), len(batch))
	}
	var taken []Receipt
	r.count(func(a *Account) {
		if first {
			a.Late = max(a.Late, sent.Sub(batch[0].due)-Linger)
		}
		if err != nil {
			reason, refused := refusal(err)
			left, reasons = batch, slices.Repeat([]string{reason}, len(batch))
			if refused {
				a.Refused[reason] += len(batch)
			} else {
				a.Unanswered += len(batch)
			}
			return
		}
		a.Requests++
		a.Elapsed = now.Sub(r.begun)
		for n, result := range answer.Records {
			if result.ErrorCode != nil {
				left, reasons = append(left, batch[n]), append(reasons, *result.ErrorCode)
				a.Refused[*result.ErrorCode]++
				continue
			}
			a.Taken++
			a.Bytes += int64(len(batch[n].event.Data))
			taken = append(taken, Receipt{Number: batch[n].number, Event: batch[n].event, Due: batch[n].due, Put: sent,
				Taken: now, Shard: aws.ToString(result.ShardId), SequenceNumber: aws.ToString(result.SequenceNumber)})
		}
	})
	r.room.Release(int64(len(taken)))
	if err != nil && awswait.Final(err) {
		r.over(fmt.Errorf("stream %s: %w", r.options.Name, err))
	}
	r.tell(taken)
	return left, reasons
}

// tell says what an answer has changed.
func (r *run) tell(taken []Receipt) {
	r.told.Lock()
	defer r.told.Unlock()
	if r.options.Taken != nil && len(taken) > 0 {
		r.options.Taken(taken)
	}
	if r.options.Progress != nil {
		r.mutex.Lock()
		account := r.account
		account.GivenUp, account.Refused = maps.Clone(account.GivenUp), maps.Clone(account.Refused)
		r.mutex.Unlock()
		r.options.Progress(account)
	}
}

// refusal is why a whole request failed, in words by which equal failures count as one; refused
// says that the stream has taken nothing of it.
func refusal(err error) (reason string, refused bool) {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode(), answer.ErrorFault() == smithy.FaultClient
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time", false
	}
	return "no answer", false
}

// pass waits, and says whether the context has not ended.
func pass(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
