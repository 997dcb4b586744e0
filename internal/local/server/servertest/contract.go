package servertest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/process"
	"diecast/internal/local/server"
)

// Engine is what every engine offers that is a process of its own.
type Engine interface {
	Stop(context.Context) error
	Exited() <-chan struct{}
	Err() error
	Port() int
	Address() string
	PID() int
	Dir() string
}

// Contract holds an engine to what whoever runs engines counts on. A folder is one that the
// engine's process can reach.
func Contract(t *testing.T, name string, folder func(testing.TB) string,
	start func(context.Context, server.Options) (Engine, error)) {
	Needed(t, name)
	begin := func(t *testing.T, options server.Options) Engine {
		ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
		defer cancel()
		engine, err := start(ctx, options)
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
			defer cancel()
			assert.NoError(t, engine.Stop(ctx))
		})
		return engine
	}
	t.Run("listens on the loopback address only, beside another", func(t *testing.T) {
		one, two := begin(t, server.Options{}), begin(t, server.Options{})
		assert.NotEqual(t, one.Port(), two.Port())
		for _, engine := range []Engine{one, two} {
			port := strconv.Itoa(engine.Port())
			assert.Equal(t, net.JoinHostPort(process.Loopback, port), engine.Address())
			assert.True(t, answers(engine.Address()))
			for _, other := range otherAddresses(t) {
				assert.False(t, answers(net.JoinHostPort(other, port)), other)
			}
		}
	})
	t.Run("a stop leaves nothing and is no failure", func(t *testing.T) {
		engine := begin(t, server.Options{})
		assert.NoError(t, engine.Err(), "it runs")
		require.NoError(t, engine.Stop(t.Context()))
		<-engine.Exited()
		assert.NoError(t, engine.Err())
		assert.ErrorIs(t, syscall.Kill(engine.PID(), 0), syscall.ESRCH)
		assert.False(t, answers(engine.Address()))
		assert.NoDirExists(t, engine.Dir())
		require.NoError(t, engine.Stop(t.Context()), "stopping twice does nothing")
	})
	t.Run("an end of its own has a reason", func(t *testing.T) {
		engine := begin(t, server.Options{})
		require.NoError(t, syscall.Kill(engine.PID(), syscall.SIGKILL))
		<-engine.Exited()
		require.ErrorContains(t, engine.Err(), "ended by itself: signal: killed")
		require.ErrorContains(t, engine.Err(), engine.Address())
		require.NoError(t, engine.Stop(t.Context()))
		require.Error(t, engine.Err(), "a stop that comes later does not take the reason away")
		assert.NoDirExists(t, engine.Dir())
	})
	t.Run("what an earlier one left running in its folder is ended", func(t *testing.T) {
		options := server.Options{Dir: filepath.Join(folder(t), "engine")}
		left := begin(t, options)
		fresh := begin(t, options)
		<-left.Exited()
		assert.NotEqual(t, left.PID(), fresh.PID())
		assert.True(t, answers(fresh.Address()))
	})
	t.Run("a fresh folder has nothing of an earlier one", func(t *testing.T) {
		options := server.Options{Dir: filepath.Join(folder(t), "engine"), Fresh: true}
		require.NoError(t, os.Mkdir(options.Dir, 0o755))
		mark := filepath.Join(options.Dir, "mark")
		require.NoError(t, os.WriteFile(mark, nil, 0o600))
		engine := begin(t, options)
		assert.NoFileExists(t, mark)
		require.NoError(t, engine.Stop(t.Context()))
		assert.DirExists(t, options.Dir, "a folder of the caller's is kept")
	})
	t.Run("a port that is taken is named", func(t *testing.T) {
		listener, err := net.Listen("tcp", net.JoinHostPort(process.Loopback, "0"))
		require.NoError(t, err)
		defer listener.Close()
		go func() { // a stranger that accepts and hangs up
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				_ = connection.Close()
			}
		}()
		_, err = start(t.Context(), server.Options{Port: listener.Addr().(*net.TCPAddr).Port})
		require.ErrorContains(t, err, listener.Addr().String())
		require.ErrorContains(t, err, "ddress already in use")
	})
	t.Run("a start ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := start(ctx, server.Options{})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func answers(address string) bool {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = connection.Close()
	return true
}

// otherAddresses are those of this machine that a server on the loopback address does not have.
func otherAddresses(t testing.TB) []string {
	others := []string{"127.0.0.2"} // which reaches what listens on every address
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, address := range addresses {
		if ip := address.(*net.IPNet).IP; ip.To4() != nil && !ip.IsLoopback() {
			others = append(others, ip.String())
		}
	}
	return others
}
