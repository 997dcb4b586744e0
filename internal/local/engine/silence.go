package engine

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

const (
	// askEvery is the pause between two questions to an engine that answers.
	askEvery = 2 * time.Second
	// answerWithin is how long each of them may take.
	answerWithin = 3 * time.Second
	// missesTold is how many questions in a row are not answered until somebody is told: after one
	// alone the whole run may have been suspended.
	missesTold = 2
	// missesBorne is how many are not answered until the engine counts as ended. They are counted,
	// not the time, which goes on while a run is suspended.
	missesBorne = int(2 * time.Minute / answerWithin)
)

// answering is a server that can be asked for a sign of life.
type answering interface {
	Answers(context.Context) error
}

// errSilent is why an engine counts as ended that runs.
var errSilent = fmt.Errorf("it runs, and has left %d questions in a row unanswered", missesBorne)

// OnSilence has somebody told in a line when an engine does not answer any more, and when it does
// again; from any goroutine. What it was asked meanwhile is waited for: an engine that stays silent
// ends the run in the end, as one that has ended does.
func (r *Running) OnSilence(told func(line string)) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.told = told
}

// listen asks a server for signs of life until it has ended.
func (r *Running) listen(name, log string, exited <-chan struct{}, server answering) {
	tell := func(format string, arguments ...any) {
		r.mutex.Lock()
		told := r.told
		r.mutex.Unlock()
		if told != nil {
			told(fmt.Sprintf("the engine %s ", name) + fmt.Sprintf(format, arguments...))
		}
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for misses := 0; ; {
		select {
		case <-tick.C:
		case <-exited:
			return
		}
		unanswered := missed(server, exited)
		select {
		case <-exited: // which is told by others
			return
		default:
		}
		if !unanswered {
			if misses >= missesTold {
				tell("answers again")
			}
			misses = 0
			continue
		}
		switch misses++; misses {
		case missesTold:
			tell("does not answer, see %s; what was asked of it is waited for", log)
		case missesBorne:
			r.lose(name, log, errSilent)
			return
		}
	}
}

// missed tells whether a server leaves a question unanswered. What else it says to it is an answer.
func missed(server answering, exited <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	go func() {
		select {
		case <-exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := server.Answers(ctx)
	return err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, syscall.ECONNREFUSED)
}
