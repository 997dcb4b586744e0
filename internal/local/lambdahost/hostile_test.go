package lambdahost

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/hostiletest"
)

func TestNoRequestEndsTheHost(t *testing.T) {
	h := start(t)
	add(t, h)
	const body = `{"do":"echo","value":[1]}`
	holds := func() {
		output, err := client(h, runCredentials).Invoke(t.Context(), &lambda.InvokeInput{
			FunctionName: aws.String("specimen"), Payload: []byte(body),
		})
		require.NoError(t, err)
		assert.Equal(t, `[1]`, string(output.Payload))
	}
	invoke := hostiletest.Sample{Name: "Invoke", Path: "/2015-03-31/functions/specimen/invocations", Body: body,
		Headers: map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=" + runCredentials.AccessKeyID +
			"/20260101/" + region + "/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=a",
			"X-Amz-Date": "20260101T000000Z"}}
	statuses := hostiletest.Fuzz(t, strings.TrimPrefix(h.Endpoint(), "http://"),
		hostiletest.Requests(1, 800, []hostiletest.Sample{invoke}), holds)
	assert.Zero(t, statuses[http.StatusInternalServerError])

	address, secret, _ := strings.Cut(strings.TrimPrefix(addURL(t, h, None), "http://"), "/")
	request := hostiletest.Sample{Name: "function URL", Path: "/" + secret + "a?b=c", Body: body,
		Headers: map[string]string{"Content-Type": "application/json"}}
	statuses = hostiletest.Fuzz(t, address, hostiletest.Requests(2, 800, []hostiletest.Sample{request}), holds)
	assert.Zero(t, statuses[http.StatusInternalServerError])
}

func TestNoRequestEndsTheRuntimeAPI(t *testing.T) {
	h := &Host{options: Options{Account: account, Region: region}}
	f := newFunction(h, Function{Name: "specimen", Timeout: time.Minute, Concurrency: 1})
	i := &instance{function: f, work: make(chan *invocation), ready: make(chan struct{})}
	server := httptest.NewServer(i.routes())
	defer server.Close()
	const path = "/2018-06-01/runtime/"
	ask := func(method, rest, body string) string {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path+rest, strings.NewReader(body))
		require.NoError(t, err)
		response, answer := send(t, request)
		require.Less(t, response.StatusCode, 300, "%s %s: %s", method, rest, answer)
		return answer
	}
	holds := func() {
		v := &invocation{id: "held", payload: []byte(`[1]`), completed: make(chan outcome, 1)}
		go func() { i.work <- v }()
		assert.Equal(t, `[1]`, ask(http.MethodGet, "invocation/next", ""))
		ask(http.MethodPost, "invocation/held/response", `[2]`)
		assert.Empty(t, v.completed)
	}
	samples := []hostiletest.Sample{
		{Name: "response", Path: path + "invocation/a/response", Body: `{"a":[1]}`},
		{Name: "error", Path: path + "invocation/a/error", Body: `{"errorMessage":"a","stackTrace":[]}`},
		{Name: "init error", Path: path + "init/error", Body: `{"errorMessage":"a"}`},
	}
	statuses := hostiletest.Fuzz(t, server.Listener.Addr().String(), hostiletest.Requests(1, 500, samples), holds)
	assert.Zero(t, statuses[http.StatusInternalServerError])
}
