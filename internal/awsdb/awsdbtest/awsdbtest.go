// Package awsdbtest stands for the way to a database on AWS: a network that forgets connections
// without a word, and the secret of a login. It knows no database.
package awsdbtest

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Network is a way to a server.
type Network struct {
	// Port at 127.0.0.1 where the server is found.
	Port int

	listener net.Listener
	server   string
	mutex    sync.Mutex
	blocked  bool
	flows    []*flow
	work     sync.WaitGroup
}

// flow is one connection through the network.
type flow struct {
	client, server net.Conn
	// forgotten is closed when nothing passes any more.
	forgotten chan struct{}
}

// Open makes a way to the server at an address. It is closed at the end of the test.
func Open(t testing.TB, server string) *Network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &Network{Port: listener.Addr().(*net.TCPAddr).Port, listener: listener, server: server}
	n.work.Go(n.accept)
	t.Cleanup(n.close)
	return n
}

// Forget lets every connection so far go silent: what either side sends is swallowed, and neither
// learns of it. New ones pass. It returns how many there were.
func (n *Network) Forget() int {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.forget()
}

// Block forgets, and lets new connections in only to swallow what they send.
func (n *Network) Block() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.forget()
	n.blocked = true
}

func (n *Network) forget() (count int) {
	for _, flow := range n.flows {
		select {
		case <-flow.forgotten:
		default:
			close(flow.forgotten)
			count++
		}
	}
	return count
}

func (n *Network) accept() {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return // closed by the test's end
		}
		server, err := net.Dial("tcp", n.server)
		if err != nil {
			_ = client.Close() // as a server does that refuses
			continue
		}
		opened := &flow{client: client, server: server, forgotten: make(chan struct{})}
		n.mutex.Lock()
		n.flows = append(n.flows, opened)
		if n.blocked {
			close(opened.forgotten)
		}
		n.mutex.Unlock()
		n.work.Go(func() { n.pass(opened, client, server) })
		n.work.Go(func() { n.pass(opened, server, client) })
	}
}

// pass hands on what one side sends, and its end, until the flow is forgotten.
func (n *Network) pass(flow *flow, from, to net.Conn) {
	_, _ = io.Copy(sink{flow, to}, from) // its error is the end of a side, which is handed on
	select {
	case <-flow.forgotten:
	default:
		n.end(flow)
	}
}

func (n *Network) end(ended *flow) {
	_ = ended.client.Close()
	_ = ended.server.Close()
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.flows = slices.DeleteFunc(n.flows, func(f *flow) bool { return f == ended })
}

// sink swallows what is written after its flow was forgotten.
type sink struct {
	flow *flow
	to   io.Writer
}

func (s sink) Write(data []byte) (int, error) {
	select {
	case <-s.flow.forgotten:
		return len(data), nil
	default:
		return s.to.Write(data)
	}
}

func (n *Network) close() {
	_ = n.listener.Close()
	n.mutex.Lock()
	flows := slices.Clone(n.flows)
	n.mutex.Unlock()
	for _, flow := range flows {
		n.end(flow)
	}
	n.work.Wait()
}

// Secret is a configuration whose Secrets Manager knows one login under every name.
func Secret(t testing.TB, user, password string) aws.Config {
	t.Helper()
	text, err := json.Marshal(map[string]string{"username": user, "password": password})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		assert.NoError(t, json.NewEncoder(w).Encode(map[string]string{"SecretString": string(text)}))
	}))
	t.Cleanup(server.Close)
	return aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("x", "y", ""),
		BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
	}
}
