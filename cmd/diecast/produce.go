package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"diecast/internal/classicmodels"
	"diecast/internal/demand"
	"diecast/internal/deployment"
	"diecast/internal/local/platform"
	"diecast/internal/local/runfolder"
	"diecast/internal/producer"
	"diecast/internal/producer/source"
	"diecast/internal/recorded"
)

// production is one command line of produce.
type production struct {
	user  *terminal
	flags *pflag.FlagSet
	// file of outputs, or that of a run on this machine.
	outputs, run           string
	recording, check       string
	profile                string
	plot                   bool
	rate, broken, compress *parsed[float64]
	duration               *parsed[time.Duration]
	seed                   *parsed[uint64]
	events, sessions       *parsed[int]
}

func produceCommand(user *terminal) *cobra.Command {
	p := &production{
		user: user, rate: numberFlag("rate", 100), broken: numberFlag("broken", 0),
		compress: numberFlag("compress", 0), duration: durationFlag("duration", 10*time.Second),
		seed: seedFlag("seed", 1), events: integerFlag("events", 0), sessions: integerFlag("sessions", 100),
	}
	command := &cobra.Command{
		Use:   "produce",
		Short: "Put activity events on the deployment's stream, as a shop does, and account for each",
		Long: `Put activity events on the deployment's stream, as a shop does, and account for each.

Events are those of the generated shop, or, with --file, a shop's own: one JSON object a line, each
with its own id and time. They are due by the clock, whether or not the stream has taken earlier
ones. What it does not take is put again, for a minute; the final account adds up, and what was not
taken ends the command with an error. Ctrl-C ends the run and tells what became of each event.

--check FILE names each line and field of a shop's own events that breaks the contract, and sends
nothing. --plot prints the demand over time, and sends nothing.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p.flags = c.Flags()
			return p.start(c.Context())
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&p.outputs, "outputs", deployment.DefaultFile, "`file` of the deployment's outputs")
	flags.StringVar(&p.run, "run", "default", "produce for this run on this machine, in place of --outputs")
	command.MarkFlagsMutuallyExclusive("outputs", "run")
	flags.StringVar(&p.recording, "file", "", "a shop's own events, one JSON object a line; default: generated ones")
	flags.Var(p.rate, "rate", "usual demand, in events a second")
	flags.Var(p.duration, "duration", "how long; without it, --events or a whole spike of --compress say that")
	flags.Var(p.events, "events", "how many at most; 0: as many as fall into the duration")
	flags.StringVar(&p.profile, "profile", profileSteady, profileMeaning)
	flags.Var(p.compress, "compress", "by how much the shop's time runs faster in a spike; 0: it fits the duration")
	flags.BoolVar(&p.plot, "plot", false, "print the demand over time, and send nothing")
	flags.Var(p.broken, "broken", "share of generated events that break the contract, 0 to 1")
	flags.Var(p.seed, "seed", "of the generated events")
	flags.Var(p.sessions, "sessions", "that are open at once in generated events")
	flags.StringVar(&p.check, "check", "", "name what breaks the contract in this `file` of a shop's own events, "+
		"and send nothing")
	return command
}

// demand is the profile that the flags ask for.
func (p *production) demand() (demand.Profile, error) {
	profile, err := profileOf(p.profile, p.rate.value, p.duration.value)
	if err != nil {
		return profile, err
	}
	if p.compress.value != 0 && p.profile == profileSpike {
		profile.Compressed = p.compress.value
		if !p.flags.Changed("duration") {
			profile.Duration = time.Duration(float64(demand.SpikeLasts) / profile.Compressed)
		}
	}
	if p.events.value > 0 && p.rate.value > 0 && p.compress.value == 0 && !p.flags.Changed("duration") {
		profile = profile.Lasting(p.events.value)
	}
	return profile, nil
}

// checkFlags names every problem that can be seen before anything is read.
func (p *production) checkFlags() error {
	var found problems
	for _, problem := range []error{p.broken.problem, p.seed.problem, p.sessions.problem} {
		found.add(problem)
	}
	allow(&found, p.rate, func(rate float64) bool { return rate > 0 && rate <= demand.MaxRate },
		fmt.Sprintf("above 0, and up to %d, is allowed", demand.MaxRate))
	allow(&found, p.duration, func(d time.Duration) bool { return d > 0 && d <= demand.MaxDuration },
		fmt.Sprintf("above 0s, and up to %s, is allowed", demand.MaxDuration))
	allow(&found, p.compress, func(factor float64) bool { return factor == 0 || factor >= 1 && factor <= 1e6 },
		"1 to 1,000,000 is allowed, or 0")
	allow(&found, p.events, func(events int) bool { return events >= 0 }, "0 and more are allowed")
	if p.sessions.problem == nil {
		found.add(p.generated().Validate())
	}
	if profile, err := p.demand(); err != nil {
		found.add(err)
	} else if len(found.found) == 0 {
		found.add(profile.Check())
	}
	found.refuse(p.flags, p.recording != "", "is for generated events, not for --file", "broken", "seed", "sessions")
	found.refuse(p.flags, p.profile != profileSpike, "is for --profile spike", "compress")
	found.refuse(p.flags, p.check != "", "has no meaning with --check, which sends nothing", "outputs", "run", "file",
		"rate", "duration", "events", "profile", "compress", "plot", "broken", "seed", "sessions")
	if p.flags.Changed("file") {
		found.named("file", p.recording)
	}
	if p.flags.Changed("check") {
		found.named("check", p.check)
	}
	return found.err()
}

func (p *production) generated() classicmodels.EventOptions {
	return classicmodels.EventOptions{Seed: p.seed.value, Sessions: p.sessions.value, BrokenShare: p.broken.value}
}

func (p *production) start(ctx context.Context) error {
	if err := p.checkFlags(); err != nil {
		return err
	}
	if p.flags.Changed("check") {
		return p.checkFile(ctx, p.check)
	}
	profile, err := p.demand()
	if err != nil {
		return err
	}
	if p.plot {
		return showProfile(p.user.out, profile)
	}
	if p.flags.Changed("run") {
		folder, err := runfolder.Of(runsFolder, p.run)
		if err != nil {
			return err
		}
		p.outputs = filepath.Join(folder, platform.OutputsFile)
	}
	if p.recording != "" {
		found, err := p.look(ctx, p.recording)
		if err != nil {
			return err
		}
		if len(found.problems) > 0 {
			return errors.Join(append(found.problems,
				fmt.Errorf("%s: nothing was sent: `diecast produce --check` names what to mend", p.recording))...)
		}
	}
	deployed, err := readDeployment(p.outputs)
	if err != nil {
		return err
	}
	names, err := deployed.Streaming()
	stream, streamErr := deployed.Kinesis(ctx)
	if err := errors.Join(err, streamErr); err != nil {
		return err
	}
	return p.produce(ctx, deployed.Target(), producer.Options{Stream: stream, Name: names.Stream, Profile: profile,
		Events: p.events.value})
}

// produce sends, shows how far it is, and tells the account.
func (p *production) produce(ctx context.Context, target string, options producer.Options) (err error) {
	broken := map[string]int{}
	from := "generated events"
	if p.recording == "" {
		shopOptions := classicmodels.DefaultOptions()
		shop, err := classicmodels.New(shopOptions)
		if err != nil {
			return err
		}
		events, stop, err := source.Generated(shop, p.generated(), func(event classicmodels.Event) {
			if event.Broken != "" {
				broken[event.Broken]++
			}
		})
		if err != nil {
			return err
		}
		defer stop()
		options.Source = events
	} else {
		file, err := os.Open(p.recording)
		if err != nil {
			return fmt.Errorf("--file: %w", err)
		}
		defer file.Close()
		events, stop := source.Recorded(p.recording, file)
		defer stop()
		options.Source, from = events, "events of "+p.recording
	}
	fmt.Fprintln(p.user.err, target)
	fmt.Fprintf(p.user.err, "%s to stream %s, %v a second, %s, for %s\n", from, options.Name, options.Profile.Rate,
		p.profile, options.Profile.Duration)
	var latest atomic.Pointer[producer.Account]
	latest.Store(&producer.Account{})
	options.Progress = func(account producer.Account) { latest.Store(&account) }
	begun := time.Now()
	shown := startSteps(p.user.err)
	watched := shown.watch(func() string {
		account, since := latest.Load(), time.Since(begun)
		return fmt.Sprintf("%s taken of %s due, %.0f a second due now, %s", grouped(int64(account.Taken)),
			grouped(int64(account.Due)), options.Profile.At(since), since.Round(time.Second))
	})
	account, err := producer.Run(ctx, options)
	watched()
	if told := p.told(account, broken); told != nil {
		return errors.Join(err, told)
	}
	if lost := account.Lost(); err == nil && lost > 0 {
		err = fmt.Errorf("%d of %d events were given up: the stream did not take them within %s", lost, account.Due,
			producer.DefaultRetry.For)
	}
	return errors.Join(err, account.Check())
}

// productionSummary is what produce tells a machine.
type productionSummary struct {
	Due         int            `json:"due"`
	Taken       int            `json:"taken"`
	GivenUp     map[string]int `json:"given_up"`
	Unsent      int            `json:"not_sent"`
	Broken      map[string]int `json:"broken"`
	Refused     map[string]int `json:"refused_and_put_again"`
	Unanswered  int            `json:"unanswered_and_put_again"`
	Requests    int            `json:"requests"`
	Bytes       int64          `json:"bytes"`
	Rate        float64        `json:"rate_had"`
	Late        float64        `json:"longest_wait_to_be_sent_seconds"`
	Elapsed     float64        `json:"elapsed_seconds"`
	Interrupted bool           `json:"interrupted"`
}

// told tells the final account.
func (p *production) told(a producer.Account, broken map[string]int) error {
	had := 0.0
	if a.Elapsed > 0 {
		had = float64(a.Taken) / a.Elapsed.Seconds()
	}
	if p.user.json {
		return json.NewEncoder(p.user.out).Encode(productionSummary{
			Due: a.Due, Taken: a.Taken, GivenUp: a.GivenUp, Unsent: a.Unsent, Broken: broken, Refused: a.Refused,
			Unanswered: a.Unanswered, Requests: a.Requests, Bytes: a.Bytes, Rate: had, Late: a.Late.Seconds(),
			Elapsed: a.Elapsed.Seconds(), Interrupted: a.Interrupted,
		})
	}
	return showProduced(p.user.out, a, broken, had)
}

// showProduced tells people where the events are.
func showProduced(to io.Writer, a producer.Account, broken map[string]int, had float64) error {
	table := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	line := func(name string, count int, rest string) {
		fmt.Fprintf(table, "%s\t%s\t%s\n", name, grouped(int64(count)), rest)
	}
	if a.Interrupted {
		fmt.Fprintln(table, "Interrupted\t\twhat follows is what became of the events that were due by then")
	}
	line("Due", a.Due, "")
	line("  taken by the stream", a.Taken, fmt.Sprintf("%s bytes in %s requests, %.1f a second for %s",
		grouped(a.Bytes), grouped(int64(a.Requests)), had, a.Elapsed.Round(10*time.Millisecond)))
	for _, reason := range slices.Sorted(maps.Keys(a.GivenUp)) {
		line("  given up", a.GivenUp[reason], reason)
	}
	if a.Unsent > 0 {
		line("  not sent", a.Unsent, "the run was interrupted before the stream took them")
	}
	total := 0
	for _, count := range broken {
		total += count
	}
	if total > 0 {
		line("Broken on purpose", total, "of those that were due")
	}
	for _, reason := range slices.Sorted(maps.Keys(a.Refused)) {
		line("Put again", a.Refused[reason], "after "+reason)
	}
	if a.Unanswered > 0 {
		line("Put again", a.Unanswered, "without an answer: the stream may have these twice")
	}
	if a.Late > lateAt {
		fmt.Fprintf(table, "Longest wait to be sent\t%s\tthis machine or the stream was at its end\n", rounded(a.Late))
	}
	return table.Flush()
}

// mostProblems of a file are told.
const mostProblems = 50

// looked is what is in a file of a shop's own events.
type looked struct {
	events, broken int
	// problems are the first of them.
	problems []error
	lines    []recorded.Problem
}

// look reads a whole file.
func (p *production) look(ctx context.Context, name string) (found looked, err error) {
	file, err := os.Open(name)
	if err != nil {
		return looked{}, err
	}
	defer file.Close()
	shown := startProgress(p.user.err, "check "+name, "bytes")
	defer shown.close()
	for _, err := range recorded.Read(shown.reader(file)) {
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		var problem *recorded.Problem
		switch {
		case err == nil:
			found.events++
		case !errors.As(err, &problem):
			return found, fmt.Errorf("%s: %w", name, err)
		default:
			if found.broken++; len(found.problems) >= mostProblems {
				continue
			}
			found.lines = append(found.lines, *problem)
			for _, violation := range problem.Violations {
				found.problems = append(found.problems, fmt.Errorf("%s: line %d: %v", name, problem.Line, violation))
			}
		}
	}
	if found.events+found.broken == 0 {
		return found, fmt.Errorf("%s has no event: one JSON object a line is wanted", name)
	}
	return found, nil
}

// checkSummary is what produce --check tells a machine.
type checkSummary struct {
	File     string         `json:"file"`
	Events   int            `json:"events"`
	Broken   int            `json:"broken"`
	Problems []checkProblem `json:"problems"`
}

type checkProblem struct {
	Line    int    `json:"line"`
	Field   string `json:"field"`
	Found   string `json:"found"`
	Allowed string `json:"allowed"`
}

// checkFile names what breaks the contract in a file.
func (p *production) checkFile(ctx context.Context, name string) error {
	found, err := p.look(ctx, name)
	if err != nil {
		return err
	}
	if p.user.json {
		summary := checkSummary{File: name, Events: found.events, Broken: found.broken, Problems: []checkProblem{}}
		for _, line := range found.lines {
			for _, v := range line.Violations {
				summary.Problems = append(summary.Problems, checkProblem{line.Line, v.Field, v.Value, v.Allowed})
			}
		}
		if err := json.NewEncoder(p.user.out).Encode(summary); err != nil {
			return err
		}
	} else {
		for _, problem := range found.problems {
			fmt.Fprintln(p.user.out, problem)
		}
		if left := found.broken - len(found.lines); left > 0 {
			fmt.Fprintf(p.user.out, "and %s lines more\n", grouped(int64(left)))
		}
		fmt.Fprintf(p.user.out, "%s: %s events keep the contract, %s break it\n", name, grouped(int64(found.events)),
			grouped(int64(found.broken)))
	}
	if found.broken > 0 {
		return fmt.Errorf("%d of %d lines of %s break the contract", found.broken, found.events+found.broken, name)
	}
	return nil
}
