package postgres

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/runfolder"
)

// claim a folder until the test ends.
func claim(t *testing.T, wanted string) *Folder {
	t.Helper()
	folder, err := Claim(wanted)
	require.NoError(t, err)
	t.Cleanup(func() { _ = folder.Remove() }) // fails where the test has done so
	return folder
}

// Root's cluster is where its user can reach it, and the same for each start of a run.
func TestClaim_isOneThatTheServersUserCanReach(t *testing.T) {
	wanted := filepath.Join(t.TempDir(), "postgres") // below a folder of the caller's alone
	folder := claim(t, wanted)
	assert.Equal(t, os.Geteuid() == 0, folder.Apart)
	if !folder.Apart {
		assert.Equal(t, wanted, folder.Path)
		return
	}
	assert.True(t, passable(filepath.Dir(folder.Path)))
	_, err := Claim(wanted)
	var running *runfolder.RunningError
	require.ErrorAs(t, err, &running, "it is held")
	other := claim(t, wanted+"2")
	assert.NotEqual(t, folder.Path, other.Path)
	require.NoError(t, folder.Remove())
	assert.NoDirExists(t, filepath.Dir(folder.Path))
	assert.Equal(t, folder.Path, claim(t, wanted).Path)
	reached, err := Claim("/opt/postgres")
	require.NoError(t, err)
	assert.False(t, reached.Apart)
	assert.Equal(t, "/opt/postgres", reached.Path)
	require.NoError(t, reached.Remove())
}

// What killed processes left apart goes, and the caller's own; what another one holds stays.
func TestRemoveLeft(t *testing.T) {
	if os.Geteuid() != 0 {
		return // nothing is apart
	}
	root := t.TempDir()
	held := claim(t, filepath.Join(root, "held", "postgres"))
	mine := claim(t, filepath.Join(root, "mine", "postgres"))
	dead := claim(t, filepath.Join(root, "dead", "postgres"))
	for _, folder := range []*Folder{held, mine, dead} {
		require.NoError(t, os.MkdirAll(folder.Path, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder.Path, "password"), nil, 0o600))
	}
	require.NoError(t, dead.held.Close()) // as the kernel does when the process ends
	require.NoError(t, RemoveLeft(filepath.Join(root, "mine")))
	assert.FileExists(t, filepath.Join(held.Path, "password"))
	assert.True(t, passable(filepath.Dir(held.Path)), "its server goes on")
	assert.NoDirExists(t, filepath.Dir(mine.Path))
	assert.NoDirExists(t, filepath.Dir(dead.Path))
}
