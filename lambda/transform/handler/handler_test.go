package handler

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/aggregation/aggregationtest"
	"diecast/internal/metrics"
	"diecast/internal/recommendation"
	"diecast/lambda/internal/tolerant"
	"diecast/lambda/internal/tolerant/toleranttest"
)

const streamARN = "arn:aws:kinesis:us-east-1:123456789012:stream/activity"

var at = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

// recommending is a Recommender from a function.
type recommending func([]activity.Event) ([]recommendation.Record, error)

func (r recommending) Recommend(_ context.Context, events []activity.Event) ([]recommendation.Record, error) {
	return r(events)
}

// answers gives every product of an event so many neighbours.
func answers(similar int) recommending {
	return func(events []activity.Event) ([]recommendation.Record, error) {
		records := make([]recommendation.Record, len(events))
		for i, event := range events {
			records[i] = recommendation.Record{
				Event: event, Items: []recommendation.Item{{ID: "S10_1678", Score: 0.5}}, ModelVersion: "0123456789ab",
				RecommendedAt: at,
				Rung:          recommendation.Popular * recommendation.Rung(event.CustomerNumber%2),
			}
			for _, product := range event.Products() {
				neighbours := make([]recommendation.Neighbour, similar)
				for n := range neighbours {
					neighbours[n] = recommendation.Neighbour{ID: fmt.Sprintf("S%02d_0000", n), Distance: float64(n)}
				}
				records[i].Similar = append(records[i].Similar, recommendation.Similar{ProductCode: product,
					Items: neighbours})
			}
		}
		return records, nil
	}
}

func fails(err error) recommending {
	return func([]activity.Event) ([]recommendation.Record, error) { return nil, err }
}

type recorded struct {
	Handler
	logs, metrics *bytes.Buffer
}

func newHandler(recommender Recommender) recorded {
	var logs, counts bytes.Buffer
	return recorded{
		Handler: Handler{
			Recommender: recommender, Logger: slog.New(slog.NewJSONHandler(&logs, nil)),
			Metrics: metrics.Writer{Function: "transform", Output: &counts, Clock: func() time.Time { return at }},
		},
		logs: &logs, metrics: &counts,
	}
}

func good(number, products int) string {
	history := []string{}
	for i := range products {
		history = append(history, fmt.Sprintf(`{"product_code":"P%d","quantity":"%d","in_shopping_cart":%t}`, i, i,
			i%2 == 0))
	}
	return fmt.Sprintf(`{"session_id":"s-%d","customer_number":%d,"city":"Nantes","country":"France",`+
		`"credit_limit":21000,"browse_history":[%s]}`,
		number, number, strings.Join(history, ","))
}

func batch(payloads ...string) Request {
	request := Request{InvocationID: "invocation", StreamARN: streamARN}
	for i, payload := range payloads {
		request.Records = append(request.Records, tolerant.Value[RequestRecord]{Read: RequestRecord{
			RecordID: fmt.Sprintf("4959%04d", i), Data: base64.StdEncoding.EncodeToString([]byte(payload)),
			Source: SourceMetadata{ShardID: "shardId-000000000000", SequenceNumber: fmt.Sprint(i),
				Arrival: at.UnixMilli()},
		}})
	}
	return request
}

// requireContract holds an answer to the contract of a Firehose processor, on the bytes that Lambda
// sends.
func requireContract(t require.TestingT, request Request, response Response) {
	wire := response.Encode()
	require.LessOrEqual(t, len(wire), maxResponse)
	var answer struct {
		Records []map[string]any `json:"records"`
	}
	require.NoError(t, json.Unmarshal(wire, &answer))
	var named []RequestRecord
	for _, record := range request.Records {
		if record.Read.RecordID != "" {
			named = append(named, record.Read)
		}
	}
	require.Len(t, answer.Records, len(named))
	for i, record := range answer.Records {
		source, held := named[i], response.Records[i]
		require.Len(t, record, 3, "neither partitionKeys nor otfMetadata")
		require.Equal(t, source.RecordID, record["recordId"])
		require.Equal(t, ResponseRecord{RecordID: source.RecordID, Result: record["result"].(string), Line: held.Line,
			Original: held.Original}, held)
		switch record["result"] {
		case "Ok":
			data, err := base64.StdEncoding.DecodeString(record["data"].(string))
			require.NoError(t, err)
			require.Equal(t, held.Line, data)
			require.Equal(t, 1, bytes.Count(data, []byte("\n")))
			require.True(t, bytes.HasSuffix(data, []byte("\n")))
			_, err = recommendation.Decode(data)
			require.NoError(t, err)
		case "ProcessingFailed":
			require.Equal(t, source.Data, record["data"])
			require.Equal(t, source.Data, held.Original)
		default:
			require.Fail(t, "unknown result", record["result"])
		}
	}
}

