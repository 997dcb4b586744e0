package balancer

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// interval of the tests' health checks.
	interval = 10 * time.Millisecond
	patience = 10 * time.Second
	watch    = 2 * time.Millisecond
)

func options() GroupOptions {
	good, _ := ParseMatcher("200")
	return GroupOptions{
		Health: HealthCheck{Path: "/healthz", Interval: interval, Timeout: time.Second, Healthy: 3, Unhealthy: 2,
			Good: good},
		DeregistrationDelay: patience,
	}
}

func listening(t *testing.T, options Options, group *Group) string {
	t.Helper()
	b, err := Start(options)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, b.Stop(context.Background()))
		group.Stop()
	})
	require.NoError(t, b.Listen(Listener{Port: 80, Forward: group}))
	return "http://" + b.Address()
}

// backend is a target that answers with its name, and is healthy while it is asked to be.
type backend struct {
	*httptest.Server
	name  string
	ill   atomic.Bool
	asked atomic.Int64
}

func serve(t *testing.T, name string, handler http.HandlerFunc) *backend {
	t.Helper()
	b := &backend{name: name}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			if b.ill.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return
		}
		b.asked.Add(1)
		if handler != nil {
			handler(w, r)
			return
		}
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) address() string { return b.Listener.Addr().String() }

// kill ends a target as SIGKILL would: what it has under way is cut off, nobody listens any more.
func (b *backend) kill() {
	_ = b.Listener.Close()
	b.CloseClientConnections()
}

func register(t *testing.T, group *Group, targets ...*backend) {
	t.Helper()
	for _, target := range targets {
		require.NoError(t, group.Register(target.name, target.address()))
	}
	for _, target := range targets {
		require.NoError(t, group.AwaitHealthy(within(t), target.name))
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func ask(t *testing.T, method, address string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(within(t), method, address, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

// constantly asks from several clients until it is told to stop; it returns how many answers there
// were by status, those that were cut off as 0.
func constantly(t *testing.T, method, address string) (stop func() map[int]int) {
	t.Helper()
	var (
		over    = make(chan struct{})
		mutex   sync.Mutex
		answers = map[int]int{}
		clients sync.WaitGroup
	)
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				status := 0
				if request, err := http.NewRequest(method, address, nil); err == nil {
					if response, err := http.DefaultClient.Do(request); err == nil {
						if _, err := io.ReadAll(response.Body); err == nil {
							status = response.StatusCode
						}
						_ = response.Body.Close()
					}
				}
				mutex.Lock()
				answers[status]++
				mutex.Unlock()
			}
		})
	}
	return func() map[int]int {
		close(over)
		clients.Wait()
		return answers
	}
}

func asked(t *testing.T, b *backend, more int64) {
	t.Helper()
	from := b.asked.Load()
	require.Eventually(t, func() bool { return b.asked.Load() >= from+more }, patience, watch)
}

func TestRequestsGoRoundRobin(t *testing.T) {
	group := NewGroup(options())
	address := listening(t, Options{}, group)
	register(t, group, serve(t, "a", nil), serve(t, "b", nil), serve(t, "c", nil))
	counts := map[string]int{}
	for range 30 {
		status, body := ask(t, http.MethodGet, address)
		require.Equal(t, http.StatusOK, status)
		counts[body]++
	}
	assert.Equal(t, map[string]int{"a": 10, "b": 10, "c": 10}, counts)
}

func TestRequestsGoToTheTargetWithTheFewestUnderWay(t *testing.T) {
	busy, release := make(chan struct{}), make(chan struct{})
	wanted := options()
	wanted.LeastOutstanding = true
	group := NewGroup(wanted)
	address := listening(t, Options{}, group)
	slow := serve(t, "slow", func(http.ResponseWriter, *http.Request) { close(busy); <-release })
	register(t, group, slow)
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = http.Get(address) }()
	<-busy
	register(t, group, serve(t, "free", nil))
	for range 6 {
		_, body := ask(t, http.MethodGet, address)
		assert.Equal(t, "free", body)
	}
	close(release)
	<-ended
}

// A killed target costs an idempotent request nothing, at no time.
func TestKillingATargetLosesNoRequestThatMayBeSentTwice(t *testing.T) {
	group := NewGroup(options())
	address := listening(t, Options{}, group)
	doomed, other := serve(t, "doomed", nil), serve(t, "other", nil)
	register(t, group, doomed, other)
	stop := constantly(t, http.MethodGet, address)
	asked(t, doomed, 50)
	doomed.kill()
	require.NoError(t, group.AwaitUnhealthy(within(t), "doomed"))
	asked(t, other, 50)
	answers := stop()
	assert.Positive(t, answers[http.StatusOK])
	assert.Len(t, answers, 1, "all are 200: %v", answers)
}

