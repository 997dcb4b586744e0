package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"diecast/internal/artifacts"
	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
	"diecast/internal/embeddings"
	"diecast/internal/local/platform"
	"diecast/internal/local/runfolder"
	"diecast/internal/models/modelstore"
	"diecast/internal/vectorloader/answer"
	"diecast/internal/vectors"
)

// loadsWithin is how long the loader may take for a model: its time-out, and some for its start.
const loadsWithin = 6 * time.Minute

// vectorsSession is one command line of vectors.
type vectorsSession struct {
	user *terminal
	// file of outputs; that of a run on this machine where onRun is set.
	file, run string
	onRun     bool
}

func vectorsCommand(user *terminal) *cobra.Command {
	s := &vectorsSession{user: user}
	command := &cobra.Command{
		Use: "vectors", Args: cobra.NoArgs,
		Short: "Load, refresh and switch the models of the vector store, on AWS or on this machine",
		Long: `Load, refresh and switch the models of the vector store, on AWS or on this machine.

The loader's function does the work: whoever may invoke it may operate the store, and nobody needs a way into the
network. Readers follow a switch at their next question, and never see two models in one answer.`,
	}
	command.PersistentFlags().StringVar(&s.file, "outputs", deployment.DefaultFile, "file of the deployment's outputs")
	command.PersistentFlags().StringVar(&s.run, "run", "default", "a run on this machine, in place of --outputs")
	command.AddCommand(s.statusCommand(), s.loadCommand(), s.refreshCommand(), s.approveCommand(), s.rejectCommand(),
		s.rollbackCommand())
	return command
}

func (s *vectorsSession) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Args: cobra.NoArgs,
		Short: "Show the models, which of them serves, since when, by whom, and how old its catalogue is",
		RunE: s.with(func(ctx context.Context, operator vectors.Operator, _ []string) error {
			status, err := operator.Status(ctx)
			return s.show(status, err, func(to io.Writer) error { return showVectors(to, status) })
		}),
	}
}

func (s *vectorsSession) loadCommand() *cobra.Command {
	var activate bool
	var popularity string
	command := &cobra.Command{
		Use: "load VERSION|FOLDER", Short: "Load a model of the bucket, or one that lies in a folder here",
		Long: `Load a model of the bucket, or one that lies in a folder here.

A folder with a manifest.json is a model as the trainer writes it, and must be what the manifest says. A folder without
holds the course's item_embeddings.csv and user_embeddings.csv, alone or in embeddings/: a model of embeddings only.
Customers that it knows are served by their embedding, all others with the most popular products: those of --popularity
(CSV with the header id,score, best first), or of popularity/item_popularity.csv in the folder, or else what customers
rated in the published training run. Without --activate the model waits for approve.`,
		Args: cobra.ExactArgs(1),
		RunE: s.with(func(ctx context.Context, operator vectors.Operator, arguments []string) error {
			return s.load(ctx, operator, arguments[0], popularity, activate)
		}),
	}
	command.Flags().BoolVar(&activate, "activate", false, "switch to it at once")
	command.Flags().StringVar(&popularity, "popularity", "", "the ranking of a model of embeddings only")
	return command
}

func (s *vectorsSession) load(ctx context.Context, operator vectors.Operator, model, popularity string,
	activate bool) error {
	version := model
	if !vectors.IsVersion(model) {
		uploaded, err := operator.Upload(ctx, model, popularity)
		if err != nil {
			return err
		}
		version = uploaded.Manifest.ModelVersion
		fmt.Fprintf(s.user.err, "model %s is in the bucket, %d items and %d users\n", version,
			uploaded.Manifest.Items.Rows, uploaded.Manifest.Users.Rows)
		if uploaded.Manifest.Mode == artifacts.EmbeddingsOnly {
			fmt.Fprintf(s.user.err, "it has embeddings only: customers that it knows are served by them, all others "+
				"with the most popular products; ranking: %s\n", uploaded.Ranking)
		}
	} else if popularity != "" {
		return errors.New("--popularity is for a folder: a model of the bucket has its ranking")
	}
	loaded, err := operator.Load(ctx, version, activate)
	return s.show(loaded, err, func(to io.Writer) error { return showLoaded(to, loaded) })
}

