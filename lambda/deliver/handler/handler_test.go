package handler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/aggregation/aggregationtest"
	"diecast/internal/metrics"
	"diecast/internal/recommendation"
	"diecast/lambda/internal/tolerant/toleranttest"
)

const streamARN = "arn:aws:kinesis:us-east-1:123456789012:stream/activity"

var at = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

type recommending func([]activity.Event) ([]recommendation.Record, error)

func (r recommending) Recommend(_ context.Context, events []activity.Event) ([]recommendation.Record, error) {
	return r(events)
}

func answers(events []activity.Event) ([]recommendation.Record, error) {
	records := make([]recommendation.Record, len(events))
	for i, event := range events {
		records[i] = recommendation.Record{
			Event: event, Items: []recommendation.Item{{ID: "S10_1678", Score: 0.5}}, ModelVersion: "0123456789ab",
			RecommendedAt: at, Rung: recommendation.Popular * recommendation.Rung(event.CustomerNumber%2),
		}
	}
	return records, nil
}

// putter answers PutItem in the test's own process.
type putter func(context.Context, *dynamodb.PutItemInput) error

func (p putter) PutItem(ctx context.Context, input *dynamodb.PutItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return &dynamodb.PutItemOutput{}, p(ctx, input)
}

// puts collects what was put, by session.
type puts struct {
	mutex sync.Mutex
	items map[string]map[string]types.AttributeValue
	count int
}

func (p *puts) put(_ context.Context, input *dynamodb.PutItemInput) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.items == nil {
		p.items = map[string]map[string]types.AttributeValue{}
	}
	p.items[input.Item["session_id"].(*types.AttributeValueMemberS).Value] = input.Item
	p.count++
	return nil
}

type recorded struct {
	Handler
	logs, metrics *bytes.Buffer
}

func newHandler(recommender Recommender, put putter) recorded {
	var logs, counts bytes.Buffer
	return recorded{Handler: Handler{
		Recommender: recommender, Table: Table{Client: put, Name: "recommendations", Keep: time.Hour},
		Logger:  slog.New(slog.NewJSONHandler(&logs, nil)),
		Metrics: metrics.Writer{Function: "deliver", Output: &counts, Clock: func() time.Time { return at }},
	}, logs: &logs, metrics: &counts}
}

func payload(session string, customer int) string {
	return fmt.Sprintf(`{"session_id":%q,"customer_number":%d,"city":"Nantes","country":"France","credit_limit":21000}`,
		session, customer)
}

func batch(payloads ...string) Batch {
	var batch events.KinesisEvent
	for i, data := range payloads {
		sequence := fmt.Sprintf("seq-%d", i)
		batch.Records = append(batch.Records, events.KinesisEventRecord{
			EventID: "shardId-000000000000:" + sequence, EventSourceArn: streamARN,
			Kinesis: events.KinesisRecord{
				SequenceNumber: sequence, Data: []byte(data),
				ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: at.Add(time.Duration(i) * time.Second)},
			},
		})
	}
	wire, err := json.Marshal(batch)
	if err != nil {
		panic(err) // texts, bytes and numbers always marshal
	}
	var read Batch
	if err := json.Unmarshal(wire, &read); err != nil {
		panic(err) // it was marshalled just now
	}
	return read
}

func failures(response events.KinesisEventResponse) []string {
	list := []string{}
	for _, failure := range response.BatchItemFailures {
		list = append(list, failure.ItemIdentifier)
	}
	return list
}

// A batch of aggregates may hold more events than the function has memory for.
func TestLargeBatchesAreWorkedOnInParts(t *testing.T) {
	payloads := make([]string, 2*atOnce+7)
	for i := range payloads {
		payloads[i] = payload(fmt.Sprintf("session-%d", i), 2)
	}
	var parts []int
	var table puts
	handler := newHandler(recommending(func(events []activity.Event) ([]recommendation.Record, error) {
		parts = append(parts, len(events))
		return answers(events)
	}), table.put)
	response, err := handler.Handle(t.Context(), batch(payloads...))
	require.NoError(t, err)
	assert.Empty(t, failures(response))
	assert.Equal(t, []int{atOnce, atOnce, 7}, parts)
	assert.Equal(t, len(payloads), table.count)
	assert.Contains(t, handler.metrics.String(),
		fmt.Sprintf(`"delivered":%d,"dropped":0,"events_in":%[1]d,"failed":0`, len(payloads)))

	// The earliest that was not delivered is reported, whichever part it is of; the others are
	// delivered all the same.
	parts, table = nil, puts{}
	handler = newHandler(recommending(func(events []activity.Event) ([]recommendation.Record, error) {
		parts = append(parts, len(events))
		if len(parts) == 2 {
			return nil, errors.New("inference is away")
		}
		return answers(events)
	}), table.put)
	response, err = handler.Handle(t.Context(), batch(payloads...))
	require.NoError(t, err)
	assert.Equal(t, []string{fmt.Sprintf("seq-%d", atOnce)}, failures(response))
	assert.Equal(t, atOnce+7, table.count)
	assert.Contains(t, handler.metrics.String(),
		fmt.Sprintf(`"delivered":%d,"dropped":0,"events_in":%d,"failed":%d`, atOnce+7, len(payloads), atOnce))
}

