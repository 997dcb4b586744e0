package lambdahost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/gobuild"
	"diecast/internal/local/installed"
	"diecast/internal/local/process"
	"diecast/internal/local/server/servertest"
)

const (
	account = "000000000000"
	region  = "eu-central-1"
)

var runCredentials = aws.Credentials{AccessKeyID: "AKIALOCAL", SecretAccessKey: "laptop", SessionToken: "session"}

// folder is that of all tests.
var folder string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if folder, err = os.MkdirTemp("", "diecast-lambdahost-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	return m.Run()
}

var compileSpecimen = sync.OnceValues(func() (string, error) {
	executable := filepath.Join(folder, bootstrap)
	return executable, gobuild.Compile(context.Background(), filepath.Join("testdata", "specimen"), executable)
})

// specimen is the compiled test function.
func specimen(t testing.TB) string {
	t.Helper()
	servertest.Needed(t, "a compiled function")
	executable, err := compileSpecimen()
	require.NoError(t, err)
	return executable
}

func start(t testing.TB, adapt ...func(*Options)) *Host {
	t.Helper()
	options := Options{Account: account, Region: region, Credentials: runCredentials, Dir: t.TempDir()}
	for _, change := range adapt {
		change(&options)
	}
	h, err := Start(context.Background(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Stop(context.Background())) })
	return h
}

func add(t testing.TB, h *Host, adapt ...func(*Function)) {
	t.Helper()
	f := Function{Name: "specimen", Executable: specimen(t), Timeout: 10 * time.Second, MemoryMiB: 128}
	for _, change := range adapt {
		change(&f)
	}
	require.NoError(t, h.Add(f))
}

func invoke(t testing.TB, h *Host, payload string) Result {
	t.Helper()
	result, err := h.Invoke(context.Background(), "specimen", []byte(payload))
	require.NoError(t, err)
	return result
}

type self struct {
	PID     int    `json:"pid"`
	Temp    string `json:"temp"`
	Left    int    `json:"left"`
	Request string `json:"request"`
	ARN     string `json:"arn"`
	Trace   string `json:"trace"`
}

func askSelf(t testing.TB, h *Host) (self, Result) {
	t.Helper()
	result := invoke(t, h, `{"do":"self"}`)
	var s self
	require.NoError(t, json.Unmarshal(result.Payload, &s))
	return s, result
}

// ends waits until no process has that number.
func ends(t testing.TB, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		if syscall.Kill(pid, 0) != nil {
			return true
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // an orphan may stay a zombie where nobody reaps
		return err == nil && strings.Contains(string(stat), ") Z ")
	}, 5*time.Second, time.Millisecond, "process %d still runs", pid)
}

func TestInvoke_answersAndReusesTheWarmProcess(t *testing.T) {
	h := start(t)
	add(t, h)
	result := invoke(t, h, `{"do":"echo","value":{"a":[1,2,"ü"]}}`)
	assert.JSONEq(t, `{"a":[1,2,"ü"]}`, string(result.Payload))
	assert.Empty(t, result.FunctionError)
	assert.Positive(t, result.ColdStart)
	assert.Positive(t, result.Duration)
	assert.GreaterOrEqual(t, result.ColdStart, result.Duration)

	first, warm := askSelf(t, h)
	second, _ := askSelf(t, h)
	assert.Zero(t, warm.ColdStart)
	assert.Equal(t, first.PID, second.PID)
	assert.NotEqual(t, first.Request, second.Request)
	assert.Equal(t, warm.RequestID, first.Request)
	assert.Equal(t, "arn:aws:lambda:eu-central-1:000000000000:function:specimen", first.ARN)
	assert.Regexp(t, `^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`, first.Trace)
	assert.InDelta(t, 10_000, first.Left, 2_000, "the deadline is the time-out from now")
}

func TestInvoke_emptyPayloadIsAnEmptyObject(t *testing.T) {
	h := start(t)
	add(t, h)
	assert.Equal(t, "null", string(invoke(t, h, "").Payload))
}

