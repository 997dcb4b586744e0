package platform

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/archive"
	"diecast/internal/classicmodels"
	"diecast/internal/demand"
	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
	"diecast/internal/local/demonstration"
	"diecast/test/browser"
)

// pictures are written into this folder, for the docs: `make screenshots`.
var pictures = flag.String("pictures", "", "write pictures of the shop and the recommendations into this folder")

const (
	// promised is how long a click may take to be recommended upon, once all is warm.
	promised = 2 * time.Second
	// ready is how long a page, or a server that takes another's place, may take to be there.
	ready = 20 * time.Second
	// lives says that a page follows its stream.
	lives = `document.getElementById("state").textContent === "Live"`
	// clicks that were answered in the shop.
	clicks = `Number(document.getElementById("took").dataset.count || 0)`
)

// add puts the product at a place of the list into the cart.
func add(t *testing.T, tab *browser.Tab, place int) {
	t.Helper()
	browser.Value[any](t, tab,
		fmt.Sprintf(`[...document.querySelectorAll("#catalogue .goods .add:not([disabled])")].at(%d).click()`, place))
}

// What is clicked in the shop's page is recommended upon within two seconds, through the stream,
// the functions and the table, whichever server tells of it, and whatever becomes of that server.
func TestAClickInTheShopIsRecommendedUpon(t *testing.T) {
	running := start(t, synthesized)
	opened := output(t, running, outputs.PageAddress)
	login, err := deployment.PageLogin(opened)
	require.NoError(t, err)
	visited, err := demonstration.ShopAddress(opened)
	require.NoError(t, err)
	address := "http://" + login.Host

	report, err := demonstration.Shop(t.Context(), opened)
	require.NoError(t, err)
	assert.Equal(t, 110, report.Products)

	visitor := browser.NewTab(t)
	visitor.Look(t, 1180, "light")
	visitor.Visit(t, visited) // which leaves a cookie
	visitor.Within(t, ready, lives+` && document.querySelectorAll("#strip li").length === 5`)
	assert.NotContains(t, browser.Value[string](t, visitor, `location.href`), "token")
	add(t, visitor, 0)
	visitor.Within(t, ready, clicks+` === 1`) // what is cold becomes warm
	session := browser.Value[string](t, visitor, `document.getElementById("session-id").textContent`)

	// By turns, each server has one of them.
	company := []*browser.Tab{visitor.Beside(t), visitor.Beside(t)}
	sees := func(pieces int, within time.Duration) {
		t.Helper()
		for _, tab := range company {
			tab.Within(t, within,
				fmt.Sprintf(`%s && document.querySelectorAll("#in-cart li").length === %d`, lives, pieces))
		}
	}
	for _, tab := range company {
		tab.Look(t, 1180, "light")
		tab.Visit(t, address+"/recommendations#session="+session)
	}
	sees(1, ready)
	const count = 40
	var took []int
	for i := range count {
		add(t, visitor, 1+i%9)
		visitor.Within(t, promised, fmt.Sprintf(`%s === %d`, clicks, 2+i))
		took = append(took, browser.Value[int](t, visitor, `Number(document.getElementById("took").dataset.last)`))
	}
	sees(10, promised)
	slices.Sort(took)
	t.Logf("from click to recommendation, in the browser: p50 %d ms, p99 %d ms", took[count/2], took[count*99/100])
	assert.Empty(t, browser.Violations(t, visitor))
	assert.Empty(t, browser.Violations(t, company[0]))

	t.Run("with names, reasons and similar products of the real model", func(t *testing.T) {
		for _, part := range []string{"#items .why", "#items .what b", "#similar-0 li"} {
			assert.NotEmpty(t, browser.Value[[]string](t, company[0], browser.Texts(part)), part)
		}
		assert.Contains(t, browser.Value[[]string](t, company[0], browser.Texts("#items .why"))[0],
			"Near to what customers like this one take")
		assert.NotContains(t, browser.Value[string](t, company[0], `document.getElementById("items").innerText`),
			"not in the catalogue")
	})
	t.Run("killing each server", func(t *testing.T) {
		address := login.String()
		for i, pid := range named(t, "web") {
			before, err := demonstration.Pages(t.Context(), address)
			require.NoError(t, err)
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			begun := time.Now()
			add(t, visitor, 10+i)
			sees(11+i, ready)
			visitor.Within(t, ready, fmt.Sprintf(`%s && %s === %d`, lives, clicks, 2+count+i))
			t.Logf("a server killed: all are connected anew, with the news, after %d ms",
				time.Since(begun).Milliseconds())
			untilServers(t, address, func(servers []string) bool {
				return len(servers) == 2 && !slices.Equal(servers, before.Servers)
			})
		}
	})
	if *pictures != "" {
		paint(t, running, visitor, company[0])
	}
	cut := []string{"Failed to load resource: net::ERR_INCOMPLETE_CHUNKED_ENCODING",
		"Failed to load resource: the server responded with a status of 502 (Bad Gateway)",
		"Failed to load resource: the server responded with a status of 503 (Service Unavailable)"}
	for _, tab := range append(company, visitor) {
		tab.Quiet(t, cut...)
	}
}

// paint what the docs show, while a spike of other visitors' events comes.
func paint(t *testing.T, running started, visitor, company *browser.Tab) {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	to, made := target(t, running, archive.Recommendations), shop(t)
	all.Go(func() {
		_, _ = demonstration.Run(ctx, to, demonstration.Options{Shop: made, Events: 1800, // it ends with the picture
			Profile: demand.Spike(30, time.Minute), Activity: classicmodels.EventOptions{}})
	})
	for range 20 { // but two of what was put into the cart
		browser.Value[any](t, visitor,
			`[...document.querySelectorAll("#cart .remove")].slice(2).forEach((one) => one.click())`)
		if browser.Value[int](t, visitor, `document.querySelectorAll("#cart li").length`) == 2 {
			break
		}
	}
	visitor.Click(t, "#catalogue .goods li:nth-child(12) .look")
	visitor.Within(t, ready, `document.getElementById("product-title")`)
	browser.Value[any](t, visitor, `history.back()`)
	visitor.Within(t, ready, `!document.getElementById("product-title")`)
	company.Within(t, time.Minute, `document.querySelectorAll("#pulse-table tbody tr").length > 12`)
	for tab, name := range map[*browser.Tab]string{visitor: "shop", company: "recommendations"} {
		browser.Value[any](t, tab, `document.activeElement.blur(); scrollTo(0, 0)`)
		tab.Picture(t, filepath.Join(*pictures, name+".png"), 1180, 1000)
	}
}
