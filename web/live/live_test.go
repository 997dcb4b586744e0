package live

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/web/lifetime"
)

// silent tells nothing until the stream ends.
func silent(s *Stream) {
	for s.Err() == nil {
		_ = s.Wait(time.Hour, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	}
}

func open(s *Streams, ctx context.Context, tell func(*Stream)) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	s.Serve(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), tell)
	return recorder
}

func TestALineIsWrittenWhereNothingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(1, 50*time.Second)
		begun := time.Now()
		answer := open(s, t.Context(), func(s *Stream) {
			require.NoError(t, s.Send(map[string]string{"html": "<b>&"}))
			silent(s)
		})
		assert.Equal(t, "{\"html\":\"<b>&\"}\n{\"beat\":true}\n{\"beat\":true}\n{\"beat\":true}\n{\"end\":true}\n",
			answer.Body.String())
		assert.Equal(t, 50*time.Second, time.Since(begun))
		assert.Equal(t, "no-store", answer.Header().Get("Cache-Control"))
		assert.True(t, strings.HasPrefix(answer.Header().Get("Content-Type"), "application/x-ndjson"))
		assert.Zero(t, s.Open())
	})
}

func TestLinesThatAreToldTakeTheBeatsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(1, 61*time.Second)
		answer := open(s, t.Context(), func(s *Stream) {
			for s.Err() == nil {
				_ = s.Wait(2*time.Second, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
				if s.Err() == nil {
					require.NoError(t, s.Send(1))
				}
			}
		})
		assert.NotContains(t, answer.Body.String(), "beat")
		assert.Equal(t, 30, strings.Count(answer.Body.String(), "1\n"))
	})
}

func TestNoMoreAreOpenThanMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(3, time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				assert.NotContains(t, open(s, ctx, silent).Body.String(), "end", "who has left is told nothing")
			})
		}
		synctest.Wait()
		assert.Equal(t, 3, s.Open())
		refused := open(s, t.Context(), silent)
		assert.Equal(t, http.StatusServiceUnavailable, refused.Code)
		assert.Equal(t, "2", refused.Header().Get("Retry-After"))
		cancel()
		all.Wait()
		assert.Zero(t, s.Open())
	})
}

func TestADrainEndsAllAndRefusesOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(9, time.Hour)
		begun := time.Now()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				assert.True(t, strings.HasSuffix(open(s, t.Context(), silent).Body.String(), "{\"end\":true}\n"))
			})
		}
		synctest.Wait()
		s.Drain()
		all.Wait()
		assert.Zero(t, time.Since(begun))
		assert.Equal(t, http.StatusServiceUnavailable, open(s, t.Context(), silent).Code)
	})
}

// The server's own limits of time, for answers that end, do not end a stream; a client that takes
// nothing does not keep one for ever.
func TestAStreamOutlivesTheServersLimits(t *testing.T) {
	s := New(9, time.Minute)
	lines := make(chan string)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Serve(w, r, func(s *Stream) {
			for s.Err() == nil {
				select {
				case line := <-lines:
					_ = s.Send(line)
				case <-s.Done():
				}
			}
		})
	}))
	const limit = 100 * time.Millisecond
	server.Config.ReadTimeout, server.Config.WriteTimeout = limit, limit
	server.Start()
	defer server.Close()
	answer, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	defer answer.Body.Close()
	read := bufio.NewReader(answer.Body)
	begun := time.Now()
	for i := 0; time.Since(begun) < 4*limit; i++ {
		word := fmt.Sprint(i)
		lines <- word
		line, err := read.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "\""+word+"\"\n", line)
		time.Sleep(limit / 10)
	}
	s.Drain()
	rest, err := io.ReadAll(read)
	require.NoError(t, err)
	assert.Equal(t, "{\"end\":true}\n", string(rest))
}

func TestWhatWaitsSaysIsHanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(1, time.Hour)
		failure := errors.New("a failure")
		open(s, t.Context(), func(s *Stream) {
			require.NoError(t, s.Send(1))
			assert.NoError(t, s.Wait(time.Second, func(context.Context) error { return nil }))
			assert.ErrorIs(t, s.Wait(time.Second, func(context.Context) error { return failure }), failure)
			assert.ErrorIs(t, s.Wait(time.Second, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
				context.DeadlineExceeded)
		})
	})
}

// A server that is told to end ends its streams at once, and does not wait for them.
func TestAServerThatEndsKeepsNoStreams(t *testing.T) {
	s := New(9, time.Hour)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- lifetime.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Serve(w, r, silent) }),
			Drain:   s.Drain, Longest: 3 * time.Second, Logger: slog.New(slog.DiscardHandler),
		}.Serve(ctx, listener)
	}()
	answer, err := http.Get("http://" + listener.Addr().String())
	require.NoError(t, err)
	defer answer.Body.Close()
	begun := time.Now()
	end()
	rest, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	assert.Equal(t, "{\"end\":true}\n", string(rest))
	assert.Less(t, time.Since(begun), time.Second)
	require.NoError(t, <-ended)
	assert.Less(t, time.Since(begun), 2*time.Second, "it is quiet soon")
}
