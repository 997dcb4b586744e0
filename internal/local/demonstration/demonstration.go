// Package demonstration sends a shop's activity through a deployed platform and accounts for every
// event: where it ended, how long that took, and what was recommended. It sees the platform as the
// shop does, by its stream, its table and its bucket, and does not know where that runs.
package demonstration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/archive"
	"diecast/internal/classicmodels"
	"diecast/internal/demand"
	"diecast/internal/deployment"
	"diecast/internal/producer"
	"diecast/internal/producer/source"
	"diecast/internal/recommendation"
)

// Target is the platform that the events go to.
type Target struct {
	Kinesis  *kinesis.Client
	DynamoDB *dynamodb.Client
	S3       *s3.Client
	// Stream, Table and Bucket are physical names.
	Stream, Table, Bucket string
	// ArchivePrefix and ErrorPrefix begin the keys of archived and of refused records.
	ArchivePrefix, ErrorPrefix string
}

// TargetOf is a deployment's stream, table and bucket, and clients that reach them.
func TargetOf(ctx context.Context, deployed *deployment.Deployment) (Target, error) {
	names, err := deployed.Streaming()
	streams, streamsErr := deployed.Kinesis(ctx)
	tables, tablesErr := deployed.DynamoDB(ctx)
	buckets, bucketsErr := deployed.S3(ctx)
	if err := errors.Join(err, streamsErr, tablesErr, bucketsErr); err != nil {
		return Target{}, err
	}
	return Target{
		Kinesis: streams, DynamoDB: tables, S3: buckets,
		Stream: names.Stream, Table: names.Table, Bucket: names.Bucket,
		ArchivePrefix: archive.Recommendations, ErrorPrefix: archive.Errors,
	}, nil
}

// MaxEvents of a demonstration: it remembers each of them.
const MaxEvents = 100_000

const (
	// keptRecords of the archive are in the report, those of the first events.
	keptRecords = 1000
	// sampled events a second are looked for in the table until they are there.
	sampled = 40
	// lastLook is how long an interrupted demonstration may take to see what is there.
	lastLook = 4 * time.Second
)

// asFastAsItGoes is the rate where nobody asks for another.
const asFastAsItGoes = 1000

// Options of a demonstration.
type Options struct {
	// Shop whose customers are active. Required.
	Shop *classicmodels.Shop
	// Activity of the customers: seed, sessions, share of broken events. Its Clock is the
	// demonstration's. Default: seed 1, 40 sessions.
	Activity classicmodels.EventOptions
	// Events to send, 1 to MaxEvents.
	Events int
	// Profile by which they are due; its duration follows from Events. Default: 1,000 a second.
	Profile demand.Profile
	// Patience is how long to wait for the last event after all were sent. Default 1 min.
	Patience time.Duration
	// Change may change an event before it is put, such as its session. Default: none does.
	Change func(number int, event producer.Event) producer.Event
	// Taken is told of what the stream has taken, as producer.Options says. Default: nobody is.
	Taken func([]producer.Receipt)
	// Progress is told how many events the stream has taken. Default: nobody is.
	Progress func(taken int)
}

// Report accounts for every event that was sent.
type Report struct {
	// Sent events are those that the stream took, of which Broken break the contract.
	Sent, Broken int
	// Archived records in the bucket, each event counted once; Duplicates are the others.
	Archived, Duplicates int
	// Delivered events that the shop could read, or that a newer one of their session overtook.
	Delivered int
	// Degraded records were answered by the most popular products; Rungs counts all by who did.
	Degraded int
	Rungs    map[recommendation.Rung]int
	// Refused records in the error output.
	Refused int
	// RefusedFor are the refused by the error code that stands in the error output.
	RefusedFor map[string]int
	// Put is how long the stream took to take each event from when it was due; Readable how long
	// each that was sampled took from then until the shop could read it. Unread are those of the
	// sample that it never could.
	Put, Readable []time.Duration
	Unread        int
	// ByShard are Readable by the shard of the stream; ShardOf is that of each session's last
	// event.
	ByShard map[string][]time.Duration
	ShardOf map[string]string
	// Stored is how long each archived event took from when it was due to its object's own time,
	// rounded up: S3 tells a time to the second.
	Stored []time.Duration
	// Flow is what happened in each second of the sending.
	Flow []Second
	// Records are the archived ones of the first events, in the order in which these were sent.
	Records []recommendation.Record
	// Producer is where the events were left that the stream did not take.
	Producer producer.Account
	// Unfinished is why not all events are accounted for: what is told is what was there by then.
	Unfinished error
	// Elapsed is the time from the first event to the last one accounted for.
	Elapsed time.Duration
}

