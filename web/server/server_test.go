package server

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	escape "html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
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
		Sales: func() sales.State { return state }, Catalogue: smallShop, Answers: &answers{},
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
	addresses["style.css"], addresses["icon.svg"], addresses["live.js"],
	"/nothing", "/static/nothing", "/sales/nothing.csv",
	"/sales?period=never", "/sales?" + strings.Repeat("x", 3000)}

func TestEveryRouteHasTheHeadersThatProtectIt(t *testing.T) {
	s := newServer(t, nil)
	for _, route := range routes {
		headers := get(t, s, route).Header
		assert.Equal(t, "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "+
			"frame-ancestors 'none'", headers.Get("Content-Security-Policy"), route)
		assert.Equal(t, "nosniff", headers.Get("X-Content-Type-Options"), route)
		assert.Equal(t, "same-origin", headers.Get("Referrer-Policy"), route)
		assert.Equal(t, "same-origin", headers.Get("Cross-Origin-Opener-Policy"), route)
		assert.Equal(t, "same-origin", headers.Get("Cross-Origin-Resource-Policy"), route)
		assert.Contains(t, headers.Get("Permissions-Policy"), "geolocation=()", route)
		if strings.Contains(headers.Get("Cache-Control"), "immutable") {
			assert.Contains(t, []string{addresses["style.css"], addresses["icon.svg"], addresses["live.js"]}, route)
		} else {
			assert.Equal(t, "no-store", headers.Get("Cache-Control"), route)
		}
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

// What is shown is said as it was chosen in the end, by machines' answers not at all.
func TestWhatAnAddressHasWrongIsToldWithWhatIsShown(t *testing.T) {
	s := newServer(t, nil)
	for query, c := range map[string]struct{ what, instead string }{
		"?period=decade": {"There is no period “decade”. Allowed are 30d, 90d, 12m, all.",
			"The last 12 months of the shop’s orders are shown."},
		"?period=decade&from=2005-01-10": {"There is no period “decade”. Allowed are 30d, 90d, 12m, all.",
			"The time from 2005-01-10 on is shown."},
		"?line=Kites":       {"There is no product line “Kites”.", "All product lines are shown."},
		"?country=Atlantis": {"There is no country with orders called “Atlantis”.", "All countries are shown."},
		"?from=yesterday": {"The date from is “yesterday”: a date such as 2005-05-31 is allowed.",
			"The last 12 months of the shop’s orders are shown."},
		"?from=yesterday&period=all": {"The date from is “yesterday”: a date such as 2005-05-31 is allowed.",
			"All time is shown."},
		"?from=yesterday&to=2005-01-31": {"The date from is “yesterday”: a date such as 2005-05-31 is allowed.",
			"The time up to 2005-01-31 is shown."},
		"?to=2005-02-30": {"The date to is “2005-02-30”: a date such as 2005-05-31 is allowed.",
			"The last 12 months of the shop’s orders are shown."},
		"?from=2005-03-21&to=2005-01-01": {"The first day, 2005-03-21, is after the last, 2005-01-01. They are " +
			"exchanged.",
			"The time from 2005-01-01 to 2005-03-21 is shown."},
		"?line=Cars&line=Ships": {"The address has line 2 times. The first counts.", "“Cars” is shown."},
		"?period=30d&period=all&from=2005-01-01": {"The address has period 2 times. The first counts.",
			"The time from 2005-01-01 on is shown."},
		"?line=%00%ff%3Cscript%3E": {"There is no product line “��&lt;script&gt;”.", "All product lines are shown."},
		"?period=%zz": {"The address’s part “period=%zz” is none that an address can have.",
			"It is left out of"},
		"?from=2005-01-01;to=2005-02-01": {"The address’s part “from=2005-01-01;to=2005-02-01” is none that",
			"It is left out of"},
		"?perod=30d": {"There is no filter “perod”. Allowed are period, from, to, line, country.",
			"It is left out of"},
		"?=30d":       {"There is no filter “”. Allowed are period, from, to, line, country.", "It is left out of"},
		"?30d":        {"There is no filter “30d”. Allowed are period, from, to, line, country.", "It is left out of"},
		"?PERIOD=30d": {"There is no filter “PERIOD”. Allowed are", "It is left out of"},
	} {
		answer := get(t, s, "/sales"+query)
		assert.Equal(t, http.StatusBadRequest, answer.StatusCode, query)
		page := text(t, answer)
		assert.Regexp(t, regexp.QuoteMeta(c.what)+`[^<]*`+regexp.QuoteMeta(c.instead), page, query)
		assert.Contains(t, page, `<dd class="value">$`, query)
		for table := range tables {
			machine := get(t, s, "/sales/"+table+query)
			assert.Equal(t, http.StatusBadRequest, machine.StatusCode, query)
			words := text(t, machine)
			assert.Contains(t, words, escape.UnescapeString(c.what), query)
			assert.NotContains(t, words, "shown", "%s: nothing is", query)
			assert.NotContains(t, words, "revenue,", query)
		}
	}
}

func TestThePartsOfAnAddressThatAreUnderstoodCount(t *testing.T) {
	page := text(t, get(t, newServer(t, nil), "/sales?period=%zz&line=Ships&perod=30d"))
	assert.Contains(t, page, `<dd class="value">$10.00</dd>`)
	assert.Contains(t, page, "period=%zz")
	assert.Contains(t, page, "perod")
}

// What is chosen stands in the form, so that the next choice is made beside it.
func TestTheFormHoldsWhatIsChosen(t *testing.T) {
	s := newServer(t, nil)
	for query, c := range map[string]struct{ has, hasNot []string }{
		"": {[]string{`aria-current="true">12 months<`, `name="period" value="12m"`}, []string{"selected"}},
		"?period=90d&line=Ships&country=France": {[]string{`aria-current="true">90 days<`, `name="period" value="90d"`,
			`<option selected>Ships<`, `<option selected>France<`,
			`href="/sales?country=France&amp;line=Ships&amp;period=30d"`,
			`href="/sales/course.csv?country=France&amp;line=Ships&amp;period=90d"`},
			[]string{`aria-current="true">12 months<`}},
		"?from=2005-01-01&to=2005-03-20": {[]string{`name="from" value="2005-01-01"`, `name="to" value="2005-03-20"`},
			[]string{`aria-current="true"`, `name="period"`}},
	} {
		page := text(t, get(t, s, "/sales"+query))
		for _, words := range c.has {
			assert.Contains(t, page, words, query)
		}
		for _, words := range c.hasNot {
			assert.NotContains(t, page, words, query)
		}
		assert.LessOrEqual(t, strings.Count(page, `aria-current="true"`), 1, query)
	}
}

// A comparison is spoken of where there is one.
func TestTheComparisonSaysWhatItIs(t *testing.T) {
	shop := sales.New(noon, nil, []sales.Product{{Code: "C1", Name: "Coupé", Line: "Cars"}}, []sales.Item{
		{Order: 1, Day: date(t, "2004-01-01"), Product: "C1", Quantity: 2, Amount: 1000},
		{Order: 2, Day: date(t, "2004-01-02"), Product: "C1", Quantity: 1, Amount: 1500},
		{Order: 3, Day: date(t, "2004-06-01"), Product: "C1", Quantity: 1, Amount: 100},
	}, nil)
	s := newServer(t, func(o *Options) { o.Sales = func() sales.State { return sales.State{Figures: shop} } })
	for query, words := range map[string]string{
		"?from=2004-01-02&to=2004-01-02": "Change against the period before, 1 Jan 2004.",
		"?from=2004-06-01&to=2004-06-01": "Nothing was sold in the period before, 31 May 2004: there is nothing to",
		"?from=2004-05-31&to=2004-06-01": "Nothing was sold in the period before, 29 May 2004 to 30 May 2004",
		"":                               "there is no whole period before this one to compare with",
	} {
		assert.Contains(t, text(t, get(t, s, "/sales"+query)), words, query)
	}
	page := text(t, get(t, s, "/sales?from=2004-01-02&to=2004-01-02"))
	assert.Contains(t, page, "<b>2 Jan 2004</b></p>", "one day is one day")
	for _, words := range []string{`<dd class="change up">&#43;50.0 %</dd>`, `<dd class="change level">0.0 %</dd>`,
		`<dd class="change down">−50.0 %</dd>`,
		": $15.00, 1 order<"} {
		assert.Contains(t, page, words)
	}
	assert.Contains(t, text(t, get(t, s, "/sales?from=2003-12-01&to=2004-02-01")), ">1 Jan<")
	s = newServer(t, func(o *Options) {
		o.Sales = func() sales.State {
			return sales.State{Figures: sales.New(noon, nil, nil, []sales.Item{{Order: 1, Day: date(t, "2003-12-30")},
				{Order: 2, Day: date(t, "2004-01-02")}}, nil)}
		}
	})
	assert.Contains(t, text(t, get(t, s, "/sales")), ">30 Dec ’03<", "a label over two years has its year")
}

// All days are counted in the heading, and none is hidden without a word.
func TestSpikesAreCountedAndCutWithAWord(t *testing.T) {
	of := func(days int) string {
		var spikes []sales.Spike
		for i := range days {
			spikes = append(spikes, sales.Spike{Day: date(t, "2004-01-01") + sales.Day(i), Revenue: 900,
				Threshold: 500})
		}
		shop := sales.New(noon, nil, nil, []sales.Item{{Order: 1, Day: date(t, "2004-01-01"), Amount: 1},
			{Order: 2, Day: date(t, "2004-03-01"), Amount: 1}}, spikes)
		return text(t, get(t, newServer(t, func(o *Options) {
			o.Sales = func() sales.State { return sales.State{Figures: shop} }
		}), "/sales"))
	}
	rows := func(page string) int {
		_, table, _ := strings.Cut(page, `id="spikes-table"`)
		table, _, _ = strings.Cut(table, "</table>")
		return strings.Count(table, `<th scope="row">`)
	}
	assert.Contains(t, of(0), ">Demand spikes</h2>")
	assert.Contains(t, of(1), ">Demand spikes: 1 day</h2>")
	page := of(mostTableSpikes)
	assert.Contains(t, page, ">Demand spikes: 16 days</h2>")
	assert.Equal(t, mostTableSpikes, rows(page))
	assert.NotContains(t, page, "of them; the CSV has all")
	page = of(mostTableSpikes + 5)
	assert.Contains(t, page, ">Demand spikes: 21 days</h2>")
	assert.Contains(t, page, "The last 16 of them; the CSV has all.")
	assert.Equal(t, mostTableSpikes, rows(page))
}

func TestTheRootKeepsItsFilter(t *testing.T) {
	for query, to := range map[string]string{"": "/sales", "?line=Ships": "/sales?line=Ships",
		"?a=%zz": "/sales?a=%zz"} {
		assert.Equal(t, to, get(t, newServer(t, nil), "/"+query).Header.Get("Location"))
	}
}

// The last day of a period is that of the shop's last order, the first one so many days or months
// before it.
func TestPeriodsAreAsLongAsTheyAreCalled(t *testing.T) {
	for _, c := range []struct{ last, period, from string }{
		{"2005-05-31", "30d", "2005-05-02"}, {"2005-05-31", "90d", "2005-03-03"}, {"2005-05-31", "12m", "2004-06-01"},
		{"2004-02-29", "12m", "2003-03-01"}, {"2005-02-28", "12m", "2004-03-01"}, {"2004-02-28", "12m", "2003-03-01"},
		{"2004-03-01", "30d", "2004-02-01"}, {"2004-12-31", "12m", "2004-01-01"}, {"2005-05-31", "all", "1999-01-01"},
	} {
		shop := sales.New(noon, nil, nil, []sales.Item{{Order: 1, Day: date(t, "1999-01-01")},
			{Order: 2, Day: date(t, c.last)}}, nil)
		f, problems := readFilter("period="+c.period, shop)
		require.Empty(t, problems)
		assert.Equal(t, c.from, f.sales.From.String(), "%s to %s", c.period, c.last)
		assert.Equal(t, c.last, f.sales.To.String(), c.period)
	}
	young := sales.New(noon, nil, nil, []sales.Item{{Order: 1, Day: date(t, "2005-05-30")}}, nil)
	f, _ := readFilter("period=12m", young)
	assert.Equal(t, sales.Filter{From: date(t, "2005-05-30"), To: date(t, "2005-05-30")}, f.sales,
		"no time before the first order")
}

// Orders whose dates are mistaken spoil no period and make no page that nobody can load.
func TestWildDatesAreToldAndBounded(t *testing.T) {
	shop := sales.New(noon, nil, []sales.Product{{Code: "C1", Name: "Coupé", Line: "Cars"}}, []sales.Item{
		{Order: 1, Day: date(t, "0001-01-01"), Product: "C1", Quantity: 1, Amount: 100},
		{Order: 2, Day: date(t, "2025-12-31"), Product: "C1", Quantity: 1, Amount: 1000},
		{Order: 3, Day: date(t, "2026-03-02"), Product: "C1", Quantity: 1, Amount: 10_000}, // a calendar ahead of UTC
		{Order: 4, Day: date(t, "9999-12-31"), Product: "C1", Quantity: 1, Amount: 100_000},
	}, nil)
	s := newServer(t, func(o *Options) { o.Sales = func() sales.State { return sales.State{Figures: shop} } })
	for query, revenue := range map[string]string{
		"": "$110.00", "?period=30d": "$100.00", "?period=all": "$111.00", "?from=2026-01-01": "$100.00",
		"?from=2027-01-01": "$1,000.00", "?to=9999-12-31": "$1,111.00", "?from=0001-01-01&to=9999-12-31": "$1,111.00",
	} {
		page := text(t, get(t, s, "/sales"+query))
		assert.Contains(t, page, `<dd class="value">`+revenue+`</dd>`, query)
		assert.Contains(t, page, "Dated after these figures were read: 1 order, the last of 31 Dec 9999. Periods "+
			"end with 2 Mar 2026", query)
		assert.Less(t, len(page), 60_000, query)
	}
	assert.Contains(t, text(t, get(t, s, "/sales?to=9999-12-31")), "Revenue by century")
	assert.NotContains(t, text(t, get(t, newServer(t, nil), "/sales")), "from the future")
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
		"fresh": {nil, 3 * time.Minute, []string{"Read 3 minutes ago"}, []string{"notice"}},
		"a failed reading": {sales.ErrUnreachable, 9 * time.Minute,
			[]string{"The database is away", "cannot be reached"}, nil},
		"a slow reading": {sales.ErrTooSlow, 9 * time.Minute, []string{"could not be refreshed", "too long"},
			[]string{"is away"}},
		"too much to read": {sales.ErrTooMany, 9 * time.Minute, []string{"could not be refreshed", "more order lines"},
			[]string{"is away"}},
		"an hour":         {nil, time.Hour, nil, []string{"notice"}},
		"older":           {nil, time.Hour + time.Second, []string{"These figures are old", `role="alert"`}, nil},
		"old and failing": {sales.ErrUnreachable, 5 * time.Hour, []string{"5 hours ago", "cannot be reached"}, nil},
		"secrets": {errors.New("10.0.0.1"), time.Minute, []string{"could not be refreshed", "did not answer"},
			[]string{"10.0.0.1"}},
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

func TestATableThatIsNotThereSaysWhyAndWhetherToWait(t *testing.T) {
	for name, c := range map[string]struct {
		failed error
		status int
		words  string
	}{
		"just started":  {nil, http.StatusServiceUnavailable, "have not been read from the database yet"},
		"may come back": {sales.ErrUnreachable, http.StatusServiceUnavailable, "cannot be reached"},
		"waiting mends not": {fmt.Errorf("%w: 10.0.0.1", sales.ErrRefused), http.StatusInternalServerError,
			"refuses"},
		"nothing of the rest": {errors.New("10.0.0.1"), http.StatusServiceUnavailable, "did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(o *Options) {
				o.Sales = func() sales.State { return sales.State{Failed: c.failed, Tried: noon} }
			})
			answer := get(t, s, "/sales/course.csv")
			assert.Equal(t, c.status, answer.StatusCode)
			assert.Equal(t, c.status == http.StatusServiceUnavailable, answer.Header.Get("Retry-After") != "")
			said := text(t, answer)
			assert.Contains(t, said, c.words)
			assert.NotContains(t, said, "10.0.0.1")
		})
	}
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

type anybody struct{}

func (anybody) Check(*http.Request) error { return errors.New("no login") }

func TestWithoutALoginNoSalesAreRead(t *testing.T) {
	s := newServer(t, func(o *Options) { o.Login = anybody{} })
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

func TestOnlyWhoTakesItIsAnsweredCompressed(t *testing.T) {
	s := newServer(t, nil)
	for accepted, compressed := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false,
		"*": true, "*;q=0": false, "gzip;q=0, *": false, "br": false, "x-gzip2": false, "gzip;q=": false,
		"identity, gzip ; q = 0": false, "gzip;q=1.0,deflate": true,
	} {
		for _, route := range []string{"/sales", "/sales/course.csv", addresses["style.css"]} {
			request := httptest.NewRequest(http.MethodGet, route, nil)
			request.Header.Set("Accept-Encoding", accepted)
			recorder := httptest.NewRecorder()
			s.ServeHTTP(recorder, request)
			assert.Equal(t, compressed, recorder.Header().Get("Content-Encoding") == "gzip", "%s: %s", route, accepted)
			assert.Equal(t, "Accept-Encoding", recorder.Header().Get("Vary"))
		}
	}
}

// A file that lies on somebody's disk tells of when it is.
func TestATableIsCalledAfterItsAge(t *testing.T) {
	for age, name := range map[time.Duration]string{
		time.Hour: "course-2026-03-01T12-00Z.csv", time.Hour + time.Second: "course-old-2026-03-01T12-00Z.csv"} {
		s := newServer(t, func(o *Options) { o.Now = func() time.Time { return noon.Add(age) } })
		header := get(t, s, "/sales/course.csv").Header
		assert.Equal(t, `attachment; filename="`+name+`"`, header.Get("Content-Disposition"))
		assert.Equal(t, "Sun, 01 Mar 2026 12:00:00 GMT", header.Get("Last-Modified"))
	}
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
		made, _ := readFilter(query, figures(t))
		same, problems := readFilter(strings.TrimPrefix(made.query(), "?"), figures(t))
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

// The API rules its addresses alone: what methods and how long a query there are is its own matter.
func TestTheAPIHasItsAddresses(t *testing.T) {
	var asked []string
	s := newServer(t, func(o *Options) {
		o.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.Path)
			w.Header().Set("Cache-Control", "private")
			w.WriteHeader(http.StatusTeapot)
		})
		o.TLS = true
	})
	for _, address := range []string{"/api/v1", "/api/v1/", "/api/v1/popular", "/api/v1//x", "/api/v1/x?" +
		strings.Repeat("x", 3000)} {
		answer := get(t, s, address)
		assert.Equal(t, http.StatusTeapot, answer.StatusCode, address)
		assert.Equal(t, "private", answer.Header.Get("Cache-Control"))
		assert.NotEmpty(t, answer.Header.Get("Strict-Transport-Security"))
	}
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, httptest.NewRequest(http.MethodOptions, "/api/v1/popular", nil))
	assert.Equal(t, http.StatusTeapot, recorder.Code)
	assert.Equal(t, []string{"GET /api/v1", "GET /api/v1/", "GET /api/v1/popular", "GET /api/v1//x", "GET /api/v1/x",
		"OPTIONS /api/v1/popular"}, asked)
	for _, address := range []string{"/api/v2/popular", "/api/v10", "/api", "/api/"} {
		assert.Equal(t, http.StatusNotFound, get(t, s, address).StatusCode, address)
	}
	assert.Equal(t, http.StatusNotFound, get(t, newServer(t, nil), "/api/v1/popular").StatusCode)
}
