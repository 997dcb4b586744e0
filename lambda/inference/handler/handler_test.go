package handler

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/local/postgres/postgrestest"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/postgresclient"
	"diecast/internal/recommendation"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Run(m)) }

// unhurried is time enough for a rung on a loaded machine, where a test is not about the time.
const unhurried = 20 * time.Second

// platform is a handler with a store and a bucket of its own. It reads with the role that it has on
// AWS.
type platform struct {
	Handler
	owner    *embeddings.Store
	reading  *pgxpool.Pool
	objects  *modelstoretest.Objects
	logs     *bytes.Buffer
	database string
}

func newPlatform(t testing.TB) *platform {
	t.Helper()
	cluster, database := postgrestest.Cluster(t), postgrestest.Database(t)
	pool := func(dsn string) *pgxpool.Pool {
		settings, err := postgresclient.Pool(dsn)
		require.NoError(t, err)
		pool, err := pgxpool.NewWithConfig(context.Background(), settings)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return pool
	}
	admin := pool(cluster.DSN(database))
	p := &platform{owner: embeddings.NewStore(admin), objects: modelstoretest.New(), logs: &bytes.Buffer{},
		database: database}
	_, err := p.owner.Migrate(t.Context())
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), "ALTER ROLE inference_reader PASSWORD 'reader'")
	require.NoError(t, err)
	p.reading = pool(cluster.DSNFor("inference_reader", "reader", database))
	p.Handler = Handler{Engine: &Engine{
		Store: embeddings.NewStore(p.reading), Bucket: p.objects.Bucket(),
		Logger: slog.New(slog.NewJSONHandler(p.logs, nil)), RungTime: unhurried,
	}}
	return p
}

// load puts a model into bucket and store, and switches to it.
func (p *platform) load(t testing.TB, seed uint64) artifacts.Model {
	t.Helper()
	folder, manifest := modelstoretest.Embeddings(t, seed, 20, 5, artifacts.Trained)
	p.objects.Put(t, folder, manifest)
	items, err := folder.Open(artifacts.ItemEmbeddings)
	require.NoError(t, err)
	users, err := folder.Open(artifacts.UserEmbeddings)
	require.NoError(t, err)
	_, err = p.owner.Load(t.Context(), embeddings.Model{
		Version: manifest.ModelVersion, Origin: embeddings.Trained, Items: items, Users: users,
		ItemCount: int(manifest.Items.Rows), UserCount: int(manifest.Users.Rows),
	}, embeddings.Switch)
	require.NoError(t, err)
	return artifacts.Model{Manifest: manifest}
}

func event(customer int, cart, browsed []string) inference.BatchEvent {
	return inference.BatchEvent{
		EventID: uuid.New(), CustomerNumber: customer, City: "Nantes", Country: "France", CreditLimit: 21000,
		Cart: append([]string{}, cart...), Browsed: append([]string{}, browsed...),
	}
}

// ask sends a batch and reads the answer as its caller does, which checks the contract.
func (p *platform) ask(t testing.TB, request inference.BatchRequest) (inference.BatchAnswer, error) {
	t.Helper()
	payload, err := request.Encode()
	require.NoError(t, err)
	answer, err := p.Handle(t.Context(), payload)
	if err != nil {
		return inference.BatchAnswer{}, err
	}
	wire, err := json.Marshal(answer)
	require.NoError(t, err)
	return inference.DecodeBatchAnswer(wire, request)
}

func (p *platform) http(t testing.TB, method, path, body string,
	query map[string]string) events.LambdaFunctionURLResponse {
	t.Helper()
	request := events.LambdaFunctionURLRequest{RawPath: path, Body: body, QueryStringParameters: query}
	request.RequestContext.HTTP.Method = method
	payload, err := json.Marshal(request)
	require.NoError(t, err)
	answer, err := p.Handle(t.Context(), payload)
	require.NoError(t, err)
	response := answer.(events.LambdaFunctionURLResponse)
	assert.Equal(t, "application/json", response.Headers["Content-Type"])
	assert.True(t, json.Valid([]byte(response.Body)), response.Body)
	return response
}

func TestWithoutAModelBatchesFailSoThatTheyAreRetried(t *testing.T) {
	p := newPlatform(t)
	_, err := p.ask(t, inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{event(100, nil, nil)}})
	require.ErrorIs(t, err, embeddings.ErrNoActiveModel)
	require.ErrorContains(t, err, "no active model")
}

