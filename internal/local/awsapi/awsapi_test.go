package awsapi_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/awsapi"
	"diecast/internal/local/installed"
	"diecast/internal/local/process"
)

// within bounds what a test waits for an engine.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// node serves an npm package of the test's own.
func node(t *testing.T, source string) func(awsapi.Options) (awsapi.Program, error) {
	modules := t.TempDir()
	folder := filepath.Join(modules, "sample")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "package.json"), []byte(`{"name":"sample","main":"index.js"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "index.js"), []byte(source), 0o600))
	t.Setenv("DIECAST_NODE_MODULES", modules)
	return func(awsapi.Options) (awsapi.Program, error) { return awsapi.Node("sample", map[string]any{"a": 1}) }
}

const sample = `module.exports = () => require('http').createServer((request, response) => response.end('served'))`

func start(t *testing.T, options awsapi.Options, source string) *awsapi.Server {
	server, err := awsapi.Start(within(t), options, node(t, source))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })
	return server
}

func TestServesOnTheLoopbackAddressOnly(t *testing.T) {
	server := start(t, awsapi.Options{}, sample)
	response, err := http.Get(server.Endpoint())
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "http://127.0.0.1:"+strconv.Itoa(server.Port()), server.Endpoint())

	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	others := []string{"127.0.0.2"} // which reaches what listens on every address
	for _, address := range addresses {
		if ip := address.(*net.IPNet).IP; ip.To4() != nil && !ip.IsLoopback() {
			others = append(others, ip.String())
		}
	}
	for _, other := range others {
		_, err := net.DialTimeout("tcp", net.JoinHostPort(other, strconv.Itoa(server.Port())), time.Second)
		assert.Error(t, err, other)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	server := start(t, awsapi.Options{}, sample)
	require.NoError(t, server.Stop(within(t)))
	require.NoError(t, server.Stop(within(t)), "twice")
	_, err := net.DialTimeout("tcp", net.JoinHostPort(process.Loopback, strconv.Itoa(server.Port())), time.Second)
	assert.Error(t, err)
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAFolderOfTheCallersKeepsTheLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "engine")
	server := start(t, awsapi.Options{Dir: dir}, `console.log('hello'); `+sample)
	require.NoError(t, server.Stop(within(t)))
	log, err := os.ReadFile(server.LogFile())
	require.NoError(t, err)
	assert.Contains(t, string(log), "hello")
}

func TestWhatAKilledParentLeftInAFolderIsEnded(t *testing.T) {
	leftDir, dir := t.TempDir(), t.TempDir()
	left := start(t, awsapi.Options{Dir: leftDir}, sample)
	identity, err := os.ReadFile(filepath.Join(leftDir, "sample.pid"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sample.pid"), identity, 0o600))

	fresh := start(t, awsapi.Options{Dir: dir}, sample)
	<-left.Exited()
	assert.NotEqual(t, left.PID(), fresh.PID())
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	_, err = awsapi.Start(within(t), awsapi.Options{Port: port}, node(t, sample))
	require.ErrorContains(t, err, "start sample on 127.0.0.1:"+strconv.Itoa(port))
	require.ErrorContains(t, err, "EADDRINUSE")
}

func TestTheReasonOfAFailedStartIsTold(t *testing.T) {
	_, err := awsapi.Start(within(t), awsapi.Options{}, node(t, `throw new Error('no luck')`))
	require.ErrorContains(t, err, "no luck")
}

func TestAStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := awsapi.Start(ctx, awsapi.Options{}, node(t, `module.exports = () => ({ listen() { setInterval(() => {}, 1000) } })`))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestAClientThatHangsUpDoesNotEndTheServer(t *testing.T) {
	server := start(t, awsapi.Options{}, `module.exports = () => require('http').createServer((request, response) => {
  request.on('error', (error) => { throw error })
  request.on('data', () => {})
  request.on('end', () => response.end('served'))
})`)
	connection, err := net.Dial("tcp", net.JoinHostPort(process.Loopback, strconv.Itoa(server.Port())))
	require.NoError(t, err)
	_, err = connection.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"))
	require.NoError(t, err)
	require.NoError(t, connection.(*net.TCPConn).SetLinger(0))
	require.NoError(t, connection.Close())
	for range 3 {
		response, err := http.Post(server.Endpoint(), "text/plain", nil)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
}

func TestMissingPartsAreNamedWithTheRemedy(t *testing.T) {
	t.Run("npm package", func(t *testing.T) {
		t.Setenv("DIECAST_NODE_MODULES", t.TempDir())
		_, err := awsapi.Node("kinesalite", nil)
		require.ErrorIs(t, err, installed.ErrNotInstalled)
		assert.ErrorContains(t, err, "kinesalite")
		assert.ErrorContains(t, err, "make setup")
		assert.NotContains(t, err.Error(), "\n")
	})
	t.Run("Node.js", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := awsapi.Node("kinesalite", nil)
		assert.ErrorContains(t, err, "no Node.js")
	})
	t.Run("Python", func(t *testing.T) {
		t.Setenv("DIECAST_PYTHON", "")
		t.Setenv("DIECAST_CACHE", t.TempDir())
		_, err := installed.Python()
		require.ErrorIs(t, err, installed.ErrNotInstalled)
		assert.ErrorContains(t, err, "Python")
	})
	t.Run("no module above", func(t *testing.T) {
		t.Setenv("DIECAST_NODE_MODULES", "")
		t.Chdir(t.TempDir())
		_, err := awsapi.Node("kinesalite", nil)
		assert.ErrorContains(t, err, "DIECAST_NODE_MODULES")
	})
}
