package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"diecast/internal/local/process"
)

// ends are what a user's signals ask for.
type ends struct {
	// asked ends with the first signal: what is under way is finished or given up in order.
	asked context.Context
	// hurried ends with a Ctrl-C after that: nothing is waited for any more. Other signals come
	// twice by themselves, from a terminal and its shell, or from two who each want the same end.
	hurried context.Context
	// release gives the signals back.
	release func()
}

// listen turns signals into ends: Ctrl-C, a terminal that is closed, kill(1), and for a run an
// output that nobody reads any more. Who started this by nohup(1) wants it to outlive the terminal.
func listen(arguments []string) ends {
	wanted := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	told := func(os.Signal) bool { return true }
	// Other commands end at once by a broken pipe, as programs do.
	if slices.Contains(arguments, localName) && slices.ContainsFunc(arguments, startsRun) {
		wanted = append(wanted, syscall.SIGPIPE)
		if !process.BlockBrokenPipes() {
			told = func(received os.Signal) bool {
				return received != syscall.SIGPIPE || broken(os.Stdout.Fd(), os.Stderr.Fd())
			}
		}
	}
	received := make(chan os.Signal, 8)
	signal.Notify(received, wanted...)
	heard := heed(received, told)
	return ends{heard.asked, heard.hurried, func() {
		signal.Stop(received)
		heard.release()
	}}
}

// heed turns what is received, and tells of an end, into ends.
func heed(received <-chan os.Signal, told func(os.Signal) bool) ends {
	asked, ask := context.WithCancel(context.Background())
	hurried, hurry := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		for {
			select {
			case one := <-received:
				switch {
				case !told(one):
				case asked.Err() == nil:
					ask()
				case one == os.Interrupt:
					hurry()
				}
			case <-done:
				return
			}
		}
	}()
	return ends{asked, hurried, func() {
		close(done)
		ask()
		hurry()
	}}
}

// startsRun tells whether an argument is a command of local that starts a run.
func startsRun(argument string) bool { return argument == upName || argument == runName }

// broken tells whether nobody reads one of these files any more.
func broken(files ...uintptr) bool {
	asked := make([]unix.PollFd, len(files))
	for n, file := range files {
		asked[n].Fd = int32(file)
	}
	if _, err := unix.Poll(asked, 0); err != nil {
		return false
	}
	return slices.ContainsFunc(asked, func(one unix.PollFd) bool {
		return one.Revents&(unix.POLLERR|unix.POLLHUP) != 0
	})
}
