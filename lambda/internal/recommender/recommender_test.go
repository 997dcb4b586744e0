package recommender

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/inference"
	"diecast/internal/recommendation"
)

const version = "0123456789ab"

var at = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

// invoker answers invocations in the test's own process.
type invoker func(*lambda.InvokeInput) (*lambda.InvokeOutput, error)

func (i invoker) Invoke(_ context.Context, input *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput,
	error) {
	return i(input)
}

func event(t *testing.T, number int, cart ...string) activity.Event {
	t.Helper()
	history := []map[string]any{{"product_code": "S18_BROWSED", "quantity": "1", "in_shopping_cart": false}}
	for _, code := range cart {
		history = append(history, map[string]any{"product_code": code, "quantity": 2, "in_shopping_cart": true})
	}
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	require.NoError(t, encoder.Encode(map[string]any{
		"session_id": fmt.Sprintf("s-%d", number), "customer_number": number, "city": " Nantes ", "country": "France",
		"credit_limit":   1,
		"browse_history": history,
	}))
	decoded, err := activity.Decode(data.Bytes())
	require.NoError(t, err)
	return decoded.Identify(activity.FromStream(
		activity.Place{Stream: "activity", Shard: "shardId-0", SequenceNumber: fmt.Sprint(number)},
		at,
	))
}

// answering makes an answer in which every product that was asked for has one neighbour.
func answering(t *testing.T, sizes *[]int) invoker {
	return func(input *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		assert.Equal(t, "inference", *input.FunctionName)
		request, err := inference.DecodeBatchRequest(input.Payload)
		require.NoError(t, err)
		*sizes = append(*sizes, len(request.Events))
		answer := inference.BatchAnswer{ModelVersion: version, Similar: map[string][]recommendation.Neighbour{}}
		for i, event := range request.Events {
			answer.Results = append(answer.Results, inference.BatchResult{
				EventID: event.EventID, Items: []recommendation.Item{{ID: "S10_1678", Score: 0.5}},
				Rung: recommendation.Popular * recommendation.Rung(i%2),
			})
			for _, product := range event.Products() {
				answer.Similar[product] = []recommendation.Neighbour{{ID: "S10_1949", Distance: 0.25}}
			}
		}
		payload, err := answer.Encode()
		require.NoError(t, err)
		return &lambda.InvokeOutput{Payload: payload}, nil
	}
}

func recommender(invoke invoker) Recommender {
	return Recommender{Invoker: invoke, Function: "inference", Clock: func() time.Time { return at }}
}

func TestRecordsAreInTheOrderOfTheEvents(t *testing.T) {
	var sizes []int
	events := make([]activity.Event, 2*batchEvents+1)
	for i := range events {
		events[i] = event(t, i)
	}
	records, err := recommender(answering(t, &sizes)).Recommend(t.Context(), events)
	require.NoError(t, err)
	assert.Equal(t, []int{batchEvents, batchEvents, 1}, sizes)
	require.Len(t, records, len(events))
	for i, record := range records {
		require.Equal(t, events[i].ID, record.Event.ID)
	}
	assert.Equal(t, recommendation.Popular, records[1].Rung)
	assert.NotEmpty(t, records[0].Similar)
	assert.Empty(t, records[1].Similar, "popularity has none, whoever else of the batch has")
}

func TestRecordHoldsTheAnswer(t *testing.T) {
	var sizes []int
	asked := event(t, 7, "S18_CART")
	records, err := recommender(answering(t, &sizes)).Recommend(t.Context(), []activity.Event{asked})
	require.NoError(t, err)
	neighbour := []recommendation.Neighbour{{ID: "S10_1949", Distance: 0.25}}
	assert.Equal(t, []recommendation.Record{{
		Event: asked, Items: []recommendation.Item{{ID: "S10_1678", Score: 0.5}}, ModelVersion: version,
		RecommendedAt: at,
		Similar: []recommendation.Similar{{ProductCode: "S18_CART", Items: neighbour}, {ProductCode: "S18_BROWSED",
			Items: neighbour}},
	}}, records, "the cart's products come first")
}

