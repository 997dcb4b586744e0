package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/embeddings"
	"diecast/internal/environment"
	"diecast/internal/models/similar"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/reading"
	"diecast/internal/recommendation/row"
	"diecast/internal/sales"
)

type item = map[string]types.AttributeValue

// table is DynamoDB's in memory.
type table struct {
	mutex sync.Mutex
	rows  map[string]item
	err   error
	asked int
}

func session(key item) string { return key[row.SessionID].(*types.AttributeValueMemberS).Value }

func (t *table) put(records ...recommendation.Record) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.rows == nil {
		t.rows = map[string]item{}
	}
	for _, record := range records {
		t.rows[record.Event.SessionID] = row.Item(record, time.Hour)
	}
}

func (t *table) GetItem(ctx context.Context, input *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (
	*dynamodb.GetItemOutput, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.asked++
	return &dynamodb.GetItemOutput{Item: t.rows[session(input.Key)]}, cmp.Or(t.err, ctx.Err())
}

func (t *table) BatchGetItem(_ context.Context, input *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (
	*dynamodb.BatchGetItemOutput, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.asked++
	output := &dynamodb.BatchGetItemOutput{Responses: map[string][]item{}}
	for name, keys := range input.RequestItems {
		for _, key := range keys.Keys {
			if found, there := t.rows[session(key)]; there {
				output.Responses[name] = append(output.Responses[name], found)
			}
		}
	}
	return output, t.err
}

func (t *table) Query(_ context.Context, input *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (
	*dynamodb.QueryOutput, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.asked++
	wanted := input.ExpressionAttributeValues[":customer"].(*types.AttributeValueMemberN).Value
	output := &dynamodb.QueryOutput{}
	for _, stored := range t.rows {
		if stored[row.CustomerNumber].(*types.AttributeValueMemberN).Value == wanted {
			output.Items = append(output.Items, stored)
		}
	}
	return output, t.err
}

const (
	version, active = "0123456789ab", "fedcba987654"
	// unguessed is a session's id that nobody can guess, another one that has no row.
	unguessed = "6f1c9b7e-2d4a-4c8e-9b13-5a7d2e8f4c60"
	another   = "0b9cbe4a-6a53-4c0e-8a6f-7b0f5c1d2e3f"
	guessable = "session-1"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func popular(context.Context) (recommendation.Ranking, error) {
	ranking := recommendation.Ranking{ModelVersion: active}
	for i := range 30 {
		ranking.Items = append(ranking.Items, recommendation.Item{ID: fmt.Sprintf("P%d", i), Score: float64(30 - i)})
	}
	return ranking, nil
}

// record of a customer's event in a session; its id follows from the number, and what it recommends
// is called after it.
func record(t testing.TB, session string, customer, number int, at time.Time) recommendation.Record {
	t.Helper()
	event, err := activity.Decode(fmt.Appendf(nil, `{"session_id":%q,"customer_number":%d,"city":"Nantes",`+
		`"country":"France","credit_limit":21000,"event_id":"00000000-0000-4000-8000-%012d","event_time":%q}`,
		session, customer, number, at.UTC().Format(time.RFC3339Nano)))
	require.NoError(t, err)
	return recommendation.Record{
		Event: event, ModelVersion: version, RecommendedAt: at.UTC().Truncate(time.Millisecond),
		Items: []recommendation.Item{{ID: fmt.Sprintf("SECRET%d", number), Score: 0.5}},
		Similar: []recommendation.Similar{
			{ProductCode: "S1", Items: []recommendation.Neighbour{{ID: "S2", Distance: 0.1}}},
		},
		Rung: recommendation.Memory,
	}
}

func date(t testing.TB, text string) sales.Day {
	t.Helper()
	day, err := sales.ParseDay(text)
	require.NoError(t, err)
	return day
}

func figuresOf(t testing.TB) *sales.Figures {
	t.Helper()
	return sales.New(noon, []string{"Cars", "Ships", "Trains"},
		[]sales.Product{{Code: "C1", Name: "Coupé", Line: "Cars"}, {Code: "S1", Name: "Tug", Line: "Ships"}},
		[]sales.Item{
			{Order: 1, Day: date(t, "2005-01-10"), Country: "France", Product: "C1", Quantity: 2, Amount: 2005},
			{Order: 1, Day: date(t, "2005-01-10"), Country: "France", Product: "S1", Quantity: 1, Amount: 1000},
			{Order: 2, Day: date(t, "2005-03-20"), Country: "USA", Product: "C1", Quantity: 1, Amount: 999},
		}, []sales.Spike{{Day: date(t, "2005-03-20"), Revenue: 999, Threshold: 500}})
}

// neighbours are the vector store: it knows P1, and a product whose code has a slash.
type neighbours struct{ err error }

func (n neighbours) Similar(_ context.Context, code string) (similar.Answer, error) {
	answer := similar.Answer{ModelVersion: active}
	if code == "P1" || code == "P/1" {
		for i := range similar.Most {
			answer.Items = append(answer.Items, recommendation.Neighbour{ID: fmt.Sprintf("N%d", i),
				Distance: float64(i) / 20})
		}
	}
	return answer, n.err
}

// loggedIn is who has a header that says so.
type loggedIn struct{}

func (loggedIn) Check(r *http.Request) error {
	if r.Header.Get("X-Amzn-Oidc-Data") != "valid" {
		return errors.New("no valid login")
	}
	return nil
}

// fixture is an API over a table that has a row of each kind of session.
type fixture struct {
	*API
	table *table
	log   *bytes.Buffer
}

func newFixture(t testing.TB, change func(*Options)) fixture {
	t.Helper()
	f := fixture{table: &table{}, log: &bytes.Buffer{}}
	f.table.put(record(t, unguessed, 7, 1, time.Now()), record(t, guessable, 8, 2, time.Now()))
	state := sales.State{Figures: figuresOf(t)}
	options := Options{
		Recommendations: &reading.Reader{Table: f.table, Name: "recommendations", Popular: popular},
		Similar:         neighbours{}, Popular: popular, Sales: func() sales.State { return state },
		Access: environment.APIKnown, Login: loggedIn{}, Origins: []string{"https://shop.example.com"},
		SessionRate: 1_000_000, TokenRate: 1_000_000, Logger: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	if change != nil {
		change(&options)
	}
	f.API = New(options)
	return f
}

// contract is openapi.json, and which of its operations a request is.
var contract = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	document, err := openapi3.NewLoader().LoadFromData(openapi)
	if err != nil {
		panic(err)
	}
	router, err := gorillamux.NewRouter(document)
	if err != nil {
		panic(err)
	}
	return document, router
})

// violation is how an answer breaks the contract, nil where it does not.
func violation(request *http.Request, answer *http.Response, body []byte) error {
	document, router := contract()
	asked := request.Clone(context.Background())
	asked.Method = http.MethodGet // the document speaks for HEAD, too
	asked.URL.Scheme, asked.URL.Host, asked.Host = "", "", ""
	route, parameters, err := router.FindRoute(asked)
	nothing := err != nil || !strings.HasPrefix(request.RequestURI, Prefix)
	if nothing || request.Method != http.MethodGet && request.Method != http.MethodHead {
		if request.Method == http.MethodOptions && answer.StatusCode == http.StatusNoContent && len(body) == 0 {
			return nil
		}
		if answer.Header.Get("Content-Type") != "application/problem+json" {
			return fmt.Errorf("nothing is there, but it is %q", answer.Header.Get("Content-Type"))
		}
		if request.Method == http.MethodHead && len(body) == 0 {
			return nil
		}
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			return err
		}
		return document.Components.Schemas["Problem"].Value.VisitJSON(value, openapi3.EnableJSONSchema2020())
	}
	if request.Method == http.MethodHead && len(body) > 0 {
		return errors.New("HEAD has content")
	}
	return openapi3filter.ValidateResponse(request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, Route: route,
			PathParams: parameters},
		Status: answer.StatusCode, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true,
			ExcludeResponseBody: request.Method == http.MethodHead || answer.StatusCode == http.StatusNotModified},
	})
}