func TestInvoke_functionErrors(t *testing.T) {
	h := start(t)
	add(t, h, func(f *Function) { f.Timeout = 5 * time.Second })
	cases := map[string]struct {
		payload, kind, message string
		sameProcess            bool
	}{
		"returned error": {`{"do":"fail","text":"no stock"}`, "errorString", `^no stock$`, true},
		"panic":          {`{"do":"panic","text":"lost"}`, "string", `^lost$`, false},
		"exit with a status": {`{"do":"exit","size":3}`, "Runtime.ExitError",
			`^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 3$`, false},
		"exit without a reason": {`{"do":"exit","size":0}`, "Runtime.ExitError",
			`^RequestId: [0-9a-f-]{36} Error: Runtime exited without providing a reason$`, false},
		"killed": {`{"do":"signal"}`, "Runtime.ExitError",
			`^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: signal: killed$`, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before, _ := askSelf(t, h)
			result := invoke(t, h, c.payload)
			assert.Equal(t, Unhandled, result.FunctionError)
			var failed struct {
				Type    string            `json:"errorType"`
				Message string            `json:"errorMessage"`
				Stack   []json.RawMessage `json:"stackTrace"`
			}
			require.NoError(t, json.Unmarshal(result.Payload, &failed))
			assert.Equal(t, c.kind, failed.Type)
			assert.Regexp(t, c.message, failed.Message)
			if name == "panic" {
				assert.NotEmpty(t, failed.Stack)
			}
			after, next := askSelf(t, h)
			assert.Equal(t, c.sameProcess, before.PID == after.PID)
			assert.Equal(t, c.sameProcess, next.ColdStart == 0, "a process that ended is replaced")
		})
	}
}

func TestInvoke_killsAtTheTimeout(t *testing.T) {
	h := start(t)
	add(t, h, func(f *Function) { f.Timeout = 250 * time.Millisecond })
	before, _ := askSelf(t, h)
	result := invoke(t, h, `{"do":"hang"}`)
	assert.Equal(t, Unhandled, result.FunctionError)
	assert.JSONEq(t, `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: `+result.RequestID+
		` Error: Task timed out after 0.25 seconds"}`,
		string(result.Payload))
	assert.GreaterOrEqual(t, result.Duration, 250*time.Millisecond)
	ends(t, before.PID)
	after, _ := askSelf(t, h)
	assert.NotEqual(t, before.PID, after.PID)
	log, err := os.ReadFile(filepath.Join(h.options.Dir, "log", "specimen.log"))
	require.NoError(t, err)
	assert.Equal(t, string(result.Payload)+"\n", string(log), "the log tells what the function could not")
}

func TestInvoke_aFunctionThatCannotStart(t *testing.T) {
	cases := map[string]string{
		"exit":  `"errorType":"Runtime.ExitError"`,
		"error": `{"errorType":"Specimen.Start","errorMessage":"no luck"}`,
		"hang":  `Task timed out after 0.30 seconds`,
	}
	for how, expected := range cases {
		t.Run(how, func(t *testing.T) {
			h := start(t)
			if how == "hang" {
				h.initTimeout = 300 * time.Millisecond
			}
			add(t, h, func(f *Function) { f.Environment = map[string]string{"SPECIMEN_START": how} })
			result := invoke(t, h, `{"do":"echo","value":1}`)
			assert.Equal(t, Unhandled, result.FunctionError)
			assert.Contains(t, string(result.Payload), expected)
		})
	}
}

func TestInvoke_processThatDiedWhileIdleIsReplaced(t *testing.T) {
	h := start(t)
	add(t, h)
	before, _ := askSelf(t, h)
	require.NoError(t, syscall.Kill(before.PID, syscall.SIGKILL))
	ends(t, before.PID)
	require.Eventually(t, func() bool { // the host reaps it a moment later
		_, err := os.Stat(before.Temp)
		return os.IsNotExist(err)
	}, 5*time.Second, time.Millisecond)
	after, result := askSelf(t, h)
	assert.NotEqual(t, before.PID, after.PID)
	assert.Empty(t, result.FunctionError)
}