func TestGoodAndBadRecordsDoNotDisturbEachOther(t *testing.T) {
	handler := newHandler(answers(5))
	request := batch(good(1, 2), "{", good(2, 0), `{"session_id":"only","city":"Jean King"}`, good(3, 1), "")
	request.Records = append(request.Records,
		tolerant.Value[RequestRecord]{Read: RequestRecord{RecordID: "raw", Data: "%%%"}})
	nowhere := batch(good(4, 0)).Records[0]
	nowhere.Read.RecordID, nowhere.Read.Source = "nowhere", SourceMetadata{}
	early := batch(good(5, 0)).Records[0]
	early.Read.RecordID, early.Read.Source.Arrival = "early", 0
	request.Records = append(request.Records, nowhere, early)

	response, err := handler.Handle(t.Context(), request)
	require.NoError(t, err)
	requireContract(t, request, response)
	var results []string
	for _, record := range response.Records {
		results = append(results, record.Result)
	}
	assert.Equal(t, []string{ok, processingFailed, ok, processingFailed, ok, processingFailed, processingFailed,
		processingFailed, processingFailed}, results)
	assert.Contains(t, handler.metrics.String(), `"degraded":2,"delivered":3,"events_in":9,"failed":6`)
	assert.Contains(t, handler.logs.String(), `"record_id":"49590003","reasons":["customer_number: want`)
	assert.NotContains(t, handler.logs.String(), "Jean King", "logs hold no personal data")
	refused := 0
	for line := range strings.Lines(handler.metrics.String()) {
		var counted struct{ Refused int }
		require.NoError(t, json.Unmarshal([]byte(line), &counted))
		refused += counted.Refused
	}
	assert.Equal(t, 6, refused, "the reasons add up to what failed")
	assert.Contains(t, handler.metrics.String(), `"reason":"customer_number","refused":1`)
}

// written is the record of an answer.
func written(t *testing.T, answer ResponseRecord) recommendation.Record {
	t.Helper()
	record, err := recommendation.Decode(answer.Line)
	require.NoError(t, err)
	return record
}

func TestIdentityComesFromTheStream(t *testing.T) {
	response, err := newHandler(answers(0)).Handle(t.Context(), batch(good(1, 0)))
	require.NoError(t, err)
	record := written(t, response.Records[0])
	event, err := activity.Decode([]byte(good(1, 0)))
	require.NoError(t, err)
	want := event.Identify(activity.FromStream(
		activity.Place{Stream: "activity", Shard: "shardId-000000000000", SequenceNumber: "0"},
		at,
	))
	assert.Equal(t, want.ID, record.Event.ID)
	assert.Equal(t, want.Time, record.Event.Time)
}

func TestIdentityHoldsThePlaceWithinAnAggregate(t *testing.T) {
	request := batch(good(1, 0))
	request.Records[0].Read.Source.Subsequence.Read = 3
	response, err := newHandler(answers(0)).Handle(t.Context(), request)
	require.NoError(t, err)
	record := written(t, response.Records[0])
	event, err := activity.Decode([]byte(good(1, 0)))
	require.NoError(t, err)
	want := event.Identify(activity.FromStream(activity.Place{Stream: "activity", Shard: "shardId-000000000000",
		SequenceNumber: "0", Subsequence: 3}, at))
	assert.Equal(t, want.ID, record.Event.ID)
}

func TestAggregatesThatFirehoseDidNotSplitAreRefusedByName(t *testing.T) {
	handler := newHandler(answers(0))
	request := batch(good(1, 0), string(aggregationtest.Aggregate("k", []byte(good(2, 0)))), good(3, 0))
	response, err := handler.Handle(t.Context(), request)
	require.NoError(t, err)
	requireContract(t, request, response)
	assert.Equal(t, []string{ok, processingFailed, ok}, []string{response.Records[0].Result,
		response.Records[1].Result, response.Records[2].Result})
	assert.Contains(t, handler.logs.String(), "it is an aggregate")
}

