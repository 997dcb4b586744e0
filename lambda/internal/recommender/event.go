package recommender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"diecast/internal/activity"
	"diecast/internal/aggregation"
)

// Source says where an event lay in a Kinesis stream, from which it gets the identity and the time
// that it does not bring.
type Source struct {
	// StreamARN is the stream's, or that of a consumer of it with enhanced fan-out.
	StreamARN, ShardID, SequenceNumber string
	// Subsequence is the event's number within an aggregated record, 0 where there is none.
	Subsequence uint64
	Arrival     time.Time
}

// Decode reads an event and identifies it. The error is an *activity.Error where the event breaks
// the contract.
func Decode(data []byte, source Source) (activity.Event, error) {
	_, stream, _ := strings.Cut(source.StreamARN, ":stream/")
	stream, _, _ = strings.Cut(stream, "/consumer/")
	if stream == "" || source.ShardID == "" || source.SequenceNumber == "" {
		return activity.Event{},
			fmt.Errorf("it has no place in a stream, from which an event gets its identity: stream %q, shard %q, "+
				"sequence number %q",
				source.StreamARN, source.ShardID, source.SequenceNumber)
	}
	if year := source.Arrival.UTC().Year(); year < 2000 || year > 2099 {
		return activity.Event{}, fmt.Errorf("its arrival, %s, lies outside the years 2000 to 2099",
			source.Arrival.UTC().Format(time.RFC3339))
	}
	if aggregation.Is(data) {
		return activity.Event{}, errAggregate
	}
	event, err := activity.Decode(data)
	if err != nil {
		return activity.Event{}, err
	}
	return event.Identify(activity.FromStream(activity.Place{
		Stream: stream, Shard: source.ShardID, SequenceNumber: source.SequenceNumber, Subsequence: source.Subsequence,
	}, source.Arrival)), nil
}

// errAggregate says what an event is that begins as an aggregate does: both consumers' records are
// split before they are decoded, so it is one that could not be.
var errAggregate = errors.New("it is an aggregate of the Kinesis Producer Library that is broken or lies within " +
	"another one: the whole of it is refused")

// BrokenAggregate is the error of an aggregate that cannot be read.
func BrokenAggregate(err error) error { return fmt.Errorf("%w: %w", errAggregate, err) }

// LogRefusal writes which rules an event breaks, without its values, which are a customer's.
func LogRefusal(ctx context.Context, logger *slog.Logger, message, record string, err error) {
	reasons := []string{err.Error()}
	var violations *activity.Error
	if errors.As(err, &violations) {
		reasons = reasons[:0]
		for _, violation := range violations.Violations {
			field := violation.Field
			if topField(field) == ReasonDocument { // its name would be the shop's
				field = ReasonDocument
			}
			reasons = append(reasons, field+": want "+violation.Allowed)
		}
	}
	logger.WarnContext(ctx, message, slog.String("record_id", record), slog.Any("reasons", reasons))
}
