package activity_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
)

var arrived = time.Date(2026, 3, 1, 9, 30, 0, 250e6, time.UTC)

func decode(t *testing.T, extra string) activity.Event {
	event, err := activity.Decode([]byte(
		`{"session_id":"s","customer_number":1,"city":"","country":"","credit_limit":0` + extra + `}`))
	require.NoError(t, err)
	return event
}

func stream() activity.Origin {
	return activity.FromStream(
		activity.Place{Stream: "activity", Shard: "shardId-000000000000", SequenceNumber: "4959"},
		arrived,
	)
}

// version5 computes a UUIDv5 by the steps of RFC 9562, section 5.5.
func version5(name string) uuid.UUID {
	sum := sha1.Sum(append(activity.Namespace[:], name...))
	var id uuid.UUID
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x50, id[8]&0x3f|0x80
	return id
}

func TestIdentifyDerivesWhatTheShopDidNotSend(t *testing.T) {
	event := decode(t, "").Identify(stream())
	assert.Equal(t, version5("activity/shardId-000000000000/4959"), event.ID)
	assert.Equal(t, "cca9f462-4a93-547e-8422-ea418a2fe461", event.ID.String(), "the identity is for ever")
	assert.Equal(t, arrived, event.Time)
	again, err := activity.Decode(event.Encode())
	require.NoError(t, err)
	assert.Equal(t, event.ID, again.ID, "what is put back on the stream brings its identity along")
	assert.Equal(t, event.Time, again.Time)
	later := activity.FromStream(
		activity.Place{Stream: "activity", Shard: "shardId-000000000001", SequenceNumber: "1"},
		arrived.Add(time.Hour),
	)
	assert.Equal(t, event, again.Identify(later))
}

func TestEventsOfAnAggregateHaveIdentitiesOfTheirOwn(t *testing.T) {
	place := activity.Place{Stream: "activity", Shard: "shardId-000000000000", SequenceNumber: "4959"}
	first := decode(t, "").Identify(activity.FromStream(place, arrived))
	assert.Equal(t, version5("activity/shardId-000000000000/4959"), first.ID, "0 adds nothing")
	place.Subsequence = 12
	later := decode(t, "").Identify(activity.FromStream(place, arrived))
	assert.Equal(t, version5("activity/shardId-000000000000/4959.12"), later.ID)
	assert.Equal(t, arrived, later.Time, "they arrived together")
}

func TestIdentifyKeepsWhatTheShopSent(t *testing.T) {
	const extra = `,"event_id":"0B9CBE4A-6A53-4C0E-8A6F-7B0F5C1D2E3F","event_time":"2026-03-01T10:30:00.5+01:00"`
	event := decode(t, extra)
	identified := event.Identify(stream())
	assert.Equal(t, event, identified)
	assert.Contains(t, string(identified.Encode()), `"event_time":"2026-03-01T10:30:00.5+01:00"`)
	assert.Equal(t, "0b9cbe4a-6a53-4c0e-8a6f-7b0f5c1d2e3f", identified.ID.String())
}

func TestIdentifyDoesNotBelieveAClockTooFarAhead(t *testing.T) {
	for name, test := range map[string]struct {
		sent, want string
		reported   bool
	}{
		"long before arrival":        {"2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", false},
		"at arrival":                 {"2026-03-01T09:30:00.25Z", "2026-03-01T09:30:00.25Z", false},
		"5 minutes ahead":            {"2026-03-01T09:35:00.25Z", "2026-03-01T09:35:00.25Z", false},
		"a nanosecond more":          {"2026-03-01T09:35:00.250000001Z", "2026-03-01T09:30:00.25Z", true},
		"years ahead":                {"2091-03-01T09:30:00Z", "2026-03-01T09:30:00.25Z", true},
		"ahead only by the zone":     {"2026-03-01T15:00:00+05:30", "2026-03-01T09:30:00Z", false},
		"ahead in spite of the zone": {"2026-03-01T09:30:00-05:30", "2026-03-01T09:30:00.25Z", true},
	} {
		t.Run(name, func(t *testing.T) {
			event := decode(t, `,"event_time":"`+test.sent+`"`).Identify(stream())
			assert.Equal(t, test.want, event.Time.Format(time.RFC3339Nano))
			if test.reported {
				assert.Contains(t, string(event.Encode()), `"event_time_reported":"`+test.sent+`"`)
			} else {
				assert.NotContains(t, string(event.Encode()), "event_time_reported")
			}
			again, err := activity.Decode(event.Encode())
			require.NoError(t, err)
			assert.Equal(t, test.want, again.Time.Format(time.RFC3339Nano))
		})
	}
}

func TestIdentifyReplacesNull(t *testing.T) {
	event := decode(t, `,"event_id":null,"event_time":null`).Identify(stream())
	again, err := activity.Decode(event.Encode())
	require.NoError(t, err)
	assert.Equal(t, event, again)
}

func TestIdentifyLeavesItsEventAlone(t *testing.T) {
	event := decode(t, `,"event_time":"2091-03-01T09:30:00Z"`)
	before := string(event.Encode())
	event.Identify(stream())
	assert.Equal(t, before, string(event.Encode()))
}

func TestOriginCountsMilliseconds(t *testing.T) {
	// Kinesis event sources report seconds as a float, which can fall just short of the
	// millisecond.
	short := activity.FromStream(
		activity.Place{Stream: "activity", Shard: "shardId-000000000000", SequenceNumber: "4959"},
		arrived.Add(-93*time.Nanosecond),
	)
	assert.Equal(t, stream(), short)
}

func TestFromErrorOutput(t *testing.T) {
	payload := []byte(`{"a":1}`)
	sum := sha256.Sum256(payload)
	event := decode(t, "").Identify(activity.FromErrorOutput("activity", payload, arrived))
	assert.Equal(t, version5("activity/"+hex.EncodeToString(sum[:])+"/1772357400250"), event.ID)
	assert.Equal(t, arrived, event.Time)
	assert.NotEqual(t, event.ID, decode(t, "").Identify(activity.FromErrorOutput("activity", payload,
		arrived.Add(time.Millisecond))).ID)
	assert.NotEqual(t, event.ID, decode(t, "").Identify(activity.FromErrorOutput("other", payload, arrived)).ID)
}

// What is put back on a stream is larger than it was by its identity, and no larger event for that.
func TestTheLargestEventIsAcceptedAgainWithItsIdentity(t *testing.T) {
	for name, extra := range map[string]string{
		"none of its own": ``,
		"a bad clock":     `,"event_time":"2031-01-01T00:00:00.123456789+01:00"`,
		"an id":           `,"event_id":"0b9cbe4a-6a53-4c0e-8a6f-7b0f5c1d2e3f"`,
	} {
		const begin, end = `{"session_id":"s","customer_number":1,"city":"","country":"","credit_limit":0,"note":"`, `"`
		note := strings.Repeat("n", activity.MaxBytes-len(begin)-len(end)-len("}"))
		largest := begin + note + end + extra + "}"
		event, err := activity.Decode([]byte(largest))
		require.NoError(t, err, name)
		for range 3 { // however often
			event = event.Identify(stream())
			event, err = activity.Decode(event.Encode())
			require.NoError(t, err, name)
		}
		_, err = activity.Decode([]byte(strings.Replace(largest, "nn", "nnn", 1)))
		require.ErrorContains(t, err,
			"at most 65536 bytes, not counting event_id, event_time, event_time_reported", name)
	}
}
