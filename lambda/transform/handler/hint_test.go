package handler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/config"
	"diecast/internal/activity"
	"diecast/internal/artifacts"
	"diecast/internal/classicmodels"
	"diecast/internal/inference"
	"diecast/internal/metrics"
	"diecast/internal/models"
	"diecast/internal/quotas"
	"diecast/internal/recommendation"
	"diecast/lambda/internal/recommender"
	"diecast/lambda/transform/handler"
	shipped "diecast/training/artifacts"
)

var at = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

// catalogue answers as inference does, with the products and vectors of a model.
type catalogue struct {
	version string
	items   []artifacts.ItemEmbedding
	similar map[string][]recommendation.Neighbour
	// score of all items, where it is not that of their vectors.
	score float64
}

func theShippedOne(t *testing.T) catalogue {
	t.Helper()
	folder, version, err := shipped.Model()
	require.NoError(t, err)
	model, err := artifacts.Verify(folder)
	require.NoError(t, err)
	return newCatalogue(version, model.Items)
}

func newCatalogue(version string, items []artifacts.ItemEmbedding) catalogue {
	c := catalogue{version: version, items: items, similar: map[string][]recommendation.Neighbour{}}
	for _, item := range items {
		for _, other := range c.nearest(item.Vector, 6) {
			if other.ID != item.ID && len(c.similar[item.ID]) < 5 {
				c.similar[item.ID] = append(c.similar[item.ID],
					recommendation.Neighbour{ID: other.ID, Distance: 1 - other.Score})
			}
		}
	}
	return c
}

func (c catalogue) nearest(vector []float32, limit int) []recommendation.Item {
	list := make([]recommendation.Item, len(c.items))
	for i, item := range c.items {
		list[i] = recommendation.Item{ID: item.ID, Score: c.score}
		if c.score != 0 {
			continue
		}
		for d, value := range item.Vector {
			list[i].Score += float64(value) * float64(vector[d])
		}
	}
	slices.SortStableFunc(list, func(a, b recommendation.Item) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list[:min(limit, len(list))]
}

// Invoke is the inference function.
func (c catalogue) Invoke(_ context.Context, input *lambda.InvokeInput,
	_ ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	request, err := inference.DecodeBatchRequest(input.Payload)
	if err != nil {
		return nil, err
	}
	answer := inference.BatchAnswer{ModelVersion: c.version, Similar: map[string][]recommendation.Neighbour{}}
	for i, event := range request.Events {
		// Some product's vector stands for the customer's.
		ranking := c.nearest(c.items[(event.CustomerNumber+i)%len(c.items)].Vector, request.Limit+len(event.Cart))
		answer.Results = append(answer.Results, inference.BatchResult{EventID: event.EventID,
			Items: recommendation.NotInCart(ranking, event.Cart, request.Limit)})
		for _, product := range event.Products() {
			if similar, known := c.similar[product]; known {
				answer.Similar[product] = similar
			}
		}
	}
	payload, err := answer.Encode()
	return &lambda.InvokeOutput{Payload: payload}, err
}

// firehose gathers events until they are as many bytes as the buffer allows, and the first beyond,
// or until the request would be larger than Lambda admits.
func firehose(t *testing.T, events iter.Seq[[]byte], buffer int) handler.Request {
	t.Helper()
	type record = map[string]any
	write := func(value any) []byte {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		return text
	}
	gathered, held := [][]byte{}, 0
	request := []byte(`{"invocationId":"c17a4b4f-5d5c-4b7f-9a0e-3f1c0e6b7a55",` +
		`"sourceKinesisStreamArn":"arn:aws:kinesis:us-east-1:123456789012:stream/activity","records":[`)
	size := len(request) + len("]}")
	for event := range events {
		sequence := fmt.Sprintf("49%054d", len(gathered))
		text := write(record{
			"recordId": sequence + "000000", "approximateArrivalTimestamp": at.UnixMilli(), "data": event,
			"kinesisRecordMetadata": record{
				"sequenceNumber": sequence, "subsequenceNumber": 0, "partitionKey": "k",
				"shardId": "shardId-000000000000", "approximateArrivalTimestamp": at.UnixMilli(),
			},
		})
		if size += len(text) + len(","); size > quotas.LambdaPayload {
			break
		}
		gathered = append(gathered, text)
		if held += len(event); held > buffer {
			break
		}
	}
	request = append(append(request, bytes.Join(gathered, []byte(","))...), "]}"...)
	var read handler.Request
	require.NoError(t, json.Unmarshal(request, &read))
	return read
}

// outcome counts what becomes of a batch's records, and the bytes of its answer.
type outcome struct{ whole, truncated, refused, bytes int }

// answer lets the transform function answer a batch with the catalogue.
func (c catalogue) answer(t *testing.T, request handler.Request) (result outcome) {
	t.Helper()
	response, err := handler.Handler{
		Recommender: recommender.Recommender{Invoker: c, Function: "inference", Clock: func() time.Time { return at }},
		Logger:      slog.New(slog.DiscardHandler), Metrics: metrics.Writer{Output: io.Discard},
	}.Handle(t.Context(), request)
	require.NoError(t, err)
	for _, record := range response.Records {
		if record.Result != "Ok" {
			result.refused++
			continue
		}
		decoded, err := recommendation.Decode(record.Line)
		require.NoError(t, err)
		if decoded.Truncated {
			result.truncated++
		} else {
			result.whole++
		}
	}
	text := response.Encode()
	result.bytes = len(text)
	return result
}

// generated events of so many sessions at a time, in one of both spellings.
func generated(t *testing.T, seed uint64, sessions int, courseFields bool) iter.Seq[[]byte] {
	t.Helper()
	shop, err := classicmodels.New(classicmodels.DefaultOptions())
	require.NoError(t, err)
	events, err := shop.Events(classicmodels.EventOptions{Seed: seed, Sessions: sessions, CourseFields: courseFields})
	require.NoError(t, err)
	return func(yield func([]byte) bool) {
		for event := range events {
			if !yield(event.Payload) {
				return
			}
		}
	}
}

// hints are the buffers to try, in bytes: those of the profiles and the largest that is allowed.
func hints(t *testing.T) []int {
	t.Helper()
	mebibytes := []float64{config.MostProcessorBufferMiB}
	for _, profile := range config.Profiles() {
		loaded, err := config.Load(map[string]any{"profile": profile})
		require.NoError(t, err)
		mebibytes = append(mebibytes, loaded.Streaming.ProcessorBufferMiB)
	}
	slices.Sort(mebibytes)
	var bytes []int
	for _, hint := range slices.Compact(mebibytes) {
		bytes = append(bytes, int(hint*(1<<20)))
	}
	return bytes
}

func TestAShopsEventsAreAnsweredWholeInEveryProfile(t *testing.T) {
	model := theShippedOne(t)
	for _, hint := range hints(t) {
		for _, course := range []bool{false, true} {
			for _, sessions := range []int{20, 1000} { // at work for long, and just opened
				result := model.answer(t, firehose(t, generated(t, uint64(sessions), sessions, course), hint))
				assert.Greater(t, result.whole, 500)
				assert.Equal(t, outcome{whole: result.whole, bytes: result.bytes}, result,
					"hint %d, the course's spelling: %t", hint, course)
			}
		}
	}
}

// What the buffers of other days did is seen here.
func TestLargerBuffersTruncateAndRefuse(t *testing.T) {
	model := theShippedOne(t)
	assert.Positive(t, model.answer(t, firehose(t, generated(t, 1, 1000, true), 12<<20/10)).truncated)
	assert.Positive(t, model.answer(t, firehose(t, repeated(smallest), 7<<20/10)).refused)
	_, err := config.Load(map[string]any{"streaming.processorBufferMiB": config.MostProcessorBufferMiB + 0.01})
	require.ErrorContains(t, err, "streaming.processorBufferMiB")
}

// smallest is the shortest event that the contract admits.
const smallest = `{"session_id":"s","customer_number":1,"city":"","country":"","credit_limit":0}`

func repeated(events ...string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; yield([]byte(events[i%len(events)])); i++ {
		}
	}
}

