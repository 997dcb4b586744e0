package fleet

import (
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"diecast/internal/local/admission"
	"diecast/internal/local/apiserver"
	"diecast/internal/local/process"
)

// metadata is one instance's metadata service, version 2 only (EC2 user guide, "Use the Instance
// Metadata Service"): it tells the instance's id and zone to who has asked for a token first.
type metadata struct {
	server   *http.Server
	listener net.Listener
	// secret is the password that requests tell: the SDK's client puts its own path in the place of
	// the address's, and keeps what is before the host.
	secret string
	served chan struct{}

	mutex sync.Mutex
	// tokens and when they end.
	tokens map[string]time.Time
}

const (
	tokenHeader = "X-aws-ec2-metadata-token"
	lifeHeader  = "X-aws-ec2-metadata-token-ttl-seconds"
	// longestLife of a token, in seconds.
	longestLife = 21_600
	// mostTokens are good at a time.
	mostTokens = 1000
)

func startMetadata(id, zone, region string) (*metadata, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(process.Loopback, "0"))
	if err != nil {
		return nil, err
	}
	m := &metadata{
		listener: listener, secret: admission.NewSecret(), served: make(chan struct{}), tokens: map[string]time.Time{},
	}
	routes := http.NewServeMux()
	routes.HandleFunc("PUT /latest/api/token", m.token)
	for path, value := range map[string]string{
		"instance-id": id, "placement/availability-zone": zone, "placement/region": region,
	} {
		routes.HandleFunc("GET /latest/meta-data/"+path, m.guarded(value))
	}
	m.server = apiserver.HTTP(admission.WithPassword(m.secret, routes))
	go func() {
		defer close(m.served)
		_ = m.server.Serve(listener) // ends when it is closed
	}()
	return m, nil
}

func (m *metadata) endpoint() string {
	return "http://instance:" + m.secret + "@" + m.listener.Addr().String()
}

func (m *metadata) token(w http.ResponseWriter, r *http.Request) {
	life, err := strconv.Atoi(r.Header.Get(lifeHeader))
	if err != nil || life < 1 || life > longestLife {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	token := rand.Text()
	m.mutex.Lock()
	maps.DeleteFunc(m.tokens, func(_ string, end time.Time) bool { return time.Now().After(end) })
	for old := range m.tokens { // an honest server has one or two: who asks for more loses any
		if len(m.tokens) < mostTokens {
			break
		}
		delete(m.tokens, old)
	}
	m.tokens[token] = time.Now().Add(time.Duration(life) * time.Second)
	m.mutex.Unlock()
	w.Header().Set(lifeHeader, strconv.Itoa(life))
	_, _ = io.WriteString(w, token) // the caller has hung up
}

func (m *metadata) guarded(value string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m.mutex.Lock()
		end, known := m.tokens[r.Header.Get(tokenHeader)]
		m.mutex.Unlock()
		if !known || time.Now().After(end) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, value) // the caller has hung up
	}
}

func (m *metadata) stop() error {
	err := m.server.Close()
	<-m.served
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
