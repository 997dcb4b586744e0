package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"diecast/internal/local/platform"
	"diecast/internal/local/process"
)

// Bounds of a run's end, whatever of the run is dead: 15 s where somebody asked for it, 5 s where a
// part has ended by itself, so that who waits hears of it soon, and a moment for who is in a hurry.
// Of each the stop of the parts gets less, for the rest.
const (
	endWithin, stopWithin  = 15 * time.Second, 13 * time.Second
	lostWithin, quitWithin = 5 * time.Second, 4 * time.Second
	hurryWithin            = time.Second
)

// guardName is the command of a process that is there to outlive a run.
const guardName = "guard"

// guardCommand ends what a run leaves whose process was killed. A run starts it.
func guardCommand() *cobra.Command {
	return &cobra.Command{Use: guardName, Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return process.Guard(c.InOrStdin()) }}
}

// guard starts one for this process. The returned function ends it, and all that has left the
// groups of the run's processes and would outlive the run.
func (l *localRun) guard() (end func() error, err error) {
	if l.user.program == "" {
		return func() error { return nil }, nil
	}
	release, err := process.StartGuard(l.tell, l.user.program, localName, guardName)
	if err != nil {
		return nil, err
	}
	return func() error {
		_, err := process.EndMarked()
		if failure := release(); err == nil {
			err = failure
		}
		return err
	}, nil
}

// overdue ends this process, and kills its children, where an end takes longer than it may.
type overdue struct {
	run    *localRun
	mutex  sync.Mutex
	timers []*time.Timer
	over   bool
	// reason why the run ends, where it does so by itself: nobody else tells of it then.
	reason error
}

// after lets the end take so long from now on; the shortest of several counts.
func (o *overdue) after(limit time.Duration) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if !o.over {
		o.timers = append(o.timers, time.AfterFunc(limit, o.kill))
	}
}

// because has an end that is overdue say why the run has ended by itself.
func (o *overdue) because(reason error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.reason = reason
}

// once has an end begin with a context's, after which it may take so long.
func (o *overdue) once(ctx context.Context, limit time.Duration) {
	context.AfterFunc(ctx, func() { o.after(limit) })
}

// met is to be called when all has ended.
func (o *overdue) met() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.over = true
	for _, timer := range o.timers {
		timer.Stop()
	}
}

func (o *overdue) kill() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.over {
		return
	}
	if o.reason != nil {
		o.run.tell(o.reason.Error())
	}
	fmt.Fprintln(o.run.user.err, "the run did not end in time: what was left of it is killed")
	_, _ = process.EndMarked()                                // there is nobody left to tell
	_ = platform.Clear(filepath.Join(runsFolder, o.run.name)) // as above
	os.Exit(1)
}
