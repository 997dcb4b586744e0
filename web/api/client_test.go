package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/recommendation/reading"
	"diecast/internal/surroundings"
)

// brief waits a moment instead of 25 s.
type brief struct{ *reading.Reader }

func (b brief) Wait(ctx context.Context, session string, event reading.Awaited) (reading.Answer, bool, error) {
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	answer, reached, err := b.Reader.Wait(short, session, event)
	if errors.Is(err, context.DeadlineExceeded) {
		answer, err = b.Session(ctx, session)
	}
	return answer, reached, err
}

// An independent client makes requests from the document alone, right ones and wrong ones, and
// judges the answers by it. That right ones are answered (positive_data_acceptance) it is not
// asked: the document cannot say that one of two headers is needed, that dates are in order, and
// which names the shop has.
func TestAnIndependentClientFindsWhatTheDocumentSays(t *testing.T) {
	f, _ := onEngines(t, func(o *Options) {
		o.Recommendations = brief{o.Recommendations.(*reading.Reader)}
	})
	var mutex sync.Mutex
	statuses, answered := map[int]int{}, map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counted := &counting{ResponseWriter: w}
		f.ServeHTTP(counted, r)
		mutex.Lock()
		defer mutex.Unlock()
		statuses[counted.status]++
		if route, _ := f.find(r); route != nil && counted.status == http.StatusOK {
			answered[route.pattern] = true
		}
	}))
	t.Cleanup(server.Close)
	python, err := installed.Python()
	require.NoError(t, err, "run `make setup`")
	configuration, err := filepath.Abs("testdata/schemathesis.toml")
	require.NoError(t, err)
	folder := t.TempDir()
	// Ten seconds are enough where nothing else runs.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(filepath.Dir(python), "schemathesis"),
		"--config-file", configuration, "run",
		server.URL+Prefix+"openapi.json", "--max-examples", "10", "--generation-deterministic", "--workers", "2",
		"--request-timeout", "10", "--no-color", "--continue-on-failure", "--phases", "examples,coverage,fuzzing",
		"--checks", "all", "--exclude-checks", "positive_data_acceptance")
	command.Dir = folder
	command.Env = surroundings.List(surroundings.Bare(folder), map[string]string{"PYTHONUTF8": "1"})
	begin := time.Now()
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	mutex.Lock()
	defer mutex.Unlock()
	t.Logf("%v, %v in %v", statuses, summary.FindString(string(output)), time.Since(begin).Round(time.Millisecond))
	assert.Zero(t, statuses[http.StatusInternalServerError])
	for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusMethodNotAllowed,
		http.StatusNotFound} {
		assert.NotZero(t, statuses[status], "it has not met %d", status)
	}
	for _, route := range f.routes {
		assert.True(t, answered[route.pattern], "%s has never answered it", route.pattern)
	}
	assert.NotContains(t, f.log.String(), "ERROR")
}

var summary = regexp.MustCompile(`[0-9]+ generated[^\n]*`)

// counting notes the status.
type counting struct {
	http.ResponseWriter
	status int
}

func (c *counting) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}
