// Package ranking reads the most popular products of a model, with which whoever is unknown is
// answered. It must not know why somebody is.
package ranking

import (
	"bytes"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

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

const (
	// fresh is for how long a store is not asked again which model is active.
	fresh = 10 * time.Second
	// longest is how long a reading takes at most; it goes on when whoever caused it has left.
	longest = 5 * time.Second
	// patience is how long somebody waits for a newer ranking where one is known.
	patience = 500 * time.Millisecond
)

// Active is the active model's ranking, kept in memory. It is safe for concurrent use.
type Active struct {
	// Store tells which model is active.
	Store interface {
		Active(context.Context) (embeddings.Active, error)
	}
	Bucket modelstore.Bucket

	reading singleflight.Group
	mutex   sync.Mutex
	ranking recommendation.Ranking
	asked   time.Time
}

// Ranking is at most some seconds behind a switch of models. Where the active model cannot be
// asked for or read, or not soon, it is the one that was known last, and an error where none was.
// All who ask share one reading.
func (a *Active) Ranking(ctx context.Context) (recommendation.Ranking, error) {
	known, asked := a.known()
	if known.ModelVersion != "" && time.Since(asked) < fresh {
		return known, nil
	}
	result := a.reading.DoChan("", func() (any, error) {
		// The first who asks may leave; the others still want the ranking.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
		defer cancel()
		return a.refresh(ctx)
	})
	var tired <-chan time.Time
	if known.ModelVersion != "" {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		tired = timer.C
	}
	select {
	case read := <-result:
		ranking, _ := read.Val.(recommendation.Ranking)
		return ranking, read.Err
	case <-tired:
		return known, nil
	case <-ctx.Done():
		return recommendation.Ranking{}, context.Cause(ctx)
	}
}

func (a *Active) known() (recommendation.Ranking, time.Time) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.ranking, a.asked
}

func (a *Active) refresh(ctx context.Context) (recommendation.Ranking, error) {
	known, asked := a.known()
	if known.ModelVersion != "" && time.Since(asked) < fresh {
		return known, nil // another reading ended between the look before and now
	}
	read, err := a.read(ctx, known)
	if err != nil {
		if known.ModelVersion == "" {
			return recommendation.Ranking{}, err
		}
		read = known
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.ranking, a.asked = read, time.Now()
	return read, nil
}

func (a *Active) read(ctx context.Context, known recommendation.Ranking) (recommendation.Ranking, error) {
	active, err := a.Store.Active(ctx)
	if err != nil || active.Version == known.ModelVersion {
		return known, err
	}
	manifest, err := a.Bucket.Manifest(ctx, active.Version)
	if err != nil {
		return recommendation.Ranking{}, err
	}
	return Read(ctx, a.Bucket, manifest)
}
