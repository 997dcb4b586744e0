package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"golang.org/x/sync/errgroup"

	"diecast/internal/activity"
	"diecast/internal/metrics"
	"diecast/internal/recommendation"
	"diecast/lambda/internal/function"
	"diecast/lambda/internal/recommender"
	"diecast/lambda/internal/tolerant"
)

const (
	// writers bounds the rows that are written at the same time.
	writers = 8
	// answerMargin is kept of the function's time to report what was not delivered: a time-out
	// reports nothing.
	answerMargin = time.Second
	// atOnce is how many events are worked on at the same time, and those of one more record: a
	// batch of aggregates may hold fifty thousand, for which the function has no memory.
	atOnce = 2000
)

// Recommender makes the records of events, in their order.
type Recommender interface {
	Recommend(context.Context, []activity.Event) ([]recommendation.Record, error)
}

// Handler delivers the batches of an event source mapping.
type Handler struct {
	Recommender Recommender
	Table       Table
	Logger      *slog.Logger
	Metrics     metrics.Writer
	// Versions remembers the models from one batch to the next. Default nil: they are not counted.
	Versions *recommender.Versions
	// Clock tells when a row is readable; default time.Now.
	Clock func() time.Time
}

// arrival is an accepted event, where its record lay in the batch, and when it arrived in the
// stream.
type arrival struct {
	event    activity.Event
	position int
	at       time.Time
}

// account is what became of a batch's events.
type account struct {
	counts metrics.Counts
	// refused by reason: of the dropped events.
	refused   map[string]int
	latencies []time.Duration
}

// Handle writes the latest record of every session in the batch. Aggregated records are split.
// Events that break the contract are counted and passed over, an aggregate that cannot be read as
// one: the archive's error output keeps them. When something else fails it reports the record of
// the first event that was not delivered, from which on the mapping tries again.
func (h Handler) Handle(ctx context.Context, batch Batch) (events.KinesisEventResponse, error) {
	ctx, cancel := function.Keep(ctx, answerMargin)
	defer cancel()
	told := &account{counts: recommender.NewCounts(), refused: map[string]int{}}
	told.counts[metrics.Dropped] = 0
	undelivered := len(batch.Records)
	var accepted []arrival
	for position, record := range batch.Records {
		accepted = h.decode(ctx, accepted, position, record, told)
		if len(accepted) >= atOnce || position == len(batch.Records)-1 {
			undelivered = min(undelivered, h.deliver(ctx, accepted, told))
			accepted = nil
		}
	}
	err := errors.Join(h.Metrics.Write(told.counts), h.Metrics.WriteRefused(told.refused),
		h.Metrics.WriteLatencies(told.latencies))
	if err != nil {
		h.Logger.ErrorContext(ctx, "counts are lost", slog.Any("error", err))
	}
	response := events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{}}
	if undelivered < len(batch.Records) {
		// The mapping goes back to the lowest one and tries everything after it again.
		response.BatchItemFailures = append(response.BatchItemFailures,
			events.KinesisBatchItemFailure{ItemIdentifier: batch.Records[undelivered].Read.Kinesis.SequenceNumber})
	}
	return response, nil
}

// decode appends the events of the record at a position.
func (h Handler) decode(
	ctx context.Context, accepted []arrival, position int, record tolerant.Value[Record], told *account,
) []arrival {
	drop := func(record string, err error) {
		recommender.LogRefusal(ctx, h.Logger, "event dropped", record, err)
		told.counts[metrics.EventsIn]++
		told.counts[metrics.Dropped]++
		told.refused[recommender.Reason(err)]++
	}
	id := record.Read.EventID
	if record.Err != nil {
		drop(id, record.Err)
		return accepted
	}
	payloads, sources, err := record.Read.userRecords()
	if err != nil {
		drop(id, recommender.BrokenAggregate(err))
		return accepted
	}
	for i, payload := range payloads {
		event, err := recommender.Decode(payload, sources[i])
		if err != nil {
			drop(fmt.Sprintf("%s.%d", id, i), err)
			continue
		}
		told.counts[metrics.EventsIn]++
		accepted = append(accepted, arrival{event, position, sources[i].Arrival})
	}
	return accepted
}

// deliver returns the position of the first event that was not delivered; past the end of the batch
// when all were.
func (h Handler) deliver(ctx context.Context, accepted []arrival, told *account) int {
	const none = int(^uint(0) >> 1)
	if len(accepted) == 0 {
		return none
	}
	events := make([]activity.Event, len(accepted))
	for i, arrival := range accepted {
		events[i] = arrival.event
	}
	records, err := h.Recommender.Recommend(ctx, events)
	if err == nil && len(records) != len(events) {
		err = fmt.Errorf("%d events have %d records: none of them is believed", len(events), len(records))
	}
	if err != nil {
		h.Logger.ErrorContext(ctx, "batch not delivered", slog.Int("events", len(events)), slog.Any("error", err))
		told.counts[metrics.Failed] += len(accepted)
		return accepted[0].position
	}

	h.Versions.Count(told.counts, records)
	now := h.Clock
	if now == nil {
		now = time.Now
	}
	rows := latest(records)
	errs, readable := make([]error, len(rows)), make([]time.Time, len(rows))
	var group errgroup.Group
	group.SetLimit(writers)
	for i, row := range rows {
		group.Go(func() error {
			errs[i] = h.Table.Put(ctx, row.record)
			readable[i] = now()
			return nil // the other sessions are delivered all the same
		})
	}
	_ = group.Wait() // always nil, see above

	undelivered := none
	for i, row := range rows {
		if errs[i] != nil {
			h.Logger.ErrorContext(ctx, "session not delivered", slog.Int("events", len(row.members)),
				slog.Any("error", errs[i]))
			told.counts[metrics.Failed] += len(row.members)
			undelivered = min(undelivered, accepted[row.members[0]].position)
			continue
		}
		for _, member := range row.members {
			recommender.CountDelivered(told.counts, records[member])
			told.latencies = append(told.latencies, readable[i].Sub(accepted[member].at))
		}
	}
	return undelivered
}

// sessionRow is what a session's row shall hold, and which records it stands for.
type sessionRow struct {
	record  recommendation.Record
	members []int
}

// latest folds the records of each session into the one that supersedes the others: the rest would
// be overwritten at once.
func latest(records []recommendation.Record) []sessionRow {
	var rows []sessionRow
	position := map[string]int{}
	for i, record := range records {
		at, seen := position[record.Event.SessionID]
		if !seen {
			position[record.Event.SessionID] = len(rows)
			rows = append(rows, sessionRow{record: record, members: []int{i}})
			continue
		}
		rows[at].members = append(rows[at].members, i)
		if record.Supersedes(rows[at].record) {
			rows[at].record = record
		}
	}
	return rows
}
