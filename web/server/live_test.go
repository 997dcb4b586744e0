package server

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/catalogue"
	"diecast/internal/picture"
	"diecast/internal/recommendation"
	"diecast/web/guest"
)

const (
	sessionHeader  = guest.SessionHeader
	customerHeader = guest.CustomerHeader
)

func smallShop() picture.State[catalogue.Catalogue] {
	return picture.State[catalogue.Catalogue]{Held: catalogue.New(noon, []catalogue.Product{
		{Code: "C1", Name: `Coupé "<script>alert(1)</script>`, Line: "Classic Cars", Price: 9995, Stock: 1000},
		{Code: "C2", Name: "Roadster", Line: "Classic Cars", Price: 5000, Stock: 7},
		{Code: "S1", Name: "Tug", Line: "Ships", Price: 100},
	}, []int32{103, 112})}
}

// answers is a store in memory.
type answers struct {
	mutex   sync.Mutex
	latest  map[string]recommendation.Answer
	changed chan struct{}
	err     error
}

func (a *answers) put(answer recommendation.Answer) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.latest == nil {
		a.latest = map[string]recommendation.Answer{}
	}
	a.latest[answer.Event.SessionID] = answer
	a.latest[fmt.Sprint(answer.Event.CustomerNumber)] = answer
	a.tell()
}

func (a *answers) tell() {
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

func (a *answers) fail(err error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.err = err
	a.tell()
}

func (a *answers) wait() <-chan struct{} {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed
}

func (a *answers) Session(_ context.Context, session string) (recommendation.Answer, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if found, known := a.latest[session]; known || a.err != nil {
		return found, a.err
	}
	return recommendation.Answer{Items: []recommendation.Item{{ID: "C2", Score: 40}}, ModelVersion: "0123456789ab",
		Rung: recommendation.Popular, RecommendedAt: time.Now()}, nil
}

func (a *answers) Customer(ctx context.Context, customer int) (recommendation.Answer, error) {
	return a.Session(ctx, fmt.Sprint(customer))
}

func (a *answers) Newer(ctx context.Context, session string, than recommendation.Place) (
	recommendation.Answer, error) {
	for {
		changed := a.wait()
		answer, err := a.Session(ctx, session)
		if err != nil || answer.Place().After(than) {
			return answer, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return recommendation.Answer{}, ctx.Err()
		}
	}
}

func (a *answers) NewerOfCustomer(ctx context.Context, customer int, than recommendation.Place) (
	recommendation.Answer, error) {
	return a.Newer(ctx, fmt.Sprint(customer), than)
}

func (a *answers) Since(_ context.Context, customer int, moment time.Time) (map[string]time.Time, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if found, known := a.latest[fmt.Sprint(customer)]; known && !found.Event.Time.Before(moment) {
		return map[string]time.Time{found.Event.SessionID: found.Event.Time}, nil
	}
	return nil, a.err
}

const visitorSession = "0b9cbe4a-6a53-4c0e-8a6f-7b0f5c1d2e3f"

// answerAt is one to an event of a session, which has C1 in the cart and browsed S1.
func answerAt(t testing.TB, session string, at time.Time) recommendation.Answer {
	t.Helper()
	event, err := activity.Decode(fmt.Appendf(nil, `{"session_id":%q,"customer_number":103,"city":"Nantes ",`+
		`"country":"<b>France","credit_limit":21000.5,"event_id":%q,"event_time":%q,"event_type":"cart",`+
		`"browse_history":[`+
		`{"product_code":"C1","quantity":2,"in_shopping_cart":true},`+
		`{"product_code":"S1","quantity":1,"in_shopping_cart":false}]}`,
		session, uuid.NewSHA1(uuid.Nil, []byte(at.String())), at.UTC().Format(time.RFC3339Nano)))
	require.NoError(t, err)
	return recommendation.Answer{Event: &event, ModelVersion: "0123456789ab", Rung: recommendation.Store,
		RecommendedAt: at.Add(412 * time.Millisecond),
		Items:         []recommendation.Item{{ID: "C2", Score: 0.8123456}, {ID: "X9", Score: 0.5}},
		Similar: []recommendation.Similar{
			{ProductCode: "C1",
				Items: []recommendation.Neighbour{{ID: "C2", Distance: 0.12}, {ID: "X8", Distance: 0.3}}},
			{ProductCode: "S1", Items: []recommendation.Neighbour{{ID: "X9", Distance: 0.25}}},
		}}
}

// asking with headers.
func asking(t testing.TB, handler http.Handler, method, address, body string, headers ...string) *http.Response {
	t.Helper()
	recorder := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	handler.ServeHTTP(recorder, request)
	return recorder.Result()
}

// told are the lines of a stream that has ended, beats left out.
func told(t testing.TB, answer *http.Response) (lines []line) {
	t.Helper()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	read := bufio.NewScanner(answer.Body)
	read.Buffer(nil, 1<<20)
	for read.Scan() {
		var one line
		require.NoError(t, json.Unmarshal(read.Bytes(), &one))
		if one.Show != nil {
			lines = append(lines, one)
		}
	}
	require.NoError(t, read.Err())
	return lines
}

func withShop(put func(context.Context, string, []byte) error) func(*Options) {
	return func(o *Options) { o.Shop = &Shop{Put: put, PerMinute: 120} }
}

func taken(context.Context, string, []byte) error { return nil }

func TestTheCompanySeesWhatWasRecommendedAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &answers{}
		s := newServer(t, func(o *Options) { o.Answers = store })
		store.put(answerAt(t, "a", time.Now()))
		lines := told(t, asking(t, s, "GET", "/recommendations/live", "", sessionHeader, "a"))
		var shown string
		for _, one := range lines {
			shown = cmp.Or(one.Show["answer"], shown)
		}
		for _, words := range []string{"Session a changed the cart.",
			"from Nantes, &lt;b&gt;France, with a credit limit of", "$21,000.50",
			"412 ms", "0123456789ab", "The vector store searched", "0.812",
			"Near to what customers like this one take, and similar to " +
				"Coupé &#34;&lt;script&gt;alert(1)&lt;/script&gt;, which lies in the cart.",
			"Near to what customers like this one take, and similar to Tug, which was browsed.", "× 2", "0.120",
			"X9", "not in the catalogue", `href="#customer=103"`} {
			assert.Contains(t, shown, words)
		}
		assert.NotContains(t, shown, "<script>")
		assert.NotContains(t, shown, "ZgotmplZ")
	})
}