// An event's latency ends when its session's row is there, also where a newer one stands in it;
// what was not delivered has none.
func TestLatencyIsFromArrivalToTheRow(t *testing.T) {
	table := puts{}
	handler := newHandler(recommending(answers), func(ctx context.Context, input *dynamodb.PutItemInput) error {
		if input.Item["session_id"].(*types.AttributeValueMemberS).Value == "c" {
			return errors.New("the table is away")
		}
		return table.put(ctx, input)
	})
	handler.Clock = func() time.Time { return at.Add(1500 * time.Millisecond) }
	// They arrive a second apart; the last one after the clock's time.
	_, err := handler.Handle(t.Context(),
		batch(payload("a", 2), payload("a", 2), "{", payload("c", 2), payload("b", 2)))
	require.NoError(t, err)
	assert.Contains(t, handler.metrics.String(), `"latency":[1500,500,0]`)
	assert.Equal(t, 1, strings.Count(handler.metrics.String(), `"latency":`))
}

// The reasons add up to what was dropped.
func TestDroppedAreCountedByReason(t *testing.T) {
	table := puts{}
	handler := newHandler(recommending(answers), table.put)
	_, err := handler.Handle(t.Context(), batch("{", payload("", 2), "[]", payload("a", -1), payload("b", 2)))
	require.NoError(t, err)
	counted := map[string]int{}
	for line := range strings.Lines(handler.metrics.String()) {
		var refused struct {
			Reason  string
			Refused int
		}
		require.NoError(t, json.Unmarshal([]byte(line), &refused))
		counted[refused.Reason] += refused.Refused
	}
	delete(counted, "")
	assert.Equal(t, map[string]int{"document": 2, "session_id": 1, "customer_number": 1}, counted)
	assert.Contains(t, handler.metrics.String(), `"dropped":4`)
}

func TestRowsHoldTheLatestRecordOfEachSession(t *testing.T) {
	var table puts
	handler := newHandler(recommending(answers), table.put)
	response, err := handler.Handle(t.Context(), batch(payload("a", 1), payload("b", 2), payload("a", 4)))
	require.NoError(t, err)
	assert.Empty(t, failures(response))
	assert.Equal(t, 2, table.count, "what would be overwritten at once is not written")
	assert.Contains(t, handler.metrics.String(), `"degraded":1,"delivered":3,"dropped":0,"events_in":3,"failed":0`)

	item := table.items["a"]
	text := item["record"].(*types.AttributeValueMemberS).Value
	record, err := recommendation.Decode([]byte(text))
	require.NoError(t, err)
	assert.Equal(t, 4, record.Event.CustomerNumber)
	assert.NotContains(t, text, "\n")
	delete(item, "record")
	assert.Equal(t, map[string]types.AttributeValue{
		"session_id":      &types.AttributeValueMemberS{Value: "a"},
		"customer_number": &types.AttributeValueMemberN{Value: "4"},
		"event_time":      &types.AttributeValueMemberS{Value: "2026-03-01T09:30:02.000000000Z"},
		"event_id":        &types.AttributeValueMemberS{Value: record.Event.ID.String()},
		"model_version":   &types.AttributeValueMemberS{Value: "0123456789ab"},
		"rung":            &types.AttributeValueMemberS{Value: "store"},
		"degraded":        &types.AttributeValueMemberBOOL{Value: false},
		"expires_at":      &types.AttributeValueMemberN{Value: fmt.Sprint(at.Add(time.Hour).Unix())},
	}, item)
}

