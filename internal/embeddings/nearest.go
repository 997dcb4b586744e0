package embeddings

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"diecast/sql"
)

// Vector is an embedding of length one and of models.Dimension numbers.
type Vector []float32

// String is pgvector's text form, which keeps every bit of the numbers.
func (v Vector) String() string {
	text := make([]byte, 0, 12*len(v)+2)
	text = append(text, '[')
	for i, number := range v {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendFloat(text, float64(number), 'g', -1, 32)
	}
	return string(append(text, ']'))
}

// ParseVector reads pgvector's text form.
func ParseVector(text string) (Vector, error) {
	var numbers Vector // the form is that of a JSON array
	if err := json.Unmarshal([]byte(text), &numbers); err != nil {
		return nil, fmt.Errorf("vector %.40q: %w", text, err)
	}
	return numbers, nil
}

// User asks for the items nearest to one user's vector.
type User struct {
	Vector Vector
	// Excluded items are never among them: those in the cart.
	Excluded []string
}

// Query is one batch of questions about one model.
type Query struct {
	// Version is the model that the users' vectors come from.
	Version string
	Users   []User
	// ItemsPerUser is how many items each user gets at most.
	ItemsPerUser int
	// Products are the items for which similar ones are asked; each once.
	Products []string
	// ItemsPerProduct is how many similar items each product gets at most.
	ItemsPerProduct int
}

// Item is an item and its inner product with what was asked: from -1 to 1, the larger the nearer.
type Item struct {
	ID    string
	Score float64
}

// Neighbours answer a Query. Equally near items are in the order of their ids.
type Neighbours struct {
	// Users holds the nearest items in the order of the query's users.
	Users [][]Item
	// Products holds the similar items of every product that the model knows; the product itself is
	// never one of them.
	Products map[string][]Item
}

// MovedError says that the store has another active model than the query's.
type MovedError struct {
	Asked, Active string
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("the vector store has moved from model %s on to model %s", e.Asked, e.Active)
}

// Nearest answers a query in one statement. Where the query's model is not the active one it
// answers with a *MovedError, and with ErrNoActiveModel where there is none, so that two models
// never mix.
func (s *Store) Nearest(ctx context.Context, query Query) (Neighbours, error) {
	vectors, excluded := make([]string, len(query.Users)), make([]string, len(query.Users))
	for i, user := range query.Users {
		codes, err := json.Marshal(append([]string{}, user.Excluded...))
		if err != nil {
			return Neighbours{}, fmt.Errorf("excluded items: %w", err)
		}
		vectors[i], excluded[i] = user.Vector.String(), string(codes)
	}
	products := append([]string{}, query.Products...) // nil would become NULL
	rows, err := s.pool.Query(ctx, sql.Nearest, query.Version, vectors, excluded, query.ItemsPerUser, products,
		query.ItemsPerProduct)
	if err != nil {
		return Neighbours{}, fmt.Errorf("find the nearest items: %w", err)
	}
	found := Neighbours{Users: make([][]Item, len(query.Users)), Products: map[string][]Item{}}
	var (
		activeVersion, kind string
		position            int64
		item                Item
	)
	_, err = pgx.ForEachRow(rows, []any{&activeVersion, &kind, &position, &item.ID, &item.Score}, func() error {
		switch kind { // empty in the only row of an answer without items
		case "user":
			found.Users[position-1] = append(found.Users[position-1], item)
		case "product":
			code := query.Products[position-1]
			found.Products[code] = append(found.Products[code], item)
		}
		return nil
	})
	switch {
	case err != nil:
		return Neighbours{}, fmt.Errorf("find the nearest items: %w", err)
	case activeVersion == "":
		return Neighbours{}, ErrNoActiveModel
	case activeVersion != query.Version:
		return Neighbours{}, &MovedError{Asked: query.Version, Active: activeVersion}
	}
	return found, nil
}

// UserVectors reads the stored vectors of customers, for models without towers. Unknown customers
// are not in the answer.
func (s *Store) UserVectors(ctx context.Context, version string, customers []int) (map[int]Vector, error) {
	rows, err := s.pool.Query(ctx, sql.UserVectors, version, append([]int{}, customers...))
	if err != nil {
		return nil, fmt.Errorf("read user vectors: %w", err)
	}
	vectors := map[int]Vector{}
	var (
		customer int
		text     string
	)
	_, err = pgx.ForEachRow(rows, []any{&customer, &text}, func() error {
		vector, err := ParseVector(text)
		vectors[customer] = vector
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read user vectors: %w", err)
	}
	return vectors, nil
}
