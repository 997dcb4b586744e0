// Package function is what every Lambda of the platform starts with. It knows nothing of what a
// function does.
package function

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"diecast/internal/environment"
)

// Start serves the handler that build returns until Lambda ends the process. Where build fails, the
// log says why and the process ends. The logger writes JSON lines to the standard output, which
// Lambda collects, from the level of environment.Log on.
func Start(build func(ctx context.Context, logger *slog.Logger) (handler any, err error)) {
	variables := environment.OfProcess()
	logger, err := newLogger(os.Stdout, variables)
	memory, memoryErr := environment.Read[environment.Memory](variables)
	err = errors.Join(err, memoryErr)
	Collect(int(memory.FunctionMemory))
	var handler any
	if err == nil {
		handler, err = build(context.Background(), logger)
	}
	if err != nil {
		logger.Error("cannot start", slog.Any("error", err))
		os.Exit(1)
	}
	lambda.Start(handler)
}

const (
	// garbagePercent of what is needed may lie about before it is collected. A function needs some
	// megabytes, its batches make hundreds a second, and it has memory to spare: Go's own 100 takes
	// a third of its time.
	garbagePercent = 1600
	// heapShare of a function's memory, in percent, is where it is collected as often as it takes:
	// the rest is for the program itself.
	heapShare = 75
)

// Collect has this process, a function of so many mebibytes, collect garbage as rarely as its
// memory allows. Without a size Go's own limit stays.
func Collect(mebibytes int) {
	debug.SetGCPercent(garbagePercent)
	if mebibytes > 0 {
		debug.SetMemoryLimit(int64(mebibytes) << 20 * heapShare / 100)
	}
}

// newLogger is a logger even where the variables are wrong: then it tells all.
func newLogger(output io.Writer, variables map[string]string) (*slog.Logger, error) {
	read, err := environment.Read[environment.Log](variables)
	if err != nil {
		read.Level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(output, &slog.HandlerOptions{Level: read.Level})), err
}

// Keep takes a margin off the time that Lambda gives, in which the handler still answers: at its
// deadline the process ends, and neither an answer nor a log says what it was at. A context without
// a deadline stays as it is.
func Keep(ctx context.Context, margin time.Duration) (context.Context, context.CancelFunc) {
	deadline, limited := ctx.Deadline()
	if !limited {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-margin))
}
