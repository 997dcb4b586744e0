package browser

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/catalogue"
	"diecast/internal/classicmodels"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/sales"
	"diecast/internal/source"
	scripts "diecast/sql"
	"diecast/web/server"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Run(m)) }

// shop is a database with the generated shop and the pages that show it; both live as long as the
// test.
type shop struct {
	*platform
	// serve the pages with other options, at an address of their own.
	serve   func(change func(*server.Options)) string
	pool    *sql.DB
	address string
	// withheld shows the same to nobody, guarded to who has logged in.
	withheld, guarded string
	state             *sales.State
	// ahead is how far the pages' clock is before the machine's.
	ahead *time.Duration
}

func newShop(t *testing.T) shop {
	t.Helper()
	root := mariadbtest.Open(t, mariadbtest.Server(t).DSN(""))
	root.SetMaxOpenConns(1) // a database that is chosen stays chosen
	_, err := source.New(root).Apply(t.Context(), source.Contents{Kind: source.Sample,
		Options: classicmodels.DefaultOptions()})
	require.NoError(t, err)
	_, err = root.ExecContext(t.Context(), "ALTER USER '"+scripts.WebReader+"'@'%' IDENTIFIED BY 'open' ACCOUNT UNLOCK")
	require.NoError(t, err)
	reader := mariadbtest.Open(t, mariadbtest.Server(t).DSNFor(scripts.WebReader, "open", classicmodels.Database))
	figures, err := sales.NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	state, ahead := &sales.State{Figures: figures}, new(time.Duration)
	products, err := catalogue.NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	platform := newPlatform(t, products)
	serve := func(change func(*server.Options)) string {
		options := server.Options{
			Sales: func() sales.State { return *state }, Catalogue: platform.catalogue, Answers: platform.reader,
			Shop: &server.Shop{Put: platform.put, PerMinute: 100_000},
			Provenance: func() server.Provenance {
				return server.Provenance{Instance: "i-0123456789abcdef0", Zone: "us-east-1a", Version: "0123456789ab",
					Started: time.Now()}
			},
			Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Now().Add(*ahead) },
		}
		change(&options)
		pages := httptest.NewServer(server.New(options))
		t.Cleanup(pages.Close)
		return pages.URL
	}
	return shop{
		platform: platform, serve: serve,
		pool: root, state: state, ahead: ahead, address: serve(func(*server.Options) {}),
		withheld: serve(func(o *server.Options) { o.Withhold = true }),
		guarded:  serve(func(o *server.Options) { o.Login = guest{} }),
	}
}

// guest has not logged in.
type guest struct{}

func (guest) Check(*http.Request) error { return errors.New("no login") }

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

func TestThePageShowsWhatTheDatabaseHolds(t *testing.T) {
	s := newShop(t)
	b := NewTab(t)
	ShowsWhatTheDatabaseHolds(t, b, s.address, func(statement string) [][]string { return s.rows(t, statement) })
	b.Quiet(t)
}

func TestFiltersAreUsedByKeyboard(t *testing.T) {
	s := newShop(t)
	b := NewTab(t)
	FiltersByKeyboard(t, b, s.address)
	b.Quiet(t)
}

