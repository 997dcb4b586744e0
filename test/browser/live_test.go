package browser

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/catalogue"
	"diecast/internal/picture"
	"diecast/internal/recommendation"
	"diecast/internal/sales"
	"diecast/web/server"
)

const (
	// soon is how long a click may take to show.
	soon = 2 * time.Second
	// calm is how long a page may take to be there.
	calm = 10 * time.Second
	live = `document.getElementById("state").textContent === "Live"`
	// answers is how many clicks were answered in the shop.
	answers = `Number(document.getElementById("took").dataset.count || 0)`
)

func textOf(id string) string { return fmt.Sprintf(`document.getElementById(%q).innerText`, id) }

// visitShop opens the shop and waits until its first answer is there.
func visitShop(t *testing.T, b *Tab, address string) {
	t.Helper()
	b.Visit(t, address)
	b.Within(t, calm, live+` && document.querySelectorAll("#strip li").length === 5`)
}

// What is clicked in the shop is recommended upon, in the shop and for the company.
func TestAClickBecomesRecommendations(t *testing.T) {
	s := newShop(t)
	b := NewTab(t)
	visitShop(t, b, s.address+"/shop")
	assert.Contains(t, Value[string](t, b, textOf("recommended")), "Most popular")
	assert.Equal(t, "A visitor from Nantes, France, credit limit $21,000.00", Value[string](t, b, textOf("who")))

	b.Click(t, "#catalogue .goods .look")
	b.Within(t, soon, answers+` === 1`)
	name := Value[string](t, b, textOf("product-title"))
	assert.Contains(t, Value[string](t, b, textOf("because")), "Because you looked at "+name)
	assert.Contains(t, Value[string](t, b, textOf("recommended")), "Recommended for you")
	assert.Equal(t, name+" · Diecast", Value[string](t, b, `document.title`))
	assert.Contains(t, Value[string](t, b, `location.search`), "?product=")

	session := Value[string](t, b, textOf("session-id")+` || document.getElementById("session-id").textContent`)
	company := b.Beside(t)
	company.Visit(t, s.address+"/recommendations#session="+session)
	company.Within(t, calm, `document.getElementById("browsed").innerText.includes(`+fmt.Sprintf("%q", name)+`)`)
	assert.Contains(t, Value[string](t, company, textOf("answer")), "looked at a product")
	assert.Equal(t, modelVersion, Value[string](t, company, textOf("model")))
	assert.Regexp(t, `^\d+ ms$`, Value[string](t, company, textOf("took")))

	recommended := Value[string](t, b, `document.querySelector("#strip .look b").textContent`)
	b.Click(t, "#strip .add")
	b.Within(t, soon, answers+` === 2`)
	assert.NotContains(t, Value[[]string](t, b, Texts("#strip .look b")), recommended, "the cart is never recommended")
	assert.Equal(t, "1 piece", Value[string](t, b, `document.querySelector(".cart-count.note").textContent`))
	company.Within(t, soon, `document.getElementById("in-cart").innerText.includes(`+fmt.Sprintf("%q", recommended)+`)`)
	assert.Contains(t, Value[string](t, company, textOf("answer")), "changed the cart")

	b.Click(t, "#visitor > summary")
	require.NoError(t, chromedp.Do(b, chromedp.SetValue("#country", "Japan")))
	b.Click(t, "#visitor-form button")
	b.Within(t, soon, answers+` === 3`)
	assert.Contains(t, Value[string](t, b, textOf("recommended")), "Nantes, Japan")
	b.Click(t, "#checkout")
	b.Within(t, soon, answers+` === 4`)
	assert.Equal(t, "empty", Value[string](t, b, `document.querySelector(".cart-count.note").textContent`))
	company.Within(t, soon, `document.getElementById("answer").innerText.includes("checked out")`)

	b.Click(t, "#anew")
	b.Within(t, soon, textOf("recommended")+`.includes("You are new here")`)
	assert.NotEqual(t, session, Value[string](t, b, `document.getElementById("session-id").textContent`))
	b.Quiet(t)
	company.Quiet(t)
}

