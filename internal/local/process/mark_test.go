package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/wait"
)

// leaving is a shell whose child leaves its group and its session, and says then who it is.
const leaving = `setsid sh -c 'echo $$; exec sleep 3600' & wait`

// onLinux leaves a test out elsewhere: only Linux tells of other processes' environments.
func onLinux(t *testing.T) bool {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Log("not on this system: nothing finds a process that has left its group")
	}
	return runtime.GOOS == "linux"
}

func TestEndMarked_endsWhatHasLeftItsGroup(t *testing.T) {
	if !onLinux(t) {
		return
	}
	p, line, output := lines(t, sh(leaving))
	left, err := strconv.Atoi(line())
	require.NoError(t, err)
	p.Kill()
	<-p.Exited()
	require.NoError(t, syscall.Kill(left, 0), "the end of the group did not end it")
	stranger := exec.Command("sleep", "3600")
	stranger.Env = []string{"PATH=/usr/bin:/bin", marked(mark + "X")}
	require.NoError(t, stranger.Start())
	defer func() { require.NoError(t, stranger.Process.Kill()); require.Error(t, stranger.Wait()) }()

	killed, err := EndMarked()
	require.NoError(t, err)
	assert.Equal(t, []int{left}, killed)
	require.NoError(t, output.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err = io.ReadAll(output) // ends when nobody holds it any more
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(stranger.Process.Pid, 0), "another's mark")
	killed, err = EndMarked()
	require.NoError(t, err)
	assert.Empty(t, killed)
}

// A guard ends what its process leaves, however that ends.
func TestGuard_endsWhatAKilledProcessLeaves(t *testing.T) {
	if !onLinux(t) {
		return
	}
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	self, err := os.Executable()
	require.NoError(t, err)
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentScript+"="+leaving, parentGuard+"=1")
	parent.Stdout, parent.Stderr = writer, writer
	require.NoError(t, errors.Join(parent.Start(), writer.Close()))
	first := make([]byte, 16)
	n, err := reader.Read(first)
	require.NoError(t, err)
	left, err := strconv.Atoi(strings.TrimSpace(string(first[:n])))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(left, 0))

	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	require.NoError(t, reader.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err = io.ReadAll(reader) // ends when the grandchild, which holds it, has ended
	require.NoError(t, err)
}

func TestGuard_needsToKnowWhom(t *testing.T) {
	for _, told := range []string{"", "\n", "half"} {
		require.EqualError(t, Guard(strings.NewReader(told)), "nobody said whom to guard", "%q", told)
	}
}

func TestStartGuard_endsWithItsProcess(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	told := func(line string) { assert.Fail(t, line) }
	end, err := StartGuard(told, self, guardOnly)
	require.NoError(t, err)
	require.NoError(t, end())
	_, err = StartGuard(told, "/nowhere")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "start the guard")
}

// A guard that ends too early is told of, and another one takes its place and does its work.
func TestStartGuard_startsItAgain(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	lines := make(chan string, 10)
	end, err := StartGuard(func(line string) { lines <- line }, self, guardOnly)
	require.NoError(t, err)
	first := guardOf(t, os.Getpid(), 0)
	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	assert.Equal(t, "the guard, process "+strconv.Itoa(first)+", which ends what this process would leave, has ended: "+
		"signal: killed; it is started again", <-lines)
	second := guardOf(t, os.Getpid(), first)
	require.NoError(t, syscall.Kill(second, 0))
	require.NoError(t, end())
	require.ErrorIs(t, syscall.Kill(second, 0), syscall.ESRCH, "the end is that of the second")
	assert.Empty(t, lines)
}

// What a guard says is told, and one that cannot stay is not started without a pause.
func TestStartGuard_tellsWhy(t *testing.T) {
	lines := make(chan string, 10)
	begun := time.Now()
	end, err := StartGuard(func(line string) { lines <- line }, shell, "-c", "read mark; echo no luck >&2; exit 3")
	require.NoError(t, err)
	for range 3 {
		assert.Regexp(t, "has ended: exit status 3: no luck; it is started again", <-lines)
	}
	assert.GreaterOrEqual(t, time.Since(begun), guardPause)
	require.NoError(t, end())
}

// guardOf is the guard that a process has started, another one than that of a number.
func guardOf(t *testing.T, parent, other int) (found int) {
	t.Helper()
	rule := wait.Rule{For: time.Minute, Pause: 5 * time.Millisecond}
	require.NoError(t, rule.Until(t.Context(), func(context.Context) error {
		listed, err := exec.Command("ps", "-e", "-o", "pid=,ppid=,stat=,args=").Output()
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(listed)) {
			var by int
			var state string
			_, err := fmt.Sscan(line, &found, &by, &state)
			if err == nil && by == parent && found != other && state[0] != 'Z' && strings.Contains(line, guardOnly) {
				return nil
			}
		}
		return errors.New("there is no guard")
	}))
	return found
}