// A process that hangs while it is idle, and takes no invocation, costs the next one its time-out
// at most.
func TestInvoke_processThatHangsWhileIdleIsReplaced(t *testing.T) {
	h := start(t)
	add(t, h, func(f *Function) { f.Timeout = time.Second })
	before, _ := askSelf(t, h)
	deaf := h.functions["specimen"].takeIdle()
	deaf.work = make(chan *invocation) // nobody takes anything of it
	h.functions["specimen"].keep(deaf)
	after, result := askSelf(t, h)
	assert.NotEqual(t, before.PID, after.PID)
	assert.Empty(t, result.FunctionError)
	ends(t, before.PID)
}

func TestInvoke_payloadLimits(t *testing.T) {
	h := start(t)
	add(t, h)
	fitting := func(size int) []byte {
		const frame = `{"do":"print","text":""}`
		return fmt.Appendf(nil, `{"do":"print","text":"%s"}`, strings.Repeat("x", size-len(frame)))
	}
	_, err := h.Invoke(t.Context(), "specimen", fitting(MaxPayload))
	require.NoError(t, err)
	_, err = h.Invoke(t.Context(), "specimen", fitting(MaxPayload+1))
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = h.Invoke(t.Context(), "specimen", []byte(`{"do":`))
	require.ErrorIs(t, err, ErrInvalidPayload)

	largest := invoke(t, h, fmt.Sprintf(`{"do":"large","size":%d}`, MaxPayload))
	assert.Len(t, largest.Payload, MaxPayload)
	assert.Empty(t, largest.FunctionError)
	tooLarge := invoke(t, h, fmt.Sprintf(`{"do":"large","size":%d}`, MaxPayload+1))
	assert.Equal(t, Unhandled, tooLarge.FunctionError)
	assert.JSONEq(t, `{"errorType":"Function.ResponseSizeTooLarge",
		"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}`,
		string(tooLarge.Payload))
	assert.Equal(t, "1", string(invoke(t, h, `{"do":"echo","value":1}`).Payload), "the function goes on")
}

// gate is a server whose answers the test holds back.
func gate(t testing.TB) (url string, arrived <-chan struct{}, open func()) {
	t.Helper()
	arrivals, opened := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrivals <- struct{}{}
		<-opened
	}))
	open = sync.OnceFunc(func() { close(opened) })
	t.Cleanup(func() { open(); server.Close() })
	return server.URL, arrivals, open
}

func TestInvoke_concurrency(t *testing.T) {
	const places = 3
	h := start(t)
	add(t, h, func(f *Function) { f.Concurrency = places })
	url, arrived, open := gate(t)
	results := make(chan Result, places)
	for range places {
		go func() {
			result, err := h.Invoke(context.Background(), "specimen", fmt.Appendf(nil, `{"do":"call","text":%q}`, url))
			assert.NoError(t, err)
			results <- result
		}()
	}
	for range places {
		<-arrived // each in its own process
	}
	_, err := h.Invoke(t.Context(), "specimen", []byte(`{"do":"self"}`))
	require.ErrorIs(t, err, ErrThrottled)
	open()
	for range places {
		assert.Equal(t, `"200 OK"`, string((<-results).Payload))
	}
	_, result := askSelf(t, h)
	assert.Zero(t, result.ColdStart, "a warm process serves again")
}

func TestInvoke_sequentialCallsNeverThrottle(t *testing.T) {
	h := start(t)
	add(t, h, func(f *Function) { f.Concurrency = 1 })
	for range 200 {
		invoke(t, h, `{"do":"echo","value":1}`)
	}
}