func TestTwoTabsShareSessionAndCart(t *testing.T) {
	s := newShop(t)
	one := NewTab(t)
	visitShop(t, one, s.address+"/shop")
	two := one.Beside(t)
	visitShop(t, two, s.address+"/shop?line=Ships")
	id := `document.getElementById("session-id").textContent`
	assert.Equal(t, Value[string](t, one, id), Value[string](t, two, id))
	one.Click(t, "#catalogue .goods .add")
	two.Within(t, soon, `document.querySelectorAll("#cart li").length === 1 &&
		document.getElementById("because").innerText.includes("lies in your cart")`)
	two.Click(t, "#cart .remove")
	one.Within(t, soon, `document.querySelectorAll("#cart li").length === 0`)
	one.Click(t, "#visitor > summary")
	one.Click(t, "#anew")
	two.Within(t, soon, id+` === `+fmt.Sprintf("%q", Value[string](t, one, id)))
	one.Quiet(t)
	two.Quiet(t)
}

func TestTheBackButtonGoesBack(t *testing.T) {
	s := newShop(t)
	for i, customer := range []int{103, 112} {
		require.NoError(t, s.answer(s.event(t, fmt.Sprintf("s%d", i), customer, s.all[i].Code)))
	}
	b := NewTab(t)
	title := `document.getElementById("answer-title").textContent`
	b.Visit(t, s.address+"/recommendations")
	b.Within(t, calm, live)
	assert.Contains(t, Value[string](t, b, textOf("answer")), "Nobody is chosen yet")
	for _, customer := range []string{"103", "112"} {
		require.NoError(t, chromedp.Do(b, chromedp.SetValue("#customer", customer)))
		b.Click(t, "#choose-customer button")
		b.Within(t, calm, title+` === "Customer `+customer+`"`)
		assert.Equal(t, "#customer="+customer, Value[string](t, b, `location.hash`))
	}
	Value[any](t, b, `history.back()`)
	b.Within(t, calm, title+` === "Customer 103"`)
	assert.Equal(t, "103", Value[string](t, b, `document.getElementById("customer").value`))
	Value[any](t, b, `history.back()`)
	b.Within(t, calm, textOf("answer")+`.includes("Nobody is chosen yet")`)
	Value[any](t, b, `history.forward()`)
	b.Within(t, calm, title+` === "Customer 103"`)
	b.Click(t, "#recent a")
	b.Within(t, calm, title+`.startsWith("Session s")`)

	visitShop(t, b, s.address+"/shop")
	b.Click(t, "#catalogue .lines a:nth-child(3)")
	b.Within(t, calm, `location.search.includes("line=")`)
	line := Value[string](t, b, `document.querySelector("#catalogue .lines [aria-current]").innerText`)
	b.Click(t, "#catalogue .goods .look")
	b.Within(t, calm, `document.getElementById("product-title")`)
	Value[any](t, b, `history.back()`)
	b.Within(t, calm, `!document.getElementById("product-title")`)
	assert.Equal(t, line, Value[string](t, b, `document.querySelector("#catalogue .lines [aria-current]").innerText`))
	b.Quiet(t)
}

// instance is one of two servers behind a balancer.
type instance struct {
	*httptest.Server
	pages *server.Server
	gone  atomic.Bool
}