// What AWS would have answered with 502 is counted, each request once, however many targets fail.
func TestRequestsThatWereSentTwiceAreCounted(t *testing.T) {
	wanted := options()
	wanted.Health.Interval = time.Hour // after the first, which makes the targets healthy, there is none
	group := NewGroup(wanted)
	address := listening(t, Options{}, group)
	doomed, cursed := serve(t, "doomed", nil), serve(t, "cursed", nil)
	register(t, group, doomed, cursed, serve(t, "other", nil))
	doomed.kill()
	cursed.kill()
	for range 6 {
		status, body := ask(t, http.MethodGet, address)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "other", body)
	}
	assert.GreaterOrEqual(t, group.Retried(), 3)
	assert.LessOrEqual(t, group.Retried(), 6, "each request counts once")
	assert.Contains(t, OnAWS(0), "no request")
	assert.Contains(t, OnAWS(1), "1 request would")
	assert.Contains(t, OnAWS(2), "2 requests would")
}

// Other requests are lost, as on AWS, until the health checks have taken the target out; then none
// is.
func TestKillingATargetLosesOtherRequestsUntilItIsUnhealthy(t *testing.T) {
	wanted := options()
	wanted.Health.Interval = time.Hour // after the first, which makes the targets healthy, there is none
	group := NewGroup(wanted)
	address := listening(t, Options{}, group)
	doomed := serve(t, "doomed", nil)
	register(t, group, doomed, serve(t, "other", nil))
	doomed.kill()
	lost := 0
	for range 4 {
		if status, _ := ask(t, http.MethodPost, address); status == http.StatusBadGateway {
			lost++
		}
	}
	assert.Equal(t, 2, lost, "each second one")
	assert.Zero(t, group.Retried())

	group = NewGroup(options())
	address = listening(t, Options{}, group)
	doomed = serve(t, "doomed", nil)
	register(t, group, doomed, serve(t, "other", nil))
	doomed.kill()
	require.NoError(t, group.AwaitUnhealthy(within(t), "doomed"))
	for range 20 {
		status, body := ask(t, http.MethodPost, address)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "other", body)
	}
}

func TestDrainingATargetLosesNoRequestOfAnyKind(t *testing.T) {
	group := NewGroup(options())
	address := listening(t, Options{}, group)
	leaving, other := serve(t, "leaving", nil), serve(t, "other", nil)
	register(t, group, leaving, other)
	stop := constantly(t, http.MethodPost, address)
	asked(t, leaving, 50)
	require.NoError(t, group.Deregister(within(t), "leaving"))
	leaving.kill()
	asked(t, other, 50)
	answers := stop()
	assert.Positive(t, answers[http.StatusOK])
	assert.Len(t, answers, 1, "all are 200: %v", answers)
	assert.Zero(t, group.Retried(), "nothing had to be sent twice")
}

func TestDrainingWaitsForWhatIsUnderWay(t *testing.T) {
	busy, release := make(chan struct{}), make(chan struct{})
	group := NewGroup(options())
	address := listening(t, Options{}, group)
	slow := serve(t, "slow", func(w http.ResponseWriter, _ *http.Request) {
		close(busy)
		<-release
		_, _ = io.WriteString(w, "late")
	})
	register(t, group, slow)
	answered := make(chan string, 1)
	go func() {
		_, body := ask(t, http.MethodPost, address)
		answered <- body
	}()
	<-busy
	gone := make(chan error, 1)
	go func() { gone <- group.Deregister(t.Context(), "slow") }()
	require.Eventually(t, func() bool { return group.Targets()[0].State == Draining }, patience, watch)
	status, _ := ask(t, http.MethodGet, address)
	assert.Equal(t, http.StatusServiceUnavailable, status, "nothing new goes to a target that drains")
	assert.Empty(t, gone)
	close(release)
	require.NoError(t, <-gone)
	assert.Equal(t, "late", <-answered)
}

func TestDeregistrationDelayBoundsDraining(t *testing.T) {
	busy, release := make(chan struct{}), make(chan struct{})
	wanted := options()
	wanted.DeregistrationDelay = interval
	group := NewGroup(wanted)
	address := listening(t, Options{}, group)
	register(t, group, serve(t, "stuck", func(http.ResponseWriter, *http.Request) { close(busy); <-release }))
	defer close(release)
	status := make(chan int, 1)
	go func() {
		answer, _ := ask(t, http.MethodPost, address)
		status <- answer
	}()
	<-busy
	err := group.Deregister(t.Context(), "stuck")
	require.ErrorIs(t, err, errDeregistered)
	assert.ErrorContains(t, err, "target stuck: 1 requests were cut off")
	assert.Equal(t, http.StatusBadGateway, <-status)
}

