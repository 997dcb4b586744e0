// Package stepfunctions runs the platform's state machines on this machine: it interprets their own
// definitions (package asl) and serves the part of Step Functions' API that starts, stops and tells
// of executions, on 127.0.0.1. What a Task calls goes to the run's other engines, by the SDK's
// clients.
//
// Machines are of the type STANDARD: an execution's name is taken for good, and its history is kept
// as long as the host. The package knows nothing of what a machine is for, nor of templates.
//
// Contract: "AWS Step Functions API Reference".
package stepfunctions

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"diecast/internal/local/apiserver"
	"diecast/internal/local/stepfunctions/asl"
)

// Options of a host. Account, Region and AccessKeyID are required.
type Options struct {
	// AccessKeyID is whose requests the API answers.
	AccessKeyID string
	// Account and Region stand in the ARNs.
	Account, Region string
	// Port of the API. Default: a free one.
	Port int
}

// Machine is a state machine.
type Machine struct {
	// Name is 1 to 80 characters.
	Name string
	// Definition is Amazon States Language, complete.
	Definition string
	// Role is told to who describes the machine; nothing is checked against it.
	Role string
	// Clients are what Tasks call.
	Clients Clients
}

// Host runs executions. Its API ends by itself or by Stop.
type Host struct {
	*apiserver.Server
	options Options

	ctx    context.Context // ends when the host is stopped
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	mutex    sync.Mutex
	stopped  bool
	machines map[string]*machine // by ARN
}

type machine struct {
	Machine
	arn     string
	created time.Time
	parsed  *asl.Machine
	// executions, the oldest first.
	executions []*execution
	// ctx ends when the machine is removed.
	ctx    context.Context
	cancel context.CancelCauseFunc
}

var errStopped = errors.New("the state machine host was stopped")

// maxUnderWay bounds how many executions of a machine run at a time. AWS's limit is a million.
const maxUnderWay = 100

// Start opens the API. The context bounds the start only.
func Start(ctx context.Context, options Options) (*Host, error) {
	h := &Host{options: options, machines: map[string]*machine{}}
	h.ctx, h.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	var err error
	if h.Server, err = apiserver.Start("Step Functions", options.Port, options.AccessKeyID, h.api()); err != nil {
		h.cancel(errStopped)
		return nil, err
	}
	return h, nil
}

// Check names everything in a definition that the interpreter would not honour.
func Check(definition string) error {
	_, err := asl.Parse(definition, integrations())
	return err
}

// Add makes a machine known and returns its ARN. The error names every problem.
func (h *Host) Add(added Machine) (arn string, err error) {
	if len(added.Name) < 1 || len(added.Name) > 80 {
		return "", fmt.Errorf("add state machine %q: a name of %d characters: 1 to 80 are allowed", added.Name,
			len(added.Name))
	}
	parsed, err := asl.Parse(added.Definition, integrations())
	if err != nil {
		return "", fmt.Errorf("add state machine %q: %w", added.Name, err)
	}
	arn = fmt.Sprintf("arn:aws:states:%s:%s:stateMachine:%s", h.options.Region, h.options.Account, added.Name)
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.machines[arn] != nil {
		return "", fmt.Errorf("add state machine %q: it was added before", added.Name)
	}
	m := &machine{Machine: added, arn: arn, created: time.Now(), parsed: parsed}
	m.ctx, m.cancel = context.WithCancelCause(h.ctx)
	h.machines[arn] = m
	return arn, nil
}

// Remove ends a machine's executions, waits until they have ended, and forgets the machine.
func (h *Host) Remove(arn string) {
	h.mutex.Lock()
	removed := h.machines[arn]
	delete(h.machines, arn)
	h.mutex.Unlock()
	if removed == nil {
		return
	}
	removed.cancel(errStopped)
	for _, one := range removed.executions {
		<-one.ended
	}
}

// Stop takes no more requests, aborts every execution and waits until they have ended. Stopping
// twice does nothing.
func (h *Host) Stop(ctx context.Context) error {
	h.mutex.Lock()
	h.stopped = true
	h.mutex.Unlock()
	h.cancel(errStopped)
	err := h.Close(ctx)
	h.work.Wait()
	return err
}

// execution is one of a machine's.
type execution struct {
	name, arn, input string
	begun            time.Time
	stop             context.CancelCauseFunc
	ended            chan struct{} // closed when last is known

	mutex  sync.Mutex
	events []event
	last   asl.Event // of no type while it runs
}

// event is one of a history.
type event struct {
	asl.Event
	at time.Time
}

// start begins an execution of a machine. The caller has locked the host.
func (h *Host) start(of *machine, name, input string) *execution {
	e := &execution{
		name: name, input: input, begun: time.Now(), ended: make(chan struct{}),
		arn: fmt.Sprintf("arn:aws:states:%s:%s:execution:%s:%s", h.options.Region, h.options.Account, of.Name, name),
	}
	ctx, stop := context.WithCancelCause(of.ctx)
	e.stop = stop
	of.executions = append(of.executions, e)
	h.work.Go(func() {
		defer close(e.ended)
		defer stop(nil)
		last := of.parsed.Run(ctx, asl.Execution{
			ID: e.arn, Name: name, MachineID: of.arn, MachineName: of.Name, Input: input,
			Invoke: of.Clients.invoke, Told: e.note,
		})
		e.mutex.Lock()
		defer e.mutex.Unlock()
		e.last = last
	})
	return e
}

func (e *execution) note(told asl.Event) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.events = append(e.events, event{told, time.Now()})
}

// underWay says whether an execution has not ended.
func (e *execution) underWay() bool {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.last.Type == ""
}