// behindABalancer starts two instances; requests go to each by turns, but to one that is gone or
// says in its health check that it is about to go.
func behindABalancer(t *testing.T, s shop) (address string, instances []*instance) {
	t.Helper()
	for i := range 2 {
		one := &instance{pages: server.New(server.Options{
			Sales: func() sales.State { return *s.state }, Catalogue: s.catalogue, Answers: s.reader,
			Shop: &server.Shop{Put: s.put, PerMinute: 100_000},
			Provenance: func() server.Provenance {
				return server.Provenance{Instance: fmt.Sprintf("i-%d", i), Zone: "us-east-1a", Version: "v1"}
			},
			Logger: slog.New(slog.DiscardHandler),
		})}
		one.Server = httptest.NewServer(one.pages)
		t.Cleanup(one.Close)
		instances = append(instances, one)
	}
	var turn atomic.Int64
	var proxies []http.Handler
	for _, one := range instances {
		to, err := url.Parse(one.URL)
		require.NoError(t, err)
		proxies = append(proxies, &httputil.ReverseProxy{
			Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
			ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
		})
	}
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range proxies {
			at := int(turn.Add(1)) % len(proxies)
			if !instances[at].gone.Load() {
				w.Header().Set("Instance", fmt.Sprint(at))
				proxies[at].ServeHTTP(w, r)
				return
			}
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(balancer.Close)
	return balancer.URL, instances
}

// An instance that is killed, drained or cut off costs those who look at it a moment.
func TestWhoLooksOnIsConnectedAnew(t *testing.T) {
	s := newShop(t)
	for name, end := range map[string]func(*instance){
		"killed": func(one *instance) {
			one.gone.Store(true)
			one.CloseClientConnections()
		},
		"drained": func(one *instance) {
			one.pages.Drain() // the balancer does not know it yet
			time.AfterFunc(time.Second, func() { one.gone.Store(true) })
		},
		"cut off": (*instance).CloseClientConnections,
	} {
		t.Run(name, func(t *testing.T) {
			address, instances := behindABalancer(t, s)
			b := NewTab(t)
			session := uuid.NewString()
			b.Visit(t, address+"/recommendations#session="+session)
			b.Within(t, calm, live+` && document.getElementById("answer-title")`)
			for _, one := range instances { // whichever it is connected to
				end(one)
				begun := time.Now()
				code := s.all[3].Code
				require.NoError(t, s.answer(s.event(t, session, 103, code)))
				b.Within(t, calm, live+` && document.getElementById("in-cart")`)
				t.Logf("%s: connected anew, with the news, after %d ms", name, time.Since(begun).Milliseconds())
				one.gone.Store(false)
				require.NoError(t, s.answer(s.event(t, session, 103)))
				b.Within(t, calm, live+` && !document.getElementById("in-cart")`)
				if name == "drained" {
					break // it stays so
				}
			}
			b.Quiet(t, "Failed to load resource: net::ERR_INCOMPLETE_CHUNKED_ENCODING",
				"Failed to load resource: the server responded with a status of 503 (Service Unavailable)",
				"Failed to load resource: the server responded with a status of 502 (Bad Gateway)")
		})
	}
}

// away is a store that may be away.
type away struct {
	server.Answers
	is atomic.Bool
}

var errAway = errors.New("no connection")

func (a *away) Session(ctx context.Context, session string) (recommendation.Answer, error) {
	if a.is.Load() {
		return recommendation.Answer{}, errAway
	}
	return a.Answers.Session(ctx, session)
}

func TestThePagesSayWhatThereIsNot(t *testing.T) {
	s := newShop(t)
	store := &away{Answers: s.reader}
	store.is.Store(true)
	var products atomic.Pointer[catalogue.Catalogue]
	address := s.serve(func(o *server.Options) {
		o.Answers = store
		o.Catalogue = func() picture.State[catalogue.Catalogue] {
			return picture.State[catalogue.Catalogue]{Held: products.Load(), Failed: picture.ErrUnreachable}
		}
	})
	b := NewTab(t)
	shows := func(address, id, words string) {
		t.Helper()
		b.Visit(t, "about:blank")
		b.Visit(t, address)
		b.Within(t, calm, textOf(id)+`.includes(`+fmt.Sprintf("%q", words)+`)`)
		assert.Empty(t, Violations(t, b), words)
	}
	shows(s.address+"/recommendations", "answer", "Nobody is chosen yet")
	shows(fmt.Sprintf("%s/recommendations#customer=%d", s.address, s.held.Sample(1)[0]), "answer",
		"The shop has this customer, but no event")
	shows(s.address+"/recommendations#customer=999999", "answer", "The shop has no customer of this number")
	shows(s.address+"/recommendations#session=nobody", "answer", "No event of this session is known")
	shows(s.address+"/recommendations", "pulse", "Nobody of the sample has been active")
	shows(s.address+"/shop", "recommended", "You are new here")
	shows(s.address+"/shop?q=kites", "found", "Nothing is found with “kites”")

	shows(address+"/recommendations#session=a", "answer", "Recommendations cannot be read just now")
	store.is.Store(false)
	b.Within(t, calm, textOf("answer")+`.includes("No event of this session is known")`)
	b.Quiet(t)

	b = NewTab(t)
	shows(address+"/shop", "catalogue", "the database cannot be reached")
	products.Store(s.held)
	shows(address+"/shop?product=Kite", "catalogue", "The shop does not sell “Kite”")
	shows(s.address+"/recommendations#session=a%20b", "state", "Refused: no session can be called so")
	shows(s.address+"/recommendations#customer=-1", "state", "Refused: no customer can have this number")
	b.Quiet(t, "Failed to load resource: the server responded with a status of 503 (Service Unavailable)",
		"Failed to load resource: the server responded with a status of 404 (Not Found)",
		"Failed to load resource: the server responded with a status of 400 (Bad Request)")
}

// What a balancer says in a server's stead is no part of the page: the page is loaded anew.
func TestAPartThatIsNoneIsNotShown(t *testing.T) {
	s := newShop(t)
	behind, err := url.Parse(s.address)
	require.NoError(t, err)
	pages := httputil.NewSingleHostReverseProxy(behind)
	balancer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Diecast-Part") == "" {
			pages.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<h1>502 Bad Gateway</h1>"))
	}))
	t.Cleanup(balancer.Close)
	b := NewTab(t)
	visitShop(t, b, balancer.URL+"/shop")
	b.Click(t, "#catalogue .goods .look")
	require.Eventually(t, func() bool { // the page is left meanwhile, and its scripts with it
		there, err := chromedp.Run(b, chromedp.Evaluate[bool](`Boolean(document.getElementById("product-title"))`))
		return err == nil && there
	}, calm, 20*time.Millisecond)
	assert.NotContains(t, Value[string](t, b, textOf("main")), "Bad Gateway")
	b.Quiet(t, "Failed to load resource: the server responded with a status of 502 (Bad Gateway)")
}

