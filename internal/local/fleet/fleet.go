// Package fleet runs Auto Scaling groups on this machine, behind the part of Auto Scaling's API
// that tells of instances and rolls them. An instance is a process of the group's program, with a
// port, a folder and an instance metadata service of its own; it is launched, found healthy by the
// group's targets, replaced when it ends or stays unhealthy, and drained before it is stopped.
//
// The package knows neither what the program serves, nor what routes requests to it. A group has
// its minimum of instances: nothing scales here.
package fleet

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
	"diecast/internal/local/gobuild"
	"diecast/internal/local/process"
)

// Options of a host.
type Options struct {
	// Dir keeps the programs that were built and a folder for each instance. What an earlier host
	// of the same folder left running is killed, and what it left is removed. Required.
	Dir string
	// Account and Region stand in ARNs and zones. Required.
	Account, Region string
	// Credentials are what instances sign with: those of the metadata service on AWS. Required.
	Credentials aws.Credentials
	// Environment leads to the engines; it overrules a group's.
	Environment map[string]string
	// Port of the API. Default: a free one.
	Port int
}

// Targets route requests to instances.
type Targets interface {
	// Key is a secret of the targets: an instance refuses requests whose header
	// environment.KeyHeader does not tell it.
	Key() string
	Register(id, address string) error
	// Deregister gives an instance no more requests, and returns when it has none.
	Deregister(ctx context.Context, id string) error
	// AwaitHealthy and AwaitUnhealthy return nil when an instance is found so.
	AwaitHealthy(ctx context.Context, id string) error
	AwaitUnhealthy(ctx context.Context, id string) error
	// Retried is how many requests went to another instance after one had failed them.
	Retried() int
}

// Group is an Auto Scaling group.
type Group struct {
	// Name is what the API calls it. Required.
	Name string
	// Source is the folder of the Go command that its instances run. Required.
	Source string
	// Environment of the program, and the variable in it that takes an instance's port. Required.
	Environment  map[string]string
	PortVariable string
	// KeyVariable takes the key that requests must tell. An instance that answers without is not
	// launched. Required.
	KeyVariable string
	// Size is how many instances there are, in the zones by turns. Required.
	Size  int
	Zones []string
	// Grace is how long a new instance may take until it is healthy.
	Grace time.Duration
	// Stopping is how long an instance may take to end that has no more requests.
	Stopping time.Duration
	// Targets are told of the instances. Required.
	Targets Targets
	// Told is one line for each thing that happens by itself. Default: nobody.
	Told func(line string)
}

// Validate names every problem of a group.
func (g Group) Validate() error {
	var problems []error
	if g.Size < 1 {
		problems = append(problems, fmt.Errorf("%d instances: at least 1 is needed", g.Size))
	}
	if len(g.Zones) == 0 {
		problems = append(problems, errors.New("no zone: at least 1 is needed"))
	}
	if _, stated := g.Environment[g.PortVariable]; !stated {
		problems = append(problems, fmt.Errorf("the environment lacks %s, by which an instance gets a port of its own",
			g.PortVariable))
	}
	if g.KeyVariable == "" {
		problems = append(problems,
			errors.New("no variable takes the key by which an instance knows its load balancer"))
	}
	if g.Grace <= 0 || g.Stopping <= 0 {
		problems = append(problems, fmt.Errorf("%s until healthy and %s until stopped: more than 0 is needed", g.Grace,
			g.Stopping))
	}
	return errors.Join(problems...)
}

// Host runs groups. Its API ends by itself or by Stop.
type Host struct {
	*apiserver.Server
	options Options

	mutex   sync.Mutex
	stopped bool
	groups  map[string]*group
	built   map[string]*build
	builds  int
}

// build is a program by its source.
type build struct {
	mutex      sync.Mutex // held while compiling
	executable string
}

// Start opens the API. The context bounds the start only.
func Start(_ context.Context, options Options) (*Host, error) {
	var err error
	if options.Dir, err = filepath.Abs(options.Dir); err != nil {
		return nil, err
	}
	if err := process.CleanUpBelow(options.Dir); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(options.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, err
	}
	h := &Host{options: options, groups: map[string]*group{}, built: map[string]*build{}}
	h.Server, err = apiserver.Start("Auto Scaling", options.Port, options.Credentials.AccessKeyID, h.api())
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Build compiles the Go command in a folder, once, ahead of its group.
func (h *Host) Build(ctx context.Context, source string) (executable string, err error) {
	if source, err = filepath.Abs(source); err != nil {
		return "", err
	}
	h.mutex.Lock()
	known := h.built[source]
	if known == nil {
		known = &build{}
		h.built[source] = known
	}
	h.mutex.Unlock()
	known.mutex.Lock()
	defer known.mutex.Unlock()
	if known.executable == "" {
		known.executable, err = h.compile(ctx, source)
	}
	return known.executable, err
}

// compile builds a source into a file of its own: the program of an earlier build runs on.
func (h *Host) compile(ctx context.Context, source string) (string, error) {
	h.mutex.Lock()
	h.builds++
	executable := filepath.Join(h.options.Dir, fmt.Sprintf("build-%d", h.builds), filepath.Base(source))
	h.mutex.Unlock()
	if err := gobuild.Compile(ctx, source, executable); err != nil {
		return "", err
	}
	return executable, nil
}

// Add launches a group's instances, and returns when all are healthy. The error says what of them
// failed; nothing is left running then. The context bounds the launch only.
func (h *Host) Add(ctx context.Context, added Group) error {
	if err := added.Validate(); err != nil {
		return fmt.Errorf("add group %q: %w", added.Name, err)
	}
	var err error
	if added.Source, err = filepath.Abs(added.Source); err != nil {
		return err
	}
	if added.Told == nil {
		added.Told = func(string) {}
	}
	added.Environment, added.Zones = maps.Clone(added.Environment), slices.Clone(added.Zones)
	executable, err := h.Build(ctx, added.Source)
	if err != nil {
		return err
	}
	g := newGroup(h, added, executable)
	h.mutex.Lock()
	if h.stopped {
		err = errStopped
	} else if h.groups[added.Name] != nil {
		err = fmt.Errorf("add group %q: it was added before", added.Name)
	} else {
		h.groups[added.Name] = g
	}
	h.mutex.Unlock()
	if err != nil {
		return err
	}
	if err := g.fill(ctx); err != nil {
		return fmt.Errorf("add group %q: %w", added.Name,
			errors.Join(err, h.Remove(context.WithoutCancel(ctx), added.Name)))
	}
	return nil
}

// Remove stops a group's instances, and forgets it. What they have under way is given the context's
// time, and at most that of an orderly stop.
func (h *Host) Remove(ctx context.Context, name string) error {
	h.mutex.Lock()
	g := h.groups[name]
	delete(h.groups, name)
	h.mutex.Unlock()
	if g == nil {
		return nil
	}
	return g.stop(ctx)
}

// find a group by its name.
func (h *Host) find(name string) (*group, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	g := h.groups[name]
	if g == nil {
		return nil, fmt.Errorf("no group is called %q; there are %v", name, slices.Sorted(maps.Keys(h.groups)))
	}
	return g, nil
}

// Stop takes no more requests and stops every group. Stopping twice does nothing.
func (h *Host) Stop(ctx context.Context) error {
	h.mutex.Lock()
	h.stopped = true
	names := slices.Sorted(maps.Keys(h.groups))
	h.mutex.Unlock()
	var problems []error
	for _, name := range names {
		problems = append(problems, h.Remove(ctx, name))
	}
	return errors.Join(append(problems, h.Close(ctx))...)
}
