package admission

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// served tells the path that it was asked for.
func served(t *testing.T, guard func(http.Handler) http.Handler) *httptest.Server {
	server := httptest.NewServer(guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "in "+r.URL.EscapedPath())
	})))
	t.Cleanup(server.Close)
	return server
}

// ask sends a request with these headers; a header Host is its host.
func ask(t *testing.T, address string, headers map[string]string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	request.Host = headers["Host"]
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func TestCredentialsAreRandomAndInAWSsForm(t *testing.T) {
	one, two := NewCredentials(), NewCredentials()
	assert.Regexp(t, `^AKIA[A-Z2-7]{16}$`, one.AccessKeyID)
	assert.Len(t, one.SecretAccessKey, 40)
	assert.NotEqual(t, one.AccessKeyID, two.AccessKeyID)
	assert.NotEqual(t, one.SecretAccessKey, two.SecretAccessKey)
	assert.NotEqual(t, NewSecret(), NewSecret())
	assert.True(t, Same("x", "x"))
	assert.False(t, Same("x", "y"))
	assert.False(t, Same("", ""), "nothing is no secret")
}

func TestPagesOfOthersAreRefused(t *testing.T) {
	server := served(t, NoStrangers)
	host := strings.TrimPrefix(server.URL, "http://")
	port := host[strings.LastIndex(host, ":"):]
	for name, headers := range map[string]map[string]string{
		"another origin": {"Origin": "https://example.com"}, "an origin on this machine": {"Origin": server.URL},
		"no origin that is told": {"Origin": "null"}, "an empty origin": {"Origin": ""},
		"another name":            {"Host": "example.com" + port},
		"another name with ours":  {"Host": "127.0.0.1.example.com" + port},
		"another port":            {"Host": "127.0.0.1:1"},
		"no port":                 {"Host": "127.0.0.1"},
		"another address of ours": {"Host": "127.0.0.2" + port},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := ask(t, server.URL, headers)
			assert.Equal(t, http.StatusForbidden, status)
			assert.Contains(t, body, "AccessDenied")
			assert.NotContains(t, body, "in /")
		})
	}
	for _, own := range []string{host, "localhost" + port} {
		status, body := ask(t, server.URL, map[string]string{"Host": own})
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "in /", body)
	}
}

func TestWhoKnowsTheAccessKeyEnters(t *testing.T) {
	key := NewCredentials()
	server := served(t, func(next http.Handler) http.Handler { return Signed(key.AccessKeyID, next) })
	scope := key.AccessKeyID + "/20260101/us-east-1/glue/aws4_request"
	sign := func(credential string) string {
		return "AWS4-HMAC-SHA256 Credential=" + credential + ", SignedHeaders=host, Signature=x"
	}
	for name, allowed := range map[string]struct{ query, header string }{
		"the header": {header: sign(scope)},
		"the query":  {query: "/?X-Amz-Credential=" + strings.ReplaceAll(scope, "/", "%2F")},
	} {
		status, _ := ask(t, server.URL+allowed.query, map[string]string{"Authorization": allowed.header})
		assert.Equal(t, http.StatusOK, status, name)
	}
	for name, refused := range map[string]struct{ header, code, target string }{
		"nothing":         {"", "MissingAuthenticationToken", ""},
		"another scheme":  {"Bearer " + key.AccessKeyID, "MissingAuthenticationToken", ""},
		"no id":           {sign("/20260101/us-east-1/glue/aws4_request"), "MissingAuthenticationToken", ""},
		"another key":     {sign("AKIADIECASTLOCALRUN0/20260101"), "InvalidClientTokenId", ""},
		"half of the key": {sign(key.AccessKeyID[:10] + "/20260101"), "InvalidClientTokenId", ""},
		"nothing in JSON": {"", "MissingAuthenticationTokenException", "AWSGlue.GetJobRun"},
		"another in JSON": {sign("other/20260101"), "UnrecognizedClientException", "AWSGlue.GetJobRun"},
	} {
		t.Run(name, func(t *testing.T) {
			headers := map[string]string{}
			for header, value := range map[string]string{
				"Authorization": refused.header, "X-Amz-Target": refused.target,
			} {
				if value != "" {
					headers[header] = value
				}
			}
			status, body := ask(t, server.URL, headers)
			expected := http.StatusForbidden
			if refused.target != "" {
				expected = http.StatusBadRequest
			}
			assert.Equal(t, expected, status)
			assert.Contains(t, body, refused.code)
			assert.NotContains(t, body, key.AccessKeyID)
		})
	}
	status, _ := ask(t, server.URL, map[string]string{"Authorization": sign(scope), "Origin": "https://example.com"})
	assert.Equal(t, http.StatusForbidden, status, "a page with the key is a page")
}

// What the SDK signs, and what it signs beforehand, is understood.
func TestRequestsOfTheSDKEnter(t *testing.T) {
	key := NewCredentials()
	server := served(t, func(next http.Handler) http.Handler { return Signed(key.AccessKeyID, next) })
	client := func(key aws.Credentials) *s3.Client {
		return s3.New(s3.Options{
			Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true, RetryMaxAttempts: 1,
			Credentials: credentials.StaticCredentialsProvider{Value: key},
		})
	}
	get := &s3.GetObjectInput{Bucket: aws.String("lake"), Key: aws.String("a b")}
	read := func(client *s3.Client) error {
		object, err := client.GetObject(t.Context(), get)
		if err != nil {
			return err
		}
		return object.Body.Close()
	}
	require.NoError(t, read(client(key)))
	require.ErrorContains(t, read(client(NewCredentials())), "StatusCode: 403")
	for _, given := range []aws.Credentials{key, NewCredentials()} {
		signed, err := s3.NewPresignClient(client(given)).PresignGetObject(context.Background(), get)
		require.NoError(t, err)
		status, _ := ask(t, signed.URL, nil)
		assert.Equal(t, given == key, status == http.StatusOK)
	}
}

func TestAPasswordIsAskedFor(t *testing.T) {
	server := served(t, func(next http.Handler) http.Handler { return WithPassword("secret", next) })
	host := strings.TrimPrefix(server.URL, "http://")
	for address, expected := range map[string]int{
		"any:secret@": http.StatusOK, "": http.StatusForbidden, "any:other@": http.StatusForbidden,
		"secret@": http.StatusForbidden,
	} {
		status, _ := ask(t, "http://"+address+host, nil)
		assert.Equal(t, expected, status, address)
	}
	status, _ := ask(t, "http://any:secret@"+host, map[string]string{"Origin": "https://example.com"})
	assert.Equal(t, http.StatusForbidden, status)
}

func TestASecretPathIsTakenAway(t *testing.T) {
	server := served(t, func(next http.Handler) http.Handler { return Below("secret", next) })
	for asked, seen := range map[string]string{
		"/secret/": "/", "/secret/a/b": "/a/b", "/secret/a%2Fb/": "/a%2Fb/", "/secret//a": "//a",
	} {
		status, body := ask(t, server.URL+asked, nil)
		assert.Equal(t, http.StatusOK, status, asked)
		assert.Equal(t, "in "+seen, body)
	}
	for _, asked := range []string{"", "/", "/secret", "/secre/a", "/secret2/a", "//secret/a", "/a/secret/b"} {
		status, body := ask(t, server.URL+asked, nil)
		assert.Equal(t, http.StatusForbidden, status, asked)
		assert.NotContains(t, body, "secret")
	}
	status, _ := ask(t, server.URL+"/secret/a", map[string]string{"Origin": "https://example.com"})
	assert.Equal(t, http.StatusForbidden, status)
}