func TestWithoutAModelRoutesAnswer503(t *testing.T) {
	p := newPlatform(t)
	vector := "[1" + strings.Repeat(",0", 31) + "]"
	for _, response := range []events.LambdaFunctionURLResponse{
		p.http(t, http.MethodPost, "/user_embeddings", `[{"city":"Nantes","country":"France","creditlimit":1}]`, nil),
		p.http(t, http.MethodPost, "/items_from_user", vector, nil),
		p.http(t, http.MethodGet, "/items_from_item", "", map[string]string{"item_id": "P_000"}),
	} {
		assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		assert.JSONEq(t, `{"error":"no active model"}`, response.Body)
		assert.Equal(t, "30", response.Headers["Retry-After"])
	}
}

func TestBrokenContractsAreRefusedWithReasons(t *testing.T) {
	p := newPlatform(t) // without a model: a breach is told first
	for name, test := range map[string]struct {
		method, path, body string
		query              map[string]string
		status             int
		message            string
	}{
		"no customers": {http.MethodPost, "/user_embeddings", `[]`, nil, 400, "an array of 1 to 1000 values"},
		"course's spelling": {http.MethodPost, "/user_embeddings", `[{"city":"x","country":"y","credit_limit":1}]`,
			nil, 400, "creditlimit"},
		"short vector": {http.MethodPost, "/items_from_user", `[1,2]`, nil, 400, "an array of 32 to 32 values"},
		"no JSON":      {http.MethodPost, "/items_from_user", `<`, nil, 400, "one JSON value"},
		"limit of zero": {http.MethodGet, "/items_from_item", "", map[string]string{"item_id": "a", "limit": "0"},
			400, "limit"},
		"no item":            {http.MethodGet, "/items_from_item", "", nil, 400, "item_id"},
		"unknown route":      {http.MethodGet, "/", "", nil, 404, "POST /user_embeddings"},
		"wrong method":       {http.MethodGet, "/user_embeddings", "", nil, 405, "takes POST, not GET"},
		"wrong method again": {http.MethodPost, "/items_from_item", "", nil, 405, "takes GET, not POST"},
	} {
		t.Run(name, func(t *testing.T) {
			response := p.http(t, test.method, test.path, test.body, test.query)
			assert.Equal(t, test.status, response.StatusCode)
			assert.Contains(t, response.Body, test.message)
			if test.status == 405 {
				assert.NotEmpty(t, response.Headers["Allow"])
			}
		})
	}
	_, err := p.Handle(t.Context(), json.RawMessage(`{"limit":0,"events":[]}`))
	require.ErrorContains(t, err, "the batch breaks the contract")
	_, err = p.Handle(t.Context(), json.RawMessage(`[]`))
	require.ErrorContains(t, err, "the batch breaks the contract")
}

func TestBase64BodiesAreDecoded(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	request := events.LambdaFunctionURLRequest{RawPath: "/items_from_user", IsBase64Encoded: true,
		Body: base64.StdEncoding.EncodeToString([]byte("[1" + strings.Repeat(",0", 31) + "]"))}
	request.RequestContext.HTTP.Method = http.MethodPost
	assert.Equal(t, http.StatusOK, p.serve(t.Context(), request).StatusCode)
	request.Body = "%"
	assert.Equal(t, http.StatusBadRequest, p.serve(t.Context(), request).StatusCode)
}

func TestEmbeddingsOnlyKnownCustomersAreServedAndOthersGetTheMostPopular(t *testing.T) {
	p := newPlatform(t)
	model := p.load(t, 1)
	cart := []string{modelstoretest.Product(0), modelstoretest.Product(3)}
	request := inference.BatchRequest{Limit: 4, Events: []inference.BatchEvent{
		event(101, cart, []string{modelstoretest.Product(7)}), event(999, cart, nil),
		event(102, nil, []string{"unknown"}), event(101, nil, nil),
	}}
	answer, err := p.ask(t, request)
	require.NoError(t, err)
	assert.Equal(t, model.Manifest.ModelVersion, answer.ModelVersion)
	assert.Equal(t, []recommendation.Rung{recommendation.Store, recommendation.Popular, recommendation.Store,
		recommendation.Store}, rungs(answer))
	for _, result := range answer.Results {
		assert.Len(t, result.Items, 4)
	}
	assert.Equal(t, []recommendation.Item{{ID: "P_001", Score: 19}, {ID: "P_002", Score: 18}, {ID: "P_004", Score: 16},
		{ID: "P_005", Score: 15}},
		answer.Results[1].Items, "the most popular that are not in the cart")
	assert.ElementsMatch(t, []string{"P_000", "P_003", "P_007"}, keys(answer.Similar),
		"products that the model does not know have no entry")
	for _, similar := range answer.Similar {
		assert.Len(t, similar, 4)
	}

	request.SimilarLimit = 2
	answer, err = p.ask(t, request)
	require.NoError(t, err)
	assert.Len(t, answer.Results[0].Items, 4)
	for _, similar := range answer.Similar {
		assert.Len(t, similar, 2)
	}
}

