package apiserver

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const keyID = "AKIAOFTHERUN"

func start(t *testing.T, handler http.HandlerFunc) *Server {
	t.Helper()
	s, err := Start("Glue", 0, keyID, handler)
	require.NoError(t, err)
	return s
}

func get(t *testing.T, s *Server) (int, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Endpoint(), nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+keyID+"/20260101")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func TestAServerAnswersUntilItIsAskedToEnd(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	status, err := get(t, s)
	require.NoError(t, err)
	assert.Equal(t, http.StatusTeapot, status)
	require.NoError(t, s.Err(), "it runs")
	require.NoError(t, s.Close(t.Context()))
	<-s.Exited()
	require.NoError(t, s.Err(), "it was asked to end")
	_, err = get(t, s)
	require.Error(t, err)
}

func TestAServerAdmitsTheRunAlone(t *testing.T) {
	s := start(t, func(http.ResponseWriter, *http.Request) { assert.Fail(t, "it is reached") })
	defer func() { assert.NoError(t, s.Close(t.Context())) }()
	for name, headers := range map[string]http.Header{
		"nobody": {}, "another": {"Authorization": {"AWS4-HMAC-SHA256 Credential=AKIAOTHER/20260101"}},
		"a page": {"Authorization": {"AWS4-HMAC-SHA256 Credential=" + keyID + "/20260101"}, "Origin": {"https://x"}},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Endpoint(), nil)
		require.NoError(t, err)
		request.Header = headers
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusForbidden, response.StatusCode, name)
	}
}

func TestAServerThatEndsByItselfSaysWhy(t *testing.T) {
	s := start(t, http.NotFound)
	require.NoError(t, s.listener.Close())
	<-s.Exited()
	require.ErrorContains(t, s.Err(), "the Glue API on "+s.Endpoint()+" ended by itself: ")
	require.ErrorContains(t, s.Err(), "use of closed network connection")
}

func TestARequestThatDoesNotEndIsCutOffAndTold(t *testing.T) {
	begun := make(chan struct{})
	s := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})
	answered := make(chan error, 1)
	go func() {
		_, err := get(t, s)
		answered <- err
	}()
	<-begun
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, s.Close(over), "stop the Glue API: a request was cut off: ")
	require.Error(t, <-answered)
	<-s.Exited()
}

func TestAPortThatIsTakenIsTold(t *testing.T) {
	s := start(t, http.NotFound)
	defer func() { assert.NoError(t, s.Close(t.Context())) }()
	_, err := Start("Glue", s.listener.Addr().(*net.TCPAddr).Port, keyID, http.NotFoundHandler())
	require.ErrorContains(t, err, "open the Glue API: ")
}

func TestASilentClientDoesNotKeepItsConnection(t *testing.T) {
	server := HTTP(http.NotFoundHandler())
	assert.Positive(t, server.ReadHeaderTimeout)
	assert.Positive(t, server.IdleTimeout)
}
