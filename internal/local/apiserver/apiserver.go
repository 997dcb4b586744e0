// Package apiserver serves an API of AWS on 127.0.0.1 from within this program, for the hosts that
// answer one themselves, and tells of its end as the engines do. It knows no API.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"diecast/internal/local/admission"
	"diecast/internal/local/process"
)

// Bounds of a connection, each of which costs memory and a file: how long a client may take to send
// a request's header, and how long it may be silent between two requests, which is longer than the
// SDK keeps one.
const headerTime, idleTime = 10 * time.Second, 2 * time.Minute

// HTTP is a server for a handler: its panics are one request's, and silent clients lose their
// connections.
func HTTP(handler http.Handler) *http.Server {
	return &http.Server{Handler: Contained(handler), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime}
}

// Server is an API that is served.
type Server struct {
	name     string
	listener net.Listener
	server   *http.Server
	served   chan struct{}
	failed   error // why it ended by itself; read after served only
}

// Start serves an API, whose name messages have, on a port; 0 is a free one. It serves those alone
// who sign with the access key of this id, and no page in a browser.
func Start(name string, port int, accessKeyID string, handler http.Handler) (*Server, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(process.Loopback, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("open the %s API: %w", name, err)
	}
	s := &Server{
		name: name, listener: listener, served: make(chan struct{}),
		server: HTTP(admission.Signed(accessKeyID, handler)),
	}
	go func() {
		defer close(s.served)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed = fmt.Errorf("the %s API on %s ended by itself: %w", name, s.Endpoint(), err)
		}
	}()
	return s, nil
}

// Endpoint is the base URL, for the variable AWS_ENDPOINT_URL_* of the API's service.
func (s *Server) Endpoint() string { return "http://" + s.listener.Addr().String() }

// Exited is closed when the API has ended, whether or not it was asked to; Err tells which.
func (s *Server) Exited() <-chan struct{} { return s.served }

// Err is nil while the API runs and where Close ended it; else it says why it ended by itself.
func (s *Server) Err() error {
	select {
	case <-s.served:
		return s.failed
	default:
		return nil
	}
}

// Close takes no more requests and waits for those under way until the context ends; then they are
// cut off, and the error says so.
func (s *Server) Close(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("stop the %s API: a request was cut off: %w", s.name, errors.Join(err, s.server.Close()))
	}
	<-s.served
	return err
}
