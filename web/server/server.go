// Package server is the web tier's pages: sales dashboards, recommendations as they are made, a
// shop to see them from, health and provenance. Pages are made of what it is given, the latest
// figures, the catalogue and who this instance is, and ask nobody while they are waited for; what
// changes comes to them by streams. It does not know the databases, and of AWS only how a load
// balancer signs a login.
package server

import (
	"bytes"
	"compress/gzip"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"diecast/internal/catalogue"
	"diecast/internal/environment"
	"diecast/internal/picture"
	"diecast/internal/recommendation/pulse"
	"diecast/internal/sales"
	"diecast/web/guest"
	"diecast/web/live"
)

// Options of a server. Sales, Catalogue, Answers, Provenance and Logger are needed.
type Options struct {
	// Sales gives what is known at the moment. It must not wait.
	Sales func() sales.State
	// Catalogue gives what is known of the shop's products. It must not wait.
	Catalogue func() picture.State[catalogue.Catalogue]
	// Answers reads recommendations.
	Answers Answers
	// Shop is the page of a shop; nil where there is none.
	Shop *Shop
	// LongestStream is after how long a page that shows what changes has to connect anew, less than
	// the deregistration delay. Default: 25 s.
	LongestStream time.Duration
	// Provenance gives what is known of this instance.
	Provenance func() Provenance
	// Withhold sales and recommendations from everybody.
	Withhold bool
	// Login checks that a request comes from somebody who has logged in; nil where nobody has to.
	Login interface{ Check(*http.Request) error }
	// LoginOrigin is where who has to log in is sent, such as https://id.example.com.
	LoginOrigin string
	// API answers requests below /api/v1/, also those that are no GET; nil: nothing is there.
	API http.Handler
	// TLS tells that clients come by HTTPS, so that browsers may be told to do nothing else.
	TLS bool
	// FrameAncestors are the origins that may frame the pages, with spaces between; empty: none.
	FrameAncestors string
	Logger         *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Provenance says who answers.
type Provenance struct {
	// Instance and Zone are empty where there is no instance metadata.
	Instance, Zone string
	// Version is of the program, Started when it began.
	Version string
	Started time.Time
}

// Server answers requests. It is an http.Handler.
type Server struct {
	options Options
	headers map[string]string
	// scripted is the content security policy of pages with a script.
	scripted string
	// watching and visiting are the streams of the page of recommendations and of the shop:
	// visitors take no place from the company's people.
	watching, visiting *live.Streams
	pulse              *pulse.Pulse
	drawn              drawing
	// unread is said once a minute.
	unread rate.Sometimes
	// sessions and addresses bound what visitors of the shop send, looks how often an address asks
	// for the page.
	sessions, addresses, looks *guest.Buckets
	// places are an address's streams of the shop.
	places   guest.Places
	mux      *http.ServeMux
	cache    cache
	making   singleflight.Group
	draining atomic.Bool
}

const (
	// longestQuery is more than any filter that the pages make.
	longestQuery = 2000
	// retryAfter is how soon, in seconds, a machine may ask again for what is not there yet.
	retryAfter = 30
	// mostWatching and mostVisiting streams at a time.
	mostWatching, mostVisiting = 100, 500
	longestStream              = 25 * time.Second
	eventsPath                 = "/shop/events"
)

// New server.
func New(options Options) *Server {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.LongestStream == 0 {
		options.LongestStream = longestStream
	}
	s := &Server{options: options, headers: headers(options), mux: http.NewServeMux(),
		watching: live.New(mostWatching, options.LongestStream),
		visiting: live.New(mostVisiting, options.LongestStream), unread: rate.Sometimes{Interval: time.Minute},
		pulse: &pulse.Pulse{Since: options.Answers.Since, Sample: func(most int) []int {
			if shop := options.Catalogue().Held; shop != nil {
				return shop.Sample(most)
			}
			return nil
		}},
	}
	s.scripted = strings.Replace(s.headers["Content-Security-Policy"], "style-src 'self'",
		"script-src 'self'; connect-src 'self'; style-src 'self'", 1)
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		to := url.URL{Path: "/sales", RawQuery: r.URL.RawQuery}
		if options.Withhold && options.Shop != nil {
			to.Path = "/shop"
		}
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
	})
	s.mux.HandleFunc("GET /healthz", s.health)
	s.mux.HandleFunc("GET /provenance", s.provenance)
	s.mux.HandleFunc("GET /static/{name}", s.static)
	s.mux.Handle("GET /sales", s.guarded(s.dashboard))
	s.mux.Handle("GET /sales/{table}", s.guarded(s.table))
	s.mux.Handle("GET /recommendations", s.guarded(s.recommendations))
	s.mux.Handle("GET /recommendations/live", s.guarded(s.watchRecommendations))
	if options.Shop != nil {
		s.places.Most = mostVisiting
		if options.Withhold {
			s.places.Most = mostOfOne
		}
		s.sessions = guest.NewBuckets(options.Shop.PerMinute)
		s.addresses = guest.NewBuckets(addressShare * options.Shop.PerMinute)
		s.looks = guest.NewBuckets(addressShare * options.Shop.PerMinute)
		s.mux.HandleFunc("GET /shop", s.browse)
		s.mux.HandleFunc("GET /shop/live", s.watchShop)
		s.mux.Handle("POST "+eventsPath, http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.takeEvent)))
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.problem(w, http.StatusNotFound, "There is no such page", "Nothing is at "+quoted(r.URL.Path)+".")
	})
	return s
}