// Second of a demonstration.
type Second struct {
	// In is how many events were due in it.
	In int
	// Lag is how long, at its end, the oldest event was due that the shop could not read; P99 is
	// that percentile of the times which its own events took. Both are of the sample.
	Lag, P99 time.Duration
}

// sent is an event on its way.
type sent struct {
	event                   activity.Event // the zero event where it is broken
	due                     time.Time
	sample                  bool
	taken, readable, stored bool
	// readAt is when one of the sample was first read.
	readAt time.Time
	shard  string
}

func (s *sent) broken() bool { return s.event.SessionID == "" }

type run struct {
	target  Target
	options Options
	begun   time.Time

	mutex sync.Mutex
	// order of the events; byID and bySession find the valid ones.
	order     []*sent
	byID      map[uuid.UUID]*sent
	bySession map[string][]*sent
	// awaited are those of the sample that were not read yet, the oldest first.
	awaited  []*sent
	archived map[uuid.UUID]recommendation.Record
	seen     map[string]bool
	report   Report
}

// Run sends the events and waits until each is accounted for. The error of an incomplete run says
// what is missing; the report is valid even so, and says that the run is unfinished.
func Run(ctx context.Context, target Target, options Options) (Report, error) {
	if options.Events < 1 || options.Events > MaxEvents {
		return Report{}, fmt.Errorf("events is %d: 1 to 100,000 are allowed", options.Events)
	}
	if options.Patience == 0 {
		options.Patience = time.Minute
	}
	if options.Profile == (demand.Profile{}) {
		options.Profile = demand.Steady(asFastAsItGoes, time.Second)
	}
	options.Profile = options.Profile.Lasting(options.Events)
	r := &run{
		target: target, options: options, begun: time.Now(), byID: map[uuid.UUID]*sent{},
		bySession: map[string][]*sent{}, archived: map[uuid.UUID]recommendation.Record{}, seen: map[string]bool{},
		report: Report{
			RefusedFor: map[string]int{}, Rungs: map[recommendation.Rung]int{},
			ByShard: map[string][]time.Duration{}, ShardOf: map[string]string{},
		},
	}
	sampling, stop := context.WithCancel(ctx)
	sampledAll := make(chan error, 1)
	go func() { sampledAll <- r.sample(sampling) }()
	err := r.send(ctx)
	if err == nil && ctx.Err() == nil {
		err = r.wait(ctx)
	}
	stop()
	err = errors.Join(err, <-sampledAll)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		look, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
		_ = r.look(look) // what cannot be seen is not counted, and the report says that it is unfinished
		cancel()
	}
	return r.close(err), err
}

// close makes the report.
func (r *run) close(failure error) Report {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.report.Elapsed = time.Since(r.begun)
	if failure != nil {
		r.report.Unfinished = failure
		if errors.Is(failure, context.Canceled) {
			r.report.Unfinished = errors.New("it was interrupted")
		}
	}
	for _, s := range r.order {
		if record, ok := r.archived[s.event.ID]; ok && !s.broken() {
			r.report.Records = append(r.report.Records, record)
		}
		if s.sample && s.taken && !s.broken() {
			if s.readAt.IsZero() {
				r.report.Unread++
			} else {
				took := s.readAt.Sub(s.due)
				r.report.Readable = append(r.report.Readable, took)
				r.report.ByShard[s.shard] = append(r.report.ByShard[s.shard], took)
			}
		}
	}
	r.report.Flow = flow(r.order, r.begun, time.Now())
	return r.report
}

// send puts the shop's events when they are due.
func (r *run) send(ctx context.Context) error {
	wanted := r.options.Activity
	wanted.Seed, wanted.Sessions = cmp.Or(wanted.Seed, 1), cmp.Or(wanted.Sessions, 40)
	events, stop, err := source.Generated(r.options.Shop, wanted, nil)
	if err != nil {
		return err
	}
	defer stop()
	number := 0
	account, err := producer.Run(ctx, producer.Options{
		Stream: r.target.Kinesis, Name: r.target.Stream, Profile: r.options.Profile, Events: r.options.Events,
		Source: func(at time.Time) (producer.Event, error) {
			event, err := events(at)
			if err != nil {
				return event, err
			}
			if r.options.Change != nil {
				event = r.options.Change(number, event)
			}
			number++
			r.expect(event, at)
			return event, nil
		},
		Taken: r.took,
	})
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.report.Producer = account
	if lost := account.Lost(); err == nil && lost > 0 {
		err = fmt.Errorf("stream %s did not take %d of %d events: %v", r.target.Stream, lost, account.Due,
			account.GivenUp)
	}
	return err
}

