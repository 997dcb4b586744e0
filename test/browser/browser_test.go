// Package browser looks at the web tier's pages with a real browser: what a person sees must be
// what the database holds, on a telephone and a desk, in light and dark, with a keyboard or a
// screen reader. It knows nothing of AWS.
package browser

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/local/chromium"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/sales"
	"diecast/internal/source"
	scripts "diecast/sql"
	"diecast/web/server"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Run(m)) }

const (
	modules     = "../../node_modules"
	screenshots = "../../.local/screenshots"
	// patience of the whole test with the browser.
	patience = 3 * time.Minute
)

// shop is a database with the generated shop and the pages that show it; both live as long as the
// test.
type shop struct {
	pool    *sql.DB
	address string
	state   *sales.State
	// ahead is how far the pages' clock is before the machine's.
	ahead *time.Duration
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	pool, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	return pool
}

func newShop(t *testing.T) shop {
	t.Helper()
	root := open(t, mariadbtest.Server(t).DSN(""))
	root.SetMaxOpenConns(1) // a database that is chosen stays chosen
	_, err := source.New(root).Apply(t.Context(), source.Contents{Kind: source.Sample,
		Options: classicmodels.DefaultOptions()})
	require.NoError(t, err)
	_, err = root.ExecContext(t.Context(), "ALTER USER '"+scripts.WebReader+"'@'%' IDENTIFIED BY 'open' ACCOUNT UNLOCK")
	require.NoError(t, err)
	reader := open(t, mariadbtest.Server(t).DSNFor(scripts.WebReader, "open", classicmodels.Database))
	figures, err := sales.NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	state, ahead := &sales.State{Figures: figures}, new(time.Duration)
	pages := httptest.NewServer(server.New(server.Options{
		Sales: func() sales.State { return *state },
		Provenance: func() server.Provenance {
			return server.Provenance{Instance: "i-0123456789abcdef0", Zone: "us-east-1a", Version: "0123456789ab",
				Started: time.Now()}
		},
		Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Now().Add(*ahead) },
	}))
	t.Cleanup(pages.Close)
	return shop{pool: root, address: pages.URL, state: state, ahead: ahead}
}

// tab is a browser's tab and all that its console said.
type tab struct {
	context.Context
	lock     sync.Mutex
	messages []chromedp.ConsoleMessage
	ended    chan struct{}
}

const lastWords = "the test has ended"

func newTab(t *testing.T) *tab {
	t.Helper()
	browser, err := chromium.Find(modules)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser.Path), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Env(browser.Environment...), chromedp.UserDataDir(t.TempDir()))
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	opened := &tab{Context: ctx, ended: make(chan struct{})}
	console := chromedp.Console(ctx)
	go func() {
		defer close(opened.ended)
		for message, err := range console {
			if err != nil || message.Text == lastWords {
				return
			}
			opened.lock.Lock()
			opened.messages = append(opened.messages, message)
			opened.lock.Unlock()
		}
	}()
	return opened
}

// quiet checks that no page had an error, a warning or a violation of its security policy.
func (b *tab) quiet(t *testing.T) {
	t.Helper()
	require.NoError(t, chromedp.Do(b, chromedp.Evaluate[chromedp.Void](`console.log("`+lastWords+`")`)))
	<-b.ended
	b.lock.Lock()
	defer b.lock.Unlock()
	assert.Empty(t, b.messages)
}

// until waits for words on the console.
func (b *tab) until(t *testing.T, words string) {
	t.Helper()
	require.Eventually(t, func() bool {
		b.lock.Lock()
		defer b.lock.Unlock()
		return slices.ContainsFunc(b.messages, func(m chromedp.ConsoleMessage) bool {
			return strings.Contains(m.Text, words)
		})
	}, 10*time.Second, 20*time.Millisecond)
}

func (b *tab) visit(t *testing.T, address string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b, chromedp.Navigate(address)), address)
}

func value[T any](t *testing.T, b *tab, script string) T {
	t.Helper()
	result, err := chromedp.Run(b, chromedp.Evaluate[T](script))
	require.NoError(t, err, script)
	return result
}

func press(t *testing.T, b *tab, keys string) {
	t.Helper()
	require.NoError(t, chromedp.Do(b, chromedp.KeyEvent(keys)))
}

// look of the screen: its width, and light or dark.
func (b *tab) look(t *testing.T, width int64, scheme string) {
	t.Helper()
	_, err := chromedp.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(b, chromedp.EmulateViewport(width, 900)))
}

