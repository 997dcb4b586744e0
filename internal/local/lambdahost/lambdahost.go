// Package lambdahost runs the platform's Lambda functions on this machine: each as processes of its
// own that speak the Lambda Runtime API, invoked over the Lambda API's Invoke or a function URL, on
// 127.0.0.1.
//
// A function has its template's environment, time-out, memory figure and concurrency. Processes
// start on demand and are used again while they are warm; one that hangs is killed at the time-out,
// one that crashed is replaced at the next invocation. The package knows nothing of what a function
// does, of templates, or of who invokes.
//
// Contracts: "Lambda API Reference", Invoke; "Lambda Developer Guide", chapters "Using the Lambda
// runtime API", "Lambda quotas", "Invoking Lambda function URLs" and "Defined runtime environment
// variables".
package lambdahost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"diecast/internal/local/admission"
	"diecast/internal/local/apiserver"
	"diecast/internal/local/process"
	"diecast/internal/quotas"
)

// Limits and defaults.
const (
	// MaxPayload bounds a synchronous request and its response, in bytes (Lambda quotas: 6 MB
	// each).
	MaxPayload = quotas.LambdaPayload
	// MaxEventPayload bounds an asynchronous request, in bytes (Lambda quotas: 1 MB).
	MaxEventPayload = 1 << 20
	// InitTimeout is how long a process may take until it asks for its first invocation (Lambda
	// Developer Guide, "Understanding the Lambda execution environment lifecycle").
	InitTimeout = 10 * time.Second
	// DefaultConcurrency is that of a function that reserves none: what a new account may run at a
	// time.
	DefaultConcurrency = 10
	// MaxQueuedEvents bounds the asynchronous invocations of all functions that wait or run. AWS's
	// queue has no such bound.
	MaxQueuedEvents = 1000
	// maxInstances bounds the processes of one function.
	maxInstances = 1000
)

// eventRetries are AWS's defaults (Lambda Developer Guide, "How Lambda handles errors and retries
// with asynchronous invocation").
var eventRetries = []time.Duration{time.Minute, 2 * time.Minute}

// Options of a host. Account, Region, Credentials and Dir are required.
type Options struct {
	// Account and Region stand in every ARN.
	Account, Region string
	// Credentials are what the functions get, and what a request must be signed with.
	Credentials aws.Credentials
	// Dir holds what the host writes: build/ (executables), log/ (one file a function) and scratch/
	// (a folder a process, removed with it). It is made where it does not exist, and belongs to one
	// host at a time: what an earlier one left running there is killed.
	Dir string
	// Environment goes to every function and wins over the function's own: what differs on this
	// machine, such as the other engines' endpoints.
	Environment map[string]string
	// RetryEventsAfter is how long an asynchronous invocation that ended in an error waits before
	// each retry. Default: two, after one minute and two; an empty slice that is not nil is none.
	RetryEventsAfter []time.Duration
	// Port of the Lambda API. Default: a free one.
	Port int
}

// Function is what to run.
type Function struct {
	// Name is 1 to 64 letters, digits, hyphens or underscores.
	Name string
	// Executable is the bootstrap, such as Build makes.
	Executable string
	// Environment are the template's variables. Lambda's reserved names are refused.
	Environment map[string]string
	// Timeout ends an invocation, 1 s to 15 min. Shorter is allowed here, for tests. Required.
	Timeout time.Duration
	// MemoryMiB is 128 to 10,240. The process hears of it and sets its garbage collector by it
	// (GOMEMLIMIT); it is not killed where it takes more.
	MemoryMiB int
	// Concurrency is how many invocations run at a time, each in its own process; more are refused.
	// Default DefaultConcurrency.
	Concurrency int
	// Log takes what the processes write. Default: log/<name>.log below the host's folder, appended
	// to.
	Log io.Writer
}

