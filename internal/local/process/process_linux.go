package process

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes make the kernel signal the child when the thread that started it ends.
func attributes(death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: death}
}

// awaitEnd returns when the child has ended, and leaves its number taken: until it is waited for,
// nobody else can have it.
func awaitEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// startTime is the boot's id and the clock tick after it at which the process started: field 22 of
// /proc/<pid>/stat, proc(5). A process that has ended and was not waited for has one, too.
func startTime(pid int) (started string, ended bool, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", false, err
	}
	// The second field is the name in parentheses, which may hold anything; after it comes the
	// third.
	rest := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	field := func(number int) string { return rest[number-3] }
	if len(rest) < 22-3+1 {
		return "", false, fmt.Errorf("/proc/%d/stat ends after %d fields, 22 are needed", pid, len(rest)+2)
	}
	return strings.TrimSpace(string(boot)) + " " + field(22), field(3) == "Z", nil
}
