package main

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func send(t *testing.T, one syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(os.Getpid(), one))
}

func TestTheFirstSignalAsksAndTheSecondHurries(t *testing.T) {
	for _, one := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		heard := listen([]string{"generate"})
		require.NoError(t, heard.asked.Err())
		send(t, one)
		<-heard.asked.Done()
		require.NoError(t, heard.hurried.Err(), "%s", one)
		send(t, one)
		<-heard.hurried.Done()
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
	<-heard.asked.Done()
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
