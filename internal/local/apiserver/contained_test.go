package apiserver

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAPanicIsOneRequests(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/at-once":
			panic("no luck")
		case "/halfway":
			_, _ = io.WriteString(w, "half")
			panic("no luck")
		case "/on-purpose":
			panic(http.ErrAbortHandler)
		}
	})
	defer func() { assert.NoError(t, s.Close(t.Context())) }()
	ask := func(path string) (int, string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Endpoint()+path, nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+keyID+"/20260101")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.StatusCode, string(body), err
	}
	status, body, err := ask("/at-once")
	require.NoError(t, err)
	assert.Equal(t, http.StatusInternalServerError, status)
	assert.JSONEq(t, `{"__type":"InternalFailure"}`, body)
	for _, path := range []string{"/halfway", "/on-purpose"} {
		_, _, err = ask(path)
		require.Error(t, err, path)
	}
	status, _, err = ask("/")
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, status, "the server goes on")
}
