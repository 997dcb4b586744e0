package asl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Execution is one run of a machine: who it is, and what it calls and tells.
type Execution struct {
	// ID and Name of the execution, MachineID and MachineName of its state machine.
	ID, Name, MachineID, MachineName string
	// Input is JSON.
	Input string
	// Invoke calls a resource, named as in Integrations. An error that is a *Failure is matched by
	// its name, any other one is States.TaskFailed. Required.
	Invoke func(ctx context.Context, task Task) (output any, err error)
	// Told hears of everything that happens, one after the other. Required.
	Told func(Event)
}

// Task is one call of a resource.
type Task struct {
	State, Resource string
	// Parameters are JSON as encoding/json reads it, with numbers as json.Number.
	Parameters any
	// Submitted is called where the resource has taken over work that goes on.
	Submitted func(output any)
	// Beat says that the work goes on: HeartbeatSeconds begin anew.
	Beat func()
}

// Event is one thing that happened in an execution, by the type's name in AWS's histories. The
// fields that an event of its type does not have are empty; data are JSON.
type Event struct {
	Type, State, Resource string
	Data                  string
	Error, Cause          string
	// Timeout and Heartbeat of a task in seconds.
	Timeout, Heartbeat int
}

// Types of events that carry the end of an execution.
const (
	Started   = "ExecutionStarted"
	Succeeded = "ExecutionSucceeded"
	Failed    = "ExecutionFailed"
	TimedOut  = "ExecutionTimedOut"
	Aborted   = "ExecutionAborted"
)

// Stopped is the cause by which a context ends an execution on request.
type Stopped struct{ Name, Cause string }

func (s *Stopped) Error() string { return "the execution was stopped: " + s.Cause }

// contextObject is what paths that begin with $$ see.
type contextObject struct {
	execution *Execution
	input     any
	begun     time.Time
	state     string
	entered   time.Time
}

func (c *contextObject) document() any {
	return map[string]any{
		"Execution": map[string]any{
			"Id": c.execution.ID, "Name": c.execution.Name, "Input": c.input, "StartTime": stamp(c.begun),
		},
		"State":        map[string]any{"Name": c.state, "EnteredTime": stamp(c.entered)},
		"StateMachine": map[string]any{"Id": c.execution.MachineID, "Name": c.execution.MachineName},
	}
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// contextPaths are those into the context object that are known; more may follow the input's.
var contextPaths = []string{"$$.Execution.Id", "$$.Execution.Input", "$$.Execution.Name",
	"$$.Execution.StartTime", "$$.State.EnteredTime", "$$.State.Name", "$$.StateMachine.Id", "$$.StateMachine.Name"}

func known(p *path) bool {
	for _, one := range contextPaths {
		if p.text == one || one == "$$.Execution.Input" && strings.HasPrefix(p.text, one+".") {
			return true
		}
	}
	return false
}

var errTimeout = errors.New("the execution took too long")

// Run runs an execution to its end, of which the last event tells: it is one of the types above.
// The context's end aborts it; a cause that is a *Stopped says with which words.
func (m *Machine) Run(ctx context.Context, execution Execution) Event {
	if m.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(m.timeout)*time.Second, errTimeout)
		defer cancel()
	}
	execution.Told(Event{Type: Started, Data: execution.Input})
	r := &running{Machine: m, Execution: &execution, about: &contextObject{execution: &execution, begun: time.Now()}}
	last := r.toEnd(ctx)
	execution.Told(last)
	return last
}

// running is an execution under way.
type running struct {
	*Machine
	*Execution
	about *contextObject
}

