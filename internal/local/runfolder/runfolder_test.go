package runfolder

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFolderHasOneProcessAtATime(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "mine")
	held, err := Open(path)
	require.NoError(t, err)

	_, err = Open(path)
	var running *RunningError
	require.ErrorAs(t, err, &running)
	assert.Equal(t, os.Getpid(), running.PID)
	assert.Contains(t, err.Error(), "local down")

	pid, err := Running(path)
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), pid)
	left, err := Left(path)
	require.NoError(t, err)
	assert.False(t, left)

	require.NoError(t, held.Close())
	left, err = Left(path)
	require.NoError(t, err)
	assert.True(t, left)
	left, err = Left(root)
	require.NoError(t, err)
	assert.False(t, left, "no run's folder")
	pid, err = Running(path)
	require.NoError(t, err)
	assert.Zero(t, pid)
	again, err := Open(path)
	require.NoError(t, err, "what a process left is no obstacle")
	require.NoError(t, again.Close())
}

func TestRunningOfAFolderThatNeverWas(t *testing.T) {
	pid, err := Running(filepath.Join(t.TempDir(), "never"))
	require.NoError(t, err)
	assert.Zero(t, pid)
}

func TestListNamesRunsOnly(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"b", "a"} {
		folder, err := Open(filepath.Join(root, name))
		require.NoError(t, err)
		require.NoError(t, folder.Close())
	}
	require.NoError(t, os.Mkdir(filepath.Join(root, "train"), 0o755))
	names, err := List(root)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, names)
}

// Whoever looks at a run meanwhile neither hinders its start nor hears of a lock without a process.
func TestLookingDoesNotHinderAStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	over := make(chan struct{})
	var looking sync.WaitGroup
	for range 4 {
		looking.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				pid, err := Running(path)
				assert.NoError(t, err)
				assert.Contains(t, []int{0, os.Getpid()}, pid)
			}
		})
	}
	for range 200 {
		folder, err := Open(path)
		if !assert.NoError(t, err) {
			break
		}
		assert.NoError(t, folder.Close())
	}
	close(over)
	looking.Wait()
}
