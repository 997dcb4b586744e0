package lambdahost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"diecast/internal/local/admission"
	"diecast/internal/local/apiserver"
	"diecast/internal/local/process"
)

// instance is one process of a function, with the Runtime API that it alone speaks to: the API's
// requests do not tell who asks, so every process has a port of its own, and serves below a path
// that is a secret of the two. Lambda's runtimes put what AWS_LAMBDA_RUNTIME_API says before every
// path.
type instance struct {
	function *function
	process  *process.Process
	api      *http.Server
	work     chan *invocation
	ready    chan struct{} // closed at the first request for an invocation

	mu       sync.Mutex
	asked    bool        // ready is closed
	current  *invocation // taken and not completed
	answer   *outcome    // of current, until the next request completes it
	initFail *outcome    // what the process reported before its first request
}

// start starts a process; it ends with the host.
func (f *function) start() (*instance, error) {
	f.mu.Lock()
	f.started++
	name := fmt.Sprintf("%s-%d", f.definition.Name, f.started)
	f.mu.Unlock()

	h := f.host
	scratch := filepath.Join(h.options.Dir, "scratch", name)
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(process.Loopback, "0"))
	if err != nil {
		return nil, fmt.Errorf("open the Runtime API: %w", err)
	}
	secret := admission.NewSecret()
	i := &instance{function: f, work: make(chan *invocation), ready: make(chan struct{})}
	i.api = apiserver.HTTP(admission.Below(secret, i.routes()))
	i.process, err = process.Start(process.Command{
		Path: f.definition.Executable, Dir: filepath.Dir(f.definition.Executable),
		Environment: h.environment(f.definition, name, listener.Addr().String()+"/"+secret, scratch),
		Output:      f.definition.Log, PIDFile: scratch + ".pid",
	})
	if err != nil {
		return nil, errors.Join(err, listener.Close(), os.RemoveAll(scratch))
	}
	h.work.Go(func() {
		// A process that nobody hears would hang until its time-out, or for ever.
		if err := i.api.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			_, _ = fmt.Fprintf(f.definition.Log, "the Runtime API has ended, and %s with it: %v\n", name, err)
			i.process.Kill()
		}
	})
	h.work.Go(func() {
		stop := context.AfterFunc(h.ctx, i.process.Kill)
		<-i.process.Exited()
		stop()
		_ = i.api.Close()         // nobody is left to talk to
		_ = os.RemoveAll(scratch) // the host's Stop removes and reports what is left
	})
	return i, nil
}

// awaitInit returns true when the process asks for its first invocation, else why it does not.
func (i *instance) awaitInit(id string) (outcome, bool) {
	timeout := i.function.host.initTimeout
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	select {
	case <-i.ready:
		return outcome{}, true
	case <-i.process.Exited():
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.initFail != nil {
			return *i.initFail, false
		}
		return i.ended(id), false
	case <-limit.C:
		i.process.Kill()
		<-i.process.Exited()
		return timedOut(id, timeout), false
	}
}

// offer returns false when the process ended without taking the invocation. One that asks for none,
// though it was idle, is ended: it hangs.
func (i *instance) offer(v *invocation) bool {
	select {
	case <-i.process.Exited(): // what is left of its last question might still take it
		return false
	default:
	}
	limit := time.NewTimer(i.function.definition.Timeout)
	defer limit.Stop()
	select {
	case i.work <- v:
		return true
	case <-limit.C:
		i.process.Kill()
		<-i.process.Exited()
	case <-i.process.Exited():
	}
	return false
}

// lastAnswer is what a process that has ended answered before.
func (i *instance) lastAnswer(v *invocation) (outcome, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	select {
	case o := <-v.completed:
		return o, true
	default:
	}
	if i.current == v && i.answer != nil {
		return *i.answer, true
	}
	return outcome{}, false
}

// ended is the error of an invocation whose process has ended.
func (i *instance) ended(id string) outcome {
	err := i.process.Err()
	if err == nil {
		return failure("Runtime.ExitError", "RequestId: %s Error: Runtime exited without providing a reason", id)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return failure("Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: signal: %s", id,
				status.Signal())
		}
	}
	return failure("Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: %s", id, err)
}

// routes is the Runtime API, https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
func (i *instance) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", i.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", i.respond)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", i.fail)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", i.failInit)
	return mux
}

// next completes the invocation that was answered and waits for another one.
func (i *instance) next(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	if i.current != nil && i.answer == nil {
		id := i.current.id
		i.mu.Unlock()
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "invocation "+id+" has no answer yet")
		return
	}
	if i.current != nil {
		i.current.completed <- *i.answer
		i.current, i.answer = nil, nil
	}
	if !i.asked {
		i.asked = true
		close(i.ready)
	}
	i.mu.Unlock()

	select {
	case v := <-i.work:
		i.mu.Lock()
		i.current = v
		i.mu.Unlock()
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Lambda-Runtime-Aws-Request-Id", v.id)
		header.Set("Lambda-Runtime-Deadline-Ms",
			strconv.FormatInt(time.Now().Add(i.function.definition.Timeout).UnixMilli(), 10))
		header.Set("Lambda-Runtime-Invoked-Function-Arn", i.function.arn)
		header.Set("Lambda-Runtime-Trace-Id", v.trace)
		_, _ = w.Write(v.payload) // a process that does not read it will end or time out
	case <-r.Context().Done():
	}
}

func (i *instance) respond(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "InvalidRequest", err.Error())
	case len(body) > MaxPayload:
		kind, message := "Function.ResponseSizeTooLarge",
			fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxPayload)
		if i.settle(w, r, failure(kind, "%s", message)) {
			refuse(w, http.StatusRequestEntityTooLarge, kind, message)
		}
	case i.settle(w, r, outcome{payload: body}):
		accept(w)
	}
}

func (i *instance) fail(w http.ResponseWriter, r *http.Request) {
	o, err := errorFrom(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", err.Error())
	} else if i.settle(w, r, o) {
		accept(w)
	}
}

func (i *instance) failInit(w http.ResponseWriter, r *http.Request) {
	o, err := errorFrom(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", err.Error())
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.asked {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the initialisation is over")
		return
	}
	i.initFail = &o
	accept(w)
}

// settle keeps the answer to the current invocation until the process asks for the next one; else
// it refuses the request.
func (i *instance) settle(w http.ResponseWriter, r *http.Request, o outcome) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current == nil || i.current.id != r.PathValue("id") || i.answer != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "no answer to that invocation is waited for")
		return false
	}
	i.answer = &o
	return true
}

// errorFrom reads {"errorMessage", "errorType", "stackTrace"}; a body that is no JSON becomes the
// message.
func errorFrom(r *http.Request) (outcome, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload))
	if err != nil {
		return outcome{}, err
	}
	if json.Valid(body) {
		return outcome{payload: body, functionError: Unhandled}, nil
	}
	kind := r.Header.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		kind = "Runtime.Unknown"
	}
	return failure(kind, "%s", strings.ToValidUTF8(string(body), "\uFFFD")), nil
}

func accept(w http.ResponseWriter) { reply(w, http.StatusAccepted, map[string]string{"status": "OK"}) }

func refuse(w http.ResponseWriter, status int, kind, message string) {
	reply(w, status, map[string]string{"errorType": kind, "errorMessage": message})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever asked has gone
}
