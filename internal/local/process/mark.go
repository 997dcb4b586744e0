package process

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// MarkVariable is in the environment of every child of this process, and so in that of all that a
// child starts and does not give another environment to.
const MarkVariable = "DIECAST_STARTED_BY"

// mark tells the children of this process from everybody else's.
var mark = rand.Text()

func marked(by string) string { return MarkVariable + "=" + by }

const (
	// endedWithin bounds the search for marked processes: each that is killed may have started
	// another one just before.
	endedWithin = 3 * time.Second
	// quietScans are as many as must find nothing: a process that is being started may be missed.
	// unclearScans is their number while there are processes whose environment is empty, as it is
	// for a moment in execve(2).
	quietScans, unclearScans = 2, 10
)

// EndMarked kills every process that descends from a child of this one, and has left its group, and
// waits until none is left. It is for the end of this process: a child that runs is killed, too. It
// returns the ids that it killed. Only Linux tells of other processes' environments: elsewhere
// nothing is found.
func EndMarked() ([]int, error) { return endMarked(mark) }

func endMarked(by string) (killed []int, err error) {
	deadline := time.Now().Add(endedWithin)
	for quiet := 1; ; quiet++ {
		left, unclear := markedProcesses(by)
		switch {
		case len(left) > 0:
			quiet = 0
		case quiet >= quietScans && !unclear, quiet >= unclearScans:
			return killed, nil
		}
		if time.Now().After(deadline) {
			return killed, fmt.Errorf("processes %v were killed and still run", left)
		}
		for _, pid := range left {
			if syscall.Kill(pid, syscall.SIGKILL) == nil && !slices.Contains(killed, pid) {
				killed = append(killed, pid)
			}
		}
		time.Sleep(pollEvery)
	}
}

// StartGuard starts a program that outlives this process, whatever ends it: one that calls Guard.
// The returned function ends it. The guard leads a session of its own, so that what is sent to
// this process's group, by a terminal or a person, does not reach it.
func StartGuard(program string, arguments ...string) (end func() error, err error) {
	guard := exec.Command(program, arguments...)
	guard.Env = []string{"PATH=" + os.Getenv("PATH")}
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	input, err := guard.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := withPlainSignals(guard.Start); err != nil {
		return nil, fmt.Errorf("start %s, which ends what this process would leave: %w", program, err)
	}
	if _, err := io.WriteString(input, mark+"\n"); err != nil {
		return nil, errors.Join(err, guard.Process.Kill(), guard.Wait())
	}
	return func() error { return errors.Join(input.Close(), guard.Wait()) }, nil
}

// Guard waits until the process that started this one by StartGuard has ended, and ends what that
// has left. The input is what StartGuard gives: it names the mark, and ends with that process.
func Guard(input io.Reader) error {
	told, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	by, whole := strings.CutSuffix(string(told), "\n")
	if !whole || by == "" {
		return errors.New("nobody said whom to guard")
	}
	_, err = endMarked(by)
	return err
}
