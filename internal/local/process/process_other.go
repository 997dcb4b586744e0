//go:build !linux

package process

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes cannot tie the child to its parent here: only Linux has that. The PID file stands in.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// awaitEnd cannot wait without reaping here; the wait that follows does.
func awaitEnd(int) {}

// startTime is what ps(1) tells. A process that has ended and was not waited for has one, too.
func startTime(pid int) (started string, ended bool, err error) {
	command := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid))
	command.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	output, err := command.Output()
	if err != nil {
		return "", false, fmt.Errorf("ask ps about process %d: %w", pid, err)
	}
	state, started, found := strings.Cut(strings.TrimSpace(string(output)), " ")
	if !found {
		return "", false, fmt.Errorf("ps tells nothing of process %d", pid)
	}
	return strings.TrimSpace(started), strings.HasPrefix(state, "Z"), nil
}

// markedProcesses finds none: only Linux tells of other processes' environments.
func markedProcesses(string) ([]int, bool) { return nil, false }

// withPlainSignals has nothing to undo, see BlockBrokenPipes.
func withPlainSignals(start func() error) error { return start() }

// BlockBrokenPipes is never so here: only Linux tells the signals apart.
func BlockBrokenPipes() bool { return false }
