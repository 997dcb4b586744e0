// Package demonstration sends a shop's activity through a deployed platform and accounts for every
// event: where it ended, how long that took, and what was recommended. It sees the platform as the
// shop does, by its stream, its table and its bucket, and does not know where that runs.
package demonstration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/archive"
	"diecast/internal/classicmodels"
	"diecast/internal/deployment"
	"diecast/internal/recommendation"
	"diecast/internal/wait"
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

// Options of a demonstration.
type Options struct {
	// Shop whose customers are active. Required.
	Shop *classicmodels.Shop
	// Events to send, 1 to MaxEvents.
	Events int
	// BrokenShare of them breaks the contract, 0 to 1.
	BrokenShare float64
	// PerSecond is the rate of sending. Default: as fast as it goes.
	PerSecond int
	// Patience is how long to wait for the last event after all were sent. Default 1 min.
	Patience time.Duration
}

// Report accounts for every event that was sent.
type Report struct {
	// Sent events, of which Broken break the contract.
	Sent, Broken int
	// Archived records in the bucket, each event counted once; Duplicates are the others.
	Archived, Duplicates int
	// Delivered events that the shop could read, or that a newer one of their session overtook.
	Delivered int
	// Degraded records were answered by the most popular products.
	Degraded int
	// Refused records in the error output.
	Refused int
	// RefusedFor are the refused by the error code that stands in the error output.
	RefusedFor map[string]int
	// Readable is how long each delivered event took from put to readable by the shop; Stored to
	// its object in the archive.
	Readable, Stored []time.Duration
	// Records are the archived ones in the order in which their events were sent.
	Records []recommendation.Record
	// Elapsed is the time from the first event to the last one accounted for.
	Elapsed time.Duration
}

// sent is a valid event on its way.
type sent struct {
	event            activity.Event
	at               time.Time
	readable, stored bool
}

type run struct {
	target  Target
	options Options

	mutex sync.Mutex
	// order of sending; byID and bySession find the same events.
	order     []*sent
	byID      map[uuid.UUID]*sent
	bySession map[string][]*sent
	archived  map[uuid.UUID]recommendation.Record
	seen      map[string]bool
	report    Report
}

// Run sends the events and waits until each is accounted for. The error of an incomplete run says
// what is missing; the report is valid even so.
func Run(ctx context.Context, target Target, options Options) (Report, error) {
	if options.Events < 1 || options.Events > MaxEvents {
		return Report{}, fmt.Errorf("events is %d: 1 to 100,000 are allowed", options.Events)
	}
	if options.Patience == 0 {
		options.Patience = time.Minute
	}
	r := &run{
		target: target, options: options, byID: map[uuid.UUID]*sent{}, bySession: map[string][]*sent{},
		archived: map[uuid.UUID]recommendation.Record{}, seen: map[string]bool{},
		report: Report{RefusedFor: map[string]int{}},
	}
	started := time.Now()
	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- r.watchTable(watching) }()
	err := r.send(ctx)
	if err == nil {
		err = r.wait(ctx)
	}
	stop()
	err = errors.Join(err, <-watched)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.report.Elapsed = time.Since(started)
	for _, s := range r.order {
		if record, ok := r.archived[s.event.ID]; ok {
			r.report.Records = append(r.report.Records, record)
			if record.Rung.Degraded() {
				r.report.Degraded++
			}
		}
	}
	return r.report, err
}

// batchSize is how many records one PutRecords takes here; Kinesis takes 500.
const batchSize = 50

func (r *run) send(ctx context.Context) error {
	events, err := r.options.Shop.Events(classicmodels.EventOptions{
		Seed: 1, Sessions: 40, BrokenShare: r.options.BrokenShare, Clock: time.Now,
	})
	if err != nil {
		return err
	}
	var batch []types.PutRecordsRequestEntry
	begun, count := time.Now(), 0
	for event := range events {
		batch = append(batch, types.PutRecordsRequestEntry{Data: event.Payload, PartitionKey: &event.SessionID})
		count++
		if err := r.expect(event); err != nil {
			return err
		}
		if len(batch) == batchSize || count == r.options.Events {
			if err := pace(ctx, begun, count, r.options.PerSecond); err != nil {
				return err
			}
			if err := r.put(ctx, batch); err != nil {
				return err
			}
			batch = nil
		}
		if count == r.options.Events {
			return nil
		}
	}
	return nil
}

// pace waits until so many events are due.
func pace(ctx context.Context, begun time.Time, count, perSecond int) error {
	if perSecond == 0 {
		return ctx.Err()
	}
	due := time.NewTimer(time.Until(begun.Add(time.Duration(count) * time.Second / time.Duration(perSecond))))
	defer due.Stop()
	select {
	case <-due.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// expect notes an event that is about to be sent.
func (r *run) expect(event classicmodels.Event) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.report.Sent++
	if event.Broken != "" {
		r.report.Broken++
		return nil
	}
	decoded, err := activity.Decode(event.Payload)
	if err != nil {
		return fmt.Errorf("the generator made a bad event: %w", err)
	}
	one := &sent{event: decoded, at: time.Now()}
	r.order = append(r.order, one)
	r.byID[decoded.ID] = one
	r.bySession[decoded.SessionID] = append(r.bySession[decoded.SessionID], one)
	return nil
}

// putRule bounds how often what Kinesis did not take is sent again.
var putRule = wait.Rule{For: time.Minute, Pause: 100 * time.Millisecond, Longest: 2 * time.Second}

// put sends a batch, and again what Kinesis did not take: a partial failure answers 200.
func (r *run) put(ctx context.Context, batch []types.PutRecordsRequestEntry) error {
	return putRule.Until(ctx, func(ctx context.Context) error {
		r.stamp(batch)
		answer, err := r.target.Kinesis.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &r.target.Stream,
			Records: batch})
		if err != nil {
			return wait.Permanent(err) // the client has tried again what may be
		}
		var refused error
		var again []types.PutRecordsRequestEntry
		for i, result := range answer.Records {
			if result.ErrorCode != nil {
				again = append(again, batch[i])
				refused = fmt.Errorf("%d of %d records were not taken by stream %s: %s: %s", len(again), len(batch),
					r.target.Stream, *result.ErrorCode, aws.ToString(result.ErrorMessage))
			}
		}
		batch = again
		return refused
	})
}

// stamp notes when the events of a batch were put.
func (r *run) stamp(batch []types.PutRecordsRequestEntry) {
	now := time.Now()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, entry := range batch {
		if event, err := activity.Decode(entry.Data); err == nil {
			if one, ok := r.byID[event.ID]; ok {
				one.at = now
			}
		}
	}
}

// lookAgain is the pause between two looks at the bucket.
const lookAgain = 200 * time.Millisecond

// wait looks until every event is accounted for or patience ends.
func (r *run) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Patience,
		fmt.Errorf("not all events are accounted for %s after the last was sent", r.options.Patience))
	defer cancel()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		if err := r.readBucket(ctx); err != nil && ctx.Err() == nil {
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

// missing says what is not accounted for; nil when all is.
func (r *run) missing() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	valid := r.report.Sent - r.report.Broken
	if r.report.Archived == valid && r.report.Delivered == valid && r.report.Refused == r.report.Broken {
		return nil
	}
	return fmt.Errorf("of %d valid events %d are archived and %d delivered; of %d broken ones %d are in the error "+
		"output",
		valid, r.report.Archived, r.report.Delivered, r.report.Broken, r.report.Refused)
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
