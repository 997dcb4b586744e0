package lifetime

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// running is a server whose pages wait where a test wants them to.
type running struct {
	address  string
	end      context.CancelFunc
	ended    chan error
	draining chan struct{}
	entered  chan struct{}
	release  chan struct{}
}

func start(t *testing.T, longest time.Duration) *running {
	t.Helper()
	return startServer(t, Server{Longest: longest})
}

// startServer sets what of a server is the same for all tests.
func startServer(t *testing.T, server Server) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{address: "http://" + listener.Addr().String(), end: cancel, ended: make(chan error, 1),
		draining: make(chan struct{}), entered: make(chan struct{}, 10), release: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "page") })
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		r.entered <- struct{}{}
		<-r.release
		fmt.Fprint(w, "slow")
	})
	server.Handler, server.Drain, server.HealthPath = mux, func() { close(r.draining) }, "/health"
	server.Logger = slog.New(slog.DiscardHandler)
	go func() { r.ended <- server.Serve(ctx, listener) }()
	t.Cleanup(cancel)
	return r
}

func (r *running) get(t *testing.T, path string) (string, *http.Response) {
	t.Helper()
	answer, err := http.Get(r.address + path)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(text), answer
}

func TestADrainingServerAnswersUntilNobodyAsks(t *testing.T) {
	r := start(t, 2*time.Second)
	r.get(t, "/page")
	begin := time.Now()
	r.end()
	<-r.draining
	text, answer := r.get(t, "/page")
	assert.Equal(t, "page", text)
	assert.True(t, answer.Close, "a connection is not kept")
	require.NoError(t, <-r.ended)
	assert.Less(t, time.Since(begin), 2*time.Second, "it does not wait for the longest time")
	_, err := net.Dial("tcp", strings.TrimPrefix(r.address, "http://"))
	require.Error(t, err)
}

func TestARequestUnderWayIsAnsweredBeforeTheEnd(t *testing.T) {
	r := start(t, time.Minute)
	answers := make(chan string, 1)
	go func() {
		text, _ := r.get(t, "/slow")
		answers <- text
	}()
	<-r.entered
	r.end()
	<-r.draining
	select {
	case err := <-r.ended:
		require.Fail(t, "it ended with a request under way", "%v", err)
	default:
	}
	close(r.release)
	assert.Equal(t, "slow", <-answers)
}

func TestARequestThatNeverEndsIsCutOffAndTold(t *testing.T) {
	r := start(t, 100*time.Millisecond)
	go func() {
		if answer, err := http.Get(r.address + "/slow"); err == nil {
			_ = answer.Body.Close()
		}
	}()
	<-r.entered
	r.end()
	require.ErrorContains(t, <-r.ended, "requests were still under way")
	close(r.release)
}

func TestHealthChecksDoNotKeepAServerAlive(t *testing.T) {
	r := start(t, 600*time.Millisecond)
	r.end()
	<-r.draining
	begin := time.Now()
	for {
		answer, err := http.Get(r.address + "/health")
		if err != nil {
			break
		}
		require.NoError(t, answer.Body.Close())
	}
	require.NoError(t, <-r.ended)
	assert.Less(t, time.Since(begin), 600*time.Millisecond)
}

// exchange sends a text as it is and reads the first line of the answer, and whether the connection
// is closed after it.
func exchange(t *testing.T, r *running, text string) string {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(r.address, "http://"))
	require.NoError(t, err)
	defer connection.Close()
	require.NoError(t, connection.SetDeadline(time.Now().Add(4*headerTimeout)))
	_, _ = io.WriteString(connection, text) // the server may have closed it before the end of the text
	reader := bufio.NewReader(connection)
	line, _ := reader.ReadString('\n')
	_, err = io.Copy(io.Discard, reader)
	if err != nil {
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
		assert.NotContains(t, err.Error(), "timeout", "the connection hangs")
	}
	return strings.TrimSpace(line)
}

func TestAHeaderOfAMegabyteIsRefused(t *testing.T) {
	r := start(t, time.Second)
	long := strings.Repeat("a", 1<<20)
	assert.Contains(t, exchange(t, r, "GET /page HTTP/1.1\r\nHost: a\r\nX-Long: "+long+"\r\n\r\n"),
		"431 Request Header Fields Too Large")
}

// The limit is what it is called: of line and headers together, to the byte.
func TestTheLimitOfAHeaderIsExact(t *testing.T) {
	request := func(size int) string {
		const around = "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Long: \r\n\r\n"
		return strings.Replace(around, "X-Long: ", "X-Long: "+strings.Repeat("a", size-len(around)), 1)
	}
	for limit, given := range map[int]int{16 << 10: 0, 64 << 10: 64 << 10} {
		r := startServer(t, Server{Longest: time.Second, MaxHeader: given})
		assert.Contains(t, exchange(t, r, request(limit)), "200 OK")
		assert.Contains(t, exchange(t, r, request(limit+1)), "431 Request Header Fields Too Large")
	}
}

func TestASlowClientIsCutOff(t *testing.T) {
	r := start(t, time.Second)
	begin := time.Now()
	exchange(t, r, "GET /page HTTP/1.1\r\nHost: a\r\n") // and never the empty line
	assert.Less(t, time.Since(begin), 2*headerTimeout)
}

// pipes is a listener in memory, whose connections take the time of a bubble.
type pipes struct {
	opened chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case opened := <-p.opened:
		return opened, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// connected does something with a connection to a server that is served in a bubble.
func connected(t *testing.T, handler http.HandlerFunc, work func(t *testing.T, client net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		listener := &pipes{opened: make(chan net.Conn), closed: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Server{Handler: handler, Drain: func() {}, Longest: time.Minute,
				Logger: slog.New(slog.DiscardHandler)}.Serve(ctx, listener)
		}()
		client, server := net.Pipe()
		listener.opened <- server
		work(t, client)
		require.NoError(t, client.Close())
		cancel()
		require.NoError(t, <-ended)
	})
}

// A load balancer keeps an idle connection for a minute: the server must be the one that waits
// longer, and must not wait for ever.
func TestAnIdleConnectionOutlivesTheLoadBalancersTimeOut(t *testing.T) {
	const balancersIdle = 60 * time.Second
	page := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "page") }
	connected(t, page, func(t *testing.T, client net.Conn) {
		reader := bufio.NewReader(client)
		for range 3 {
			_, err := io.WriteString(client, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err, "the server closed first")
			answer, err := http.ReadResponse(reader, nil)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, answer.Body)
			require.NoError(t, err)
			time.Sleep(balancersIdle + 5*time.Second) // of the bubble's clock
		}
		begin := time.Now()
		_, err := reader.ReadByte()
		require.ErrorIs(t, err, io.EOF)
		assert.LessOrEqual(t, time.Since(begin), balancersIdle, "it is closed in the end")
	})
}

// Who does not read the answer holds a connection, and what is to be written, for half a minute.
func TestASlowReaderIsCutOff(t *testing.T) {
	var failed atomic.Bool
	large := func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 1<<20))
		failed.Store(err != nil)
	}
	connected(t, large, func(t *testing.T, client net.Conn) {
		_, err := io.WriteString(client, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		_, err = client.Read(make([]byte, 1)) // and no more
		require.NoError(t, err)
		time.Sleep(29 * time.Second) // of the bubble's clock
		synctest.Wait()
		assert.False(t, failed.Load(), "it may take its time")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.True(t, failed.Load(), "it has had it")
	})
}

func TestAListenerThatFailsIsTold(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	err = Server{Handler: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler)}.Serve(t.Context(), listener)
	require.ErrorContains(t, err, "serve on 127.0.0.1:")
}
