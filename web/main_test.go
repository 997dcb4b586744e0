package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/environment"
	"diecast/internal/surroundings"
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

// told is an environment whose databases are away.
func told(t *testing.T, changes map[string]string) map[string]string {
	t.Helper()
	variables := map[string]string{
		"DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": free(t), "DATABASE_NAME": "classicmodels",
		"DATABASE_USER": "web_reader", "DATABASE_AUTH": "iam", "AWS_REGION": "us-east-1", "WEB_PORT": free(t),
		"WEB_SALES": "served", "WEB_REFRESH_SECONDS": "60", "WEB_DRAIN_SECONDS": "1",
		"RECOMMENDATIONS_TABLE": "recommendations", "ARTIFACTS_BUCKET": "artifacts", "WEB_STREAM": "events",
		"VECTORS_DATABASE_HOST": "127.0.0.1", "VECTORS_DATABASE_PORT": free(t), "VECTORS_DATABASE_NAME": "vectors",
		"VECTORS_DATABASE_USER": "web_reader", "VECTORS_DATABASE_AUTH": "iam",
		"WEB_API": "known", "WEB_REQUESTS_PER_SESSION": "120", "WEB_REQUESTS_PER_TOKEN": "6000",
	}
	maps.Copy(variables, changes)
	return variables
}

// started runs the program with an environment until the test ends, and says what it logged of
// itself.
func started(t *testing.T, changes map[string]string) (address string, logged func() []map[string]any) {
	t.Helper()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata(t))
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	variables := told(t, changes)
	log := &records{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, slog.New(slog.NewJSONHandler(log, nil)), variables) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	address = "http://127.0.0.1:" + variables["WEB_PORT"]
	until(t, address+"/healthz", "ok")
	return address, func() []map[string]any { return log.all(t) }
}

// With a key, as on a machine where others reach the port, only who tells it is served.
func TestAServerWithAKeyServesItsLoadBalancerAlone(t *testing.T) {
	served := fromBalancer("key", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Values(environment.KeyHeader), "the pages do not see it")
	}))
	for key, status := range map[string]int{
		"key": http.StatusOK, "": http.StatusForbidden, "keys": http.StatusForbidden,
	} {
		request := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		request.Header.Set(environment.KeyHeader, key)
		answer := httptest.NewRecorder()
		served.ServeHTTP(answer, request)
		assert.Equal(t, status, answer.Code, key)
	}
	answer := httptest.NewRecorder()
	fromBalancer("", http.NotFoundHandler()).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, http.StatusNotFound, answer.Code, "without one, everybody")
}

// records are what was logged.
type records struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (r *records) Write(text []byte) (int, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.text.Write(text)
}

func (r *records) all(t *testing.T) []map[string]any {
	t.Helper()
	r.lock.Lock()
	defer r.lock.Unlock()
	var all []map[string]any
	for line := range bytes.Lines(r.text.Bytes()) {
		var record map[string]any
		require.NoError(t, json.Unmarshal(line, &record))
		all = append(all, record)
	}
	return all
}

// said is the first record of a message.
func said(t *testing.T, records []map[string]any, message string) map[string]any {
	t.Helper()
	for _, record := range records {
		if record["msg"] == message {
			return record
		}
	}
	require.Fail(t, "it was not logged", message)
	return nil
}

func ask(t *testing.T, address string) *http.Response {
	t.Helper()
	answer, err := http.Get(address)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer
}

// longHeader is the status of a request for sales with 40 kB of cookies.
func longHeader(t *testing.T, address string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/sales", nil)
	require.NoError(t, err)
	request.Header.Set("Cookie", "session="+strings.Repeat("a", 40_000))
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode
}