func TestNoEventsAskNobody(t *testing.T) {
	records, err := recommender(nil).Recommend(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, records)
}

func TestFailuresAreErrors(t *testing.T) {
	throttled := errors.New("TooManyRequestsException")
	output := func(kind, payload string) invoker {
		return func(*lambda.InvokeInput) (*lambda.InvokeOutput, error) {
			out := &lambda.InvokeOutput{Payload: []byte(payload)}
			if kind != "" {
				out.FunctionError = aws.String(kind)
			}
			return out, nil
		}
	}
	other := uuid.NewString()
	tests := map[string]struct {
		invoke  invoker
		message string
	}{
		"throttled": {func(*lambda.InvokeInput) (*lambda.InvokeOutput, error) { return nil, throttled },
			"TooManyRequestsException"},
		"no active model": {output("Unhandled", `{"errorMessage":"no active model","errorType":"errorString"}`),
			"it failed: no active model"},
		"time-out": {output("Unhandled", `{"errorMessage":"Task timed out after 15.00 seconds"}`),
			"Task timed out"},
		"without a reason": {output("Unhandled", `oops`), "did not say why"},
		"an HTML page":     {output("", `<html>`), "breaks the contract"},
		"nothing":          {output("", `{}`), "breaks the contract"},
		"results that lack": {output("", `{"model_version":"0123456789ab","results":[],"similar":{}}`),
			"breaks the contract"},
		"another event's result": {
			output("", `{"model_version":"0123456789ab","results":[{"event_id":"`+other+
				`","recommended_items":[],"degraded":false}],"similar":{}}`),
			"event_id",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := recommender(test.invoke).Recommend(t.Context(), []activity.Event{event(t, 1)})
			require.ErrorContains(t, err, "inference function inference: ")
			require.ErrorContains(t, err, test.message)
		})
	}
}

// The worst that the contracts allow stays below what Lambda takes, whatever the codes' characters.
func TestLargestBatchFitsAnInvocation(t *testing.T) {
	for _, character := range []string{"0", `\`, "<"} {
		code := func(number int) string {
			return strings.Repeat(character, activity.MaxProductCode-6) + fmt.Sprintf("%06d", number)
		}
		cart := make([]string, activity.MaxBrowseHistory-1)
		for i := range cart {
			cart[i] = code(i)
		}
		var largest int
		ask := recommender(func(input *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
			largest = max(largest, len(input.Payload))
			return nil, errors.New("enough")
		})
		events := make([]activity.Event, batchEvents)
		for i := range events {
			events[i] = event(t, i, cart...)
			events[i].City = strings.Repeat("\u2028", activity.MaxPlace)
			events[i].Country = events[i].City
		}
		_, err := ask.Recommend(t.Context(), events)
		require.Error(t, err)
		assert.Less(t, largest, inference.MaxBytes, "of %s", character)

		neighbours := make([]recommendation.Neighbour, similarPerProduct)
		for i := range neighbours {
			neighbours[i] = recommendation.Neighbour{ID: cart[i], Distance: 1.2345678901234567e-05}
		}
		items := make([]recommendation.Item, itemsPerEvent)
		for i := range items {
			items[i] = recommendation.Item{ID: cart[i], Score: -1.2345678901234567e-05}
		}
		answer := inference.BatchAnswer{ModelVersion: version, Similar: map[string][]recommendation.Neighbour{}}
		for i := range batchEvents {
			answer.Results = append(answer.Results, inference.BatchResult{EventID: uuid.New(), Items: items})
			for product := range activity.MaxProducts {
				answer.Similar[code(i*activity.MaxProducts+product)] = neighbours
			}
		}
		payload, err := answer.Encode()
		require.NoError(t, err)
		assert.Less(t, len(payload), inference.MaxBytes, "of %s", character)
	}
}