// Whatever part of a record is odd, its neighbours are answered.
func TestOddRecordsDoNotFailTheirNeighbours(t *testing.T) {
	odd := []any{nil, true, -1, 1.5, 1e300, "", "soon", "2026-03-01T09:30:00Z", "1772357400250", []any{},
		map[string]any{}, "<\u2028\"\n\x00>"}
	const metadata = "kinesisRecordMetadata"
	for _, path := range [][]string{
		{}, {"recordId"}, {"data"}, {"approximateArrivalTimestamp"}, {metadata}, {metadata, "shardId"},
		{metadata, "sequenceNumber"}, {metadata, "subsequenceNumber"}, {metadata, "approximateArrivalTimestamp"},
		{metadata, "partitionKey"},
	} {
		for _, value := range append(odd, toleranttest.Absent) {
			whole, records := document(t, batch(good(1, 1), good(2, 1), good(3, 1)))
			records[1] = toleranttest.Set(records[1], path, value)
			text, err := json.Marshal(whole)
			require.NoError(t, err)
			var request Request
			require.NoError(t, json.Unmarshal(text, &request), "%v: %v", path, value)
			handler := newHandler(answers(1))
			response, err := handler.Handle(t.Context(), request)
			require.NoError(t, err)
			requireContract(t, request, response)
			assert.Equal(t, ok, response.Records[0].Result, "%v: %v", path, value)
			assert.Equal(t, ok, response.Records[len(response.Records)-1].Result, "%v: %v", path, value)
			assert.Contains(t, handler.metrics.String(), `"events_in":3`)
		}
	}
}

// document is a value as the wire has it, its records apart.
func document(t *testing.T, value any) (whole map[string]any, records []any) {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &whole))
	return whole, whole["records"].([]any)
}

// Any number of odd records, odd in any part and way: the others are answered as if those were not
// there.
func TestTheOthersAreAnsweredAsIfOddRecordsWereNotThere(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var payloads []string
		for i := range 1 + random.IntN(8) {
			payloads = append(payloads, good(i, random.IntN(4)))
		}
		request := batch(payloads...)
		whole, records := document(t, request)
		expected := map[string]ResponseRecord{}
		alone, err := newHandler(answers(2)).Handle(t.Context(), request)
		require.NoError(t, err)
		for i, record := range alone.Records {
			if random.IntN(2) == 0 {
				records[i] = toleranttest.Odd(random, records[i])
			} else {
				expected[record.RecordID] = record
			}
		}
		whole["invocationId"] = toleranttest.Odd(random, whole["invocationId"])
		text, err := json.Marshal(whole)
		require.NoError(t, err)
		var odd Request
		require.NoError(t, json.Unmarshal(text, &odd))
		response, err := newHandler(answers(2)).Handle(t.Context(), odd)
		require.NoError(t, err)
		for _, record := range response.Records {
			if want, isGood := expected[record.RecordID]; isGood {
				require.Equal(t, want, record)
				delete(expected, record.RecordID)
			}
		}
		require.Empty(t, expected, "%.2000s", text)
	}
}

// Whatever stands before a record's id in the document, the id is read and the record answered.
func TestAnOddRecordIsRefusedUnderItsId(t *testing.T) {
	request := batch(good(1, 1))
	whole, records := document(t, request)
	for _, value := range []any{nil, "many", -1, 1.5, []any{}, map[string]any{}, true} {
		record := records[0].(map[string]any)
		// encoding/json writes names in order: the metadata before the id.
		record["kinesisRecordMetadata"].(map[string]any)["subsequenceNumber"] = value
		text, err := json.Marshal(whole)
		require.NoError(t, err)
		var odd Request
		require.NoError(t, json.Unmarshal(text, &odd))
		response, err := newHandler(answers(1)).Handle(t.Context(), odd)
		require.NoError(t, err)
		require.Len(t, response.Records, 1, "%v", value)
		assert.Equal(t, "49590000", response.Records[0].RecordID)
		assert.Equal(t, value == nil, response.Records[0].Result == ok, "%v", value)
	}
}