func TestInvoke_callerMayHangUp(t *testing.T) {
	h := start(t)
	add(t, h)
	url, arrived, open := gate(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := h.Invoke(ctx, "specimen", fmt.Appendf(nil, `{"do":"call","text":%q}`, url))
		failed <- err
	}()
	<-arrived
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	open()
	require.NoError(t, h.Stop(t.Context()), "the invocation runs to its end")
}

func TestInvokeEvent_retriesAnErrorTwice(t *testing.T) {
	reader, writer := io.Pipe()
	h := start(t, func(o *Options) { o.RetryEventsAfter = []time.Duration{time.Millisecond, time.Millisecond} })
	add(t, h, func(f *Function) { f.Log = writer })
	id, err := h.InvokeEvent("specimen", []byte(`{"do":"fail","text":"again"}`))
	require.NoError(t, err)
	assert.NotEmpty(t, id)
	lines := bufio.NewScanner(reader)
	// What the function writes comes by a pipe of its own, before or after what the host writes.
	attempts, end := 0, ""
	for (attempts < 3 || end == "") && lines.Scan() {
		switch text := lines.Text(); {
		case strings.HasPrefix(text, "asynchronous invocation"):
			end = text
		case strings.Contains(text, "again"):
			attempts++
		}
	}
	assert.Regexp(t, "^asynchronous invocation "+id+" is given up after 3 attempts: .*again", end)
	go io.Copy(io.Discard, reader)
	_, err = h.InvokeEvent("specimen", []byte(`"`+strings.Repeat("x", MaxEventPayload)+`"`))
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = h.InvokeEvent("nobody", nil)
	require.ErrorIs(t, err, ErrNotFound)
}

func TestEnvironment_isTheFunctionsAlone(t *testing.T) {
	t.Setenv("LEAKED_FROM_THE_PARENT", "yes")
	t.Setenv("AWS_PROFILE", "private")
	h := start(t, func(o *Options) {
		o.Environment = map[string]string{"DATABASE_TLS": "off", "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:1"}
	})
	add(t, h, func(f *Function) {
		f.Environment = map[string]string{"DATABASE_TLS": "verify-full", "ARTIFACTS_BUCKET": "models",
			"TZ": "Europe/Paris"}
		f.MemoryMiB = 256
	})
	var variables []string
	require.NoError(t, json.Unmarshal(invoke(t, h, `{"do":"environment"}`).Payload, &variables))
	got := map[string]string{}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		got[name] = value
	}
	assert.Regexp(t, `^127\.0\.0\.1:\d+/[A-Z2-7]{26}$`, got["AWS_LAMBDA_RUNTIME_API"])
	assert.NotEmpty(t, got[process.MarkVariable], "by which what a function leaves is found")
	for _, name := range []string{"TMPDIR", "HOME"} {
		assert.DirExists(t, got[name])
		assert.Equal(t, filepath.Join(h.options.Dir, "scratch", "specimen-1"), got[name])
	}
	for _, name := range []string{"AWS_LAMBDA_RUNTIME_API", "TMPDIR", "HOME", "_X_AMZN_TRACE_ID", "PWD",
		process.MarkVariable} {
		delete(got, name)
	}
	assert.Equal(t, map[string]string{
		"DATABASE_TLS": "off", "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:1", "ARTIFACTS_BUCKET": "models",
		"TZ":         "Europe/Paris",
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_ACCESS_KEY_ID": "AKIALOCAL",
		"AWS_SECRET_ACCESS_KEY": "laptop",
		"AWS_SESSION_TOKEN":     "session", "AWS_ENDPOINT_URL_LAMBDA": h.Endpoint(),
		"AWS_EC2_METADATA_DISABLED": "true",
		"AWS_LAMBDA_FUNCTION_NAME":  "specimen", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/specimen",
		"AWS_LAMBDA_LOG_STREAM_NAME": "specimen-1", "_HANDLER": "bootstrap",
		"LAMBDA_TASK_ROOT": filepath.Dir(specimen(t)),
		"LANG":             "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "GOMEMLIMIT": "256MiB",
	}, got)
}