func TestBelowTheHealthyMinimumEveryTargetGetsRequests(t *testing.T) {
	for _, test := range []struct {
		minimum int
		want    map[string]bool
	}{{1, map[string]bool{"well": true}}, {2, map[string]bool{"well": true, "ill": true}}} {
		wanted := options()
		wanted.MinimumHealthy = test.minimum
		group := NewGroup(wanted)
		address := listening(t, Options{}, group)
		well, ill := serve(t, "well", nil), serve(t, "ill", nil)
		register(t, group, well, ill)
		ill.ill.Store(true)
		require.NoError(t, group.AwaitUnhealthy(within(t), "ill"))
		got := map[string]bool{}
		for range 10 {
			_, body := ask(t, http.MethodGet, address)
			got[body] = true
		}
		assert.Equal(t, test.want, got, "at least %d healthy", test.minimum)
	}
}

func TestThresholdsCountAnswersInARow(t *testing.T) {
	good, _ := ParseMatcher("200")
	check := HealthCheck{Healthy: 3, Unhealthy: 2, Good: good}
	bad := fmt.Errorf("refused")
	one := &target{state: Initial, changed: make(chan struct{})}
	for i, step := range []struct {
		answer error
		want   State
	}{
		{nil, Healthy}, // the first good answer is enough for a new target
		{bad, Healthy}, {nil, Healthy}, {bad, Healthy}, {bad, Unhealthy},
		{nil, Unhealthy}, {nil, Unhealthy}, {bad, Unhealthy}, {nil, Unhealthy}, {nil, Unhealthy}, {nil, Healthy},
	} {
		one.note(check, step.answer)
		assert.Equal(t, step.want, one.state, "step %d", i)
	}
	one = &target{state: Initial, changed: make(chan struct{})}
	one.note(check, bad)
	assert.Equal(t, Initial, one.state)
	one.note(check, bad)
	assert.Equal(t, Unhealthy, one.state)
}

func TestTargetGetsNothingBeforeItsFirstGoodAnswer(t *testing.T) {
	group := NewGroup(options())
	address := listening(t, Options{}, group)
	register(t, group, serve(t, "well", nil))
	starting := serve(t, "starting", nil)
	starting.ill.Store(true)
	require.NoError(t, group.Register("starting", starting.address()))
	for range 10 {
		_, body := ask(t, http.MethodGet, address)
		assert.Equal(t, "well", body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*interval)
	defer cancel()
	err := group.AwaitHealthy(ctx, "starting")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "503 Service Unavailable")
	assert.ErrorContains(t, group.Register("starting", starting.address()), "it is registered")
	assert.ErrorContains(t, group.Register("nowhere", "127.0.0.1"), "missing port")
}

func TestSlowTargetIsAnsweredForAfterTheIdleTime(t *testing.T) {
	release := make(chan struct{})
	group := NewGroup(options())
	address := listening(t, Options{Idle: 50 * time.Millisecond}, group)
	register(t, group, serve(t, "slow", func(http.ResponseWriter, *http.Request) { <-release }))
	defer close(release)
	status, body := ask(t, http.MethodPost, address)
	assert.Equal(t, http.StatusGatewayTimeout, status, body)
}

func TestNoTargetsIsToldSo(t *testing.T) {
	status, body := ask(t, http.MethodGet, listening(t, Options{}, NewGroup(options())))
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Contains(t, body, "no target")
}

func TestHeadersTellTheClient(t *testing.T) {
	for mode, want := range map[ForwardedFor]string{
		Append: "203.0.113.9, 127.0.0.1", Preserve: "203.0.113.9", Remove: "",
	} {
		var got http.Header
		var query, host string
		group := NewGroup(options())
		address := listening(t, Options{ForwardedFor: mode, DropInvalidHeaders: true}, group)
		register(t, group, serve(t, "a", func(_ http.ResponseWriter, r *http.Request) {
			got, query, host = r.Header, r.URL.RawQuery, r.Host
		}))
		request, err := http.NewRequestWithContext(within(t), http.MethodGet, address+"/sales?line=a;b%zz", nil)
		require.NoError(t, err)
		request.Host = "shop.example"
		request.Header.Set("X-Forwarded-For", "203.0.113.9")
		request.Header.Set("X-Forwarded-Proto", "https")
		request.Header["under_score"] = []string{"smuggled"}
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, want, got.Get("X-Forwarded-For"), mode)
		assert.Equal(t, "http", got.Get("X-Forwarded-Proto"), "the client's own word does not count")
		assert.Equal(t, "80", got.Get("X-Forwarded-Port"))
		assert.Empty(t, got.Get("under_score"))
		assert.Equal(t, "line=a;b%zz", query, "the target judges the query")
		assert.Equal(t, "shop.example", host)
	}
}

