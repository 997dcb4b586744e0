package process

import (
	"errors"
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
	end, err := StartGuard(self, guardOnly)
	require.NoError(t, err)
	require.NoError(t, end())
	_, err = StartGuard("/nowhere")
	require.ErrorIs(t, err, os.ErrNotExist)
}
