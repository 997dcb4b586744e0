package server

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/sales"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func date(t testing.TB, text string) sales.Day {
	t.Helper()
	day, err := sales.ParseDay(text)
	require.NoError(t, err)
	return day
}

// figures of a small shop; one product's name would run in a page and in a spreadsheet.
func figures(t testing.TB) *sales.Figures {
	t.Helper()
	return sales.New(noon, []string{"Cars", "Ships", "Trains"},
		[]sales.Product{{Code: "C1", Name: `=1+1"<script>alert(1)</script>`, Line: "Cars"},
			{Code: "S1", Name: "Tug", Line: "Ships"}},
		[]sales.Item{
			{Order: 1, Day: date(t, "2005-01-10"), Country: "France", Product: "C1", Quantity: 2, Amount: 2005},
			{Order: 1, Day: date(t, "2005-01-10"), Country: "France", Product: "S1", Quantity: 1, Amount: 1000},
			{Order: 2, Day: date(t, "2005-03-20"), Country: "USA", Product: "C1", Quantity: 1, Amount: 999},
		}, []sales.Spike{{Day: date(t, "2005-03-20"), Revenue: 999, Threshold: 500}})
}

func newServer(t testing.TB, change func(*Options)) *Server {
	t.Helper()
	state := sales.State{Figures: figures(t)}
	options := Options{
		Sales: func() sales.State { return state },
		Provenance: func() Provenance {
			return Provenance{Instance: "i-1", Zone: "us-east-1a", Version: "v1", Started: noon}
		},
		Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return noon.Add(3 * time.Minute) },
	}
	if change != nil {
		change(&options)
	}
	return New(options)
}

func get(t testing.TB, handler http.Handler, address string) *http.Response {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, address, nil))
	return recorder.Result()
}

func text(t testing.TB, answer *http.Response) string {
	t.Helper()
	content, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(content)
}

var routes = []string{"/", "/sales", "/sales?line=Cars", "/sales/course.csv", "/sales/product-lines.csv",
	"/sales/countries.csv", "/sales/products.csv", "/sales/spikes.csv", "/provenance", "/healthz",
	addresses["style.css"], addresses["icon.svg"], "/nothing", "/static/nothing", "/sales/nothing.csv",
	"/sales?period=never", "/sales?" + strings.Repeat("x", 3000)}

func TestEveryRouteHasTheHeadersThatProtectIt(t *testing.T) {
	s := newServer(t, nil)
	for _, route := range routes {
		headers := get(t, s, route).Header
		assert.Equal(t, "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "+
			"frame-ancestors 'none'", headers.Get("Content-Security-Policy"), route)
		assert.Equal(t, "nosniff", headers.Get("X-Content-Type-Options"), route)
		assert.Equal(t, "DENY", headers.Get("X-Frame-Options"), route)
		assert.Empty(t, headers.Get("Strict-Transport-Security"), route)
	}
}

func TestBehindTLSBrowsersAreHeldToIt(t *testing.T) {
	s := newServer(t, func(o *Options) { o.TLS = true })
	for _, route := range routes {
		assert.Equal(t, "max-age=31536000", get(t, s, route).Header.Get("Strict-Transport-Security"), route)
	}
}

func TestNamedOriginsMayFrameThePages(t *testing.T) {
	s := newServer(t, func(o *Options) { o.FrameAncestors = "https://one.example  https://two.example" })
	headers := get(t, s, "/sales").Header
	assert.True(t, strings.HasSuffix(headers.Get("Content-Security-Policy"),
		"; frame-ancestors https://one.example https://two.example"))
	assert.Empty(t, headers.Get("X-Frame-Options"))
}

func TestWithALoginTheFormMayLeadToTheProvider(t *testing.T) {
	s := newServer(t, func(o *Options) { o.LoginOrigin = "https://id.example.com" })
	assert.Contains(t, get(t, s, "/sales").Header.Get("Content-Security-Policy"),
		"; form-action 'self' https://id.example.com; ")
}

