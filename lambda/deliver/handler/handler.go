package handler

import (
	"context"
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
}

// arrival is an accepted event and where its record lay in the batch.
type arrival struct {
	event    activity.Event
	position int
}

// Handle writes the latest record of every session in the batch. Aggregated records are split.
// Events that break the contract are counted and passed over, an aggregate that cannot be read as
// one: the archive's error output keeps them. When something else fails it reports the record of
// the first event that was not delivered, from which on the mapping tries again.
func (h Handler) Handle(ctx context.Context, batch Batch) (events.KinesisEventResponse, error) {
	ctx, cancel := function.Keep(ctx, answerMargin)
	defer cancel()
	counts := metrics.Counts{
		metrics.EventsIn: 0, metrics.Dropped: 0, metrics.Delivered: 0, metrics.Failed: 0, metrics.Degraded: 0,
	}
	undelivered := len(batch.Records)
	var accepted []arrival
	for position, record := range batch.Records {
		accepted = h.decode(ctx, accepted, position, record, counts)
		if len(accepted) >= atOnce || position == len(batch.Records)-1 {
			undelivered = min(undelivered, h.deliver(ctx, accepted, counts))
			accepted = nil
		}
	}
	if err := h.Metrics.Write(counts); err != nil {
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
	ctx context.Context, accepted []arrival, position int, record tolerant.Value[Record], counts metrics.Counts,
) []arrival {
	drop := func(record string, err error) {
		recommender.LogRefusal(ctx, h.Logger, "event dropped", record, err)
		counts[metrics.EventsIn]++
		counts[metrics.Dropped]++
	}
	id := record.Read.EventID
	if record.Err != nil {
		drop(id, record.Err)
		return accepted
	}
	payloads, sources, err := record.Read.userRecords()
	if err != nil {
		drop(id, fmt.Errorf("it is an aggregate that cannot be read, and refused whole: %w", err))
		return accepted
	}
	for i, payload := range payloads {
		event, err := recommender.Decode(payload, sources[i])
		if err != nil {
			drop(fmt.Sprintf("%s.%d", id, i), err)
			continue
		}
		counts[metrics.EventsIn]++
		accepted = append(accepted, arrival{event, position})
	}
	return accepted
}

// deliver returns the position of the first event that was not delivered; past the end of the batch
// when all were.
func (h Handler) deliver(ctx context.Context, accepted []arrival, counts metrics.Counts) int {
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
		counts[metrics.Failed] += len(accepted)
		return accepted[0].position
	}

	rows := latest(records)
	errs := make([]error, len(rows))
	var group errgroup.Group
	group.SetLimit(writers)
	for i, row := range rows {
		group.Go(func() error {
			errs[i] = h.Table.Put(ctx, row.record)
			return nil // the other sessions are delivered all the same
		})
	}
	_ = group.Wait() // always nil, see above

	undelivered := none
	for i, row := range rows {
		if errs[i] != nil {
			h.Logger.ErrorContext(ctx, "session not delivered", slog.Int("events", len(row.members)),
				slog.Any("error", errs[i]))
			counts[metrics.Failed] += len(row.members)
			undelivered = min(undelivered, accepted[row.members[0]].position)
			continue
		}
		for _, member := range row.members {
			counts[metrics.Delivered]++
			if records[member].Rung.Degraded() {
				counts[metrics.Degraded]++
			}
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
