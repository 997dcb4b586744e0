// Package platform runs the synthesized platform on this machine: every resource of the assembly
// that runs is created in the laptop's engines, in CloudFormation's order, with the properties that
// the template gives it. Nothing of the platform is described here a second time: what an engine
// does comes from the template alone.
//
// The package starts and stops a run as a whole. It knows neither how a kind of resource is made
// (package provider), nor how an engine is started (package engine), nor what flows through them.
package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/lambdahost"
	"diecast/internal/local/ledger"
	"diecast/internal/local/provider"
)

// Options of a run.
type Options struct {
	// Assembly is the folder that cdk synth wrote. Required.
	Assembly string
	// Source is the root of the Go module whose functions are built, and whose npm packages are
	// served. Required.
	Source string
	// Dir keeps everything of this run: data, logs, outputs. What an earlier run of the same folder
	// left running is stopped first. Required.
	Dir string
	// ShortenBuffers caps the delivery streams' buffer intervals, so that a demonstration does not
	// wait for them. Default 0: the template's intervals.
	ShortenBuffers time.Duration
	// Progress is told each step as it begins. Default: nobody.
	Progress func(step string)
	// Told is one line for each thing that happens by itself while the platform is up, such as a
	// server that is replaced; it is called from any goroutine. Default: nobody.
	Told func(line string)
	// Hurried, when it ends, has what still runs after a start that failed or was given up killed,
	// and not stopped. Default: never.
	Hurried context.Context
}

// Platform is a running platform.
type Platform struct {
	dir     string
	plan    *assembly.Plan
	engines *engine.Running
	made    *provider.Run

	accounting   sync.Mutex
	account      ledger.Account // the last one
	lastAccepted map[string]int
	// stopAccounts ends the accounts that are written by themselves.
	stopAccounts func()

	stopping sync.Once
	stopped  error
}

// stopTimeout bounds an orderly end of a run that could not be started; what still runs then is
// killed.
const stopTimeout = 10 * time.Second

// Start checks the whole assembly first, starts the engines it needs and creates its resources. The
// error of an assembly that cannot run is an assembly.Problems, and nothing was started. When Start
// fails, nothing is left running, nor of it in the folder but logs and what was built.
func Start(ctx context.Context, options Options) (_ *Platform, err error) {
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	if options.Hurried == nil {
		options.Hurried = context.Background()
	}
	// Children have working directories of their own.
	if options.Dir, err = filepath.Abs(options.Dir); err != nil {
		return nil, err
	}
	// A run that was killed could not do so itself.
	if err := Clear(options.Dir); err != nil {
		return nil, fmt.Errorf("removing what an earlier run left: %w", err)
	}
	defer func() {
		if err == nil {
			return
		}
		if left := Clear(options.Dir); left != nil {
			err = errors.Join(err, left)
		}
	}()
	assembled, err := assembly.Read(options.Assembly)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(options.Dir, enginesFolder)
	settings := provider.Options{Source: options.Source, Dir: data, ShortenBuffers: options.ShortenBuffers,
		Told: options.Told}
	here := assembly.Environment{Region: engine.Region, AccountID: engine.Account}
	plan, err := assembled.Plan(here, provider.Check(ctx, settings))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("the run's folder: %w", err)
	}
	options.Progress("starting the engines")
	engines, err := engine.Start(ctx, provider.Needed(plan), engine.Options{Dir: data, Source: options.Source})
	if err != nil {
		return nil, err
	}
	engines.OnSilence(options.Told)
	p := &Platform{dir: options.Dir, plan: plan, engines: engines, made: provider.NewRun(settings, engines),
		stopAccounts: func() {}}
	creating, release := engines.While(ctx)
	defer release()
	err = p.create(creating, options.Progress)
	if err == nil {
		err = p.writeFiles(creating, options.Dir)
	}
	if err == nil {
		p.stopAccounts = p.beginAccounts(options)
		return p, nil
	}
	stopping, cancel := context.WithTimeout(options.Hurried, stopTimeout)
	defer cancel()
	if lost := engines.Err(); lost != nil { // all else that went wrong followed from that
		_ = p.Stop(stopping)
		return nil, lost
	}
	return nil, errors.Join(err, p.Stop(stopping))
}

