package sales

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

// State is what is known of the shop's sales.
type State struct {
	// Figures of the last reading that succeeded; nil before the first.
	Figures *Figures
	// Tried is when the last reading ended, the zero time before the first.
	Tried time.Time
	// Failed is why the last reading did not succeed; nil where it did.
	Failed error
}

// Reader reads the figures anew; *Database is one.
type Reader interface {
	Read(context.Context) (*Figures, error)
}

// Refresher keeps the latest figures. Asking it costs nothing and never waits for the database.
type Refresher struct {
	reader   Reader
	interval time.Duration
	logger   *slog.Logger
	state    atomic.Pointer[State]
}

// NewRefresher has not read yet: Run does.
func NewRefresher(reader Reader, interval time.Duration, logger *slog.Logger) *Refresher {
	r := &Refresher{reader: reader, interval: interval, logger: logger}
	r.state.Store(&State{})
	return r
}

// State of the moment.
func (r *Refresher) State() State { return *r.state.Load() }

// Run reads at once and then at every interval until the context ends. One reading follows the
// other, never two at a time.
func (r *Refresher) Run(ctx context.Context) {
	r.logger.Info("sales will be refreshed", "every_seconds", r.interval.Seconds())
	retry := firstRetry
	for {
		wait := r.interval
		if err := r.refresh(ctx); errors.Is(err, ErrUnreachable) || errors.Is(err, ErrRefused) {
			wait = min(retry, r.interval)
			retry = min(2*retry, r.interval)
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

func (r *Refresher) refresh(ctx context.Context) error {
	begin := time.Now()
	figures, err := r.reader.Read(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // the end of the program, not of the database
	}
	next := State{Figures: figures, Tried: time.Now(), Failed: err}
	if err != nil {
		next.Figures = r.State().Figures
		r.logger.Error("sales were not refreshed", "error", err, "duration_ms", time.Since(begin).Milliseconds())
	} else {
		r.logger.Info("sales refreshed", "order_lines", len(figures.items), "orders", len(figures.orders),
			"duration_ms", time.Since(begin).Milliseconds())
	}
	r.state.Store(&next)
	return err
}