// The stream of events takes nothing for a while: the page says so, and sends the click again.
func TestAClickThatIsNotTakenIsSentAgain(t *testing.T) {
	s := newShop(t)
	var lock sync.Mutex
	var sessions []string
	address := s.serve(func(o *server.Options) {
		o.Shop.Put = func(ctx context.Context, session string, event []byte) error {
			lock.Lock()
			defer lock.Unlock()
			if sessions = append(sessions, session); len(sessions) <= 2 {
				return errAway
			}
			return s.put(ctx, session, event)
		}
	})
	b := NewTab(t)
	visitShop(t, b, address+"/shop")
	b.Click(t, "#catalogue .goods .add")
	b.Within(t, soon, textOf("trouble")+`.includes("Your click is sent again in")`)
	b.Within(t, calm, answers+` === 1 && `+textOf("trouble")+` === ""`)
	assert.Len(t, sessions, 3)
	b.Quiet(t, "Failed to load resource: the server responded with a status of 503 (Service Unavailable)")
}

func TestTheShopIsUsedByKeyboard(t *testing.T) {
	s := newShop(t)
	b := NewTab(t)
	visitShop(t, b, s.address+"/shop")
	focus := `((e) => (e.className + " " + (e.getAttribute("aria-label") || e.textContent)).trim())(
		document.activeElement)`
	until := func(words string) {
		t.Helper()
		var seen []string
		for range 60 {
			Press(t, b, "\t")
			seen = append(seen, Value[string](t, b, focus))
			if strings.Contains(seen[len(seen)-1], words) {
				return
			}
		}
		require.Fail(t, "it is not reached", "%s: %q", words, seen)
	}
	until("add Add")
	Press(t, b, "\r")
	b.Within(t, soon, answers+` === 1`)
	assert.NotEqual(t, "BODY", Value[string](t, b, `document.activeElement.tagName`), "the focus stays where it was")
	assert.Equal(t, "recommended", Value[string](t, b, `document.activeElement.closest("[tabindex='-1']").id`))
	until("Everything")
	until("look ")
	Press(t, b, "\r")
	b.Within(t, soon, answers+` === 2 && document.getElementById("product-title")`)
	assert.Equal(t, "catalogue", Value[string](t, b, `document.activeElement.id`))
	until("remove Remove")
	Press(t, b, "\r")
	b.Within(t, soon, answers+` === 3 && document.querySelectorAll("#cart li").length === 0`)
	assert.NotEqual(t, "BODY", Value[string](t, b, `document.activeElement.tagName`))
	b.Quiet(t)
}

