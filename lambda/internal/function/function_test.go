package function

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A function that cannot start says why in its log, where an operator looks, and its process ends.
func TestAFunctionThatCannotStartSaysWhy(t *testing.T) {
	if os.Getenv("START_A_FUNCTION") != "" {
		Start(func(context.Context, *slog.Logger) (any, error) { return nil, errors.New("TABLE is not set") })
		return
	}
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	process.Env = []string{"START_A_FUNCTION=1"}
	output, err := process.Output()
	var ended *exec.ExitError
	require.ErrorAs(t, err, &ended)
	assert.Equal(t, 1, ended.ExitCode())
	assert.Equal(t, 1, bytes.Count(output, []byte("\n")), "%s", output)
	var line struct{ Level, Msg, Error string }
	require.NoError(t, json.Unmarshal(output, &line))
	assert.Equal(t, []string{"ERROR", "cannot start", "TABLE is not set"}, []string{line.Level, line.Msg, line.Error})
}

func TestGarbageStaysWithinTheMemory(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	Collect(512)
	assert.Equal(t, int64(384<<20), debug.SetMemoryLimit(-1))
	assert.Equal(t, 1600, debug.SetGCPercent(100))
	Collect(0)
	assert.Equal(t, int64(384<<20), debug.SetMemoryLimit(-1))
}

func TestTimeIsKeptForTheAnswer(t *testing.T) {
	end := time.Now().Add(time.Minute)
	limited, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	kept, cancelKept := Keep(limited, 10*time.Second)
	defer cancelKept()
	deadline, _ := kept.Deadline()
	assert.Equal(t, end.Add(-10*time.Second), deadline)
	unlimited, cancelUnlimited := Keep(t.Context(), 10*time.Second)
	cancelUnlimited()
	assert.NoError(t, unlimited.Err())
}

func TestTheLogBeginsAtTheLevelOfTheEnvironment(t *testing.T) {
	for level, want := range map[string]int{"": 3, "DEBUG": 4, "info": 3, "WARN": 2, "ERROR": 1} {
		var output bytes.Buffer
		logger, err := newLogger(&output, map[string]string{"LOG_LEVEL": level})
		require.NoError(t, err)
		logger.Debug("a")
		logger.Info("b")
		logger.Warn("c")
		logger.Error("d")
		assert.Equal(t, want, bytes.Count(output.Bytes(), []byte("\n")), "from level %q on", level)
	}
	var output bytes.Buffer
	logger, err := newLogger(&output, map[string]string{"LOG_LEVEL": "loud"})
	require.ErrorContains(t, err, `LOG_LEVEL is "loud"`)
	logger.Debug("what is wrong is told in any case")
	assert.NotEmpty(t, output.String())
}