// A reason is never invented: whoever gets the most popular products is told so.
func TestTheMostPopularAreCalledSo(t *testing.T) {
	shop := smallShop().Held
	degraded := answerAt(t, "a", noon)
	degraded.Rung, degraded.Similar = recommendation.Popular, nil
	for _, item := range show(asked{session: "a", kind: aSession}, degraded, shop).Items {
		assert.Equal(t, "Most popular: the model did not answer this event.", item.Why)
	}
	strangers := recommendation.Answer{Items: degraded.Items, Rung: recommendation.Popular}
	for who, sentence := range map[asked]string{
		{session: "a", kind: aSession}:     "No event of this session is known, or its last one has expired. A",
		{customer: 103, kind: aCustomer}:   "The shop has this customer, but no event of theirs is known",
		{customer: 99999, kind: aCustomer}: "The shop has no customer of this number",
	} {
		v := show(who, strangers, shop)
		assert.True(t, v.Stranger)
		assert.Contains(t, v.Sentence, sentence)
		assert.Equal(t, "Most popular: nothing is known of who asks.", v.Items[0].Why)
	}
	assert.Contains(t, show(asked{customer: 1, kind: aCustomer}, strangers, nil).Sentence, "No event of this customer")
	plain := answerAt(t, "a", noon)
	plain.Similar = nil
	assert.Equal(t, "Near to what customers like this one take.",
		show(asked{session: "a", kind: aSession}, plain, shop).Items[0].Why)
	early := answerAt(t, "a", noon)
	early.RecommendedAt = noon.Add(-time.Second)
	assert.Contains(t, show(asked{session: "a", kind: aSession}, early, nil).Took, "clock")
}

