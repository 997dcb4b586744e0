package picture

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// firstRetry is the wait after a first attempt that reached no database, or was refused: a role's
// policy may reach the database later than the server does. It doubles up to the interval. A
// database that was reached, and failed, is left alone for the whole interval. There is no last
// attempt, because a server that gives up would have to be replaced: what stands in the way is told
// by State and the log at once, and from then on.
const firstRetry = 5 * time.Second

// State is what is known at a moment.
type State[T any] struct {
	// Held is the picture of the last reading that succeeded; nil before the first.
	Held *T
	// Tried is when the last reading ended, the zero time before the first.
	Tried time.Time
	// Failed is why the last reading did not succeed; nil where it did.
	Failed error
}

// Keeper keeps the latest picture. Asking it costs nothing and never waits for the database.
type Keeper[T any] struct {
	// Read reads the picture anew.
	Read     func(context.Context) (*T, error)
	Interval time.Duration
	// Logger is told of every reading, by What is read and with Size, attributes of a picture.
	Logger *slog.Logger
	What   string
	Size   func(*T) []any

	state atomic.Pointer[State[T]]
}

// State of the moment.
func (k *Keeper[T]) State() State[T] {
	if state := k.state.Load(); state != nil {
		return *state
	}
	return State[T]{}
}

// Run reads at once and then at every interval until the context ends. One reading follows the
// other, never two at a time.
func (k *Keeper[T]) Run(ctx context.Context) {
	k.Logger.Info(k.What+" will be refreshed", "every_seconds", k.Interval.Seconds())
	retry := firstRetry
	for {
		wait := k.Interval
		if err := k.Refresh(ctx); errors.Is(err, ErrUnreachable) || errors.Is(err, ErrRefused) {
			wait = min(retry, k.Interval)
			retry = min(2*retry, k.Interval)
		} else {
			retry = firstRetry
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// Refresh reads once. Where that fails, what is held stays.
func (k *Keeper[T]) Refresh(ctx context.Context) error {
	begin := time.Now()
	held, err := k.Read(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // the end of the program, not of the database
	}
	next := State[T]{Held: held, Tried: time.Now(), Failed: err}
	took := time.Since(begin).Milliseconds()
	if err != nil {
		next.Held = k.State().Held
		k.Logger.Error(k.What+" were not refreshed", "error", err, "duration_ms", took)
	} else {
		k.Logger.Info(k.What+" refreshed", append(k.Size(held), "duration_ms", took)...)
	}
	k.state.Store(&next)
	return err
}
