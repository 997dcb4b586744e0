package sales

import (
	"context"
	"log/slog"
	"time"

	"diecast/internal/picture"
)

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
type Refresher struct{ keeper picture.Keeper[Figures] }

// NewRefresher has not read yet: Run does.
func NewRefresher(reader Reader, interval time.Duration, logger *slog.Logger) *Refresher {
	return &Refresher{picture.Keeper[Figures]{
		Read: reader.Read, Interval: interval, Logger: logger, What: "sales",
		Size: func(f *Figures) []any { return []any{"order_lines", len(f.items), "orders", len(f.orders)} },
	}}
}

// State of the moment.
func (r *Refresher) State() State {
	state := r.keeper.State()
	return State{Figures: state.Held, Tried: state.Tried, Failed: state.Failed}
}

// Run reads at once and then at every interval until the context ends: see picture.Keeper.
func (r *Refresher) Run(ctx context.Context) { r.keeper.Run(ctx) }
