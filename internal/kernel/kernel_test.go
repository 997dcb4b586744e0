package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told is what a user reads when a kernel says this at its end.
func told(t *testing.T, says string) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer file.Close()
	before := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = before }()
	Close(func() { fmt.Fprint(os.Stderr, says) })
	assert.NotSame(t, file, os.Stderr, "what comes too late does not reach the user")
	text, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	return string(text)
}

func TestTheLineOfTheSecondWaitIsDropped(t *testing.T) {
	for _, call := range []string{"wait", "waitid", "wait4"} {
		assert.Empty(t, told(t, "Runtime process exited abnormally: "+call+": no child processes"), call)
	}
	assert.Equal(t, "before\nafter", told(t,
		"before\nRuntime process exited abnormally: waitid: no child processesafter"), "the rest stays")
}

func TestARealFailureIsTold(t *testing.T) {
	for _, failure := range []string{
		"Runtime process exited abnormally: exit status 1",
		"Runtime process exited abnormally: signal: killed",
		"diecast: 2 configuration problems:",
	} {
		assert.Equal(t, failure, told(t, failure))
	}
}
