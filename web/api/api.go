// Package api is the platform's JSON API for shops: recommendations of a session or a customer,
// also by waiting for them, the most popular products, similar ones, and sales. Its contract is
// openapi.json beside it. It answers from what it is given, and guards itself: who may ask what,
// and how often, follows from Options.
//
// It must not know how recommendations are stored or by whom it is reached; and ids of people are
// in no address and no log of it.
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"diecast/internal/environment"
	"diecast/internal/models/similar"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/reading"
	"diecast/internal/sales"
	"diecast/internal/strictjson"
	"diecast/web/guest"
)

// Prefix of all addresses. The slash at its end belongs to it.
const Prefix = environment.APIPrefix

// Recommendations are what shops show; *reading.Reader is one.
type Recommendations interface {
	Session(ctx context.Context, session string) (reading.Answer, error)
	Customer(ctx context.Context, customer int) (reading.Answer, error)
	Wait(ctx context.Context, session string, event reading.Awaited) (reading.Answer, bool, error)
}

// Options of an API. All are needed but Login, which environment.APILogin needs, Origins and Now.
type Options struct {
	Recommendations Recommendations
	// Similar are a product's similar items, none where it is unknown; *similar.Products is one.
	Similar interface {
		Similar(ctx context.Context, code string) (similar.Answer, error)
	}
	// Popular is the ranking of the active model.
	Popular func(context.Context) (recommendation.Ranking, error)
	// Sales gives what is known at the moment. It must not wait.
	Sales func() sales.State
	// Access says who may ask what.
	Access environment.APIAccess
	// Login checks that a request comes from somebody who has logged in.
	Login interface{ Check(*http.Request) error }
	// Origins are the sites whose scripts may read answers, such as https://shop.example.com.
	Origins []string
	// SessionRate and TokenRate are requests a minute: of a session, and of who holds a token. An
	// address from which somebody without either asks, has the token's.
	SessionRate, TokenRate int
	Logger                 *slog.Logger
	// Now is the clock of the limits. Default: time.Now.
	Now func() time.Time
}

// API answers requests below Prefix. It is an http.Handler.
type API struct {
	options                     Options
	routes                      []*route
	sessions, tokens, addresses *guest.Buckets
	draining                    context.Context
	drain                       context.CancelFunc
	underWay                    chan struct{}
	waits                       guest.Places
	reports                     *lru.Cache[sales.Filter, reported]
	refusals                    rate.Sometimes
	privately, vary             string
}

const (
	// storeTimeout is how long a store is waited for.
	storeTimeout = 5 * time.Second
	// mostUnderWay are the requests at a time that may ask a store, the waiting ones not counted:
	// the reader bounds those.
	mostUnderWay = 256
	// longestQuery is more than any address of the document has.
	longestQuery = 2000
)

// route is one address.
type route struct {
	// pattern is below Prefix; a part in braces is any text.
	pattern string
	// query and headers are the parameters that it takes.
	query, headers []string
	// sales marks what the world is not told.
	sales bool
	// waits tells that the request takes as long as it likes.
	waits bool
	serve func(*API, *request) (*answer, *problem)
	// log keeps a store that is away from filling the log.
	log rate.Sometimes
}

func routes() []*route {
	filters := []string{"period", "from", "to", "line", "country"}
	paged := append(slices.Clone(filters), "limit", "after")
	return []*route{
		{pattern: "recommendations", headers: []string{sessionHeader, customerHeader}, serve: (*API).recommendations},
		{pattern: "recommendations/wait", headers: []string{sessionHeader, eventHeader, eventTimeHeader}, waits: true,
			serve: (*API).wait},
		{pattern: "popular", query: []string{"limit", "after"}, serve: (*API).popular},
		{pattern: "products/{code}/similar", query: []string{"limit"}, serve: (*API).similar},
		{pattern: "sales/totals", query: filters, sales: true, serve: (*API).salesTotals},
		{pattern: "sales/course", query: filters, sales: true, serve: (*API).salesCourse},
		{pattern: "sales/product-lines", query: paged, sales: true, serve: (*API).salesLines},
		{pattern: "sales/countries", query: paged, sales: true, serve: (*API).salesCountries},
		{pattern: "sales/products", query: paged, sales: true, serve: (*API).salesProducts},
		{pattern: "sales/spikes", query: paged, sales: true, serve: (*API).salesSpikes},
		{pattern: "openapi.json", serve: (*API).document},
	}
}