func (s *vectorsSession) refreshCommand() *cobra.Command {
	var run string
	command := &cobra.Command{
		Use: "refresh", Short: "Make the active model follow the catalogue of the published training run",
		Long: `Make the active model follow the catalogue of the published training run.

Its towers embed the products and customers of the run, without training: new products are recommended, withdrawn ones
are not, in the ranking of the fallback either. A model that differs too much waits beside, and the command says which
limit (keys vectors.min..., vectors.max...) is broken. An unchanged catalogue makes no new version.`,
		Args: cobra.NoArgs,
		RunE: s.with(func(ctx context.Context, operator vectors.Operator, _ []string) error {
			refreshed, err := operator.Refresh(ctx, run)
			return s.show(refreshed, err, func(to io.Writer) error { return showRefreshed(to, refreshed) })
		}),
	}
	command.Flags().StringVar(&run, "training-run", "", "fail unless this run is the published one")
	return command
}

func (s *vectorsSession) approveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "approve VERSION", Short: "Switch to a model that waits beside", Args: cobra.ExactArgs(1),
		RunE: s.with(func(ctx context.Context, operator vectors.Operator, arguments []string) error {
			active, err := operator.Approve(ctx, arguments[0])
			return s.show(active, err, func(to io.Writer) error { return showActive(to, active) })
		}),
	}
}

func (s *vectorsSession) rejectCommand() *cobra.Command {
	var reason string
	command := &cobra.Command{
		Use: "reject VERSION --reason TEXT", Short: "Refuse a model for good; the reason is kept with it",
		Args: cobra.ExactArgs(1),
		RunE: s.with(func(ctx context.Context, operator vectors.Operator, arguments []string) error {
			status, err := operator.Reject(ctx, arguments[0], reason)
			return s.show(status, err, func(to io.Writer) error { return showVectors(to, status) })
		}),
	}
	command.Flags().StringVar(&reason, "reason", "", "why")
	return command
}

func (s *vectorsSession) rollbackCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rollback", Short: "Switch to the model that was active before; a second time undoes that",
		Args: cobra.NoArgs,
		RunE: s.with(func(ctx context.Context, operator vectors.Operator, _ []string) error {
			active, err := operator.Rollback(ctx)
			return s.show(active, err, func(to io.Writer) error { return showActive(to, active) })
		}),
	}
}

// with runs a command on the platform that its flags name, which it prints first.
func (s *vectorsSession) with(
	do func(context.Context, vectors.Operator, []string) error,
) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, arguments []string) error {
		s.onRun = command.Flags().Changed("run")
		if s.onRun && command.Flags().Changed("outputs") {
			return errors.New("--outputs and --run name two platforms: give one of them")
		}
		operator, target, err := s.operator(command.Context())
		if err != nil {
			return err
		}
		fmt.Fprintf(s.user.err, "vector store of %s\n", target)
		return do(command.Context(), operator, arguments)
	}
}

func (s *vectorsSession) operator(ctx context.Context) (operator vectors.Operator, target string, err error) {
	if s.onRun {
		folder, err := runfolder.Of(runsFolder, s.run)
		if err != nil {
			return vectors.Operator{}, "", err
		}
		s.file = filepath.Join(folder, platform.OutputsFile)
	}
	deployed, err := deployment.Read(s.file)
	if err != nil {
		return vectors.Operator{}, "", err
	}
	names, err := deployed.Vectors()
	if err != nil {
		return vectors.Operator{}, "", err
	}
	client, err := deployed.Lambda(ctx)
	if err != nil {
		return vectors.Operator{}, "", err
	}
	buckets, err := deployed.S3(ctx)
	if err != nil {
		return vectors.Operator{}, "", err
	}
	lake, err := deployed.Value(outputs.LakeBucketName)
	if err != nil {
		lake = "" // without the stack Batch a store can be operated, but not be refreshed
	}
	return vectors.Operator{
		Invoke: func(ctx context.Context, payload []byte) ([]byte, error) {
			return invoke(ctx, client, names.Loader, payload, loadsWithin)
		},
		Bucket: modelstore.Bucket{Client: buckets, Name: names.Artifacts}, Objects: buckets,
		Lake: lake, Runs: buckets, By: whoever(),
	}, deployed.Target(), nil
}

