//go:build !linux

package process

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

const kibi = 1 << 10

// Memory is what a process takes of this machine's memory, in bytes: what is resident.
func Memory(pid int) (int64, error) {
	number, err := ask("ps", "-o", "rss=", "-p", strconv.Itoa(pid))
	return number * kibi, err
}

// MachineMemory is all of this machine's, in bytes.
func MachineMemory() int64 {
	all, err := ask("sysctl", "-n", "hw.memsize")
	if err != nil {
		return leastMemory
	}
	return all
}

func ask(name string, arguments ...string) (int64, error) {
	command := exec.Command(name, arguments...)
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/bin", "LC_ALL=C"}
	output, err := command.Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", name, err)
	}
	return strconv.ParseInt(strings.TrimSpace(string(output)), 10, 64)
}
