package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func send(t *testing.T, one syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(os.Getpid(), one))
}

// comes waits for an end that a signal brings.
func comes(t *testing.T, end context.Context) {
	t.Helper()
	select {
	case <-end.Done():
	case <-time.After(time.Minute):
		require.Fail(t, "the signal was not heard")
	}
}

func TestTheFirstSignalAsksAndACtrlCAfterItHurries(t *testing.T) {
	// Tests that were started by nohup(1) ignore it.
	own := make(chan os.Signal, 1)
	signal.Notify(own, syscall.SIGHUP)
	defer signal.Stop(own)
	for _, one := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		heard := listen([]string{"generate"})
		require.NoError(t, heard.asked.Err())
		send(t, one)
		comes(t, heard.asked)
		require.NoError(t, heard.hurried.Err(), "%s", one)
		send(t, syscall.SIGINT)
		comes(t, heard.hurried)
		heard.release()
	}
}

// `local down` twice, kill(1) by hand after it, or a terminal that is closed, want one end.
func TestOtherSignalsAskOnce(t *testing.T) {
	all := []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE}
	for _, first := range append(all, syscall.SIGINT) {
		received := make(chan os.Signal) // who is sent the next one has heeded the last
		heard := heed(received, func(os.Signal) bool { return true })
		received <- first
		for _, one := range append(all, all...) {
			received <- one
		}
		require.Error(t, heard.asked.Err())
		require.NoError(t, heard.hurried.Err(), "%s", first)
		received <- syscall.SIGINT
		comes(t, heard.hurried)
		heard.release()
	}
}

// Who starts a command by nohup(1) wants it to outlive the terminal.
func TestASignalThatIsIgnoredStaysSo(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	heard := listen([]string{"generate"})
	defer heard.release()
	send(t, syscall.SIGHUP)
	send(t, syscall.SIGINT)
	comes(t, heard.asked)
	require.NoError(t, heard.hurried.Err(), "only one signal was heard")
}

func TestABrokenOutputIsNoticed(t *testing.T) {
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer writer.Close()
	assert.False(t, broken(writer.Fd()))
	require.NoError(t, reader.Close())
	assert.True(t, broken(os.Stdout.Fd(), writer.Fd()))
}
