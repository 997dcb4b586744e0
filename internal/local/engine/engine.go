// Package engine starts what stands in for AWS's services on this machine: the servers that a run
// needs, and the hosts that run programs against them. It says which environment variables lead an
// AWS SDK to them.
//
// The package knows the engines and their order, not what is made in them: templates, resources and
// which of them needs which engine belong to package provider.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/errgroup"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/admission"
	"diecast/internal/local/awsapi"
	"diecast/internal/local/process"
)

// What every engine puts into ARNs.
const (
	Region  = awsapi.DefaultRegion
	Account = awsapi.DefaultAccount
)

// All engines, in the order in which they are told of. Each has a file of its own.
var All = []Engine{Moto, Kinesalite, Dynalite, StateMachineHost, FunctionHost, JobHost, FleetHost}

// stopTimeout bounds the end of engines whose start has failed.
const stopTimeout = 5 * time.Second

// Engine is one of them: a *Kind.
type Engine interface {
	// Name of the product, and of its folder.
	Name() string
	// Installed fails with the remedy where something that the engine needs is missing on this
	// machine, or in the module of this source.
	Installed(ctx context.Context, source string) error

	start(ctx context.Context, options options) (server, error)
	variables() []string
	isHost() bool
}

// server is a running engine.
type server interface {
	Endpoint() string
	Stop(context.Context) error
	ending
}

// ending is how a server tells that it has ended.
type ending interface {
	// Exited is closed when it has ended, whether or not it was asked to.
	Exited() <-chan struct{}
	// Err is nil while it runs and where it was asked to end; else it says why it ended.
	Err() error
}

// Kind is an engine whose running form is an S, such as *kinesalite.Server.
type Kind[S server] struct {
	name string
	// endpoints are the names, in a run's outputs.Endpoints, of the services that it serves.
	endpoints []string
	// host says that it runs programs which call the other engines: it starts when those listen,
	// and gives each program their addresses.
	host      bool
	installed func(ctx context.Context, source string) error
	serve     func(context.Context, options) (S, error)
}

// options of one engine's start.
type options struct {
	// dir is the engine's own folder, source the run's.
	dir, source string
	// credentials are those of the run.
	credentials aws.Credentials
	// environment leads to the engines that are no hosts; it is a host's only.
	environment map[string]string
}

// Name of the product, and of its folder.
func (k *Kind[S]) Name() string { return k.name }

// Installed fails with the remedy where something that the engine needs is missing on this machine,
// or in the module of this source.
func (k *Kind[S]) Installed(ctx context.Context, source string) error {
	return k.installed(ctx, source)
}

// anywhere is installed for this machine, whatever the module.
func anywhere(installed func(context.Context) error) func(context.Context, string) error {
	return func(ctx context.Context, _ string) error { return installed(ctx) }
}

func (k *Kind[S]) variables() []string { return k.endpoints }

func (k *Kind[S]) isHost() bool { return k.host }

func (k *Kind[S]) start(ctx context.Context, options options) (server, error) {
	started, err := k.serve(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.name, err)
	}
	return started, nil
}

// In is the engine's running form. It panics where the engine does not run: whoever uses it names
// it among what it needs.
func (k *Kind[S]) In(running *Running) S {
	started, ok := running.servers[k]
	if !ok {
		panic(fmt.Sprintf("the engine %s was not started: nothing that is made in it says that it needs it", k.name))
	}
	return started.(S)
}

// Running are the engines of one run.
type Running struct {
	servers     map[Engine]server
	credentials aws.Credentials

	mutex  sync.Mutex
	told   func(line string) // see OnSilence
	exited chan struct{}
	err    error // why the first ended by itself
}

// Options of a run's engines.
type Options struct {
	// Dir has a folder for each. Required.
	Dir string
	// Source is a folder of the module whose npm packages are served. Default: the working
	// directory.
	Source string
}

