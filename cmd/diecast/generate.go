package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"diecast/internal/classicmodels"
)

// The formats of generate.
const (
	formatSQL      = "sql"
	formatCSV      = "csv"
	formatTraining = "training-set"
	formatEvents   = "events"
)

var formats = []string{formatSQL, formatCSV, formatTraining, formatEvents}

// mostEvents at a time: about a terabyte.
const mostEvents = 1_000_000_000

// standardOutput as the value of --out.
const standardOutput = "-"

// generation is one command line of generate.
type generation struct {
	user              *terminal
	flags             *pflag.FlagSet
	format, out, dump string
	seed              *parsed[uint64]
	scale, strength   *parsed[float64]
	advance           *parsed[int]
	count, sessions   *parsed[int]
	broken            *parsed[float64]
	courseFields      bool
}

func generateCommand(user *terminal) *cobra.Command {
	defaults := classicmodels.DefaultOptions()
	g := &generation{
		user: user, seed: seedFlag("seed", defaults.Seed), scale: numberFlag("scale", defaults.Scale),
		strength: numberFlag("strength", defaults.Strength), advance: integerFlag("advance", 0),
		count: integerFlag("count", 1000), sessions: integerFlag("sessions", 100), broken: numberFlag("broken", 0),
	}
	command := &cobra.Command{
		Use:   "generate --format FORMAT --out PATH",
		Short: "Make the sample data: a classicmodels database with ratings that can be learned",
		Long: `Make the sample data, the same bytes for the same flags on every machine.

  sql           classicmodels.sql, a dump for MySQL 8.4 and MariaDB 11.4
  csv           a file for each of the nine tables
  training-set  ratings_ml_training/<run>/, as the ETL job publishes it
  events        customers' activity, one JSON object a line

--out names a folder; for events, and for sql where it ends in .sql, a file, or - for standard output. Beside generated
data a folder gets truth/, the preferences and demand spikes that were planted. An existing file is never replaced, an
existing folder only when everything in it is from generate. With --advance, such a folder's set lives on for some days:
sql adds a file with what changed, training-set adds a run, csv is rewritten.

With --dump, a dump of classicmodels is read, checked and written in the wanted format. Without a table ratings, ratings
are derived from its orders.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			g.flags = command.Flags()
			return g.run(command.Context())
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&g.format, "format", "", "one of "+strings.Join(formats, ", "))
	flags.StringVar(&g.out, "out", "", "the folder or file to write")
	flags.Var(g.seed, "seed", "selects one of the possible shops")
	flags.Var(g.scale, "scale", "multiplies the sample database's counts: 0.1 to 10000")
	flags.Var(g.strength, "strength", "of the planted preferences: 0 is chance, 1 leaves none")
	flags.Var(g.advance, "advance",
		"`days` that the shop lives on: orders, changed ratings, new and withdrawn products")
	flags.StringVar(&g.dump, "dump", "", "read this `file` instead of generating")
	flags.Var(g.count, "count", "of events")
	flags.Var(g.sessions, "sessions", "that are open at once in events")
	flags.Var(g.broken, "broken",
		"share of the events that break the contract, 0 to 1: "+strings.Join(classicmodels.BrokenKinds(), ", "))
	flags.BoolVar(&g.courseFields, "course-fields", false, "events have the course's fields only")
	return command
}

// check reports every problem of the flags that can be seen without reading anything.
func (g *generation) check() error {
	var all problems
	switch {
	case g.format == "":
		all.add(fmt.Errorf("--format is missing: one of %s", strings.Join(formats, ", ")))
	case !slices.Contains(formats, g.format):
		all.add(fmt.Errorf("--format %q is unknown: one of %s", g.format, strings.Join(formats, ", ")))
	}
	if g.out == "" {
		all.add(errors.New("--out is missing: the folder or file to write"))
	}
	if g.out == standardOutput && g.format != formatSQL && g.format != formatEvents {
		all.add(fmt.Errorf("--out -: %s is more than one file; name a folder", g.format))
	}
	for _, problem := range []error{
		g.seed.problem, g.scale.problem, g.strength.problem, g.advance.problem, g.count.problem, g.sessions.problem,
		g.broken.problem,
	} {
		all.add(problem)
	}
	if g.count.value < 0 || g.count.value > mostEvents {
		all.add(fmt.Errorf("--count %d: allowed are 0 to %d", g.count.value, mostEvents))
	}
	all.add(g.options().Validate())
	all.add(g.eventOptions().Validate())
	all.refuse(g.flags, g.format != formatEvents, "is for --format events only", "count", "sessions", "broken",
		"course-fields")
	all.refuse(g.flags, g.dump != "", "is for generated data, not for --dump", "seed", "scale", "strength", "advance")
	if g.dump != "" && g.format == formatEvents {
		all.add(errors.New("--dump: events follow planted preferences, which a dump does not have"))
	}
	return all.err()
}

// refuse adds a problem for each of the flags that is given although it has no meaning here.
func (p *problems) refuse(flags *pflag.FlagSet, when bool, reason string, names ...string) {
	for _, name := range names {
		if when && flags.Changed(name) {
			p.add(fmt.Errorf("--%s %s", name, reason))
		}
	}
}

func (g *generation) options() classicmodels.Options {
	return classicmodels.Options{Seed: g.seed.value, Scale: g.scale.value, Strength: g.strength.value,
		AdvanceDays: g.advance.value}
}

func (g *generation) eventOptions() classicmodels.EventOptions {
	return classicmodels.EventOptions{
		Seed: g.seed.value, Sessions: g.sessions.value, BrokenShare: g.broken.value, CourseFields: g.courseFields,
	}
}

func (g *generation) run(ctx context.Context) error {
	if err := g.check(); err != nil {
		return err
	}
	if g.format == formatEvents || g.format == formatSQL && (g.out == standardOutput || filepath.Ext(g.out) == ".sql") {
		return g.writeFile(ctx)
	}
	old, err := readRecord(g.out)
	if err != nil {
		return err
	}
	if old == nil || !g.flags.Changed("advance") {
		source, err := g.source(ctx, g.options())
		if err != nil {
			return err
		}
		return g.writeFolder(ctx, source, nil)
	}
	options, err := g.continued(old)
	if err != nil {
		return err
	}
	shop, err := classicmodels.New(options)
	if err != nil {
		return err
	}
	return g.writeFolder(ctx, shop, old)
}

// source is the dump or the generated shop.
func (g *generation) source(ctx context.Context, options classicmodels.Options) (classicmodels.Source, error) {
	if g.dump == "" {
		return classicmodels.New(options)
	}
	file, err := os.Open(g.dump)
	if err != nil {
		return nil, fmt.Errorf("--dump: %w", err)
	}
	defer file.Close()
	shown := startProgress(g.user.err, "read "+g.dump, "bytes")
	dump, err := classicmodels.ReadDump(ctx, g.dump, shown.reader(file))
	shown.close()
	if err != nil {
		return nil, err
	}
	return dump, nil
}

// continued are the options of an existing set after the days of --advance.
func (g *generation) continued(old *record) (classicmodels.Options, error) {
	if old.Options == nil {
		return classicmodels.Options{},
			fmt.Errorf("--advance: %s was made from a dump, and only generated data advances", g.out)
	}
	var all problems
	options := *old.Options
	options.AdvanceDays += g.advance.value
	if old.Format != g.format {
		all.add(fmt.Errorf("--format %s: %s holds %s and advances in that format only", g.format, g.out, old.Format))
	}
	for _, flag := range []struct {
		name      string
		has, want any
	}{
		{"seed", options.Seed, g.seed.value}, {"scale", options.Scale, g.scale.value}, {"strength", options.Strength,
			g.strength.value},
	} {
		if g.flags.Changed(flag.name) && flag.has != flag.want {
			all.add(fmt.Errorf("--%s %v: %s was made with %v; leave the flag out to advance it", flag.name, flag.want,
				g.out, flag.has))
		}
	}
	all.add(options.Validate())
	return options, all.err()
}

// writeFile writes one file or to standard output.
func (g *generation) writeFile(ctx context.Context) error {
	if _, err := os.Lstat(g.out); g.out != standardOutput && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--out %s exists; name a file that does not, or remove it", g.out)
	}
	source, err := g.source(ctx, g.options())
	if err != nil {
		return err
	}
	shown := startProgress(g.user.err, "generate", "bytes written")
	var written record
	fill := func(create classicmodels.Create) (err error) {
		written, err = g.writeSingle(ctx, source, counting(create, shown))
		return err
	}
	if g.out == standardOutput {
		err = fill(func(string) (io.WriteCloser, error) { return unclosed{g.user.out}, nil })
	} else {
		err = newFile(g.out, fill)
	}
	shown.close()
	if err != nil {
		return err
	}
	written.Files[0].Path = filepath.Base(g.out)
	return g.summarise(&written, source)
}

func (g *generation) writeSingle(ctx context.Context, source classicmodels.Source,
	create classicmodels.Create) (written record, err error) {
	written = g.record(source)
	if g.format == formatSQL {
		written.Files, err = classicmodels.WriteSQL(ctx, source, create)
		return written, err
	}
	shop, err := classicmodels.New(g.options())
	if err != nil {
		return record{}, err
	}
	file, broken, err := shop.WriteEvents(ctx, g.eventOptions(), g.count.value, g.out, create)
	written.Files, written.Broken = []classicmodels.File{file}, broken
	return written, err
}

// unclosed keeps standard output open.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

func (g *generation) record(source classicmodels.Source) record {
	kind, detail := source.Origin()
	written := record{SchemaVersion: 1, Format: g.format, Source: kind, Detail: detail}
	if shop, generated := source.(*classicmodels.Shop); generated {
		options := shop.Options()
		written.Options = &options
	}
	return written
}

// writeFolder writes the set, or with an old one, its continuation.
func (g *generation) writeFolder(ctx context.Context, source classicmodels.Source, old *record) error {
	written := g.record(source)
	shown := startProgress(g.user.err, "generate", "bytes written")
	err := replaceFolder(g.out, func(folder string) error {
		files, err := g.write(ctx, source, old, counting(classicmodels.Directory(folder), shown))
		if err != nil {
			return err
		}
		for _, file := range kept(old, files) {
			if err := keepFile(g.out, folder, file.Path); err != nil {
				return err
			}
			written.Files = append(written.Files, file)
		}
		written.Files = append(written.Files, files...)
		return written.write(folder)
	})
	shown.close()
	if err != nil {
		return err
	}
	return g.summarise(&written, source)
}

func (g *generation) write(
	ctx context.Context, source classicmodels.Source, old *record, create classicmodels.Create,
) (files []classicmodels.File, err error) {
	shop, generated := source.(*classicmodels.Shop)
	switch {
	case g.format == formatSQL && old != nil:
		if days := shop.Options().AdvanceDays - old.Options.AdvanceDays; days > 0 {
			files, err = classicmodels.WriteAdvanceSQL(ctx, shop, days, create)
		}
	case g.format == formatSQL:
		files, err = classicmodels.WriteSQL(ctx, source, create)
	case g.format == formatCSV:
		files, err = classicmodels.WriteCSV(ctx, source, create)
	default:
		files, err = classicmodels.WriteTraining(ctx, source, create)
	}
	if err != nil || !generated {
		return files, err
	}
	truth, err := classicmodels.WriteTruth(ctx, shop, create)
	return append(files, truth...), err
}

// kept are the old set's files that its continuation does not write anew.
func kept(old *record, files []classicmodels.File) []classicmodels.File {
	if old == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(old.Files), func(file classicmodels.File) bool {
		return slices.ContainsFunc(files, func(fresh classicmodels.File) bool { return fresh.Path == file.Path })
	})
}

// summarise says what lies where, on standard output where the data did not go there.
func (g *generation) summarise(written *record, source classicmodels.Source) error {
	to, place := g.user.out, "standard output"
	if g.out == standardOutput {
		to = g.user.err
	} else {
		var err error
		if place, err = filepath.Abs(g.out); err != nil {
			return err
		}
	}
	var differences []classicmodels.Difference
	if dump, read := source.(*classicmodels.Dump); read {
		differences = dump.Differences()
	}
	if g.user.json {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			Out string `json:"out"`
			*record
			Differences []classicmodels.Difference `json:"differences,omitempty"`
		}{place, written, differences})
	}
	for _, difference := range differences {
		fmt.Fprintln(to, "note:", difference)
	}
	for _, kind := range slices.Sorted(maps.Keys(written.Broken)) {
		fmt.Fprintf(to, "%s broken: %s\n", grouped(int64(written.Broken[kind])), kind)
	}
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "rows\tbytes\t  file")
	var bytes int64
	for _, file := range written.Files {
		rows := grouped(file.Rows)
		if file.Rows == 0 && file.Table == "" {
			rows = ""
		}
		fmt.Fprintf(table, "%s\t%s\t  %s\n", rows, grouped(file.Bytes), file.Path)
		bytes += file.Bytes
	}
	if err := table.Flush(); err != nil {
		return err
	}
	files := "1 file"
	if len(written.Files) != 1 {
		files = fmt.Sprintf("%d files", len(written.Files))
	}
	_, err := fmt.Fprintf(to, "%s from %s data (%s): %s, %s bytes, in %s\n",
		written.Format, written.Source, written.Detail, files, grouped(bytes), place)
	return err
}