func TestIdentityIsThatOfTheArchive(t *testing.T) {
	var table puts
	_, err := newHandler(recommending(answers), table.put).Handle(t.Context(), batch(payload("a", 1)))
	require.NoError(t, err)
	event, err := activity.Decode([]byte(payload("a", 1)))
	require.NoError(t, err)
	want := event.Identify(activity.FromStream(
		activity.Place{Stream: "activity", Shard: "shardId-000000000000", SequenceNumber: "seq-0"},
		at,
	))
	assert.Equal(t, want.ID.String(), table.items["a"]["event_id"].(*types.AttributeValueMemberS).Value)
}

func TestBadEventsAreCountedAndPassedOver(t *testing.T) {
	var table puts
	handler := newHandler(recommending(answers), table.put)
	bad := batch("{", payload("a", 2), `{"session_id":"x","city":"Jean King"}`)
	nowhere := batch(payload("b", 2)).Records[0]
	nowhere.Read.StreamARN = ""
	bad.Records = append(bad.Records, nowhere)
	response, err := handler.Handle(t.Context(), bad)
	require.NoError(t, err)
	assert.Empty(t, failures(response))
	assert.Equal(t, 1, table.count)
	assert.Contains(t, handler.metrics.String(), `"delivered":1,"dropped":3,"events_in":4`)
	assert.NotContains(t, handler.logs.String(), "Jean King", "logs hold no personal data")
}

func TestAggregatesAreSplit(t *testing.T) {
	var table puts
	handler := newHandler(recommending(answers), table.put)
	aggregate := aggregationtest.Aggregate("k", []byte(payload("a", 1)), []byte("{"), []byte(payload("b", 2)))
	response, err := handler.Handle(t.Context(), batch(payload("c", 3), string(aggregate)))
	require.NoError(t, err)
	assert.Empty(t, failures(response))
	assert.Contains(t, handler.metrics.String(), `"delivered":3,"dropped":1,"events_in":4`)
	assert.Contains(t, handler.logs.String(), `"record_id":"shardId-000000000000:seq-1.1"`)
	event, err := activity.Decode([]byte(payload("b", 2)))
	require.NoError(t, err)
	want := event.Identify(activity.FromStream(activity.Place{Stream: "activity", Shard: "shardId-000000000000",
		SequenceNumber: "seq-1", Subsequence: 2}, at.Add(time.Second)))
	assert.Equal(t, want.ID.String(), table.items["b"]["event_id"].(*types.AttributeValueMemberS).Value)
}

func TestFailureWithinAnAggregateIsRetriedFromItsRecord(t *testing.T) {
	handler := newHandler(recommending(answers), func(_ context.Context, input *dynamodb.PutItemInput) error {
		if input.Item["session_id"].(*types.AttributeValueMemberS).Value == "b" {
			return errors.New("throttled")
		}
		return nil
	})
	aggregate := aggregationtest.Aggregate("k", []byte(payload("a", 1)), []byte(payload("b", 2)))
	response, err := handler.Handle(t.Context(), batch(payload("c", 3), payload("d", 4), string(aggregate)))
	require.NoError(t, err)
	assert.Equal(t, []string{"seq-2"}, failures(response))
}

func TestBrokenAggregatesAreRefusedWhole(t *testing.T) {
	sound := aggregationtest.Aggregate("k", []byte(payload("a", 1)), []byte(payload("b", 2)))
	for name, broken := range map[string][]byte{
		"truncated":           sound[:len(sound)-1],
		"no protobuf":         aggregationtest.Seal([]byte("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")),
		"within another one":  aggregationtest.Aggregate("k", sound),
		"its magic and no md": sound[:5],
	} {
		t.Run(name, func(t *testing.T) {
			var table puts
			handler := newHandler(recommending(answers), table.put)
			response, err := handler.Handle(t.Context(), batch(payload("c", 3), string(broken), payload("d", 4)))
			require.NoError(t, err)
			assert.Empty(t, failures(response))
			assert.Equal(t, 2, table.count, "its neighbours are delivered")
			assert.Contains(t, handler.metrics.String(), `"delivered":2,"dropped":1,"events_in":3`)
			assert.Contains(t, handler.logs.String(), "it is an aggregate")
		})
	}
}

