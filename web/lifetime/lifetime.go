// Package lifetime runs an HTTP server from its first request to its last: limits for clients that
// are slow or send too much, and an end that loses no request of a load balancer, which goes on
// sending for a while to an instance that it is told to leave. It knows nothing of what is served.
package lifetime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	// idleTimeout is longer than a load balancer's 60 s: were it shorter, the balancer would send
	// requests into connections that are just being closed, and answer 502.
	idleTimeout      = 75 * time.Second
	defaultMaxHeader = 16 << 10
	// headerSlack is what net/http takes beyond MaxHeaderBytes (Server.initialReadLimitSize).
	headerSlack = 4 << 10
	// quietShare of the time to drain without a request means that the balancer has left.
	quietShare = 6
)

// Server to run. All fields are needed but HealthPath and MaxHeader.
type Server struct {
	Handler http.Handler
	// Drain is told that the end has begun, so that the health check fails from then on.
	Drain func()
	// Longest is how long the server goes on from then on at most: the deregistration delay.
	Longest time.Duration
	// HealthPath is that of the health check, which does not count as use.
	HealthPath string
	// MaxHeader is how many bytes a request's line and headers may have together; more is answered
	// with 431. Default 16 KiB.
	MaxHeader int
	Logger    *slog.Logger
}

// activity counts the requests under way and knows the end of the last.
type activity struct {
	lock  sync.Mutex
	open  int
	ended time.Time
}

func (a *activity) begin() {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.open++
}

func (a *activity) end() {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.open--
	a.ended = time.Now()
}

// quiet is for how long there has been no request since a moment.
func (a *activity) quiet(since time.Time) time.Duration {
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.open > 0 {
		return 0
	}
	if a.ended.After(since) {
		since = a.ended
	}
	return time.Since(since)
}

// Serve answers on a listener until the context ends. From then on health checks fail, all else is
// answered, connections are closed after their answer, and the server ends when nobody has asked
// for a sixth of the longest time, or at the longest time. It returns nil when every request was
// answered.
func (s Server) Serve(ctx context.Context, listener net.Listener) error {
	var use activity
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != s.HealthPath {
				use.begin()
				defer use.end()
			}
			s.Handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: cmp.Or(s.MaxHeader, defaultMaxHeader) - headerSlack,
		ErrorLog: log.New(quietLog{s.Logger}, "", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	begin := time.Now()
	s.Drain()
	server.SetKeepAlivesEnabled(false)
	s.Logger.Info("draining", "seconds_at_most", s.Longest.Seconds())
	wanted, last := s.Longest/quietShare, time.NewTimer(s.Longest)
	defer last.Stop()
wait:
	for quiet := time.Duration(0); quiet < wanted; quiet = use.quiet(begin) {
		timer := time.NewTimer(max(wanted-quiet, time.Millisecond))
		select {
		case err := <-failed:
			timer.Stop()
			return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
		case <-last.C:
			timer.Stop()
			break wait
		case <-timer.C:
		}
	}
	// What is under way at the longest time is given the blink of an eye, then cut off.
	ending, cancel := context.WithDeadline(context.Background(), begin.Add(s.Longest+time.Second))
	defer cancel()
	err := server.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("requests were still under way %v after the end was asked for", s.Longest+time.Second)
		err = errors.Join(err, server.Close())
	}
	s.Logger.Info("ended", "seconds", time.Since(begin).Seconds())
	return err
}

// quietLog takes what net/http says of clients that misbehave: no fault of the server.
type quietLog struct{ logger *slog.Logger }

func (l quietLog) Write(text []byte) (int, error) {
	l.logger.Debug("http", "message", string(text))
	return len(text), nil
}