func TestAStreamTellsEachChangeAndAStoreThatIsAway(t *testing.T) {
	for kind, header := range map[string][]string{
		"session": {sessionHeader, "a"}, "customer": {customerHeader, "103"},
	} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &answers{}
				s := newServer(t, func(o *Options) { o.Answers = store })
				begun := time.Now()
				go func() {
					for range 3 {
						time.Sleep(5 * time.Second)
						store.put(answerAt(t, "a", time.Now()))
					}
					time.Sleep(time.Second)
					store.fail(errors.New("no route to 10.0.0.1"))
					time.Sleep(5 * time.Second)
					store.fail(nil)
				}()
				answer := asking(t, s, "GET", "/recommendations/live", "", header...)
				assert.Equal(t, 25*time.Second, time.Since(begun), "less than the deregistration delay")
				var seen []string
				for _, one := range told(t, answer) {
					switch shown := one.Show["answer"]; {
					case strings.Contains(shown, "cannot be read just now"):
						seen = append(seen, "away")
						assert.NotContains(t, shown, "10.0.0.1")
					case strings.Contains(shown, "A stranger"):
						seen = append(seen, "stranger")
					case shown != "":
						seen = append(seen, "answer")
					}
				}
				assert.Equal(t, []string{"stranger", "answer", "answer", "answer", "away", "answer"}, seen)
			})
		})
	}
}

func TestThePulseIsToldToWhoHasChosenNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &answers{}
		s := newServer(t, func(o *Options) { o.Answers = store })
		store.put(answerAt(t, `<b>"secret"`, time.Now()))
		lines := told(t, asking(t, s, "GET", "/recommendations/live", ""))
		assert.InDelta(t, 12, len(lines), 1, "every two seconds")
		pulse := lines[0].Show["pulse"]
		assert.Contains(t, pulse, "of a sample of 2 of the shop’s 2 customers")
		assert.Contains(t, pulse, "&lt;b&gt;&#34;secr…")
		assert.NotContains(t, pulse, "<b>")
		assert.Contains(t, pulse, "customer 103")
		assert.Contains(t, pulse, ": 1 session")
		assert.Empty(t, lines[0].Show["answer"])
	})
}

func TestOddChoicesAreRefused(t *testing.T) {
	s := newServer(t, nil)
	for _, headers := range [][]string{
		{sessionHeader, ""}, {sessionHeader, "a b"}, {sessionHeader, strings.Repeat("x", 129)}, {customerHeader, ""},
		{customerHeader, "-1"}, {customerHeader, "+1"}, {customerHeader, "1e3"}, {customerHeader, "2147483648"},
		{customerHeader, "1", customerHeader, "2"}, {sessionHeader, "a", customerHeader, "1"},
	} {
		answer := asking(t, s, "GET", "/recommendations/live", "", headers...)
		assert.Equal(t, http.StatusBadRequest, answer.StatusCode, "%q", headers)
		assert.Contains(t, answer.Header.Get("Content-Type"), "text/plain")
	}
}

// Both ways to recommendations are guarded as sales are.
func TestRecommendationsAreKeptFromWhoMustNotReadThem(t *testing.T) {
	store := &answers{}
	store.put(answerAt(t, "a", time.Now()))
	for name, c := range map[string]struct {
		change func(*Options)
		status int
	}{
		"withheld": {func(o *Options) { o.Withhold = true }, http.StatusForbidden},
		"no login": {func(o *Options) { o.Login = anybody{} }, http.StatusUnauthorized},
	} {
		s := newServer(t, func(o *Options) {
			o.Answers = store
			c.change(o)
		})
		for _, route := range []string{"/recommendations", "/recommendations/live"} {
			answer := asking(t, s, "GET", route, "", sessionHeader, "a")
			assert.Equal(t, c.status, answer.StatusCode, name)
			assert.NotContains(t, text(t, answer), "C1", name)
		}
	}
}

func TestPagesWithAScriptAskThisServerOnly(t *testing.T) {
	s := newServer(t, withShop(taken))
	for _, route := range []string{"/recommendations", "/shop", "/shop?product=C1", "/shop?line=Ships&q=tug"} {
		answer := get(t, s, route)
		assert.Equal(t, http.StatusOK, answer.StatusCode)
		assert.Equal(t, "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'", answer.Header.Get("Content-Security-Policy"))
		page := text(t, answer)
		for _, forbidden := range []string{"style=", " on", "http://", "//cdn", "<script>", "ZgotmplZ"} {
			if forbidden == " on" {
				assert.NotRegexp(t, `<[^>]* on[a-z]+=`, page, route)
				continue
			}
			assert.NotContains(t, page, forbidden, route)
		}
	}
}

