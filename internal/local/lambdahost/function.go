package lambdahost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// latest is the version of every function here.
const latest = "$LATEST"

// Errors of an invocation that no process took up.
var (
	// ErrNotFound says that there is no function of that name.
	ErrNotFound = errors.New("function not found")
	// ErrThrottled says that all of the function's concurrency is taken.
	ErrThrottled = errors.New("rate exceeded: all of the function's concurrency is taken")
	// ErrTooLarge says that the payload is over the limit.
	ErrTooLarge = errors.New("the payload is too large")
	// ErrInvalidPayload says that the payload is no JSON.
	ErrInvalidPayload = errors.New("the payload is no JSON")
	// ErrStopped says that the host was stopped.
	ErrStopped = errors.New("the Lambda host was stopped")
)

// Unhandled is the FunctionError of every failed invocation: OS-only runtimes know no other.
const Unhandled = "Unhandled"

// Result of an invocation that a process took up.
type Result struct {
	// RequestID is the invocation's.
	RequestID string
	// Payload is the function's JSON answer, or, where FunctionError is set, the error as
	// {"errorMessage", "errorType", "stackTrace"}.
	Payload []byte
	// FunctionError is empty, or Unhandled: the function returned an error, panicked, ended, or was
	// killed at its time-out.
	FunctionError string
	// Duration is how long the handler took.
	Duration time.Duration
	// ColdStart is the time from the start of a new process to its first answer; 0 where the
	// process was warm.
	ColdStart time.Duration
}

// function is a Function with its processes.
type function struct {
	host       *Host
	definition Function
	arn        string
	slots      chan struct{} // a place for each invocation under way

	mu      sync.Mutex
	idle    []*instance // warm, the last used last
	started int         // processes so far
}

func newFunction(h *Host, definition Function) *function {
	return &function{host: h, definition: definition, arn: h.ARN(definition.Name),
		slots: make(chan struct{}, definition.Concurrency)}
}

// invocation is one event for one process.
type invocation struct {
	id        string
	payload   []byte
	trace     string
	completed chan outcome // of one element
}

type outcome struct {
	payload       []byte
	functionError string
	byHost        bool // the function itself could not say it
}

// Invoke runs a function and waits for its answer. The errors of no process having taken up the
// invocation are ErrNotFound, ErrThrottled, ErrTooLarge, ErrInvalidPayload and ErrStopped; a
// function that failed is a Result. An empty payload counts as {}. When the context ends, Invoke
// returns and the function runs on, as on AWS when the caller hangs up.
func (h *Host) Invoke(ctx context.Context, name string, payload []byte) (Result, error) {
	f, payload, err := h.admit(name, payload, MaxPayload)
	if err != nil {
		return Result{}, err
	}
	defer h.work.Done()
	select {
	case f.slots <- struct{}{}:
	default:
		return Result{}, fmt.Errorf("invoke %s: %w (%d)", name, ErrThrottled, cap(f.slots))
	}
	return f.invoke(ctx, uuid.NewString(), payload)
}

// InvokeEvent queues an asynchronous invocation and returns its request id. A function's error is
// tried again as the option RetryEventsAfter says. The errors are those of Invoke; ErrThrottled
// means that MaxQueuedEvents are under way.
func (h *Host) InvokeEvent(name string, payload []byte) (requestID string, err error) {
	f, payload, err := h.admit(name, payload, MaxEventPayload)
	if err != nil {
		return "", err
	}
	defer h.work.Done()
	select {
	case h.events <- struct{}{}:
	default:
		return "", fmt.Errorf("invoke %s: %w", name, ErrThrottled)
	}
	requestID = uuid.NewString()
	h.work.Go(func() {
		defer func() { <-h.events }()
		f.invokeEvent(h.ctx, requestID, payload)
	})
	return requestID, nil
}

// admit finds the function and looks at the payload. What it admits is work that the host waits
// for: the caller ends it.
func (h *Host) admit(name string, payload []byte, limit int) (*function, []byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.functions[name]
	switch {
	case h.stopped || h.ctx.Err() != nil:
		return nil, nil, fmt.Errorf("invoke %s: %w", name, ErrStopped)
	case f == nil:
		return nil, nil, fmt.Errorf("%w: %s", ErrNotFound, h.ARN(name))
	case len(payload) > limit:
		return nil, nil, fmt.Errorf("invoke %s: %w: %d bytes, %d are allowed", name, ErrTooLarge, len(payload), limit)
	case len(payload) == 0:
		payload = []byte("{}")
	case !json.Valid(payload):
		return nil, nil, fmt.Errorf("invoke %s: %w", name, ErrInvalidPayload)
	}
	h.work.Add(1)
	return f, payload, nil
}