// Whatever part of a record is odd, its neighbours are delivered.
func TestOddRecordsDoNotFailTheirNeighbours(t *testing.T) {
	wire := func(t *testing.T, batch Batch) map[string]any {
		t.Helper()
		text, err := json.Marshal(batch)
		require.NoError(t, err)
		var document map[string]any
		require.NoError(t, json.Unmarshal(text, &document))
		return document
	}
	odd := []any{nil, true, -1, 1.5, 1e300, "", "soon", "2026-03-01T09:30:00Z", "1772357400250", []any{},
		map[string]any{}}
	for _, path := range [][]string{
		{}, {"eventID"}, {"eventSourceARN"}, {"kinesis"}, {"kinesis", "sequenceNumber"}, {"kinesis", "data"},
		{"kinesis", "approximateArrivalTimestamp"}, {"kinesis", "partitionKey"}, {"kinesis", "encryptionType"},
		{"eventName"},
	} {
		for _, value := range append(odd, toleranttest.Absent) {
			document := wire(t, batch(payload("a", 1), payload("b", 2), payload("c", 3)))
			records := document["Records"].([]any)
			records[1] = toleranttest.Set(records[1], path, value)
			text, err := json.Marshal(document)
			require.NoError(t, err)
			var read Batch
			require.NoError(t, json.Unmarshal(text, &read), "%v: %v", path, value)
			var table puts
			handler := newHandler(recommending(answers), table.put)
			response, err := handler.Handle(t.Context(), read)
			require.NoError(t, err)
			assert.Empty(t, failures(response), "%v: %v", path, value)
			assert.Contains(t, table.items, "a", "%v: %v", path, value)
			assert.Contains(t, table.items, "c", "%v: %v", path, value)
			assert.Contains(t, handler.metrics.String(), `"events_in":3`)
		}
	}
}

// Any number of odd records, odd in any part and way: the others are delivered as if those were not
// there, and nothing is tried again.
func TestTheOthersAreDeliveredAsIfOddRecordsWereNotThere(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var payloads []string
		for i := range 1 + random.IntN(8) {
			payloads = append(payloads, payload(fmt.Sprintf("session-%d", i), i))
		}
		whole := batch(payloads...)
		var alone puts
		_, err := newHandler(recommending(answers), alone.put).Handle(t.Context(), whole)
		require.NoError(t, err)
		text, err := json.Marshal(whole)
		require.NoError(t, err)
		var document struct{ Records []any }
		require.NoError(t, json.Unmarshal(text, &document))
		good := map[string]bool{}
		for i := range document.Records {
			if random.IntN(2) == 0 {
				document.Records[i] = toleranttest.Odd(random, document.Records[i])
			} else {
				good[fmt.Sprintf("session-%d", i)] = true
			}
		}
		text, err = json.Marshal(document)
		require.NoError(t, err)
		var odd Batch
		require.NoError(t, json.Unmarshal(text, &odd))
		var table puts
		handler := newHandler(recommending(answers), table.put)
		response, err := handler.Handle(t.Context(), odd)
		require.NoError(t, err)
		require.Empty(t, failures(response))
		for session := range good {
			require.Equal(t, alone.items[session], table.items[session], "%.2000s", text)
		}
		require.Contains(t, handler.metrics.String(), fmt.Sprintf(`"events_in":%d`, len(payloads)))
	}
}

func FuzzHandle(f *testing.F) {
	for _, seed := range []Batch{batch(payload("a", 1), "{", payload("b", 2)), batch(),
		batch(string(aggregationtest.Aggregate("k", []byte(payload("a", 1)), []byte("[]"))))} {
		wire, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var read Batch
		if json.Unmarshal(wire, &read) != nil {
			return
		}
		var table puts
		response, err := newHandler(recommending(answers), table.put).Handle(t.Context(), read)
		require.NoError(t, err)
		require.Empty(t, failures(response), "what is odd is never tried again")
		for _, item := range table.items {
			_, err := recommendation.Decode([]byte(item["record"].(*types.AttributeValueMemberS).Value))
			require.NoError(t, err)
		}
	})
}

func TestFailureOfTheRecommenderIsRetriedFromTheFirstGoodEvent(t *testing.T) {
	var table puts
	handler := newHandler(recommending(func([]activity.Event) ([]recommendation.Record, error) {
		return nil,
			errors.New("no active model")
	}), table.put)
	response, err := handler.Handle(t.Context(), batch("{", payload("a", 1), payload("b", 1)))
	require.NoError(t, err)
	assert.Equal(t, []string{"seq-1"}, failures(response))
	assert.Zero(t, table.count)
	assert.Contains(t, handler.logs.String(), "no active model")
	assert.Contains(t, handler.metrics.String(), `"failed":2`)
}