func TestLog_takesWhatTheFunctionPrints(t *testing.T) {
	h := start(t)
	add(t, h)
	invoke(t, h, `{"do":"print","text":"a line"}`)
	log, err := os.ReadFile(filepath.Join(h.options.Dir, "log", "specimen.log"))
	require.NoError(t, err)
	assert.Equal(t, "a line\n", string(log))
}

func TestStop_endsEverything(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Host, context.CancelFunc){
		"stop": func(t *testing.T, h *Host, _ context.CancelFunc) {
			require.NoError(t,
				h.Stop(context.Background()))
		},
		"context": func(_ *testing.T, h *Host, cancel context.CancelFunc) { cancel(); <-h.finished },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			h, err := Start(ctx, Options{Account: account, Region: region, Credentials: runCredentials,
				Dir: t.TempDir()})
			require.NoError(t, err)
			add(t, h)
			url, err := h.AddURL("specimen", None)
			require.NoError(t, err)
			process, _ := askSelf(t, h)
			var grandchild int
			require.NoError(t, json.Unmarshal(invoke(t, h, `{"do":"spawn"}`).Payload, &grandchild))

			end(t, h, cancel)
			ends(t, process.PID)
			ends(t, grandchild)
			assert.NoDirExists(t, filepath.Join(h.options.Dir, "scratch"))
			for _, address := range []string{strings.TrimPrefix(h.Endpoint(), "http://"),
				strings.Split(url, "/")[2]} {
				_, err := net.Dial("tcp", address)
				require.Error(t, err, "%s still listens", address)
			}
			_, err = h.Invoke(context.Background(), "specimen", nil)
			require.ErrorIs(t, err, ErrStopped)
			require.ErrorIs(t, h.Add(Function{Name: "later", Executable: specimen(t), Timeout: time.Second,
				MemoryMiB: 128}), ErrStopped)
			require.NoError(t, h.Stop(context.Background()), "stopping again does nothing")
		})
	}
}

func TestExited_tellsAStopFromAnEndOfItsOwn(t *testing.T) {
	stopped := start(t)
	select {
	case <-stopped.Exited():
		t.Fatal("it runs")
	default:
	}
	require.NoError(t, stopped.Err())
	require.NoError(t, stopped.Stop(t.Context()))
	<-stopped.Exited()
	require.NoError(t, stopped.Err())

	options := Options{Account: account, Region: region, Credentials: runCredentials, Dir: t.TempDir()}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended, err := Start(ctx, options)
	require.NoError(t, err)
	cancel(errors.New("the run is over"))
	<-ended.Exited()
	require.ErrorContains(t, ended.Err(), "the Lambda host on "+ended.Endpoint()+" ended by itself: the run is over")
	require.NoError(t, ended.Stop(t.Context()))
	require.Error(t, ended.Err())

	options.Dir = t.TempDir()
	broken, err := Start(t.Context(), options)
	require.NoError(t, err)
	require.NoError(t, broken.listener.Close())
	<-broken.Exited()
	require.ErrorContains(t, broken.Err(), "use of closed network connection")
}

func TestStop_drainsAndThenKills(t *testing.T) {
	h := start(t)
	add(t, h)
	url, arrived, _ := gate(t)
	failed := make(chan error)
	go func() {
		_, err := h.Invoke(context.Background(), "specimen", fmt.Appendf(nil, `{"do":"call","text":%q}`, url))
		failed <- err
	}()
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, h.Stop(ctx), "an invocation still ran and was killed")
	require.ErrorIs(t, <-failed, ErrStopped, "what the host killed is no error of the function")
}

func TestStart_endsWhatAKilledHostLeft(t *testing.T) {
	dir := t.TempDir()
	inDir := func(o *Options) { o.Dir = dir }
	killed := start(t, inDir) // as good as killed: it does not hear of its successor
	add(t, killed)
	orphan, _ := askSelf(t, killed)
	next := start(t, inDir)
	ends(t, orphan.PID)
	assert.NoDirExists(t, orphan.Temp)
	add(t, next)
	assert.Equal(t, "1", string(invoke(t, next, `{"do":"echo","value":1}`).Payload))
}