func TestTheLivePagesAreSmall(t *testing.T) {
	s := newServer(t, withShop(taken))
	for page, parts := range map[string][]string{
		"/shop":            {addresses["style.css"], addresses["live.js"], addresses["shop.js"]},
		"/recommendations": {addresses["style.css"], addresses["live.js"], addresses["recommendations.js"]},
	} {
		plain, packed := 0, 0
		for _, part := range append(parts, page, addresses["icon.svg"]) {
			plain += len(text(t, get(t, s, part)))
			packed += len(text(t, asking(t, s, "GET", part, "", "Accept-Encoding", "gzip")))
		}
		t.Logf("%s: %d bytes, %d compressed", page, plain, packed)
		assert.Less(t, packed, 20_000)
	}
}

func TestWithoutAShopThereIsNone(t *testing.T) {
	s := newServer(t, nil)
	for _, route := range []string{"/shop", "/shop/live", "/shop/events"} {
		assert.Equal(t, http.StatusNotFound, get(t, s, route).StatusCode)
	}
	assert.Equal(t, http.StatusMethodNotAllowed, asking(t, s, "POST", "/shop/events", "{}").StatusCode)
	assert.NotContains(t, text(t, get(t, s, "/sales")), `href="/shop"`)
	s = newServer(t, withShop(taken))
	for _, route := range []string{"/sales", "/provenance", "/recommendations", "/shop"} {
		assert.Contains(t, text(t, get(t, s, route)), `<a href="/shop"`)
	}
	assert.Equal(t, http.StatusMethodNotAllowed, asking(t, s, "POST", "/sales", "").StatusCode)
	assert.Equal(t, http.StatusMethodNotAllowed, asking(t, s, "PUT", "/shop/events", "").StatusCode)
}

func TestTheShopShowsItsProducts(t *testing.T) {
	s := newServer(t, withShop(taken))
	for route, c := range map[string]struct {
		status  int
		has     []string
		without []string
	}{
		"/shop":                  {200, []string{"Roadster", "Only 7 left", "Sold out", "1 to 3 of 3"}, nil},
		"/shop?line=Ships":       {200, []string{"Tug", "1 to 1 of 1"}, []string{"Roadster"}},
		"/shop?q=road":           {200, []string{"Roadster"}, []string{"Tug"}},
		"/shop?q=kite":           {200, []string{"Nothing is found with “kite”"}, []string{"Tug"}},
		"/shop?product=C2":       {200, []string{`data-viewed="C2"`, "All Classic Cars", "$50.00"}, []string{"Tug"}},
		"/shop?product=%3Cb%3E":  {404, []string{"The shop does not sell “&lt;b&gt;”", "Tug"}, nil},
		"/shop?line=Kites":       {404, []string{"The shop has no line “Kites”", "Tug"}, nil},
		"/shop?page=9":           {200, []string{"There are no more"}, nil},
		"/shop?page=0":           {404, []string{"There is no page “0”", "Tug"}, nil},
		"/shop?page=99999999999": {404, []string{"There is no page"}, nil},
	} {
		for _, part := range []string{"", "catalogue"} {
			answer := asking(t, s, "GET", route, "", partHeader, part)
			assert.Equal(t, c.status, answer.StatusCode, route)
			page := text(t, answer)
			assert.Equal(t, part == "", strings.Contains(page, "<!doctype html>"))
			for _, words := range c.has {
				assert.Contains(t, page, words, route)
			}
			for _, words := range c.without {
				assert.NotContains(t, page, words, route)
			}
			assert.NotContains(t, page, "<script>alert", route)
		}
	}
}

// The same address has two answers, which no browser may take for one.
func TestAPartOfAPageIsNotTakenForThePage(t *testing.T) {
	s := newServer(t, withShop(taken))
	for _, headers := range [][]string{nil, {partHeader, "catalogue"}} {
		answer := asking(t, s, "GET", "/shop", "", headers...)
		assert.Equal(t, []string{partHeader, "Accept-Encoding"}, answer.Header.Values("Vary"))
		assert.Equal(t, headers != nil, answer.Header.Get(partHeader) == "catalogue", "it says that it is one")
	}
}

