package process

import (
	"bytes"
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
// The returned function ends it. Where it ends before, it is started again, and told gets a line
// each time. The guard leads a session of its own, so that what is sent to this process's group, by
// a terminal or a person, does not reach it.
func StartGuard(told func(line string), program string, arguments ...string) (end func() error, err error) {
	start := func() (*guard, error) { return startGuard(program, arguments) }
	first, err := start()
	if err != nil {
		return nil, err
	}
	ending, over := make(chan struct{}), make(chan error, 1)
	go func() { over <- keepGuard(first, start, told, ending) }()
	return func() error {
		close(ending)
		return <-over
	}, nil
}

// guardPause is that before a guard is started again that has ended at once; it doubles each time,
// up to longestGuardPause.
const guardPause, longestGuardPause = time.Second, time.Minute

// keepGuard has a guard until it is to end.
func keepGuard(
	current *guard, start func() (*guard, error), told func(string), ending <-chan struct{},
) error {
	for pause := time.Duration(0); ; pause = min(max(2*pause, guardPause), longestGuardPause) {
		select {
		case <-ending:
			return current.end()
		case <-current.exited:
		}
		told(fmt.Sprintf("%v; it is started again", current.failure()))
		select {
		case <-ending:
			return nil // the line has said what there is to say
		case <-time.After(pause):
		}
		if fresh, err := start(); err != nil {
			current.err = err
		} else {
			current = fresh
		}
	}
}

// guard is a process that runs Guard for this one.
type guard struct {
	pid    int
	input  io.Closer
	said   bytes.Buffer // read after exited only
	exited chan struct{}
	err    error // how it ended; read after exited only
}

func startGuard(program string, arguments []string) (*guard, error) {
	child := exec.Command(program, arguments...)
	child.Env = []string{"PATH=" + os.Getenv("PATH")}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	input, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	g := &guard{input: input, exited: make(chan struct{})}
	child.Stderr = &g.said
	if err := withPlainSignals(child.Start); err != nil {
		return nil, fmt.Errorf("start the guard, which ends what this process would leave: %w", err)
	}
	g.pid = child.Process.Pid
	if _, err := io.WriteString(input, mark+"\n"); err != nil {
		_ = child.Process.Kill() // fails where it has ended
		_ = child.Wait()
		return nil, fmt.Errorf("tell the guard, which ends what this process would leave, of it: %w", err)
	}
	go func() {
		g.err = child.Wait()
		close(g.exited)
	}()
	return g, nil
}

// end ends the guard, whose process has nothing more to leave.
func (g *guard) end() error {
	_ = g.input.Close() // fails where it has ended
	<-g.exited
	if g.err != nil {
		return g.failure()
	}
	return nil
}

// failure says how the guard has ended, and what it said.
func (g *guard) failure() error {
	why := g.err
	if why == nil {
		why = errors.New("exit status 0")
	}
	if said := bytes.TrimSpace(g.said.Bytes()); len(said) > 0 {
		why = fmt.Errorf("%w: %s", why, said)
	}
	return fmt.Errorf("the guard, process %d, which ends what this process would leave, has ended: %w", g.pid, why)
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
