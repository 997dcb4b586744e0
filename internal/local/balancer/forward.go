package balancer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"diecast/internal/environment"
)

// connectTimeout is how long a target may take to accept a connection (ELB user guide,
// "Troubleshoot your Application Load Balancers", HTTP 504).
const connectTimeout = 10 * time.Second

// validHeader is the name of a header that drop_invalid_header_fields leaves.
var validHeader = regexp.MustCompile(`^[-A-Za-z0-9]+$`)

// path is how a group's requests go through one load balancer.
type path struct {
	group     *Group
	transport *http.Transport
}

// forwarding forwards requests to targets, and their answers back.
func (g *Group) forwarding(options Options, port int, transport *http.Transport) http.Handler {
	return &httputil.ReverseProxy{
		Transport: path{g, transport},
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", p.In.Host, p.In.Host
			// ReverseProxy takes away what it does not understand, and a balancer passes that on.
			p.Out.URL.RawQuery = p.In.URL.RawQuery
			if before := p.In.Header["X-Forwarded-For"]; before != nil {
				p.Out.Header["X-Forwarded-For"] = before
			}
			options.mark(p, port)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { apologise(w, r, err, options.Log) },
		ErrorLog:     slog.NewLogLogger(options.Log.Handler(), slog.LevelWarn),
	}
}

// mark a request with what the balancer knows of it.
func (o Options) mark(p *httputil.ProxyRequest, port int) {
	header := p.Out.Header
	if o.DropInvalidHeaders {
		for name := range header {
			if !validHeader.MatchString(name) {
				delete(header, name)
			}
		}
	}
	switch o.ForwardedFor {
	case Append:
		p.SetXForwarded()
		header.Del("X-Forwarded-Host")
	case Remove:
		header.Del("X-Forwarded-For")
	}
	protocol := "http"
	if p.In.TLS != nil {
		protocol = "https"
	}
	header.Set("X-Forwarded-Proto", protocol)
	header.Set("X-Forwarded-Port", strconv.Itoa(port))
}

// errNoTargets is why a request went nowhere.
var errNoTargets = errors.New("the target group has no target that takes requests")

// apologise answers in place of a target (ELB user guide, "Troubleshoot your Application Load
// Balancers": 502, 503 and 504).
func apologise(w http.ResponseWriter, r *http.Request, err error, log *slog.Logger) {
	if r.Context().Err() != nil { // the client has hung up: 460 in the access log
		return
	}
	log.Warn("no answer", "method", r.Method, "path", r.URL.Path, "error", err)
	var timeout net.Error
	switch {
	case errors.Is(err, errNoTargets):
		refuse(w, http.StatusServiceUnavailable, err.Error())
	case errors.As(err, &timeout) && timeout.Timeout():
		refuse(w, http.StatusGatewayTimeout, "the target did not answer in time")
	default:
		refuse(w, http.StatusBadGateway, "the target refused the connection, or closed it before it answered")
	}
}

// RoundTrip sends a request to a target, and, where that fails before it answers and the request
// may be sent twice, to the others.
func (p path) RoundTrip(request *http.Request) (*http.Response, error) {
	var tried []*target
	failure := errNoTargets
	for {
		t := p.group.choose(tried)
		if t == nil {
			return nil, failure
		}
		response, err := p.send(request, t)
		if err == nil {
			return response, nil
		}
		if request.Context().Err() != nil || !repeatable(request) {
			return nil, err
		}
		tried, failure = append(tried, t), err
	}
}

// repeatable tells whether a request may be sent twice (RFC 9110, section 9.2.2). One with a body
// has sent a part of it.
func repeatable(request *http.Request) bool {
	switch request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return request.Body == nil || request.Body == http.NoBody || request.ContentLength == 0
	}
	return false
}

// send a request to one target. It is under way until its answer is read, or its target gone.
func (p path) send(request *http.Request, t *target) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	stop := context.AfterFunc(t.ctx, func() { cancel(errDeregistered) })
	over := func() {
		stop()
		cancel(nil)
		p.group.done(t)
	}
	sent := request.Clone(ctx)
	sent.URL = &url.URL{}
	*sent.URL = *request.URL
	sent.URL.Host = t.address
	sent.Header.Set(environment.KeyHeader, p.group.key)
	response, err := p.transport.RoundTrip(sent)
	if err != nil {
		over()
		return nil, err
	}
	body := &answer{ReadCloser: response.Body, over: over}
	response.Body = body
	if both, ok := body.ReadCloser.(io.ReadWriteCloser); ok { // 101 Switching Protocols
		response.Body = &conversation{answer: body, Writer: both}
	}
	return response, nil
}

// answer is a body whose end ends its request.
type answer struct {
	io.ReadCloser
	over func()
}

func (a *answer) Close() error {
	err := a.ReadCloser.Close()
	if a.over != nil {
		a.over()
		a.over = nil
	}
	return err
}

// conversation is the body of an upgraded connection, which is also written to.
type conversation struct {
	*answer
	io.Writer
}

// newTransport keeps connections to targets, and ends those over which nothing comes.
func newTransport(idle time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout}
	return &http.Transport{
		DisableCompression: true, MaxIdleConnsPerHost: 256, IdleConnTimeout: idle / 2,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			opened, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &awake{Conn: opened, idle: idle}, nil
		},
	}
}

// awake is a connection that ends when nothing has come or gone for so long.
type awake struct {
	net.Conn
	idle time.Duration
}

func (c *awake) Read(into []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(c.idle)) // fails where it is closed: so does what follows
	return c.Conn.Read(into)
}

func (c *awake) Write(from []byte) (int, error) {
	_ = c.SetDeadline(time.Now().Add(c.idle)) // as above
	return c.Conn.Write(from)
}
