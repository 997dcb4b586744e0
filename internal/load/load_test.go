package load

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	vegeta "github.com/tsenart/vegeta/v12/lib"
)

func serve(t *testing.T, handler http.HandlerFunc) *url.URL {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return parse(t, server.URL)
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	address, err := url.Parse(text)
	require.NoError(t, err)
	return address
}

func TestFiguresAreWhatTheServerSaw(t *testing.T) {
	var seen atomic.Int64
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch n := seen.Add(1); {
		case n%10 == 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case n%10 == 1:
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		default:
			_, _ = io.WriteString(w, "0123456789")
		}
	})
	var told atomic.Int64
	report, err := Run(t.Context(), Options{
		Targets: []*url.URL{target}, Rate: 100, Duration: time.Second,
		Progress: func(answered int) { told.Store(int64(answered)) },
	})
	require.NoError(t, err)
	assert.InDelta(t, 100, report.Requests, 1)
	assert.EqualValues(t, seen.Load(), report.Requests)
	assert.EqualValues(t, told.Load(), report.Requests)
	assert.Equal(t, 10, report.Statuses[503])
	assert.Equal(t, report.Requests-10, report.Succeeded, "a redirect is an answer")
	assert.InDelta(t, 10, report.Statuses[302], 1)
	assert.GreaterOrEqual(t, report.Bytes, int64(10*report.Statuses[200]))
	assert.InDelta(t, 100, report.Had, 10)
	assert.Empty(t, report.Errors)
	assert.False(t, report.Interrupted)
	assert.Zero(t, report.Unfinished)
	assert.LessOrEqual(t, report.P50, report.P90)
	assert.LessOrEqual(t, report.P90, report.P99)
	assert.LessOrEqual(t, report.P99, report.Max)
	assert.Positive(t, report.P50)
}

// A server that stops once for a while is told by all requests that were due meanwhile, and not by
// the one that it held, as a closed loop would have it: also where the requests could not even be
// sent.
func TestAPauseIsMeasuredByAllWhoWouldHaveWaited(t *testing.T) {
	const pause = 500 * time.Millisecond
	for name, connections := range map[string]int{"free connections": 1000, "one connection": 1} {
		t.Run(name, func(t *testing.T) {
			var begun atomic.Int64
			paused := make(chan struct{})
			target := serve(t, func(http.ResponseWriter, *http.Request) {
				if begun.Add(1) == 1 {
					time.AfterFunc(pause, func() { close(paused) })
				}
				<-paused
			})
			report, err := Run(t.Context(), Options{
				Targets: []*url.URL{target}, Rate: 200, Duration: time.Second, Connections: connections,
			})
			require.NoError(t, err)
			require.Equal(t, report.Requests, report.Succeeded)
			assert.GreaterOrEqual(t, report.Requests, 190)
			assert.GreaterOrEqual(t, report.Max, pause)
			// Half of the requests were due during the pause, a tenth of them in its first tenth.
			assert.Greater(t, report.P90, pause/2, "what was due while the server paused has waited")
			if connections == 1 {
				assert.Greater(t, report.Sending, pause/2, "and could not be sent")
			} else {
				assert.Less(t, report.Sending, pause/2)
			}
		})
	}
}

func TestRequestsWithoutAnswerAreCountedByTheReason(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	report, err := Run(t.Context(), Options{Targets: []*url.URL{parse(t, server.URL)}, Rate: 20, Duration: time.Second})
	require.NoError(t, err, "who listens may come to its senses")
	require.Len(t, report.Errors, 1)
	for text, count := range report.Errors {
		assert.Equal(t, report.Requests, count)
		assert.True(t, strings.HasSuffix(text, "EOF"), text)
		assert.NotContains(t, text, "Get")
	}
	assert.Zero(t, report.Succeeded)
	assert.Empty(t, report.Statuses)
}

func TestAServerThatCannotBeReachedEndsTheRunBeforeItBegins(t *testing.T) {
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	somebody := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(somebody.Close)
	plain := strings.Replace(somebody.URL, "http:", "https:", 1)
	for address, reason := range map[string]string{
		nobody.URL: "connection refused",
		plain:      "first record does not look like a TLS handshake",
	} {
		begun := time.Now()
		_, err := Run(t.Context(), Options{Targets: []*url.URL{parse(t, somebody.URL), parse(t, address)}, Rate: 20,
			Duration: time.Hour})
		require.ErrorContains(t, err, address+" cannot be reached: ")
		require.ErrorContains(t, err, reason)
		assert.Less(t, time.Since(begun), 10*time.Second)
	}
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	options := Options{Targets: []*url.URL{parse(t, stranger.URL)}, Timeout: time.Minute}
	transport := newTransport(options)
	transport.TLSClientConfig.InsecureSkipVerify = false
	require.ErrorContains(t, reach(t.Context(), options, transport), "failed to verify certificate")
}

