package recommender_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/aggregation"
	"diecast/internal/aggregation/aggregationtest"
	"diecast/internal/metrics"
	"diecast/internal/recommendation"
	deliver "diecast/lambda/deliver/handler"
	transform "diecast/lambda/transform/handler"
)

const streamARN = "arn:aws:kinesis:us-east-1:123456789012:stream/activity"

// listener is a recommender that remembers the events that it was asked about.
type listener struct{ heard []activity.Event }

func (l *listener) Recommend(_ context.Context, events []activity.Event) ([]recommendation.Record, error) {
	l.heard = append(l.heard, events...)
	return nil, errors.New("enough")
}

// stored is a record of a stream.
type stored struct {
	sequence string
	arrival  time.Time
	data     []byte
}

// byFirehose is what a delivery stream hands to its processor: aggregates are split, their records
// numbered from 0.
func byFirehose(t *testing.T, records []stored) transform.Request {
	t.Helper()
	wire := []any{}
	for _, record := range records {
		payloads := [][]byte{record.data}
		if split, err := aggregation.Split(record.data); err == nil {
			payloads = nil
			for _, user := range split {
				payloads = append(payloads, user.Data)
			}
		}
		for i, payload := range payloads {
			wire = append(wire, map[string]any{
				"recordId": fmt.Sprintf("%s%06d", record.sequence, i), "data": payload,
				"kinesisRecordMetadata": map[string]any{
					"shardId": "shardId-000000000000", "partitionKey": "k", "sequenceNumber": record.sequence,
					"subsequenceNumber": i, "approximateArrivalTimestamp": record.arrival.UnixMilli(),
				},
			})
		}
	}
	return read[transform.Request](t, map[string]any{"invocationId": "i", "sourceKinesisStreamArn": streamARN,
		"records": wire})
}

// byMapping is what an event source mapping hands to its function: each record as it is.
func byMapping(t *testing.T, records []stored) deliver.Batch {
	t.Helper()
	wire := []any{}
	for _, record := range records {
		wire = append(wire, map[string]any{
			"eventID": "shardId-000000000000:" + record.sequence, "eventSourceARN": streamARN,
			"kinesis": map[string]any{
				"sequenceNumber": record.sequence, "data": record.data, "partitionKey": "k",
				"approximateArrivalTimestamp": float64(record.arrival.UnixMilli()) / 1000,
			},
		})
	}
	return read[deliver.Batch](t, map[string]any{"Records": wire})
}

func read[T any](t *testing.T, document any) (value T) {
	t.Helper()
	text, err := json.Marshal(document)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &value))
	return value
}

// Archive and delivery see the same events under the same identities and times, aggregated or not.
func TestBothConsumersAgreeOnEveryEvent(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		events, number := 0, 0
		payload := func() []byte {
			number++
			switch random.IntN(8) {
			case 0:
				return []byte("{")
			case 1:
				return aggregationtest.Aggregate("k", []byte("{}"))
			}
			events++
			return fmt.Appendf(nil, `{"session_id":"s-%d","customer_number":1,"city":"","country":"","credit_limit":0}`,
				number)
		}
		var records []stored
		for range 1 + random.IntN(6) {
			record := stored{
				sequence: fmt.Sprint(4959000 + len(records)),
				arrival:  time.UnixMilli(1772357400000 + random.Int64N(1e9)),
			}
			switch before := events; random.IntN(3) {
			case 0:
				var payloads [][]byte
				for range 1 + random.IntN(20) {
					payloads = append(payloads, payload())
				}
				record.data = aggregationtest.Aggregate("k", payloads...)
				if random.IntN(4) == 0 {
					record.data = record.data[:len(record.data)-1-random.IntN(len(record.data)/2)]
					events = before
				}
			default:
				if record.data = payload(); aggregation.Is(record.data) {
					record.data = record.data[:8] // whole, it would be split
				}
			}
			records = append(records, record)
		}

		logger, counts := slog.New(slog.DiscardHandler), metrics.Writer{Output: io.Discard}
		var archive, delivery listener
		_, err := transform.Handler{Recommender: &archive, Logger: logger, Metrics: counts}.
			Handle(t.Context(), byFirehose(t, records))
		require.Equal(t, events > 0, err != nil, "a batch with an event asks the recommender")
		_, err = deliver.Handler{Recommender: &delivery, Logger: logger, Metrics: counts}.
			Handle(t.Context(), byMapping(t, records))
		require.NoError(t, err)
		require.Len(t, archive.heard, events)
		require.Equal(t, archive.heard, delivery.heard)
		identities := map[string]bool{}
		for _, event := range archive.heard {
			identities[event.ID.String()] = true
		}
		assert.Len(t, identities, events, "no two events share an identity")
	}
}