func TestAShopWithoutItsCatalogueSaysWhy(t *testing.T) {
	state := picture.State[catalogue.Catalogue]{}
	s := newServer(t, func(o *Options) {
		withShop(taken)(o)
		o.Catalogue = func() picture.State[catalogue.Catalogue] { return state }
	})
	answer := get(t, s, "/shop")
	assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	assert.NotEmpty(t, answer.Header.Get("Retry-After"))
	assert.Contains(t, text(t, answer), "just started")
	state.Failed = fmt.Errorf("%w: 10.0.0.1", picture.ErrUnreachable)
	page := text(t, get(t, s, "/shop"))
	assert.Contains(t, page, "the database cannot be reached")
	assert.NotContains(t, page, "10.0.0.1")
	state.Failed = errors.New("10.0.0.1")
	assert.NotContains(t, text(t, get(t, s, "/shop")), "10.0.0.1")
}

func TestAVisitorSeesTheirOwnSessionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &answers{}
		s := newServer(t, func(o *Options) {
			withShop(taken)(o)
			o.Answers = store
		})
		store.put(answerAt(t, visitorSession, time.Now()))
		store.put(answerAt(t, "guessed", time.Now()))
		for _, headers := range [][]string{nil, {sessionHeader, "guessed"}, {sessionHeader, ""},
			{sessionHeader, strings.ToUpper(visitorSession)},
			{sessionHeader, uuid.NewSHA1(uuid.Nil, []byte("a")).String()},
			{sessionHeader, visitorSession, sessionHeader, "guessed"}, {customerHeader, "103"}} {
			answer := asking(t, s, "GET", "/shop/live", "", headers...)
			assert.Equal(t, http.StatusNotFound, answer.StatusCode, "%q", headers)
		}
		lines := told(t, asking(t, s, "GET", "/shop/live", "", sessionHeader, visitorSession, customerHeader, "103"))
		require.Len(t, lines, 1)
		assert.Equal(t, answerAt(t, visitorSession, time.Now()).Event.SessionID, visitorSession)
		assert.NotEmpty(t, lines[0].Event)
		assert.Contains(t, lines[0].Show["recommended"], "Roadster")
		assert.Contains(t, lines[0].Show["because"], "you looked at Tug")
		assert.Contains(t, lines[0].Show["because"], "lies in your cart")
		assert.Less(t, strings.Index(lines[0].Show["because"], "Tug"), strings.Index(lines[0].Show["because"], "Coupé"))
		lines = told(t, asking(t, s, "GET", "/shop/live", "", sessionHeader, uuid.NewString()))
		require.Len(t, lines, 1)
		assert.Contains(t, lines[0].Show["recommended"], "You are new here")
		assert.Empty(t, lines[0].Event)
	})
}

func eventOf(session string, customer int, more string) string {
	return fmt.Sprintf(`{"session_id":%q,"customer_number":%d,"city":"Nantes","country":"France","credit_limit":1%s}`,
		session, customer, more)
}

