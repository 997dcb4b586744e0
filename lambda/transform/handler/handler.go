package handler

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"diecast/internal/activity"
	"diecast/internal/metrics"
	"diecast/internal/recommendation"
	"diecast/lambda/internal/recommender"
	"diecast/lambda/internal/tolerant"
)

// refusal is what the log says of a record that goes to the error output.
const refusal = "record refused"

// Recommender makes the records of events, in their order.
type Recommender interface {
	Recommend(context.Context, []activity.Event) ([]recommendation.Record, error)
}

// Handler answers the batches of a delivery stream.
type Handler struct {
	Recommender Recommender
	Logger      *slog.Logger
	Metrics     metrics.Writer
	// Versions remembers the models from one batch to the next. Default nil: they are not counted.
	Versions *recommender.Versions
}

// Invoke is Handle for Lambda's runtime. It makes the handler one of aws-lambda-go, which would
// else read and write batches by reflection.
func (h Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	request, err := DecodeRequest(payload)
	if err != nil {
		return nil, fmt.Errorf("the event is no batch of a delivery stream: %w", err)
	}
	response, err := h.Handle(ctx, request)
	if err != nil {
		return nil, err
	}
	return response.Encode(), nil
}

// Handle answers every record exactly once: Ok with one line of JSON, or ProcessingFailed with the
// original data where the record breaks the contract. A record without an id cannot be answered; it
// is left out, as is one for whose refusal there is no room, and Firehose puts it into the error
// output as well. It returns an error only when the recommender fails, because only then Firehose
// should try the batch again.
func (h Handler) Handle(ctx context.Context, request Request) (Response, error) {
	var results []result
	var events []activity.Event
	var accepted []int // position in results of each event
	refused := map[string]int{}
	nameless := 0
	for _, record := range request.Records {
		event, err := decode(request.StreamARN, record)
		if err != nil {
			recommender.LogRefusal(ctx, h.Logger, refusal, record.Read.RecordID, err)
			refused[recommender.Reason(err)]++
		}
		if record.Read.RecordID == "" {
			nameless++
			continue
		}
		if err == nil {
			events, accepted = append(events, event), append(accepted, len(results))
		}
		results = append(results, result{source: record.Read})
	}
	if len(events) > 0 {
		records, err := h.Recommender.Recommend(ctx, events)
		if err == nil && len(records) != len(events) {
			err = fmt.Errorf("they have %d records: none of them is believed", len(records))
		}
		if err != nil {
			return Response{}, fmt.Errorf("%d events of invocation %s: %w", len(events), request.InvocationID, err)
		}
		for i, record := range records {
			results[accepted[i]].hold(record)
		}
	}
	for _, id := range fit(results, maxResponse) {
		recommender.LogRefusal(ctx, h.Logger, refusal, id,
			fmt.Errorf("the answer to its batch would exceed %d bytes: lower the processor's buffer", maxResponse))
		refused[recommender.ReasonSize]++
	}
	response, answered := respond(results)
	counts := recommender.NewCounts()
	counts[metrics.EventsIn], counts[metrics.Failed] = len(results), len(results)-len(answered)
	for _, record := range answered {
		recommender.CountDelivered(counts, record)
	}
	h.Versions.Count(counts, answered)
	counts[metrics.EventsIn] += nameless
	counts[metrics.Failed] += nameless
	if err := errors.Join(h.Metrics.Write(counts), h.Metrics.WriteRefused(refused)); err != nil {
		h.Logger.ErrorContext(ctx, "counts are lost", slog.Any("error", err))
	}
	return response, nil
}

func decode(streamARN tolerant.Text, from tolerant.Value[RequestRecord]) (activity.Event, error) {
	record := from.Read
	if from.Err != nil {
		return activity.Event{}, from.Err
	}
	if record.RecordID == "" {
		return activity.Event{}, errors.New("it has no record id")
	}
	if err := record.Source.Subsequence.Err; err != nil {
		return activity.Event{}, fmt.Errorf("its subsequence number: %w", err)
	}
	data, err := base64.StdEncoding.DecodeString(record.Data)
	if err != nil {
		return activity.Event{}, errors.New("its data is not base64")
	}
	return recommender.Decode(data, recommender.Source{
		StreamARN: string(streamARN), ShardID: record.Source.ShardID, SequenceNumber: record.Source.SequenceNumber,
		Subsequence: uint64(record.Source.Subsequence.Read), Arrival: time.UnixMilli(record.Source.Arrival),
	})
}

// result of one record: Ok with a recommendation record, ProcessingFailed without.
type result struct {
	source RequestRecord
	record *recommendation.Record
	// line is the record, encoded: that is most of the work.
	line []byte
	// leftOut says that there is no room for the result.
	leftOut bool
}

func (r *result) hold(record recommendation.Record) { r.record, r.line = &record, record.Encode() }

func (r result) size() int {
	if r.leftOut {
		return 0
	}
	if r.record == nil {
		return size(r.source.RecordID, processingFailed, quoted(r.source.Data)-len(`""`))
	}
	return encodedSize(r.source.RecordID, len(r.line))
}

// fit makes the response smaller than most bytes. First the records share what is left for similar
// items, in their order. Where even that is too much, what breaks the contract makes room: the
// largest of it is left out. Then the last records are refused, and their ids returned; those too
// are left out where many small records have long ids, as Firehose never makes them.
func fit(results []result, most int) (refused []string) {
	total := envelope
	for _, result := range results {
		total += result.size()
	}
	if total <= most {
		return nil
	}
	least := envelope
	bare := make([]int, len(results))
	var broken []int
	for i, result := range results {
		bare[i] = result.size()
		if result.record != nil {
			bare[i] = encodedSize(result.source.RecordID, len(result.record.Fit(0).Encode()))
		} else {
			broken = append(broken, i)
		}
		least += bare[i]
	}
	leaveOut := func(i int) {
		least -= results[i].size()
		results[i].leftOut = true
	}
	slices.SortStableFunc(broken, func(a, b int) int { return cmp.Compare(bare[b], bare[a]) })
	for _, i := range broken {
		if least > most {
			leaveOut(i)
		}
	}
	for i := len(results) - 1; i >= 0 && least > most; i-- {
		if results[i].record != nil {
			results[i].record = nil
			least += results[i].size() - bare[i]
			refused = append(refused, results[i].source.RecordID)
		}
	}
	for i := len(results) - 1; i >= 0 && least > most; i-- {
		leaveOut(i)
	}
	spare := most - least
	for i, result := range results {
		if result.record == nil {
			continue
		}
		// Four characters carry three bytes.
		allowed := base64.StdEncoding.DecodedLen(bare[i]+spare-encodedSize(result.source.RecordID, 0)) / 3 * 3
		results[i].hold(result.record.Fit(allowed))
		spare -= results[i].size() - bare[i]
	}
	return refused
}

// respond is the answer, with the records in it that are Ok.
func respond(results []result) (Response, []recommendation.Record) {
	response := Response{Records: make([]ResponseRecord, 0, len(results))}
	var answered []recommendation.Record
	for _, result := range results {
		if result.record == nil {
			if !result.leftOut {
				response.Records = append(response.Records, ResponseRecord{RecordID: result.source.RecordID,
					Result: processingFailed, Original: result.source.Data})
			}
			continue
		}
		response.Records = append(response.Records, ResponseRecord{
			RecordID: result.source.RecordID, Result: ok, Line: result.line,
		})
		answered = append(answered, *result.record)
	}
	return response, answered
}
