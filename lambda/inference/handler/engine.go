package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"diecast/internal/activity"
	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/models/modelstore"
	"diecast/internal/recommendation"
)

const (
	// searchTime bounds one question to the store, logging in included: then the most popular
	// products answer a batch, and a route says that it cannot answer now.
	searchTime = 3 * time.Second
	// reloads bounds how often one request follows a store that moves on.
	reloads = 3
)

// errNoTowers says that the active model cannot embed a user from features.
var errNoTowers = errors.New("the active model has embeddings only, no towers: it cannot embed a user")

// Engine recommends with the store's active model, of which it keeps tower and ranking in memory.
type Engine struct {
	Store  *embeddings.Store
	Bucket modelstore.Bucket
	Logger *slog.Logger

	mutex sync.Mutex
	model *model
}

// Recommend answers a batch with one model, in one statement. When the store cannot be asked and a
// model is in memory, the most popular products answer; without one it is an error that a later try
// may not meet.
func (e *Engine) Recommend(ctx context.Context, request inference.BatchRequest) (inference.BatchAnswer, error) {
	var answer inference.BatchAnswer
	err := e.withModel(ctx, func(ctx context.Context, current *model) error {
		var err error
		answer, err = e.recommend(ctx, current, request)
		return err
	})
	if err == nil {
		return answer, nil
	}
	if current := e.loaded(); current != nil && ctx.Err() == nil && !errors.Is(err, embeddings.ErrNoActiveModel) {
		e.Logger.ErrorContext(ctx, "the most popular products answer", slog.Int("events", len(request.Events)),
			slog.Any("error", err))
		return current.mostPopular(request), nil
	}
	return inference.BatchAnswer{}, err
}

func (e *Engine) recommend(ctx context.Context, current *model, request inference.BatchRequest) (inference.BatchAnswer,
	error) {
	vectors, err := e.userVectors(ctx, current, request.Events)
	if err != nil {
		return inference.BatchAnswer{}, err
	}
	query := embeddings.Query{Version: current.version(), ItemsPerUser: request.Limit,
		ItemsPerProduct: request.SimilarLimit}
	var asked []int // position in the request of each user in the query
	for i, event := range request.Events {
		if vectors[i] != nil {
			query.Users = append(query.Users, embeddings.User{Vector: vectors[i], Excluded: event.Cart})
			asked = append(asked, i)
		}
		query.Products = append(query.Products, event.Products()...)
	}
	slices.Sort(query.Products)
	query.Products = slices.Compact(query.Products)
	found, err := e.Store.Nearest(ctx, query)
	if err != nil {
		return inference.BatchAnswer{}, err
	}
	answer := current.mostPopular(request) // stays for users without a vector
	for i, items := range found.Users {
		answer.Results[asked[i]].Items = recommended(items)
		answer.Results[asked[i]].Rung = recommendation.Store
	}
	for code, items := range found.Products {
		answer.Similar[code] = neighbours(items)
	}
	return answer, nil
}

// userVectors are those of the tower, or, without one, those that the store has. A user without a
// vector gets nil.
func (e *Engine) userVectors(ctx context.Context, current *model, events []inference.BatchEvent) ([]embeddings.Vector,
	error) {
	if current.tower != nil {
		features := make([]activity.Features, len(events))
		for i, event := range events {
			features[i] = activity.Features{
				City: activity.Normalise(event.City), Country: activity.Normalise(event.Country),
				CreditLimit: event.CreditLimit,
			}
		}
		return current.tower.users(features)
	}
	customers := make([]int, len(events))
	for i, event := range events {
		customers[i] = event.CustomerNumber
	}
	known, err := e.Store.UserVectors(ctx, current.version(), customers)
	if err != nil {
		return nil, err
	}
	vectors := make([]embeddings.Vector, len(events))
	for i, customer := range customers {
		vectors[i] = known[customer]
	}
	return vectors, nil
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
// has moved on. The question's context ends after searchTime.
func (e *Engine) withModel(ctx context.Context, ask func(context.Context, *model) error) error {
	current := e.loaded()
	for attempt := 0; ; attempt++ {
		if current == nil {
			var err error
			if current, err = e.reload(ctx); err != nil {
				return err
			}
		}
		err := within(ctx, func(ctx context.Context) error { return ask(ctx, current) })
		var moved *embeddings.MovedError
		if !errors.As(err, &moved) || attempt == reloads {
			return err
		}
		current = nil
	}
}

// within runs one question to the store.
func within(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	return ask(ctx)
}

func (e *Engine) loaded() *model {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.model
}

// reload brings the store's active model into memory. Until that has succeeded the one before
// stays.
func (e *Engine) reload(ctx context.Context) (*model, error) {
	var active embeddings.Active
	err := within(ctx, func(ctx context.Context) error {
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
	fresh, err := loadModel(ctx, e.Bucket, active.Version)
	if err != nil {
		return nil, fmt.Errorf("model %s is refused: %w", active.Version, err)
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.model = fresh
	e.Logger.InfoContext(ctx, "model loaded", slog.String("model_version", fresh.version()),
		slog.Bool("towers", fresh.tower != nil))
	return fresh, nil
}

func recommended(items []embeddings.Item) []recommendation.Item {
	list := make([]recommendation.Item, len(items))
	for i, item := range items {
		list[i] = recommendation.Item{ID: item.ID, Score: item.Score}
	}
	return list
}

func neighbours(items []embeddings.Item) []recommendation.Neighbour {
	list := make([]recommendation.Neighbour, len(items))
	for i, item := range items {
		list[i] = recommendation.Neighbour{ID: item.ID, Distance: 1 - item.Score}
	}
	return list
}
