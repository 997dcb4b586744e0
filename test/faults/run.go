package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/ledger"
	"diecast/internal/local/platform"
	"diecast/internal/wait"
)

// settings say what is run.
type settings struct {
	// command is the operator's command, assembly the folder that cdk synth wrote, source the root
	// of the module.
	command, assembly, source string
	// folder keeps the run: the same one for all, as a person's is.
	folder string
	// seed of everything that is by chance.
	seed uint64
	// told is what happens meanwhile, for a terminal.
	told func(string)
}

// absolute has the settings lead to their places from any folder.
func (s *settings) absolute() error {
	var problems []error
	for _, path := range []*string{&s.command, &s.assembly, &s.source, &s.folder} {
		var err error
		*path, err = filepath.Abs(*path)
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

const (
	// startWithin bounds a run's start, buildWithin the one that compiles functions and servers.
	startWithin = 2 * time.Minute
	buildWithin = 15 * time.Minute
	// endWithin is how long a run may take to end once it is asked to.
	endWithin = 15 * time.Second
	// noticeWithin is how long a run may take to end by itself once a part is dead.
	noticeWithin = 5 * time.Second
	// slack is what a busy machine may add to either.
	slack = 2 * time.Second
)

// run is the platform as a person starts it: a process of its own.
type run struct {
	settings
	child *exec.Cmd
	// said is what it writes to its standard error, told to its standard output behind the first
	// line, read after toldAll only.
	said    *os.File
	told    []byte
	toldAll chan struct{}
	exited  chan struct{}
	err     error // how it ended; read after exited only
	// started are the processes that it had when it was last looked at.
	started []process
	view
}

// runFolder of the run below the folder in which it is started.
func (s settings) runFolder() string { return filepath.Join(s.folder, ".local", "default") }

func (s settings) temporary() string { return filepath.Join(s.folder, "tmp") }

// launch starts the platform and does not wait for it. What it writes to its standard output is to
// be read.
func (s settings) launch() (_ *run, out *os.File, err error) {
	for _, folder := range []string{s.folder, s.temporary()} {
		// A database's server of its own user finds its way through.
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, nil, err
		}
	}
	if err := s.clear(); err != nil {
		return nil, nil, err
	}
	said, err := os.Create(filepath.Join(s.folder, "stderr"))
	if err != nil {
		return nil, nil, err
	}
	out, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, said.Close())
	}
	defer writer.Close()
	child := exec.Command(s.command, "local", "up", "--assembly", s.assembly, "--source", s.source, "--buffers", "1s",
		"--json")
	child.Dir, child.Stdout, child.Stderr = s.folder, writer, said
	child.Env = append(os.Environ(), "TMPDIR="+s.temporary())
	// Signals to whoever watches are not the run's.
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		return nil, nil, errors.Join(err, out.Close(), said.Close())
	}
	r := &run{settings: s, child: child, said: said, exited: make(chan struct{}), toldAll: make(chan struct{})}
	go func() {
		r.err = child.Wait()
		close(r.exited)
	}()
	return r, out, nil
}

// build has a run compile functions and servers, and end: others then start with what it has made.
func (s settings) build(ctx context.Context) error {
	s.folder = filepath.Join(s.folder, "build")
	r, err := s.startWithin(ctx, buildWithin)
	if err != nil {
		return err
	}
	return r.stop(ctx)
}

// start starts the platform and waits until it is up.
func (s settings) start(ctx context.Context) (*run, error) { return s.startWithin(ctx, startWithin) }

func (s settings) startWithin(ctx context.Context, within time.Duration) (*run, error) {
	r, out, err := s.launch()
	if err != nil {
		return nil, err
	}
	up := make(chan error, 1)
	go func() {
		lines := bufio.NewReader(out)
		line, err := lines.ReadString('\n')
		if err == nil && !strings.Contains(line, "resources_run") {
			err = fmt.Errorf("its first line is %q", line)
		}
		up <- err
		r.told, _ = io.ReadAll(lines) // until the run has ended
		_ = out.Close()
		close(r.toldAll)
	}()
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case err = <-up:
	case <-limit.C:
		err = fmt.Errorf("it is not up after %s", inWords(within))
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		err = r.connect(ctx)
	}
	if err != nil {
		r.kill()
		return nil, fmt.Errorf("the run did not start: %w: %s", err, r.lastWords())
	}
	return r, nil
}

// connect finds what the run has made.
func (r *run) connect(ctx context.Context) error {
	r.started = r.processes()
	return r.view.open(ctx, filepath.Join(r.runFolder(), platform.OutputsFile))
}

