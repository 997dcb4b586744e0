package platform

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment"
)

// The bounds of a run's end that docs/local.md promises, and what a busy machine may add.
const (
	endsWithin  = 15 * time.Second
	lostWithin  = 5 * time.Second
	busyMachine = 20 * time.Second
)

// trial is one run of the operator's command, in folders of its own.
type trial struct {
	t                 *testing.T
	folder, tempFiles string
	mark              string
	command           *exec.Cmd
	out               *bufio.Reader
	notes             *notes
	ended             chan struct{}
}

// notes are what a run says on standard error.
type notes struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (n *notes) Write(text []byte) (int, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.text.Write(text)
}

func (n *notes) String() string {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.text.String()
}

// begin starts a run. It and all that it starts are found by their folders.
func begin(t *testing.T, program, assembly string) *trial {
	t.Helper()
	source, err := filepath.Abs(root)
	require.NoError(t, err)
	r := &trial{t: t, folder: t.TempDir(), tempFiles: t.TempDir(), notes: &notes{}, ended: make(chan struct{})}
	r.command = exec.Command(program, "local", "up", "--assembly", assembly, "--source", source)
	r.command.Dir = r.folder
	r.command.Env = append(os.Environ(), "TMPDIR="+r.tempFiles)
	r.command.Stderr = r.notes
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { reader.Close() })
	r.out, r.command.Stdout = bufio.NewReader(reader), writer
	require.NoError(t, errors.Join(r.command.Start(), writer.Close()))
	t.Cleanup(func() {
		_ = r.command.Process.Kill()
		<-r.ended
	})
	go func() {
		_ = r.command.Wait() // how it ended is each test's own question
		close(r.ended)
	}()
	return r
}

func (r *trial) run() string { return filepath.Join(r.folder, ".local", "default") }

// up waits until it is.
func (r *trial) up() *deployment.Deployment {
	r.t.Helper()
	line, err := r.out.ReadString('\n')
	require.NoError(r.t, err, "%s", r.notes)
	require.Contains(r.t, line, "resources run")
	deployed, err := deployment.Read(filepath.Join(r.run(), "outputs.json"))
	require.NoError(r.t, err)
	return deployed
}

// until waits for a file of the run.
func (r *trial) until(pattern string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		found, err := filepath.Glob(filepath.Join(r.run(), pattern))
		return err == nil && len(found) > 0
	}, time.Minute, 2*time.Millisecond, "%s", r.notes)
}

// load puts events on the stream, one for each of so many sessions.
func (r *trial) load(deployed *deployment.Deployment, from, count int) {
	r.t.Helper()
	names, err := deployed.Streaming()
	require.NoError(r.t, err)
	client, err := deployed.Kinesis(r.t.Context())
	require.NoError(r.t, err)
	input := &kinesis.PutRecordsInput{StreamName: &names.Stream}
	for n := range count {
		session := fmt.Sprintf("session-%d", from+n)
		data, err := json.Marshal(map[string]any{"session_id": session, "customer_number": 103, "city": "Nantes",
			"country": "France", "credit_limit": 21000, "browse_history": []any{}})
		require.NoError(r.t, err)
		input.Records = append(input.Records, types.PutRecordsRequestEntry{Data: data, PartitionKey: &session})
	}
	answer, err := client.PutRecords(r.t.Context(), input)
	require.NoError(r.t, err)
	require.Zero(r.t, *answer.FailedRecordCount)
}

// processes of the run: itself, and what has its mark (package process).
func (r *trial) processes() []int {
	r.t.Helper()
	found := []int{r.command.Process.Pid}
	if variable := markOfRun(r.t, r.command.Process.Pid); variable != "" {
		r.mark = variable
	}
	folders, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(r.t, err)
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		require.NoError(r.t, err)
		if r.mark != "" && markOf(pid) == r.mark {
			found = append(found, pid)
		}
	}
	return found
}

// markOf a process is the variable by which a run finds what it has started.
func markOf(pid int) string {
	environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)) // it may have ended
	for variable := range strings.SplitSeq(string(environment), "\x00") {
		if strings.HasPrefix(variable, "DIECAST_STARTED_BY=") {
			return variable
		}
	}
	return ""
}

// markOfRun is that of a run's children; empty where there is none yet.
func markOfRun(t *testing.T, run int) string {
	t.Helper()
	for _, child := range descendants(t, run) {
		if variable := markOf(child); variable != "" {
			return variable
		}
	}
	return ""
}

// stray is what a function of a run may start: a process in a session of its own, whose parent has
// ended.
func stray(t *testing.T, run int) int {
	t.Helper()
	mark := markOfRun(t, run)
	require.NotEmpty(t, mark)
	parent := exec.Command("sh", "-c", "setsid sleep 3600 > /dev/null 2>&1 & echo $!")
	parent.Env = []string{"PATH=/usr/bin:/bin", mark}
	told, err := parent.Output()
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(told)))
	require.NoError(t, err)
	return pid
}

