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
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// awaitEnd cannot wait without reaping here; the wait that follows does.
func awaitEnd(int) {}

// startTime is what ps(1) tells.
func startTime(pid int) (string, error) {
	command := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid))
	command.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("ask ps about process %d: %w", pid, err)
	}
	state, started, found := strings.Cut(strings.TrimSpace(string(output)), " ")
	if !found || strings.HasPrefix(state, "Z") {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return strings.TrimSpace(started), nil
}
