package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"diecast/internal/wait"
)

// part is a kind of process of a run: those whose command line it matches.
type part struct {
	name string
	line *regexp.Regexp
}

// The parts that are processes of their own.
var (
	moto       = part{"moto", regexp.MustCompile(`/engines/moto/`)}
	kinesalite = part{"kinesalite", regexp.MustCompile(`/engines/kinesalite/`)}
	dynalite   = part{"dynalite", regexp.MustCompile(`/engines/dynalite/`)}
	postgres   = part{"PostgreSQL", regexp.MustCompile(`bin/postgres -D`)}
	mariadb    = part{"MariaDB", regexp.MustCompile(`mariadbd --no-defaults`)}
	sessions   = part{"sessions of PostgreSQL", regexp.MustCompile(`^postgres: .* 127\.0\.0\.1\(\d+\) `)}
	transform  = function("transform")
	deliver    = function("deliver")
	inference  = function("inference")
	servers    = part{"web server", regexp.MustCompile(`/engines/autoscaling/build-\d+/web`)}
	guard      = part{"guard", regexp.MustCompile(` local guard$`)}
	job        = part{"ETL job", regexp.MustCompile(`/engines/glue/.*|ratings_etl|org\.apache\.spark`)}
)

func function(name string) part {
	return part{"function " + name, regexp.MustCompile(`/engines/lambda/build/` + name + `-[^/]*/bootstrap`)}
}

// process of a run.
type process struct {
	id, parent int
	line       string
	// begun tells it from a later process of the same number.
	begun string
}

func (p process) String() string {
	const most = 60
	return fmt.Sprintf("%d (%s)", p.id, p.line[:min(most, len(p.line))])
}

// same says whether the process still runs; a dead one that nobody has waited for does not.
func (p process) same() bool {
	output, err := exec.Command("ps", "-o", "lstart=,stat=", "-p", strconv.Itoa(p.id)).Output()
	begun, state := began(strings.Fields(string(output)))
	return err == nil && begun == p.begun && !strings.HasPrefix(state, "Z")
}

// lstart is five words: Sat Nov 28 22:33:29 2026.
const startWords = 5

func began(fields []string) (begun, state string) {
	if len(fields) <= startWords {
		return "", ""
	}
	return strings.Join(fields[:startWords], " "), fields[startWords]
}

// processes are all that the run has started, and what these have.
func (r *run) processes() []process {
	list := exec.Command("ps", "-e", "-ww", "-o", "pid=,ppid=,lstart=,stat=,args=")
	list.Env = append(os.Environ(), "LC_ALL=C")
	output, err := list.Output()
	if err != nil {
		return nil
	}
	children := map[int][]process{}
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		if len(fields) < 2+startWords+1 {
			continue
		}
		id, idErr := strconv.Atoi(fields[0])
		parent, parentErr := strconv.Atoi(fields[1])
		begun, state := began(fields[2:])
		if idErr != nil || parentErr != nil || strings.HasPrefix(state, "Z") {
			continue
		}
		children[parent] = append(children[parent], process{id: id, parent: parent, begun: begun,
			line: strings.Join(fields[2+startWords+1:], " ")})
	}
	var all []process
	for next := children[r.child.Process.Pid]; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children[next[0].id]...)
	}
	return all
}

// errNobody says that a run has no process of a part at the moment.
var errNobody = errors.New("the run has no process of this part")

// find gives the processes of a part; none is errNobody.
func (r *run) find(wanted part) ([]process, error) {
	found := slices.DeleteFunc(r.processes(), func(p process) bool { return !wanted.line.MatchString(p.line) })
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %s", errNobody, wanted.name)
	}
	return found, nil
}

// send sends a signal to the processes of a part.
func (r *run) send(wanted part, signal syscall.Signal) error {
	found, err := r.find(wanted)
	if err != nil {
		return err
	}
	for _, p := range found {
		_ = syscall.Kill(p.id, signal) // it may have ended just now
	}
	return nil
}

// appearing is how long a function may take to be needed again.
var appearing = wait.Rule{For: 10 * time.Second, Pause: 20 * time.Millisecond}

// reach sends a signal to the processes of a part as soon as there is one.
func (r *run) reach(ctx context.Context, wanted part, signal syscall.Signal) error {
	return appearing.Until(ctx, func(context.Context) error { return r.send(wanted, signal) })
}

// hang stops the processes of a part, and what they have started, for a while.
func (r *run) hang(ctx context.Context, wanted part, duration time.Duration) error {
	var found []process
	err := appearing.Until(ctx, func(context.Context) (err error) {
		found, err = r.find(wanted)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range found {
		for _, child := range r.processes() {
			if child.parent == p.id {
				found = append(found, child)
			}
		}
	}
	return r.suspend(ctx, found, duration)
}

func (r *run) suspend(ctx context.Context, processes []process, duration time.Duration) error {
	for _, p := range processes {
		_ = syscall.Kill(p.id, syscall.SIGSTOP)
	}
	defer func() {
		for _, p := range slices.Backward(processes) {
			_ = syscall.Kill(p.id, syscall.SIGCONT)
		}
	}()
	return pass(ctx, duration)
}

// pass waits.
func pass(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// named says whether the run has told, in a line, of the part that it lost and where its log is.
func (r *run) named(wanted string) error {
	words, err := os.ReadFile(r.said.Name())
	if err != nil {
		return err
	}
	told := regexp.MustCompile("(?i)(?:" + wanted + ").*?, see ([^:]+):")
	for line := range strings.Lines(string(words)) {
		found := told.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		log := found[1]
		if !filepath.IsAbs(log) {
			log = filepath.Join(r.folder, log)
		}
		if _, err := os.Stat(log); err != nil {
			return fmt.Errorf("the log that it names is not there: %w", err)
		}
		return nil
	}
	return fmt.Errorf("no line names %s and its log; it said: %s", wanted, r.lastWords())
}