func TestABatchFromNowhereIsRefusedRecordByRecord(t *testing.T) {
	whole, _ := document(t, batch(good(1, 1), good(2, 1)))
	for _, value := range []any{nil, 5, "nonsense", []any{}, map[string]any{}} {
		whole["sourceKinesisStreamArn"] = value
		text, err := json.Marshal(whole)
		require.NoError(t, err)
		var request Request
		require.NoError(t, json.Unmarshal(text, &request))
		response, err := newHandler(answers(1)).Handle(t.Context(), request)
		require.NoError(t, err)
		require.Len(t, response.Records, 2)
		for _, record := range response.Records {
			assert.Equal(t, processingFailed, record.Result)
		}
	}
}

// A record whose refusal leaves no room gives way to those that can be answered.
func TestWhatCannotEvenBeRefusedIsLeftOut(t *testing.T) {
	request := batch(good(1, 1), "{", good(2, 1))
	request.Records[1].Read.RecordID = strings.Repeat("\x01", maxResponse/6)
	handler := newHandler(answers(1))
	response, err := handler.Handle(t.Context(), request)
	require.NoError(t, err)
	require.Len(t, response.Records, 2)
	for _, record := range response.Records {
		assert.Equal(t, ok, record.Result)
	}
	assert.Contains(t, handler.metrics.String(), `"delivered":2,"events_in":3,"failed":1`)

	many := Request{StreamARN: streamARN}
	for i := range 150_000 {
		many.Records = append(many.Records, tolerant.Value[RequestRecord]{Read: RequestRecord{RecordID: fmt.Sprint(i)}})
	}
	response, err = newHandler(answers(1)).Handle(t.Context(), many)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(response.Encode()), maxResponse)
}

// Sample batches that AWS and others publish have an empty subsequence number, and now and then an
// arrival that is no number of milliseconds.
func TestPublishedSampleBatchesAreReadRecordByRecord(t *testing.T) {
	for _, arrival := range []string{`"1664028820148"`, `"2022-09-24T14:13:40.148Z"`, `1664028820.148`} {
		data := base64.StdEncoding.EncodeToString([]byte(good(1, 0)))
		record := func(arrival string) string {
			return `{"recordId":"r","approximateArrivalTimestamp":` + arrival + `,"data":"` + data + `",` +
				`"kinesisRecordMetadata":{"shardId":"shardId-0","partitionKey":"s","sequenceNumber":"4954",` +
				`"subsequenceNumber":"","approximateArrivalTimestamp":` + arrival + `}}`
		}
		var request Request
		require.NoError(t, json.Unmarshal([]byte(`{"invocationId":"i","sourceKinesisStreamArn":"`+streamARN+
			`","region":"r","records":[`+record(arrival)+`,`+record(`1664028820148`)+`]}`), &request))
		response, err := newHandler(answers(0)).Handle(t.Context(), request)
		require.NoError(t, err)
		requireContract(t, request, response)
		assert.Equal(t, processingFailed, response.Records[0].Result, arrival)
		assert.Equal(t, ok, response.Records[1].Result, arrival)
	}
}

func TestDependencyFailureIsAnErrorSoThatFirehoseRetries(t *testing.T) {
	cause := errors.New("it failed: no active model")
	_, err := newHandler(fails(cause)).Handle(t.Context(), batch(good(1, 0), "{"))
	require.ErrorIs(t, err, cause)
}

