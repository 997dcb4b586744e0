package runfolder

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// holds asks the kernel whether a process holds the lock: /proc/locks, proc(5). The device in it is
// not always the one that stat(2) tells, so that the file is found by its number.
func holds(pid int, lock *os.File) (bool, error) {
	var status syscall.Stat_t
	if err := syscall.Fstat(int(lock.Fd()), &status); err != nil {
		return false, err
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return false, err
	}
	number := fmt.Sprintf(":%d", status.Ino)
	for line := range strings.Lines(string(locks)) {
		fields := strings.Fields(line) // such as 3: FLOCK ADVISORY WRITE 1234 fe:00:5678 0 EOF
		if len(fields) >= 6 && fields[1] == "FLOCK" && fields[3] == "WRITE" &&
			fields[4] == strconv.Itoa(pid) && strings.HasSuffix(fields[5], number) {
			return true, nil
		}
	}
	return false, nil
}