// Nothing of a page is from elsewhere, and nothing in it would need an exception from the policy.
func TestPagesKeepTheirOwnPolicy(t *testing.T) {
	s := newServer(t, nil)
	for _, route := range routes {
		answer := get(t, s, route)
		if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/csv") {
			continue
		}
		page := text(t, answer)
		for _, forbidden := range []string{"<script", "style=", "onclick", "http://", "//cdn"} {
			if forbidden == "http://" && strings.HasSuffix(route, ".svg") {
				continue // its namespace
			}
			assert.NotContains(t, page, forbidden, route)
		}
	}
}

func TestThePageIsSmall(t *testing.T) {
	state := sales.State{Figures: shop(t)}
	s := newServer(t, func(o *Options) { o.Sales = func() sales.State { return state } })
	total := 0
	for _, route := range []string{"/sales?period=all", addresses["style.css"], addresses["icon.svg"]} {
		total += len(text(t, get(t, s, route)))
	}
	assert.Less(t, total, 60_000, "bytes, uncompressed")
}

func TestAnAddressSelects(t *testing.T) {
	s := newServer(t, nil)
	for query, revenue := range map[string]string{
		"": "$40.04", "?period=all": "$40.04", "?period=30d": "$9.99", "?line=Ships": "$10.00",
		"?line=Cars": "$30.04", "?country=USA": "$9.99", "?line=Cars&country=France": "$20.05",
		"?from=2005-01-01&to=2005-01-31": "$30.05", "?from=2005-02-01": "$9.99", "?to=2005-02-01": "$30.05",
		"?period=30d&from=2005-01-01": "$40.04",
	} {
		answer := get(t, s, "/sales"+query)
		assert.Equal(t, http.StatusOK, answer.StatusCode, query)
		assert.Contains(t, text(t, answer), `<dd class="value">`+revenue+`</dd>`, query)
	}
}

func TestWhatAnAddressHasWrongIsToldWithWhatIsShown(t *testing.T) {
	s := newServer(t, nil)
	for query, message := range map[string]string{
		"?period=decade":                 "There is no period “decade”. Allowed are 30d, 90d, 12m, all.",
		"?line=Kites":                    "There is no product line “Kites”. All product lines are shown.",
		"?country=Atlantis":              "There is no country with orders called “Atlantis”. All countries are shown.",
		"?from=yesterday":                "The date from is “yesterday”: a date such as 2005-05-31 is allowed.",
		"?to=2005-02-30":                 "The date to is “2005-02-30”: a date such as 2005-05-31 is allowed.",
		"?from=2005-03-01&to=2005-01-01": "The first day, 2005-03-01, is after the last, 2005-01-01. They are",
		"?line=Cars&line=Ships":          "The address has line 2 times. The first is shown.",
		"?line=%00%ff%3Cscript%3E":       "There is no product line “��&lt;script&gt;”.",
	} {
		answer := get(t, s, "/sales"+query)
		assert.Equal(t, http.StatusBadRequest, answer.StatusCode, query)
		page := text(t, answer)
		assert.Contains(t, page, message, query)
		assert.Contains(t, page, `<dd class="value">$`, query)
		machine := get(t, s, "/sales/course.csv"+query)
		assert.Equal(t, http.StatusBadRequest, machine.StatusCode, query)
		assert.NotContains(t, text(t, machine), "revenue,", query)
	}
}

func TestWithoutSalesThePageSaysWhereTheyAre(t *testing.T) {
	s := newServer(t, nil)
	for _, query := range []string{"?from=1999-01-01&to=1999-12-31", "?from=2030-01-01", "?line=Trains",
		"?line=Ships&country=USA"} {
		answer := get(t, s, "/sales"+query)
		assert.Equal(t, http.StatusOK, answer.StatusCode, query)
		page := text(t, answer)
		assert.Contains(t, page, "No sales in this selection", query)
		assert.Contains(t, page, "<b>10 Jan 2005</b> to <b>20 Mar 2005</b>", query)
	}
}

