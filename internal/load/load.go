// Package load asks a web server for pages at a constant rate, and says how long it took to answer.
//
// The load is open-loop: requests are due by the clock, whether or not earlier ones were answered,
// as those of people are who do not know of each other. Latencies count from when a request was
// due. A closed loop, such as `ab -c 50`, sends the next request when the last was answered: a
// server that stops for a second delays one request of each client in it, and the hundreds that
// would have come meanwhile are never sent, nor measured (Gil Tene's "coordinated omission").
//
// The package knows URLs, not deployments.
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"diecast/internal/environment"
)

// Bounds of a run: what it keeps is 8 bytes for each request.
const (
	MaxRate     = 10_000
	MaxRequests = 5_000_000
	MaxDuration = time.Hour
)

// Options of a run.
type Options struct {
	// Targets are asked in turn, by GET. Required.
	Targets []*url.URL
	// Rate is how many requests a second are due. Required, at most MaxRate.
	Rate int
	// Duration of the run, at most MaxDuration.
	Duration time.Duration
	// Timeout of each request. Default 30 s.
	Timeout time.Duration
	// Connections bounds the requests under way at a time. One that is due when all are taken
	// waits, and its waiting counts. Default 1,000.
	Connections int
	// Progress is told how many answers have come. Default: nobody.
	Progress func(answered int)
}

// Report is what was measured. Latencies are exact, by nearest rank; 0 where nothing was answered.
type Report struct {
	// Wanted is the rate that was asked for, Had that at which requests were sent, by second.
	Wanted int
	Had    float64
	// Elapsed is the time from the beginning to the last answer.
	Elapsed time.Duration
	// Requests that were sent and came to an end, Succeeded those of them with a status from 200 to
	// 399.
	Requests, Succeeded int
	// Unfinished were under way when the run was interrupted. They count nowhere else.
	Unfinished int
	// Statuses counts answers by status; Errors counts requests without an answer by the reason.
	Statuses map[int]int
	Errors   map[string]int
	// Bytes of the answers' bodies.
	Bytes int64
	// Latencies from when a request was due to the end of its answer.
	P50, P90, P99, Max time.Duration
	// Sending is the longest that a request which was due waited to be sent.
	Sending time.Duration
	// Interrupted says that the context ended before the duration did.
	Interrupted bool
}

// Check names every problem, as Run would before it asks for anything.
func (o Options) Check() error {
	var problems []error
	if len(o.Targets) == 0 {
		problems = append(problems, errors.New("there is nothing to ask for"))
	}
	for _, target := range o.Targets {
		if target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
			problems = append(problems, fmt.Errorf("%q is no address such as http://127.0.0.1:8080/sales", target))
		}
	}
	if o.Rate < 1 || o.Rate > MaxRate {
		problems = append(problems, fmt.Errorf("rate %d: 1 to %d requests a second are allowed", o.Rate, MaxRate))
	}
	if o.Duration < time.Second || o.Duration > MaxDuration {
		problems = append(problems, fmt.Errorf("duration %s: 1s to %s are allowed", o.Duration, MaxDuration))
	}
	if requests := float64(o.Rate) * o.Duration.Seconds(); requests > MaxRequests {
		problems = append(problems, fmt.Errorf("rate %d for %s: %.0f requests, at most %d are allowed", o.Rate,
			o.Duration, requests, MaxRequests))
	}
	return errors.Join(problems...)
}

