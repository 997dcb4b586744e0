package lambdahost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// client is the SDK's, as the functions use it.
func client(h *Host, signing aws.Credentials) *lambda.Client {
	return lambda.New(lambda.Options{
		Region: region, BaseEndpoint: aws.String(h.Endpoint()), RetryMaxAttempts: 1,
		Credentials: credentials.StaticCredentialsProvider{Value: signing},
	})
}

func TestAPI_invokeByEveryFormOfTheName(t *testing.T) {
	h := start(t)
	add(t, h)
	for _, name := range []string{
		"specimen", "specimen:$LATEST", "000000000000:function:specimen", "function:specimen",
		"arn:aws:lambda:eu-central-1:000000000000:function:specimen",
		"arn:aws:lambda:eu-central-1:000000000000:function:specimen:$LATEST",
	} {
		t.Run(name, func(t *testing.T) {
			output, err := client(h, runCredentials).Invoke(t.Context(), &lambda.InvokeInput{
				FunctionName: &name, Payload: []byte(`{"do":"echo","value":[1]}`),
			})
			require.NoError(t, err)
			assert.Equal(t, `[1]`, string(output.Payload))
			assert.Equal(t, int32(200), output.StatusCode)
			assert.Equal(t, "$LATEST", *output.ExecutedVersion)
			assert.Nil(t, output.FunctionError)
		})
	}
}

func TestAPI_functionError(t *testing.T) {
	h := start(t)
	add(t, h)
	output, err := client(h, runCredentials).Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String("specimen"), Payload: []byte(`{"do":"fail","text":"no stock"}`),
	})
	require.NoError(t, err)
	assert.Equal(t, Unhandled, *output.FunctionError)
	assert.JSONEq(t, `{"errorMessage":"no stock","errorType":"errorString"}`, string(output.Payload))
	assert.Equal(t, int32(200), output.StatusCode)
}

func TestAPI_eventAndDryRun(t *testing.T) {
	h := start(t)
	add(t, h)
	url, arrived, open := gate(t)
	output, err := client(h, runCredentials).Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String("specimen"), InvocationType: types.InvocationTypeEvent,
		Payload: fmt.Appendf(nil, `{"do":"call","text":%q}`, url),
	})
	require.NoError(t, err)
	assert.Equal(t, int32(202), output.StatusCode)
	assert.Empty(t, output.Payload)
	<-arrived // it runs though nobody waits
	open()

	output, err = client(h, runCredentials).Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String("specimen"), InvocationType: types.InvocationTypeDryRun,
		Payload: []byte(`{"do":"exit","size":1}`),
	})
	require.NoError(t, err)
	assert.Equal(t, int32(204), output.StatusCode)
}

