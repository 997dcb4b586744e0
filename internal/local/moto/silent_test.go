package moto_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/moto"
)

// Whoever opens connections and says nothing more, from the beginning, within a request or after
// one, does not keep their threads.
func TestASilentConnectionIsClosed(t *testing.T) {
	moto.SetSilentFor(t, 300*time.Millisecond)
	server := start(t, t.Context(), moto.Options{})
	for name, said := range map[string]string{
		"nothing":        "",
		"half a header":  "PUT /a HTTP/1.1\r\nHost",
		"half a body":    "PUT /a HTTP/1.1\r\nHost: " + server.Address() + "\r\nContent-Length: 100\r\n\r\nhalf",
		"a whole one":    "GET / HTTP/1.1\r\nHost: " + server.Address() + "\r\n\r\n",
		"half a request": "GET / HTTP/1.1\r\n",
	} {
		connection, err := net.Dial("tcp", server.Address())
		require.NoError(t, err)
		defer connection.Close()
		_, err = io.WriteString(connection, said)
		require.NoError(t, err)
		require.NoError(t, connection.SetDeadline(time.Now().Add(time.Minute)))
		answer, err := io.ReadAll(connection) // until it is closed
		require.NoError(t, err, name)
		assert.NotContains(t, string(answer), " 500 ", name)
	}
	_, err := server.S3().ListBuckets(t.Context(), &s3.ListBucketsInput{})
	require.NoError(t, err)
}