func TestRecordsThatAreNotThoseOfTheEventsAreAnErrorToo(t *testing.T) {
	for name, change := range map[string]func([]recommendation.Record) []recommendation.Record{
		"none":     func([]recommendation.Record) []recommendation.Record { return nil },
		"too few":  func(r []recommendation.Record) []recommendation.Record { return r[1:] },
		"too many": func(r []recommendation.Record) []recommendation.Record { return append(r, r[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newHandler(recommending(func(events []activity.Event) ([]recommendation.Record, error) {
				records, err := answers(0)(events)
				return change(records), err
			})).Handle(t.Context(), batch(good(1, 0), good(2, 0)))
			require.ErrorContains(t, err, "none of them is believed")
		})
	}
}

func TestOnlyBadRecordsAskNobody(t *testing.T) {
	request := batch("{", "[]")
	response, err := newHandler(fails(errors.New("asked"))).Handle(t.Context(), request)
	require.NoError(t, err)
	requireContract(t, request, response)
}

func TestEmptyBatch(t *testing.T) {
	response, err := newHandler(fails(errors.New("asked"))).Handle(t.Context(), batch())
	require.NoError(t, err)
	wire := response.Encode()
	assert.JSONEq(t, `{"records":[]}`, string(wire))
}

func TestSimilarItemsAreShedWhereTheAnswerWouldBeTooLarge(t *testing.T) {
	payloads := make([]string, 400)
	for i := range payloads {
		payloads[i] = good(i, 20)
	}
	request := batch(payloads...)
	handler := newHandler(answers(30))
	response, err := handler.Handle(t.Context(), request)
	require.NoError(t, err)
	requireContract(t, request, response)
	wire := response.Encode()
	assert.Greater(t, len(wire), maxResponse-20_000, "no more is shed than must be")
	truncated := 0
	for _, record := range response.Records {
		require.Equal(t, ok, record.Result)
		decoded := written(t, record)
		require.Len(t, decoded.Items, 1)
		if decoded.Truncated {
			truncated++
		}
	}
	assert.Positive(t, truncated)
	assert.Less(t, truncated, len(payloads))
}

func TestRecordsThatCannotFitAreRefusedNotLost(t *testing.T) {
	payloads := make([]string, 20_000)
	for i := range payloads {
		payloads[i] = good(i, 0)
	}
	request := batch(payloads...)
	handler := newHandler(answers(0))
	response, err := handler.Handle(t.Context(), request)
	require.NoError(t, err)
	requireContract(t, request, response)
	assert.Equal(t, ok, response.Records[0].Result)
	assert.Equal(t, processingFailed, response.Records[len(payloads)-1].Result)
	assert.Contains(t, handler.logs.String(), "lower the processor's buffer")
}

// Any batch obeys the contract, whatever the limit: a smaller one stands for a larger batch.
func TestFitIsTightForAnyLimit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		results := make([]result, 1+random.IntN(12))
		smallest := envelope
		for i := range results {
			payload := good(i, random.IntN(8))
			if random.IntN(4) == 0 {
				payload = "{" + strings.Repeat("x", random.IntN(300))
			}
			request := batch(payload).Records[0]
			results[i].source = request.Read
			smallest += results[i].size()
			if event, err := decode(streamARN, request); err == nil {
				records, err := answers(random.IntN(10))([]activity.Event{event})
				require.NoError(t, err)
				results[i].record = &records[0]
			}
		}
		whole := envelope
		for _, result := range results {
			whole += result.size()
		}
		most := smallest + random.IntN(max(1, whole-smallest+100))
		refused := fit(results, most)
		response, answered := respond(results)
		wire := response.Encode()
		require.LessOrEqual(t, len(wire), most, "round %d", round)
		require.GreaterOrEqual(t, len(results)-len(answered), len(refused))
		if whole <= most {
			require.Empty(t, refused)
		}
	}
}

func FuzzHandle(f *testing.F) {
	for _, seed := range []Request{batch(good(1, 3), "{", good(2, 0)), batch(), batch("")} {
		wire, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint16(5))
	}
	f.Add([]byte(`{"sourceKinesisStreamArn":"a:stream/b","records":[{"recordId":"1","data":"e30="},{"recordId":"1"}]}`),
		uint16(0))
	f.Fuzz(func(t *testing.T, wire []byte, similar uint16) {
		var slowly Request
		slowlyErr := json.Unmarshal(wire, &slowly)
		request, err := DecodeRequest(wire)
		require.Equal(t, slowlyErr, err)
		if err != nil {
			return
		}
		require.Equal(t, slowly, request)
		handler := newHandler(answers(int(similar % recommendation.MaxItems)))
		response, err := handler.Handle(t.Context(), request)
		require.NoError(t, err)
		requireContract(t, request, response)
	})
}

func BenchmarkHandle(b *testing.B) {
	payloads := make([]string, 500)
	for i := range payloads {
		payloads[i] = good(i, 4)
	}
	request, handler := batch(payloads...), newHandler(answers(5))
	for b.Loop() {
		if _, err := handler.Handle(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}