func TestAPI_refuses(t *testing.T) {
	h := start(t)
	add(t, h, func(f *Function) { f.Concurrency = 1 })
	url, arrived, open := gate(t)
	busy := make(chan error)
	go func() {
		_, err := h.Invoke(context.Background(), "specimen", fmt.Appendf(nil, `{"do":"call","text":%q}`, url))
		busy <- err
	}()
	<-arrived
	other := runCredentials
	other.SecretAccessKey = "another"
	stranger := runCredentials
	stranger.AccessKeyID = "AKIASTRANGER"
	cases := map[string]struct {
		input   lambda.InvokeInput
		signing aws.Credentials
		status  int
		code    string
	}{
		"unknown function": {lambda.InvokeInput{FunctionName: aws.String("nobody")}, runCredentials, 404,
			"ResourceNotFoundException"},
		"unknown version": {lambda.InvokeInput{FunctionName: aws.String("specimen"), Qualifier: aws.String("7")},
			runCredentials, 404, "ResourceNotFoundException"},
		"another account": {lambda.InvokeInput{
			FunctionName: aws.String("arn:aws:lambda:eu-central-1:111111111111:function:specimen"),
		}, runCredentials, 404, "ResourceNotFoundException"},
		"concurrency taken": {lambda.InvokeInput{FunctionName: aws.String("specimen")}, runCredentials, 429,
			"TooManyRequestsException"},
		"no JSON": {lambda.InvokeInput{FunctionName: aws.String("specimen"), Payload: []byte("{")},
			runCredentials, 400, "InvalidRequestContentException"},
		"unknown type": {lambda.InvokeInput{FunctionName: aws.String("specimen"), InvocationType: "Later"},
			runCredentials, 400, "InvalidParameterValueException"},
		"too large": {
			lambda.InvokeInput{FunctionName: aws.String("specimen"), Payload: bytes.Repeat([]byte("1"), MaxPayload+1)},
			runCredentials, 413,
			"RequestEntityTooLargeException",
		},
		"wrong secret": {lambda.InvokeInput{FunctionName: aws.String("specimen")}, other, 403,
			"InvalidSignatureException"},
		"unknown key": {lambda.InvokeInput{FunctionName: aws.String("specimen")}, stranger, 403,
			"UnrecognizedClientException"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := client(h, c.signing).Invoke(t.Context(), &c.input)
			var failed smithy.APIError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, c.code, failed.ErrorCode())
			assert.NotEmpty(t, failed.ErrorMessage())
			var response *smithyhttp.ResponseError
			require.ErrorAs(t, err, &response)
			assert.Equal(t, c.status, response.HTTPStatusCode())
		})
	}
	t.Run("typed errors", func(t *testing.T) {
		var missing *types.ResourceNotFoundException
		_, err := client(h, runCredentials).Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("nobody")})
		require.ErrorAs(t, err, &missing)
		assert.Contains(t, *missing.Message, "arn:aws:lambda:eu-central-1:000000000000:function:nobody")
		var throttled *types.TooManyRequestsException
		_, err = client(h, runCredentials).Invoke(t.Context(),
			&lambda.InvokeInput{FunctionName: aws.String("specimen")})
		require.ErrorAs(t, err, &throttled)
	})
	t.Run("another operation", func(t *testing.T) {
		_, err := client(h, runCredentials).GetFunction(t.Context(),
			&lambda.GetFunctionInput{FunctionName: aws.String("specimen")})
		require.ErrorContains(t, err, "only Invoke is")
	})
	open()
	require.NoError(t, <-busy)
}

// signed is a request as a client of a function URL sends it.
func signed(t testing.TB, method, url, contentType, body string, at time.Time) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	sum := sha256.Sum256([]byte(body))
	require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), runCredentials, request, hex.EncodeToString(sum[:]),
		"lambda", region, at))
	return request
}

func send(t testing.TB, request *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, errors.Join(err, response.Body.Close()))
	return response, string(body)
}

func addURL(t testing.TB, h *Host, auth AuthType) string {
	t.Helper()
	url, err := h.AddURL("specimen", auth)
	require.NoError(t, err)
	expected := `^http://127\.0\.0\.1:\d+/$`
	if auth == None {
		expected = `^http://127\.0\.0\.1:\d+/[A-Z2-7]{26}/$`
	}
	require.Regexp(t, expected, url)
	return url
}

func TestURL_requestOfPayloadFormat2(t *testing.T) {
	h := start(t)
	add(t, h)
	url := addURL(t, h, IAM)
	request := signed(t, http.MethodPost, url+"items/a%20b%2Fc?limit=5&tag=x&tag=y+z",
		"application/json; charset=utf-8", `{"ü":1}`, time.Now())
	request.URL.RawQuery = "tag=y+z&limit=5&tag=x" // the same to a signature, but not to the function
	request.Header.Set("Cookie", "a=1; b=2")
	request.Header.Add("X-Two", "1")
	request.Header.Add("X-Two", "2")
	request.Header.Set("User-Agent", "shop")
	response, body := send(t, request)
	require.Equal(t, http.StatusOK, response.StatusCode, body)
	assert.Equal(t, "application/json", response.Header.Get("Content-Type"))

	var e events.LambdaFunctionURLRequest
	require.NoError(t, json.Unmarshal([]byte(body), &e))
	assert.Equal(t, "2.0", e.Version)
	assert.Equal(t, "/items/a%20b%2Fc", e.RawPath)
	assert.Equal(t, "tag=y+z&limit=5&tag=x", e.RawQueryString)
	assert.Equal(t, map[string]string{"limit": "5", "tag": "y z,x"}, e.QueryStringParameters)
	assert.Equal(t, []string{"a=1", "b=2"}, e.Cookies)
	assert.Equal(t, "1,2", e.Headers["x-two"])
	assert.Equal(t, request.Host, e.Headers["host"])
	assert.NotContains(t, e.Headers, "cookie")
	assert.Equal(t, `{"ü":1}`, e.Body)
	assert.False(t, e.IsBase64Encoded)
	assert.Equal(t, events.LambdaFunctionURLRequestContextHTTPDescription{
		Method: "POST", Path: "/items/a%20b%2Fc", Protocol: "HTTP/1.1", SourceIP: "127.0.0.1", UserAgent: "shop",
	}, e.RequestContext.HTTP)
	assert.Equal(t, account, e.RequestContext.AccountID)
	assert.Equal(t, runCredentials.AccessKeyID, e.RequestContext.Authorizer.IAM.AccessKey)
	assert.InDelta(t, time.Now().UnixMilli(), e.RequestContext.TimeEpoch, 10_000)
}