func TestResetConnectionsAreOneReason(t *testing.T) {
	assert.Equal(t, "read tcp 127.0.0.1:80: read: connection reset by peer",
		reason(`Get "http://127.0.0.1:80/sales?a=b": read tcp 127.0.0.1:54874->127.0.0.1:80: read: connection reset `+
			`by peer`))
}

func TestInterruptedRunTellsWhatWasMeasured(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var seen atomic.Int64
	ended, begun, most := make(chan struct{}), time.Now(), 0
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if seen.Add(1) == 20 {
			cancel()
			most = int(time.Since(begun)/(10*time.Millisecond)) + 2
			<-r.Context().Done() // is under way at the interruption
			close(ended)
		}
	})
	report, err := Run(ctx, Options{Targets: []*url.URL{target}, Rate: 100, Duration: time.Hour / 2})
	require.NoError(t, err)
	<-ended
	assert.True(t, report.Interrupted)
	assert.GreaterOrEqual(t, report.Requests+report.Unfinished, 20)
	assert.LessOrEqual(t, report.Requests+report.Unfinished, most, "what was not due yet was not under way")
	assert.Equal(t, report.Requests, report.Succeeded)
	assert.Positive(t, report.Unfinished)
	assert.Empty(t, report.Errors)
	assert.Less(t, report.Elapsed, 10*time.Second)
}

// An interruption is the end of what is due, which the attacker alone would find out by chance.
func TestNothingIsDueAfterAnInterruption(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := pacer{ctx, vegeta.Rate{Freq: 1, Per: time.Second}}
	wait, stop := p.Pace(time.Millisecond, 1)
	assert.False(t, stop)
	assert.Positive(t, wait)
	cancel()
	_, stop = p.Pace(time.Millisecond, 1)
	assert.True(t, stop)
}

// What a request takes does not depend on the time between requests.
func TestLatencyCountsFromWhenARequestWasDue(t *testing.T) {
	target := serve(t, func(http.ResponseWriter, *http.Request) {})
	report, err := Run(t.Context(), Options{Targets: []*url.URL{target}, Rate: 5, Duration: time.Second})
	require.NoError(t, err)
	assert.Less(t, report.P50, 100*time.Millisecond, "half of the time between two requests")
	assert.InDelta(t, 5, report.Had, 0.5)
}

func TestTargetsAreAskedInTurn(t *testing.T) {
	var first, second atomic.Int64
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/first":
			first.Add(1)
		case "/second":
			second.Add(1)
		}
	})
	report, err := Run(t.Context(), Options{
		Targets: []*url.URL{base.JoinPath("first"), base.JoinPath("second")}, Rate: 50, Duration: time.Second,
	})
	require.NoError(t, err)
	assert.InDelta(t, first.Load(), second.Load(), 1)
	assert.EqualValues(t, report.Requests, first.Load()+second.Load())
}

func TestServerOfThisMachineNeedsNoSignedCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	report, err := Run(t.Context(), Options{Targets: []*url.URL{parse(t, server.URL)}, Rate: 5, Duration: time.Second})
	require.NoError(t, err)
	assert.Equal(t, report.Requests, report.Statuses[404])
	others := newTransport(Options{Targets: []*url.URL{parse(t, "https://shop.example")}})
	assert.False(t, others.TLSClientConfig.InsecureSkipVerify)
}

func TestAllBadOptionsAreNamedAtOnce(t *testing.T) {
	_, err := Run(t.Context(), Options{Targets: []*url.URL{parse(t, "ftp://here/")}, Rate: 0, Duration: 2 * time.Hour})
	for _, want := range []string{"rate 0", "duration 2h0m0s", `"ftp://here/"`} {
		assert.ErrorContains(t, err, want)
	}
	_, err = Run(t.Context(), Options{Rate: MaxRate, Duration: MaxDuration})
	assert.ErrorContains(t, err, "nothing to ask for")
	assert.ErrorContains(t, err, "at most 5000000 are allowed")
}
