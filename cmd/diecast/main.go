// Command diecast is the operator's tool. Each subcommand has a file of its own, and its
// place in commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	_ "diecast/internal/surroundings/settle" // whatever started this
)

// terminal is where a command talks to its user.
type terminal struct {
	out, err io.Writer
	json     bool // a machine reads out
}

// commands make the subcommands.
var commands = []func(*terminal) *cobra.Command{etlCommand, generateCommand, loadCommand, localCommand,
	modelCommand, sqlCommand}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code: 0, or 1 after one line on stderr for
// each problem.
func run(ctx context.Context, arguments []string, out, err io.Writer) int {
	user := &terminal{out: out, err: err}
	root := &cobra.Command{
		Use: "diecast", Short: "Operate the Diecast platform, on AWS or on this machine",
		SilenceErrors: true, SilenceUsage: true, CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.PersistentFlags().BoolVar(&user.json, "json", false, "print the summary as JSON, for machines")
	for _, command := range commands {
		root.AddCommand(command(user))
	}
	root.SetArgs(arguments)
	root.SetOut(out)
	root.SetErr(err)
	command, failure := root.ExecuteContextC(ctx)
	if failure == nil {
		return 0
	}
	if errors.Is(failure, context.Canceled) {
		failure = errors.New("interrupted: nothing was kept of what was not finished")
	}
	for line := range strings.Lines(failure.Error()) {
		fmt.Fprintf(err, "%s: %s\n", command.CommandPath(), strings.TrimRight(line, "\n"))
	}
	return 1
}