// New API.
func New(options Options) *API {
	if options.Now == nil {
		options.Now = time.Now
	}
	a := &API{
		options: options, routes: routes(),
		sessions: guest.NewBuckets(options.SessionRate), tokens: guest.NewBuckets(options.TokenRate),
		addresses: guest.NewBuckets(options.TokenRate), underWay: make(chan struct{}, mostUnderWay),
		waits: guest.Places{Most: mostWaitsOfOne}, reports: newReports(),
		refusals:  rate.Sometimes{Interval: logInterval},
		privately: "private", vary: "Authorization",
	}
	if options.Access == environment.APIRandom {
		a.privately = "public"
	}
	if len(options.Origins) > 0 {
		a.vary += ", Origin"
	}
	for _, route := range a.routes {
		route.log.Interval = logInterval
	}
	a.draining, a.drain = context.WithCancel(context.Background())
	return a
}

// logInterval is how often one kind of failure is logged.
const logInterval = time.Second

// Drain ends all waits, and those that still come at once: another server answers them.
func (a *API) Drain() { a.drain() }

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if fault := recover(); fault != nil {
			a.options.Logger.Error("an answer of the API failed", "fault", fault, "stack", string(debug.Stack()))
			a.write(w, r, nil, &problem{Status: http.StatusInternalServerError, Reason: "internal",
				Detail: "The answer failed. The cause is in the server's log."})
		}
	}()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Vary", a.vary)
	a.allowOrigin(w, r)
	route, code := a.find(r)
	if r.Method == http.MethodOptions && route != nil {
		a.preflight(w, r)
		return
	}
	answer, problem := a.answer(w, r, route, code)
	a.write(w, r, answer, problem)
}

// answer asks, in this order: who is it, how often, for what, and how.
func (a *API) answer(w http.ResponseWriter, r *http.Request, route *route, code string) (*answer, *problem) {
	if refused := a.authenticate(w, r); refused != nil {
		return nil, refused
	}
	if wait := a.limit(r, route); wait > 0 {
		return nil, &problem{Status: http.StatusTooManyRequests, Reason: "rate_limited", RetryAfter: wait,
			Detail: "There were too many requests. A session, a token and an address may ask so many times a minute."}
	}
	switch {
	case route == nil:
		return nil, &problem{Status: http.StatusNotFound, Reason: "unknown_route",
			Detail: "Nothing is at this address. " + Prefix + "openapi.json lists what there is."}
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", allowed)
		return nil, &problem{Status: http.StatusMethodNotAllowed, Reason: "method_not_allowed",
			Detail: "This address is only read: " + allowed + " are allowed."}
	case len(r.URL.RawQuery) > longestQuery:
		return nil, &problem{Status: http.StatusRequestURITooLong, Reason: "too_long",
			Detail: "The query has more than 2000 characters."}
	}
	if refused := a.withhold(r, route); refused != nil {
		return nil, refused
	}
	asked := newRequest(r, route, code)
	if !route.waits {
		select {
		case a.underWay <- struct{}{}:
			defer func() { <-a.underWay }()
		default:
			return nil, busy("As many requests as may are under way.", reading.RetryAfter)
		}
		ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
		defer cancel()
		asked.ctx = ctx
	}
	return route.serve(a, asked)
}

const allowed = "GET, HEAD, OPTIONS"

// find the route of a request, and the text in place of its part in braces, which keeps a slash
// that is encoded. The address must begin with Prefix as it was sent: a balancer that demands
// tokens goes by these letters, and would let pass what only comes to the same.
func (a *API) find(r *http.Request) (*route, string) {
	below, within := strings.CutPrefix(r.URL.EscapedPath(), Prefix)
	if !within || !strings.HasPrefix(r.RequestURI, Prefix) {
		return nil, ""
	}
	asked := strings.Split(below, "/")
	for _, route := range a.routes {
		parts := strings.Split(route.pattern, "/")
		if len(parts) != len(asked) {
			continue
		}
		code, fits := "", true
		for i, part := range parts {
			if strings.HasPrefix(part, "{") {
				code = unescaped(asked[i])
			} else if part != asked[i] {
				fits = false
				break
			}
		}
		if fits {
			return route, code
		}
	}
	return nil, ""
}

// away is the problem of a store that did not answer. The log has the cause, without what a row
// holds of a person.
func (a *API) away(r *request, err error, detail string) *problem {
	if r.Context().Err() == nil { // else whoever asked has left
		r.route.log.Do(func() {
			a.options.Logger.Error("the API asked in vain", "route", r.route.pattern,
				"error", strictjson.WithoutValues(err))
		})
	}
	return &problem{Status: http.StatusServiceUnavailable, Reason: "store_away", RetryAfter: awayRetry, Detail: detail}
}

// awayRetry is when a store that is away is worth asking again.
const awayRetry = 5 * time.Second

func busy(detail string, retry time.Duration) *problem {
	return &problem{Status: http.StatusServiceUnavailable, Reason: "busy", RetryAfter: cmp.Or(retry, time.Second),
		Detail: detail}
}
