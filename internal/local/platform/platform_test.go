package platform

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/engine"
	"diecast/internal/local/server/servertest"
)

// A run whose engine is killed tells so, by one line that leads to the engine's log.
func TestExited_tellsOfAnEngineThatEndsByItself(t *testing.T) {
	servertest.Needed(t, "an engine")
	assembled, folder := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"manifest.json": `{"version":"54.0.0","artifacts":{"A":{"type":"aws:cloudformation:stack",
			"environment":"aws://unknown-account/unknown-region",
			"properties":{"templateFile":"A.json","stackName":"alone"}}}}`,
		"A.json": `{"Resources":{"S":{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":1}}}}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(assembled, name), []byte(text), 0o600))
	}
	running, err := Start(t.Context(), Options{Assembly: assembled, Source: "../../..", Dir: folder})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		assert.NoError(t, running.Stop(ctx))
	})
	require.NoError(t, running.Err())
	require.NoError(t, syscall.Kill(engine.Kinesalite.In(running.engines).PID(), syscall.SIGKILL))
	select {
	case <-running.Exited():
	case <-time.After(30 * time.Second):
		require.Fail(t, "nobody told")
	}
	log := filepath.Join(folder, "engines", "kinesalite")
	require.ErrorContains(t, running.Err(), "the engine kinesalite has ended, see "+log+": ")
	require.ErrorContains(t, running.Err(), "signal: killed")
	assert.NotContains(t, running.Err().Error(), "\n")
	logs, err := filepath.Glob(filepath.Join(log, "*.log"))
	require.NoError(t, err)
	assert.NotEmpty(t, logs, "a person finds the log there")
}