func rungs(answer inference.BatchAnswer) (rungs []recommendation.Rung) {
	for _, result := range answer.Results {
		rungs = append(rungs, result.Rung)
	}
	return rungs
}

func keys[V any](values map[string]V) []string {
	var list []string
	for key := range values {
		list = append(list, key)
	}
	return list
}

func TestBatchAgreesWithTheRoutesAndTheCoursesQuery(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	answer, err := p.ask(t, inference.BatchRequest{Limit: 5,
		Events: []inference.BatchEvent{event(103, nil, []string{"P_004"})}})
	require.NoError(t, err)

	var vector string
	require.NoError(t, p.reading.QueryRow(t.Context(),
		"select embedding::text from user_emb where id = 103").Scan(&vector))
	response := p.http(t, http.MethodPost, "/items_from_user", vector, map[string]string{"limit": "5"})
	items, err := inference.DecodeItems([]byte(response.Body))
	require.NoError(t, err)
	assert.Equal(t, answer.Results[0].Items, items)

	response = p.http(t, http.MethodGet, "/items_from_item", "", map[string]string{"item_id": "P_004"})
	neighbours, err := inference.DecodeNeighbours([]byte(response.Body))
	require.NoError(t, err)
	assert.Equal(t, answer.Similar["P_004"], neighbours)

	assert.Equal(t, http.StatusNotFound, p.http(t, http.MethodGet, "/items_from_item", "",
		map[string]string{"item_id": "none"}).StatusCode)
	response = p.http(t, http.MethodPost, "/user_embeddings", `[{"city":"Nantes","country":"France","creditlimit":1}]`,
		nil)
	assert.Equal(t, http.StatusNotImplemented, response.StatusCode)
	assert.Contains(t, response.Body, "no towers")
}

func TestInferenceFollowsTheStore(t *testing.T) {
	p := newPlatform(t)
	request := inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{event(100, nil, nil)}}
	for seed := range uint64(3) {
		model := p.load(t, seed)
		answer, err := p.ask(t, request)
		require.NoError(t, err)
		assert.Equal(t, model.Manifest.ModelVersion, answer.ModelVersion)
		assert.False(t, answer.Results[0].Rung.Degraded())
	}
	previous, err := p.owner.Rollback(t.Context())
	require.NoError(t, err)
	answer, err := p.ask(t, request)
	require.NoError(t, err)
	assert.Equal(t, previous.Version, answer.ModelVersion)
}

// While the store switches to and fro, every answer comes from one model as a whole.
func TestTwoModelsNeverMix(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	p.load(t, 2)
	request := inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{event(100, nil, []string{"P_001"})}}
	want := map[string]inference.BatchAnswer{}
	for range 2 {
		answer, err := p.ask(t, request)
		require.NoError(t, err)
		want[answer.ModelVersion] = answer
		_, err = p.owner.Rollback(t.Context())
		require.NoError(t, err)
	}
	require.Len(t, want, 2)
	ctx, cancel := context.WithCancel(t.Context())
	switched := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if _, err := p.owner.Rollback(context.Background()); err != nil {
				switched <- err
				return
			}
		}
		switched <- nil
	}()
	fresh := 0
	for range 200 {
		answer, err := p.ask(t, request)
		require.NoError(t, err)
		// a store that moves on faster than it is followed leaves memory
		if answer.Results[0].Rung == recommendation.Store {
			require.Equal(t, want[answer.ModelVersion], answer)
			fresh++
		}
	}
	cancel()
	require.NoError(t, <-switched)
	assert.Positive(t, fresh)
}