// Host runs functions.
type Host struct {
	options  Options
	verifier verifier
	listener net.Listener

	ctx      context.Context // ends when the host is stopped, with ErrStopped, or cannot go on
	cancel   context.CancelCauseFunc
	work     sync.WaitGroup // processes, invocations and servers
	finished chan struct{}  // closed when all of them have ended
	failed   error          // what went wrong then; read after finished only

	initTimeout time.Duration // InitTimeout, but for a test

	builds builds
	events chan struct{} // a place for each asynchronous invocation under way

	mu        sync.Mutex
	stopped   bool
	functions map[string]*function
	servers   []*http.Server
	logs      []*os.File
}

// Start opens the Lambda API. When the context ends, the host and all of its processes are stopped;
// Stop does so in order.
func Start(ctx context.Context, options Options) (*Host, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, err
	}
	options.Dir = dir
	if options.RetryEventsAfter == nil {
		options.RetryEventsAfter = eventRetries
	}
	// What a killed host left behind.
	if _, err := process.CleanUp(filepath.Join(dir, "scratch")); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(dir, "scratch")); err != nil {
		return nil, err
	}
	for _, folder := range []string{"build", "log", "scratch"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", process.Loopback, options.Port))
	if err != nil {
		return nil, fmt.Errorf("open the Lambda API: %w", err)
	}
	h := &Host{
		options: options, listener: listener, functions: map[string]*function{},
		events:   make(chan struct{}, MaxQueuedEvents),
		finished: make(chan struct{}), initTimeout: InitTimeout, verifier: verifier{credentials: options.Credentials,
			region: options.Region},
	}
	h.ctx, h.cancel = context.WithCancelCause(ctx)
	h.serve(listener, h.api())
	context.AfterFunc(h.ctx, h.finish)
	return h, nil
}

func (o Options) validate() error {
	var problems []error
	if !regexp.MustCompile(`^\d{12}$`).MatchString(o.Account) {
		problems = append(problems, fmt.Errorf("account %q: an AWS account has 12 digits", o.Account))
	}
	if o.Region == "" {
		problems = append(problems, errors.New("no region is given"))
	}
	if o.Credentials.AccessKeyID == "" || o.Credentials.SecretAccessKey == "" {
		problems = append(problems, errors.New("no credentials are given: the functions sign their calls with them"))
	}
	if o.Dir == "" {
		problems = append(problems, errors.New("no folder is given"))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("start the Lambda host: %w", err)
	}
	return nil
}

// Endpoint is the base URL of the Lambda API, for AWS_ENDPOINT_URL_LAMBDA. The functions have it
// already.
func (h *Host) Endpoint() string { return "http://" + h.listener.Addr().String() }

// LogFile is what a function writes where its definition has no Log. An earlier host of the same
// folder has written into it, too.
func (h *Host) LogFile(name string) string { return filepath.Join(h.options.Dir, "log", name+".log") }

// ARN of a function, whether it exists or not.
func (h *Host) ARN(name string) string {
	return fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", h.options.Region, h.options.Account, name)
}

// serve answers on a listener until the host is stopped, but for pages in a browser. The caller
// holds the lock where others know the host.
func (h *Host) serve(listener net.Listener, handler http.Handler) {
	server := apiserver.HTTP(admission.NoStrangers(handler))
	server.BaseContext = func(net.Listener) context.Context { return h.ctx }
	h.servers = append(h.servers, server)
	h.work.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.cancel(err)
		}
	})
}

// finish ends everything; the processes see the context's end themselves.
func (h *Host) finish() {
	h.mu.Lock()
	h.stopped = true // nothing is added from here on
	h.mu.Unlock()
	for _, server := range h.servers {
		_ = server.Close() // what it would report is that a connection was cut
	}
	h.work.Wait()
	var problems []error
	for _, log := range h.logs {
		problems = append(problems, log.Close())
	}
	h.failed = errors.Join(append(problems, os.RemoveAll(filepath.Join(h.options.Dir, "scratch")))...)
	close(h.finished)
}

// Exited is closed when the host and all of its processes have ended, whether or not it was asked
// to; Err tells which.
func (h *Host) Exited() <-chan struct{} { return h.finished }

