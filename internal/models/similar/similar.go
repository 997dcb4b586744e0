// Package similar answers which products are similar to one, by the active model of the vector
// store. It must not know who asks, or what is done with the answer.
package similar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"diecast/internal/embeddings"
	"diecast/internal/recommendation"
)

const (
	// Most is how many similar items a product has at most.
	Most = 20
	// fresh is for how long the store is not asked again for a product.
	fresh = 10 * time.Second
	// longest is how long the store is asked; it goes on when whoever asked first has left.
	longest = 5 * time.Second
	// products that are remembered: with Most items each they are 4 MB.
	products = 4096
	// moves are how often the store may switch models while it is asked one thing.
	moves = 3
)

// Answer is a product's similar items, nearest first.
type Answer struct {
	ModelVersion string
	// Items are empty where the model does not know the product.
	Items []recommendation.Neighbour
}

// Store is the part of embeddings.Store that is used.
type Store interface {
	Active(context.Context) (embeddings.Active, error)
	Nearest(context.Context, embeddings.Query) (embeddings.Neighbours, error)
}

// Products answers from a store, each product at most once in ten seconds. It is safe for
// concurrent use.
type Products struct {
	store   Store
	asking  singleflight.Group
	answers *lru.Cache[string, remembered]

	mutex sync.Mutex
	// version is the model that the store had last; it says itself when it has another.
	version string
}

type remembered struct {
	Answer
	at time.Time
}

// New asks a store.
func New(store Store) *Products {
	answers, err := lru.New[string, remembered](products)
	if err != nil {
		panic(err) // of a size below 1 only
	}
	return &Products{store: store, answers: answers}
}

// Similar are the items similar to a product, Most at most. The error is
// embeddings.ErrNoActiveModel where the store has no model yet.
func (p *Products) Similar(ctx context.Context, code string) (Answer, error) {
	if known, there := p.answers.Get(code); there && time.Since(known.at) < fresh {
		return known.Answer, nil
	}
	result := p.asking.DoChan(code, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
		defer cancel()
		answer, err := p.ask(ctx, code)
		if err == nil {
			p.answers.Add(code, remembered{answer, time.Now()})
		}
		return answer, err
	})
	select {
	case asked := <-result:
		answer, _ := asked.Val.(Answer)
		return answer, asked.Err
	case <-ctx.Done():
		return Answer{}, context.Cause(ctx)
	}
}

func (p *Products) ask(ctx context.Context, code string) (Answer, error) {
	version, err := p.active(ctx)
	if err != nil {
		return Answer{}, err
	}
	for range moves {
		found, err := p.store.Nearest(ctx, embeddings.Query{Version: version, Products: []string{code},
			ItemsPerProduct: Most})
		var moved *embeddings.MovedError
		switch {
		case errors.As(err, &moved):
			version = moved.Active
			p.note(version)
			continue
		case err != nil:
			return Answer{}, fmt.Errorf("similar items: %w", err)
		}
		answer := Answer{ModelVersion: version}
		for _, item := range found.Products[code] {
			answer.Items = append(answer.Items, recommendation.Neighbour{ID: item.ID, Distance: 1 - item.Score})
		}
		return answer, nil
	}
	return Answer{}, fmt.Errorf("similar items: the vector store switched models %d times while it was asked", moves)
}

// active is the model that the store had last, or has where it was not asked yet.
func (p *Products) active(ctx context.Context) (string, error) {
	p.mutex.Lock()
	version := p.version
	p.mutex.Unlock()
	if version != "" {
		return version, nil
	}
	active, err := p.store.Active(ctx)
	if err != nil {
		return "", err
	}
	p.note(active.Version)
	return active.Version, nil
}

func (p *Products) note(version string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.version = version
}