func (r *running) toEnd(ctx context.Context) Event {
	data, err := decode([]byte(r.Input))
	if err != nil {
		return Event{Type: Failed, Error: Runtime, Cause: "the input is no JSON: " + err.Error()}
	}
	r.about.input = data
	for name := r.startAt; ; {
		entered := r.states[name]
		r.about.state, r.about.entered = name, time.Now()
		r.Told(Event{Type: entered.kind + "StateEntered", State: name, Data: encode(data)})
		after, next, failure := r.step(ctx, entered, data)
		if ctx.Err() != nil {
			return ended(context.Cause(ctx))
		}
		if failure != nil {
			return Event{Type: Failed, Error: failure.Name, Cause: failure.Cause}
		}
		r.Told(Event{Type: entered.kind + "StateExited", State: name, Data: encode(after)})
		if next == "" {
			return Event{Type: Succeeded, Data: encode(after)}
		}
		data, name = after, next
	}
}

// ended is the last event of an execution whose context has ended.
func ended(cause error) Event {
	var stopped *Stopped
	switch {
	case errors.Is(cause, errTimeout):
		return Event{Type: TimedOut, Error: Timeout, Cause: cause.Error()}
	case errors.As(cause, &stopped):
		return Event{Type: Aborted, Error: stopped.Name, Cause: stopped.Cause}
	}
	return Event{Type: Aborted, Cause: cause.Error()}
}

// step runs one state. A failure is one that nothing caught.
func (r *running) step(ctx context.Context, s *state, data any) (after any, next string, failure *Failure) {
	input, failure := r.filter(s, "InputPath", s.input, data)
	if failure != nil {
		return nil, "", failure
	}
	switch s.kind {
	case "Task":
		return r.task(ctx, s, data, input)
	case "Pass":
		result := input
		if s.hasParameters {
			if result, failure = fill(s.parameters, input, r.about); failure != nil {
				return nil, "", r.in(s, failure)
			}
		}
		if s.hasFixed {
			result = s.fixed
		}
		after, failure = r.place(s, data, result)
	case "Choice":
		after, failure = r.filter(s, "OutputPath", s.output, input)
		if failure == nil {
			next, failure = r.choose(s, input)
		}
		return after, next, r.in(s, failure)
	case "Wait":
		if failure = r.pause(ctx, s, input); failure == nil {
			after, failure = r.filter(s, "OutputPath", s.output, input)
		}
	case "Succeed":
		after, failure = r.filter(s, "OutputPath", s.output, input)
	case "Fail":
		failure = r.fail(s, data)
		return nil, "", failure
	}
	return after, s.next, r.in(s, failure)
}

// in says in which state a failure of the language's own happened.
func (r *running) in(s *state, failure *Failure) *Failure {
	if failure == nil {
		return nil
	}
	return failuref(failure.Name, "state %s: %s", s.name, failure.Cause)
}

// filter is what a path leaves of the data; nothing but an empty object where the path is null.
func (r *running) filter(s *state, field string, p *path, data any) (any, *Failure) {
	if p == nil {
		return map[string]any{}, nil
	}
	found, ok := p.of(data, r.about)
	if !ok {
		return nil, failuref(Runtime, "state %s: the %s %s names nothing in %s", s.name, field, p.text, shown(data))
	}
	return found, nil
}

// place puts a result where ResultPath says, and filters by OutputPath.
func (r *running) place(s *state, data, result any) (any, *Failure) {
	if s.result != nil {
		var ok bool
		before := data
		if data, ok = s.result.put(data, result); !ok {
			return nil, failuref(ResultPathFailure, "the ResultPath %s has no place in %s", s.result.text,
				shown(before))
		}
	}
	after, failure := r.filter(s, "OutputPath", s.output, data)
	if failure != nil {
		return nil, failure
	}
	return after, limited(after)
}

func limited(data any) *Failure {
	if size := len(encode(data)); size > MaxData {
		return failuref(DataLimitExceeded, "%d bytes of data: at most %d are allowed", size, MaxData)
	}
	return nil
}