func TestEventsOfTheShopAreCheckedStampedAndPutOn(t *testing.T) {
	var put []activity.Event
	var keys []string
	s := newServer(t, withShop(func(_ context.Context, session string, content []byte) error {
		event, err := activity.Decode(content)
		require.NoError(t, err)
		put, keys = append(put, event), append(keys, session)
		return nil
	}))
	post := func(body string, headers ...string) *http.Response {
		return asking(t, s, "POST", "/shop/events", body,
			append([]string{"Content-Type", "application/json"}, headers...)...)
	}
	answer := post(eventOf(visitorSession, 1, `,"unknown":[1]`))
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	var receipt struct {
		ID uuid.UUID `json:"event_id"`
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&receipt))
	require.Len(t, put, 1)
	assert.Equal(t, receipt.ID, put[0].ID)
	assert.Equal(t, uuid.Version(4), put[0].ID.Version())
	assert.WithinDuration(t, noon.Add(3*time.Minute), put[0].Time, time.Millisecond, "by the server's clock")
	assert.Equal(t, []string{visitorSession}, keys)

	own := "7f000000-0000-4000-8000-000000000001"
	answer = post(eventOf(visitorSession, 1, `,"event_id":"`+own+`","event_time":"2026-03-01T11:00:00.5Z"`))
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	assert.Equal(t, own, put[1].ID.String())
	assert.Equal(t, time.Date(2026, 3, 1, 11, 0, 0, 5e8, time.UTC), put[1].Time.UTC())

	for name, c := range map[string]struct {
		body    string
		status  int
		words   string
		headers []string
	}{
		"no event":        {"{}", 422, "session_id", nil},
		"no JSON":         {"session_id=a", 422, "", nil},
		"guessed session": {eventOf("a1b2", 1, ""), 422, "random UUID", nil},
		"too large":       {eventOf(visitorSession, 1, `,"x":"`+strings.Repeat("x", 8<<10)+`"`), 413, "8192", nil},
		"another site":    {eventOf(visitorSession, 1, ""), 403, "", []string{"Origin", "https://evil.example"}},
		"another site, new browser": {eventOf(visitorSession, 1, ""), 403, "",
			[]string{"Sec-Fetch-Site", "cross-site"}},
		"reserved field": {eventOf(visitorSession, 1, `,"rung":"store"`), 422, "rung", nil},
	} {
		answer := post(c.body, c.headers...)
		assert.Equal(t, c.status, answer.StatusCode, name)
		assert.Contains(t, text(t, answer), c.words, name)
	}
	assert.Equal(t, http.StatusUnsupportedMediaType,
		asking(t, s, "POST", "/shop/events", eventOf(visitorSession, 1, ""), "Content-Type", "text/plain").StatusCode)
	assert.Len(t, put, 2, "what is refused goes nowhere")
}

// markup is such as no page has but by a fault: what was sent, or what a template cannot place.
var markup = regexp.MustCompile(`<script|<img>|<img src=x|ZgotmplZ`)

// shownIn is the HTML of an answer: a page, or the parts of one in a stream.
func shownIn(t testing.TB, answer *http.Response) string {
	t.Helper()
	switch kind := answer.Header.Get("Content-Type"); {
	case strings.HasPrefix(kind, "text/html"):
		return text(t, answer)
	case strings.HasPrefix(kind, "application/x-ndjson"):
		var parts []string
		for _, one := range told(t, answer) {
			parts = slices.AppendSeq(parts, maps.Values(one.Show))
		}
		return strings.Join(parts, "\n")
	}
	return ""
}

// Whatever addresses, ids and events a client sends, no page fails, and none of it becomes markup,
// also where it comes back as what was recommended upon.
func FuzzShop(f *testing.F) {
	course := eventOf(visitorSession, 103, `,"event_type":"cart","browse_history":[`+
		`{"product_code":"C1","quantity":2,"in_shopping_cart":true},`+
		`{"product_code":"<script>","quantity":"1","in_shopping_cart":false}]`)
	for _, seed := range [][4]string{
		{"line=Ships&q=tug&page=2", visitorSession, "103", course}, {"product=C1", "a b", "-0", `{"session_id":1}`},
		{"page=9223372036854775808", "", "2147483648", strings.Replace(course, "Nantes", "<img src=x>", 1)},
		{"page=8334&q=%ff%00", "<script>", "1e3", strings.Replace(course, `"credit_limit":1`, `"credit_limit":1e9`, 1)},
		{"product=%3Cscript%3E&line=%22%3E%3Cimg%3E", "'\"><img>", "0", `[[[[`},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, query, session, customer, body string) {
		synctest.Test(t, func(t *testing.T) {
			store := &answers{}
			s := newServer(t, func(o *Options) {
				withShop(func(_ context.Context, _ string, content []byte) error {
					event, err := activity.Decode(content)
					require.NoError(t, err, "what is put on is an event")
					store.put(recommendation.Answer{Event: &event, ModelVersion: "0123456789ab",
						RecommendedAt: time.Now(), Items: []recommendation.Item{{ID: "<script>", Score: 1}},
						Similar: []recommendation.Similar{{ProductCode: "<img>",
							Items: []recommendation.Neighbour{{ID: "<script>"}}}}})
					return nil
				})(o)
				o.Answers, o.LongestStream = store, time.Second
			})
			posted := asking(t, s, "POST", eventsPath, body, "Content-Type", "application/json")
			for _, headers := range [][]string{{}, {sessionHeader, session}, {customerHeader, customer},
				{sessionHeader, visitorSession}, {partHeader, "catalogue"},
				{sessionHeader, session, customerHeader, customer}} {
				for _, path := range []string{"/shop", "/shop/live", "/recommendations", "/recommendations/live"} {
					recorder := httptest.NewRecorder()
					request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
					request.URL.RawQuery = query
					for i := 0; i < len(headers); i += 2 {
						request.Header.Add(headers[i], headers[i+1])
					}
					s.ServeHTTP(recorder, request)
					assert.NotEqual(t, http.StatusInternalServerError, recorder.Code, path)
					page := shownIn(t, recorder.Result())
					page = strings.ReplaceAll(page, `<script src="/static/`, "")
					assert.False(t, markup.MatchString(page), "%s: %.3000s", path, page)
				}
			}
			assert.NotEqual(t, http.StatusInternalServerError, posted.StatusCode)
		})
	})
}

