// Package ranking reads the most popular products of a model, with which whoever is unknown is
// answered. It must not know why somebody is.
package ranking

import (
	"bytes"
	"context"
	"sync"
	"time"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/models/modelstore"
	"diecast/internal/recommendation"
)

// Read is the ranking of a model, best first. The model's file is preferred to its manifest: the
// version covers it.
func Read(ctx context.Context, bucket modelstore.Bucket, manifest artifacts.Manifest) (recommendation.Ranking, error) {
	popularity := manifest.Popularity
	if _, listed := manifest.Files[artifacts.PopularityFile]; listed {
		file, err := bucket.File(ctx, manifest, artifacts.PopularityFile)
		if err != nil {
			return recommendation.Ranking{}, err
		}
		popularity, err = artifacts.ReadPopularity(bytes.NewReader(file), artifacts.PopularityFile)
		if err != nil {
			return recommendation.Ranking{}, err
		}
	}
	read := recommendation.Ranking{ModelVersion: manifest.ModelVersion}
	for _, product := range popularity {
		read.Items = append(read.Items, recommendation.Item{ID: product.ID, Score: product.Score})
	}
	return read, nil
}

// fresh is for how long a store is not asked again which model is active.
const fresh = 10 * time.Second

// Active is the active model's ranking, kept in memory. It is safe for concurrent use.
type Active struct {
	// Store tells which model is active.
	Store interface {
		Active(context.Context) (embeddings.Active, error)
	}
	Bucket modelstore.Bucket

	mutex   sync.Mutex
	ranking recommendation.Ranking
	asked   time.Time
}

// Ranking is at most some seconds behind a switch of models. Where the active model cannot be
// asked for or read it is the one that was known last, and an error where none was.
func (a *Active) Ranking(ctx context.Context) (recommendation.Ranking, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	known := a.ranking.ModelVersion != ""
	if known && time.Since(a.asked) < fresh {
		return a.ranking, nil
	}
	read, err := a.read(ctx)
	switch {
	case err == nil:
		a.ranking = read
	case !known || ctx.Err() != nil:
		return recommendation.Ranking{}, err
	}
	a.asked = time.Now()
	return a.ranking, nil
}

func (a *Active) read(ctx context.Context) (recommendation.Ranking, error) {
	active, err := a.Store.Active(ctx)
	if err != nil || active.Version == a.ranking.ModelVersion {
		return a.ranking, err
	}
	manifest, err := a.Bucket.Manifest(ctx, active.Version)
	if err != nil {
		return recommendation.Ranking{}, err
	}
	return Read(ctx, a.Bucket, manifest)
}