func TestTooLongAnAddressIsRefused(t *testing.T) {
	s := newServer(t, nil)
	var query strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&query, "product=S%d&", i)
	}
	answer := get(t, s, "/sales?"+query.String())
	assert.Equal(t, http.StatusRequestURITooLong, answer.StatusCode)
	assert.Contains(t, text(t, answer), "2000 characters at most")
}

func TestOnlyReadingIsServed(t *testing.T) {
	recorder := httptest.NewRecorder()
	newServer(t, nil).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/sales", strings.NewReader("x")))
	assert.Equal(t, http.StatusMethodNotAllowed, recorder.Code)
	assert.Equal(t, "GET, HEAD", recorder.Header().Get("Allow"))
}

func TestTablesAreCSV(t *testing.T) {
	s := newServer(t, nil)
	for table, wanted := range map[string][][]string{
		"course.csv?from=2005-03-19": {{"from", "to", "revenue", "orders", "quantity", "spike_days"},
			{"2005-03-19", "2005-03-19", "0.00", "0", "0", ""},
			{"2005-03-20", "2005-03-20", "9.99", "1", "1", "2005-03-20"}},
		"product-lines.csv": {{"product_line", "revenue", "orders", "quantity"}, {"Cars", "30.04", "2", "3"},
			{"Ships", "10.00", "1", "1"}},
		"countries.csv?line=Cars": {{"country", "revenue", "orders", "quantity"}, {"France", "20.05", "1", "2"},
			{"USA", "9.99", "1", "1"}},
		"products.csv": {{"product_code", "product", "product_line", "revenue", "orders", "quantity"},
			{"C1", `'=1+1"<script>alert(1)</script>`, "Cars", "30.04", "2", "3"},
			{"S1", "Tug", "Ships", "10.00", "1", "1"}},
		"spikes.csv": {{"day", "revenue", "threshold"}, {"2005-03-20", "9.99", "5.00"}},
	} {
		answer := get(t, s, "/sales/"+table)
		require.Equal(t, http.StatusOK, answer.StatusCode, table)
		assert.Equal(t, "text/csv; charset=utf-8", answer.Header.Get("Content-Type"))
		assert.Contains(t, answer.Header.Get("Content-Disposition"), "attachment; filename=")
		rows, err := csv.NewReader(answer.Body).ReadAll()
		require.NoError(t, err)
		assert.Equal(t, wanted, rows, table)
	}
}

func TestThePageSaysHowOldItsFiguresAre(t *testing.T) {
	for name, c := range map[string]struct {
		failed error
		age    time.Duration
		has    []string
		hasNot []string
	}{
		"fresh":            {nil, 3 * time.Minute, []string{"Read 3 minutes ago"}, []string{"notice"}},
		"a failed reading": {sales.ErrTooSlow, 9 * time.Minute, []string{"The database is away", "too long"}, nil},
		"an hour":          {nil, time.Hour, nil, []string{"notice"}},
		"older":            {nil, time.Hour + time.Second, []string{"These figures are old", `role="alert"`}, nil},
		"old and failing":  {sales.ErrUnreachable, 5 * time.Hour, []string{"5 hours ago", "cannot be reached"}, nil},
		"secrets":          {errors.New("10.0.0.1"), time.Minute, []string{"did not answer"}, []string{"10.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			state := sales.State{Figures: figures(t), Failed: c.failed, Tried: noon}
			s := newServer(t, func(o *Options) {
				o.Sales, o.Now = func() sales.State { return state }, func() time.Time { return noon.Add(c.age) }
			})
			answer := get(t, s, "/sales")
			assert.Equal(t, http.StatusOK, answer.StatusCode)
			page := text(t, answer)
			for _, words := range c.has {
				assert.Contains(t, page, words)
			}
			for _, words := range c.hasNot {
				assert.NotContains(t, page, words)
			}
		})
	}
}

