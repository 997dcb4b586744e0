package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
)

var formats = []string{formatSQL, formatCSV, formatTraining}

// generation is one command line of generate.
type generation struct {
	user            *terminal
	flags           *pflag.FlagSet
	format, out     string
	seed            *parsed[uint64]
	scale, strength *parsed[float64]
	advance         *parsed[int]
}

func generateCommand(user *terminal) *cobra.Command {
	defaults := classicmodels.DefaultOptions()
	g := &generation{
		user: user, seed: seedFlag("seed", defaults.Seed), scale: numberFlag("scale", defaults.Scale),
		strength: numberFlag("strength", defaults.Strength), advance: integerFlag("advance", 0),
	}
	command := &cobra.Command{
		Use: "generate --format FORMAT --out DIR", Short: "Make the sample data: a classicmodels database with ratings that can be learned",
		Long: `Make the sample data, the same bytes for the same flags on every machine.

  sql           classicmodels.sql, a dump for MySQL 8.4 and MariaDB 11.4
  csv           a file for each of the nine tables
  training-set  ratings_ml_training/<run>/, as the ETL job publishes it

csv and training-set write truth/ beside, the preferences that were planted. An existing folder is replaced only when
everything in it is from generate. With --advance, such a folder's set lives on for some days: sql adds a file with
what changed, training-set adds a run, csv is rewritten.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			g.flags = command.Flags()
			return g.run(command.Context())
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&g.format, "format", "", "one of "+strings.Join(formats, ", "))
	flags.StringVar(&g.out, "out", "", "the folder to write")
	flags.Var(g.seed, "seed", "selects one of the possible shops")
	flags.Var(g.scale, "scale", "multiplies the sample database's counts; 0.1 to 10000")
	flags.Var(g.strength, "strength", "of the planted preferences: 0 is chance, 1 leaves none")
	flags.Var(g.advance, "advance", "`days` that the shop lives on: new orders, changed ratings")
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
		all.add(errors.New("--out is missing: the folder to write"))
	}
	for _, problem := range []error{g.seed.problem, g.scale.problem, g.strength.problem, g.advance.problem} {
		all.add(problem)
	}
	all.add(g.options().Validate())
	return all.err()
}

func (g *generation) options() classicmodels.Options {
	return classicmodels.Options{Seed: g.seed.value, Scale: g.scale.value, Strength: g.strength.value, AdvanceDays: g.advance.value}
}

func (g *generation) run(ctx context.Context) error {
	if err := g.check(); err != nil {
		return err
	}
	old, err := readRecord(g.out)
	if err != nil {
		return err
	}
	options := g.options()
	if old != nil && g.flags.Changed("advance") {
		if options, err = g.continued(old); err != nil {
			return err
		}
	} else {
		old = nil
	}
	shop, err := classicmodels.New(options)
	if err != nil {
		return err
	}
	return g.writeFolder(ctx, shop, old)
}

// continued are the options of an existing set after the days of --advance.
func (g *generation) continued(old *record) (classicmodels.Options, error) {
	var all problems
	options := classicmodels.Options{Seed: old.Seed, Scale: old.Scale, Strength: old.Strength, AdvanceDays: old.AdvanceDays + g.advance.value}
	if old.Format != g.format {
		all.add(fmt.Errorf("--format %s: %s holds %s, which only advances in its own format", g.format, g.out, old.Format))
	}
	if kind := "generated"; old.Source != kind {
		all.add(fmt.Errorf("--advance: %s was made from a dump, and only generated data advances", g.out))
	}
	for _, flag := range []struct {
		name      string
		differs   bool
		has, want any
	}{
		{"seed", g.seed.value != old.Seed, old.Seed, g.seed.value},
		{"scale", g.scale.value != old.Scale, old.Scale, g.scale.value},
		{"strength", g.strength.value != old.Strength, old.Strength, g.strength.value},
	} {
		if g.flags.Changed(flag.name) && flag.differs {
			all.add(fmt.Errorf("--%s %v: %s was made with %v; leave the flag out to advance it", flag.name, flag.want, g.out, flag.has))
		}
	}
	all.add(options.Validate())
	return options, all.err()
}

// writeFolder writes the set, or with an old one, its continuation.
func (g *generation) writeFolder(ctx context.Context, shop *classicmodels.Shop, old *record) error {
	options := shop.Options()
	kind, detail := shop.Origin()
	written := record{
		SchemaVersion: 1, Format: g.format, Source: kind, Detail: detail,
		Seed: options.Seed, Scale: options.Scale, Strength: options.Strength, AdvanceDays: options.AdvanceDays,
	}
	shown := startProgress(g.user.err, "generate", "bytes written")
	err := replaceFolder(g.out, func(folder string) error {
		create := counting(classicmodels.Directory(folder), shown)
		files, err := g.write(ctx, shop, old, create)
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
	return g.summarise(&written)
}

func (g *generation) write(ctx context.Context, shop *classicmodels.Shop, old *record, create classicmodels.Create) (files []classicmodels.File, err error) {
	switch {
	case g.format == formatSQL && old != nil && shop.Options().AdvanceDays > old.AdvanceDays:
		return classicmodels.WriteAdvanceSQL(ctx, shop, shop.Options().AdvanceDays-old.AdvanceDays, create)
	case g.format == formatSQL && old != nil:
		return nil, nil
	case g.format == formatSQL:
		return classicmodels.WriteSQL(ctx, shop, create)
	case g.format == formatCSV:
		files, err = classicmodels.WriteCSV(ctx, shop, create)
	default:
		files, err = classicmodels.WriteTraining(ctx, shop, create)
	}
	if err != nil {
		return nil, err
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

// summarise says what lies where.
func (g *generation) summarise(written *record) error {
	folder, err := filepath.Abs(g.out)
	if err != nil {
		return err
	}
	if g.user.json {
		encoder := json.NewEncoder(g.user.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			Out string `json:"out"`
			*record
		}{folder, written})
	}
	table := tabwriter.NewWriter(g.user.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "rows\tbytes\t  file")
	var bytes int64
	for _, file := range written.Files {
		rows := grouped(file.Rows)
		if file.Rows == 0 {
			rows = ""
		}
		fmt.Fprintf(table, "%s\t%s\t  %s\n", rows, grouped(file.Bytes), file.Path)
		bytes += file.Bytes
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.user.out, "%s data (%s) as %s: %d files, %s bytes, in %s\n",
		written.Source, written.Detail, written.Format, len(written.Files), grouped(bytes), folder+string(os.PathSeparator))
	return err
}
