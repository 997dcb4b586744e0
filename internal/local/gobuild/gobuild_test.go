package gobuild

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
)

func module(t *testing.T, program string) string {
	t.Helper()
	source := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(source, "go.mod"), []byte("module program\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"), []byte(program), 0o600))
	return source
}

func TestCompiles(t *testing.T) {
	executable := filepath.Join(t.TempDir(), "deep", "program")
	require.NoError(t, Compile(t.Context(), module(t, "package main\n\nfunc main() { print(\"here\") }\n"), executable))
	output, err := exec.Command(executable).CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, "here", string(output))
}

func TestCompilersWordsAreTold(t *testing.T) {
	source := module(t, "package main\n\nfunc main() { undefinedThing() }\n")
	err := Compile(t.Context(), source, filepath.Join(t.TempDir(), "program"))
	require.ErrorContains(t, err, "undefined: undefinedThing")
	require.ErrorContains(t, err, source)
}

func TestCompilerThatIsMissingIsToldSo(t *testing.T) {
	require.NoError(t, Installed(t.Context()))
	t.Setenv("PATH", t.TempDir())
	require.ErrorIs(t, Installed(t.Context()), installed.ErrNotInstalled)
	require.ErrorIs(t, Compile(t.Context(), t.TempDir(), "program"), installed.ErrNotInstalled)
}
