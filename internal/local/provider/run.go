package provider

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
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
	stops []func(context.Context) error
}

// NewRun is a run without resources. The engines are those that are Needed.
func NewRun(options Options, engines *engine.Running) *Run {
	return &Run{Options: options, Engines: engines,
		watch: func(name string, work *worker) { engines.Watch(name, filepath.Join(options.Dir, "log"), work) }}
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

// onStop has something stopped with the run.
func (r *Run) onStop(stop func(context.Context) error) { r.stops = append(r.stops, stop) }

// Stop ends what was made, the last first: whoever feeds functions is ended before what they use.
func (r *Run) Stop(ctx context.Context) error {
	var problems []error
	for i := len(r.stops) - 1; i >= 0; i-- {
		problems = append(problems, r.stops[i](ctx))
	}
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

// background runs work until the run stops, and waits until it is ready. Work that ends by itself
// later ends the run as an engine's end does: without it nothing more arrives, and whoever waits
// for that would never hear why.
func (r *Run) background(ctx context.Context, name string, work func(context.Context) error,
	ready <-chan struct{}) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &worker{exited: make(chan struct{})}
	go func() {
		w.err = work(running)
		close(w.exited)
	}()
	r.onStop(func(ctx context.Context) error {
		w.stopped.Store(true)
		cancel()
		select {
		case <-w.exited:
			return w.err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	select {
	case <-ready:
		r.watch(name, w)
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
