package awsdb

import (
	"net"
	"time"
)

// While a function sleeps the network forgets its connections, after some 350 s and often without a
// word: the function, awake again, finds a pool of connections that swallow whatever is sent. So
// every connection is pinged when it is asked for. How long it was idle decides nothing: what
// clocks do while a function is frozen is not documented.
const (
	// poolSize of a pool. A Lambda serves one request at a time; the second connection is for a new
	// one while an old one is being closed.
	poolSize = 2
	// deadConnections is what a pool full of dead connections costs at most: they are pinged one
	// after the other, each for pingTimeout. An answer takes a millisecond within a region. As long
	// again is left of the time that inference gives the vector store, for a new login.
	deadConnections = 200 * time.Millisecond
	pingTimeout     = deadConnections / poolSize
	// idleTimeout is shorter than the network's memory.
	idleTimeout    = 4 * time.Minute
	connectTimeout = 5 * time.Second
	// goneTimeout is after how long a connection breaks under a statement whose server, or the way
	// to it, is gone; a server that lives acknowledges within milliseconds, however long it works.
	// A lost packet is sent again five times within it.
	goneTimeout = 10 * time.Second
)

// dialer notices within goneTimeout that a peer is gone: by keep-alive probes while an answer is
// awaited, by the limit on what is not acknowledged (which Linux has) while something is sent.
func dialer() *net.Dialer {
	const probes = 4
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: goneTimeout / (probes + 1), Interval: goneTimeout / (probes + 1), Count: probes,
		},
		Control: limitUnacknowledged,
	}
}
