package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/runfolder"
)

// Every command that reads outputs refuses those of a run that was killed, and takes them while it
// is up.
func TestOutputsOfARunThatIsNotUpAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	folder, err := runfolder.Open(".local/default")
	require.NoError(t, err)
	const file = ".local/default/outputs.json"
	require.NoError(t, os.WriteFile(file, []byte(`{"diecast-Network":{},"endpoints":{}}`), 0o600))
	commands := [][]string{{"load", "--run", "default"}, {"load", "--outputs", file}, {"local", "roll"},
		{"sql", "mysql", "--run", "default", "--command", "SELECT 1"},
		{"sql", "mysql", "--outputs", file, "--command", "SELECT 1"}}
	const refused = "that run is not up"
	said := func(command []string) string {
		var out, notes bytes.Buffer
		assert.Equal(t, 1, run(t.Context(), command, &out, &notes), "%s", command)
		return notes.String()
	}
	for _, command := range commands {
		assert.NotContains(t, said(command), refused, "%s", command)
	}
	require.NoError(t, folder.Close())
	for _, command := range commands {
		assert.Contains(t, said(command), refused, "%s", command)
	}
}
