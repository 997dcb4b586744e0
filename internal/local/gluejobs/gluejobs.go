// Package gluejobs runs the platform's Glue jobs on this machine: each run is a process of its own
// with Spark in it, started and watched over the part of Glue's API that a job's callers need, on
// 127.0.0.1.
//
// A job has its template's arguments, time-out and number of concurrent runs. What Glue would give
// a script (Spark's settings, drivers, where s3:// leads) each run finds in a folder of its own, so
// that the script is the one that is deployed. The package knows nothing of what a job does, of
// templates, or of who starts it.
//
// Contracts: "AWS Glue API Reference", StartJobRun, GetJobRun, GetJobRuns, BatchStopJobRun, and the
// structure JobRun; "AWS Glue Developer Guide", chapter "Using job parameters in AWS Glue jobs".
package gluejobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"diecast/internal/local/apiserver"
	"diecast/internal/local/process"
)

// Options of a host. All are required but Environment and Port.
type Options struct {
	// Account is the one in which jobs run, Region that of their clients.
	Account, Region string
	// Credentials are what the runs get.
	Credentials aws.Credentials
	// Dir holds a folder for each run: its log, its Spark settings, and while it runs what is
	// temporary. It belongs to one host at a time: what an earlier one left running there is
	// killed.
	Dir string
	// Environment goes to every run and wins over the job's own: the other engines' endpoints.
	Environment map[string]string
	// Port of the API. Default: a free one.
	Port int
}

// Job is what to run.
type Job struct {
	// Name is 1 to 255 characters.
	Name string
	// Script is a Python file.
	Script string
	// Arguments by name with its dashes; a run may override them. --conf adds Spark settings, as on
	// Glue.
	Arguments map[string]string
	// Environment are variables of the script's process. On Glue there are none: what differs on
	// this machine.
	Environment map[string]string
	// Timeout ends a run that takes longer. Glue's has whole minutes; shorter is allowed here, for
	// tests.
	Timeout time.Duration
	// MaxConcurrentRuns is how many runs may be under way at a time; one more is refused.
	MaxConcurrentRuns int
}

// Host runs jobs. Its API ends by itself or by Stop.
type Host struct {
	*apiserver.Server
	options Options
	spark   spark

	ctx    context.Context // ends when the host is stopped
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	mutex   sync.Mutex
	stopped bool
	jobs    map[string]*job
}

// job is one that was added, with its runs, the oldest first.
type job struct {
	Job
	runs []*run
}

// errStopped is why a run ended with its host or its job.
var errStopped = errors.New("the job host was stopped")

// Start opens the API. It fails with installed.ErrNotInstalled where Spark is missing. The context
// bounds the start only.
func Start(ctx context.Context, options Options) (*Host, error) {
	found, err := find(ctx)
	if err != nil {
		return nil, err
	}
	if options.Dir, err = filepath.Abs(options.Dir); err != nil {
		return nil, err
	}
	// Runs end with their host.
	if err := process.CleanUpBelow(options.Dir); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(options.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, err
	}
	h := &Host{options: options, spark: found, jobs: map[string]*job{}}
	h.ctx, h.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if h.Server, err = apiserver.Start("Glue", options.Port, options.Credentials.AccessKeyID, h.api()); err != nil {
		h.cancel(errStopped)
		return nil, err
	}
	return h, nil
}

// Add makes a job known. The error names every problem.
func (h *Host) Add(added Job) error {
	problems := []error{added.Validate()}
	if info, err := os.Stat(added.Script); err != nil || !info.Mode().IsRegular() {
		problems = append(problems, fmt.Errorf("there is no script %s", added.Script))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("add job %q: %w", added.Name, err)
	}
	var err error
	if added.Script, err = filepath.Abs(added.Script); err != nil {
		return err
	}
	added.Arguments, added.Environment = maps.Clone(added.Arguments), maps.Clone(added.Environment)
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if _, exists := h.jobs[added.Name]; exists {
		return fmt.Errorf("add job %q: it was added before", added.Name)
	}
	h.jobs[added.Name] = &job{Job: added}
	return nil
}

// Validate names every problem of a job but those of its script.
func (j Job) Validate() error {
	var problems []error
	if len(j.Name) < 1 || len(j.Name) > 255 {
		problems = append(problems, fmt.Errorf("a name of %d characters: 1 to 255 are allowed", len(j.Name)))
	}
	if j.Timeout <= 0 {
		problems = append(problems, fmt.Errorf("time-out %s: more than 0 is allowed", j.Timeout))
	}
	if j.MaxConcurrentRuns < 1 {
		problems = append(problems, fmt.Errorf("%d concurrent runs: at least 1 is allowed", j.MaxConcurrentRuns))
	}
	if _, err := settings(j.Arguments); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// Remove ends a job's runs, waits until they have ended, and forgets the job.
func (h *Host) Remove(name string) {
	h.mutex.Lock()
	var runs []*run
	if known := h.jobs[name]; known != nil {
		runs = slices.Clone(known.runs)
		delete(h.jobs, name)
	}
	h.mutex.Unlock()
	for _, r := range runs {
		r.stop(errStopped)
		<-r.ended
	}
}

// Stop takes no more requests, kills every run and waits until they have ended. Stopping twice does
// nothing.
func (h *Host) Stop(ctx context.Context) error {
	h.mutex.Lock()
	h.stopped = true
	h.mutex.Unlock()
	h.cancel(errStopped)
	err := h.Close(ctx)
	h.work.Wait()
	return err
}