// fill makes the value of a template.
func fill(value, data any, about *contextObject) (any, *Failure) {
	switch value := value.(type) {
	case expression:
		return value.value(data, about)
	case template:
		filled := make(map[string]any, len(value))
		for name, member := range value {
			made, failure := fill(member, data, about)
			if failure != nil {
				return nil, failuref(failure.Name, "%s: %s", name, failure.Cause)
			}
			filled[name] = made
		}
		return filled, nil
	case []any:
		filled := make([]any, len(value))
		for i, member := range value {
			made, failure := fill(member, data, about)
			if failure != nil {
				return nil, failure
			}
			filled[i] = made
		}
		return filled, nil
	}
	return value, nil
}

func (r *running) choose(s *state, data any) (string, *Failure) {
	for _, candidate := range s.choices {
		holds, failure := candidate.rule.holds(data, r.about)
		if failure != nil {
			return "", failure
		}
		if holds {
			return candidate.next, nil
		}
	}
	if s.otherwise == "" {
		return "", failuref(NoChoiceMatched, "no rule holds and there is no Default")
	}
	return s.otherwise, nil
}

type (
	several struct {
		all   bool
		rules []condition
	}
	negation struct{ rule condition }
	present  struct {
		variable *path
		want     bool
	}
	equal struct {
		variable *path
		want     string
	}
)

func (c several) holds(data any, about *contextObject) (bool, *Failure) {
	for _, rule := range c.rules {
		if holds, failure := rule.holds(data, about); failure != nil || holds != c.all {
			return holds, failure
		}
	}
	return c.all, nil
}

func (c negation) holds(data any, about *contextObject) (bool, *Failure) {
	holds, failure := c.rule.holds(data, about)
	return !holds, failure
}

func (c present) holds(data any, about *contextObject) (bool, *Failure) {
	_, found := c.variable.of(data, about)
	return found == c.want, nil
}

func (c equal) holds(data any, about *contextObject) (bool, *Failure) {
	value, found := c.variable.of(data, about)
	if !found {
		return false, failuref(Runtime, "the Variable %s names nothing in %s", c.variable.text, shown(data))
	}
	return value == c.want, nil
}

func (r *running) pause(ctx context.Context, s *state, data any) *Failure {
	length := float64(s.wait)
	if s.waitPath != nil {
		value, found := s.waitPath.of(data, r.about)
		number, err := decodeNumber(value)
		if !found || err != nil || number < 0 || number > most || number != math.Trunc(number) {
			return failuref(Runtime, "the SecondsPath %s names no whole number of seconds in %s", s.waitPath.text,
				shown(data))
		}
		length = number
	}
	sleep(ctx, length)
	return nil
}

