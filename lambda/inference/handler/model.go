package handler

import (
	"bytes"
	"context"
	"fmt"

	"diecast/internal/activity"
	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/models/modelstore"
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
}

// loadModel reads and checks the files of a model that inference needs.
func loadModel(ctx context.Context, bucket modelstore.Bucket, version string) (*model, error) {
	manifest, err := bucket.Manifest(ctx, version)
	if err != nil {
		return nil, err
	}
	popularity, err := readRanking(ctx, bucket, manifest)
	if err != nil {
		return nil, err
	}
	loaded := &model{ranking: recommendation.Ranking{ModelVersion: version}}
	for _, product := range popularity {
		loaded.ranking.Items = append(loaded.ranking.Items, recommendation.Item{ID: product.ID, Score: product.Score})
	}
	if manifest.Mode == artifacts.EmbeddingsOnly {
		return loaded, nil
	}
	graph, err := bucket.File(ctx, manifest, artifacts.UserTower)
	if err != nil {
		return nil, err
	}
	if loaded.tower, err = newTower(graph, manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", artifacts.UserTower, err)
	}
	return loaded, nil
}

// readRanking prefers the file to the manifest: the version covers it.
func readRanking(ctx context.Context, bucket modelstore.Bucket, manifest artifacts.Manifest) ([]artifacts.Popular,
	error) {
	if _, listed := manifest.Files[artifacts.PopularityFile]; !listed {
		return manifest.Popularity, nil
	}
	file, err := bucket.File(ctx, manifest, artifacts.PopularityFile)
	if err != nil {
		return nil, err
	}
	return artifacts.ReadPopularity(bytes.NewReader(file), artifacts.PopularityFile)
}

func (m *model) version() string { return m.ranking.ModelVersion }

// mostPopular answers a batch without asking anybody: degraded, and without similar items.
func (m *model) mostPopular(request inference.BatchRequest) inference.BatchAnswer {
	answer := inference.BatchAnswer{
		ModelVersion: m.version(), Results: make([]inference.BatchResult, len(request.Events)),
		Similar: map[string][]recommendation.Neighbour{},
	}
	for i, event := range request.Events {
		answer.Results[i] = inference.BatchResult{
			EventID: event.EventID, Items: recommendation.NotInCart(m.ranking.Items, event.Cart, request.Limit),
			Rung: recommendation.Popular,
		}
	}
	return answer
}