// asked is a request's answer. Each is held to the contract.
type asked struct {
	*http.Response
	text string
}

func (a asked) object(t testing.TB) map[string]any {
	t.Helper()
	var object map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.text), &object), a.text)
	return object
}

func (a asked) reason(t testing.TB) string {
	t.Helper()
	reason, _ := a.object(t)["reason"].(string)
	return reason
}

// ask with headers, given as name and value in turn.
func ask(t testing.TB, handler http.Handler, method, address string, headers ...string) asked {
	t.Helper()
	request := httptest.NewRequest(method, address, nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return deliver(t, handler, request)
}

func deliver(t testing.TB, handler http.Handler, request *http.Request) asked {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	answer := recorder.Result()
	text := recorder.Body.String()
	require.NoError(t, violation(request, answer, []byte(text)), "%s %s: %s", request.Method, request.URL, text)
	return asked{answer, text}
}

func get(t testing.TB, handler http.Handler, below string, headers ...string) asked {
	t.Helper()
	return ask(t, handler, http.MethodGet, Prefix+below, headers...)
}

func TestASessionAndACustomerAreAnswered(t *testing.T) {
	f := newFixture(t, nil)
	for name, headers := range map[string][]string{
		"session": {sessionHeader, unguessed}, "customer": {customerHeader, "7"},
	} {
		answer := get(t, f, "recommendations", headers...)
		require.Equal(t, http.StatusOK, answer.StatusCode, name)
		object := answer.object(t)
		delete(object, "recommended_at")
		delete(object, "event_time")
		assert.Equal(t, map[string]any{
			"recommended_items": []any{map[string]any{"id": "SECRET1", "score": 0.5}},
			"similar_items": []any{map[string]any{"product_code": "S1",
				"similar_items": []any{map[string]any{"id": "S2", "distance": 0.1}}}},
			"model_version": version, "rung": "memory", "degraded": false, "stranger": false,
			"event_id": "00000000-0000-4000-8000-000000000001",
		}, object, name)
		assert.Equal(t, "private, no-cache", answer.Header.Get("Cache-Control"))
		assert.Equal(t, "Authorization, Origin, Diecast-Session, Diecast-Customer", answer.Header.Get("Vary"))
	}
	for name, headers := range map[string][]string{
		"session": {sessionHeader, another}, "customer": {customerHeader, "9"},
	} {
		object := get(t, f, "recommendations", headers...).object(t)
		assert.Equal(t, true, object["stranger"], name)
		assert.Equal(t, true, object["degraded"], name)
		assert.Equal(t, active, object["model_version"])
		assert.Len(t, object["recommended_items"], 5)
		assert.NotContains(t, object, "event_id")
	}
}

func TestAWaitEndsWithTheEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		next := record(t, unguessed, 7, 3, time.Now().Add(time.Second))
		answers := make(chan asked, 1)
		begin := time.Now()
		go func() {
			answers <- get(t, f, "recommendations/wait", sessionHeader, unguessed, eventHeader, next.Event.ID.String(),
				eventTimeHeader, next.Event.Time.Format(time.RFC3339Nano))
		}()
		time.Sleep(3 * time.Second)
		f.table.put(next)
		answer := <-answers
		assert.Equal(t, true, answer.object(t)["reached"])
		assert.Equal(t, next.Event.ID.String(), answer.object(t)["event_id"])
		assert.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
		assert.Less(t, time.Since(begin), 4*time.Second)

		answer = get(t, f, "recommendations/wait", sessionHeader, unguessed, eventHeader, uuid.Max.String(),
			eventTimeHeader, "2099-01-01T00:00:00Z")
		assert.Equal(t, false, answer.object(t)["reached"])
		assert.Equal(t, next.Event.ID.String(), answer.object(t)["event_id"], "what there is")
		assert.Equal(t, "SECRET3", answer.object(t)["recommended_items"].([]any)[0].(map[string]any)["id"])
	})
}