// Err is nil while the host runs and where Stop ended it; else it says why the host ended by
// itself.
func (h *Host) Err() error {
	select {
	case <-h.finished:
	default:
		return nil
	}
	if cause := context.Cause(h.ctx); !errors.Is(cause, ErrStopped) {
		return fmt.Errorf("the Lambda host on %s ended by itself: %w", h.Endpoint(), cause)
	}
	return nil
}

// Stop takes no more requests, waits for the invocations under way, and ends every process. When
// the context ends first, what still runs is killed, and the error says so. Asynchronous
// invocations that wait for a retry are given up. A function that calls another one is refused from
// now on, so whoever feeds the functions is stopped first. Stopping twice does nothing.
func (h *Host) Stop(ctx context.Context) error {
	h.mu.Lock()
	again := h.stopped
	h.stopped = true
	h.mu.Unlock()
	if again {
		<-h.finished
		return nil
	}
	var problems []error
	for _, server := range h.servers {
		if err := server.Shutdown(ctx); err != nil {
			problems = append(problems, fmt.Errorf("stop the Lambda host: a request was cut off: %w", err))
			break
		}
	}
	for _, f := range h.functions {
		if err := f.drain(ctx); err != nil {
			problems = append(problems, err)
		}
	}
	h.cancel(ErrStopped)
	<-h.finished
	return errors.Join(append(problems, h.failed)...)
}

var functionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Add makes a function known; its first process starts with its first invocation. The error names
// every problem.
func (h *Host) Add(definition Function) error {
	if definition.Concurrency == 0 {
		definition.Concurrency = DefaultConcurrency
	}
	if err := errors.Join(definition.Validate(), executable(definition.Executable)); err != nil {
		return fmt.Errorf("add function %q: %w", definition.Name, err)
	}
	absolute, err := filepath.Abs(definition.Executable)
	if err != nil {
		return fmt.Errorf("add function %q: %w", definition.Name, err)
	}
	definition.Executable = absolute
	definition.Environment = maps.Clone(definition.Environment)

	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return fmt.Errorf("add function %q: %w", definition.Name, ErrStopped)
	}
	if _, exists := h.functions[definition.Name]; exists {
		return fmt.Errorf("add function %q: it was added before", definition.Name)
	}
	if definition.Log == nil {
		log, err := os.OpenFile(h.LogFile(definition.Name),
			os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("add function %q: %w", definition.Name, err)
		}
		h.logs = append(h.logs, log)
		definition.Log = log
	} else if _, isFile := definition.Log.(*os.File); !isFile {
		definition.Log = &serialised{writer: definition.Log}
	}
	h.functions[definition.Name] = newFunction(h, definition)
	return nil
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0) {
		err = fmt.Errorf("%s is not executable", path)
	}
	return err
}

// Validate names every problem of a definition but those of its executable, which may not have been
// built yet.
func (f Function) Validate() error {
	var problems []error
	if !functionName.MatchString(f.Name) {
		problems = append(problems, errors.New("a name has 1 to 64 letters, digits, hyphens or underscores"))
	}
	if f.Timeout <= 0 || f.Timeout > 15*time.Minute {
		problems = append(problems, fmt.Errorf("time-out %s: up to 15 minutes are allowed", f.Timeout))
	}
	if f.MemoryMiB < 128 || f.MemoryMiB > 10240 {
		problems = append(problems, fmt.Errorf("memory %d MiB: 128 to 10240 are allowed", f.MemoryMiB))
	}
	if f.Concurrency < 0 || f.Concurrency > maxInstances {
		problems = append(problems, fmt.Errorf("concurrency %d: 1 to %d is allowed", f.Concurrency, maxInstances))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Environment)) {
		if slices.Contains(reservedVariables, name) {
			problems = append(problems, fmt.Errorf("environment variable %s is reserved by Lambda", name))
		}
	}
	return errors.Join(problems...)
}

// serialised lets the processes of one function share a writer.
type serialised struct {
	mu     sync.Mutex
	writer io.Writer
}

func (s *serialised) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writer.Write(p)
}
