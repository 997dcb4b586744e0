// Command vectors measures the vector store at sizes that no test pays for, with a PostgreSQL of
// its own: how long a model takes to be loaded beside and how much memory that takes, what readers
// notice of a switch, and what the search finds for which effort. It prints tables in Markdown.
//
//	go run ./test/bench/vectors 100000 1000000
//
// Each argument is a number of items; there are as many users. Of the two models the vectors of one
// point everywhere alike, which is the hardest that a search can be given, and those of the other
// lie in heaps of a hundred, as products of a kind do.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"

	"diecast/internal/local/postgres"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("no numbers of items: name some, such as 100000 1000000")
	}
	for _, argument := range arguments {
		items, err := strconv.Atoi(argument)
		if err != nil || items < 1 {
			return fmt.Errorf("number of items %q: must be a whole number from 1 on", argument)
		}
		if err := measure(ctx, items); err != nil {
			return fmt.Errorf("%d items: %w", items, err)
		}
	}
	return nil
}

// measure starts a server for one size and takes everything of it.
func measure(ctx context.Context, items int) (err error) {
	cluster, err := postgres.Start(ctx, postgres.Options{Disposable: true, SharedBuffersMiB: buffersMiB(items)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop(context.WithoutCancel(ctx))) }()
	store, err := prepare(ctx, cluster, items)
	if err != nil {
		return err
	}
	defer store.close()
	fmt.Printf("\n%d items and as many users; %d MiB of shared buffers, as in %d MiB of memory\n\n", items,
		buffersMiB(items), classMiB(items))
	for _, part := range []func(context.Context) error{store.load, store.search, store.change} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}
