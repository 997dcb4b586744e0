// Package balancer is a small HTTP load balancer on one port of this machine, which does what an
// Application Load Balancer is told to do: listeners, health checks, draining, X-Forwarded-For,
// idle time-outs.
//
// It knows addresses and health, not who runs behind the addresses or why one comes or goes.
//
// One thing differs on purpose. An Application Load Balancer tries one target only, so that a
// request is answered with 502 where its target refuses the connection or dies, until health checks
// have taken that target out (ELB user guide, "Troubleshoot your Application Load Balancers", HTTP
// 502). Here a request that may be sent twice, an idempotent method without a body, goes to the
// next target instead, which Group counts as Retried. What it hides on AWS is a matter of seconds;
// here it would be that of whoever reloads a page while they change the program behind it.
package balancer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"diecast/internal/local/process"
)

// Options of a balancer.
type Options struct {
	// Idle ends a connection, to a client or to a target, over which nothing has come for so long.
	// Default 60 s, as an Application Load Balancer's.
	Idle time.Duration
	// KeepAlive is how long a client's connection may wait for its next request. Default 1 h.
	KeepAlive time.Duration
	// DropInvalidHeaders removes headers whose names have characters other than letters, digits and
	// hyphens.
	DropInvalidHeaders bool
	// ForwardedFor says what becomes of X-Forwarded-For. Default Append.
	ForwardedFor ForwardedFor
	// Token is a secret that requests must have, see PageAddress. Default: everybody is served.
	Token string
	// Log takes what targets did wrong. Default: nobody.
	Log *slog.Logger
}

// ForwardedFor is what becomes of the header X-Forwarded-For.
type ForwardedFor string

// Values of routing.http.xff_header_processing.mode (ELB user guide, "HTTP headers and Application
// Load Balancers").
const (
	// Append adds the client's address behind what the client sent.
	Append ForwardedFor = "append"
	// Preserve leaves the header as the client sent it.
	Preserve ForwardedFor = "preserve"
	// Remove takes it away.
	Remove ForwardedFor = "remove"
)

// Listener is what becomes of requests of one protocol.
type Listener struct {
	// Port is the one on AWS; requests tell it as X-Forwarded-Port, and redirects lead to it.
	Port int
	// Secure takes HTTPS, with a certificate that is made for this balancer.
	Secure bool
	// Forward requests to this group; or, where it is nil, answer with Redirect.
	Forward  *Group
	Redirect *Redirect
}

// Balancer listens on one port of the loopback address for all of its listeners: who begins with a
// TLS handshake is the HTTPS listener's, everybody else the HTTP listener's. So it has one address,
// as a load balancer on AWS has one name.
type Balancer struct {
	options Options
	split   *split
	servers [2]*http.Server // of HTTP, of HTTPS
	// stopping tells an end that was asked for from others.
	stopping atomic.Bool
	served   chan struct{}
	failed   error // why it ended by itself; read after served only

	// toTargets keeps the connections to targets.
	toTargets *http.Transport

	mutex     sync.Mutex
	listeners map[bool]opened // by Secure
}

// opened is a listener with what answers for it.
type opened struct {
	Listener
	http.Handler
}

// Start opens the balancer, without listeners: it answers 503 until there are any.
func Start(options Options) (*Balancer, error) {
	if options.Idle == 0 {
		options.Idle = time.Minute
	}
	if options.KeepAlive == 0 {
		options.KeepAlive = time.Hour
	}
	if options.ForwardedFor == "" {
		options.ForwardedFor = Append
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, fmt.Errorf("make the load balancer's certificate: %w", err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(process.Loopback, "0"))
	if err != nil {
		return nil, fmt.Errorf("open the load balancer: %w", err)
	}
	b := &Balancer{options: options, served: make(chan struct{}), listeners: map[bool]opened{}}
	b.toTargets = newTransport(options.Idle)
	b.split = newSplit(listener, options.Idle)
	configuration := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	failures := make(chan error, 2)
	for i, from := range []net.Listener{b.split.plain, tls.NewListener(b.split.secure, configuration)} {
		b.servers[i] = &http.Server{
			Handler:           b.admitted(http.HandlerFunc(b.answer)),
			ReadHeaderTimeout: options.Idle, IdleTimeout: options.KeepAlive,
			ErrorLog: slog.NewLogLogger(options.Log.Handler(), slog.LevelWarn),
		}
		go func() { failures <- b.servers[i].Serve(from) }()
	}
	go func() {
		defer close(b.served)
		for range b.servers {
			if err := <-failures; !b.stopping.Load() {
				b.failed = fmt.Errorf("the load balancer on %s ended by itself: %w", b.Address(), err)
			}
		}
	}()
	return b, nil
}

// Address is host:port, for HTTP and HTTPS alike.
func (b *Balancer) Address() string { return b.split.from.Addr().String() }

// PageAddress is host:port with what people's first request has to tell, where that is something.
func (b *Balancer) PageAddress() string {
	if b.options.Token == "" {
		return b.Address()
	}
	return b.Address() + "/?" + tokenParameter + "=" + b.options.Token
}

// Listen adds a listener. There is one at most for each protocol.
func (b *Balancer) Listen(added Listener) error {
	if (added.Forward == nil) == (added.Redirect == nil) {
		return fmt.Errorf("a listener on port %d forwards or redirects, one of the two", added.Port)
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if other, taken := b.listeners[added.Secure]; taken {
		return fmt.Errorf("a listener on port %d: the one on port %d has the same protocol, of which there is one here",
			added.Port, other.Port)
	}
	handler := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, added.Redirect.location(r, b.port), added.Redirect.Status)
	}))
	if added.Forward != nil {
		handler = added.Forward.forwarding(b.options, added.Port, b.toTargets)
	}
	b.listeners[added.Secure] = opened{added, handler}
	return nil
}

// answer hands a request to the listener of its protocol.
func (b *Balancer) answer(w http.ResponseWriter, r *http.Request) {
	b.mutex.Lock()
	listener, ok := b.listeners[r.TLS != nil]
	b.mutex.Unlock()
	if !ok {
		refuse(w, http.StatusServiceUnavailable, "no listener of this protocol")
		return
	}
	listener.ServeHTTP(w, r)
}

// port is where a port of AWS leads here.
func (b *Balancer) port(port string) string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, listener := range b.listeners {
		if strconv.Itoa(listener.Port) == port {
			_, port, _ = net.SplitHostPort(b.Address())
			return port
		}
	}
	return port
}

// Exited is closed when the balancer has ended, whether or not it was asked to; Err tells which.
func (b *Balancer) Exited() <-chan struct{} { return b.served }

// Err is nil while the balancer runs and where Stop ended it; else it says why it ended by itself.
func (b *Balancer) Err() error {
	select {
	case <-b.served:
		return b.failed
	default:
		return nil
	}
}

// Stop takes no more requests and waits for those under way, until the context ends. Stopping twice
// does nothing.
func (b *Balancer) Stop(ctx context.Context) error {
	b.stopping.Store(true)
	var problems []error
	for _, server := range b.servers {
		if err := server.Shutdown(ctx); err != nil {
			problems = append(problems, fmt.Errorf("stop the load balancer: a request was cut off: %w",
				errors.Join(err, server.Close())))
		}
	}
	<-b.served
	b.toTargets.CloseIdleConnections()
	return errors.Join(problems...)
}

// refuse answers in the balancer's own name.
func refuse(w http.ResponseWriter, status int, why string) {
	http.Error(w, fmt.Sprintf("%d %s: %s", status, http.StatusText(status), why), status)
}