func TestURL_bodies(t *testing.T) {
	h := start(t)
	add(t, h)
	url := addURL(t, h, None)
	for name, c := range map[string]struct {
		contentType, body, expected string
		base64                      bool
	}{
		"text":            {"text/plain", "hello", "hello", false},
		"JSON by suffix":  {"application/vnd.shop+json", "{}", "{}", false},
		"binary":          {"application/octet-stream", "\x00\x01", "AAE=", true},
		"form":            {"application/x-www-form-urlencoded", "a=1", "YT0x", true},
		"no type":         {"", "hello", "aGVsbG8=", true},
		"text that is no": {"text/plain", "\xff", "/w==", true},
		"empty":           {"text/plain", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(c.body))
			require.NoError(t, err)
			request.Header.Set("Content-Type", c.contentType)
			_, body := send(t, request)
			var e events.LambdaFunctionURLRequest
			require.NoError(t, json.Unmarshal([]byte(body), &e))
			assert.Equal(t, c.expected, e.Body)
			assert.Equal(t, c.base64, e.IsBase64Encoded)
			assert.Nil(t, e.RequestContext.Authorizer)
		})
	}
}

// Every user of this machine reaches the port; the path of a URL without authentication is its
// secret, and the function's own paths are what follows.
func TestURL_ofNoneAdmitsWhoKnowsIt(t *testing.T) {
	h := start(t)
	add(t, h)
	known := addURL(t, h, None)
	parsed, err := url.Parse(known)
	require.NoError(t, err)
	open := "http://" + parsed.Host
	get := func(address string) (*http.Response, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		require.NoError(t, err)
		return send(t, request)
	}
	other, err := url.Parse(addURL(t, h, None))
	require.NoError(t, err)
	for _, address := range []string{open + "/", open + "/a", open + other.Path, known[:len(known)-2] + "/"} {
		response, _ := get(address)
		assert.Equal(t, http.StatusForbidden, response.StatusCode, address)
	}
	response, body := get(known + "items/a%20b%2Fc?limit=5")
	require.Equal(t, http.StatusOK, response.StatusCode, body)
	var e events.LambdaFunctionURLRequest
	require.NoError(t, json.Unmarshal([]byte(body), &e))
	assert.Equal(t, "/items/a%20b%2Fc", e.RawPath)
	assert.Equal(t, "/items/a%20b%2Fc", e.RequestContext.HTTP.Path)
	assert.Equal(t, "limit=5", e.RawQueryString)
}

// A page in a browser reaches neither the API nor a URL, whatever it knows.
func TestPagesOfABrowserAreRefused(t *testing.T) {
	h := start(t)
	add(t, h)
	for name, address := range map[string]string{
		"Lambda API": h.Endpoint() + "/2015-03-31/functions/specimen/invocations", "IAM": addURL(t, h, IAM),
		"none": addURL(t, h, None),
	} {
		for header, value := range map[string]string{"Origin": "https://example.com", "Host": "example.com"} {
			request := signed(t, http.MethodPost, address, "application/json", "{}", time.Now())
			request.Header.Set(header, value)
			if header == "Host" {
				request.Host = value
			}
			response, body := send(t, request)
			assert.Equal(t, http.StatusForbidden, response.StatusCode, name)
			assert.Contains(t, body, "AccessDeniedException", name)
		}
		request := signed(t, http.MethodPost, address, "application/json", "{}", time.Now())
		response, _ := send(t, request)
		assert.Equal(t, http.StatusOK, response.StatusCode, "%s, without a page", name)
	}
}