// A wait ends before its server: another server answers its client's next request.
func TestWaitsEndWithTheirServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		waiting := []string{sessionHeader, unguessed, eventHeader, another, eventTimeHeader, "2099-01-01T00:00:00Z"}
		answers := make(chan asked, 1)
		go func() { answers <- get(t, f, "recommendations/wait", waiting...) }()
		time.Sleep(time.Second)
		begin := time.Now()
		f.Drain()
		for _, answer := range []asked{<-answers, get(t, f, "recommendations/wait", waiting...)} {
			assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
			assert.Equal(t, "draining", answer.reason(t))
			assert.Equal(t, "1", answer.Header.Get("Retry-After"))
		}
		assert.Zero(t, time.Since(begin))
		assert.Equal(t, http.StatusOK, get(t, f, "recommendations", sessionHeader, unguessed).StatusCode,
			"all else goes on")
		assert.Empty(t, f.log.String(), "no store was away")
	})
}

func TestOnlySoManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.options.Recommendations.(*reading.Reader).MostWaiters = 1
		waiting := []string{sessionHeader, unguessed, eventHeader, another, eventTimeHeader, "2099-01-01T00:00:00Z"}
		go func() { get(t, f, "recommendations/wait", waiting...) }()
		synctest.Wait()
		answer := get(t, f, "recommendations/wait", waiting...)
		assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
		assert.Equal(t, "busy", answer.reason(t))
		assert.Equal(t, "1", answer.Header.Get("Retry-After"))
		f.Drain()
	})
}

// blocked is a store that answers when the test lets it.
type blocked struct {
	Recommendations
	entered chan struct{}
	release chan struct{}
}

func (b blocked) Session(ctx context.Context, _ string) (reading.Answer, error) {
	b.entered <- struct{}{}
	select {
	case <-b.release:
		return reading.Answer{ModelVersion: version, RecommendedAt: noon}, nil
	case <-ctx.Done():
		return reading.Answer{}, context.Cause(ctx)
	}
}

func TestOnlySoManyAskTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := blocked{entered: make(chan struct{}, mostUnderWay+1), release: make(chan struct{})}
		f := newFixture(t, func(o *Options) { o.Recommendations = store })
		var all sync.WaitGroup
		for range mostUnderWay {
			all.Go(func() {
				assert.Equal(t, http.StatusOK, get(t, f, "recommendations", sessionHeader, unguessed).StatusCode)
			})
		}
		synctest.Wait()
		assert.Len(t, store.entered, mostUnderWay)
		answer := get(t, f, "recommendations", sessionHeader, unguessed)
		assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
		assert.Equal(t, "busy", answer.reason(t))
		assert.Equal(t, "1", answer.Header.Get("Retry-After"))
		close(store.release)
		all.Wait()
		assert.Equal(t, http.StatusOK, get(t, f, "recommendations", sessionHeader, unguessed).StatusCode)
	})
}

func TestAStoreThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Recommendations = blocked{entered: make(chan struct{}, 1)} })
		begin := time.Now()
		answer := get(t, f, "recommendations", sessionHeader, unguessed)
		assert.Equal(t, "store_away", answer.reason(t))
		assert.Equal(t, storeTimeout, time.Since(begin))
		assert.Contains(t, f.log.String(), "deadline exceeded")
	})
}

// held is a store whose reading never ends.
type held struct{ Recommendations }

func (held) Wait(ctx context.Context, _ string, _ reading.Awaited) (reading.Answer, bool, error) {
	<-ctx.Done()
	return reading.Answer{}, false, ctx.Err()
}

func TestAWaitIsAnsweredBeforeItsConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Recommendations = held{} })
		begin := time.Now()
		answer := get(t, f, "recommendations/wait", sessionHeader, unguessed, eventHeader, another)
		assert.Equal(t, "store_away", answer.reason(t))
		assert.Equal(t, 28*time.Second, time.Since(begin))

		leaving, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		request := httptest.NewRequest(http.MethodGet, Prefix+"recommendations/wait", nil).WithContext(leaving)
		request.Header.Set(sessionHeader, unguessed)
		request.Header.Set(eventHeader, another)
		begin = time.Now()
		f.log.Reset()
		deliver(t, f, request)
		assert.Equal(t, time.Second, time.Since(begin), "a client that leaves is not waited for")
		assert.Empty(t, f.log.String(), "and is no fault of a store")
	})
}

// What is wrong inside stays inside, and nobody is named in the log.
func TestAStoreThatIsAwayIsToldAndLogged(t *testing.T) {
	away := errors.New("dial tcp 10.0.0.7:8000: connection refused")
	f := newFixture(t, func(o *Options) {
		o.Similar = neighbours{away}
		o.Popular = func(context.Context) (recommendation.Ranking, error) { return recommendation.Ranking{}, away }
		o.Sales = func() sales.State { return sales.State{Failed: fmt.Errorf("%w: %w", sales.ErrUnreachable, away)} }
	})
	f.table.err = away
	for _, c := range []struct {
		route, reason, retry string
		headers              []string
	}{
		{"recommendations", "store_away", "5", []string{sessionHeader, unguessed}},
		{"recommendations", "store_away", "5", []string{customerHeader, "7"}},
		{"popular", "store_away", "5", nil},
		{"products/P1/similar", "store_away", "5", nil},
		{"sales/totals", "sales_not_read", "30", nil},
		{"sales/products", "sales_not_read", "30", nil},
	} {
		answer := get(t, f, c.route, c.headers...)
		assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode, c.route)
		assert.Equal(t, c.reason, answer.reason(t))
		assert.Equal(t, c.retry, answer.Header.Get("Retry-After"))
		assert.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
		assert.NotContains(t, answer.text, "10.0.0.7")
	}
	log := f.log.String()
	assert.Contains(t, log, "10.0.0.7", "the cause")
	assert.Equal(t, 3, strings.Count(log, "level=ERROR"), "each route once a second: %s", log)
	for _, personal := range []string{unguessed, "customer_number=7"} {
		assert.NotContains(t, log, personal)
	}

	f = newFixture(t, func(o *Options) { o.Similar = neighbours{embeddings.ErrNoActiveModel} })
	assert.Contains(t, get(t, f, "products/P1/similar").text, "no model yet")
	f = newFixture(t, func(o *Options) { o.Sales = func() sales.State { return sales.State{} } })
	assert.Contains(t, get(t, f, "sales/spikes").text, "not been read from the database yet")
}

