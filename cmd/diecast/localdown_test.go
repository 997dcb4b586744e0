package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A lock that names a process which is not the run's gets nobody signalled, whoever holds it.
func TestLocalDownSignalsNobodyElse(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // other systems do not tell who holds a lock
	}
	t.Chdir(t.TempDir())
	victim := exec.Command("/bin/sleep", "600")
	require.NoError(t, victim.Start())
	ended := make(chan error, 1)
	go func() { ended <- victim.Wait() }()
	t.Cleanup(func() {
		_ = victim.Process.Kill()
		<-ended
	})
	folder := filepath.Join(".local", "mine")
	require.NoError(t, os.MkdirAll(folder, 0o700))
	file := filepath.Join(folder, "lock")
	require.NoError(t, os.WriteFile(file, []byte(strconv.Itoa(victim.Process.Pid)+"\n"), 0o600))
	code, out, notes := local(t, "down", "--run", "mine")
	assert.Zero(t, code, notes)
	assert.Equal(t, "mine is not up\n", out, "nobody holds the lock")

	forged, err := os.Open(file)
	require.NoError(t, err)
	defer forged.Close()
	require.NoError(t, syscall.Flock(int(forged.Fd()), syscall.LOCK_EX))
	code, _, notes = local(t, "down", "--run", "mine")
	assert.NotZero(t, code)
	assert.Contains(t, notes, "who holds it is no run")
	select {
	case err := <-ended:
		require.Fail(t, "the victim ended", "%v", err)
		ended <- err
	default:
	}
}