// A page that was open when the database went, or from before a later reading, is made anew.
func TestAPageIsKeptOnlyWhileItIsTrue(t *testing.T) {
	state, now := sales.State{Figures: figures(t)}, noon
	s := newServer(t, func(o *Options) {
		o.Sales, o.Now = func() sales.State { return state }, func() time.Time { return now }
	})
	first := text(t, get(t, s, "/sales"))
	assert.Equal(t, first, text(t, get(t, s, "/sales")))
	now = noon.Add(2 * time.Minute)
	assert.Contains(t, text(t, get(t, s, "/sales")), "2 minutes ago")
	state.Failed, state.Tried = sales.ErrUnreachable, now
	assert.Contains(t, text(t, get(t, s, "/sales")), "The database is away")
	state = sales.State{Figures: sales.New(now, nil, nil, nil, nil)}
	assert.Contains(t, text(t, get(t, s, "/sales")), "There are no orders yet")
}

func TestTheCacheIsBounded(t *testing.T) {
	s := newServer(t, nil)
	for i := range 3 * mostPages {
		get(t, s, "/sales?from="+(date(t, "2004-01-01")+sales.Day(i)).String())
	}
	assert.LessOrEqual(t, len(s.cache.pages), mostPages)
}

func TestADatabaseThatWasNeverReachedLeavesAPage(t *testing.T) {
	state := sales.State{Failed: sales.ErrUnreachable, Tried: noon}
	s := newServer(t, func(o *Options) { o.Sales = func() sales.State { return state } })
	answer := get(t, s, "/sales?line=Cars")
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Contains(t, text(t, answer), "There are no figures yet")
	machine := get(t, s, "/sales/course.csv")
	assert.Equal(t, http.StatusServiceUnavailable, machine.StatusCode)
	assert.Equal(t, "30", machine.Header.Get("Retry-After"))
	assert.Equal(t, http.StatusOK, get(t, s, "/healthz").StatusCode)
}

func TestWithheldSalesAreReadByNobody(t *testing.T) {
	s := newServer(t, func(o *Options) { o.Withhold = true })
	for _, route := range routes {
		answer := get(t, s, route)
		if strings.HasPrefix(route, "/sales") && len(route) < longestQuery {
			assert.Equal(t, http.StatusForbidden, answer.StatusCode, route)
			page := text(t, answer)
			assert.Contains(t, page, "web.allowedCidrs", route)
			assert.NotContains(t, page, "40.04", route)
			assert.NotContains(t, page, "Tug", route)
		}
	}
	page := text(t, get(t, s, "/provenance"))
	assert.Contains(t, page, "i-1")
	assert.NotContains(t, page, "$")
}

type guest struct{}

func (guest) Check(*http.Request) error { return errors.New("no login") }

func TestWithoutALoginNoSalesAreRead(t *testing.T) {
	s := newServer(t, func(o *Options) { o.Login = guest{} })
	for _, route := range routes {
		if strings.HasPrefix(route, "/sales") && len(route) < longestQuery {
			assert.Equal(t, http.StatusUnauthorized, get(t, s, route).StatusCode, route)
		}
	}
	assert.Equal(t, http.StatusOK, get(t, s, "/provenance").StatusCode)
}

func TestProvenanceNamesTheInstance(t *testing.T) {
	page := text(t, get(t, newServer(t, nil), "/provenance"))
	for _, words := range []string{`id="instance">i-1<`, `id="zone">us-east-1a<`, `id="version">v1<`,
		`id="age">3 minutes ago<`, "in service"} {
		assert.Contains(t, page, words)
	}
	page = text(t, get(t, newServer(t, func(o *Options) {
		o.Provenance = func() Provenance { return Provenance{Version: "v1"} }
	}), "/provenance"))
	assert.Contains(t, page, `id="instance">unknown<`)
	assert.Contains(t, page, "does not answer here")
}

func TestADrainingServerFailsItsHealthCheckOnly(t *testing.T) {
	s := newServer(t, nil)
	answer := get(t, s, "/healthz")
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Equal(t, "ok\n", text(t, answer))
	s.Drain()
	assert.Equal(t, http.StatusServiceUnavailable, get(t, s, "/healthz").StatusCode)
	assert.Equal(t, http.StatusOK, get(t, s, "/sales").StatusCode)
}