func (b *tab) shoot(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(screenshots, 0o755))
	image, err := chromedp.Run(b, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(screenshots, name+".png"), image, 0o644))
}

// rows of a statement, each value as text.
func (s shop) rows(t *testing.T, statement string, arguments ...any) [][]string {
	t.Helper()
	found, err := s.pool.QueryContext(t.Context(), statement, arguments...)
	require.NoError(t, err, statement)
	defer found.Close()
	columns, err := found.Columns()
	require.NoError(t, err)
	var all [][]string
	for found.Next() {
		row, targets := make([]string, len(columns)), make([]any, len(columns))
		for i := range row {
			targets[i] = &row[i]
		}
		require.NoError(t, found.Scan(targets...))
		all = append(all, row)
	}
	require.NoError(t, found.Err())
	return all
}

// The statement is written anew here, on purpose: it is the independent witness.
const witness = ` FROM classicmodels.orderdetails d JOIN classicmodels.orders o USING (orderNumber)
	JOIN classicmodels.products p USING (productCode) JOIN classicmodels.customers c USING (customerNumber)
	WHERE o.status <> 'Cancelled' AND o.orderDate BETWEEN ? AND ?`

const sums = `CONCAT('$', FORMAT(SUM(quantityOrdered * priceEach), 2)), FORMAT(COUNT(DISTINCT o.orderNumber), 0)`

// tableOf reads a table of the page: row names, and the columns of revenue and orders.
func tableOf(id string, orders int) string {
	return fmt.Sprintf(`Array.from(document.querySelectorAll("#%s-table tbody tr")).map(row =>
		[row.cells[0].textContent, row.cells[1].textContent, row.cells[%d].textContent])`, id, orders)
}

// texts of all elements that a selector finds.
func texts(selector string) string {
	return fmt.Sprintf(`Array.from(document.querySelectorAll(%q)).map(found => found.textContent)`, selector)
}

func TestThePageShowsWhatTheDatabaseHolds(t *testing.T) {
	s := newShop(t)
	b := newTab(t)
	for name, c := range map[string]struct {
		query, from, to, where string
		arguments              []any
	}{
		"all":           {"?period=all", "2003-01-01", "2005-12-31", "", nil},
		"twelve months": {"", "2004-06-01", "2005-05-31", "", nil},
		"dates":         {"?from=2004-02-03&to=2004-03-04", "2004-02-03", "2004-03-04", "", nil},
		"line, by months": {"?period=all&line=Classic+Cars", "2003-01-01", "2005-12-31",
			" AND p.productLine = ?", []any{"Classic Cars"}},
		"country": {"?period=all&country=France", "2003-01-01", "2005-12-31",
			" AND TRIM(c.country) = ?", []any{"France"}},
	} {
		t.Run(name, func(t *testing.T) {
			b.visit(t, s.address+"/sales"+c.query)
			arguments := append([]any{c.from, c.to}, c.arguments...)
			from := witness + c.where
			head := s.rows(t, "SELECT "+sums+`, CONCAT('$', FORMAT(ROUND(SUM(quantityOrdered * priceEach) /
				COUNT(DISTINCT o.orderNumber), 2), 2)), FORMAT(SUM(quantityOrdered), 0)`+from, arguments...)
			assert.Equal(t, head[0], value[[]string](t, b, texts(".cards .value")))
			assert.Equal(t, s.rows(t, "SELECT productLine, "+sums+from+
				" GROUP BY productLine ORDER BY SUM(quantityOrdered * priceEach) DESC", arguments...),
				value[[][]string](t, b, tableOf("lines", 3)))
			assert.Equal(t, s.rows(t, "SELECT TRIM(country) AS place, "+sums+from+
				" GROUP BY place ORDER BY SUM(quantityOrdered * priceEach) DESC, place", arguments...),
				value[[][]string](t, b, tableOf("countries", 3)))
			assert.Equal(t, s.rows(t, "SELECT productName, "+sums+from+
				" GROUP BY productCode, productName ORDER BY SUM(quantityOrdered * priceEach) DESC, productCode"+
				" LIMIT 20",
				arguments...), value[[][]string](t, b, tableOf("products", 3)))
			if strings.Contains(c.query, "period=all") {
				assert.Equal(t, s.rows(t, "SELECT DATE_FORMAT(MIN(orderDate), '%M %Y'), "+sums+from+
					" GROUP BY YEAR(orderDate), MONTH(orderDate) ORDER BY MIN(orderDate)", arguments...),
					value[[][]string](t, b, `(`+tableOf("revenue", 2)+`).filter(row => row[2] != "0")`))
			}
		})
	}
	b.quiet(t)
}

