package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"diecast/internal/classicmodels"
	"diecast/internal/demand"
	"diecast/internal/etl"
	"diecast/internal/local/balancer"
	"diecast/internal/local/demonstration"
	"diecast/internal/local/firehose"
	"diecast/internal/local/ledger"
	"diecast/internal/local/platform"
	"diecast/internal/local/runfolder"
	"diecast/internal/wait"
)

const (
	// localName is the command that the others here belong to.
	localName = "local"
	// upName and runName start a run.
	upName, runName = "up", "run"
	// runsFolder holds the laptop's runs, a folder each.
	runsFolder = ".local"
)

// localRun is one command line of local.
type localRun struct {
	user          *terminal
	name          string
	assembly      string
	source        string
	buffers       *parsed[time.Duration]
	events, shown *parsed[int]
	// advance is how many days the shop lives on between the job's runs; 0: the job runs once.
	advance      *parsed[int]
	broken, rate *parsed[float64]
	profile      string
}

func localCommand(user *terminal) *cobra.Command {
	l := &localRun{user: user, events: integerFlag("events", 300), shown: integerFlag("shown", 3),
		advance: integerFlag("advance", 0),
		broken:  numberFlag("broken", 0.05), rate: numberFlag("rate", 100), buffers: durationFlag("buffers", 0)}
	command := &cobra.Command{Use: localName, Short: "Run the synthesized platform on this machine, without AWS"}
	command.PersistentFlags().StringVar(&l.name, "run", "default",
		"name of the run; each has its folder below "+runsFolder)
	starting := func(use, short string, run func(context.Context) error) *cobra.Command {
		c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return run(c.Context()) }}
		c.Flags().SortFlags = false
		c.Flags().StringVar(&l.assembly, "assembly", "cdk.out", "folder that cdk synth wrote")
		c.Flags().StringVar(&l.source, "source", ".",
			"root of the module whose functions are built, and whose engines are installed")
		c.Flags().Var(l.buffers, "buffers", "cap the delivery streams' buffer intervals; 0s keeps the template's")
		return c
	}
	up := starting(upName, "Start the platform and keep it until Ctrl-C or `local down`", l.up)
	run := starting(runName,
		"Start the platform, send it generated events, account for each, run the ETL job beside, and stop", l.run)
	run.Flags().Var(l.events, "events", "how many events to send")
	run.Flags().Var(l.rate, "rate", "usual demand, in events a second")
	run.Flags().StringVar(&l.profile, "profile", profileSteady, profileMeaning)
	run.Flags().Var(l.advance, "advance",
		"days that the shop lives on after the ETL job, which then runs by each strategy; 0 leaves that out")
	run.Flags().Var(l.broken, "broken", "share of them that breaks the contract")
	run.Flags().Var(l.shown, "shown", "how many recommendations to show in full")
	command.AddCommand(up, run, guardCommand(),
		&cobra.Command{Use: "status",
			Short: "Say which runs are up, where their outputs lie, and what they ignore of the templates",
			Args:  cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return l.status() }},
		&cobra.Command{Use: "roll",
			Short: "Build the web servers anew and roll a run's to that build, one after the other",
			Args:  cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return l.roll(c.Context()) }},
		&cobra.Command{Use: "down", Short: "Stop a run that is up", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return l.down(c.Context()) }},
	)
	return command
}

// check names all that is wrong with a command line, before anything starts.
func (l *localRun) check() error {
	var found problems
	_, err := runfolder.Of(runsFolder, l.name)
	found.add(err)
	found.named("assembly", l.assembly)
	found.named("source", l.source)
	allow(&found, l.buffers,
		func(interval time.Duration) bool { return interval >= 0 && interval <= firehose.MaxInterval },
		fmt.Sprintf("0s to %s are allowed", firehose.MaxInterval))
	allow(&found, l.events, func(count int) bool { return count >= 1 && count <= demonstration.MaxEvents },
		"1 to 100,000 are allowed")
	allow(&found, l.shown, func(count int) bool { return count >= 0 }, "0 and more are allowed")
	allow(&found, l.advance, func(days int) bool { return days >= 0 && days <= classicmodels.MaxAdvanceDays },
		fmt.Sprintf("0 to %d are allowed", classicmodels.MaxAdvanceDays))
	allow(&found, l.broken, func(share float64) bool { return share >= 0 && share <= 1 }, "0 to 1 is allowed")
	allow(&found, l.rate, func(rate float64) bool { return rate > 0 && rate <= demand.MaxRate },
		fmt.Sprintf("above 0, and up to %d, is allowed", demand.MaxRate))
	_, err = profileOf(l.profile, l.rate.value, time.Second)
	found.add(err)
	return found.err()
}

