package lambdahost

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The Runtime API's rules that aws-lambda-go never breaks, seen from a runtime that does.
func TestRuntimeAPI(t *testing.T) {
	h := &Host{options: Options{Account: account, Region: region}}
	f := newFunction(h, Function{Name: "specimen", Timeout: time.Minute, Concurrency: 1})
	i := &instance{function: f, work: make(chan *invocation), ready: make(chan struct{})}
	server := httptest.NewServer(i.routes())
	defer server.Close()
	call := func(method, path, body string, headers ...string) (*http.Response, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/2018-06-01/runtime/"+path,
			strings.NewReader(body))
		require.NoError(t, err)
		for n := 0; n < len(headers); n += 2 {
			request.Header.Set(headers[n], headers[n+1])
		}
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response, string(answer)
	}
	give := func(id string) *invocation {
		v := &invocation{id: id, payload: []byte(`{"n":1}`), trace: "Root=1", completed: make(chan outcome, 1)}
		go func() { i.work <- v }()
		return v
	}

	response, body := call("POST", "init/error", `{"errorMessage":"early","errorType":"E"}`)
	require.Equal(t, 202, response.StatusCode)
	assert.JSONEq(t, `{"status":"OK"}`, body)
	assert.JSONEq(t, `{"errorMessage":"early","errorType":"E"}`, string(i.initFail.payload))

	first := give("one")
	response, body = call("GET", "invocation/next", "")
	require.Equal(t, 200, response.StatusCode)
	assert.Equal(t, `{"n":1}`, body)
	assert.Equal(t, "one", response.Header.Get("Lambda-Runtime-Aws-Request-Id"))
	assert.Equal(t, f.arn, response.Header.Get("Lambda-Runtime-Invoked-Function-Arn"))
	assert.Equal(t, "Root=1", response.Header.Get("Lambda-Runtime-Trace-Id"))
	assert.Regexp(t, `^\d{13}$`, response.Header.Get("Lambda-Runtime-Deadline-Ms"))

	response, body = call("GET", "invocation/next", "")
	assert.Equal(t, 403, response.StatusCode, "the first has no answer yet")
	assert.Contains(t, body, "InvalidStateTransition")
	response, _ = call("POST", "init/error", `{}`)
	assert.Equal(t, 403, response.StatusCode, "the initialisation is over")
	for _, path := range []string{"invocation/two/response", "invocation/two/error"} {
		response, body = call("POST", path, `{}`)
		assert.Equal(t, 400, response.StatusCode)
		assert.Contains(t, body, "InvalidRequestID")
	}
	response, _ = call("POST", "invocation/one/response", `{"ok":true}`)
	assert.Equal(t, 202, response.StatusCode)
	response, _ = call("POST", "invocation/one/response", `{"ok":false}`)
	assert.Equal(t, 400, response.StatusCode, "one answer is enough")
	assert.Empty(t, first.completed, "an invocation is complete when the next one is asked for")

	second := give("two")
	response, _ = call("GET", "invocation/next", "")
	assert.Equal(t, "two", response.Header.Get("Lambda-Runtime-Aws-Request-Id"))
	assert.Equal(t, outcome{payload: []byte(`{"ok":true}`)}, <-first.completed)

	response, _ = call("POST", "invocation/two/error", "no JSON \xff", "Lambda-Runtime-Function-Error-Type", "Own.Kind")
	assert.Equal(t, 202, response.StatusCode)
	third := give("three")
	call("GET", "invocation/next", "")
	failed := <-second.completed
	assert.Equal(t, Unhandled, failed.functionError)
	assert.JSONEq(t, `{"errorType":"Own.Kind","errorMessage":"no JSON `+"\uFFFD"+`"}`, string(failed.payload))

	response, body = call("POST", "invocation/three/response", strings.Repeat("x", MaxPayload+1))
	assert.Equal(t, 413, response.StatusCode)
	assert.Contains(t, body, "Function.ResponseSizeTooLarge")
	last := give("four")
	call("GET", "invocation/next", "")
	assert.Contains(t, string((<-third.completed).payload), fmt.Sprintf("(%d bytes)", MaxPayload))
	assert.Empty(t, last.completed)
}

// An answer that ends in the middle is none, however whole what came of it looks; the process may
// answer again, and its time runs on.
func TestAnAnswerThatWasCutIsNoAnswer(t *testing.T) {
	h := &Host{options: Options{Account: account, Region: region}}
	f := newFunction(h, Function{Name: "specimen", Timeout: time.Minute, Concurrency: 1})
	i := &instance{function: f, work: make(chan *invocation), ready: make(chan struct{})}
	server := httptest.NewServer(i.routes())
	defer server.Close()
	const whole = `{"batchItemFailures":[]}`
	for name, test := range map[string]struct{ path, header, body string }{
		"by its length":  {"response", "Content-Length: 100", whole},
		"between chunks": {"response", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", len(whole), whole)},
		"an error":       {"error", "Content-Length: 100", `{"errorMessage":"m"}`},
	} {
		i.current = &invocation{id: "one", completed: make(chan outcome, 1)}
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		_, err = fmt.Fprintf(connection, "POST /2018-06-01/runtime/invocation/one/%s HTTP/1.1\r\n"+
			"Host: %s\r\n%s\r\n\r\n%s", test.path, server.Listener.Addr(), test.header, test.body)
		require.NoError(t, err)
		require.NoError(t, connection.(*net.TCPConn).CloseWrite())
		answer, err := io.ReadAll(connection)
		require.NoError(t, err)
		require.NoError(t, connection.Close())
		assert.Contains(t, string(answer), "400 Bad Request", name)
		assert.Nil(t, i.answer, name)
	}
}
