// Package process runs the child processes of the laptop's engines, so that none outlives the
// process that started it.
//
// A child leads a process group of its own; whatever it started dies with it. On Linux the kernel
// kills the child when its parent dies, however that dies (prctl(2), PR_SET_PDEATHSIG). Elsewhere,
// and for what a killed child left behind, there is the PID file: CleanUp, called before the next
// start, ends what such a file still names. What has left its group is found by the mark that every
// child's environment has, on Linux too: EndMarked ends it at the end of this process, and a Guard
// after that. The package knows nothing of what the processes are for.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"diecast/internal/wait"
)

const (
	// DefaultGrace is how long Stop waits before it kills.
	DefaultGrace = 5 * time.Second
	// pollEvery is how often WaitReady asks.
	pollEvery = 10 * time.Millisecond
	// DefaultReadyWithin bounds WaitReady: a database that recovers from a crash takes a minute.
	DefaultReadyWithin = 3 * time.Minute
	// strangerDelay is how long a child may take to notice that its port is taken.
	strangerDelay = 2 * time.Second
	// outputDelay is how long a dead child's output is still read when a process that left its
	// group holds it open.
	outputDelay = time.Second
)

// Command is what to run.
type Command struct {
	// Path of the executable, absolute or relative to the working directory; PATH is not searched.
	Path string
	// Arguments after the name.
	Arguments []string
	// Dir is the child's working directory. Default: the caller's.
	Dir string
	// Environment is the child's whole environment, as NAME=value, beside the mark of this process
	// (EndMarked). Default: empty; nothing is inherited.
	Environment []string
	// Output takes what the child writes to its standard output and error. An *os.File is given to
	// the child as it is, so that writing costs the caller nothing. Default: thrown away.
	Output io.Writer
	// Credential is the user to run as. Default: the caller.
	Credential *syscall.Credential
	// StopSignal asks the child to end. Default SIGTERM.
	StopSignal syscall.Signal
	// DeathSignal is what the kernel sends the child when its parent dies (Linux only), for a
	// server that cleans up after itself in no time. Default SIGKILL.
	DeathSignal syscall.Signal
	// Grace is how long Stop waits after StopSignal before it kills the group. Default
	// DefaultGrace.
	Grace time.Duration
	// ReadyWithin is how long WaitReady waits at most. Default DefaultReadyWithin.
	ReadyWithin time.Duration
	// PIDFile, where given, names the running child for CleanUp; it is removed when the child has
	// ended.
	PIDFile string
}

// Process is a started child.
type Process struct {
	command Command
	pid     int
	exited  chan struct{}
	err     error // how it ended; read only after exited is closed
}

