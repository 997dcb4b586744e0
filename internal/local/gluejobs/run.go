package gluejobs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"diecast/internal/local/process"
	"diecast/internal/surroundings"
)

// state of a run, as Glue names it.
type state string

const (
	starting  state = "STARTING"
	running   state = "RUNNING"
	succeeded state = "SUCCEEDED"
	failed    state = "FAILED"
	timedOut  state = "TIMEOUT"
	stopped   state = "STOPPED"
)

// logName is the file in a run's folder that has what it wrote.
const logName = "job.log"

// run is one run of a job.
type run struct {
	id      string
	job     string
	timeout time.Duration
	// arguments that the run was started with, over the job's own.
	arguments map[string]string
	begun     time.Time
	stop      context.CancelCauseFunc
	ended     chan struct{} // closed when its process has ended and finished is known

	mutex    sync.Mutex
	state    state
	changed  time.Time
	finished time.Time
	message  string
}

func (r *run) become(now state, message string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.state, r.message, r.changed = now, message, time.Now()
	if now != starting && now != running {
		r.finished = r.changed
	}
}

// underWay says whether a run has not ended.
func (r *run) underWay() bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.finished.IsZero()
}

// errTimeout is the end of a run that took too long.
var errTimeout = errors.New("time-out")

// start begins a run of a job that the caller has locked the host for.
func (h *Host) start(of *job, arguments map[string]string, timeout time.Duration) *run {
	r := &run{
		id: "jr_" + randomText(32), job: of.Name, arguments: arguments, timeout: timeout, begun: time.Now(),
		state: starting, changed: time.Now(), ended: make(chan struct{}),
	}
	ctx, stop := context.WithCancelCause(h.ctx)
	r.stop = stop
	of.runs = append(of.runs, r)
	merged := maps.Clone(of.Arguments)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, arguments)
	h.work.Go(func() {
		defer close(r.ended)
		defer stop(nil)
		r.become(h.execute(ctx, r, of.Job, merged))
	})
	return r
}

// execute runs the script to its end, and says how that was.
func (h *Host) execute(ctx context.Context, r *run, of Job, arguments map[string]string) (state, string) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, errTimeout)
	defer cancel()
	folder := filepath.Join(h.options.Dir, r.id)
	log := filepath.Join(folder, logName)
	err := h.launch(ctx, r, of, arguments, folder, log)
	switch cause := context.Cause(ctx); {
	case err == nil:
		return succeeded, ""
	case errors.Is(cause, errTimeout):
		return timedOut, fmt.Sprintf("the run took longer than its time-out of %s; its log: %s",
			r.timeout, log)
	case cause != nil:
		return stopped, cause.Error()
	}
	if reason := lastError(log); reason != "" {
		return failed, reason
	}
	return failed, fmt.Sprintf("%v; its log: %s", err, log)
}

func (h *Host) launch(ctx context.Context, r *run, of Job, arguments map[string]string, folder,
	log string) (err error) {
	scratch := filepath.Join(folder, "scratch")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	more, err := settings(arguments)
	if err != nil {
		return err
	}
	configuration, err := h.configure(filepath.Join(folder, "conf"), scratch, more)
	if err != nil {
		return err
	}
	output, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	given := []string{of.Script, "--JOB_NAME", of.Name, "--JOB_ID", of.Name, "--JOB_RUN_ID", r.id}
	for _, name := range slices.Sorted(maps.Keys(arguments)) {
		if name != confArgument {
			given = append(given, name, arguments[name])
		}
	}
	child, err := process.Start(process.Command{
		Path: h.spark.python, Arguments: given, Dir: scratch,
		Environment: h.environment(of, configuration, scratch), Output: output,
		PIDFile: filepath.Join(folder, "job.pid"),
	})
	if err != nil {
		return err
	}
	r.become(running, "")
	select {
	case <-child.Exited():
	case <-ctx.Done():
		child.Kill()
	}
	return child.Err()
}

// environment is all that a run's process sees: nothing comes from this process.
func (h *Host) environment(of Job, configuration, scratch string) []string {
	variables := map[string]string{
		"SPARK_CONF_DIR": configuration, "SPARK_LOCAL_IP": process.Loopback,
		"JAVA_HOME": h.spark.java, "PYSPARK_PYTHON": h.spark.python,
		"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1",
		// Else a wrong credential would be looked for on the network.
		"AWS_EC2_METADATA_DISABLED": "true",
	}
	own := map[string]string{
		"AWS_REGION": h.options.Region, "AWS_DEFAULT_REGION": h.options.Region,
		"AWS_ACCESS_KEY_ID":     h.options.Credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": h.options.Credentials.SecretAccessKey,
	}
	return surroundings.List(surroundings.Bare(scratch), variables, of.Environment, h.options.Environment, own)
}

const (
	// tailLength is how much of a log is searched for the error that ended a run, maxMessage what
	// is told of it.
	tailLength = 64 << 10
	maxMessage = 2000
	traceback  = "Traceback (most recent call last):"
)

// lastError is the exception that ended a Python program, from the end of its log: what follows the
// last traceback. It is empty where there is none.
func lastError(log string) string {
	file, err := os.Open(log)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > tailLength {
		if _, err := file.Seek(-tailLength, io.SeekEnd); err != nil {
			return ""
		}
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	text := string(content)
	at := strings.LastIndex(text, traceback)
	if at < 0 {
		return ""
	}
	// Below the traceback come its frames, indented, and then the exception, whose message may have
	// more lines.
	lines := strings.Split(text[at+len(traceback)+1:], "\n")
	first := slices.IndexFunc(lines, func(line string) bool { return line != "" && !strings.HasPrefix(line, " ") })
	if first < 0 {
		return ""
	}
	message := strings.TrimPrefix(strings.TrimSpace(strings.Join(lines[first:], "\n")), "__main__.")
	return message[:min(len(message), maxMessage)]
}

// randomText is twice as many hexadecimal digits as the number of bytes.
func randomText(bytes int) string {
	random := make([]byte, bytes)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return hex.EncodeToString(random)
}

// newestFirst are runs in the order of Glue's answers.
func newestFirst(runs []*run) []*run {
	return slices.SortedStableFunc(slices.Values(runs), func(a, b *run) int { return b.begun.Compare(a.begun) })
}
