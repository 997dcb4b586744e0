package handler

import (
	"context"
	"fmt"
	"io"
	"math"

	"golang.org/x/sync/errgroup"

	"diecast/internal/activity"
	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/models/modelstore"
	"diecast/internal/models/ranking"
	"diecast/internal/recommendation"
	"diecast/internal/tower"
)

// userTower embeds users from their features, each apart from its neighbours in the batch.
type userTower struct{ *tower.Tower }

// newTower compiles a user tower and refuses it unless it is as the manifest says and reproduces
// its golden vectors.
func newTower(graph []byte, manifest artifacts.Manifest) (*userTower, error) {
	loaded, err := tower.Load(graph, manifest.Towers.User)
	if err != nil {
		return nil, err
	}
	return &userTower{loaded}, loaded.CheckGolden(manifest.Golden.User, manifest.Golden.Tolerance)
}

func (t *userTower) users(users []activity.Features) ([]embeddings.Vector, error) {
	cities, countries, limits := make([]string, len(users)), make([]string, len(users)), make([]float32, len(users))
	for i, user := range users {
		cities[i], countries[i], limits[i] = user.City, user.Country, float32(user.CreditLimit)
	}
	vectors, err := t.Embed(tower.Columns{
		Texts:   map[string][]string{"city": cities, "country": countries},
		Numbers: map[string][]float32{"credit_limit": limits},
	})
	if err != nil {
		return nil, fmt.Errorf("user tower: %w", err)
	}
	return vectors, nil
}

// model is what is kept of the active model.
type model struct {
	ranking recommendation.Ranking
	// tower is nil in a model of embeddings only.
	tower *userTower
	// items are nil where there are more than fit into memory.
	items *embeddings.Exact
	// users are the stored vectors of a model without towers; nil as items.
	users map[int]embeddings.Vector
	// answers are those that were found before.
	answers *answers
}

// loadModel reads and checks the files of a model that inference needs, all at once. Items and
// users are left where they lie when they are more than the memory has room for.
func loadModel(ctx context.Context, bucket modelstore.Bucket, version string, room room) (*model, error) {
	manifest, err := bucket.Manifest(ctx, version)
	if err != nil {
		return nil, err
	}
	loaded := &model{answers: newAnswers(room.answers())}
	loading, ctx := errgroup.WithContext(ctx)
	loading.Go(func() (err error) {
		loaded.ranking, err = ranking.Read(ctx, bucket, manifest)
		return err
	})
	if manifest.Items.Rows <= int64(room.vectors()) {
		loading.Go(func() error { return loaded.loadItems(ctx, bucket, manifest) })
	}
	if manifest.Mode == artifacts.EmbeddingsOnly {
		if manifest.Users.Rows <= int64(room.vectors()) {
			loading.Go(func() error { return loaded.loadUsers(ctx, bucket, manifest) })
		}
	} else {
		loading.Go(func() error { return loaded.loadTower(ctx, bucket, manifest) })
	}
	if err := loading.Wait(); err != nil {
		return nil, err
	}
	return loaded, nil
}

func (m *model) loadTower(ctx context.Context, bucket modelstore.Bucket, manifest artifacts.Manifest) error {
	graph, err := bucket.File(ctx, manifest, artifacts.UserTower)
	if err != nil {
		return err
	}
	if m.tower, err = newTower(graph, manifest); err != nil {
		return fmt.Errorf("%s: %w", artifacts.UserTower, err)
	}
	return nil
}

func (m *model) loadItems(ctx context.Context, bucket modelstore.Bucket, manifest artifacts.Manifest) error {
	return bucket.Stream(ctx, manifest, artifacts.ItemEmbeddings, func(file io.Reader) (err error) {
		m.items = embeddings.NewExact(int(manifest.Items.Rows), func(yield func(string, embeddings.Vector) bool) {
			err = artifacts.EachItem(file, artifacts.ItemEmbeddings, func(item artifacts.ItemEmbedding) {
				yield(item.ID, unit(item.Vector, manifest.Mode))
			})
		})
		if err == nil && int64(m.items.Len()) != manifest.Items.Rows {
			err = fmt.Errorf("%s: there are %d rows, the manifest says %d", artifacts.ItemEmbeddings, m.items.Len(),
				manifest.Items.Rows)
		}
		return err
	})
}

func (m *model) loadUsers(ctx context.Context, bucket modelstore.Bucket, manifest artifacts.Manifest) error {
	m.users = make(map[int]embeddings.Vector, manifest.Users.Rows)
	return bucket.Stream(ctx, manifest, artifacts.UserEmbeddings, func(file io.Reader) error {
		return artifacts.EachUser(file, artifacts.UserEmbeddings, func(user artifacts.UserEmbedding) {
			m.users[user.ID] = unit(user.Vector, manifest.Mode)
		})
	})
}

// unit scales a vector to length one, as the store does with those of models without towers; those
// of towers have it.
func unit(vector embeddings.Vector, mode artifacts.Mode) embeddings.Vector {
	if length := math.Sqrt(embeddings.InnerProduct(vector, vector)); mode == artifacts.EmbeddingsOnly && length > 0 {
		for i := range vector {
			vector[i] = float32(float64(vector[i]) / length)
		}
	}
	return vector
}

func (m *model) version() string { return m.ranking.ModelVersion }

// mostPopular answers a batch without asking anybody: the lowest rung, without similar items.
func (m *model) mostPopular(request inference.BatchRequest) inference.BatchAnswer {
	answer := inference.BatchAnswer{
		ModelVersion: m.version(), Results: make([]inference.BatchResult, len(request.Events)),
		Similar: map[string][]recommendation.Neighbour{},
	}
	for i, event := range request.Events {
		answer.Results[i] = m.popular(event, request.Limit)
	}
	return answer
}

func (m *model) popular(event inference.BatchEvent, limit int) inference.BatchResult {
	return inference.BatchResult{
		EventID: event.EventID, Items: recommendation.NotInCart(m.ranking.Items, event.Cart, limit),
		Rung: recommendation.Popular,
	}
}
