package handler

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"diecast/internal/activity"
	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/recommendation"
)

// pause is for how long nobody waits for a store that could not answer; then one batch tries again.
const pause = time.Second

var (
	errAbsent  = errors.New("the store could not answer a moment ago")
	errNoItems = errors.New("the model's items are not in memory: there are too many of them")
)

// Recommend answers a batch with one model, from the highest rung that can: the store in one
// statement, else the items in memory, else the most popular products. The lower rungs have the
// model that was loaded last. Without one it is an error that a later try may not meet, as it is
// where the store has no active model or the context is over.
func (e *Engine) Recommend(ctx context.Context, request inference.BatchRequest) (inference.BatchAnswer, error) {
	answer, err := e.fromStore(ctx, request)
	if err == nil {
		return answer, nil
	}
	current := e.loaded()
	if current == nil || ctx.Err() != nil || errors.Is(err, embeddings.ErrNoActiveModel) {
		return inference.BatchAnswer{}, err
	}
	if !errors.Is(err, errAbsent) {
		e.Logger.ErrorContext(ctx, "memory answers", slog.Int("events", len(request.Events)),
			slog.String("model_version", current.version()), slog.Any("error", err))
	}
	answer, err = e.fromMemory(ctx, current, request)
	if err == nil {
		return answer, nil
	}
	e.Logger.ErrorContext(ctx, "the most popular products answer", slog.Int("events", len(request.Events)),
		slog.String("model_version", current.version()), slog.Any("error", err))
	return current.mostPopular(request), nil
}

func (e *Engine) fromStore(ctx context.Context, request inference.BatchRequest) (answer inference.BatchAnswer,
	err error) {
	ask := func(ctx context.Context, current *model) error {
		answer, err = current.answer(ctx, request, recommendation.Store, e.Store, e.Store)
		return err
	}
	if e.loaded() == nil { // no other rung could answer: it is worth the wait
		err = e.withModel(ctx, ask)
		return answer, err
	}
	if !e.absence.mayAsk() {
		return inference.BatchAnswer{}, errAbsent
	}
	limited, cancel := context.WithTimeout(ctx, cmp.Or(e.RungTime, batchTime))
	defer cancel()
	err = e.withModel(limited, ask)
	var moved *embeddings.MovedError
	e.absence.note(err == nil || ctx.Err() != nil || errors.As(err, &moved) ||
		errors.Is(err, embeddings.ErrNoActiveModel))
	return answer, err
}

func (e *Engine) fromMemory(ctx context.Context, current *model, request inference.BatchRequest) (
	inference.BatchAnswer, error) {
	if current.items == nil {
		return inference.BatchAnswer{}, errNoItems
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(e.RungTime, batchTime))
	defer cancel()
	return current.answer(ctx, request, recommendation.Memory, current.items, storedUsers(current.users))
}

// absence remembers for a pause that the store could not answer. The zero value knows of nothing.
type absence struct {
	mutex sync.Mutex
	// until is when the store is tried again; the zero time where it answered.
	until time.Time
	// tried says that somebody does so.
	tried bool
}

// mayAsk says whether to ask the store; whoever does must note how it went.
func (a *absence) mayAsk() bool {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.until.IsZero() {
		return true
	}
	if a.tried || time.Now().Before(a.until) {
		return false
	}
	a.tried = true
	return true
}

// note says whether the store can be asked, as far as whoever was allowed to ask knows.
func (a *absence) note(answered bool) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.tried, a.until = false, time.Time{}
	if !answered {
		a.until = time.Now().Add(pause)
	}
}

// searcher finds the nearest items of one model.
type searcher interface {
	Nearest(context.Context, embeddings.Query) (embeddings.Neighbours, error)
}

// userReader has the vectors of known customers, for models without towers.
type userReader interface {
	UserVectors(ctx context.Context, version string, customers []int) (map[int]embeddings.Vector, error)
}

// storedUsers are those in memory.
type storedUsers map[int]embeddings.Vector

// UserVectors are all that there are.
func (s storedUsers) UserVectors(context.Context, string, []int) (map[int]embeddings.Vector, error) {
	return s, nil
}