func TestFiltersAreUsedByKeyboard(t *testing.T) {
	s := newShop(t)
	b := newTab(t)
	b.visit(t, s.address+"/")
	focus := `(document.activeElement.name || document.activeElement.textContent).trim()`
	var seen []string
	for range 40 {
		press(t, b, "\t")
		seen = append(seen, value[string](t, b, focus))
		if seen[len(seen)-1] == "line" {
			break
		}
	}
	assert.Equal(t, "Skip to content", seen[0])
	assert.Subset(t, seen, []string{"30 days", "90 days", "12 months", "All time", "from", "to", "line"})
	press(t, b, "Motorcycles")
	_, err := chromedp.RunResponse(b, chromedp.KeyEvent("\t\t\r")) // country, Show
	require.NoError(t, err)
	assert.Contains(t, value[string](t, b, `location.search`), "line=Motorcycles")
	assert.Contains(t, value[string](t, b, `document.querySelector(".lead").textContent`), "Motorcycles")
	assert.Equal(t, []string{"Motorcycles"},
		value[[]string](t, b, texts("#lines-table tbody th")))
	b.quiet(t)
}

// A login ran out while the page was open: the form's request is redirected to the provider, to
// which a browser goes only where the page's policy names it.
func TestTheFormLeadsToTheLoginWhenItHasRunOut(t *testing.T) {
	s := newShop(t)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><html lang=en><title>Log in</title><link rel=icon href=data:,><h1>Log in")
	}))
	t.Cleanup(provider.Close)
	for name, c := range map[string]struct {
		origin, title string
	}{"named": {provider.URL, "Log in"}, "not named": {"", "Sales · Diecast"}} {
		t.Run(name, func(t *testing.T) {
			pages := server.New(server.Options{
				Sales:      func() sales.State { return *s.state },
				Provenance: func() server.Provenance { return server.Provenance{} },
				Logger:     slog.New(slog.DiscardHandler), LoginOrigin: c.origin,
			})
			var out atomic.Bool
			balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/sales" && out.Load() {
					http.Redirect(w, r, provider.URL+"/authorize", http.StatusFound)
					return
				}
				pages.ServeHTTP(w, r)
			}))
			t.Cleanup(balancer.Close)
			b := newTab(t)
			b.visit(t, balancer.URL+"/sales")
			out.Store(true)
			value[any](t, b, `document.querySelector("form button").click()`)
			if c.origin != "" {
				require.NoError(t, chromedp.Do(b, chromedp.WaitVisible("h1")))
				require.Eventually(t, func() bool { return value[string](t, b, `document.title`) == c.title },
					10*time.Second, 20*time.Millisecond)
				b.quiet(t)
				return
			}
			b.until(t, "form-action")
			assert.Equal(t, c.title, value[string](t, b, `document.title`))
		})
	}
}

// Every chart has a name and a description, is reached by keyboard, and has a table behind it.
func TestChartsAreThereForEverybody(t *testing.T) {
	s := newShop(t)
	b := newTab(t)
	b.visit(t, s.address+"/sales")
	charts := value[[]map[string]any](t, b, `Array.from(document.querySelectorAll("svg.chart")).map(chart => ({
		name: document.getElementById(chart.getAttribute("aria-labelledby")).textContent,
		description: document.getElementById(chart.getAttribute("aria-describedby")).textContent,
		role: chart.getAttribute("role"), reach: chart.tabIndex,
		table: chart.closest("section").querySelectorAll("details table tbody tr").length,
		marks: chart.querySelectorAll(".mark").length}))`)
	require.Len(t, charts, 5)
	for _, chart := range charts {
		assert.NotEmpty(t, chart["name"])
		assert.NotEmpty(t, chart["description"])
		assert.Equal(t, "img", chart["role"])
		assert.EqualValues(t, 0, chart["reach"])
		assert.NotZero(t, chart["table"], chart["name"])
		assert.NotZero(t, chart["marks"], chart["name"])
	}
	b.quiet(t)
}