func TestFailureOfOneSessionIsRetriedFromItsFirstEvent(t *testing.T) {
	var table puts
	handler := newHandler(recommending(answers), func(ctx context.Context, input *dynamodb.PutItemInput) error {
		if input.Item["session_id"].(*types.AttributeValueMemberS).Value == "b" {
			return errors.New("throttled")
		}
		return table.put(ctx, input)
	})
	response, err := handler.Handle(t.Context(), batch(payload("a", 2), payload("b", 2), payload("c", 2),
		payload("b", 4)))
	require.NoError(t, err)
	assert.Equal(t, []string{"seq-1"}, failures(response))
	assert.Equal(t, 2, table.count, "the other sessions are delivered")
	assert.Contains(t, handler.metrics.String(), `"delivered":2,"dropped":0,"events_in":4,"failed":2`)
}

func TestOlderEventsAreNoFailure(t *testing.T) {
	handler := newHandler(recommending(answers), func(context.Context, *dynamodb.PutItemInput) error {
		return &types.ConditionalCheckFailedException{}
	})
	response, err := handler.Handle(t.Context(), batch(payload("a", 2)))
	require.NoError(t, err)
	assert.Empty(t, failures(response))
}

func TestAnswerComesBeforeTheFunctionsTimeIsOver(t *testing.T) {
	handler := newHandler(recommending(answers), func(ctx context.Context, _ *dynamodb.PutItemInput) error {
		<-ctx.Done()
		return ctx.Err()
	})
	deadline := time.Now().Add(answerMargin + 50*time.Millisecond)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	response, err := handler.Handle(ctx, batch(payload("a", 2)))
	require.NoError(t, err)
	assert.Equal(t, []string{"seq-0"}, failures(response))
	require.NoError(t, ctx.Err(), "there is time left")
}

func TestEmptyBatchAnswersAnEmptyList(t *testing.T) {
	response, err := newHandler(recommending(answers), nil).Handle(t.Context(), Batch{})
	require.NoError(t, err)
	wire, err := json.Marshal(response)
	require.NoError(t, err)
	assert.JSONEq(t, `{"batchItemFailures":[]}`, string(wire))
}

// Batches may arrive in any order and more than once: the fold and the row's condition together
// always end with the record that supersedes all others.
func TestFoldKeepsTheRecordThatSupersedesAllOthers(t *testing.T) {
	var all []activity.Event
	for i := range 6 {
		event, err := activity.Decode([]byte(payload("a", i)))
		require.NoError(t, err)
		all = append(all, event.Identify(activity.FromStream(
			activity.Place{Stream: "activity", Shard: "shard", SequenceNumber: fmt.Sprint(i)},
			at.Add(time.Duration(i/2)*time.Second),
		)))
	}
	records, err := answers(all)
	require.NoError(t, err)
	best := records[0]
	for _, record := range records {
		if record.Supersedes(best) {
			best = record
		}
	}
	for first := range records {
		rotated := append(append([]recommendation.Record{}, records[first:]...), records[:first]...)
		rows := latest(rotated)
		require.Len(t, rows, 1)
		assert.Equal(t, best.Event.ID, rows[0].record.Event.ID)
		assert.Len(t, rows[0].members, len(records))
	}
}

// What the recommender does not answer is not delivered, even if it does not say that it failed.
func TestRecordsThatAreNotThoseOfTheEventsAreAFailure(t *testing.T) {
	for name, change := range map[string]func([]recommendation.Record) []recommendation.Record{
		"none":     func([]recommendation.Record) []recommendation.Record { return nil },
		"too few":  func(r []recommendation.Record) []recommendation.Record { return r[1:] },
		"too many": func(r []recommendation.Record) []recommendation.Record { return append(r, r[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			put := func(context.Context, *dynamodb.PutItemInput) error { t.Error("nothing is written"); return nil }
			handler := newHandler(recommending(func(events []activity.Event) ([]recommendation.Record, error) {
				records, err := answers(events)
				return change(records), err
			}), put)
			response, err := handler.Handle(t.Context(), batch(payload("a", 2), payload("b", 2)))
			require.NoError(t, err)
			assert.Equal(t, []string{"seq-0"}, failures(response))
			assert.Contains(t, handler.metrics.String(), `"delivered":0,"dropped":0,"events_in":2,"failed":2`)
		})
	}
}
