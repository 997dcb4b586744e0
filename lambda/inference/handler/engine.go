package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"diecast/internal/activity"
	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/latency"
	"diecast/internal/models/modelstore"
	"diecast/internal/recommendation"
)

const (
	// batchTime is what a rung of the ladder has for a batch, logging in and following a switch of
	// models included: then the next one answers. A shop waits for two seconds.
	batchTime = latency.InferenceWithin
	// searchTime bounds one question to the store where no other rung could answer: of a route, and
	// of a batch while no model is loaded.
	searchTime = 3 * time.Second
	// loadTime bounds the loading of a model, which goes on while memory answers.
	loadTime = time.Minute
	// reloads bounds how often one request follows a store that moves on.
	reloads = 3
)

// errNoTowers says that the active model cannot embed a user from features.
var errNoTowers = errors.New("the active model has embeddings only, no towers: it cannot embed a user")

// Engine recommends with the store's active model, of which it keeps tower, ranking and, where they
// fit, items in memory.
type Engine struct {
	Store  *embeddings.Store
	Bucket modelstore.Bucket
	Logger *slog.Logger
	// MemoryMiB is that of the function; default leastMemory.
	MemoryMiB int
	// RungTime is what a rung has for a batch; default batchTime.
	RungTime time.Duration

	absence absence
	loading singleflight.Group
	mutex   sync.Mutex
	model   *model
}

// UserEmbeddings are the tower's vectors of customers.
func (e *Engine) UserEmbeddings(ctx context.Context, customers []inference.Customer) ([][]float32, error) {
	features := make([]activity.Features, len(customers))
	for i, customer := range customers {
		features[i] = activity.Features{
			City: activity.Normalise(customer.City), Country: activity.Normalise(customer.Country),
			CreditLimit: customer.CreditLimit,
		}
	}
	vectors := make([][]float32, len(customers))
	err := e.withModel(ctx, func(ctx context.Context, current *model) error {
		// Nothing is asked of the store here, so that the tower is the active model's is asked by
		// itself.
		active, err := e.Store.Active(ctx)
		if err != nil {
			return err
		}
		if active.Version != current.version() {
			return &embeddings.MovedError{Asked: current.version(), Active: active.Version}
		}
		if current.tower == nil {
			return errNoTowers
		}
		embedded, err := current.tower.users(features)
		for i, vector := range embedded {
			vectors[i] = vector
		}
		return err
	})
	return vectors, err
}

// ItemsFromUser are the items nearest to a user's vector.
func (e *Engine) ItemsFromUser(ctx context.Context, vector []float32, limit int) ([]recommendation.Item, error) {
	found, err := e.nearest(ctx, embeddings.Query{Users: []embeddings.User{{Vector: vector}}, ItemsPerUser: limit})
	if err != nil {
		return nil, err
	}
	return recommended(found.Users[0]), nil
}

// ItemsFromItem are the items nearest to an item; known tells whether the model has that.
func (e *Engine) ItemsFromItem(ctx context.Context, code string, limit int) (similar []recommendation.Neighbour,
	known bool, err error) {
	found, err := e.nearest(ctx, embeddings.Query{Products: []string{code}, ItemsPerProduct: limit})
	if err != nil {
		return nil, false, err
	}
	items, known := found.Products[code]
	return neighbours(items), known, nil
}

func (e *Engine) nearest(ctx context.Context, query embeddings.Query) (embeddings.Neighbours, error) {
	var found embeddings.Neighbours
	err := e.withModel(ctx, func(ctx context.Context, current *model) error {
		query.Version = current.version()
		var err error
		found, err = e.Store.Nearest(ctx, query)
		return err
	})
	return found, err
}

// withModel runs a question with the model in memory, and again with a fresh one where the store
// has moved on. Each time the question has searchTime.
func (e *Engine) withModel(ctx context.Context, ask func(context.Context, *model) error) error {
	current := e.loaded()
	for attempt := 0; ; attempt++ {
		if current == nil {
			var err error
			if current, err = e.reload(ctx); err != nil {
				return err
			}
		}
		err := e.within(ctx, func(ctx context.Context) error { return ask(ctx, current) })
		var moved *embeddings.MovedError
		if !errors.As(err, &moved) || attempt == reloads {
			return err
		}
		current = nil
	}
}

// within runs one question to the store. A rung that is given more time has it for one question,
// too.
func (e *Engine) within(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, max(searchTime, e.RungTime))
	defer cancel()
	return ask(ctx)
}

func (e *Engine) loaded() *model {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.model
}

// reload brings the store's active model into memory. Until that has succeeded the one before
// stays. A context that ends before leaves the loading to whoever asks next: a catalogue of 100,000
// items takes longer than a batch has.
func (e *Engine) reload(ctx context.Context) (*model, error) {
	var active embeddings.Active
	err := e.within(ctx, func(ctx context.Context) error {
		var err error
		active, err = e.Store.Active(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if current := e.loaded(); current != nil && current.version() == active.Version {
		return current, nil
	}
	loading := e.loading.DoChan(active.Version, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
		defer cancel()
		return e.load(ctx, active.Version)
	})
	select {
	case loaded := <-loading:
		if loaded.Err != nil {
			return nil, fmt.Errorf("model %s is refused: %w", active.Version, loaded.Err)
		}
		return loaded.Val.(*model), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("model %s is being loaded: %w", active.Version, ctx.Err())
	}
}

func (e *Engine) load(ctx context.Context, version string) (*model, error) {
	fresh, err := loadModel(ctx, e.Bucket, version, room(max(e.MemoryMiB, leastMemory)<<20))
	if err != nil {
		return nil, err
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.model = fresh
	e.Logger.InfoContext(ctx, "model loaded", slog.String("model_version", version),
		slog.Bool("towers", fresh.tower != nil), slog.Bool("items", fresh.items != nil))
	return fresh, nil
}
