package process

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const kibi = 1 << 10

// Memory is what a process takes of this machine's memory, in bytes: what is resident.
func Memory(pid int) (int64, error) { return proc(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") }

// MachineMemory is all of this machine's, in bytes, or of the container's that limits it.
func MachineMemory() int64 {
	all, err := proc("/proc/meminfo", "MemTotal:")
	if err != nil {
		return leastMemory
	}
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			all = min(all, limit)
		}
	}
	return all
}

// proc is a number of kibibytes in a file of the kernel's, in bytes.
func proc(path, name string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), name); found {
			number, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return number * kibi, err
		}
	}
	return 0, fmt.Errorf("%s has no line %s", path, name)
}