// tell a line of what happens by itself.
func (l *localRun) tell(line string) { fmt.Fprintln(l.user.err, line) }

// start holds the run's folder and starts the platform in it. The returned function stops both.
func (l *localRun) start(ctx context.Context) (_ *platform.Platform, stop func() error, err error) {
	if err := l.check(); err != nil {
		return nil, nil, err
	}
	folder, err := runfolder.Open(filepath.Join(runsFolder, l.name), platform.Telling...)
	if err != nil {
		return nil, nil, err
	}
	limit := &overdue{run: l}
	limit.once(ctx, endWithin)
	limit.once(l.user.hurried, hurryWithin)
	unguard, err := l.guard()
	if err != nil {
		return nil, nil, errors.Join(err, folder.Abandon())
	}
	closed := func(giveUp func() error) error {
		defer limit.met()
		return errors.Join(unguard(), giveUp())
	}
	shown := startSteps(l.user.err)
	defer shown.close()
	running, err := platform.Start(ctx, platform.Options{
		Assembly: l.assembly, Source: l.source, Dir: folder.Path, ShortenBuffers: l.buffers.value, Progress: shown.step,
		Told: l.tell, Hurried: l.user.hurried,
	})
	if err != nil {
		return nil, nil, errors.Join(err, closed(folder.Abandon))
	}
	return running, func() error {
		within := stopWithin
		if lost := running.Err(); lost != nil {
			within = quitWithin
			limit.because(lost)
			limit.after(lostWithin)
		} else {
			limit.after(endWithin)
		}
		ctx, cancel := context.WithTimeout(l.user.hurried, within)
		defer cancel()
		return errors.Join(running.Stop(ctx), closed(folder.Close))
	}, nil
}

func (l *localRun) up(ctx context.Context) (err error) {
	begun := time.Now()
	running, stop, err := l.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.closing(running.Account(context.Background()))) }() // once it has stopped
	defer func() { err = outcome(running, errors.Join(err, stop())) }()
	ran, checked := running.Count()
	file := filepath.Join(runsFolder, l.name, platform.OutputsFile)
	deployed, err := readDeployment(file)
	if err != nil {
		return err
	}
	web, err := deployed.Web()
	if err != nil {
		return err
	}
	shop, err := demonstration.ShopAddress(web.Page)
	if err != nil {
		return err
	}
	if err := l.told(upSummary{time.Since(begun).Seconds(), ran, checked, shop, web.Page, file}); err != nil {
		return err
	}
	ctx, release := whileUp(ctx, running)
	defer release()
	<-ctx.Done()
	if running.Err() == nil {
		fmt.Fprintln(l.user.err, "stopping;", balancer.OnAWS(running.Retried()))
	}
	return nil
}

// upSummary is what up tells once the platform is up.
type upSummary struct {
	Seconds float64 `json:"up_seconds"`
	Run     int     `json:"resources_run"`
	Checked int     `json:"resources_checked"`
	Shop    string  `json:"shop"`
	Page    string  `json:"page"`
	Outputs string  `json:"outputs"`
}

func (l *localRun) told(up upSummary) error {
	if l.user.json {
		return json.NewEncoder(l.user.out).Encode(up)
	}
	_, err := fmt.Fprintf(l.user.out,
		"up after %.1f s: %d resources run, %d are checked only\nshop: %s\npages: %s\n"+
			"outputs and endpoints: %s\nCtrl-C, or "+
			"`diecast local down` elsewhere, stops it\n",
		up.Seconds, up.Run, up.Checked, up.Shop, up.Page, up.Outputs)
	return err
}

// ending is a platform that may end before it is stopped.
type ending interface {
	Exited() <-chan struct{}
	Err() error
}

// whileUp is a context that also ends when the platform does; its Err then says why.
func whileUp(ctx context.Context, running ending) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-running.Exited():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// outcome of work on a platform: where that has ended by itself, why it did, and not what came of
// that.
func outcome(running ending, failure error) error {
	if err := running.Err(); err != nil {
		return err
	}
	return failure
}

