package runfolder

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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

// victim is a process that has no part in a run.
func victim(t *testing.T) *exec.Cmd {
	t.Helper()
	command := exec.Command("/bin/sleep", "600")
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return command
}

// A lock that names a process which does not hold it names nobody, whoever holds it, and is not
// taken from who does.
func TestALockThatNamesAnotherNamesNobody(t *testing.T) {
	before := settleWithin
	t.Cleanup(func() { settleWithin = before })
	settleWithin = 20 * time.Millisecond
	path := filepath.Join(t.TempDir(), "mine")
	require.NoError(t, os.Mkdir(path, 0o700))
	file := filepath.Join(path, "lock")
	for name, text := range map[string]string{
		"another": strconv.Itoa(victim(t).Process.Pid), "init": "1", "all": "-1", "the group": "0", "nothing": "",
		"words": "the run",
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(file, []byte(text+"\n"), 0o600))
			pid, err := Running(path)
			require.NoError(t, err, "nobody holds it")
			assert.Zero(t, pid)
			if runtime.GOOS != "linux" && name == "another" {
				return // only Linux tells who holds a lock
			}
			forged, err := os.Open(file)
			require.NoError(t, err)
			defer forged.Close()
			require.NoError(t, syscall.Flock(int(forged.Fd()), syscall.LOCK_EX))
			_, err = Running(path)
			require.ErrorContains(t, err, "who holds it is no run")
			_, err = Open(path)
			require.ErrorContains(t, err, "who holds it is no run")
		})
	}
}

func TestFolderAndLockAreTheirOwnersAlone(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "runs", "mine")
	require.NoError(t, os.MkdirAll(path, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(path, "lock"), []byte("1\n"), 0o644))
	require.NoError(t, os.Chmod(filepath.Join(path, "lock"), 0o666))
	folder, err := Open(path)
	require.NoError(t, err)
	defer folder.Close()
	for name, mode := range map[string]fs.FileMode{path: 0o700, filepath.Join(path, "lock"): 0o600} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), name)
	}
	linked := filepath.Join(root, "linked")
	require.NoError(t, os.Mkdir(linked, 0o700))
	require.NoError(t, os.Symlink(filepath.Join(path, "lock"), filepath.Join(linked, "lock")))
	_, err = Open(linked)
	require.Error(t, err, "the lock is elsewhere")
	if os.Geteuid() != 0 {
		return // nobody else's folder can be made
	}
	theirs := filepath.Join(root, "theirs")
	require.NoError(t, os.Mkdir(theirs, 0o777))
	require.NoError(t, os.Chown(theirs, 65534, 65534))
	_, err = Open(theirs)
	require.ErrorContains(t, err, "belongs to another user")
	require.NoError(t, os.Chown(filepath.Join(path, "lock"), 65534, 65534))
	_, err = Running(path)
	require.ErrorContains(t, err, "is no file of this user's")
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

// What a killed run told is gone before anybody can take it for what the next one tells.
func TestOpenRemovesWhatTellsOfAnEarlierRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	require.NoError(t, os.Mkdir(path, 0o700))
	for _, name := range []string{"outputs", "kept"} {
		require.NoError(t, os.WriteFile(filepath.Join(path, name), nil, 0o600))
	}
	folder, err := Open(path, "outputs", "never")
	require.NoError(t, err)
	assert.NoFileExists(t, filepath.Join(path, "outputs"))
	assert.FileExists(t, filepath.Join(path, "kept"))
	require.NoError(t, os.WriteFile(filepath.Join(path, "outputs"), nil, 0o600))
	require.NoError(t, os.Chmod(path, 0o711))
	_, err = Open(path, "outputs")
	require.Error(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o711), info.Mode().Perm(), "it is another's")
	assert.FileExists(t, filepath.Join(path, "outputs"), "they are of the run that is up")
	require.NoError(t, folder.Close())
}

// A folder in which nothing came to be goes, and with it that of all runs; logs stay.
func TestAbandonRemovesWhatHoldsNothing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	path := filepath.Join(root, "run")
	folder, err := Open(path)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(path, "engines", "log"), 0o700))
	require.NoError(t, folder.Abandon())
	assert.NoDirExists(t, root)

	folder, err = Open(path)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(path, "engines"), 0o700))
	log := filepath.Join(path, "engines", "moto.log")
	require.NoError(t, os.WriteFile(log, nil, 0o600))
	require.NoError(t, folder.Abandon())
	assert.FileExists(t, log)
	folder, err = Open(path)
	require.NoError(t, err, "it was given up")
	require.NoError(t, folder.Remove())
	assert.NoDirExists(t, path)
}

// Whoever removes a folder, as another one opens it, leaves it to that one alone.
func TestAFolderThatIsRemovedIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs", "run")
	var holders atomic.Int32
	var opening sync.WaitGroup
	for range 4 {
		opening.Go(func() {
			for range 100 {
				folder, err := Open(path)
				var running *RunningError
				if errors.As(err, &running) {
					continue
				}
				if !assert.NoError(t, err) {
					return
				}
				assert.Equal(t, int32(1), holders.Add(1))
				assert.FileExists(t, filepath.Join(path, "lock"))
				holders.Add(-1)
				assert.NoError(t, folder.Remove())
			}
		})
	}
	opening.Wait()
}
