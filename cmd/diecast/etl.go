package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"diecast/internal/deployment"
	"diecast/internal/etl"
	"diecast/internal/local/platform"
	"diecast/internal/local/runfolder"
	"diecast/internal/trainingset"
)

// etlCommandLine is one of etl and its subcommands.
type etlCommandLine struct {
	user *terminal
	// file of outputs; that of a run on this machine where run is given.
	file, run string
	// arguments of the job by name without dashes; empty ones are the job's own.
	strategy, since, until, lookback, erased string
	detach                                   bool
}

func etlCommand(user *terminal) *cobra.Command {
	e := &etlCommandLine{user: user}
	command := &cobra.Command{
		Use:   "etl",
		Short: "Run the batch path, on AWS or on this machine, and tell what came of it",
		Long: `Run the batch path, on AWS or on this machine, and tell what came of it.

Starts an execution of the state machine, which runs the ETL job, one run at a time, and shows where
it stands until it has ended. Ctrl-C ends the looking only: the execution goes on.`,
		Args: cobra.NoArgs,
		RunE: e.with(e.start),
	}
	flags := command.PersistentFlags()
	flags.StringVar(&e.file, "outputs", deployment.DefaultFile, "file of the deployment's outputs")
	flags.StringVar(&e.run, "run", "", "the platform of this run on this machine, in place of --outputs")
	command.MarkFlagsMutuallyExclusive("outputs", "run")
	own := command.Flags()
	own.SortFlags = false
	own.StringVar(&e.strategy, "strategy", "", "update strategy, replace, latest or average; default: the job's")
	own.StringVar(&e.since, "since", "", "read ratings from this time on: a day or a time in RFC 3339, UTC")
	own.StringVar(&e.until, "until", "", "read ratings before this time")
	own.StringVar(&e.lookback, "lookback", "", "days before the watermark that are read again; default: the job's")
	own.StringVar(&e.erased, "erased", "", "s3://bucket/key of a list of erased customers")
	own.BoolVar(&e.detach, "detach", false, "start it and end; `diecast etl status` tells of it")
	command.AddCommand(&cobra.Command{
		Use: "status", Short: "Tell what is published and what is under way", Args: cobra.NoArgs,
		RunE: e.with(e.status),
	}, &cobra.Command{
		Use: "runs", Short: "List the runs that the lake keeps, the published one marked", Args: cobra.NoArgs,
		RunE: e.with(e.runs),
	}, &cobra.Command{
		Use:   "publish RUN",
		Short: "Publish a run that is kept: go back to it, or mend what follows it",
		Long: `Publish a run that is kept: go back to it, or mend what follows it.

Every file that the run's manifest names must be there; then published.json is written, if it still
is what it was, and the lists that the catalogue's tables read.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			return e.with(func(ctx context.Context, deployed *deployment.Deployment, target etl.Target) error {
				return e.publish(ctx, deployed, target, arguments[0])
			})(c, nil)
		},
	})
	return command
}

// with finds the deployment and its batch path.
func (e *etlCommandLine) with(
	do func(context.Context, *deployment.Deployment, etl.Target) error,
) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		if c.Flags().Changed("run") {
			folder, err := runfolder.Of(runsFolder, e.run)
			if err != nil {
				return err
			}
			e.file = filepath.Join(folder, platform.OutputsFile)
		}
		deployed, err := deployment.Read(e.file)
		if err != nil {
			return err
		}
		target, err := etl.TargetOf(c.Context(), deployed)
		if err != nil {
			return err
		}
		return do(c.Context(), deployed, target)
	}
}

// tell prints a value for machines, or what show writes for people.
func (e *etlCommandLine) tell(value any, show func(io.Writer)) error {
	if e.user.json {
		return json.NewEncoder(e.user.out).Encode(value)
	}
	table := tabwriter.NewWriter(e.user.out, 0, 0, 3, ' ', 0)
	show(table)
	return table.Flush()
}

func (e *etlCommandLine) start(ctx context.Context, deployed *deployment.Deployment, target etl.Target) error {
	arguments := etl.Arguments(map[string]string{"strategy": e.strategy, "since": e.since, "until": e.until,
		"lookback": e.lookback, "erased": e.erased})
	fmt.Fprintln(e.user.err, deployed.Target())
	execution, err := target.Start(ctx, arguments)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.user.err, "run", execution.Run)
	if e.detach {
		return e.tell(map[string]string{"run_id": execution.Run, "execution": execution.ARN}, func(to io.Writer) {
			fmt.Fprintf(to, "Run\t%s\nExecution\t%s\n", execution.Run, execution.ARN)
		})
	}
	report, err := e.watch(ctx, target, execution)
	if ctx.Err() != nil {
		return fmt.Errorf("no longer looking: run %s goes on; `diecast etl status` tells of it", execution.Run)
	}
	if err != nil {
		return err
	}
	failure := error(nil)
	if !report.Succeeded() {
		failure = fmt.Errorf("%s %s: %s", strings.ToLower(report.Status), report.Error, report.Cause)
	}
	return errors.Join(e.tell(summaryOfETL(report), func(to io.Writer) { showETL(to, report) }), failure)
}

// watch shows where the execution stands, on a terminal.
func (e *etlCommandLine) watch(ctx context.Context, target etl.Target, execution etl.Execution) (etl.Report, error) {
	var mutex sync.Mutex
	var now etl.Progress
	begun := time.Now()
	stop := startSteps(e.user.err).watch(func() string {
		mutex.Lock()
		defer mutex.Unlock()
		return etlProgress(now, time.Since(begun))
	})
	defer stop()
	return target.Watch(ctx, execution, func(told etl.Progress) {
		mutex.Lock()
		defer mutex.Unlock()
		now = told
	})
}

// etlProgress is one line: the state of the machine, that of the job, its stage, how long.
func etlProgress(now etl.Progress, elapsed time.Duration) string {
	text := now.State
	if text == "" {
		text = "starting"
	}
	if now.Job != "" {
		text += ", job " + strings.ToLower(now.Job)
	}
	if now.Stage != "" {
		text += ", at " + now.Stage
	}
	return fmt.Sprintf("%s, %s", text, elapsed.Round(time.Second))
}

// etlSummary is what etl tells a machine.
type etlSummary struct {
	etl.Report
	Elapsed float64 `json:"elapsed_seconds"`
}

func summaryOfETL(report etl.Report) etlSummary {
	return etlSummary{Report: report, Elapsed: report.Elapsed.Seconds()}
}

// showETL tells people what came of an execution.
func showETL(to io.Writer, report etl.Report) {
	fmt.Fprintf(to, "Run\t%s, %s in %s\n", report.Run, strings.ToLower(report.Status),
		report.Elapsed.Round(100*time.Millisecond))
	if outcome := report.Outcome; outcome != nil {
		for _, table := range slices.Sorted(maps.Keys(outcome.Rows.Published)) {
			fmt.Fprintf(to, "  %s\t%s rows published", table, grouped(outcome.Rows.Published[table]))
			if kept := outcome.Rows.Quarantined[table]; kept > 0 {
				fmt.Fprintf(to, ", %s quarantined", grouped(kept))
			}
			fmt.Fprintln(to)
		}
		passed := 0
		for _, rule := range outcome.Rules {
			if rule.Passed {
				passed++
			}
		}
		fmt.Fprintf(to, "Rules\t%d of %d passed\n", passed, len(outcome.Rules))
		for _, rule := range outcome.Rules {
			if !rule.Passed || rule.Rows > 0 {
				fmt.Fprintf(to, "  %s\t%s\n", rule.Table, ruleLine(rule))
			}
		}
	}
	if report.VectorStore != "" {
		fmt.Fprintf(to, "Vectors\t%s\n", report.VectorStore)
	}
	switch cost := report.Cost; {
	case cost == nil:
	case cost.Region == "":
		fmt.Fprintln(to, "Cost\tnothing: it ran on this machine")
	default:
		fmt.Fprintf(to, "Cost\t%.0f DPU-seconds, %.4f USD at the price of %s (%s)\n", cost.DPUSeconds, cost.USD,
			cost.Region,
			strings.ToLower(cost.Class))
	}
}

// ruleLine is a rule of quality, or of drift against the run before.
func ruleLine(rule trainingset.Rule) string {
	text := fmt.Sprintf("%s: %s must be %s, broken by %s rows", rule.Rule, rule.Column, rule.Expected,
		grouped(rule.Rows))
	if rule.Found != "" {
		text += fmt.Sprintf(", such as %s", rule.Found)
	}
	if rule.Passed {
		text += ", which is few enough"
	}
	return text
}

func (e *etlCommandLine) status(ctx context.Context, deployed *deployment.Deployment, target etl.Target) error {
	status, err := target.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.user.err, deployed.Target())
	return e.tell(status, func(to io.Writer) { showETLStatus(to, status) })
}

func showETLStatus(to io.Writer, status etl.Status) {
	if published := status.Published; published != nil {
		fmt.Fprintf(to, "Published\t%s at %s\n", published.RunID, moment(published.PublishedAt))
	} else {
		fmt.Fprintln(to, "Published\tnothing")
	}
	if run := status.UnderWay; run != nil {
		name := run.Run
		if name == "" {
			name = run.ID
		}
		fmt.Fprintf(to, "Under way\t%s, %s since %s\n", name, strings.ToLower(run.State), moment(run.Since))
	} else {
		fmt.Fprintln(to, "Under way\tnothing")
	}
	for i, execution := range status.Executions {
		title := ""
		if i == 0 {
			title = "Executions"
		}
		line := fmt.Sprintf("%s, %s, begun %s", execution.Run, strings.ToLower(execution.Status),
			moment(execution.StartedAt))
		if execution.EndedAt != nil {
			line += fmt.Sprintf(", took %s", execution.EndedAt.Sub(execution.StartedAt).Round(time.Second))
		}
		fmt.Fprintf(to, "%s\t%s\n", title, line)
		for text := range strings.Lines(execution.Cause) {
			fmt.Fprintf(to, "\t  %s\n", strings.TrimRight(text, "\n"))
		}
	}
}

func (e *etlCommandLine) runs(ctx context.Context, deployed *deployment.Deployment, target etl.Target) error {
	runs, err := target.Runs(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.user.err, deployed.Target())
	return e.tell(runs, func(to io.Writer) { showETLRuns(to, runs) })
}

func showETLRuns(to io.Writer, runs []etl.Run) {
	if len(runs) == 0 {
		fmt.Fprintln(to, "The lake keeps no run: `diecast etl` makes one")
		return
	}
	fmt.Fprintln(to, "\tRun\tBegun\tStrategy\tRatings\tStatus")
	for _, run := range runs {
		mark, rows, status := "", "", string(run.Status)
		if run.Published {
			mark = "published"
		}
		if run.Complete {
			rows = grouped(run.Ratings)
		}
		switch {
		case run.Problem != "":
			status = run.Problem
		case run.Status == trainingset.Succeeded && !run.Published:
			status = "kept"
		case run.Status != trainingset.Succeeded:
			status += " at " + run.Stage
		}
		fmt.Fprintf(to, "%s\t%s\t%s\t%s\t%s\t%s\n", mark, run.ID, moment(run.StartedAt), run.Strategy, rows, status)
	}
}

func (e *etlCommandLine) publish(
	ctx context.Context, deployed *deployment.Deployment, target etl.Target, run string,
) error {
	fmt.Fprintln(e.user.err, deployed.Target())
	done, err := target.Publish(ctx, run)
	if err != nil {
		return err
	}
	return e.tell(done, func(to io.Writer) {
		switch done.Before {
		case run:
			fmt.Fprintf(to, "Run %s is published, as before\n", run)
		case "":
			fmt.Fprintf(to, "Run %s is published; nothing was before\n", run)
		default:
			fmt.Fprintf(to, "Run %s is published in the place of %s\n", run, done.Before)
		}
		fmt.Fprintf(to, "The catalogue's tables follow it: %s\n", strings.Join(done.Tables, ", "))
	})
}

// moment is a time for people, in UTC.
func moment(at time.Time) string {
	if at.IsZero() {
		return "at an unknown time"
	}
	return at.UTC().Format(time.RFC3339)
}