// expect notes an event that is about to be put.
func (r *run) expect(event producer.Event, due time.Time) {
	one := &sent{due: due}
	decoded, err := activity.Decode(event.Data)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.order = append(r.order, one)
	if err != nil { // it is one of those that break the contract
		return
	}
	one.event = decoded
	r.byID[decoded.ID] = one
	r.bySession[decoded.SessionID] = append(r.bySession[decoded.SessionID], one)
	share := sampled * r.options.Profile.Duration.Seconds() / float64(r.options.Events)
	one.sample = rand.Float64() < share
}

// took notes what the stream has taken.
func (r *run) took(receipts []producer.Receipt) {
	r.mutex.Lock()
	for _, receipt := range receipts {
		one := r.order[receipt.Number]
		r.take(one)
		one.shard = receipt.Shard
		r.report.ShardOf[receipt.Event.Key] = receipt.Shard
		r.report.Put = append(r.report.Put, receipt.Taken.Sub(receipt.Due))
		if one.sample {
			r.awaited = append(r.awaited, one)
		}
	}
	count := r.report.Sent
	r.mutex.Unlock()
	if r.options.Taken != nil {
		r.options.Taken(receipts)
	}
	if r.options.Progress != nil {
		r.options.Progress(count)
	}
}

// take counts an event that the stream has taken, also where nobody heard of that.
func (r *run) take(one *sent) {
	if one.taken {
		return
	}
	one.taken = true
	r.report.Sent++
	if one.broken() {
		r.report.Broken++
	}
}

// lookAgain is the pause between two looks at what is left once all was sent.
const lookAgain = 200 * time.Millisecond

// wait looks until every event is accounted for or patience ends.
func (r *run) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Patience,
		fmt.Errorf("not all events are accounted for %s after the last was sent", r.options.Patience))
	defer cancel()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		missing := r.missing()
		if missing == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), missing)
		}
	}
}

// look counts what is there.
func (r *run) look(ctx context.Context) error {
	return errors.Join(r.readRows(ctx), r.readBucket(ctx))
}

// missing says what is not accounted for; nil when all is.
func (r *run) missing() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	valid := r.report.Sent - r.report.Broken
	if r.report.Archived == valid && r.report.Delivered == valid && r.report.Refused >= r.report.Broken &&
		len(r.awaited) == 0 {
		return nil
	}
	return fmt.Errorf("of %d valid events %d are archived and %d delivered; of %d broken ones %d are in the error "+
		"output",
		valid, r.report.Archived, r.report.Delivered, r.report.Broken, r.report.Refused)
}

// flow is what happened by second; what was not read by now, or not even taken, lags until now.
func flow(order []*sent, begun, now time.Time) []Second {
	var seconds []Second
	var took [][]time.Duration
	for _, one := range order {
		n := int(one.due.Sub(begun) / time.Second)
		for len(seconds) <= n {
			seconds, took = append(seconds, Second{}), append(took, nil)
		}
		seconds[n].In++
		if !one.sample {
			continue
		}
		readAt := one.readAt
		if readAt.IsZero() {
			readAt = now
		}
		took[n] = append(took[n], readAt.Sub(one.due))
	}
	for _, one := range order {
		if !one.sample {
			continue
		}
		// It lags at the end of each second that ends before it was read.
		for n := int(one.due.Sub(begun) / time.Second); n < len(seconds); n++ {
			end := begun.Add(time.Duration(n+1) * time.Second)
			if !one.readAt.IsZero() && !one.readAt.After(end) {
				break
			}
			seconds[n].Lag = max(seconds[n].Lag, end.Sub(one.due))
		}
	}
	for n := range seconds {
		seconds[n].P99 = Percentile(took[n], 99)
	}
	return seconds
}

// Percentile of durations, by nearest rank; 0 where there are none.
func Percentile(durations []time.Duration, percent int) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	rank := (len(sorted)*percent + 99) / 100
	return sorted[max(rank, 1)-1]
}