// The marks of unusual columns are on the days that the one definition names.
func TestSpikesAreMarkedWhereTheDefinitionFindsThem(t *testing.T) {
	s := newShop(t)
	b := newTab(t)
	_, err := s.pool.ExecContext(t.Context(), "USE "+classicmodels.Database)
	require.NoError(t, err)
	wanted := s.rows(t, "SELECT DATE_FORMAT(orderDate, '%e %b %Y'), CONCAT('$', FORMAT(revenue, 2)), "+
		"CONCAT('$', FORMAT(threshold, 2)) FROM ("+scripts.SpikeDays+") AS days WHERE spike = 1 ORDER BY orderDate")
	require.NotEmpty(t, wanted)
	b.visit(t, s.address+"/sales?period=all")
	assert.Equal(t, wanted, value[[][]string](t, b, tableOf("spikes", 2)))
	months := value[[]string](t, b, `Array.from(document.querySelectorAll("#revenue-table tbody tr"))
		.filter(row => row.cells[4].textContent).map(row => row.cells[0].textContent)`)
	marked := value[[]string](t, b, texts(".unusual title"))
	require.Len(t, marked, len(months))
	for i, month := range months {
		assert.Contains(t, marked[i], month)
		assert.Contains(t, marked[i], "demand spike")
	}
	b.quiet(t)
}

// views are the pages in all their states.
func views(s shop) map[string]string {
	return map[string]string{
		"sales": s.address + "/sales", "all": s.address + "/sales?period=all", "month": s.address + "/sales?period=30d",
		"line":    s.address + "/sales?period=all&line=Ships&country=USA",
		"nothing": s.address + "/sales?from=1999-01-01&to=1999-02-01", "provenance": s.address + "/provenance",
	}
}

func TestPagesFitEveryScreen(t *testing.T) {
	s := newShop(t)
	b := newTab(t)
	for _, width := range []int64{1280, 768, 360} {
		for _, scheme := range []string{"light", "dark"} {
			for name, address := range views(s) {
				t.Run(fmt.Sprintf("%s %d %s", name, width, scheme), func(t *testing.T) {
					b.look(t, width, scheme)
					b.visit(t, address)
					assert.LessOrEqual(t, value[int64](t, b, `document.documentElement.scrollWidth`), width,
						"it scrolls sideways")
					dark := value[bool](t, b, `(([r, g, b]) => r + g + b < 200)(
						getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number))`)
					assert.Equal(t, scheme == "dark", dark)
					assert.Empty(t, violations(t, b))
					b.shoot(t, fmt.Sprintf("%s-%d-%s", name, width, scheme))
				})
			}
		}
	}
	b.quiet(t)
}

// The states in which the database leaves the pages are as readable as the others.
func TestPagesWithoutTheDatabase(t *testing.T) {
	s := newShop(t)
	b := newTab(t)
	figures := s.state.Figures
	now := time.Now()
	for name, c := range map[string]struct {
		state sales.State
		ahead time.Duration
		words string
	}{
		"never": {sales.State{Failed: sales.ErrUnreachable, Tried: now}, 0, "There are no figures yet"},
		"late":  {sales.State{Figures: figures, Failed: sales.ErrTooSlow, Tried: now}, 0, "The database is away"},
		"empty": {sales.State{Figures: sales.New(now, nil, nil, nil, nil)}, 0, "There are no orders yet"},
		"old": {sales.State{Figures: figures, Failed: sales.ErrUnreachable, Tried: now}, 3 * time.Hour,
			"These figures are old"},
	} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				*s.state, *s.ahead = c.state, c.ahead
				b.look(t, 1280, scheme)
				b.visit(t, s.address+"/sales")
				assert.Contains(t, value[string](t, b, `document.body.textContent`), c.words)
				assert.Empty(t, violations(t, b))
				b.shoot(t, name+"-1280-"+scheme)
			})
		}
	}
	b.quiet(t)
}

// violations are what axe finds wrong with the page, its tables opened.
func violations(t *testing.T, b *tab) []string {
	t.Helper()
	axe, err := os.ReadFile(filepath.Join(modules, "axe-core", "axe.min.js"))
	require.NoError(t, err, "axe-core is missing: run `make setup`")
	require.NoError(t, chromedp.Do(b, chromedp.Evaluate[chromedp.Void](string(axe)+`;
		document.querySelectorAll("details").forEach(table => table.open = true); 0`)))
	found, err := chromedp.Run(b, chromedp.Evaluate[[]string](`axe.run(document).then(result => {
		document.querySelectorAll("details").forEach(table => table.open = false);
		return result.violations.flatMap(rule => rule.nodes.map(node =>
			rule.id + ": " + node.html.slice(0, 200) + " " + node.failureSummary)); })`,
		chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	return found
}
