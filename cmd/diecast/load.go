package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"diecast/internal/deployment"
	"diecast/internal/load"
	"diecast/internal/local/platform"
	"diecast/internal/local/process"
	"diecast/internal/local/runfolder"
)

// loadRun is one command line of load.
type loadRun struct {
	user *terminal
	// file of outputs, that of a run on this machine where onRun is set; address in place of that
	// of the page which they name.
	file, run, address string
	onRun              bool
	rate               *parsed[int]
	duration           *parsed[time.Duration]
	paths              []string
}

func loadCommand(user *terminal) *cobra.Command {
	l := &loadRun{user: user, rate: integerFlag("rate", 50), duration: durationFlag("duration", 10*time.Second)}
	command := &cobra.Command{
		Use:   "load",
		Short: "Ask the deployment's pages at a constant rate, and tell how long they took",
		Long: `Ask the deployment's pages at a constant rate, and tell how long they took.

Requests are due by the clock, whether or not earlier ones were answered, and latencies count from
when a request was due: a server that stops for a while is told by all who would have waited.
Ctrl-C ends the run and tells what was measured.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.onRun = c.Flags().Changed("run")
			return l.start(c.Context())
		},
	}
	command.Flags().SortFlags = false
	command.Flags().StringVar(&l.file, "outputs", deployment.DefaultFile, "file of the deployment's outputs")
	command.Flags().StringVar(&l.run, "run", "default", "load this run on this machine, in place of --outputs")
	command.MarkFlagsMutuallyExclusive("outputs", "run")
	command.Flags().StringVar(&l.address, "url", "",
		"another name of the deployment's page, such as https://sales.example.com")
	command.Flags().StringArrayVar(&l.paths, "path", []string{"/sales"},
		"what to ask for; several are asked for in turn")
	command.Flags().Var(l.rate, "rate", "requests a second")
	command.Flags().Var(l.duration, "duration", "how long")
	return command
}

func (l *loadRun) start(ctx context.Context) error {
	var answered atomic.Int64
	options := load.Options{
		Rate: l.rate.value, Duration: l.duration.value,
		Progress: func(count int) { answered.Store(int64(count)) },
	}
	found := l.check(options)
	if l.onRun {
		folder, err := runfolder.Of(runsFolder, l.run)
		if err != nil {
			found.add(err)
			return found.err()
		}
		l.file = filepath.Join(folder, platform.OutputsFile)
	}
	deployed, err := readDeployment(l.file)
	found.add(err)
	if err := found.err(); err != nil {
		return err
	}
	if options.Targets, err = l.targets(ctx, deployed); err != nil {
		return err
	}
	if err := options.Check(); err != nil {
		return err
	}
	fmt.Fprintln(l.user.err, deployed.Target())
	fmt.Fprintf(l.user.err, "GET %s, %d a second for %s\n", strings.Join(texts(options.Targets), ", "), l.rate.value,
		l.duration.value)
	shown := startSteps(l.user.err)
	watched := shown.watch(func() string { return fmt.Sprintf("%s answers", grouped(answered.Load())) })
	report, err := load.Run(ctx, options)
	watched()
	if err != nil {
		return err
	}
	if l.user.json {
		err = json.NewEncoder(l.user.out).Encode(summaryOf(report))
	} else {
		err = showLoad(l.user.out, report)
	}
	if report.Succeeded == 0 {
		err = errors.Join(err, errors.New("no request succeeded"))
	}
	return err
}

// check names what is wrong with the flags, whatever the deployment.
func (l *loadRun) check(options load.Options) (found problems) {
	found.add(l.rate.problem)
	found.add(l.duration.problem)
	if len(found.found) == 0 {
		options.Targets = []*url.URL{{Scheme: "http", Host: process.Loopback}} // those are looked at later
		found.add(options.Check())
	}
	if !l.onRun {
		found.named("outputs", l.file)
	}
	_, err := l.relative()
	found.add(err)
	return found
}

// relative are the paths to ask for.
func (l *loadRun) relative() (all []*url.URL, err error) {
	var found problems
	for _, path := range l.paths {
		relative, err := url.Parse(path)
		if err != nil || relative.Host != "" || !strings.HasPrefix(path, "/") {
			found.add(fmt.Errorf("--path %q is no path such as /sales?period=all", path))
			continue
		}
		all = append(all, relative)
	}
	return all, found.err()
}

// targets are the addresses to ask.
func (l *loadRun) targets(ctx context.Context, deployed *deployment.Deployment) ([]*url.URL, error) {
	names, err := deployed.Web()
	if err != nil {
		return nil, err
	}
	page, err := deployment.PageLogin(names.Page)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.file, err)
	}
	base := page
	if l.address != "" {
		if base, err = url.Parse(l.address); err != nil || base.Host == "" {
			return nil, fmt.Errorf("--url %q is no address such as https://sales.example.com", l.address)
		}
		if err := load.Own(ctx, base, page, net.DefaultResolver.LookupHost); err != nil {
			return nil, fmt.Errorf("--url: %w", err)
		}
		if base.Host == page.Host {
			base.User = page.User
		}
	}
	relative, err := l.relative()
	if err != nil {
		return nil, err
	}
	for n, path := range relative {
		relative[n] = base.ResolveReference(path)
	}
	return relative, nil
}

func texts(addresses []*url.URL) []string {
	all := make([]string, len(addresses))
	for i, address := range addresses {
		all[i] = address.Redacted()
	}
	return all
}

// loadSummary is what load tells a machine.
type loadSummary struct {
	Wanted         int                `json:"rate_wanted"`
	Had            float64            `json:"rate_had"`
	Elapsed        float64            `json:"elapsed_seconds"`
	Requests       int                `json:"requests"`
	Succeeded      int                `json:"succeeded"`
	Unfinished     int                `json:"unfinished"`
	Interrupted    bool               `json:"interrupted"`
	Statuses       map[int]int        `json:"statuses"`
	Errors         map[string]int     `json:"errors"`
	Bytes          int64              `json:"bytes"`
	LatencySeconds map[string]float64 `json:"latency_seconds"`
	Sending        float64            `json:"longest_wait_to_be_sent_seconds"`
}

func summaryOf(r load.Report) loadSummary {
	return loadSummary{
		Wanted: r.Wanted, Had: r.Had, Elapsed: r.Elapsed.Seconds(), Requests: r.Requests, Succeeded: r.Succeeded,
		Unfinished: r.Unfinished, Interrupted: r.Interrupted, Statuses: r.Statuses, Errors: r.Errors, Bytes: r.Bytes,
		LatencySeconds: map[string]float64{
			"p50": r.P50.Seconds(), "p90": r.P90.Seconds(), "p99": r.P99.Seconds(), "max": r.Max.Seconds(),
		},
		Sending: r.Sending.Seconds(),
	}
}

// lateAt is the wait to be sent from which the report speaks of it: less is the clock's.
const lateAt = 50 * time.Millisecond

// showLoad tells people what was measured.
func showLoad(to io.Writer, r load.Report) error {
	table := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	if r.Interrupted {
		fmt.Fprintf(table, "Interrupted\t%s requests were under way and are left out\n", grouped(int64(r.Unfinished)))
	}
	fmt.Fprintf(table, "Requests\t%s in %s\n", grouped(int64(r.Requests)), r.Elapsed.Round(10*time.Millisecond))
	fmt.Fprintf(table, "Rate\t%.1f a second, of %d wanted\n", r.Had, r.Wanted)
	share := 0.0
	if r.Requests > 0 {
		share = 100 * float64(r.Succeeded) / float64(r.Requests)
	}
	fmt.Fprintf(table, "Succeeded\t%s, %.2f %%\n", grouped(int64(r.Succeeded)), share)
	for _, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		fmt.Fprintf(table, "  status %d\t%s\n", status, grouped(int64(r.Statuses[status])))
	}
	for _, text := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(table, "  no answer\t%s: %s\n", grouped(int64(r.Errors[text])), text)
	}
	fmt.Fprintf(table, "Latency, from when a request was due\tp50 %s, p90 %s, p99 %s, at most %s\n", rounded(r.P50),
		rounded(r.P90), rounded(r.P99), rounded(r.Max))
	if r.Sending > lateAt {
		fmt.Fprintf(table, "  of it until it could be sent\tat most %s: this machine or its "+
			"connections were at their end\n",
			rounded(r.Sending))
	}
	fmt.Fprintf(table, "Bytes\t%s\n", grouped(r.Bytes))
	return table.Flush()
}
