package balancer

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"sync"
	"syscall"
	"time"

	"diecast/internal/local/process"
)

// handshake is the first byte of a TLS connection (RFC 8446, section 5.1: ContentType handshake).
const handshake = 22

// acceptPause is how long no connection is accepted after one that could not be.
const acceptPause = 20 * time.Millisecond

// split sorts the connections of one port by their first byte: those that begin a TLS handshake,
// and the others.
type split struct {
	from          net.Listener
	plain, secure *half
	// patience bounds the wait for the first byte.
	patience time.Duration

	done    chan struct{} // closed when no more are accepted
	failed  error         // read after done only
	mutex   sync.Mutex
	closing bool
	silent  map[net.Conn]bool // have sent nothing yet
	work    sync.WaitGroup
}

// half is a listener of the connections of one kind.
type half struct {
	*split
	accepted chan net.Conn
}

func newSplit(from net.Listener, patience time.Duration) *split {
	s := &split{from: from, patience: patience, done: make(chan struct{}), silent: map[net.Conn]bool{}}
	s.plain, s.secure = &half{s, make(chan net.Conn)}, &half{s, make(chan net.Conn)}
	go s.accept()
	return s
}

func (s *split) accept() {
	for {
		accepted, err := s.from.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			// Too many files are open for now: net/http's server waits then, too.
			time.Sleep(acceptPause)
			continue
		}
		if err != nil {
			s.failed = err
			close(s.done)
			return
		}
		s.mutex.Lock()
		if s.closing {
			_ = accepted.Close() // nobody waits for it
		} else {
			s.silent[accepted] = true
			s.work.Go(func() { s.sort(accepted) })
		}
		s.mutex.Unlock()
	}
}

// sort waits for the first byte, and hands the connection on.
func (s *split) sort(accepted net.Conn) {
	buffer := bufio.NewReader(accepted)
	_ = accepted.SetReadDeadline(time.Now().Add(s.patience)) // fails where it is closed: so does what follows
	first, err := buffer.Peek(1)
	_ = accepted.SetReadDeadline(time.Time{}) // as above
	s.mutex.Lock()
	delete(s.silent, accepted)
	s.mutex.Unlock()
	if err != nil {
		_ = accepted.Close() // the client has gone, or sent nothing
		return
	}
	to := s.plain
	if first[0] == handshake {
		to = s.secure
	}
	select {
	case to.accepted <- &peeked{accepted, buffer}:
	case <-s.done:
		_ = accepted.Close() // nobody waits for it
	}
}

// Accept is the next connection of this kind.
func (h *half) Accept() (net.Conn, error) {
	select {
	case accepted := <-h.accepted:
		return accepted, nil
	case <-h.done:
		return nil, h.failed
	}
}

// Addr is the port of both kinds.
func (h *half) Addr() net.Addr { return h.from.Addr() }

// Close ends both kinds, and those connections that have sent nothing.
func (h *half) Close() error {
	h.mutex.Lock()
	again := h.closing
	h.closing = true
	for waiting := range h.silent {
		_ = waiting.Close() // so that its sorting ends
	}
	h.mutex.Unlock()
	var err error
	if !again {
		err = h.from.Close()
	}
	h.work.Wait()
	return err
}

// peeked is a connection whose first byte was looked at.
type peeked struct {
	net.Conn
	buffer *bufio.Reader
}

func (c *peeked) Read(into []byte) (int, error) { return c.buffer.Read(into) }

// certificateLife is longer than any run.
const certificateLife = 365 * 24 * time.Hour

// newCertificate is one that nobody has signed but itself, for the loopback address.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "Diecast on this machine"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.ParseIP(process.Loopback)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
