package platform

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/archive"
	"diecast/internal/local/demonstration"
)

// Two runs share nothing: neither ports nor folders nor names.
func TestTwoRunsAtOnce(t *testing.T) {
	first, second := start(t, synthesized), start(t, synthesized)
	reports := make([]demonstration.Report, 2)
	failures := make([]error, 2)
	targets := []demonstration.Target{target(t, first, archive.Recommendations),
		target(t, second, archive.Recommendations)}
	var group sync.WaitGroup
	for i, to := range targets {
		group.Go(func() {
			reports[i], failures[i] = demonstration.Run(t.Context(), to, demonstration.Options{Shop: shop(t),
				Events: 40})
		})
	}
	group.Wait()
	for i := range reports {
		require.NoError(t, failures[i])
		assert.Equal(t, 40, reports[i].Archived)
		assert.Zero(t, reports[i].Duplicates, "nothing came from the other run")
	}
	assert.NotEqual(t, first.Endpoints()["AWS_ENDPOINT_URL_KINESIS"], second.Endpoints()["AWS_ENDPOINT_URL_KINESIS"])
}

// A run leaves nothing behind, even where its process is killed and cannot clean up; the next one
// of its name starts.
func TestKilledRunLeavesNothingRunning(t *testing.T) {
	command := buildCommand(t)
	source, err := filepath.Abs(root)
	require.NoError(t, err)
	folder := t.TempDir()
	up := func() *exec.Cmd {
		t.Helper()
		run := exec.Command(command, "local", "up", "--assembly", synthesized, "--source", source)
		run.Dir = folder
		out, err := run.StdoutPipe()
		require.NoError(t, err)
		run.Stderr = os.Stderr
		require.NoError(t, run.Start())
		t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "resources run")
		return run
	}

	killed := up()
	started := descendants(t, killed.Process.Pid)
	require.GreaterOrEqual(t, len(started), 4, "PostgreSQL, kinesalite, dynalite, moto")
	second := exec.Command(command, "local", "up", "--assembly", synthesized, "--source", source)
	second.Dir = folder
	refused, err := second.CombinedOutput()
	require.Error(t, err, "a run's folder has one process")
	assert.Contains(t, string(refused), "is in use by process "+strconv.Itoa(killed.Process.Pid))

	started = append(started, stray(t, killed.Process.Pid))
	require.NoError(t, killed.Process.Signal(syscall.SIGKILL))
	_ = killed.Wait()
	asked := exec.Command(command, "sql", "mysql", "--run", "default", "--command", "SELECT 1")
	asked.Dir = folder
	refused, err = asked.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(refused), "that run is not up")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, pid := range started {
		require.NoError(t, untilGone(ctx, pid), "process %d outlived its run", pid)
	}

	again := up()
	assert.FileExists(t, filepath.Join(folder, ".local", "default", "outputs.json"))
	status := exec.Command(command, "local", "status")
	status.Dir = folder
	output, err := status.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "Role: the laptop's engines check no permissions")
	started = descendants(t, again.Process.Pid)
	down := exec.Command(command, "local", "down")
	down.Dir = folder
	output, err = down.CombinedOutput()
	require.NoError(t, err, "%s", output)
	for _, pid := range started {
		require.NoError(t, untilGone(ctx, pid), "process %d outlived its run", pid)
	}
	assert.NoFileExists(t, filepath.Join(folder, ".local", "default", "outputs.json"), "its endpoints are gone")
}

// descendants of a process, by the kernel's own list.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	output, err := exec.Command("ps", "-e", "-o", "pid=,ppid=").Output()
	require.NoError(t, err)
	children := map[int][]int{}
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		child, err := strconv.Atoi(fields[0])
		require.NoError(t, err)
		parent, err := strconv.Atoi(fields[1])
		require.NoError(t, err)
		children[parent] = append(children[parent], child)
	}
	var all []int
	for next := children[pid]; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children[next[0]]...)
	}
	return all
}

// untilGone waits until a process has ended.
func untilGone(ctx context.Context, pid int) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := syscall.Kill(pid, 0); err != nil {
			return nil
		}
		if state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil &&
			strings.Contains(string(state), ") Z ") {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
