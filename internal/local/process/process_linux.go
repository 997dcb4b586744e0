package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

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

// markedProcesses are those that run with this mark in their environment, but for this one. It is
// unclear whether these are all where a program's environment is empty.
func markedProcesses(by string) (pids []int, unclear bool) {
	wanted := []byte(marked(by))
	folders, _ := filepath.Glob("/proc/[0-9]*") // fails for a wrong pattern only
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// Nobody else's can be read.
		environment, err := os.ReadFile(filepath.Join(folder, "environ"))
		if err != nil {
			continue
		}
		if len(environment) == 0 && !unclear {
			// Neither a thread of the kernel nor a process that has ended has a program.
			_, err := os.Readlink(filepath.Join(folder, "exe"))
			unclear = err == nil
		}
		if slices.ContainsFunc(bytes.Split(environment, []byte{0}), func(variable []byte) bool {
			return bytes.Equal(variable, wanted)
		}) {
			pids = append(pids, pid)
		}
	}
	return pids, unclear
}

// withPlainSignals starts a child whose signals are as usual: it would inherit that SIGPIPE is
// blocked (BlockBrokenPipes).
func withPlainSignals(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// One that waits on this thread, of a socket, would be taken for one that somebody sent.
	set, none := brokenPipe(), unix.Timespec{}
	for failure := syscall.Errno(0); failure == 0 || failure == unix.EINTR; {
		_, _, failure = unix.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(set)), 0,
			uintptr(unsafe.Pointer(&none)), signalSetSize, 0, 0)
	}
	var before unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_UNBLOCK, set, &before); err != nil {
		return err
	}
	return errors.Join(start(), unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil))
}

// signalSetSize is the kernel's, in bytes, which has 64 signals.
const signalSetSize = 8

func brokenPipe() *unix.Sigset_t {
	const bits = 8 * int(unsafe.Sizeof(unix.Sigset_t{}.Val[0]))
	var set unix.Sigset_t
	number := int(unix.SIGPIPE) - 1
	set.Val[number/bits] |= 1 << (number % bits)
	return &set
}

// BlockBrokenPipes tells whether SIGPIPE is one that somebody sent, or that came of writing to this
// process's own output, and never one that came of a socket whose other side has gone: those are
// everyday, and a handler of SIGPIPE hears of all alike. The kernel sends the latter to the thread
// that wrote, so all threads have the signal blocked but that of Go's signal handling, which gets
// what is sent to the process. Threads inherit that from the first one only, so the program begins
// anew: the first call does not return, but where that fails.
func BlockBrokenPipes() bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set := brokenPipe()
	var before unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, set, &before); err != nil {
		return false
	}
	if before == union(before, *set) {
		return true
	}
	if self, err := os.Executable(); err == nil {
		_ = syscall.Exec(self, os.Args, os.Environ()) // returns only where it fails: see below
	}
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) // what was set before is valid
	return false
}

func union(a, b unix.Sigset_t) unix.Sigset_t {
	for i := range a.Val {
		a.Val[i] |= b.Val[i]
	}
	return a
}