// browsing is an event with so many products, all in the cart or none.
func browsing(products int, cart bool, code func(int) string) string {
	entries := make([]string, products)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"product_code":%q,"quantity":1,"in_shopping_cart":%t}`, code(i), cart)
	}
	return strings.TrimSuffix(smallest, "}") + `,"browse_history":[` + strings.Join(entries, ",") + "]}"
}

// codes of products, as long as the contract admits.
func codes(i int) string { return fmt.Sprintf("%0*d", activity.MaxProductCode, i) }

// stretched is a catalogue in which everything takes as much room as it can.
func stretched(code func(int) string) catalogue {
	var items []artifacts.ItemEmbedding
	for i := range 60 {
		vector := make([]float32, models.Dimension)
		for d := range vector {
			vector[d] = -0.17677 + float32(i*d%7)*1e-4 // such as -0.9987654: all digits, and a sign
			if i%2 == 1 {
				vector[d] = -vector[d]
			}
		}
		items = append(items, artifacts.ItemEmbedding{ID: code(i), Vector: vector})
	}
	return newCatalogue("0123456789ab", items)
}

func TestHandMadeEventsMayBeTruncatedAndAreNeverRefused(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	all := map[string][]string{
		"the smallest":             {smallest},
		"as many as are looked up": {browsing(activity.MaxProducts, false, codes)},
		"a full cart":              {browsing(activity.MaxBrowseHistory, true, codes)},
		"a note as long as may be": {strings.TrimSuffix(smallest, "}") +
			`,"note":"` + strings.Repeat("n", activity.MaxBytes-len(smallest)-len(`,"note":""`)) + `"}`},
	}
	var mixed []string
	for range 1000 {
		products := random.IntN(random.IntN(activity.MaxBrowseHistory) + 1)
		mixed = append(mixed, browsing(products, random.IntN(2) == 0, codes))
	}
	all["a mixture"] = mixed
	// What breaks the contract is answered too, and takes room: as much of it as a request holds.
	junk := []string{"{", "{", "{", smallest}
	largest := slices.Max(hints(t))
	plain := stretched(codes)
	for kind, events := range all {
		result := plain.answer(t, firehose(t, repeated(events...), largest))
		assert.Positive(t, result.whole+result.truncated)
		assert.Zero(t, result.refused, "%s: %+v", kind, result)
	}
	result := plain.answer(t, firehose(t, repeated(junk...), largest))
	assert.Equal(t, 3*result.whole, result.refused, "%+v", result)
	// JSON writes each of these characters as two.
	doubled := stretched(func(i int) string {
		return strings.Repeat(`\`, activity.MaxProductCode-2) + fmt.Sprintf("%02d", i)
	})
	// The first is the longest that seven digits can be: below a millionth they get an exponent.
	for _, score := range []float64{-0.000001234567, -1.234567e-10, -1.234567e-300, -0.9987654} {
		doubled.score = score
		result = doubled.answer(t, firehose(t, repeated(smallest), largest))
		assert.Zero(t, result.refused, "score %v: %+v", score, result)
	}
}
