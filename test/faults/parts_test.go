package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/wait"
)

// saying is a run that wrote this to its standard error.
func saying(t *testing.T, text string) *run {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "there.log"), nil, 0o600))
	said, err := os.Create(filepath.Join(folder, "stderr"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = said.Close() })
	_, err = said.WriteString(text)
	require.NoError(t, err)
	return &run{settings: settings{folder: folder}, said: said}
}

func TestTheLostPartIsNamedWithALogThatIsThere(t *testing.T) {
	const told = "stopping\ndiecast: the engine moto has ended, see there.log: killed, see also, see gone.log: x\n"
	require.NoError(t, saying(t, told).named("moto"))
	require.ErrorContains(t, saying(t, told).named("dynalite"), "no line names dynalite")
	require.ErrorContains(t, saying(t, "the engine moto has ended, see gone.log: killed\n").named("moto"),
		"the log that it names is not there")
	require.ErrorContains(t, saying(t, "").named("moto"), "no line names moto")
}

// The processes of a run are those that it has started, and what they have.
func TestProcessesAreFoundAndKnownAgain(t *testing.T) {
	child := exec.Command("/bin/sh", "-c", "sleep 60 & wait")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, child.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-child.Process.Pid, syscall.SIGKILL)
		_ = child.Wait()
	})
	r := &run{child: child}
	var started []process
	rule := wait.Rule{For: 10 * time.Second, Pause: 10 * time.Millisecond}
	require.NoError(t, rule.Until(t.Context(), func(context.Context) (err error) {
		started, err = r.find(part{name: "sleep", line: regexp.MustCompile(`^sleep 60`)})
		return err
	}))
	require.Len(t, started, 1)
	assert.Equal(t, child.Process.Pid, started[0].parent)
	assert.True(t, started[0].same())
	another := started[0]
	another.begun = "Thu Jan 1 00:00:00 1970"
	assert.False(t, another.same(), "another process has its number now")
	_, err := r.find(moto)
	require.ErrorIs(t, err, errNobody)

	require.NoError(t, r.suspend(t.Context(), started, time.Millisecond))
	require.NoError(t, r.send(part{name: "sleep", line: regexp.MustCompile(`^sleep 60`)}, syscall.SIGKILL))
	require.NoError(t, child.Wait())
	assert.False(t, started[0].same())
}

// What an ended run has left is told, each thing.
func TestWhatARunLeavesIsTold(t *testing.T) {
	s := settings{folder: t.TempDir()}
	r := &run{settings: s}
	require.NoError(t, os.MkdirAll(s.temporary(), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(s.temporary(), "diecast-postgres-0123"), 0o700))
	require.NoError(t, r.nothingLeft(t.Context()))

	require.NoError(t, os.MkdirAll(r.runFolder(), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(r.runFolder(), "outputs.json"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(r.runFolder(), "moto.log"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(s.temporary(), "password"), nil, 0o600))
	left := exec.Command("sleep", "60")
	require.NoError(t, left.Start())
	t.Cleanup(func() { _ = left.Process.Kill(); _ = left.Wait() })
	r.started = (&run{child: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}).processes()
	err := r.nothingLeft(t.Context())
	require.ErrorContains(t, err, "(sleep 60)")
	require.ErrorContains(t, err, "it left "+filepath.Join(r.runFolder(), "outputs.json"))
	assert.NotContains(t, err.Error(), "moto.log")
	require.ErrorContains(t, err, "it left password in the temporary folder")

	require.NoError(t, s.clear())
	assert.DirExists(t, filepath.Join(s.temporary(), "diecast-postgres-0123"))
	assert.NoFileExists(t, filepath.Join(s.temporary(), "password"))
}