// Start starts the child, whose files only its user may read, and returns at once.
func Start(command Command) (*Process, error) {
	if command.StopSignal == 0 {
		command.StopSignal = syscall.SIGTERM
	}
	if command.DeathSignal == 0 {
		command.DeathSignal = syscall.SIGKILL
	}
	if command.Grace == 0 {
		command.Grace = DefaultGrace
	}
	if command.ReadyWithin == 0 {
		command.ReadyWithin = DefaultReadyWithin
	}
	child := exec.Command(command.Path, command.Arguments...)
	child.Dir, child.Stdout, child.Stderr = command.Dir, command.Output, command.Output
	child.Env = append([]string{marked(mark)}, command.Environment...)
	child.SysProcAttr = attributes(command.DeathSignal)
	child.SysProcAttr.Setpgid = true
	child.SysProcAttr.Credential = command.Credential
	child.WaitDelay = outputDelay

	p := &Process{command: command, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ties the child to the thread that started it, not to the process: keep that
		// thread as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := forOwner(func() error { return withPlainSignals(child.Start) })
		if err == nil {
			p.pid = child.Process.Pid
			if err = p.writePIDFile(); err != nil {
				p.Kill()
				_ = child.Wait() // killed just now; the error to report is that of the file
			}
		}
		started <- err
		if err != nil {
			return
		}
		awaitEnd(p.pid)
		p.killGroup() // what the child started and left
		p.err = child.Wait()
		if command.PIDFile != "" {
			_ = os.Remove(command.PIDFile) // a file left behind names nobody that runs
		}
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	return p, nil
}

// masking is held by who has changed the process's umask for a moment.
var masking sync.Mutex

// forOwner starts a child whose files are its owner's alone: it inherits the umask. What this process
// makes in that moment is its owner's, too.
func forOwner(start func() error) error {
	masking.Lock()
	defer masking.Unlock()
	defer syscall.Umask(syscall.Umask(0o077))
	return start()
}

// Run runs the child to its end. When the context ends first, the child and all that it started are
// killed. The error says how the child ended, as os/exec does.
func Run(ctx context.Context, command Command) error {
	p, err := Start(command)
	if err != nil {
		return err
	}
	select {
	case <-p.exited:
		return p.err
	case <-ctx.Done():
		p.Kill()
		<-p.exited
		return fmt.Errorf("%s was killed: %w", filepath.Base(command.Path), context.Cause(ctx))
	}
}

// PID is the child's process id, which is its group's, too.
func (p *Process) PID() int { return p.pid }

// Exited is closed when the child has ended and its output is complete.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err says how the child ended, as (*exec.Cmd).Wait does: nil for status 0. It blocks until then.
func (p *Process) Err() error {
	<-p.exited
	return p.err
}

// WaitReady asks again and again whether the child serves until the probe returns nil. It fails
// when the child ends, at once when the probe's error is a wait.Permanent one, after the command's
// ReadyWithin, and when the context ends; the error has the last answer of the probe. The child is
// left as it is.
func (p *Process) WaitReady(ctx context.Context, probe func(context.Context) error) error {
	// A stranger on the same port may accept and stay silent, so a probe under way ends when the
	// child has ended.
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.exited:
			cancel()
		case <-alive.Done():
		}
	}()
	name := filepath.Base(p.command.Path)
	err := wait.Rule{For: p.command.ReadyWithin, Pause: pollEvery}.Until(alive, probe)
	if wait.IsPermanent(err) {
		// It may be a stranger who refuses, on the port that the child wants: then the child ends.
		select {
		case <-p.exited:
		case <-ctx.Done():
		case <-time.After(strangerDelay):
		}
	}
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended before it was ready: %w", name, p.ending())
	default:
	}
	switch {
	case err == nil:
		return nil
	case wait.IsPermanent(err):
		return fmt.Errorf("%s refuses to serve: %w", name, err)
	}
	return fmt.Errorf("%s was not ready in time: %w", name, err)
}

func (p *Process) ending() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// Stop asks the child to end and waits until it has. After the grace period, or at the context's
// end where that is earlier, it kills the group, and says so. Stopping twice does nothing.
func (p *Process) Stop(ctx context.Context) error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	_ = syscall.Kill(p.pid, p.command.StopSignal) // fails only where the child has just ended
	grace, cancel := context.WithTimeoutCause(ctx, p.command.Grace, fmt.Errorf("the grace period of %s is over",
		p.command.Grace))
	defer cancel()
	select {
	case <-p.exited:
		return nil
	case <-grace.Done():
		p.Kill()
		<-p.exited
		return fmt.Errorf("%s (process %d) was killed, it did not stop in time: %w", filepath.Base(p.command.Path),
			p.pid, context.Cause(grace))
	}
}

// Kill ends the child and all of its group at once; Exited tells when they have ended.
func (p *Process) Kill() {
	select {
	case <-p.exited: // the number may be somebody else's by now
	default:
		p.killGroup()
	}
}

func (p *Process) killGroup() { _ = syscall.Kill(-p.pid, syscall.SIGKILL) } // fails only where none is left

// Loopback is the address that every engine of the laptop listens on.
const Loopback = "127.0.0.1"

// FreePort is a TCP port of the loopback address on which nobody listens now. Somebody may take it
// before the child does, so a start that fails for that reason is tried again with another.
func FreePort() (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(Loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// Tail is the end of a log file on one line, for an error message: at most length bytes. Where the
// file cannot be read it says why.
func Tail(path string, length int) string {
	log, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	log = bytes.TrimSpace(log)
	return strings.ReplaceAll(string(log[max(0, len(log)-length):]), "\n", " | ")
}