// The live pages with data, on every screen.
func TestLivePagesFitEveryScreen(t *testing.T) {
	s := newShop(t)
	for i := range 12 {
		require.NoError(t, s.answer(s.event(t, uuid.NewString(), s.held.Sample(12)[i], s.all[5*i].Code, s.all[7].Code)))
	}
	require.NoError(t, s.answer(s.event(t, "known", 103, s.all[3].Code, s.all[40].Code, "S99_9999")))
	b := NewTab(t)
	visitShop(t, b, s.address+"/shop?line=Ships")
	b.Click(t, "#catalogue .goods .add")
	b.Within(t, soon, answers+` === 1`)
	for _, width := range []int64{1280, 768, 360} {
		for _, scheme := range []string{"light", "dark"} {
			const five, recent = ` && document.querySelectorAll("#strip li").length === 5`,
				` && document.getElementById("recent")`
			for name, c := range map[string]struct{ path, ready string }{
				"shop":                   {"/shop?line=Ships", live + five},
				"shop-product":           {"/shop?product=" + s.all[3].Code, live + ` && ` + answers + ` === 1`},
				"recommendations":        {"/recommendations#session=known", live + recent},
				"recommendations-nobody": {"/recommendations", live + recent},
			} {
				t.Run(fmt.Sprintf("%s %d %s", name, width, scheme), func(t *testing.T) {
					b.Look(t, width, scheme)
					b.Visit(t, "about:blank")
					b.Visit(t, s.address+c.path)
					b.Within(t, calm, c.ready)
					assert.LessOrEqual(t, Value[int64](t, b, `document.documentElement.scrollWidth`), width,
						"it scrolls sideways")
					assert.Empty(t, Violations(t, b))
					b.Shoot(t, fmt.Sprintf("%s-%d-%s", name, width, scheme))
				})
			}
		}
	}
	b.Quiet(t)
}

// How long it takes from a click until what follows from it is seen, of which the platform of this
// test takes a tenth of a second.
func TestFromClickToRecommendation(t *testing.T) {
	s := newShop(t)
	b := NewTab(t)
	visitShop(t, b, s.address+"/shop")
	const clicks = 60
	var took []int
	for i := range clicks {
		Value[any](t, b, fmt.Sprintf(
			`[...document.querySelectorAll("#catalogue .goods .add:not([disabled])")][%d].click()`, i%20))
		b.Within(t, soon, fmt.Sprintf(`%s === %d`, answers, i+1))
		took = append(took, Value[int](t, b, `Number(document.getElementById("took").dataset.last)`))
	}
	slices.Sort(took)
	t.Logf("from click to recommendation: p50 %d ms, p99 %d ms, of which %v are the platform's", took[clicks/2],
		took[clicks*99/100], takes)
	assert.Less(t, took[clicks*99/100], 1000)
	b.Quiet(t)
}
