package hostiletest

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var samples = []Sample{
	{Name: "Put", Headers: map[string]string{"X-Amz-Target": "Odd.Put"},
		Body: `{"a":"text","b":[{"c":1}],"d":{"e":true}}`},
	{Name: "Get", Method: http.MethodGet, Path: "/a"},
}

func TestASeedMakesTheSameRequestsEachTime(t *testing.T) {
	const count = 2000
	once, again := Requests(7, count, samples), Requests(7, count, samples)
	require.Len(t, once, count)
	assert.Equal(t, once, again)
	assert.NotEqual(t, once, Requests(8, count, samples))
}

// What is to be an odd value within a valid request arrives as one.
func TestMostRequestsAreHTTPWithJSON(t *testing.T) {
	var read, valid, odd int
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("X-Amz-Target") != "Odd.Put" {
			return
		}
		read++
		if json.Valid(body) {
			valid++
		}
		if bytes.ContainsAny(body, mark) {
			odd++
		}
	}))
	defer server.Close()
	statuses := Fuzz(t, server.Listener.Addr().String(), Requests(1, 800, samples), func() {})
	assert.Greater(t, read, 250)
	assert.Greater(t, valid, read*3/4)
	assert.Zero(t, odd, "no mark of an odd value is left")
	assert.Greater(t, statuses[http.StatusOK], 500)
}

func TestAServerThatHangsIsToldOf(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	request := samples[0].Request("whole")
	request.patience = 1 // nanosecond
	_, err = request.Send(address)
	require.ErrorContains(t, err, "no answer within")
	require.NoError(t, listener.Close())
	_, err = request.Send(address)
	require.Error(t, err)
	assert.True(t, strings.HasPrefix(string(request.Text), "POST / HTTP/1.1\r\nContent-Length: "))
}
