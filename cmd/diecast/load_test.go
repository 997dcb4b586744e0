package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
	"diecast/internal/load"
)

// page is a deployment of one page, with its file of outputs.
func page(t *testing.T, file string, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	data, err := outputs.File{
		Stacks: map[string]map[string]string{outputs.Web.Name("shop"): {
			outputs.PageAddress.Name: server.URL, outputs.WebGroupName.Name: "servers",
		}},
		Endpoints: outputs.Endpoints{outputs.Region: "r"},
	}.Encode()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return server.URL
}

func loadPages(t *testing.T, arguments ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"load"}, arguments...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestLoad_asksThePagesOfTheDeployment(t *testing.T) {
	t.Chdir(t.TempDir())
	var sales, all atomic.Int64
	address := page(t, "outputs.json", func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.String() {
		case "/sales":
			sales.Add(1)
		case "/sales?period=all":
			all.Add(1)
		}
	})
	code, out, notes := loadPages(t, "--rate", "20", "--duration", "1s", "--path", "/sales",
		"--path", "/sales?period=all")
	require.Zero(t, code, notes)
	assert.Contains(t, notes, "platform shop on this machine, run of outputs.json\n")
	assert.Contains(t, notes, "GET "+address+"/sales, "+address+"/sales?period=all, 20 a second for 1s\n")
	assert.Regexp(t, `(?m)^Rate +\d+\.\d a second, of 20 wanted$`, out)
	assert.Regexp(t, `(?m)^Succeeded +\d+, 100\.00 %$`, out)
	assert.InDelta(t, sales.Load(), all.Load(), 1)

	code, out, _ = loadPages(t, "--rate", "20", "--duration", "1s", "--json")
	require.Zero(t, code)
	var summary loadSummary
	require.NoError(t, json.Unmarshal([]byte(out), &summary))
	assert.Equal(t, summary.Requests, summary.Succeeded)
	assert.Equal(t, map[int]int{200: summary.Requests}, summary.Statuses)
	assert.Positive(t, summary.LatencySeconds["p99"])
}

func TestLoad_findsARunOfThisMachine(t *testing.T) {
	t.Chdir(t.TempDir())
	page(t, ".local/mine/outputs.json", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	code, out, notes := loadPages(t, "--run", "mine", "--rate", "5", "--duration", "1s")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "status 503", "the report is told even so")
	assert.Contains(t, notes, "no request succeeded")
}

func TestLoad_refusesWhatIsNotTheDeployments(t *testing.T) {
	t.Chdir(t.TempDir())
	page(t, "outputs.json", func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	for want, arguments := range map[string][]string{
		`--url "sales" is no address`:                 {"--url", "sales"},
		"http://203.0.113.5/ is not the deployment's": {"--url", "http://203.0.113.5/"},
		`--path "sales" is no path`:                   {"--path", "sales"},
		`--path "//elsewhere/x" is no path`:           {"--path", "//elsewhere/x"},
		`--rate "many" is not an integer`:             {"--rate", "many"},
		"rate 0: 1 to 10000":                          {"--rate", "0"},
		"duration 10ms: 1s to":                        {"--duration", "10ms"},
		"there is no file of outputs none.json":       {"--outputs", "none.json"},
	} {
		code, out, notes := loadPages(t, arguments...)
		assert.Equal(t, 1, code, want)
		assert.Empty(t, out)
		assert.Contains(t, notes, want)
		assert.NotContains(t, notes, "GET ", "nothing is announced that is refused")
	}
}

func TestShowLoad(t *testing.T) {
	var out strings.Builder
	require.NoError(t, showLoad(&out, load.Report{
		Wanted: 500, Had: 412.34, Elapsed: 12340 * time.Millisecond, Requests: 4120, Succeeded: 4100, Unfinished: 7,
		Interrupted: true, Statuses: map[int]int{200: 4100, 503: 12}, Errors: map[string]int{"connection refused": 8},
		Bytes: 123456, P50: 3200 * time.Microsecond, P90: 5 * time.Millisecond, P99: 1203 * time.Millisecond,
		Max: 2 * time.Second, Sending: time.Second,
	}))
	assert.Equal(t, `Interrupted                            7 requests were under way and are left out
Requests                               4,120 in 12.34s
Rate                                   412.3 a second, of 500 wanted
Succeeded                              4,100, 99.51 %
  status 200                           4,100
  status 503                           12
  no answer                            8: connection refused
Latency, from when a request was due   p50 3.2ms, p90 5ms, p99 1.203s, at most 2s
  of it until it could be sent         at most 1s: this machine or its connections were at their end
Bytes                                  123,456
`, out.String())
}