// What the environment says is what the pages do.
func TestTheEnvironmentRulesThePages(t *testing.T) {
	t.Run("least", func(t *testing.T) {
		address, _ := started(t, nil)
		answer := ask(t, address+"/sales")
		assert.Equal(t, http.StatusOK, answer.StatusCode)
		assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, longHeader(t, address))
		assert.Empty(t, answer.Header.Get("Strict-Transport-Security"))
		assert.Contains(t, answer.Header.Get("Content-Security-Policy"), "form-action 'self'; ")
		assert.Contains(t, answer.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	})
	t.Run("withheld", func(t *testing.T) {
		address, logged := started(t, map[string]string{"WEB_SALES": "withheld", "WEB_API": "random"})
		for _, path := range []string{"/sales", "/sales/course.csv"} {
			assert.Equal(t, http.StatusForbidden, ask(t, address+path).StatusCode, path)
		}
		assert.Equal(t, http.StatusOK, ask(t, address+"/provenance").StatusCode)
		for _, record := range logged() {
			assert.NotContains(t, record["msg"], "sales", "what nobody may read is not read from the database")
		}
		said(t, logged(), "products will be refreshed")
		assert.Equal(t, http.StatusForbidden, ask(t, address+"/recommendations").StatusCode)
	})
	t.Run("shop", func(t *testing.T) {
		address, _ := started(t, nil)
		assert.Equal(t, http.StatusNotFound, ask(t, address+"/shop").StatusCode)
		address, _ = started(t, map[string]string{"WEB_SHOP": "true"})
		assert.Equal(t, http.StatusServiceUnavailable, ask(t, address+"/shop").StatusCode, "there is no catalogue yet")
	})
	t.Run("login", func(t *testing.T) {
		address, _ := started(t, map[string]string{"WEB_OIDC_ISSUER": "https://id.example.com",
			"WEB_OIDC_CLIENT_ID": "diecast", "WEB_OIDC_PROVIDER": "https://login.example.com",
			"WEB_OIDC_LOAD_BALANCER": "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/w/1"})
		answer := ask(t, address+"/sales")
		assert.Equal(t, http.StatusUnauthorized, answer.StatusCode)
		assert.Equal(t, http.StatusUnauthorized, longHeader(t, address), "a login's header is long")
		assert.Contains(t, answer.Header.Get("Content-Security-Policy"),
			"form-action 'self' https://login.example.com; ")
	})
	t.Run("TLS and frames", func(t *testing.T) {
		address, _ := started(t, map[string]string{"WEB_TLS": "true", "WEB_FRAME_ANCESTORS": "https://a.example"})
		header := ask(t, address+"/sales").Header
		assert.NotEmpty(t, header.Get("Strict-Transport-Security"))
		assert.Contains(t, header.Get("Content-Security-Policy"), "frame-ancestors https://a.example")
	})
}

func TestWhereTheDatabaseIsOnThisMachineSoAreThoseWhoLook(t *testing.T) {
	for host, open := range map[string]bool{"127.0.0.1": false, "localhost": false, "192.0.2.1": true} {
		_, logged := started(t, map[string]string{"DATABASE_HOST": host})
		heard, _, err := net.SplitHostPort(said(t, logged(), "serving")["address"].(string))
		require.NoError(t, err)
		assert.Equal(t, open, net.ParseIP(heard).IsUnspecified(), "%s: it listens on %s", host, heard)
		assert.Equal(t, !open, net.ParseIP(heard).IsLoopback(), "%s: it listens on %s", host, heard)
	}
}

func TestTheDatabaseIsAskedAsOftenAsTheEnvironmentSays(t *testing.T) {
	_, logged := started(t, map[string]string{"WEB_REFRESH_SECONDS": "240"})
	require.Eventually(t, func() bool {
		for _, record := range logged() {
			if record["msg"] == "sales will be refreshed" {
				return assert.EqualValues(t, 240, record["every_seconds"])
			}
		}
		return false
	}, 10*time.Second, 10*time.Millisecond)
}

// The database is not there: the server is healthy, says who it is, and ends in time.
func TestTheServerStandsWithoutItsDatabase(t *testing.T) {
	surroundings.Forget("AWS_")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata(t))
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	port := free(t)
	variables := told(t, map[string]string{"WEB_PORT": port})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, slog.New(slog.DiscardHandler), variables)
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
	err = run(t.Context(), slog.New(slog.DiscardHandler),
		told(t, map[string]string{"WEB_PORT": port, "WEB_SALES": "withheld"}))
	require.ErrorContains(t, err, "WEB_PORT="+port)
}