func TestStoreThatIsDownLeavesTheMostPopularWhereItemsDoNotFitIntoMemory(t *testing.T) {
	p := newPlatform(t)
	model := p.load(t, 1)
	request := inference.BatchRequest{Limit: 3, Events: []inference.BatchEvent{event(100, []string{"P_001"},
		[]string{"P_002"})}}
	_, err := p.ask(t, request)
	require.NoError(t, err)
	p.Engine.loaded().items = nil
	p.reading.Close()
	answer, err := p.ask(t, request)
	require.NoError(t, err)
	assert.Equal(t, model.Manifest.ModelVersion, answer.ModelVersion)
	assert.True(t, answer.Results[0].Rung.Degraded())
	assert.Equal(t, []recommendation.Item{{ID: "P_000", Score: 20}, {ID: "P_002", Score: 18}, {ID: "P_003", Score: 17}},
		answer.Results[0].Items)
	assert.Empty(t, answer.Similar)
	assert.Contains(t, p.logs.String(), "the most popular products answer")
	response := p.http(t, http.MethodGet, "/items_from_item", "", map[string]string{"item_id": "P_000"})
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
}

func TestStoreThatIsDownFromTheStartIsAnError(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	p.reading.Close()
	_, err := p.ask(t, inference.BatchRequest{Limit: 3, Events: []inference.BatchEvent{event(100, nil, nil)}})
	require.Error(t, err)
}

func TestDamagedManifestIsRefused(t *testing.T) {
	p := newPlatform(t)
	first := p.load(t, 1)
	request := inference.BatchRequest{Limit: 3, Events: []inference.BatchEvent{event(100, nil, nil)}}
	second := p.load(t, 2)
	p.objects.Change(second.Manifest.ModelVersion, artifacts.ManifestName,
		[]byte(`{"model_version":"`+second.Manifest.ModelVersion+`"}`))
	_, err := p.ask(t, request)
	require.ErrorContains(t, err, "model "+second.Manifest.ModelVersion+" is refused")

	_, err = p.owner.Rollback(t.Context())
	require.NoError(t, err)
	answer, err := p.ask(t, request)
	require.NoError(t, err)
	assert.Equal(t, first.Manifest.ModelVersion, answer.ModelVersion)
	_, err = p.owner.Rollback(t.Context())
	require.NoError(t, err)
	answer, err = p.ask(t, request)
	require.NoError(t, err, "the model in memory answers")
	assert.Equal(t, first.Manifest.ModelVersion, answer.ModelVersion)
	assert.Equal(t, recommendation.Memory, answer.Results[0].Rung)
}

func BenchmarkBatch(b *testing.B) {
	p := newPlatform(b)
	p.load(b, 1)
	request := inference.BatchRequest{Limit: 5}
	for i := range 100 {
		request.Events = append(request.Events, event(100+i%5, []string{"P_001"},
			[]string{fmt.Sprintf("P_%03d", i%20)}))
	}
	for b.Loop() {
		if _, err := p.ask(b, request); err != nil {
			b.Fatal(err)
		}
	}
}

// What Lambda's runtime gets is what it would have made of the answer itself.
func TestInvokeWritesWhatIsAnswered(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	request := inference.BatchRequest{Limit: 4, Events: []inference.BatchEvent{event(100, nil, []string{"P_001"})}}
	batch, err := request.Encode()
	require.NoError(t, err)
	request.Events[0].City = "requestContext"
	named, err := request.Encode()
	require.NoError(t, err)
	route, err := json.Marshal(map[string]any{
		"rawPath": "/items_from_item", "queryStringParameters": map[string]string{"item_id": "P_000"},
		"requestContext": map[string]any{"http": map[string]string{"method": "GET"}},
	})
	require.NoError(t, err)
	for name, payload := range map[string][]byte{"a batch": batch, "a batch with the name": named, "a route": route} {
		answer, err := p.Handle(t.Context(), payload)
		require.NoError(t, err, name)
		want, err := json.Marshal(answer)
		require.NoError(t, err, name)
		got, err := p.Invoke(t.Context(), payload)
		require.NoError(t, err, name)
		assert.JSONEq(t, string(want), string(got), name)
	}
	_, err = p.Invoke(t.Context(), []byte(`{}`))
	require.ErrorContains(t, err, "the batch breaks the contract")
}