// Who asks for a process's next invocation, or answers it, is that process.
func TestRuntimeAPIIsItsProcesssAlone(t *testing.T) {
	h := start(t)
	add(t, h)
	var variables []string
	require.NoError(t, json.Unmarshal(invoke(t, h, `{"do":"environment"}`).Payload, &variables))
	at := slices.IndexFunc(variables, func(v string) bool { return strings.HasPrefix(v, "AWS_LAMBDA_RUNTIME_API=") })
	require.GreaterOrEqual(t, at, 0)
	address, secret, found := strings.Cut(strings.TrimPrefix(variables[at], "AWS_LAMBDA_RUNTIME_API="), "/")
	require.True(t, found)
	for _, path := range []string{"", "/" + secret[1:], "/" + secret + "A", "/other"} {
		for _, what := range []string{"/2018-06-01/runtime/invocation/next", "/2018-06-01/runtime/init/error"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path+what, nil)
			require.NoError(t, err)
			response, _ := send(t, request)
			assert.Equal(t, http.StatusForbidden, response.StatusCode, path+what)
		}
	}
	process, _ := askSelf(t, h)
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.PID))
	if !errors.Is(err, fs.ErrNotExist) { // Linux alone has it
		require.NoError(t, err)
		assert.NotContains(t, string(arguments), secret, "every user sees the arguments")
	}
}

func TestURL_answers(t *testing.T) {
	h := start(t)
	add(t, h, func(f *Function) { f.Concurrency = 1 })
	url := addURL(t, h, None)
	get := func(query string) (*http.Response, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+query, nil)
		require.NoError(t, err)
		return send(t, request)
	}
	response, body := get("?answer=whole")
	assert.Equal(t, 201, response.StatusCode)
	assert.Equal(t, "héllo", body)
	assert.Equal(t, "text/plain", response.Header.Get("Content-Type"))
	assert.Equal(t, "yes", response.Header.Get("X-Own"))
	assert.Equal(t, []string{"a=1", "b=2"}, response.Header.Values("Set-Cookie"))

	for _, kind := range []string{"broken", "fail"} {
		response, body = get("?answer=" + kind)
		assert.Equal(t, 502, response.StatusCode)
		assert.JSONEq(t, `{"Message":"Internal Server Error"}`, body, "what went wrong stays in the log")
	}

	gateURL, arrived, open := gate(t)
	busy := make(chan error)
	go func() {
		_, err := h.Invoke(context.Background(), "specimen", fmt.Appendf(nil, `{"do":"call","text":%q}`, gateURL))
		busy <- err
	}()
	<-arrived
	response, _ = get("")
	assert.Equal(t, 429, response.StatusCode)
	open()
	require.NoError(t, <-busy)

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url,
		bytes.NewReader(make([]byte, MaxPayload+1)))
	require.NoError(t, err)
	response, _ = send(t, request)
	assert.Equal(t, 413, response.StatusCode)
}