// answer a batch from one rung. What was answered before is not asked again, but the question about
// the rest, or nothing, always is: the store's answer tells that it still has this model.
func (m *model) answer(ctx context.Context, request inference.BatchRequest, rung recommendation.Rung, search searcher,
	users userReader) (inference.BatchAnswer, error) {
	asked := m.unanswered(request, rung)
	vectors, err := m.vectors(ctx, asked.users, users)
	if err != nil {
		return inference.BatchAnswer{}, err
	}
	query := embeddings.Query{
		Version: m.version(), ItemsPerUser: request.Limit + spareItems,
		Products: asked.products, ItemsPerProduct: request.SimilarLimit,
	}
	var positions []int // in asked.users, of each user in the query
	for i, vector := range vectors {
		if vector != nil {
			query.Users = append(query.Users, embeddings.User{Vector: vector, Excluded: asked.users[i].excluded})
			positions = append(positions, i)
		}
	}
	found, err := search.Nearest(ctx, query)
	for i, items := range found.Users {
		if items == nil && err != nil {
			continue
		}
		user, items := asked.users[positions[i]], recommended(items)
		for _, event := range user.events {
			asked.nearest[event] = items
		}
		if user.remembered {
			m.answers.users.Add(user.question, items)
		}
	}
	for _, code := range asked.products {
		var similar []recommendation.Neighbour
		if items, known := found.Products[code]; known {
			similar = neighbours(items)
			asked.similar[code] = similar
		} else if err != nil {
			continue
		}
		if request.SimilarLimit <= rememberedLimit {
			m.answers.products.Add(productQuestion{rung, request.SimilarLimit, code}, similar)
		}
	}
	if err != nil { // what was found in the time is remembered: the next batch gets further
		return inference.BatchAnswer{}, err
	}
	answer := inference.BatchAnswer{
		ModelVersion: m.version(), Results: make([]inference.BatchResult, len(request.Events)),
		Similar: asked.similar,
	}
	for i, event := range request.Events {
		if asked.nearest[i] == nil { // a customer without a vector
			answer.Results[i] = m.popular(event, request.Limit)
			continue
		}
		answer.Results[i] = inference.BatchResult{
			EventID: event.EventID, Items: recommendation.NotInCart(asked.nearest[i], event.Cart, request.Limit),
			Rung: rung,
		}
	}
	return answer, nil
}

// asking is what is known about a batch, and what has to be asked.
type asking struct {
	// nearest are the items by event, those of its cart among them; nil where they are not known.
	nearest [][]recommendation.Item
	similar map[string][]recommendation.Neighbour
	// users and products have to be asked for, each once.
	users    []askedUser
	products []string
}

// askedUser is one for whom some events ask alike.
type askedUser struct {
	question   userQuestion
	remembered bool
	excluded   []string
	events     []int // positions
	// first is the first of the events.
	first inference.BatchEvent
}

func (m *model) unanswered(request inference.BatchRequest, rung recommendation.Rung) asking {
	asked := asking{
		nearest: make([][]recommendation.Item, len(request.Events)), similar: map[string][]recommendation.Neighbour{},
	}
	users, products := map[userQuestion]int{}, map[string]bool{}
	for i, event := range request.Events {
		m.unansweredUser(&asked, users, request.Limit, rung, i, event)
		for _, code := range event.Products() {
			if products[code] {
				continue
			}
			products[code] = true
			similar, answered := m.answers.products.Get(productQuestion{rung, request.SimilarLimit, code})
			switch {
			case !answered:
				asked.products = append(asked.products, code)
			case similar != nil:
				asked.similar[code] = similar
			}
		}
	}
	return asked
}

// unansweredUser looks up one event's user; users are the positions of those that are asked for.
func (m *model) unansweredUser(asked *asking, users map[userQuestion]int, limit int, rung recommendation.Rung,
	position int, event inference.BatchEvent) {
	question, remembered := m.question(event, rung, limit)
	if !remembered {
		asked.users = append(asked.users, askedUser{question: question, excluded: event.Cart,
			events: []int{position}, first: event})
		return
	}
	if items, answered := m.answers.users.Get(question); answered {
		asked.nearest[position] = items
		return
	}
	at, known := users[question]
	if !known {
		at = len(asked.users)
		users[question] = at
		asked.users = append(asked.users, askedUser{question: question, remembered: true, first: event})
	}
	asked.users[at].events = append(asked.users[at].events, position)
}

// vectors of users: those of the tower, or, without one, the stored ones. A user without a vector
// gets nil.
func (m *model) vectors(ctx context.Context, asked []askedUser, users userReader) ([]embeddings.Vector, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	if m.tower != nil {
		features := make([]activity.Features, len(asked))
		for i, user := range asked {
			features[i] = activity.Features{
				City: activity.Normalise(user.first.City), Country: activity.Normalise(user.first.Country),
				CreditLimit: user.first.CreditLimit,
			}
		}
		return m.tower.users(features)
	}
	customers := make([]int, len(asked))
	for i, user := range asked {
		customers[i] = user.first.CustomerNumber
	}
	known, err := users.UserVectors(ctx, m.version(), customers)
	if err != nil {
		return nil, err
	}
	vectors := make([]embeddings.Vector, len(asked))
	for i, customer := range customers {
		vectors[i] = known[customer]
	}
	return vectors, nil
}
