package inference_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/inference"
	"diecast/internal/recommendation"
	"diecast/test/contracts"
)

func discard[T any](decode func([]byte) (T, error)) func([]byte) error {
	return func(data []byte) error {
		_, err := decode(data)
		return err
	}
}

func query(read func(map[string]string) error) func([]byte) error {
	return func(data []byte) error {
		var parameters map[string]string
		if err := json.Unmarshal(data, &parameters); err != nil {
			return err
		}
		return read(parameters)
	}
}

func request(t testing.TB) inference.BatchRequest {
	decoded, err := inference.DecodeBatchRequest(contracts.Load(t, "inference_request").Example(t, "two"))
	require.NoError(t, err)
	return decoded
}

func TestContracts(t *testing.T) {
	batch := request(t)
	for name, decode := range map[string]func([]byte) error{
		"inference_request": discard(inference.DecodeBatchRequest),
		"inference_answer": func(data []byte) error {
			_, err := inference.DecodeBatchAnswer(data, batch)
			return err
		},
		"route_user_embeddings_request": discard(inference.DecodeCustomers),
		"route_user_embeddings_answer":  discard(inference.DecodeVectors),
		"route_items_from_user_request": discard(inference.DecodeVector),
		"route_items_from_user_answer":  discard(inference.DecodeItems),
		"route_items_from_item_answer":  discard(inference.DecodeNeighbours),
		"route_items_from_user_query": query(func(parameters map[string]string) error {
			_, err := inference.ReadItemsFromUserQuery(parameters)
			return err
		}),
		"route_items_from_item_query": query(func(parameters map[string]string) error {
			_, err := inference.ReadItemsFromItemQuery(parameters)
			return err
		}),
	} {
		t.Run(name, func(t *testing.T) { contracts.Check(t, name, decode) })
	}
}

func TestProductsGetAsManyAsEventsUnlessTheRequestSaysHowMany(t *testing.T) {
	suite := contracts.Load(t, "inference_request")
	assert.Equal(t, 5, request(t).SimilarLimit)
	data, err := inference.BatchRequest{Limit: 5, SimilarLimit: 3, Events: request(t).Events}.Encode()
	require.NoError(t, err)
	read, err := inference.DecodeBatchRequest(data)
	require.NoError(t, err)
	assert.Equal(t, []int{5, 3}, []int{read.Limit, read.SimilarLimit})
	assert.NotContains(t, string(suite.Example(t, "two")), "similar_limit",
		"what the first callers send stays a request")
}

func TestQueryWithoutLimitAsksForFive(t *testing.T) {
	limit, err := inference.ReadItemsFromUserQuery(nil)
	require.NoError(t, err)
	assert.Equal(t, 5, limit)
	read, err := inference.ReadItemsFromItemQuery(map[string]string{"item_id": "S10_1678", "limit": "7"})
	require.NoError(t, err)
	assert.Equal(t, inference.ItemsFromItemQuery{ItemID: "S10_1678", Limit: 7}, read)
}

func TestNewBatchEventHoldsTheWholeCartAndBoundsTheRest(t *testing.T) {
	event := activity.Event{City: " Lyon", BrowseHistory: []activity.Browse{{ProductCode: "B0"}}}
	for i := range 25 {
		event.BrowseHistory = append(event.BrowseHistory, activity.Browse{ProductCode: string(rune('a' + i)),
			InShoppingCart: true})
	}
	batch := inference.NewBatchEvent(event)
	assert.Len(t, batch.Cart, 25, "all of it is excluded from the recommendations")
	assert.Empty(t, batch.Browsed, "the cart alone fills the products")
	assert.Equal(t, event.Products(), batch.Products())
	assert.Equal(t, " Lyon", batch.City, "inference normalises")

	event.BrowseHistory = event.BrowseHistory[:3]
	batch = inference.NewBatchEvent(event)
	assert.Equal(t, []string{"a", "b"}, batch.Cart)
	assert.Equal(t, []string{"B0"}, batch.Browsed)
	assert.Equal(t, []string{"a", "b", "B0"}, batch.Products())
}

func TestAnswersMayHaveAsManyItemsAsAskedFor(t *testing.T) {
	batch := inference.BatchRequest{Limit: 2, Events: []inference.BatchEvent{inference.NewBatchEvent(activity.Event{})}}
	answer := func(items ...recommendation.Item) error {
		data, err := inference.BatchAnswer{
			ModelVersion: "0123456789ab", Results: []inference.BatchResult{{Items: items}},
			Similar: map[string][]recommendation.Neighbour{},
		}.Encode()
		require.NoError(t, err)
		_, err = inference.DecodeBatchAnswer(data, batch)
		return err
	}
	require.NoError(t, answer(recommendation.Item{ID: "S1"}, recommendation.Item{ID: "S2"}))
	require.ErrorContains(t, answer(recommendation.Item{ID: "S1"}, recommendation.Item{ID: "S2"},
		recommendation.Item{ID: "S3"}),
		"at most 2 items")
}