func TestURL_signatures(t *testing.T) {
	h := start(t)
	add(t, h)
	url := addURL(t, h, IAM)
	sign := func(t *testing.T) *http.Request {
		return signed(t, http.MethodPost, url+"user_embeddings?limit=5", "application/json", `[{}]`, time.Now())
	}
	authorization := func(old, replacement string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, replacement, 1))
		}
	}
	wrong := errWrongSignature.message
	for name, c := range map[string]struct {
		change  func(*http.Request)
		status  int
		message string
	}{
		"as signed":               {func(*http.Request) {}, 200, ""},
		"another unsigned header": {func(r *http.Request) { r.Header.Set("X-Later", "1") }, 200, ""},
		"unsigned":                {func(r *http.Request) { r.Header.Del("Authorization") }, 403, "Forbidden"},
		"another body": {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`[[]]`)) }, 403,
			wrong},
		"another path":          {func(r *http.Request) { r.URL.Path = "/other" }, 403, wrong},
		"another query":         {func(r *http.Request) { r.URL.RawQuery = "limit=50" }, 403, wrong},
		"another method":        {func(r *http.Request) { r.Method = http.MethodPut }, 403, wrong},
		"another signed header": {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 403, wrong},
		"another token": {func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }, 403,
			errUnknownKey.message},
		"no token": {func(r *http.Request) { r.Header.Del("X-Amz-Security-Token") }, 403,
			errUnknownKey.message},
		"signature cut":   {authorization("Signature=", "Signature=0"), 403, wrong},
		"another key":     {authorization("AKIALOCAL", "AKIASTRANGER"), 403, errUnknownKey.message},
		"another service": {authorization("/lambda/", "/s3/"), 403, errScope.message},
		"another region":  {authorization("eu-central-1", "us-east-1"), 403, errScope.message},
		"another algorithm": {authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), 403,
			errIncomplete.message},
		"host not signed": {authorization(";host", ""), 403, errIncomplete.message},
		"no date":         {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, 403, errIncomplete.message},
		"nonsense": {func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 ,,=") },
			403, errIncomplete.message},
		"basic authentication":     {func(r *http.Request) { r.SetBasicAuth("a", "b") }, 403, errIncomplete.message},
		"no signature":             {authorization("Signature=", "S="), 403, errIncomplete.message},
		"credential without scope": {authorization("/lambda/aws4_request", ""), 403, errIncomplete.message},
	} {
		t.Run(name, func(t *testing.T) {
			request := sign(t)
			c.change(request)
			response, body := send(t, request)
			assert.Equal(t, c.status, response.StatusCode, body)
			if c.status == http.StatusForbidden {
				var refused map[string]string
				require.NoError(t, json.Unmarshal([]byte(body), &refused))
				assert.Equal(t, map[string]string{"Message": c.message}, refused)
			}
		})
	}
	for name, at := range map[string]time.Time{"old": time.Now().Add(-6 * time.Minute),
		"of the future": time.Now().Add(6 * time.Minute)} {
		t.Run(name, func(t *testing.T) {
			_, body := send(t, signed(t, http.MethodGet, url, "", "", at))
			assert.Contains(t, body, errExpired.message)
		})
	}
	t.Run("GET without a body", func(t *testing.T) {
		response, body := send(t, signed(t, http.MethodGet, url+"items_from_item?item_id=S10_1678&limit=5", "", "",
			time.Now()))
		assert.Equal(t, http.StatusOK, response.StatusCode, body)
	})
}

func TestAddURL_refuses(t *testing.T) {
	h := start(t)
	_, err := h.AddURL("nobody", IAM)
	require.ErrorIs(t, err, ErrNotFound)
	add(t, h)
	_, err = h.AddURL("specimen", "PUBLIC")
	require.ErrorContains(t, err, `authentication "PUBLIC"`)
	require.NoError(t, h.Stop(t.Context()))
	_, err = h.AddURL("specimen", IAM)
	require.ErrorIs(t, err, ErrStopped)
}

func FuzzVerify(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIALOCAL/20260101/eu-central-1/lambda/aws4_request, "+
		"SignedHeaders=host;x-amz-date, Signature=0", "20260101T000000Z", "/")
	f.Add("AWS4-HMAC-SHA256 Credential=////, SignedHeaders=;;, Signature=", "", "/%zz")
	f.Add("Basic x", "x", "/a?b=c")
	v := verifier{credentials: runCredentials, region: region}
	f.Fuzz(func(t *testing.T, authorization, date, target string) {
		request, err := http.NewRequest(http.MethodGet, "http://127.0.0.1/", nil)
		require.NoError(t, err)
		request.URL.Path = target
		request.Header["Authorization"], request.Header["X-Amz-Date"] = []string{authorization}, []string{date}
		if v.verify(request, nil) == nil {
			t.Fatal("a request that nobody signed was admitted")
		}
	})
}