func TestAFaultIsNoStackTraceForTheClient(t *testing.T) {
	s := newServer(t, func(o *Options) { o.Sales = func() sales.State { panic("secret") } })
	answer := get(t, s, "/sales")
	assert.Equal(t, http.StatusInternalServerError, answer.StatusCode)
	page := text(t, answer)
	assert.NotContains(t, page, "secret")
	assert.NotContains(t, page, ".go:")
}

func TestPagesComeCompressedToWhoTakesIt(t *testing.T) {
	s := newServer(t, nil)
	request := httptest.NewRequest(http.MethodGet, "/sales", nil)
	request.Header.Set("Accept-Encoding", "gzip, br")
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, request)
	assert.Equal(t, "gzip", recorder.Header().Get("Content-Encoding"))
	reader, err := gzip.NewReader(bufio.NewReader(recorder.Body))
	require.NoError(t, err)
	plain, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, text(t, get(t, s, "/sales")), string(plain))
}

func TestStaticFilesAreKeptForEver(t *testing.T) {
	answer := get(t, newServer(t, nil), addresses["style.css"])
	assert.Equal(t, "public, max-age=31536000, immutable", answer.Header.Get("Cache-Control"))
	assert.Equal(t, "text/css; charset=utf-8", answer.Header.Get("Content-Type"))
}

func FuzzAddress(f *testing.F) {
	for _, query := range []string{"", "period=all", "from=2005-01-01&to=9999-12-31", "from=0001-01-01",
		"line=Cars&country=USA", "line=' OR 1=1 --", "line=%3Cscript%3E", "period=%zz", "from=0000-00-00;to=",
		"from=2005-01-10&from=x", "country=%ff%00"} {
		f.Add(query)
	}
	s := newServer(f, nil)
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/sales", "/sales/course.csv"} {
			request := httptest.NewRequest(http.MethodGet, path, nil)
			request.URL.RawQuery = query
			recorder := httptest.NewRecorder()
			s.ServeHTTP(recorder, request)
			assert.Less(t, recorder.Code, 500)
			page := recorder.Body.String()
			assert.NotContains(t, page, "ZgotmplZ")
			if strings.HasPrefix(recorder.Header().Get("Content-Type"), "text/html") {
				assert.NotContains(t, page, "<script")
			}
			assert.Equal(t, 1, max(1, strings.Count(page, "<html")))
		}
		values, _ := url.ParseQuery(query)
		made, _ := readFilter(values, figures(t))
		again, err := url.ParseQuery(strings.TrimPrefix(made.query(), "?"))
		require.NoError(t, err)
		same, problems := readFilter(again, figures(t))
		assert.Empty(t, problems, "what a page links to is understood")
		assert.Equal(t, made, same)
	})
}

// shop of scale 1's size: 320 orders of nine or ten lines.
func shop(t testing.TB) *sales.Figures {
	t.Helper()
	var products []sales.Product
	for i := range 110 {
		products = append(products, sales.Product{Code: fmt.Sprintf("S%03d", i),
			Name: fmt.Sprintf("1936 Product %d", i), Line: fmt.Sprintf("Line %d", i%7)})
	}
	var items []sales.Item
	for i := range 3000 {
		order := int64(i / 9)
		items = append(items, sales.Item{Order: order, Day: date(t, "2003-01-06") + sales.Day(order*5/2),
			Country: fmt.Sprintf("Country %d", order%21), Product: products[i%110].Code, Quantity: 30, Amount: 123_456})
	}
	return sales.New(noon, nil, products, items, nil)
}

// Requests that are answered from the cache, and such as no page is kept for.
func BenchmarkDashboard(b *testing.B) {
	state := sales.State{Figures: shop(b)}
	s := newServer(b, func(o *Options) { o.Sales = func() sales.State { return state } })
	first, _, _ := state.Figures.Span()
	for name, addresses := range map[string]int{"kept": 1, "made": 2 * mostPages} {
		b.Run(name, func(b *testing.B) {
			var next atomic.Int64
			b.RunParallel(func(loop *testing.PB) {
				for loop.Next() {
					from := first + sales.Day(next.Add(1)%int64(addresses))
					recorder := httptest.NewRecorder()
					s.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/sales?from="+from.String(), nil))
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
