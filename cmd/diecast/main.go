// Command diecast is the operator's tool. Each subcommand has a file of its own, and its
// place in commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	_ "diecast/internal/surroundings/settle" // whatever started this
)

// terminal is where a command talks to its user.
type terminal struct {
	out, err io.Writer
	json     bool // a machine reads out
	// hurried ends when the user wants the end of a command, which is under way, at once.
	hurried context.Context
	// program is the executable of this command; empty where that is another one, such as a test.
	program string
}

// commands make the subcommands.
var commands = []func(*terminal) *cobra.Command{
	etlCommand, generateCommand, loadCommand, localCommand, modelCommand, produceCommand, sqlCommand, vectorsCommand,
}

func main() {
	ends := listen(os.Args[1:])
	program, _ := os.Executable() // without it there is no guard
	user := &terminal{out: os.Stdout, err: os.Stderr, hurried: ends.hurried, program: program}
	code := execute(ends.asked, user, os.Args[1:])
	ends.release()
	os.Exit(code)
}

// run is execute for a user who is never in a hurry.
func run(ctx context.Context, arguments []string, out, err io.Writer) int {
	return execute(ctx, &terminal{out: out, err: err, hurried: context.Background()}, arguments)
}

// execute executes one command line and returns the exit code: 0, or 1 after one line on stderr for
// each problem.
func execute(ctx context.Context, user *terminal, arguments []string) int {
	root := &cobra.Command{
		Use: "diecast", Short: "Operate the Diecast platform, on AWS or on this machine",
		SilenceErrors: true, SilenceUsage: true, CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.PersistentFlags().BoolVar(&user.json, "json", false, "print the summary as JSON, for machines")
	for _, command := range commands {
		root.AddCommand(command(user))
	}
	root.SetArgs(arguments)
	root.SetOut(user.out)
	root.SetErr(user.err)
	command, failure := root.ExecuteContextC(ctx)
	if failure == nil {
		return 0
	}
	if errors.Is(failure, context.Canceled) {
		failure = errors.Join(append([]error{errInterrupted}, besideInterruption(failure)...)...)
	}
	for line := range strings.Lines(failure.Error()) {
		fmt.Fprintf(user.err, "%s: %s\n", command.CommandPath(), strings.TrimRight(line, "\n"))
	}
	return 1
}

// errInterrupted stands for all that went wrong because the user wanted an end.
var errInterrupted = errors.New("interrupted: nothing was kept of what was not finished")

// besideInterruption is what else went wrong, of errors that were joined.
func besideInterruption(failure error) []error {
	if onlyCanceled(failure) {
		return nil
	}
	joined, ok := failure.(interface{ Unwrap() []error })
	if !ok || failure.Error() != errors.Join(joined.Unwrap()...).Error() { // it has words of its own
		return []error{failure}
	}
	var others []error
	for _, one := range joined.Unwrap() {
		others = append(others, besideInterruption(one)...)
	}
	return others
}

// onlyCanceled tells whether an error has no other cause than that its context was cancelled.
func onlyCanceled(failure error) bool {
	if failure == context.Canceled {
		return true
	}
	switch wrapper := failure.(type) {
	case interface{ Unwrap() error }:
		return onlyCanceled(wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(wrapper.Unwrap(), func(one error) bool { return !onlyCanceled(one) })
	}
	return false
}
