package row

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/recommendation"
)

var at = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

func example(t *testing.T) recommendation.Record {
	t.Helper()
	event, err := activity.Decode([]byte(`{"session_id":"a","customer_number":4,"city":"Nantes","country":"France",` +
		`"credit_limit":21000}`))
	require.NoError(t, err)
	return recommendation.Record{
		// In another zone, so that the row's UTC is not the event's own spelling.
		Event: event.Identify(activity.FromStream(
			activity.Place{Stream: "activity", Shard: "shard", SequenceNumber: "1"},
			at.In(time.FixedZone("east", 3600)),
		)),
		Items: []recommendation.Item{{ID: "S10_1678", Score: 0.5}}, ModelVersion: "0123456789ab",
		Rung:          recommendation.Popular,
		RecommendedAt: at,
	}
}

func TestItemHoldsTheRecordAndWhatItIsFoundBy(t *testing.T) {
	record := example(t)
	item := Item(record, time.Hour)
	line := record.Encode()
	assert.Equal(t, map[string]types.AttributeValue{
		"session_id":      &types.AttributeValueMemberS{Value: "a"},
		"customer_number": &types.AttributeValueMemberN{Value: "4"},
		"event_time":      &types.AttributeValueMemberS{Value: "2026-03-01T09:30:00.000000000Z"},
		"event_id":        &types.AttributeValueMemberS{Value: record.Event.ID.String()},
		"record":          &types.AttributeValueMemberS{Value: string(line[:len(line)-1])},
		"model_version":   &types.AttributeValueMemberS{Value: "0123456789ab"},
		"rung":            &types.AttributeValueMemberS{Value: "popular"},
		"degraded":        &types.AttributeValueMemberBOOL{Value: true},
		"expires_at":      &types.AttributeValueMemberN{Value: "1772361000"},
	}, item)
	assert.Equal(t, "customer_number-event_time", CustomerIndex)
}

func TestItemIsReadBack(t *testing.T) {
	record := example(t)
	item := Item(record, time.Hour)
	read, err := ReadRecord(item)
	require.NoError(t, err)
	differences, err := recommendation.Differences(record, read)
	require.NoError(t, err)
	assert.Empty(t, differences)
	session, upTo, err := ReadPosition(item)
	require.NoError(t, err)
	assert.Equal(t, "a", session)
	assert.True(t, upTo.Equal(at))
}

func TestRowsOfAnotherFormAreRefused(t *testing.T) {
	text := func(value string) types.AttributeValue { return &types.AttributeValueMemberS{Value: value} }
	for name, test := range map[string]struct {
		item    map[string]types.AttributeValue
		message string
	}{
		"no session": {map[string]types.AttributeValue{"event_time": text("2026-03-01T09:30:00.000000000Z")},
			"without the text session_id"},
		"no time": {map[string]types.AttributeValue{"session_id": text("a")}, "without the text event_time"},
		"a number for a time": {map[string]types.AttributeValue{
			"session_id": text("a"), "event_time": &types.AttributeValueMemberN{Value: "1"},
		}, "without the text event_time"},
		"a time of another form": {map[string]types.AttributeValue{"session_id": text("a"),
			"event_time": text("yesterday")}, "event_time: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := ReadPosition(test.item)
			require.ErrorContains(t, err, test.message)
		})
	}
	_, err := ReadRecord(map[string]types.AttributeValue{})
	require.ErrorContains(t, err, "without the text record")
	_, err = ReadRecord(map[string]types.AttributeValue{"record": text("{}")})
	require.ErrorContains(t, err, "record: ")
}

func TestConditionIsWhatDynamoDBIsAsked(t *testing.T) {
	assert.Equal(t, "attribute_not_exists(session_id) OR event_time < :time"+
		" OR (event_time = :time AND event_id < :id)"+
		" OR (event_time = :time AND event_id = :id AND degraded = :beaten)", Condition)
	record := example(t)
	values := map[string]types.AttributeValue{
		":id":     &types.AttributeValueMemberS{Value: record.Event.ID.String()},
		":time":   &types.AttributeValueMemberS{Value: "2026-03-01T09:30:00.000000000Z"},
		":beaten": &types.AttributeValueMemberNULL{Value: true},
	}
	assert.Equal(t, values, Values(record))
	values[":beaten"] = &types.AttributeValueMemberBOOL{Value: true}
	for _, record.Rung = range []recommendation.Rung{recommendation.Store, recommendation.Memory} {
		assert.Equal(t, values, Values(record), "both are answers of the model")
	}
}