func TestEncodedBatchesAreAccepted(t *testing.T) {
	batch := inference.BatchRequest{Limit: 5, SimilarLimit: 5,
		Events: []inference.BatchEvent{inference.NewBatchEvent(activity.Event{})}}
	data, err := batch.Encode()
	require.NoError(t, err)
	decoded, err := inference.DecodeBatchRequest(data)
	require.NoError(t, err)
	assert.Equal(t, batch, decoded)

	answer := inference.BatchAnswer{ModelVersion: "0123456789ab",
		Results: []inference.BatchResult{{Items: []recommendation.Item{{ID: "S1", Score: 0.5}}}},
		Similar: map[string][]recommendation.Neighbour{"S2": {{ID: "S3", Distance: 0.1}}}}
	data, err = answer.Encode()
	require.NoError(t, err)
	decodedAnswer, err := inference.DecodeBatchAnswer(data, batch)
	require.NoError(t, err)
	assert.Equal(t, answer, decodedAnswer)
}

func TestBatchesAreWrittenAsTheirTagsSay(t *testing.T) {
	whole := request(t)
	odd := whole.Events[0]
	odd.City, odd.Country, odd.CreditLimit = "\"<&> \\ \u2028\x01 Zürich", "日本", 1e-7
	odd.Cart, odd.Browsed = []string{`S"1`, "<S2>"}, []string{}
	whole.Events = append(whole.Events, odd)
	for _, limit := range []int{0, 3} {
		whole.SimilarLimit = limit
		want, err := json.Marshal(whole)
		require.NoError(t, err)
		got, err := whole.Encode()
		require.NoError(t, err)
		assert.JSONEq(t, string(want), string(got))
	}
	assert.NotContains(t, string(encoded(t, whole)), `\u003c`, "what pages of HTML need takes six times the room")
	for _, limit := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		whole.Events[1].CreditLimit = limit
		_, err := whole.Encode()
		require.ErrorContains(t, err, "event 1 of the batch: credit_limit is")
	}
}

func encoded(t *testing.T, batch inference.BatchRequest) []byte {
	t.Helper()
	text, err := batch.Encode()
	require.NoError(t, err)
	return text
}

func FuzzBatchRequest(f *testing.F) {
	suite := contracts.Load(f, "inference_request")
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		decoded, err := inference.DecodeBatchRequest(data)
		suite.Agree(t, data, err)
		if err == nil {
			encoded, err := decoded.Encode()
			require.NoError(t, err)
			again, err := inference.DecodeBatchRequest(encoded)
			require.NoError(t, err)
			require.Equal(t, decoded, again)
		}
	})
}

func FuzzBatchAnswer(f *testing.F) {
	suite, batch := contracts.Load(f, "inference_answer"), request(f)
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		decoded, err := inference.DecodeBatchAnswer(data, batch)
		suite.Agree(t, data, err)
		if err == nil {
			encoded, err := decoded.Encode()
			require.NoError(t, err)
			again, err := inference.DecodeBatchAnswer(encoded, batch)
			require.NoError(t, err)
			require.Equal(t, decoded, again)
		}
	})
}

func fuzzAgainstSchema[T any](f *testing.F, name string, decode func([]byte) (T, error)) {
	suite := contracts.Load(f, name)
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		decoded, err := decode(data)
		suite.Agree(t, data, err)
		if err == nil {
			encoded, err := json.Marshal(decoded)
			require.NoError(t, err)
			again, err := decode(encoded)
			require.NoError(t, err)
			require.Equal(t, decoded, again)
		}
	})
}

func FuzzCustomers(f *testing.F) {
	fuzzAgainstSchema(f, "route_user_embeddings_request", inference.DecodeCustomers)
}

func FuzzVectors(f *testing.F) {
	fuzzAgainstSchema(f, "route_user_embeddings_answer", inference.DecodeVectors)
}

func FuzzVector(f *testing.F) {
	fuzzAgainstSchema(f, "route_items_from_user_request", inference.DecodeVector)
}

func FuzzItems(f *testing.F) {
	fuzzAgainstSchema(f, "route_items_from_user_answer", inference.DecodeItems)
}

func FuzzNeighbours(f *testing.F) {
	fuzzAgainstSchema(f, "route_items_from_item_answer", inference.DecodeNeighbours)
}

func FuzzItemsFromItemQuery(f *testing.F) {
	suite := contracts.Load(f, "route_items_from_item_query")
	f.Add("S10_1678", "5")
	f.Add("", "0")
	f.Fuzz(func(t *testing.T, id, limit string) {
		parameters := map[string]string{"item_id": id, "limit": limit}
		document, err := json.Marshal(parameters)
		require.NoError(t, err)
		_, err = inference.ReadItemsFromItemQuery(parameters)
		suite.Agree(t, document, err)
	})
}

func TestMeasuresThatAreNoNumbersAreNamed(t *testing.T) {
	_, err := inference.BatchAnswer{
		ModelVersion: "0123456789ab",
		Results:      []inference.BatchResult{{Items: []recommendation.Item{{ID: "A", Score: math.NaN()}}}},
		Similar:      map[string][]recommendation.Neighbour{"B": {{ID: "C", Distance: math.Inf(1)}}},
	}.Encode()
	require.ErrorContains(t, err, "the score of product A is NaN")
	require.ErrorContains(t, err, "the distance of product C is +Inf")
}