func TestARowThatCannotBeReadNamesNobody(t *testing.T) {
	f := newFixture(t, nil)
	broken := row.Item(record(t, unguessed, 7, 1, time.Now()), time.Hour)
	broken[row.Record] = &types.AttributeValueMemberS{Value: `{"session_id":"` + unguessed + `","city":7}`}
	f.table.rows[unguessed] = broken
	answer := get(t, f, "recommendations", sessionHeader, unguessed)
	assert.Equal(t, "store_away", answer.reason(t))
	assert.Contains(t, f.log.String(), "city: want a string")
	assert.NotContains(t, f.log.String(), unguessed)
}

type faulty struct{ Recommendations }

func (faulty) Session(context.Context, string) (reading.Answer, error) { panic("a fault") }

func TestAFaultIsAProblemWithoutAStack(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Recommendations = faulty{} })
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, Prefix+"recommendations", nil)
	request.Header.Set(sessionHeader, unguessed)
	f.ServeHTTP(recorder, request)
	assert.Equal(t, http.StatusInternalServerError, recorder.Code)
	assert.Equal(t, "application/problem+json", recorder.Header().Get("Content-Type"))
	assert.JSONEq(t, `{"type":"about:blank","title":"Internal Server Error","status":500,"reason":"internal",
		"detail":"The answer failed. The cause is in the server's log."}`, recorder.Body.String())
	assert.Contains(t, f.log.String(), "a fault")
	assert.Contains(t, f.log.String(), "api_test.go")
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	f := newFixture(t, nil)
	event := []string{eventHeader, another}
	for _, c := range []struct {
		route   string
		headers []string
		wrong   []string
	}{
		{"recommendations", nil, []string{"header Diecast-Session missing"}},
		{"recommendations", []string{sessionHeader, unguessed, customerHeader, "7"},
			[]string{"header Diecast-Customer one of both"}},
		{"recommendations?a=1&b=2", []string{sessionHeader, "ä", customerHeader, "07"},
			[]string{"query a no parameters", "query b no parameters", "header Diecast-Session visible ASCII",
				"header Diecast-Customer whole number", "header Diecast-Customer one of both"}},
		{"recommendations", []string{sessionHeader, ""}, []string{"header Diecast-Session 1 to 128"}},
		{"recommendations", []string{sessionHeader, strings.Repeat("a", 129)},
			[]string{"header Diecast-Session 1 to 128"}},
		{"recommendations", []string{sessionHeader, unguessed, sessionHeader, unguessed},
			[]string{"header Diecast-Session 2 times"}},
		{"recommendations", []string{customerHeader, "2147483648"},
			[]string{"header Diecast-Customer 0 to 2147483647"}},
		{"recommendations", []string{customerHeader, "-1"}, []string{"header Diecast-Customer 0 to"}},
		{"recommendations", []string{customerHeader, "1e3"}, []string{"header Diecast-Customer 0 to"}},
		{"recommendations", []string{customerHeader, "99999999999999999999"}, []string{"header Diecast-Customer 0 to"}},
		{"recommendations/wait", nil,
			[]string{"header Diecast-Session missing", "header Diecast-Event missing"}},
		{"recommendations/wait", []string{sessionHeader, "a b", eventHeader, "x", eventTimeHeader, "yesterday"},
			[]string{"header Diecast-Session ASCII", "header Diecast-Event UUID",
				"header Diecast-Event-Time RFC 3339"}},
		{"recommendations/wait", append([]string{sessionHeader, unguessed, eventTimeHeader, "2026-02-30T00:00:00Z"},
			event...), []string{"header Diecast-Event-Time RFC 3339"}},
		{"recommendations/wait", append([]string{sessionHeader, unguessed, eventHeader, "{" + another + "}"}, event...),
			[]string{"header Diecast-Event 2 times", "header Diecast-Event UUID"}},
		{"popular?limit=0&limit=1&x", nil, []string{"query x allowed are limit, after", "query limit 2 times",
			"query limit 1 to 100"}},
		{"popular?limit=101&after=", nil, []string{"query limit 1 to 100", "query after nothing"}},
		{"popular?limit=&%zz", nil, []string{"query \"%zz\" no part", "query limit 1 to 100"}},
		{"popular?after=nothing", nil, []string{"query after begin with the first page"}},
		{"products/a%20b/similar?limit=21", nil, []string{"query limit 1 to 20", "path code visible ASCII"}},
		{"products/" + strings.Repeat("a", 65) + "/similar", nil, []string{"path code 1 to 64"}},
		{"products//similar", nil, []string{"path code 1 to 64"}},
		{"sales/totals?period=1d&from=x&to=2005-02-30&line=Kites&country=Atlantis&limit=3", nil,
			[]string{"query limit allowed are period", "query from such as 2005-05-31", "query to such as 2005-05-31",
				"query period 30d, 90d, 12m, all", "query line no orders", "query country no orders"}},
		{"sales/course?period=12m&from=2005-02-01", nil, []string{"query period one of both"}},
		{"sales/course?from=2005-02-02&to=2005-02-01", nil, []string{"query from after to"}},
		{"sales/spikes?limit=x&after=", nil, []string{"query limit 1 to 100", "query after nothing"}},
		{"sales/countries?after=USB&line=", nil, []string{"query line no orders"}},
		{"sales/countries?after=USB", nil, []string{"query after begin with the first page"}},
		{"openapi.json?x=1", nil, []string{"query x no parameters"}},
	} {
		answer := get(t, f, c.route, c.headers...)
		assert.Equal(t, http.StatusBadRequest, answer.StatusCode, c.route)
		assert.Equal(t, "invalid_request", answer.reason(t))
		var told []string
		for _, one := range answer.object(t)["errors"].([]any) {
			wrong := one.(map[string]any)
			told = append(told, fmt.Sprint(wrong["in"], " ", wrong["name"], " ", wrong["detail"]))
		}
		if assert.Len(t, told, len(c.wrong), "%s: %v", c.route, told) {
			for _, want := range c.wrong {
				in, rest, _ := strings.Cut(want, " ")
				name, words, _ := strings.Cut(rest, " ")
				assert.True(t, slices.ContainsFunc(told, func(one string) bool {
					return strings.HasPrefix(one, in+" "+name) && strings.Contains(one, words)
				}), "%s: %q is not in %q", c.route, want, told)
			}
		}
	}
}