func (f *function) invokeEvent(ctx context.Context, id string, payload []byte) {
	pauses := f.host.options.RetryEventsAfter
	for retry := 0; ; retry++ {
		select {
		case f.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		result, err := f.invoke(ctx, id, payload)
		if err != nil && ctx.Err() == nil {
			// Nobody waits for the answer: the function's log is where it is looked for.
			_, _ = fmt.Fprintf(f.definition.Log, "asynchronous invocation %s is lost: %v\n", id, err)
		}
		if err != nil || result.FunctionError == "" {
			return
		}
		if retry == len(pauses) {
			_, _ = fmt.Fprintf(f.definition.Log, "asynchronous invocation %s is given up after %d attempts: %s\n", id,
				retry+1, result.Payload)
			return
		}
		select {
		case <-time.After(pauses[retry]):
		case <-ctx.Done():
			return
		}
	}
}

// invoke uses a slot that the caller has taken, and gives it back when the function is done.
func (f *function) invoke(ctx context.Context, id string, payload []byte) (Result, error) {
	type answer struct {
		result Result
		err    error
	}
	answered := make(chan answer, 1)
	f.host.work.Go(func() {
		result, err := f.run(id, payload)
		<-f.slots
		answered <- answer{result, err}
	})
	select {
	case a := <-answered:
		return a.result, a.err
	case <-ctx.Done():
		return Result{}, fmt.Errorf("invoke %s: %w", f.definition.Name, context.Cause(ctx))
	}
}

// run gives the invocation to a warm process, or to a new one.
func (f *function) run(id string, payload []byte) (Result, error) {
	v := &invocation{id: id, payload: payload, trace: newTrace(), completed: make(chan outcome, 1)}
	result := Result{RequestID: id}
	var o outcome
	begun := time.Now()
	i := f.takeIdle()
	for i != nil && !i.offer(v) { // it ended while it was idle
		i = f.takeIdle()
	}
	if i != nil {
		o = f.await(i, v)
	} else {
		born := time.Now()
		i, err := f.start()
		if err != nil {
			return Result{}, fmt.Errorf("invoke %s: %w", f.definition.Name, err)
		}
		var ready bool
		if o, ready = i.awaitInit(id); ready {
			begun = time.Now()
			if i.offer(v) {
				o = f.await(i, v)
			} else {
				o = i.ended(id)
			}
		}
		result.ColdStart = time.Since(born)
	}
	if o.functionError != "" && f.host.ctx.Err() != nil {
		return Result{}, fmt.Errorf("invoke %s: %w", f.definition.Name, ErrStopped) // not the function's fault
	}
	if o.byHost {
		_, _ = fmt.Fprintf(f.definition.Log, "%s\n", o.payload) // the caller hears of it in any case
	}
	result.Payload, result.FunctionError, result.Duration = o.payload, o.functionError, time.Since(begun)
	return result, nil
}

// await returns what became of an invocation that the process has taken, and keeps the process for
// the next one.
func (f *function) await(i *instance, v *invocation) outcome {
	timeout := time.NewTimer(f.definition.Timeout)
	defer timeout.Stop()
	select {
	case o := <-v.completed:
		f.keep(i)
		return o
	case <-i.process.Exited():
		if o, answered := i.lastAnswer(v); answered { // as after a panic
			return o
		}
		return i.ended(v.id)
	case <-timeout.C:
		i.process.Kill()
		<-i.process.Exited()
		return timedOut(v.id, f.definition.Timeout)
	}
}

func (f *function) takeIdle() *instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.idle) == 0 {
		return nil
	}
	i := f.idle[len(f.idle)-1]
	f.idle = f.idle[:len(f.idle)-1]
	return i
}

func (f *function) keep(i *instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle = append(f.idle, i)
}

// drain waits until no invocation runs.
func (f *function) drain(ctx context.Context) error {
	for range cap(f.slots) {
		select {
		case f.slots <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("stop %s: an invocation still ran and was killed: %w", f.definition.Name,
				context.Cause(ctx))
		}
	}
	return nil
}

// failure is an error payload, in the shape of the runtimes.
func failure(kind, format string, values ...any) outcome {
	payload, err := json.Marshal(struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{kind, fmt.Sprintf(format, values...)})
	if err != nil {
		panic(err) // two strings always marshal
	}
	return outcome{payload: payload, functionError: Unhandled, byHost: true}
}

func timedOut(id string, after time.Duration) outcome {
	return failure("Sandbox.Timedout", "RequestId: %s Error: Task timed out after %.2f seconds", id, after.Seconds())
}

// newTrace is the value of an X-Ray header that asks for no sampling.
func newTrace() string {
	root, parent := uuid.New(), uuid.New()
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", time.Now().Unix(), slices.Concat(root[:6], root[10:]),
		parent[8:])
}