func TestInvalidHeadersPassWhereTheyMay(t *testing.T) {
	var got http.Header
	group := NewGroup(options())
	address := listening(t, Options{}, group)
	register(t, group, serve(t, "a", func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	request, err := http.NewRequestWithContext(within(t), http.MethodGet, address, nil)
	require.NoError(t, err)
	request.Header["Under_score"] = []string{"kept"}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "kept", got.Get("Under_score"))
}

// HTTP and HTTPS share the address, and the redirect between them leads to where HTTPS is here.
func TestRedirectLeadsToTheSecureListener(t *testing.T) {
	group := NewGroup(options())
	b, err := Start(Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Stop(context.Background())); group.Stop() })
	require.NoError(t, b.Listen(Listener{Port: 80, Redirect: &Redirect{
		Status: http.StatusMovedPermanently, Protocol: "HTTPS", Host: "#{host}", Port: "443", Path: "/#{path}",
		Query: "#{query}",
	}}))
	require.NoError(t, b.Listen(Listener{Port: 443, Secure: true, Forward: group}))
	assert.ErrorContains(t, b.Listen(Listener{Port: 8080, Forward: group}), "the one on port 80 has the same protocol")
	assert.ErrorContains(t, b.Listen(Listener{Port: 8080}), "forwards or redirects")
	var protocol string
	register(t, group, serve(t, "a", func(w http.ResponseWriter, r *http.Request) {
		protocol = r.Header.Get("X-Forwarded-Proto")
		_, _ = io.WriteString(w, r.URL.String())
	}))

	client := &http.Client{Timeout: patience,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // made for this run
	defer client.CloseIdleConnections()
	response, err := client.Get("http://" + b.Address() + "/sales%20now?line=Ships")
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "/sales%20now?line=Ships", string(body))
	assert.Equal(t, "https://"+b.Address()+"/sales%20now?line=Ships", response.Request.URL.String())
	assert.Equal(t, "https", protocol)
}

// crowded is a listener that has no room for a while.
type crowded struct {
	net.Listener
	refusals atomic.Int64
}

func (c *crowded) Accept() (net.Conn, error) {
	if c.refusals.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return c.Listener.Accept()
}

func TestTooManyConnectionsAreNoEnd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	room := &crowded{Listener: listener}
	room.refusals.Store(2)
	s := newSplit(room, time.Minute)
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	_, err = client.Write([]byte("GET"))
	require.NoError(t, err)
	accepted, err := s.plain.Accept()
	require.NoError(t, err)
	require.NoError(t, accepted.Close())
	require.NoError(t, s.plain.Close())
}

func TestStopEndsClientsThatHaveSaidNothing(t *testing.T) {
	b, err := Start(Options{})
	require.NoError(t, err)
	silent, err := net.Dial("tcp", b.Address())
	require.NoError(t, err)
	defer silent.Close()
	require.Eventually(t, func() bool {
		b.split.mutex.Lock()
		defer b.split.mutex.Unlock()
		return len(b.split.silent) == 1
	}, patience, watch)
	require.NoError(t, b.Stop(within(t)))
	require.NoError(t, b.Stop(within(t)), "twice")
	require.NoError(t, b.Err())
	require.NoError(t, silent.SetReadDeadline(time.Now().Add(patience)))
	_, err = silent.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestUpgradedConnectionsPass(t *testing.T) {
	group := NewGroup(options())
	address := listening(t, Options{}, group)
	register(t, group, serve(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		connection, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer connection.Close()
		_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"+
			"Upgrade: echo\r\n\r\n")
		line, _ := buffer.ReadString('\n')
		_, _ = io.WriteString(connection, strings.ToUpper(line))
	}))
	connection, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	require.NoError(t, err)
	defer connection.Close()
	require.NoError(t, connection.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(connection, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	_, err = io.WriteString(connection, "hello\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, "HELLO\n", string(answer))
}

func TestMatcher(t *testing.T) {
	for text, want := range map[string][]int{
		"200": {200}, "200-202": {200, 201, 202}, "200,204": {200, 204}, "200-201,404": {200, 201, 404},
	} {
		good, err := ParseMatcher(text)
		require.NoError(t, err, text)
		var got []int
		for status := range 600 {
			if good(status) {
				got = append(got, status)
			}
		}
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "ok", "200-", "299-200", "500", "100", "200,,201", "200x"} {
		_, err := ParseMatcher(text)
		assert.Error(t, err, text)
	}
}