// What nobody may see has no entry, and leads nobody there.
func TestThePagesLeadToWhatThereIs(t *testing.T) {
	for _, withheld := range []bool{false, true} {
		s := newServer(t, func(o *Options) {
			withShop(taken)(o)
			o.Withhold = withheld
		})
		page := text(t, get(t, s, "/shop"))
		for _, entry := range []string{`href="/sales"`, `href="/recommendations"`} {
			assert.Equal(t, !withheld, strings.Contains(page, entry), entry)
		}
		for _, entry := range []string{`href="/shop"`, `href="/provenance"`} {
			assert.Contains(t, page, entry)
		}
		home := map[bool]string{false: "/sales", true: "/shop"}[withheld]
		assert.Equal(t, home, get(t, s, "/").Header.Get("Location"))
	}
}

func TestVisitorsAreCalledBySomethingElseThanTheirNumber(t *testing.T) {
	answer := answerAt(t, "a", time.Now())
	assert.Equal(t, "Customer 103", show(asked{customer: 103, kind: aCustomer}, answer, nil).Title)
	assert.Equal(t, "A visitor without a customer number",
		show(asked{customer: FirstGuest, kind: aCustomer}, answer, nil).Title)
}

func TestAnAddressLooksAtTheShopSoOftenAtMost(t *testing.T) {
	now := time.Now()
	s := newServer(t, func(o *Options) {
		o.Shop, o.Now = &Shop{Put: taken, PerMinute: 4}, func() time.Time { return now }
	})
	look := func(address string) *http.Response {
		return asking(t, s, "GET", "/shop", "", "X-Forwarded-For", address)
	}
	for range addressShare * 4 / 4 { // a quarter of a minute's at once
		require.Equal(t, http.StatusOK, look("192.0.2.1").StatusCode)
	}
	refused := look("192.0.2.1")
	assert.Equal(t, http.StatusTooManyRequests, refused.StatusCode)
	assert.Equal(t, "2", refused.Header.Get("Retry-After"))
	assert.Contains(t, text(t, refused), "That is too often")
	assert.Equal(t, http.StatusOK, look("192.0.2.2").StatusCode, "another one is not kept")
	now = now.Add(2 * time.Second)
	assert.Equal(t, http.StatusOK, look("192.0.2.1").StatusCode)
}

// Where the world is admitted nobody acts as a customer of the shop.
func TestTheWorldMayNotActAsACustomer(t *testing.T) {
	s := newServer(t, func(o *Options) {
		withShop(taken)(o)
		o.Withhold = true
	})
	post := func(customer int) int {
		return asking(t, s, "POST", "/shop/events", eventOf(visitorSession, customer, ""), "Content-Type",
			"application/json").StatusCode
	}
	assert.Equal(t, http.StatusUnprocessableEntity, post(103))
	assert.Equal(t, http.StatusUnprocessableEntity, post(FirstGuest-1))
	assert.Equal(t, http.StatusAccepted, post(FirstGuest))
	page := text(t, get(t, s, "/shop"))
	assert.NotContains(t, page, "Customer number")
	assert.Contains(t, text(t, get(t, newServer(t, withShop(taken)), "/shop")), "Customer number")
}

func TestAStreamOfEventsThatTakesNothingIsTold(t *testing.T) {
	s := newServer(t, withShop(func(context.Context, string, []byte) error { return errors.New("stream/arn") }))
	answer := asking(t, s, "POST", "/shop/events", eventOf(visitorSession, 1, ""), "Content-Type", "application/json")
	assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	assert.Equal(t, "1", answer.Header.Get("Retry-After"))
	assert.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
	assert.NotContains(t, text(t, answer), "arn")
}

