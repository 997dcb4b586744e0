package recommender

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
)

func source(change func(*Source)) Source {
	source := Source{StreamARN: "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/activity", ShardID: "shardId-0",
		SequenceNumber: "7", Arrival: at}
	change(&source)
	return source
}

const accepted = `{"session_id":"s","customer_number":1,"city":"Nantes","country":"France","credit_limit":1}`

func TestDecodeIdentifiesByThePlaceInTheStream(t *testing.T) {
	event, err := Decode([]byte(accepted), source(func(*Source) {}))
	require.NoError(t, err)
	bare, err := activity.Decode([]byte(accepted))
	require.NoError(t, err)
	assert.Equal(t, bare.Identify(activity.FromStream(
		activity.Place{Stream: "activity", Shard: "shardId-0", SequenceNumber: "7"},
		at,
	)), event)
}

// Both consumers of a stream give an event one identity, also where one of them is told the ARN of
// its enhanced fan-out.
func TestDecodeIdentifiesByTheStreamOfAConsumer(t *testing.T) {
	plain, err := Decode([]byte(accepted), source(func(*Source) {}))
	require.NoError(t, err)
	pushed, err := Decode([]byte(accepted), source(func(s *Source) { s.StreamARN += "/consumer/deliver:1764370800" }))
	require.NoError(t, err)
	assert.Equal(t, plain, pushed)
}

func TestDecodeRefusesWhatHasNoPlaceOrTime(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*Source)
		message string
	}{
		"no stream":          {func(s *Source) { s.StreamARN = "" }, "no place in a stream"},
		"no ARN of a stream": {func(s *Source) { s.StreamARN = "activity" }, "no place in a stream"},
		"no stream's name":   {func(s *Source) { s.StreamARN = "arn:aws:kinesis:r:1:stream/" }, "no place in a stream"},
		"no shard":           {func(s *Source) { s.ShardID = "" }, "no place in a stream"},
		"no sequence number": {func(s *Source) { s.SequenceNumber = "" }, "no place in a stream"},
		"no arrival":         {func(s *Source) { s.Arrival = time.UnixMilli(0) }, "outside the years"},
		"a distant arrival":  {func(s *Source) { s.Arrival = at.AddDate(100, 0, 0) }, "outside the years"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(accepted), source(test.change))
			require.ErrorContains(t, err, test.message)
		})
	}
}

func TestDecodeTakesArrivalsOfThisCentury(t *testing.T) {
	for _, arrival := range []time.Time{
		time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		_, err := Decode([]byte(accepted), source(func(s *Source) { s.Arrival = arrival }))
		require.NoError(t, err)
	}
}

func TestLogsDoNotRepeatValues(t *testing.T) {
	_, err := Decode([]byte(`{"session_id":"","customer_number":"Jean King","city":5}`), source(func(*Source) {}))
	require.Error(t, err)
	var logs bytes.Buffer
	LogRefusal(t.Context(), slog.New(slog.NewJSONHandler(&logs, nil)), "event dropped", "shardId-0:7", err)
	assert.NotContains(t, logs.String(), "Jean King")
	assert.Contains(t, logs.String(), `"record_id":"shardId-0:7","reasons":["session_id: want`)
	assert.Contains(t, logs.String(), `"customer_number: want a whole number`)
}