// lookYourself ends a demonstration. A run's port and token are new each time.
const lookYourself = "\nTo look at it yourself: `make up` runs the same until Ctrl-C, and prints first where " +
	"the shop is (/shop);\nwhat is recommended to whom, and why, is at /recommendations beside it.\n"

func (l *localRun) run(ctx context.Context) (err error) {
	begun := time.Now()
	running, stop, err := l.start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if l.user.json { // a machine was told before
			return
		}
		err = errors.Join(err, l.closing(running.Account(context.Background())))
		if err == nil {
			_, err = fmt.Fprint(l.user.out, lookYourself)
		}
	}()
	defer func() { err = outcome(running, errors.Join(err, stop())) }()
	upAfter := time.Since(begun)
	ctx, release := whileUp(ctx, running)
	defer release()
	// The shipped model was trained on this shop: seed 1, scale 1.
	options := classicmodels.DefaultOptions()
	options.Seed = 1
	shop, err := classicmodels.New(options)
	if err != nil {
		return err
	}
	deployed, err := readDeployment(filepath.Join(runsFolder, l.name, platform.OutputsFile))
	if err != nil {
		return err
	}
	target, err := demonstration.TargetOf(ctx, deployed)
	batchTarget, batchErr := etl.TargetOf(ctx, deployed)
	web, webErr := deployed.Web()
	if err := errors.Join(err, batchErr, webErr); err != nil {
		return err
	}
	fmt.Fprintln(l.user.err, deployed.Target())
	batch := startBatch(ctx, batchTarget)
	defer batch.stop()
	shown := startSteps(l.user.err)
	var taken atomic.Int64
	watched := shown.watch(func() string {
		return fmt.Sprintf("%s of %s events sent; %s", grouped(taken.Load()), grouped(int64(l.events.value)),
			batch.state())
	})
	profile, err := profileOf(l.profile, l.rate.value, time.Second)
	if err != nil {
		return err
	}
	report, failure := demonstration.Run(ctx, target, demonstration.Options{
		Shop: shop, Events: l.events.value, Profile: profile,
		Activity: classicmodels.EventOptions{BrokenShare: l.broken.value},
		Progress: func(count int) { taken.Store(int64(count)) },
	})
	watched()
	result := demonstrated{shop: shop, running: running, target: target, streaming: report, up: upAfter}
	if failure == nil {
		result.pages, failure = demonstration.Pages(ctx, web.Page)
	}
	if failure == nil {
		result.shopped, failure = demonstration.Shop(ctx, web.Page)
	}
	if !l.user.json {
		failure = errors.Join(failure, l.showStreaming(context.WithoutCancel(ctx), result))
	} else if failure != nil {
		failure = errors.Join(failure, l.encode(result))
	}
	if failure != nil {
		return failure
	}
	watched = shown.watch(batch.state)
	var batchFailure error
	result.batch, batchFailure = batch.wait()
	watched()
	failure = errors.Join(failure, batchFailure)
	if failure == nil && l.advance.value > 0 {
		var state atomic.Value
		state.Store("letting the shop live on")
		watched = shown.watch(func() string { return fmt.Sprintf("strategies: %s", state.Load()) })
		result.compared, failure = demonstration.CompareStrategies(ctx, deployed, result.batch, l.advance.value,
			func(told string) { state.Store(told) })
		watched()
	}
	if l.user.json {
		return errors.Join(failure, l.encode(result))
	}
	if failure != nil {
		return failure
	}
	return l.showBatch(result)
}

// batchRun is the ETL job at work, beside the streaming.
type batchRun struct {
	begun   time.Time
	cancel  context.CancelFunc
	told    atomic.Value // its state
	ended   chan struct{}
	report  demonstration.BatchReport
	failure error
}

func startBatch(ctx context.Context, target etl.Target) *batchRun {
	ctx, cancel := context.WithCancel(ctx)
	b := &batchRun{begun: time.Now(), cancel: cancel, ended: make(chan struct{})}
	b.told.Store("to be started")
	go func() {
		defer close(b.ended)
		b.report, b.failure = demonstration.RunBatch(ctx, target, func(state string) { b.told.Store(state) })
	}()
	return b
}

func (b *batchRun) state() string {
	return fmt.Sprintf("batch path: %s, %.0f s", b.told.Load(), time.Since(b.begun).Seconds())
}