// whoever works here, as this machine calls them.
func whoever() string {
	name := "somebody"
	if current, err := user.Current(); err == nil && current.Username != "" {
		name = current.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// show tells an answer to a machine or to people.
func (s *vectorsSession) show(told any, err error, words func(io.Writer) error) error {
	if err != nil {
		return err
	}
	if s.user.json {
		return json.NewEncoder(s.user.out).Encode(told)
	}
	return words(s.user.out)
}

func showLoaded(to io.Writer, loaded embeddings.Loaded) error {
	state := "was loaded before"
	if loaded.New {
		state = "is loaded"
	}
	serves := "no model serves yet"
	switch loaded.Active {
	case "":
	case loaded.Version:
		serves = "it serves"
	default:
		serves = fmt.Sprintf("model %s serves; approve %s switches", loaded.Active, loaded.Version)
	}
	if loaded.Note != "" {
		serves += ": " + loaded.Note
	}
	_, err := fmt.Fprintf(to, "model %s %s; %s\n", loaded.Version, state, serves)
	return err
}

func showActive(to io.Writer, active embeddings.Active) error {
	back := ""
	if active.Previous != "" {
		back = "; rollback goes back to " + active.Previous
	}
	_, err := fmt.Fprintf(to, "model %s serves since %s%s\n", active.Version, moment(active.SwitchedAt), back)
	return err
}

func showRefreshed(to io.Writer, told answer.Refreshed) error {
	figures := told.Figures
	if figures.Unchanged {
		fmt.Fprintf(to, "model %s serves: run %s has the same catalogue\n", told.Active, told.RunID)
	} else {
		fmt.Fprintf(to, "model %s is of run %s, with the towers of %s: %d items, %d of them new; %d have vanished\n",
			told.Version, told.RunID, told.Base, figures.Items, figures.Added, figures.Vanished)
		if told.Active == told.Version {
			fmt.Fprintln(to, "it serves")
		} else {
			fmt.Fprintf(to, "model %s still serves: %s\n", told.Active, told.Note)
		}
	}
	if told.LeftOut > 0 {
		fmt.Fprintf(to, "%d rows of the run were left out, such as\n", told.LeftOut)
	}
	for _, reason := range told.Reasons {
		fmt.Fprintf(to, "  %s\n", printable(reason))
	}
	return nil
}

func showVectors(to io.Writer, status answer.Status) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	if active := status.Active; active == nil {
		fmt.Fprintln(table, "Serves\tno model yet")
	} else {
		fmt.Fprintf(table, "Serves\tmodel %s since %s\n", active.Version, moment(active.SwitchedAt))
		if active.Previous != "" {
			fmt.Fprintf(table, "Before\tmodel %s, to which rollback goes\n", active.Previous)
		}
		fmt.Fprintf(table, "Run\t%s\n", runOf(status))
	}
	if status.Extension != "" {
		fmt.Fprintf(table, "pgvector\t%s\n", status.Extension)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(status.Versions) > 0 {
		fmt.Fprintln(to)
		fmt.Fprintln(table, "MODEL\tSTATE\tORIGIN\tITEMS\tUSERS\tSEARCH\tRUN\tTOWERS OF\tLOADED")
	}
	for _, one := range status.Versions {
		towers := one.Base
		switch {
		case !one.Towers:
			towers = "none: embeddings only"
		case towers == "":
			towers = "its own"
		}
		run := one.RunID
		if run == "" {
			run = "unknown"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", one.Version, one.State, one.Origin, one.Items,
			one.Users, one.Search, run, towers, moment(one.LoadedAt))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, one := range status.Versions {
		if one.SearchNote != "" {
			fmt.Fprintf(to, "\nModel %s is searched %s.\n", one.Version, one.SearchNote)
		}
		if one.Reason != "" {
			fmt.Fprintf(to, "\nModel %s was rejected: %s\n", one.Version, printable(one.Reason))
		}
	}
	if len(status.Moves) > 0 {
		fmt.Fprintln(to)
		fmt.Fprintln(table, "SWITCHED\tTO\tFROM\tBY")
	}
	for _, move := range status.Moves {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", moment(move.At), move.Version, move.Previous, printable(move.By))
	}
	return table.Flush()
}

// runOf tells which run's catalogue the active model has, and how old that is.
func runOf(status answer.Status) string {
	active := status.Active
	switch {
	case active.RunCreatedAt == nil:
		return "unknown"
	case status.RunAgeHours == nil:
		return fmt.Sprintf("%s of %s, on which the shipped model was trained", active.RunID,
			moment(*active.RunCreatedAt))
	}
	hours := *status.RunAgeHours
	age := fmt.Sprintf("%d h", hours)
	if hours >= 48 {
		age = fmt.Sprintf("%d days", hours/24)
	}
	return fmt.Sprintf("%s of %s, %s old", active.RunID, moment(*active.RunCreatedAt), age)
}
