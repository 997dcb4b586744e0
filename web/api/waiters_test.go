package api

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/recommendation/reading"
)

// waiters counts those who have begun to wait.
type waiters struct {
	*reading.Reader
	begun *atomic.Int64
}

func (w waiters) Wait(ctx context.Context, session string, event reading.Awaited) (reading.Answer, bool, error) {
	w.begun.Add(1)
	return w.Reader.Wait(ctx, session, event)
}

// used memory: what lives on the heap, and the stacks.
func used() float64 {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return float64(memory.HeapInuse+memory.StackInuse) / (1 << 20)
}

// resident is what the system counts for this process.
func resident(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	return string(regexp.MustCompile(`VmRSS:\s*(.*)`).FindSubmatch(status)[1])
}

// A server holds 500 connections that wait, each for a session of its own, in less than 64 MiB; the
// figure has their clients in it, which are in this process, too.
func TestFiveHundredWaitAtOnce(t *testing.T) {
	const many, most = 500, 64
	var begun atomic.Int64
	f := newFixture(t, func(o *Options) { o.Recommendations = waiters{o.Recommendations.(*reading.Reader), &begun} })
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	before := used()
	answered := make(chan time.Time, many)
	sessions := make([]string, many)
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	for i := range many {
		sessions[i] = uuid.NewString()
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, connection.Close()) })
		_, err = fmt.Fprintf(connection, "GET %srecommendations/wait HTTP/1.1\r\nHost: web\r\n%s: %s\r\n%s: %s\r\n\r\n",
			Prefix, sessionHeader, sessions[i], eventHeader, uuid.NewString())
		require.NoError(t, err)
		all.Go(func() {
			answer, err := http.ReadResponse(bufio.NewReaderSize(connection, 512), nil)
			if assert.NoError(t, err) && assert.Equal(t, http.StatusOK, answer.StatusCode) {
				answered <- time.Now()
			}
		})
	}
	require.Eventually(t, func() bool { return begun.Load() == many }, 20*time.Second, 10*time.Millisecond)
	taken := used() - before
	f.table.mutex.Lock()
	asked, since := f.table.asked, time.Now()
	f.table.mutex.Unlock()
	for i, session := range sessions {
		f.table.put(record(t, session, i, i, time.Now()))
	}
	last := time.Time{}
	for range many {
		last = <-answered
	}
	f.table.mutex.Lock()
	asked = f.table.asked - asked
	f.table.mutex.Unlock()
	t.Logf("500 waiters and their clients: %.1f MiB on heap and stacks; this process %s; the last one knows %v after"+
		" the rows, after %d readings", taken, resident(t), last.Sub(since).Round(time.Millisecond), asked)
	assert.Less(t, taken, float64(most))
	assert.LessOrEqual(t, asked, 5*(1+int(last.Sub(since)/(200*time.Millisecond))), "they share their readings")
}