// sleep waits for some seconds, or until the context ends.
func sleep(ctx context.Context, seconds float64) {
	timer := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (r *running) fail(s *state, data any) *Failure {
	failure := &Failure{s.failure, s.cause}
	for _, one := range []struct {
		from *path
		to   *string
	}{{s.failurePath, &failure.Name}, {s.causePath, &failure.Cause}} {
		if one.from == nil {
			continue
		}
		value, _ := one.from.of(data, r.about)
		text, isText := value.(string)
		if !isText {
			return failuref(Runtime, "state %s: the path %s names no text in %s", s.name, one.from.text, shown(data))
		}
		*one.to = text
	}
	return failure
}

// task calls the resource until it succeeds, or a failure is neither tried again nor caught.
func (r *running) task(ctx context.Context, s *state, data, input any) (any, string, *Failure) {
	tried := make([]int, len(s.retry))
	for {
		after, failure := r.attempt(ctx, s, data, input)
		if ctx.Err() != nil {
			return nil, "", nil
		}
		if failure == nil {
			return after, s.next, nil
		}
		if again, pause := s.again(failure, tried); again {
			sleep(ctx, pause)
			continue
		}
		for _, catcher := range s.catch {
			if !failure.matches(catcher.errors) {
				continue
			}
			caught := any(map[string]any{"Error": failure.Name, "Cause": failure.Cause})
			after := data
			if catcher.result != nil {
				var ok bool
				if after, ok = catcher.result.put(data, caught); !ok {
					return nil, "", failuref(ResultPathFailure, "state %s: the Catch's ResultPath %s has no place in "+
						"%s",
						s.name, catcher.result.text, shown(data))
				}
			}
			return after, catcher.next, nil
		}
		return nil, "", failure
	}
}

// again says whether the failure is tried again, and after how many seconds. It counts the attempts
// of each Retry.
func (s *state) again(failure *Failure, tried []int) (bool, float64) {
	for i, rule := range s.retry {
		if !failure.matches(rule.errors) {
			continue
		}
		if tried[i] >= rule.attempts {
			return false, 0
		}
		pause := rule.interval * math.Pow(rule.rate, float64(tried[i]))
		if rule.most > 0 {
			pause = min(pause, rule.most)
		}
		if rule.jitter {
			pause *= rand.Float64()
		}
		tried[i]++
		return true, min(pause, most)
	}
	return false, 0
}

// attempt is one call with everything around it.
func (r *running) attempt(ctx context.Context, s *state, data, input any) (any, *Failure) {
	parameters := input
	if s.hasParameters {
		var failure *Failure
		if parameters, failure = fill(s.parameters, input, r.about); failure != nil {
			return nil, r.in(s, failure)
		}
	}
	output, failure := r.call(ctx, s, parameters)
	if failure != nil {
		return nil, failure
	}
	if failure := limited(output); failure != nil {
		return nil, r.in(s, failure)
	}
	if s.hasSelector {
		if output, failure = fill(s.selector, output, r.about); failure != nil {
			return nil, r.in(s, failure)
		}
	}
	after, failure := r.place(s, data, output)
	return after, r.in(s, failure)
}

// call invokes the resource within the state's time-outs.
func (r *running) call(ctx context.Context, s *state, parameters any) (any, *Failure) {
	r.Told(Event{Type: "TaskScheduled", State: s.name, Resource: s.resource, Data: encode(parameters),
		Timeout: s.timeout, Heartbeat: s.heartbeat})
	r.Told(Event{Type: "TaskStarted", State: s.name, Resource: s.resource})
	calling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := func(after int, name string) *time.Timer {
		return time.AfterFunc(time.Duration(after)*time.Second, func() {
			cancel(failuref(name, "state %s: %s took longer than %d seconds", s.name, s.resource, after))
		})
	}
	beat := func() {}
	if s.timeout > 0 {
		defer end(s.timeout, Timeout).Stop()
	}
	if s.heartbeat > 0 {
		timer := end(s.heartbeat, HeartbeatTimeout)
		defer timer.Stop()
		beat = func() { timer.Reset(time.Duration(s.heartbeat) * time.Second) }
	}
	output, err := r.Invoke(calling, Task{
		State: s.name, Resource: s.resource, Parameters: parameters, Beat: beat,
		Submitted: func(output any) {
			r.Told(Event{Type: "TaskSubmitted", State: s.name, Resource: s.resource, Data: encode(output)})
		},
	})
	var overdue *Failure
	if ctx.Err() == nil && errors.As(context.Cause(calling), &overdue) {
		r.Told(Event{Type: "TaskTimedOut", State: s.name, Resource: s.resource, Error: overdue.Name,
			Cause: overdue.Cause})
		return nil, overdue
	}
	if err != nil {
		failure := &Failure{TaskFailed, err.Error()}
		errors.As(err, &failure)
		r.Told(Event{Type: "TaskFailed", State: s.name, Resource: s.resource, Error: failure.Name,
			Cause: failure.Cause})
		return nil, failure
	}
	r.Told(Event{Type: "TaskSucceeded", State: s.name, Resource: s.resource, Data: encode(output)})
	return output, nil
}

func decodeNumber(value any) (float64, error) {
	number, ok := value.(interface{ Float64() (float64, error) })
	if !ok {
		return 0, fmt.Errorf("%T is no number", value)
	}
	return number.Float64()
}