func (b *batchRun) wait() (demonstration.BatchReport, error) {
	<-b.ended
	return b.report, b.failure
}

// stop gives up watching the job; the run of the platform that ends next ends the job, too.
func (b *batchRun) stop() {
	b.cancel()
	<-b.ended
}

// runStatus is what status tells of one run.
type runStatus struct {
	Run     string `json:"run"`
	PID     int    `json:"pid,omitempty"`
	Outputs string `json:"outputs"`
	// Account of the records of a run that is up, as of the last second.
	Account *accountSummary `json:"account,omitempty"`
	// Ignored is what a run that is up does not honour of the templates.
	Ignored []platform.Ignored `json:"ignored,omitempty"`
	// Problem is why not all of this could be told; where nothing else is, nobody knows whether the
	// run is up.
	Problem string `json:"problem,omitempty"`
}

// statusOf a run; the error says what could not be read.
func statusOf(name string) (runStatus, error) {
	folder := filepath.Join(runsFolder, name)
	one := runStatus{Run: name, Outputs: filepath.Join(folder, platform.OutputsFile)}
	var err error
	if one.PID, err = runfolder.Running(folder); err != nil || one.PID == 0 {
		return one, err
	}
	account, err := ledger.Read(folder)
	if account != nil {
		told := summarised(*account)
		one.Account = &told
	}
	var ignoredErr error
	one.Ignored, ignoredErr = platform.ReadIgnored(folder)
	return one, errors.Join(err, ignoredErr)
}

// status tells of every run what can be read of it; what cannot be does not hide the others.
func (l *localRun) status() error {
	if _, err := runfolder.Of(runsFolder, l.name); err != nil {
		return err
	}
	names, err := runfolder.List(runsFolder)
	if err != nil {
		return err
	}
	all := []runStatus{}
	var problems []error
	for _, name := range names {
		one, err := statusOf(name)
		if err != nil {
			one.Problem = err.Error()
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
		all = append(all, one)
	}
	if l.user.json {
		return errors.Join(append(problems, json.NewEncoder(l.user.out).Encode(all))...)
	}
	if len(all) == 0 {
		fmt.Fprintln(l.user.out, "no run yet: `make up` starts one")
	}
	for _, one := range all {
		problems = append(problems, l.showStatus(one))
	}
	return errors.Join(problems...)
}

func (l *localRun) showStatus(one runStatus) error {
	if one.PID == 0 {
		state := "down"
		if one.Problem != "" {
			state = "not known"
		}
		_, err := fmt.Fprintf(l.user.out, "%s: %s\n", one.Run, state)
		return err
	}
	fmt.Fprintf(l.user.out, "%s: up, process %d, outputs and endpoints in %s\n", one.Run, one.PID, one.Outputs)
	if one.Account != nil {
		showAge(l.user.out, one.Account.Account, time.Now())
		if err := showAccount(l.user.out, one.Account.Account); err != nil {
			return err
		}
	}
	return showIgnored(l.user.out, one.Ignored)
}

func (l *localRun) down(ctx context.Context) error {
	folder, err := runfolder.Of(runsFolder, l.name)
	if err != nil {
		return err
	}
	pid, err := runfolder.Running(folder)
	if err != nil {
		return err
	}
	if pid == 0 {
		fmt.Fprintf(l.user.out, "%s is not up\n", l.name)
		return nil
	}
	// Who has ended meanwhile, and whose number is another's by now, does not hold the folder.
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if again, err := runfolder.Running(folder); err != nil || again != pid {
		if err == nil { // another run of the name is not meant
			fmt.Fprintf(l.user.out, "%s has ended\n", l.name)
		}
		return err
	}
	fmt.Fprintf(l.user.out, "stopping %s, process %d\n", l.name, pid)
	if err := process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	shown := startSteps(l.user.err)
	defer shown.close()
	rule := wait.Rule{For: time.Minute, Pause: 100 * time.Millisecond, Told: func(reason error, since time.Duration) {
		shown.step(fmt.Sprintf("%v after %.0f s", reason, since.Seconds()))
	}}
	return rule.Until(ctx, func(context.Context) error {
		left, err := runfolder.Running(folder)
		if err == nil && left == pid { // else another run of the name has begun
			return fmt.Errorf("process %d has not ended", pid)
		}
		return wait.Permanent(err)
	})
}