func TestThereIsNothingElse(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{"/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/popular/", "/api/v1//popular",
		"/api/v1/products/P1", "/api/v1/products/P/1/similar", "/api/v1/../v1/popular", "/api/v1/Popular",
		"/%61pi/v1/popular", "/api%2Fv1/popular", "https://web.example.com/api/v1/popular", "/api/v2/popular",
		"/api/v1/sales", "/api/v1/recommendations/wait/x", "/api/v1/%70opular"} {
		answer := ask(t, f, http.MethodGet, path)
		assert.Equal(t, http.StatusNotFound, answer.StatusCode, path)
		assert.Equal(t, "unknown_route", answer.reason(t), path)
		assert.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
		assert.Empty(t, answer.Header.Values("Retry-After"), "that is no matter of time")
		assert.Equal(t, http.StatusNotFound, ask(t, f, http.MethodOptions, path).StatusCode)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch,
		http.MethodTrace, "BREW"} {
		answer := ask(t, f, method, Prefix+"recommendations", sessionHeader, unguessed)
		assert.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode, method)
		assert.Equal(t, "GET, HEAD, OPTIONS", answer.Header.Get("Allow"))
		assert.Equal(t, "method_not_allowed", answer.reason(t))
	}
	for length, status := range map[int]int{longestQuery: http.StatusBadRequest,
		longestQuery + 1: http.StatusRequestURITooLong} {
		assert.Equal(t, status, get(t, f, "popular?"+strings.Repeat("x", length)).StatusCode)
	}
}

func TestHeadIsGetWithoutContent(t *testing.T) {
	f := newFixture(t, nil)
	for _, below := range []string{"popular", "products/P1/similar", "sales/course", "openapi.json", "nothing",
		"popular?x=1"} {
		got, head := get(t, f, below), ask(t, f, http.MethodHead, Prefix+below)
		assert.Equal(t, got.StatusCode, head.StatusCode)
		assert.Equal(t, got.Header, head.Header)
		assert.Equal(t, fmt.Sprint(len(got.text)), head.Header.Get("Content-Length"))
		assert.Empty(t, head.text)
	}
}

func TestWhatIsKeptIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		for _, c := range []struct {
			below, cache string
			headers      []string
		}{
			{"recommendations", "private, no-cache", []string{sessionHeader, unguessed}},
			{"recommendations", "private, no-cache", []string{sessionHeader, another}}, // a stranger
			{"popular", "private, max-age=60", nil}, {"products/P1/similar", "private, max-age=60", nil},
			{"sales/products", "private, no-cache", nil}, {"openapi.json", "private, max-age=3600", nil},
		} {
			first := get(t, f, c.below, c.headers...)
			tag := first.Header.Get("ETag")
			time.Sleep(time.Second) // recommended_at of a stranger is told in them
			for _, kept := range []string{tag, `"x", ` + tag, "*", strings.TrimPrefix(tag, "W/")} {
				again := get(t, f, c.below, append(c.headers, "If-None-Match", kept)...)
				assert.Equal(t, http.StatusNotModified, again.StatusCode, c.below)
				assert.Empty(t, again.text)
				assert.Equal(t, tag, again.Header.Get("ETag"))
				assert.Equal(t, c.cache, again.Header.Get("Cache-Control"))
				assert.Equal(t, first.Header.Get("Vary"), again.Header.Get("Vary"))
			}
			for _, other := range []string{`"x"`, `W/"x"`, "", tag + "x"} {
				again := get(t, f, c.below, append(c.headers, "If-None-Match", other)...)
				assert.Equal(t, http.StatusOK, again.StatusCode)
			}
		}
		f.table.put(record(t, unguessed, 7, 4, time.Now()))
		before := get(t, f, "recommendations", sessionHeader, unguessed).Header.Get("ETag")
		f.table.put(record(t, unguessed, 7, 5, time.Now()))
		assert.NotEqual(t, before, get(t, f, "recommendations", sessionHeader, unguessed).Header.Get("ETag"))
		open := newFixture(t, func(o *Options) { o.Access = environment.APIRandom })
		assert.Equal(t, "public, max-age=60", get(t, open, "popular").Header.Get("Cache-Control"))
		personal := get(t, open, "recommendations", sessionHeader, unguessed)
		assert.Equal(t, "private, no-cache", personal.Header.Get("Cache-Control"))
	})
}

// A page is another one when there is more behind it: who keeps it would follow a link to nowhere,
// or none.
func TestAPageThatBecomesTheLastIsSentAgain(t *testing.T) {
	ranking, err := popular(t.Context())
	require.NoError(t, err)
	f := newFixture(t, func(o *Options) {
		o.Popular = func(context.Context) (recommendation.Ranking, error) { return ranking, nil }
	})
	first := get(t, f, "popular?limit=3")
	ranking.Items = ranking.Items[:3]
	again := get(t, f, "popular?limit=3", "If-None-Match", first.Header.Get("ETag"))
	assert.Equal(t, http.StatusOK, again.StatusCode)
	assert.Empty(t, again.Header.Get("Link"))
}

// Pages follow each other by their links, and have every row once.
func TestListsArePaged(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range []struct {
		below, rows, id string
		want, pages     int
	}{
		{"popular?limit=7", "items", "id", 30, 5}, {"popular", "items", "id", 30, 2},
		{"popular?limit=30", "items", "id", 30, 1}, {"popular?limit=29", "items", "id", 30, 2},
		{"sales/product-lines?limit=1&period=all", "rows", "product_line", 2, 2},
		{"sales/countries?limit=1", "rows", "country", 2, 2},
		{"sales/products?limit=1&from=2005-01-01", "rows", "product_code", 2, 2},
		{"sales/spikes?limit=1", "rows", "day", 1, 1},
	} {
		seen := map[string]bool{}
		address, pages := Prefix+c.below, 0
		for address != "" {
			answer := ask(t, f, http.MethodGet, address)
			require.Equal(t, http.StatusOK, answer.StatusCode, answer.text)
			for _, one := range answer.object(t)[c.rows].([]any) {
				id := one.(map[string]any)[c.id].(string)
				assert.False(t, seen[id], id)
				seen[id] = true
			}
			link, more := strings.CutPrefix(answer.Header.Get("Link"), "<")
			address, _ = strings.CutSuffix(link, `>; rel="next"`)
			require.Equal(t, more, address != "")
			pages++
			require.Less(t, pages, 10)
		}
		assert.Len(t, seen, c.want, c.below)
		assert.Equal(t, c.pages, pages, c.below)
	}
	assert.Empty(t, get(t, f, "popular?after=P29").object(t)["items"], "behind the last")
	assert.Len(t, get(t, f, "popular").object(t)["items"], byDefault)
}

func TestSimilarProductsAreAnswered(t *testing.T) {
	f := newFixture(t, nil)
	answer := get(t, f, "products/P1/similar?limit=2").object(t)
	assert.Equal(t, map[string]any{"product_code": "P1", "model_version": active, "similar_items": []any{
		map[string]any{"id": "N0", "distance": 0.0}, map[string]any{"id": "N1", "distance": 0.05}}}, answer)
	assert.Len(t, get(t, f, "products/P1/similar").object(t)["similar_items"], similarByDefault)
	assert.Len(t, get(t, f, "products/P1/similar?limit=20").object(t)["similar_items"], similar.Most)
	assert.Equal(t, "P/1", get(t, f, "products/P%2F1/similar").object(t)["product_code"])
	longest := get(t, f, "products/"+strings.Repeat("a", 64)+"/similar")
	assert.Equal(t, "unknown_product", longest.reason(t), "it could be one")
	unknown := get(t, f, "products/unknown/similar")
	assert.Equal(t, http.StatusNotFound, unknown.StatusCode)
	assert.Equal(t, "unknown_product", unknown.reason(t))
}

