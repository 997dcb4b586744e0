package servertest

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// AdmitsTheRunAlone holds a server of an AWS API to who may enter: who signs with the access key of
// its run, in a header or beforehand in the query, and no page in a browser. It asks for an action,
// which X-Amz-Target names, with an empty request; nothing for none.
func AdmitsTheRunAlone(t *testing.T, configuration aws.Config, target string) {
	t.Helper()
	key, err := configuration.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	address := *configuration.BaseEndpoint
	port := address[strings.LastIndex(address, ":"):]
	scope := func(id string) string { return id + "/20260101/" + configuration.Region + "/service/aws4_request" }
	header := func(id string) map[string]string {
		return map[string]string{
			"Authorization": "AWS4-HMAC-SHA256 Credential=" + scope(id) + ", SignedHeaders=host, Signature=0",
		}
	}
	with := func(name, value string) map[string]string {
		headers := header(key.AccessKeyID)
		headers[name] = value
		return headers
	}
	ask := func(path string, headers map[string]string) (refused bool, body string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+path,
			strings.NewReader("{}"))
		require.NoError(t, err)
		for name, value := range headers {
			request.Header.Set(name, value)
		}
		request.Header.Set("Content-Type", "application/x-amz-json-1.1")
		if target != "" {
			request.Header.Set("X-Amz-Target", target)
		}
		request.Host = headers["Host"]
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		for _, said := range []string{"AccessDenied", "MissingAuthentication", "InvalidAccessKeyId",
			"UnrecognizedClient", "InvalidClientTokenId"} {
			refused = refused || strings.Contains(string(text), said)
		}
		if refused {
			assert.Contains(t, []int{http.StatusBadRequest, http.StatusForbidden}, response.StatusCode)
		}
		return refused, string(text)
	}
	query := func(id string) string {
		return "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&" +
			"X-Amz-Signature=0&X-Amz-Credential=" + strings.ReplaceAll(scope(id), "/", "%2F")
	}
	for name, stranger := range map[string]struct {
		path    string
		headers map[string]string
	}{
		"nobody": {}, "an empty key": {headers: header("")}, "another key": {headers: header("AKIADIECASTLOCALRUN0")},
		"a part of the key":        {headers: header(key.AccessKeyID[:19])},
		"more than the key":        {headers: header(key.AccessKeyID + "A")},
		"another key in the query": {path: query("AKIADIECASTLOCALRUN0")},
		"a wrong header beside":    {path: query(key.AccessKeyID), headers: header("AKIADIECASTLOCALRUN0")},
		"a page":                   {headers: with("Origin", "https://example.com")},
		"a page of this machine":   {headers: with("Origin", address)},
		"a page of no origin":      {headers: with("Origin", "null")},
		"another name":             {headers: with("Host", "example.com"+port)},
		"another name's port":      {headers: with("Host", "127.0.0.1:1")},
	} {
		refused, body := ask(stranger.path, stranger.headers)
		assert.True(t, refused, "%s: %s", name, body)
		assert.NotContains(t, body, key.AccessKeyID, name)
	}
	for name, own := range map[string]struct {
		path    string
		headers map[string]string
	}{
		"the header": {headers: header(key.AccessKeyID)}, "the query": {path: query(key.AccessKeyID)},
		"the name localhost": {headers: with("Host", "localhost"+port)},
	} {
		refused, body := ask(own.path, own.headers)
		assert.False(t, refused, "%s: %s", name, body)
	}
}
