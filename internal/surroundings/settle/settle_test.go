package settle

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNowMendsWhatTheProcessInherited(t *testing.T) {
	inherited := syscall.Umask(0o077)
	t.Cleanup(func() { syscall.Umask(inherited) })
	t.Setenv("NODE_OPTIONS", "--require /nowhere")
	t.Setenv("NODE_PATH", "/nowhere")
	t.Setenv("TMPDIR", "/dev/null/nowhere")
	Now()
	for _, name := range []string{"NODE_OPTIONS", "NODE_PATH", "TMPDIR"} {
		assert.Empty(t, os.Getenv(name), name)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.EqualValues(t, 0o644, info.Mode().Perm())

	own := filepath.Join(t.TempDir(), "with a space")
	require.NoError(t, os.Mkdir(own, 0o700))
	t.Setenv("TMPDIR", own)
	Now()
	assert.Equal(t, own, os.TempDir(), "a good one stays")
	left, err := os.ReadDir(own)
	require.NoError(t, err)
	assert.Empty(t, left)
}