// Start starts these engines: the servers side by side, then the hosts. What an earlier run of the
// same folder left running is ended first. The context bounds the start only. When Start fails,
// nothing is left running.
func Start(ctx context.Context, needed []Engine, of Options) (_ *Running, err error) {
	// Also of the engines that this run does not need.
	if err := process.CleanUpBelow(of.Dir); err != nil {
		return nil, err
	}
	r := &Running{
		servers: map[Engine]server{}, credentials: admission.NewCredentials(), exited: make(chan struct{}),
	}
	ctx, release := r.While(ctx)
	defer release()
	defer func() {
		if err != nil {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			err = errors.Join(err, r.Stop(stopping))
		}
	}()
	for _, hosts := range []bool{false, true} {
		environment := r.endpoints(false)
		group, starting := errgroup.WithContext(ctx)
		for _, engine := range needed {
			if engine.isHost() != hosts {
				continue
			}
			group.Go(func() error {
				folder := filepath.Join(of.Dir, engine.Name())
				started, err := engine.start(starting, options{
					dir: folder, source: of.Source, credentials: r.credentials, environment: environment,
				})
				if err != nil {
					return err
				}
				r.mutex.Lock()
				r.servers[engine] = started
				r.mutex.Unlock()
				r.Watch(engine.Name(), folder, started)
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return nil, cmp.Or(r.Err(), err)
		}
	}
	return r, nil
}

// Watch counts a server that somebody else started, and stops, among the engines: Exited and Err
// tell of its end, and of its silence where it can be asked. The log is the file or the folder in
// which a person finds what it wrote.
func (r *Running) Watch(name, log string, started ending) {
	go func() { // until it has ended, as every server does when it is stopped
		<-started.Exited()
		if err := started.Err(); err != nil {
			r.lose(name, log, err)
		}
	}()
	if server, ok := started.(answering); ok {
		go r.listen(name, log, started.Exited(), server)
	}
}

// lose notes why an engine has ended that was not asked to.
func (r *Running) lose(name, log string, why error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.err == nil {
		r.err = fmt.Errorf("the engine %s has ended, see %s: %w", name, log, why)
		close(r.exited)
	}
}

// While is a context that also ends, with the cause, when an engine does that was not asked to.
func (r *Running) While(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-r.exited:
			cancel(r.Err())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Exited is closed when the first of the engines has ended without being asked to: nothing that
// needs it works from then on.
func (r *Running) Exited() <-chan struct{} { return r.exited }

// Err names the first engine that ended without being asked to, says why, and where its log is; nil
// where none has.
func (r *Running) Err() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.err
}

// Memory is what each engine takes that stores something in a process of its own, and from what on
// it refuses to store more, in bytes; in the order of All. One that has ended is left out.
func (r *Running) Memory() (all []Memory) {
	for _, engine := range All {
		if holds, ok := r.servers[engine].(interface {
			Memory() (taken, limit int64, err error)
		}); ok {
			if taken, limit, err := holds.Memory(); err == nil {
				all = append(all, Memory{engine.Name(), taken, limit})
			}
		}
	}
	return all
}

// Memory of an engine, in bytes.
type Memory struct {
	Name         string
	Taken, Limit int64
}

// StopHosts ends the hosts, and what they run, side by side: what that has under way can finish its
// calls of the other engines. At the context's end it is killed.
func (r *Running) StopHosts(ctx context.Context) error { return r.stop(ctx, true) }

// Stop ends the hosts, and then the other engines, side by side. Stopping twice does nothing.
func (r *Running) Stop(ctx context.Context) error {
	return errors.Join(r.stop(ctx, true), r.stop(ctx, false))
}

func (r *Running) stop(ctx context.Context, hosts bool) error {
	problems := make([]error, len(All))
	var ending sync.WaitGroup
	for n, engine := range All {
		if started, ok := r.servers[engine]; ok && engine.isHost() == hosts {
			ending.Go(func() { problems[n] = started.Stop(ctx) })
		}
	}
	ending.Wait()
	return errors.Join(problems...)
}

// Credentials sign the requests to every engine: each admits these alone. They are made for this
// run, and nobody is told of them but its files and the programs that it runs.
func (r *Running) Credentials() aws.Credentials { return r.credentials }

// Endpoints are the engines' addresses, the login that they take, and outputs.Apart.
func (r *Running) Endpoints() outputs.Endpoints {
	endpoints := r.endpoints(true)
	maps.Copy(endpoints, outputs.Apart(Region))
	endpoints[outputs.AccessKeyID] = r.credentials.AccessKeyID
	endpoints[outputs.SecretAccessKey] = r.credentials.SecretAccessKey
	endpoints[outputs.Region] = Region
	return endpoints
}

func (r *Running) endpoints(hosts bool) outputs.Endpoints {
	endpoints := outputs.Endpoints{}
	for engine, started := range r.servers {
		if engine.isHost() && !hosts {
			continue
		}
		for _, name := range engine.variables() {
			endpoints[name] = started.Endpoint()
		}
	}
	return endpoints
}
