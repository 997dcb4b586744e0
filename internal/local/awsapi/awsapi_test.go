package awsapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/awsapi"
	"diecast/internal/local/installed"
	"diecast/internal/local/process"
	"diecast/internal/local/server"
	"diecast/internal/local/server/servertest"
)

// within bounds what a test waits for an engine.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// node serves an npm package of the test's own.
func node(t *testing.T, source string) func(awsapi.Options) (awsapi.Program, error) {
	servertest.Needed(t, "Node.js")
	modules := t.TempDir()
	folder := filepath.Join(modules, "sample")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "package.json"),
		[]byte(`{"name":"sample","main":"index.js"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "index.js"), []byte(source), 0o600))
	t.Setenv("DIECAST_NODE_MODULES", modules)
	return func(awsapi.Options) (awsapi.Program, error) {
		return awsapi.Node("sample", awsapi.Package{
			Prelude: "globalThis.said = 'by the prelude, '\n", Settings: map[string]any{"text": "by the settings"},
		})
	}
}

const sample = `module.exports = (settings) => require('http').createServer((request, ` +
	`response) => response.end(said + settings.text))`

func start(t *testing.T, options awsapi.Options, source string) *awsapi.Server {
	server, err := awsapi.Start(within(t), options, node(t, source))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })
	return server
}

// get asks the server in the name of its run.
func get(t *testing.T, server *awsapi.Server) (*http.Response, error) {
	t.Helper()
	return send(t, server, http.MethodGet, "", "")
}

func send(t *testing.T, server *awsapi.Server, method, path, body string) (*http.Response, error) {
	t.Helper()
	key, err := server.Config().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), method, server.Endpoint()+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key.AccessKeyID+"/20260101")
	return http.DefaultClient.Do(request)
}

func TestServerAdmitsTheRunAlone(t *testing.T) {
	one, two := start(t, awsapi.Options{}, sample), start(t, awsapi.Options{}, sample)
	servertest.AdmitsTheRunAlone(t, one.Config(), "Service.Action")
	ours, err := one.Config().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	theirs, err := two.Config().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	assert.NotEqual(t, ours, theirs, "no key is another server's by default")
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", one.PID()))
	if !errors.Is(err, fs.ErrNotExist) { // Linux alone has it
		require.NoError(t, err)
		assert.NotContains(t, string(arguments), ours.AccessKeyID, "every user sees the arguments")
	}
}

func TestAnNPMPackageIsServedWithItsSettings(t *testing.T) {
	server := start(t, awsapi.Options{}, sample)
	response, err := get(t, server)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "by the prelude, by the settings", string(body))
	assert.Equal(t, "http://"+server.Address(), server.Endpoint())
}

// A program that knew the user's home would read there what the user has told the AWS SDKs.
func TestTheProgramSeesNothingOfTheCallers(t *testing.T) {
	for _, name := range []string{"AWS_PROFILE", "NODE_OPTIONS", "PYTHONPATH", "HTTP_PROXY", "LEAKED"} {
		t.Setenv(name, "--of-the-caller")
	}
	server := start(t, awsapi.Options{}, `module.exports = () => require('http').createServer((request, response) =>
  response.end(JSON.stringify([require('os').homedir(), require('os').tmpdir(), ...Object.keys(process.env).sort()])))`)
	response, err := get(t, server)
	require.NoError(t, err)
	var seen []string
	require.NoError(t, json.NewDecoder(response.Body).Decode(&seen))
	require.NoError(t, response.Body.Close())
	assert.Equal(t, []string{server.Dir(), server.Dir(), "DIECAST_MEMORY_LIMIT", process.MarkVariable, "HOME", "LANG",
		"PATH", "TMPDIR", "TZ"}, seen)
}

func TestServerKeepsTheContractOfAnEngine(t *testing.T) {
	program := node(t, sample)
	folder := func(t testing.TB) string { return t.TempDir() }
	servertest.Contract(t, "Node.js", folder, func(ctx context.Context, options server.Options) (servertest.Engine,
		error) {
		return awsapi.Start(ctx, awsapi.Options{Dir: options.Dir, Fresh: options.Fresh, Port: options.Port}, program)
	})
}

func TestConfigPointsClientsAtTheServer(t *testing.T) {
	byDefault := start(t, awsapi.Options{}, sample)
	assert.Equal(t, awsapi.DefaultRegion, byDefault.Config().Region)
	assert.Equal(t, byDefault.Endpoint(), *byDefault.Config().BaseEndpoint)
	_, err := byDefault.Config().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "eu-west-1", start(t, awsapi.Options{Region: "eu-west-1"}, sample).Config().Region)
}

func TestTheProgramIsToldAccountAndRegion(t *testing.T) {
	for _, expected := range []awsapi.Options{
		{Account: awsapi.DefaultAccount, Region: awsapi.DefaultRegion}, {Account: "111122223333", Region: "eu-west-1"},
	} {
		asked := expected
		if expected.Account == awsapi.DefaultAccount {
			asked = awsapi.Options{}
		}
		_, err := awsapi.Start(t.Context(), asked, func(options awsapi.Options) (awsapi.Program, error) {
			assert.Equal(t, expected.Account, options.Account)
			assert.Equal(t, expected.Region, options.Region)
			return awsapi.Program{}, assert.AnError
		})
		require.ErrorIs(t, err, assert.AnError)
	}
}

func TestAClientThatHangsUpDoesNotEndTheServer(t *testing.T) {
	server := start(t, awsapi.Options{}, `module.exports = () => require('http').createServer((request, response) => {
  request.on('error', (error) => { throw error })
  request.on('data', () => {})
  request.on('end', () => response.end('served'))
})`)
	connection, err := net.Dial("tcp", server.Address())
	require.NoError(t, err)
	_, err = connection.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"))
	require.NoError(t, err)
	require.NoError(t, connection.(*net.TCPConn).SetLinger(0))
	require.NoError(t, connection.Close())
	for range 3 {
		response, err := get(t, server)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
}

// An error that the program does not catch is one request's, wherever it is thrown.
func TestWhatTheProgramThrowsIsOneRequests(t *testing.T) {
	const fail = `throw new Error('no luck')`
	for name, handle := range map[string]string{
		"at once":                       fail,
		"on data":                       `request.on('data', () => { ` + fail + ` })`,
		"at the request's end":          `request.on('data', () => {}); request.on('end', () => { ` + fail + ` })`,
		"by a timer":                    `setTimeout(() => { ` + fail + ` }, 1)`,
		"in the next turn":              `setImmediate(() => process.nextTick(() => { ` + fail + ` }))`,
		"by a promise":                  `Promise.resolve().then(() => { ` + fail + ` })`,
		"with half of the answer given": `response.write('half'); setTimeout(() => { ` + fail + ` }, 1)`,
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, awsapi.Options{}, `let other
module.exports = () => require('http').createServer((request, response) => {
  if (request.url === '/slow') { other = response; return response.writeHead(200).write('begun, ') }
  if (request.url === '/end') { other.end('ended'); return response.end() }
  `+handle+`
})`)
			slow, err := send(t, server, http.MethodGet, "/slow", "")
			require.NoError(t, err)
			response, err := send(t, server, http.MethodPost, "", "text")
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, response.Body.Close())
			if response.StatusCode == http.StatusOK {
				require.Error(t, err, "what is cut off is no whole answer")
			} else {
				assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
				assert.JSONEq(t, `{"__type":"InternalFailure","message":"Error: no luck"}`, string(body))
			}
			response, err = send(t, server, http.MethodGet, "/end", "")
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			body, err = io.ReadAll(slow.Body)
			require.NoError(t, err)
			require.NoError(t, slow.Body.Close())
			assert.Equal(t, "begun, ended", string(body), "another request under way")
			log, err := os.ReadFile(server.LogFile())
			require.NoError(t, err)
			assert.Contains(t, string(log), "no luck")
		})
	}
}

func TestWhatNoRequestLedToEndsTheProgram(t *testing.T) {
	server := start(t, awsapi.Options{},
		`module.exports = () => require('http').createServer().on('listening', () => setTimeout(() => {
  throw new Error('no luck')
}, 100))`)
	<-server.Exited()
	require.ErrorContains(t, server.Err(), "exit status 1")
	require.ErrorContains(t, server.Err(), "no luck")
}

func TestMissingPartsAreNamed(t *testing.T) {
	t.Setenv("DIECAST_NODE_MODULES", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := awsapi.Node("sample", awsapi.Package{})
	require.ErrorIs(t, err, installed.ErrNotInstalled)
	err = awsapi.NodeInstalled("sample", "")
	require.ErrorIs(t, err, installed.ErrNotInstalled)
	require.ErrorContains(t, err, "Node.js is not installed")
	require.ErrorContains(t, err, "the npm package sample is not installed")
}