func TestAdd_refusesNamingEveryProblem(t *testing.T) {
	h := start(t)
	err := h.Add(Function{
		Name: "a b", Executable: "/nowhere", Timeout: time.Hour, MemoryMiB: 64, Concurrency: -1,
		Environment: map[string]string{"AWS_REGION": "x", "_HANDLER": "y", "FINE": "z"},
	})
	for _, part := range []string{`"a b"`, "/nowhere", "time-out 1h0m0s", "memory 64", "concurrency -1",
		"AWS_REGION is reserved", "_HANDLER is reserved"} {
		require.ErrorContains(t, err, part)
	}
	assert.NotContains(t, err.Error(), "FINE")
	add(t, h)
	require.ErrorContains(t, h.Add(Function{Name: "specimen", Executable: specimen(t), Timeout: time.Second,
		MemoryMiB: 128}), "added before")
}

func TestStart_refusesNamingEveryProblem(t *testing.T) {
	_, err := Start(t.Context(), Options{Account: "12"})
	for _, part := range []string{`account "12"`, "no region", "no credentials", "no folder"} {
		require.ErrorContains(t, err, part)
	}
}

func TestBuild(t *testing.T) {
	servertest.Needed(t, "the Go compiler")
	h := start(t)
	executable, err := h.Build(t.Context(), filepath.Join("testdata", "specimen"))
	require.NoError(t, err)
	add(t, h, func(f *Function) { f.Executable = executable })
	assert.Equal(t, "7", string(invoke(t, h, `{"do":"echo","value":7}`).Payload))

	before, err := os.Stat(executable)
	require.NoError(t, err)
	again, err := h.Build(t.Context(), filepath.Join("testdata", "specimen"))
	require.NoError(t, err)
	assert.Equal(t, executable, again)
	after, err := os.Stat(executable)
	require.NoError(t, err)
	assert.Equal(t, before.ModTime(), after.ModTime(), "it was not built again")
}

func TestBuild_needsTheGoCompiler(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := start(t).Build(t.Context(), filepath.Join("testdata", "specimen"))
	require.ErrorIs(t, err, installed.ErrNotInstalled)
	require.ErrorContains(t, err, "Go")
}

func TestBuild_reportsTheCompilersWords(t *testing.T) {
	servertest.Needed(t, "the Go compiler")
	source := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(source, "go.mod"), []byte("module broken\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"),
		[]byte("package main\n\nfunc main() { undefinedThing() }\n"), 0o600))
	_, err := start(t).Build(t.Context(), source)
	require.ErrorContains(t, err, "undefined: undefinedThing")
	require.ErrorContains(t, err, source)
}

func BenchmarkInvoke(b *testing.B) {
	h := start(b)
	add(b, h)
	payload := []byte(`{"do":"echo","value":1}`)
	b.Run("warm", func(b *testing.B) {
		for b.Loop() {
			if _, err := h.Invoke(b.Context(), "specimen", payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cold", func(b *testing.B) {
		endIdle(h)
		var cold time.Duration
		for b.Loop() {
			result, err := h.Invoke(b.Context(), "specimen", payload)
			if err != nil {
				b.Fatal(err)
			}
			cold += result.ColdStart
			b.StopTimer() // the next one finds no process
			endIdle(h)
			b.StartTimer()
		}
		b.ReportMetric(float64(cold.Microseconds())/float64(b.N)/1000, "ms/cold-start")
	})
}

// endIdle ends the processes that wait for an invocation.
func endIdle(h *Host) {
	f := h.functions["specimen"]
	for i := f.takeIdle(); i != nil; i = f.takeIdle() {
		i.process.Kill()
		<-i.process.Exited()
	}
}