// headers that every answer has.
func headers(options Options) map[string]string {
	ancestors := strings.Join(strings.Fields(options.FrameAncestors), " ")
	all := map[string]string{
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		"Cache-Control":                "no-store",
	}
	if ancestors == "" {
		ancestors = "'none'"
		all["X-Frame-Options"] = "DENY" // it knows no list of origins
	}
	// Where a login has run out, the answer to the filter's form leads to the provider, which
	// browsers hold to be a target of the form, too.
	targets := strings.TrimSpace("'self' " + options.LoginOrigin)
	all["Content-Security-Policy"] = "default-src 'none'; style-src 'self'; img-src 'self'; form-action " + targets +
		"; base-uri 'none'; frame-ancestors " + ancestors
	if options.TLS {
		all["Strict-Transport-Security"] = "max-age=31536000"
	}
	return all
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range s.headers {
		w.Header().Set(name, value)
	}
	defer func() {
		if fault := recover(); fault != nil {
			s.options.Logger.Error("a page failed", "path", r.URL.Path, "fault", fault, "stack", string(debug.Stack()))
			http.Error(w, "This page failed. The reason is in the server's log.", http.StatusInternalServerError)
		}
	}()
	if s.options.API != nil && strings.HasPrefix(r.URL.Path+"/", environment.APIPrefix) {
		s.options.API.ServeHTTP(w, r)
		return
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead && !s.takes(r):
		w.Header().Set("Allow", "GET, HEAD")
		s.problem(w, http.StatusMethodNotAllowed, "This page is only read",
			"The method "+quoted(r.Method)+" is not served: GET and HEAD are.")
	case len(r.URL.RawQuery) > longestQuery:
		s.problem(w, http.StatusRequestURITooLong, "The address is too long",
			"A filter takes one period, one product line and one country: "+strconv.Itoa(longestQuery)+
				" characters at most, where this one has "+strconv.Itoa(len(r.URL.RawQuery))+".")
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// takes says whether a request brings something that is taken here.
func (s *Server) takes(r *http.Request) bool {
	return s.options.Shop != nil && r.Method == http.MethodPost && r.URL.Path == eventsPath
}

// script lets a page have this server's scripts, which ask this server.
func (s *Server) script(w http.ResponseWriter) { w.Header().Set("Content-Security-Policy", s.scripted) }

// Drain has the health check fail from this moment on, and ends all streams, so that who looks at
// them connects to another instance; all else goes on.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.watching.Drain()
	s.visiting.Drain()
}

// health is about this process only: were it to ask the database, one fault there would take every
// instance out of service.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if s.draining.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("draining\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// guarded keeps sales and recommendations from who must not read them.
func (s *Server) guarded(page http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.options.Withhold {
			what := "Sales"
			if strings.HasPrefix(r.URL.Path, "/recommendations") {
				what = "Recommendations"
			}
			s.problem(w, http.StatusForbidden, what+" are not shown here",
				"This address is open to the whole internet, and nobody has to log in. "+what+" are shown where"+
					" web.allowedCidrs admits known networks only, or where web.oidc.* asks for a login.")
			return
		}
		if s.options.Login != nil {
			if err := s.options.Login.Check(r); err != nil {
				s.options.Logger.Warn("a request without a valid login", "path", r.URL.Path, "reason", err.Error())
				s.problem(w, http.StatusUnauthorized, "Please log in",
					"This page is read through the load balancer, which asks for a login. The request did not"+
						" bring a valid one; loading the page again from its address starts a new login.")
				return
			}
		}
		page(w, r)
	})
}

// body of an answer, also compressed.
type body struct{ plain, compressed []byte }

func newBody(plain []byte) body {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(plain) // to memory: it cannot fail
	_ = writer.Close()
	return body{plain, packed.Bytes()}
}

// write the form that the client takes.
func (b body) write(w http.ResponseWriter, r *http.Request, status int) {
	content := b.plain
	w.Header().Add("Vary", "Accept-Encoding")
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		content = b.compressed
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(status)
	_, _ = w.Write(content) // a client that has left is told nothing
}

// takesGzip says whether a client wants compressed content (RFC 9110, section 12.5.3): gzip, or all
// codings, with a weight other than 0. What cannot be read is taken for a no.
func takesGzip(accepted []string) bool {
	weights := map[string]float64{}
	for part := range strings.SplitSeq(strings.Join(accepted, ","), ",") {
		coding, parameters, weighted := strings.Cut(part, ";")
		weight := 1.0
		if weighted {
			name, text, _ := strings.Cut(parameters, "=")
			var err error
			weight, err = strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil || !strings.EqualFold(strings.TrimSpace(name), "q") {
				weight = 0
			}
		}
		weights[strings.ToLower(strings.TrimSpace(coding))] = weight
	}
	weight, named := weights["gzip"]
	if !named {
		weight = weights["*"]
	}
	return weight > 0
}
