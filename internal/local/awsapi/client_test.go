package awsapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// closed is a body as smithy-go leaves it once it is closed: Read and WriteTo return io.EOF.
type closed struct{ *strings.Reader }

func (closed) WriteTo(io.Writer) (int64, error) { return 0, io.EOF }
func (closed) Close() error                     { return nil }

func TestAClosedBodyIsNoFailedWrite(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		if r.URL.Path == "/late" {
			<-r.Context().Done() // the transport has given the request up
		}
		_, err = w.Write(body)
		assert.NoError(t, err)
	}))
	defer server.Close()
	send := func(path string, client interface {
		Do(request *http.Request) (*http.Response, error)
	}) (string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path,
			closed{strings.NewReader("x")})
		require.NoError(t, err)
		request.ContentLength = 1
		response, err := client.Do(request)
		if err != nil {
			return "", err
		}
		defer func() { assert.NoError(t, response.Body.Close()) }()
		content, err := io.ReadAll(response.Body)
		return string(content), err
	}
	got, err := send("/", client{awshttp.NewBuildableClient()})
	require.NoError(t, err)
	assert.Equal(t, "x", got)

	_, err = send("/late", awshttp.NewBuildableClient())
	assert.Error(t, err, "the SDK bears it now: client is not needed any more")
}
