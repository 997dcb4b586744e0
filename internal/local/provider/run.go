package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/postgres"
)

// Options of a run, as far as resources depend on them.
type Options struct {
	// Source is the root of the Go module whose functions are built. Required.
	Source string
	// Dir keeps what resources write, a folder each. Required.
	Dir string
	// ShortenBuffers caps the delivery streams' buffer intervals. Default 0: the template's
	// intervals.
	ShortenBuffers time.Duration
	// Told is one line for each thing that happens by itself in a run that is up, such as a server
	// that is replaced; it is called from any goroutine. Default: nobody.
	Told func(line string)
}

// Run is where the resources of a plan are made, one after the other.
type Run struct {
	Options
	Engines *engine.Running

	// watch counts work that may end by itself among the engines.
	watch func(name string, work *worker)
	kept  []any
	// flushes are ended before the hosts of functions, jobs and servers, stops after them.
	flushes, stops []stop
	flushing       sync.Once
	flushed        error
}

// stop ends something, at the latest with the context.
type stop func(context.Context) error

// NewRun is a run without resources. The engines are those that are Needed.
func NewRun(options Options, engines *engine.Running) *Run {
	return &Run{Options: options, Engines: engines,
		watch: func(name string, work *worker) { engines.Watch(name, filepath.Join(options.Dir, "log"), work) }}
}

// tell a line of what happens by itself.
func (r *Run) tell(line string) {
	if r.Told != nil {
		r.Told(line)
	}
}

// preparations at a time: each may use a processor for seconds.
const preparations = 2

// Prepare does ahead what takes long, for all resources of a plan.
func (r *Run) Prepare(ctx context.Context, plan *assembly.Plan) error {
	group, preparing := errgroup.WithContext(ctx)
	group.SetLimit(preparations)
	for _, resource := range running(plan) {
		group.Go(func() error { return of(resource.Type).prepared(preparing, r, resource, plan.Rehearsed(resource)) })
	}
	return group.Wait()
}

// keep lets others find what was made beside its creation.
func keep[T any](run *Run, made T) { run.kept = append(run.kept, made) }

// Made is everything of a type that was kept, in the order in which it was made: each *Consumer,
// *Delivery or Function.
func Made[T any](run *Run) []T {
	var all []T
	for _, one := range run.kept {
		if made, ok := one.(T); ok {
			all = append(all, made)
		}
	}
	return all
}

// onFlush has something ended first when the run ends, while functions and servers still work: what
// gives them work.
func (r *Run) onFlush(end stop) { r.flushes = append(r.flushes, end) }

// onStop has something ended when functions and servers have ended: what they use.
func (r *Run) onStop(end stop) { r.stops = append(r.stops, end) }

// Flush ends what gives functions and servers work, and has that finished which is under way. What
// is not when the context ends is given up. Flushing twice does nothing more.
func (r *Run) Flush(ctx context.Context) error {
	r.flushing.Do(func() { r.flushed = sideBySide(ctx, r.flushes) })
	return r.flushed
}

// Stop flushes, where nobody has, and ends all else that was made: with the context, nothing of it
// is left.
func (r *Run) Stop(ctx context.Context) error {
	return errors.Join(r.Flush(ctx), sideBySide(ctx, r.stops))
}

// sideBySide makes all stops, so that one that takes its time costs the others none. The error has
// all problems, those of what was made last first.
func sideBySide(ctx context.Context, stops []stop) error {
	problems := make([]error, len(stops))
	var ending sync.WaitGroup
	for n, end := range stops {
		ending.Go(func() { problems[len(stops)-1-n] = end(ctx) })
	}
	ending.Wait()
	return errors.Join(problems...)
}

// worker is work in this process that goes on until it is stopped.
type worker struct {
	exited  chan struct{}
	err     error // read only after exited is closed
	stopped atomic.Bool
}

// Exited is closed when the work has ended.
func (w *worker) Exited() <-chan struct{} { return w.exited }

// Err is why the work has ended by itself; nil where it was stopped.
func (w *worker) Err() error {
	if w.stopped.Load() {
		return nil
	}
	return w.err
}

// task is work in this process that goes on until it is stopped.
type task struct {
	// name in messages.
	name string
	// run works until the context ends, finishes then what is under way, and returns nil.
	run func(context.Context) error
	// ready is closed when the work has begun.
	ready <-chan struct{}
	// giveUp has run finish nothing more. Default: it ends by itself when the functions do that it
	// waits for.
	giveUp func()
}

// background does a task until the run stops, and waits until it is ready. Work that ends by itself
// later ends the run as an engine's end does: without it nothing more arrives, and whoever waits
// for that would never hear why.
func (r *Run) background(ctx context.Context, t task) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &worker{exited: make(chan struct{})}
	go func() {
		w.err = t.run(running)
		close(w.exited)
	}()
	r.onFlush(func(ctx context.Context) error {
		w.stopped.Store(true)
		cancel()
		select {
		case <-w.exited:
		case <-ctx.Done():
			if t.giveUp != nil {
				t.giveUp()
			}
		}
		return nil // see below
	})
	r.onStop(func(ctx context.Context) error {
		select {
		case <-w.exited:
			return w.err
		case <-ctx.Done():
			return fmt.Errorf("the %s has not ended: %w", t.name, context.Cause(ctx))
		}
	})
	select {
	case <-t.ready:
		r.watch(t.name, w)
		return nil
	case <-w.exited:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// log is a file of this name for a resource that this process itself runs.
func (r *Run) log(name string) (*slog.Logger, error) {
	folder, err := r.folder("log")
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(folder, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	r.onStop(func(context.Context) error { return file.Close() })
	return slog.New(slog.NewJSONHandler(file, nil)), nil
}

// folder of the run with this name.
func (r *Run) folder(name string) (string, error) {
	folder := filepath.Join(r.Dir, name)
	return folder, os.MkdirAll(folder, 0o700)
}

// RemoveLeft ends and removes what resources of a run that has ended have left outside of its
// folder, and so of all runs whose processes have ended.
func RemoveLeft(dir string) error { return postgres.RemoveLeft(dir) }