// Run asks until the duration is over. When the context ends first, what was measured by then is
// returned without an error, and marked as Interrupted. An error says what of the options is not
// allowed, or that no connection comes about before the first request is due: nobody listens, or
// who does is not to be trusted.
func Run(ctx context.Context, options Options) (Report, error) {
	if err := options.Check(); err != nil {
		return Report{}, err
	}
	if options.Timeout == 0 {
		options.Timeout = 30 * time.Second
	}
	if options.Connections == 0 {
		options.Connections = 1000
	}
	if options.Progress == nil {
		options.Progress = func(int) {}
	}
	transport := newTransport(options)
	defer transport.CloseIdleConnections()
	if err := reach(ctx, options, transport); err != nil {
		return Report{}, err
	}
	attacker := vegeta.NewAttacker(vegeta.MaxWorkers(uint64(options.Connections)), vegeta.Client(&http.Client{
		Timeout: options.Timeout, Transport: interruptible{ctx, transport},
		// A redirect is an answer: what it leads to would be a second request.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()

	var targets []vegeta.Target
	for _, target := range options.Targets {
		targets = append(targets, vegeta.Target{Method: http.MethodGet, URL: target.String()})
	}
	m := measured{options: options, begun: time.Now()}
	m.report = Report{Wanted: options.Rate, Statuses: map[int]int{}, Errors: map[string]int{}}
	rate := pacer{ctx, vegeta.Rate{Freq: options.Rate, Per: time.Second}}
	for result := range attacker.Attack(vegeta.NewStaticTargeter(targets...), rate, options.Duration, "") {
		m.add(ctx, result)
		options.Progress(m.report.Requests)
	}
	return m.close(ctx), nil
}

// reach connects to each server once, and asks it for nothing.
func reach(ctx context.Context, options Options, transport *http.Transport) error {
	ctx, cancel := context.WithTimeoutCause(ctx, options.Timeout,
		fmt.Errorf("no connection within %s", options.Timeout))
	defer cancel()
	reached := map[string]bool{}
	for _, target := range options.Targets {
		origin := target.Scheme + "://" + target.Host
		if reached[origin] {
			continue
		}
		reached[origin] = true
		if err := connect(ctx, target, transport); err != nil {
			if errors.Is(err, ctx.Err()) {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("%s cannot be reached: %w", origin, err)
		}
	}
	return nil
}

func connect(ctx context.Context, target *url.URL, transport *http.Transport) error {
	port := target.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[target.Scheme]
	}
	connection, err := transport.DialContext(ctx, "tcp", net.JoinHostPort(target.Hostname(), port))
	if err != nil {
		return err
	}
	defer connection.Close()
	if target.Scheme != "https" {
		return nil
	}
	security := transport.TLSClientConfig.Clone()
	security.ServerName = target.Hostname()
	return tls.Client(connection, security).HandshakeContext(ctx)
}

// measured is what has come of a run so far.
type measured struct {
	options   Options
	begun     time.Time
	lastSent  time.Time
	lastEnd   time.Time
	latencies []time.Duration
	report    Report
}

func (m *measured) add(ctx context.Context, result *vegeta.Result) {
	if result.Code == 0 && ctx.Err() != nil {
		if !strings.Contains(result.Error, errNotSent.Error()) {
			m.report.Unfinished++
		}
		return
	}
	// The pacer lets the first go after one interval.
	due := m.begun.Add(time.Duration(result.Seq+1) * (time.Second / time.Duration(m.options.Rate)))
	// It may be early by less than a tick of its clock.
	waited := max(result.Timestamp.Sub(due), 0)
	m.report.Sending = max(m.report.Sending, waited)
	m.latencies = append(m.latencies, waited+result.Latency)
	if result.Timestamp.After(m.lastSent) {
		m.lastSent = result.Timestamp
	}
	if result.End().After(m.lastEnd) {
		m.lastEnd = result.End()
	}
	m.report.Requests++
	m.report.Bytes += int64(result.BytesIn)
	switch {
	case result.Code == 0:
		m.report.Errors[reason(result.Error)]++
	case result.Code >= 200 && result.Code < 400:
		m.report.Succeeded++
		fallthrough
	default:
		m.report.Statuses[int(result.Code)]++
	}
}

func (m *measured) close(ctx context.Context) Report {
	r := m.report
	r.Interrupted = ctx.Err() != nil
	if r.Requests == 0 {
		return r
	}
	r.Elapsed = m.lastEnd.Sub(m.begun)
	r.Had = float64(r.Requests) / m.lastSent.Sub(m.begun).Seconds()
	slices.Sort(m.latencies)
	rank := func(percent int) time.Duration { return m.latencies[max((len(m.latencies)*percent+99)/100, 1)-1] }
	r.P50, r.P90, r.P99, r.Max = rank(50), rank(90), rank(99), rank(100)
	return r
}

// ownWords are the parts of an error that differ from request to request: the page, and the port
// from which it was asked for.
var ownWords = regexp.MustCompile(`^Get "[^"]*": |\S+:\d+->`)

// reason is an error by which equal ones count as one.
func reason(text string) string { return ownWords.ReplaceAllString(text, "") }

// pacer lets no request go when the run has been interrupted.
type pacer struct {
	ctx context.Context
	vegeta.Pacer
}

func (p pacer) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	wait, stop = p.Pacer.Pace(elapsed, hits)
	return wait, stop || p.ctx.Err() != nil
}

// errNotSent is why a request failed that was due when the run was interrupted.
var errNotSent = errors.New("the run was interrupted before it was sent")

// interruptible ends requests with the run.
type interruptible struct {
	ctx context.Context
	to  http.RoundTripper
}

func (i interruptible) RoundTrip(request *http.Request) (*http.Response, error) {
	if i.ctx.Err() != nil {
		return nil, errNotSent
	}
	ctx, cancel := context.WithCancelCause(request.Context())
	stop := context.AfterFunc(i.ctx, func() { cancel(context.Cause(i.ctx)) })
	response, err := i.to.RoundTrip(request.WithContext(ctx))
	if err != nil {
		stop()
		cancel(err)
		return nil, err
	}
	response.Body = &released{response.Body, func() { stop(); cancel(nil) }}
	return response, nil
}

// released is a body whose end releases its request's context.
type released struct {
	io.ReadCloser
	release func()
}

func (r *released) Close() error {
	defer r.release()
	return r.ReadCloser.Close()
}

// newTransport keeps as many connections as there may be requests. A server on this machine, which
// nobody can have signed for, is not verified.
func newTransport(options Options) *http.Transport {
	dialer := &net.Dialer{Timeout: options.Timeout}
	return &http.Transport{
		MaxIdleConnsPerHost: options.Connections, MaxConnsPerHost: options.Connections,
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: environment.Loopback(options.Targets[0].Hostname()),
		},
	}
}
