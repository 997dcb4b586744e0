// Package live keeps answers open in which a page is told what changes: lines of JSON, each a
// change, for as long as somebody looks. It bounds how many are open, writes a line now and then
// where nothing changes, so that no balancer takes the connection for a dead one, and ends each so
// early that an instance which leaves its balancer has none left when it goes: the page then
// connects anew, to another instance. It does not know what is told.
package live

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// Beat is the longest time without a line. A load balancer hangs up after 60 s.
	Beat = 15 * time.Second
	// writeTimeout is how long a client may take to receive a line.
	writeTimeout = 10 * time.Second
	// retryAfter, in seconds, is when somebody for whom there was no place may ask again.
	retryAfter = 2
)

// Streams of one kind.
type Streams struct {
	most    int
	longest time.Duration
	mutex   sync.Mutex
	open    int
	drained context.Context
	drain   context.CancelFunc
}

// New streams: most at a time, each for longest at most.
func New(most int, longest time.Duration) *Streams {
	s := &Streams{most: most, longest: longest}
	s.drained, s.drain = context.WithCancel(context.Background())
	return s
}

// Drain ends all streams, and refuses others from now on.
func (s *Streams) Drain() { s.drain() }

// Open is how many streams there are.
func (s *Streams) Open() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.open
}

func (s *Streams) enter() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.open >= s.most || s.drained.Err() != nil {
		return false
	}
	s.open++
	return true
}

func (s *Streams) leave() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.open--
}

// Stream is one open answer.
type Stream struct {
	// Context ends when the client leaves, the stream has been open for long enough or the server
	// is drained.
	context.Context
	writer     http.ResponseWriter
	controller *http.ResponseController
	written    time.Time
}

// Serve opens an answer and has tell write its lines until the stream's context ends. Where there
// are as many as may be, or the server drains, it answers 503.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, tell func(*Stream)) {
	if !s.enter() {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		http.Error(w, "As many pages are open here as may be, or this server is about to end. Try again soon.",
			http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	ctx, cancel := context.WithTimeout(r.Context(), s.longest)
	defer cancel()
	defer context.AfterFunc(s.drained, cancel)()
	stream := &Stream{Context: ctx, writer: w, controller: http.NewResponseController(w), written: time.Now()}
	w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return
	}
	// The server's own limits are for answers that end. Who cannot lift them has none.
	_ = stream.controller.SetReadDeadline(time.Time{})
	_ = stream.controller.Flush() // the page learns at once that it is connected
	tell(stream)
	if r.Context().Err() == nil {
		_ = stream.Send(end{true}) // a client that has left is told nothing
	}
}

// end is the last line: connect again, at once.
type end struct {
	End bool `json:"end"`
}

// beat is a line that tells nothing.
type beat struct {
	Beat bool `json:"beat"`
}

// Send writes a line.
func (s *Stream) Send(line any) error {
	_ = s.controller.SetWriteDeadline(time.Now().Add(writeTimeout)) // as above
	encoder := json.NewEncoder(s.writer)
	encoder.SetEscapeHTML(false) // it is in no page of HTML
	if err := encoder.Encode(line); err != nil {
		return err
	}
	s.written = time.Now()
	return s.controller.Flush()
}

// Wait calls until with a context that ends with the stream's, after longest, or when a line is due
// in which nothing is told; that line it writes by itself. What until returns is returned.
func (s *Stream) Wait(longest time.Duration, until func(context.Context) error) error {
	wait := min(longest, time.Until(s.written.Add(Beat)))
	ctx, cancel := context.WithTimeout(s, wait)
	defer cancel()
	err := until(ctx)
	if s.Err() == nil && time.Since(s.written) >= Beat {
		if failed := s.Send(beat{true}); failed != nil {
			return failed
		}
	}
	return err
}