// create walks the plan in CloudFormation's order.
func (p *Platform) create(ctx context.Context, progress func(string)) error {
	progress("building the functions and servers")
	if err := p.made.Prepare(ctx, p.plan); err != nil {
		return err
	}
	for _, resource := range p.plan.Resources() {
		typed, err := p.plan.Decode(resource)
		if err != nil {
			return err
		}
		if typed == nil {
			continue
		}
		progress("creating " + resource.String())
		creation, err := p.made.Create(ctx, resource, typed)
		if err != nil {
			return err
		}
		if err := p.plan.Created(resource, creation); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends everything: first what gives functions and servers work, so that what is under way is
// finished, then functions, servers and jobs, and last what these use. Each stage has a share of
// the time until the context's end, and ends what it has by then not finished: with the context all
// has ended, and Clear has removed what was stored. Stopping twice does nothing.
func (p *Platform) Stop(ctx context.Context) error {
	p.stopping.Do(func() {
		p.stopAccounts()
		problems := []error{untell(p.dir)}
		flushing, cancel := part(ctx, flushShare)
		problems = append(problems, p.made.Flush(flushing))
		cancel()
		p.closeAccount(ctx)
		hosts, cancel := part(ctx, hostsShare)
		problems = append(problems, p.engines.StopHosts(hosts))
		cancel()
		var made, engines error
		var ending sync.WaitGroup
		ending.Go(func() { made = p.made.Stop(ctx) })
		ending.Go(func() { engines = p.engines.Stop(ctx) })
		ending.Wait()
		p.stopped = errors.Join(append(problems, made, engines, Clear(p.dir))...)
	})
	return p.stopped
}

const (
	// flushShare is the part of a stop's time that what is under way has to be finished; hostsShare
	// that of the rest, which functions and servers have to end.
	flushShare = 0.6
	hostsShare = 0.5
)

// part of the time that is left until a context ends.
func part(ctx context.Context, share float64) (context.Context, context.CancelFunc) {
	end, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(share*float64(time.Until(end))))
}

// Exited is closed when an engine or a database has ended without being asked to: the run is then
// to be stopped.
func (p *Platform) Exited() <-chan struct{} { return p.engines.Exited() }

// Err names the first engine or database that ended without being asked to, says why, and where its
// log is; nil where none has.
func (p *Platform) Err() error { return p.engines.Err() }

// Resources are those of the assembly in the order of their creation.
func (p *Platform) Resources() []*assembly.Resource { return p.plan.Resources() }

// Count is how many resources have each fate.
func (p *Platform) Count() (run, checked int) {
	for _, resource := range p.plan.Resources() {
		if resource.Fate == assembly.Run {
			run++
		} else {
			checked++
		}
	}
	return run, checked
}

// Functions are all that run, in the order of their creation.
func (p *Platform) Functions() []provider.Function { return provider.Made[provider.Function](p.made) }

// Consumers are the event source mappings at work.
func (p *Platform) Consumers() []*provider.Consumer { return provider.Made[*provider.Consumer](p.made) }

// Deliveries are the delivery streams at work.
func (p *Platform) Deliveries() []*provider.Delivery {
	return provider.Made[*provider.Delivery](p.made)
}

// Retried is how many requests the run's load balancers sent to a second server: on AWS each would
// have been answered with 502.
func (p *Platform) Retried() int { return p.made.Retried() }

// HostOptions are those of the run's Lambda host, for another host of the same functions: Dir is to
// be set.
func (p *Platform) HostOptions() lambdahost.Options { return p.engines.HostOptions() }