// closing is the account that a run tells at its end.
func (r *run) closing() (ledger.Account, error) {
	<-r.toldAll
	var last struct{ Account *ledger.Account }
	lines := bytes.Split(bytes.TrimSpace(r.told), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil || last.Account == nil {
		return ledger.Account{}, fmt.Errorf("it told no account at its end, but %q", r.told)
	}
	return *last.Account, nil
}

// output of the run's stacks.
func (r *run) output(wanted outputs.Output) (string, error) { return r.deployed.Value(wanted) }

// lastWords are the end of what it wrote to its standard error.
func (r *run) lastWords() string {
	text, err := os.ReadFile(r.said.Name())
	if err != nil {
		return err.Error()
	}
	const most = 600
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

// signal asks the run's own process, and no other.
func (r *run) signal(signal syscall.Signal) error { return r.child.Process.Signal(signal) }

// alive says whether the run has not ended.
func (r *run) alive() bool {
	select {
	case <-r.exited:
		return false
	default:
		return true
	}
}

// ended waits for the run's end.
func (r *run) ended(ctx context.Context, within time.Duration) (time.Duration, error) {
	begun := time.Now()
	limit := time.NewTimer(within + slack)
	defer limit.Stop()
	select {
	case <-r.exited:
		return time.Since(begun), nil
	case <-limit.C:
		return 0, fmt.Errorf("the run has not ended %s later", inWords(within))
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// kill ends the run and all that it has started, whatever state they are in.
func (r *run) kill() {
	processes := r.started
	if r.alive() {
		processes = append(processes, r.processes()...)
		_ = r.child.Process.Kill()
		<-r.exited
	}
	for _, p := range processes {
		if p.same() {
			_ = syscall.Kill(p.id, syscall.SIGKILL)
		}
	}
	_ = r.said.Close()
}

// stop ends the run as a person does, and says what is left of it.
func (r *run) stop(ctx context.Context) error {
	defer r.kill()
	r.started = r.processes()
	if err := r.signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if _, err := r.ended(ctx, endWithin); err != nil {
		return err
	}
	return r.nothingLeft(ctx)
}

// goneWithin is how long the processes of a run that has ended may take to go.
var goneWithin = wait.Rule{For: 2 * time.Second, Pause: 20 * time.Millisecond}

// noProcessLeft says which processes of an ended run go on.
func (r *run) noProcessLeft(ctx context.Context) error {
	return goneWithin.Until(ctx, func(context.Context) error {
		var left []string
		for _, p := range r.started {
			if p.same() {
				left = append(left, p.String())
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("it left %d processes: %s", len(left), strings.Join(left, "; "))
		}
		return nil
	})
}

// nothingLeft says what an ended run has left: processes, files that are no logs, and temporary
// ones.
func (r *run) nothingLeft(ctx context.Context) error {
	problems := []error{r.noProcessLeft(ctx)}
	problems = append(problems, r.onlyLogsLeft())
	files, err := os.ReadDir(r.temporary())
	problems = append(problems, err)
	for _, file := range files {
		if !installedOnce(file.Name()) {
			problems = append(problems, fmt.Errorf("it left %s in the temporary folder", file.Name()))
		}
	}
	return errors.Join(problems...)
}

// onlyLogsLeft says which files an ended run has left in its folder that are neither logs nor
// programs, which the next run takes.
func (r *run) onlyLogsLeft() error {
	var problems []error
	err := filepath.WalkDir(r.runFolder(), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), "build"):
			return fs.SkipDir
		case !entry.IsDir() && entry.Name() != "lock" && filepath.Ext(path) != ".log":
			problems = append(problems, fmt.Errorf("it left %s", path))
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) { // nothing came of the run
		err = nil
	}
	return errors.Join(append(problems, err)...)
}

// installedOnce tells what lies in the temporary folder for every run to come: a copy of
// PostgreSQL's programs for the user whom they run as.
func installedOnce(name string) bool { return strings.HasPrefix(name, "diecast-postgres-") }

// clear empties the temporary folder of what an earlier run has left.
func (s settings) clear() error {
	files, err := os.ReadDir(s.temporary())
	problems := []error{err}
	for _, file := range files {
		if !installedOnce(file.Name()) {
			problems = append(problems, os.RemoveAll(filepath.Join(s.temporary(), file.Name())))
		}
	}
	return errors.Join(problems...)
}

// operator runs the operator's command in the folder of the runs.
func (s settings) operator(ctx context.Context, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, s.command, arguments...)
	command.Dir = s.folder
	output, err := command.Output()
	if err != nil {
		return output, fmt.Errorf("diecast %s: %w", strings.Join(arguments, " "), err)
	}
	return output, nil
}
