// Command bench times the project's own commands and prints a table with the machine's description,
// then runs the Go benchmarks of the packages named on its command line. It measures; it never
// judges, but for a benchmark that fails: then it fails, too.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// measurement is one command that is timed as a whole process.
type measurement struct {
	name string
	runs int
	// environment is added to the process's own.
	environment []string
	// fresh makes an empty folder before each run and puts its path in place of {}.
	fresh   bool
	command []string
}

func measurements() []measurement {
	quiet := "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=18,20"
	return []measurement{
		{
			name: "warm cdk synth, without the validator", runs: 5, fresh: true,
			environment: []string{quiet, "CDK_VALIDATION=false"},
			command:     []string{"npx", "cdk", "synth", "--quiet", "--output", "{}"},
		}, {
			name: "warm cdk synth, with the validator", runs: 5, fresh: true,
			environment: []string{quiet},
			command:     []string{"npx", "cdk", "synth", "--quiet", "--strict", "--output", "{}"},
		}, {
			name: "make check, tests not cached", runs: 3,
			command: []string{"make", "check", "GOFLAGS=-count=1"},
		}, {
			name: "cold build of the app, empty build cache", runs: 1, fresh: true,
			environment: []string{"GOCACHE={}"},
			command:     []string{"go", "build", "-buildvcs=false", "-o", "bin/app", "."},
		},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, packages []string) error {
	fmt.Println(machine())
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "whole command\truns\tmin\tmedian\tmax")
	for _, m := range measurements() {
		fmt.Fprintf(os.Stderr, "measuring %s (%d runs)\n", m.name, m.runs)
		times, err := m.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(table, "%s\t%d\t%.1f s\t%.1f s\t%.1f s\n", m.name, len(times),
			times[0].Seconds(), times[len(times)/2].Seconds(), times[len(times)-1].Seconds())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(packages) == 0 {
		return nil
	}
	return benchmark(ctx, packages, os.Stdout)
}

// benchmark runs the packages' Go benchmarks and copies what they print.
func benchmark(ctx context.Context, packages []string, to io.Writer) error {
	arguments := []string{"test", "-run", "^$", "-bench", ".", "-benchmem", "-count", "3"}
	command := exec.CommandContext(ctx, "go", append(arguments, packages...)...)
	failures := &failures{to: to}
	command.Stdout, command.Stderr = failures, os.Stderr
	err := command.Run()
	if len(failures.names) > 0 {
		return errors.Join(err, fmt.Errorf("benchmarks failed: %s", strings.Join(failures.names, ", ")))
	}
	return err
}

// failures copies the output of go test and keeps the names of the benchmarks that failed: go test
// itself ends with exit code 0 where a benchmark fails in its second run or a later one (-count),
// which has no parent to tell.
type failures struct {
	to    io.Writer
	line  []byte
	names []string
}

const failed = "--- FAIL: "

// Write never fails but as the writer behind it does.
func (f *failures) Write(output []byte) (int, error) {
	for _, c := range output {
		if c != '\n' {
			f.line = append(f.line, c)
			continue
		}
		if name, ok := strings.CutPrefix(strings.TrimSpace(string(f.line)), failed); ok {
			f.names = append(f.names, name)
		}
		f.line = f.line[:0]
	}
	return f.to.Write(output)
}

// measure runs the command once for warm-up, where it is run more than once, and
// returns the other runs' times in ascending order.
func (m measurement) measure(ctx context.Context) ([]time.Duration, error) {
	var times []time.Duration
	for i := range m.runs + min(1, m.runs-1) {
		took, err := m.once(ctx)
		if err != nil {
			return nil, err
		}
		if warmUp := m.runs > 1 && i == 0; !warmUp {
			times = append(times, took)
		}
	}
	slices.Sort(times)
	return times, nil
}

func (m measurement) once(ctx context.Context) (took time.Duration, err error) {
	folder := ""
	if m.fresh {
		folder, err = os.MkdirTemp("", "diecast-bench-")
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	}
	inPlace := func(words []string) []string {
		placed := make([]string, 0, len(words))
		for _, word := range words {
			placed = append(placed, strings.ReplaceAll(word, "{}", folder))
		}
		return placed
	}
	words := inPlace(m.command)
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Env = append(os.Environ(), inPlace(m.environment)...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	start := time.Now()
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, output.Bytes())
	}
	return time.Since(start), nil
}

// machine says what the figures were measured on.
func machine() string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	memory := "unknown memory"
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kibibytes int
		if _, err := fmt.Sscanf(string(data), "MemTotal: %d kB", &kibibytes); err == nil {
			memory = fmt.Sprintf("%.0f GiB", float64(kibibytes)/(1<<20))
		}
	}
	return fmt.Sprintf("%s/%s, %d x %s, %s, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), model, memory,
		runtime.Version())
}