func TestSalesAreAnswered(t *testing.T) {
	f := newFixture(t, nil)
	scope := `"as_of":"2026-03-01T12:00:00Z","late":false,"from":"2005-01-10","to":"2005-03-20",` +
		`"line":null,"country":null`
	france := strings.Replace(scope, `"country":null`, `"country":"France"`, 1)
	none := strings.NewReplacer(`"2005-01-10"`, "null", `"2005-03-20"`, "null").Replace(scope)
	for below, want := range map[string]string{
		"sales/totals": `{` + scope + `,"revenue":"40.04","orders":2,"quantity":4,"average_order":"20.02",
			"before":null}`,
		"sales/totals?from=2005-03-20": `{` + strings.Replace(scope, "2005-01-10", "2005-03-20", 1) +
			`,"revenue":"9.99","orders":1,"quantity":1,"average_order":"9.99",
			"before":{"revenue":"0.00","orders":0,"quantity":0}}`,
		"sales/totals?to=2004-01-01": `{` + none +
			`,"revenue":"0.00","orders":0,"quantity":0,"average_order":"0.00","before":null}`,
		"sales/countries?line=Ships&country=France": `{` + strings.Replace(france, `"line":null`, `"line":"Ships"`, 1) +
			`,"rows":[{"country":"France","revenue":"10.00","orders":1,"quantity":1}]}`,
		"sales/product-lines?country=France": `{` + france + `,"rows":[
			{"product_line":"Cars","revenue":"20.05","orders":1,"quantity":2},
			{"product_line":"Ships","revenue":"10.00","orders":1,"quantity":1}]}`,
		"sales/products?period=all&limit=1": `{` + scope + `,"rows":[
			{"product_code":"C1","product":"Coupé","product_line":"Cars","revenue":"30.04","orders":2,"quantity":3}]}`,
		"sales/spikes": `{` + scope + `,"rows":[{"day":"2005-03-20","revenue":"9.99","threshold":"5.00"}]}`,
	} {
		answer := get(t, f, below)
		assert.Equal(t, http.StatusOK, answer.StatusCode, answer.text)
		assert.JSONEq(t, want, answer.text, below)
		assert.Equal(t, "private, no-cache", answer.Header.Get("Cache-Control"))
	}
	day := get(t, f, "sales/totals?from=2005-03-20&to=2005-03-20").object(t)
	assert.EqualValues(t, 1, day["orders"], "one day is a period")
	course := get(t, f, "sales/course").object(t)
	assert.Equal(t, "week", course["step"])
	points := course["points"].([]any)
	assert.Len(t, points, 10)
	assert.Equal(t, map[string]any{"from": "2005-01-10", "to": "2005-01-16", "revenue": "30.05", "orders": 1.0,
		"quantity": 3.0, "spike_days": []any{}}, points[0])
	assert.Equal(t, []any{"2005-03-20"}, points[9].(map[string]any)["spike_days"])
	late := newFixture(t, func(o *Options) {
		state := sales.State{Figures: figuresOf(t), Failed: sales.ErrTooSlow}
		o.Sales = func() sales.State { return state }
	})
	assert.Equal(t, true, get(t, late, "sales/totals").object(t)["late"])
}

// A report is added up once for figures and filter, and anew where either is another.
func TestReportsAreKeptForTheirFigures(t *testing.T) {
	state := sales.State{Figures: figuresOf(t)}
	f := newFixture(t, func(o *Options) { o.Sales = func() sales.State { return state } })
	orders := func(below string) any { return get(t, f, below).object(t)["orders"] }
	assert.EqualValues(t, 2, orders("sales/totals"))
	assert.EqualValues(t, 1, orders("sales/totals?line=Ships"))
	assert.EqualValues(t, 2, orders("sales/totals?period=12m"))
	assert.Equal(t, 2, f.reports.Len())
	for day := range keptReports {
		orders(fmt.Sprintf("sales/totals?from=2005-02-%02d", day+1))
	}
	assert.Equal(t, keptReports, f.reports.Len())
	assert.EqualValues(t, 2, orders("sales/totals"))
	state.Figures = sales.New(noon, nil, nil, []sales.Item{{Order: 9, Day: date(t, "2005-03-20"), Country: "USA",
		Product: "C1", Quantity: 1, Amount: 1}, {Order: 8, Day: date(t, "2005-01-10"), Country: "USA", Product: "C1",
		Quantity: 1, Amount: 1}, {Order: 7, Day: date(t, "2005-01-10"), Country: "USA", Product: "C1", Quantity: 1,
		Amount: 1}}, nil)
	assert.EqualValues(t, 3, orders("sales/totals"))
}