// over waits until the run has ended, and holds it to leaving nothing: no process, no temporary
// file, and, unless it was killed, no outputs.
func (r *trial) over(within time.Duration, started []int) {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(within + busyMachine):
		require.Fail(r.t, "the run goes on", "%s", r.notes)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), endsWithin)
	defer cancel()
	for _, pid := range started {
		assert.NoError(r.t, untilGone(ctx, pid), "process %d outlived its run", pid)
	}
	left, err := os.ReadDir(r.tempFiles)
	require.NoError(r.t, err)
	assert.Empty(r.t, left, "temporary files")
	err = filepath.WalkDir(r.run(), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasPrefix(entry.Name(), "build") {
			return fs.SkipDir // what the next run takes as it is
		}
		if err == nil && !entry.IsDir() && entry.Name() != "lock" {
			assert.Equal(r.t, ".log", filepath.Ext(path), "%s is left", path)
		}
		return err
	})
	if !errors.Is(err, fs.ErrNotExist) { // nothing came of it
		assert.NoError(r.t, err)
	}
	apart, err := filepath.Glob("/var/cache/diecast/run-*/wanted") // of databases of root's
	require.NoError(r.t, err)
	for _, file := range apart {
		wanted, err := os.ReadFile(file)
		if err == nil { // else another run's that has just ended
			assert.NotContains(r.t, string(wanted), r.folder, "%s is left", file)
		}
	}
}

func (r *trial) signal(signal syscall.Signal) {
	r.t.Helper()
	require.NoError(r.t, r.command.Process.Signal(signal))
}

// rows waits until the table has so many.
func (r *trial) rows(deployed *deployment.Deployment, wanted int) {
	r.t.Helper()
	names, err := deployed.Streaming()
	require.NoError(r.t, err)
	client, err := deployed.DynamoDB(r.t.Context())
	require.NoError(r.t, err)
	require.Eventually(r.t, func() bool {
		answer, err := client.Scan(r.t.Context(), &dynamodb.ScanInput{TableName: &names.Table})
		return err == nil && int(answer.Count) >= wanted
	}, time.Minute, 100*time.Millisecond, "%s", r.notes)
}

// Whatever ends a run that is coming up, nothing is left of it.
func TestAnyEndOfAStartLeavesNothing(t *testing.T) {
	program := buildCommand(t)
	hangup := syscall.SIGHUP
	if signal.Ignored(hangup) { // under nohup, whose children ignore it
		hangup = syscall.SIGTERM
	}
	for _, c := range []struct {
		name, reached string
		signals       []syscall.Signal
	}{
		{"engines starting", "engines/moto", []syscall.Signal{syscall.SIGINT}},
		{"building", "engines/lambda/build", []syscall.Signal{syscall.SIGPIPE}},
		{"creating", "engines/mariadb-*/data", []syscall.Signal{hangup}},
		{"creating, in a hurry", "engines/mariadb-*/password", []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := begin(t, program, synthesized)
			r.until(c.reached)
			started := r.processes()
			for _, one := range c.signals {
				r.signal(one)
			}
			r.over(endsWithin, started)
			assert.NoFileExists(t, filepath.Join(r.run(), "outputs.json"))
			// Who is in a hurry may hear that what was left is killed.
			assert.Regexp(t, "interrupted|what was left of it is killed", r.notes.String())
		})
	}
}

// suspension is longer than what keeps connections and questions alive, and short for a test.
const suspension = 8 * time.Second

// A run goes on after a suspension without loss, and ends by a signal in the middle of its work
// together with what its functions have left.
func TestASuspendedRunGoesOnAndEndsUnderLoad(t *testing.T) {
	r := begin(t, buildCommand(t), synthesized)
	deployed := r.up()
	r.load(deployed, 0, 100)
	r.rows(deployed, 1)
	r.load(deployed, 100, 100) // under way when all stands still
	all := r.processes()
	for _, pid := range all {
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	<-time.After(suspension)
	for _, pid := range all {
		require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	}
	r.rows(deployed, 200)
	assert.NotContains(t, r.notes.String(), "does not answer")

	started := append(r.processes(), stray(t, r.command.Process.Pid))
	r.load(deployed, 200, 100)
	r.signal(syscall.SIGTERM)
	r.over(endsWithin, started)
	assert.NoFileExists(t, filepath.Join(r.run(), "outputs.json"))
	assert.Contains(t, r.notes.String(), "stopping")
	assert.NotContains(t, r.notes.String(), "records were read", "all was flushed")
	logs, err := filepath.Glob(filepath.Join(r.run(), "engines", "lambda", "log", "*Streaming-*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 3, "of transform, deliver and inference")
	ended := 0
	for _, log := range logs {
		text, err := os.ReadFile(log)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			assert.NotContains(t, line, "Runtime.ExitError", "a function was ended in its work")
			var metrics struct{ Failed int }
			if json.Unmarshal([]byte(line), &metrics) == nil {
				ended++
				assert.Zero(t, metrics.Failed, "what was under way became an error: %s", line)
			}
		}
	}
	assert.Positive(t, ended)
}

// A run whose output nobody reads any more ends at its next word, and a second signal ends it at
// once; a part that hangs keeps neither.
func TestABrokenOutputEndsARun(t *testing.T) {
	r := begin(t, buildCommand(t), synthesized)
	r.up()
	started := r.processes()
	hangs := started[len(started)-1]
	require.NoError(t, syscall.Kill(hangs, syscall.SIGSTOP))
	r.signal(syscall.SIGPIPE)
	require.Eventually(t, func() bool { return strings.Contains(r.notes.String(), "stopping") }, time.Minute,
		time.Millisecond)
	r.signal(syscall.SIGINT)
	r.over(lostWithin, started)
	assert.NoFileExists(t, filepath.Join(r.run(), "outputs.json"))
}
