package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}

// metadata is an instance metadata service, version 2.
func metadata(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		fmt.Fprint(w, "token")
	})
	mux.HandleFunc("GET /latest/meta-data/{path...}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		known := map[string]string{"instance-id": "i-0abc", "placement/availability-zone": "us-east-1b"}
		fmt.Fprint(w, known[r.PathValue("path")])
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// until asks an address until its answer has some words.
func until(t *testing.T, address, words string) string {
	t.Helper()
	for ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second); ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		require.NoError(t, err)
		if answer, err := http.DefaultClient.Do(request); err == nil {
			text, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			if strings.Contains(string(text), words) {
				cancel()
				return string(text)
			}
		}
		require.NoError(t, ctx.Err(), "%s does not answer %q", address, words)
	}
}

// The database is not there: the server is healthy, says who it is, and ends in time.
func TestTheServerStandsWithoutItsDatabase(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata(t))
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	port := free(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, slog.New(slog.DiscardHandler), map[string]string{
			"DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": free(t), "DATABASE_NAME": "classicmodels",
			"DATABASE_USER": "web_reader", "DATABASE_AUTH": "iam", "AWS_REGION": "us-east-1", "WEB_PORT": port,
			"WEB_SALES": "served", "WEB_REFRESH_SECONDS": "60", "WEB_DRAIN_SECONDS": "1",
		})
	}()
	address := "http://127.0.0.1:" + port
	until(t, address+"/healthz", "ok")
	assert.Contains(t, until(t, address+"/provenance", "i-0abc"), "us-east-1b")
	until(t, address+"/sales", "the database cannot be reached")
	cancel()
	require.NoError(t, <-ended)
}

func TestWhatIsWrongWithTheEnvironmentIsToldAtOnce(t *testing.T) {
	err := run(t.Context(), slog.New(slog.DiscardHandler), nil)
	for _, name := range []string{"DATABASE_HOST", "WEB_PORT", "WEB_SALES"} {
		require.ErrorContains(t, err, name)
	}
}

func TestAPortThatIsTakenIsTold(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	err = run(t.Context(), slog.New(slog.DiscardHandler), map[string]string{
		"DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": "1", "DATABASE_NAME": "classicmodels",
		"DATABASE_USER": "web_reader", "DATABASE_AUTH": "iam", "AWS_REGION": "us-east-1", "WEB_PORT": port,
		"WEB_SALES":           "withheld",
		"WEB_REFRESH_SECONDS": "60", "WEB_DRAIN_SECONDS": "1",
	})
	require.ErrorContains(t, err, "WEB_PORT="+port)
}