func TestSessionsAndAddressesSendSoManyEventsAndNoMore(t *testing.T) {
	s := newServer(t, withShop(taken))
	post := func(session, address string) *http.Response {
		return asking(t, s, "POST", "/shop/events", eventOf(session, 1, ""), "Content-Type", "application/json",
			"X-Forwarded-For", "6.6.6.6, "+address)
	}
	for range 30 {
		require.Equal(t, http.StatusAccepted, post(visitorSession, "1.1.1.1").StatusCode)
	}
	answer := post(visitorSession, "1.1.1.1")
	assert.Equal(t, http.StatusTooManyRequests, answer.StatusCode)
	assert.Equal(t, "1", answer.Header.Get("Retry-After"))
	assert.Equal(t, http.StatusTooManyRequests, post(visitorSession, "2.2.2.2").StatusCode)
	refused := 0
	for range 400 {
		if post(uuid.NewString(), "3.3.3.3").StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	assert.Equal(t, 100, refused)
	assert.Equal(t, http.StatusAccepted, post(uuid.NewString(), "4.4.4.4").StatusCode)
}

func TestADrainSendsStreamsToAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, withShop(taken))
		var all sync.WaitGroup
		begun := time.Now()
		for _, c := range [][]string{{"/recommendations/live", sessionHeader, "a"}, {"/recommendations/live"},
			{"/shop/live", sessionHeader, visitorSession}} {
			all.Go(func() {
				told(t, asking(t, s, "GET", c[0], "", c[1:]...))
				assert.Equal(t, 3*time.Second, time.Since(begun))
			})
		}
		time.Sleep(3 * time.Second)
		s.Drain()
		all.Wait()
		assert.Equal(t, http.StatusServiceUnavailable, asking(t, s, "GET", "/recommendations/live", "").StatusCode)
		assert.Equal(t, http.StatusOK, get(t, s, "/recommendations").StatusCode, "all else goes on")
	})
}

// What 500 streams of visitors take, connections included.
func TestFiveHundredStreamsAreHeldInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand connections, of which the fast part of the tests need not know")
	}
	store := &answers{}
	s := newServer(t, func(o *Options) {
		withShop(taken)(o)
		o.Answers, o.Shop.PerMinute = store, 10_000
		o.LongestStream = time.Minute
	})
	pages := httptest.NewServer(s)
	defer pages.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var answers []*http.Response
	for range mostVisiting {
		request, err := http.NewRequestWithContext(t.Context(), "GET", pages.URL+"/shop/live", nil)
		require.NoError(t, err)
		request.Header.Set(sessionHeader, uuid.NewString())
		answer, err := pages.Client().Do(request)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		line, err := bufio.NewReader(answer.Body).ReadBytes('\n')
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(line, []byte(`{"show"`)))
		answers = append(answers, answer)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	one := asking(t, s, "GET", "/shop/live", "", sessionHeader, visitorSession)
	assert.Equal(t, http.StatusServiceUnavailable, one.StatusCode)
	held := after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse
	t.Logf("%d streams: %.1f MB, of server and client", mostVisiting, float64(held)/1e6)
	assert.Less(t, held, uint64(64<<20))
	for _, answer := range answers {
		require.NoError(t, answer.Body.Close())
	}
}

// One client does not take the places of all.
func TestWhereTheWorldIsAdmittedAnAddressHasSoManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(o *Options) {
			withShop(taken)(o)
			o.Withhold, o.Shop.PerMinute = true, 10_000
		})
		visit := func(address string) int {
			return asking(t, s, "GET", "/shop/live", "", sessionHeader, uuid.NewString(),
				"X-Forwarded-For", address).StatusCode
		}
		var all sync.WaitGroup
		for range mostOfOne {
			all.Go(func() { assert.Equal(t, http.StatusOK, visit("1.1.1.1")) })
		}
		time.Sleep(time.Second)
		assert.Equal(t, http.StatusTooManyRequests, visit("1.1.1.1"))
		all.Go(func() { assert.Equal(t, http.StatusOK, visit("2.2.2.2")) })
		all.Wait()
		assert.Zero(t, s.places.Taken())
	})
}
