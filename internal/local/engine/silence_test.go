package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mute is a server that may stop answering.
type mute struct {
	exited chan struct{}
	answer atomic.Pointer[func(context.Context) error]
}

func (m *mute) Exited() <-chan struct{} { return m.exited }

func (m *mute) Err() error { return nil }

func (m *mute) Answers(ctx context.Context) error { return (*m.answer.Load())(ctx) }

func (m *mute) does(answer func(context.Context) error) { m.answer.Store(&answer) }

func silent(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func fine(context.Context) error { return nil }

// muted is a run with one such server, and what is told of it.
func muted(t *testing.T) (*Running, *mute, *[]string) {
	t.Helper()
	running, err := Start(t.Context(), nil, Options{Dir: t.TempDir()})
	require.NoError(t, err)
	server, lines := &mute{exited: make(chan struct{})}, &[]string{}
	server.does(fine)
	running.OnSilence(func(line string) { *lines = append(*lines, line) })
	running.Watch("kinesalite", "its.log", server)
	return running, server, lines
}

func TestSilence_isToldOnceAndItsEnd(t *testing.T) {
	for name, answer := range map[string]func(context.Context) error{
		"hangs":       silent,
		"listens not": func(context.Context) error { return syscall.ECONNREFUSED },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				running, server, lines := muted(t)
				defer synctest.Wait()
				defer close(server.exited)
				time.Sleep(time.Hour)
				synctest.Wait()
				require.Empty(t, *lines)
				server.does(answer)
				time.Sleep(missesTold * (askEvery + answerWithin))
				synctest.Wait()
				told := []string{"the engine kinesalite does not answer, see its.log; what was asked of it is " +
					"waited for"}
				require.Equal(t, told, *lines)
				time.Sleep(time.Minute)
				server.does(fine)
				time.Sleep(askEvery + answerWithin)
				synctest.Wait()
				require.Equal(t, append(told, "the engine kinesalite answers again"), *lines)
				require.NoError(t, running.Err())
			})
		})
	}
}

func TestSilence_thatDoesNotEndEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, server, _ := muted(t)
		server.does(silent)
		begun := time.Now()
		<-running.Exited()
		require.ErrorIs(t, running.Err(), errSilent)
		require.ErrorContains(t, running.Err(), "the engine kinesalite has ended, see its.log")
		assert.WithinDuration(t, begun.Add(2*time.Minute), time.Now(), 10*time.Second)
		close(server.exited)
		synctest.Wait()
	})
}

// A refusal is an answer, and one question alone may meet a suspended run.
func TestSilence_isNotAnAnswerThatFailsNorOneMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, server, lines := muted(t)
		asked := 0
		server.does(func(ctx context.Context) error {
			if asked++; asked%2 == 0 {
				return silent(ctx)
			}
			return errors.New("too many clients")
		})
		time.Sleep(time.Hour)
		close(server.exited)
		synctest.Wait()
		assert.Empty(t, *lines)
		require.NoError(t, running.Err())
	})
}