// A login ran out while the page was open: the form's request is redirected to the provider, to
// which a browser goes only where the page's policy names it.
func TestTheFormLeadsToTheLoginWhenItHasRunOut(t *testing.T) {
	s := newShop(t)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><html lang=en><title>Log in</title><link rel=icon href=data:,>"+
			"<h1>Log in")
	}))
	t.Cleanup(provider.Close)
	for name, c := range map[string]struct {
		origin, title string
	}{"named": {provider.URL, "Log in"}, "not named": {"", "Sales · Diecast"}} {
		t.Run(name, func(t *testing.T) {
			pages := server.New(server.Options{
				Sales: func() sales.State { return *s.state }, Catalogue: s.catalogue, Answers: s.reader,
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
			b := NewTab(t)
			b.Visit(t, balancer.URL+"/sales")
			out.Store(true)
			Value[any](t, b, `document.querySelector("form button").click()`)
			if c.origin != "" {
				require.NoError(t, chromedp.Do(b, chromedp.WaitVisible("h1")))
				require.Eventually(t, func() bool { return Value[string](t, b, `document.title`) == c.title },
					10*time.Second, 20*time.Millisecond)
				b.Quiet(t)
				return
			}
			b.Until(t, "form-action")
			assert.Equal(t, c.title, Value[string](t, b, `document.title`))
		})
	}
}

// Every chart has a name and a description, is reached by keyboard, and has a table behind it.
func TestChartsAreThereForEverybody(t *testing.T) {
	s := newShop(t)
	b := NewTab(t)
	b.Visit(t, s.address+"/sales")
	charts := Value[[]map[string]any](t, b, `Array.from(document.querySelectorAll("svg.chart")).map(chart => ({
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
	b.Quiet(t)
}

// The marks of unusual columns are on the days that the one definition names.
func TestSpikesAreMarkedWhereTheDefinitionFindsThem(t *testing.T) {
	s := newShop(t)
	b := NewTab(t)
	_, err := s.pool.ExecContext(t.Context(), "USE "+classicmodels.Database)
	require.NoError(t, err)
	wanted := s.rows(t, "SELECT DATE_FORMAT(orderDate, '%e %b %Y'), CONCAT('$', FORMAT(revenue, 2)), "+
		"CONCAT('$', FORMAT(threshold, 2)) FROM ("+scripts.SpikeDays+") AS days WHERE spike = 1 ORDER BY orderDate")
	require.NotEmpty(t, wanted)
	b.Visit(t, s.address+"/sales?period=all")
	require.Greater(t, len(wanted), 16)
	assert.Equal(t, fmt.Sprintf("Demand spikes: %d days", len(wanted)),
		Value[string](t, b, `document.getElementById("spikes-title").textContent`))
	assert.Equal(t, wanted[len(wanted)-16:], Value[[][]string](t, b, TableOf("spikes", 2)), "the last sixteen")
	months := Value[[]string](t, b, `Array.from(document.querySelectorAll("#revenue-table tbody tr"))
		.filter(row => row.cells[4].textContent).map(row => row.cells[0].textContent)`)
	marked := Value[[]string](t, b, Texts(".unusual title"))
	require.Len(t, marked, len(months))
	for i, month := range months {
		assert.Contains(t, marked[i], month)
		assert.Contains(t, marked[i], "demand spike")
	}
	b.Quiet(t)
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
	b := NewTab(t)
	for _, width := range []int64{1280, 768, 360} {
		for _, scheme := range []string{"light", "dark"} {
			for name, address := range views(s) {
				t.Run(fmt.Sprintf("%s %d %s", name, width, scheme), func(t *testing.T) {
					b.Look(t, width, scheme)
					b.Visit(t, address)
					assert.LessOrEqual(t, Value[int64](t, b, `document.documentElement.scrollWidth`), width,
						"it scrolls sideways")
					assert.Zero(t, Value[int](t, b, `Array.from(document.querySelectorAll(".scroll")).filter(table =>
						table.scrollHeight > table.clientHeight + 1).length`), "a table hides rows")
					dark := Value[bool](t, b, `(([r, g, b]) => r + g + b < 200)(
						getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number))`)
					assert.Equal(t, scheme == "dark", dark)
					assert.Empty(t, Violations(t, b))
					b.Shoot(t, fmt.Sprintf("%s-%d-%s", name, width, scheme))
				})
			}
		}
	}
	b.Quiet(t)
}

// Pages that refuse are as readable as the others. Of their status the console tells by itself.
func TestPagesThatSayWhatIsWrong(t *testing.T) {
	s := newShop(t)
	for name, c := range map[string]struct{ address, title, status string }{
		"bad-request": {s.address + "/sales?period=decade&line=Kites&from=yesterday", "Sales", "400 (Bad Request)"},
		"login":       {s.guarded + "/sales", "Please log in", "401 (Unauthorized)"},
		"withheld":    {s.withheld + "/sales", "Sales are not shown here", "403 (Forbidden)"},
		"missing":     {s.address + "/nothing", "There is no such page", "404 (Not Found)"},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewTab(t)
			for width, scheme := range map[int64]string{1280: "light", 360: "dark"} {
				b.Look(t, width, scheme)
				b.Visit(t, c.address)
				assert.Equal(t, c.title, Value[string](t, b, `document.querySelector("h1").textContent`))
				assert.LessOrEqual(t, Value[int64](t, b, `document.documentElement.scrollWidth`), width)
				assert.Empty(t, Violations(t, b))
				b.Shoot(t, fmt.Sprintf("%s-%d-%s", name, width, scheme))
			}
			b.Quiet(t, "Failed to load resource: the server responded with a status of "+c.status)
		})
	}
}

// The states in which the database leaves the pages are as readable as the others.
func TestPagesWithoutTheDatabase(t *testing.T) {
	s := newShop(t)
	b := NewTab(t)
	figures := s.state.Figures
	now := time.Now()
	for name, c := range map[string]struct {
		state sales.State
		ahead time.Duration
		words string
	}{
		"never": {sales.State{Failed: sales.ErrUnreachable, Tried: now}, 0, "There are no figures yet"},
		"late": {sales.State{Figures: figures, Failed: sales.ErrTooSlow, Tried: now}, 0,
			"The figures could not be refreshed"},
		"away":  {sales.State{Figures: figures, Failed: sales.ErrUnreachable, Tried: now}, 0, "The database is away"},
		"empty": {sales.State{Figures: sales.New(now, nil, nil, nil, nil)}, 0, "There are no orders yet"},
		"old": {sales.State{Figures: figures, Failed: sales.ErrUnreachable, Tried: now}, 3 * time.Hour,
			"These figures are old"},
	} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				*s.state, *s.ahead = c.state, c.ahead
				b.Look(t, 1280, scheme)
				b.Visit(t, s.address+"/sales")
				assert.Contains(t, strings.Join(Value[[]string](t, b, Texts(".notice, .blank")), " "), c.words)
				assert.Empty(t, Violations(t, b))
				b.Shoot(t, name+"-1280-"+scheme)
			})
		}
	}
	b.Quiet(t)
}
