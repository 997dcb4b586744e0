package ranking

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/recommendation"
)

type store struct {
	version string
	err     error
	asked   int
}

func (s *store) Active(context.Context) (embeddings.Active, error) {
	s.asked++
	return embeddings.Active{Version: s.version}, s.err
}

func TestTheRankingFollowsTheActiveModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := modelstoretest.New()
		put := func(seed uint64, items int) string {
			folder, manifest := modelstoretest.Embeddings(t, seed, items, 2, artifacts.Trained)
			return objects.Put(t, folder, manifest)
		}
		first, second := put(1, 5), put(2, 7)
		active := &store{err: embeddings.ErrNoActiveModel}
		a := &Active{Store: active, Bucket: objects.Bucket()}
		_, err := a.Ranking(t.Context())
		require.ErrorIs(t, err, embeddings.ErrNoActiveModel)

		active.version, active.err = first, nil
		for range 3 {
			ranking, err := a.Ranking(t.Context())
			require.NoError(t, err)
			assert.Equal(t, first, ranking.ModelVersion)
			assert.Len(t, ranking.Items, 5)
			assert.Equal(t, recommendation.Item{ID: "P_000", Score: 5}, ranking.Items[0])
		}
		assert.Equal(t, 2, active.asked, "once while nothing was known, and once since")

		active.version = second
		time.Sleep(fresh)
		ranking, err := a.Ranking(t.Context())
		require.NoError(t, err)
		assert.Equal(t, second, ranking.ModelVersion)
		assert.Len(t, ranking.Items, 7)

		active.version, active.err = "", errors.New("the store is down")
		time.Sleep(fresh)
		ranking, err = a.Ranking(t.Context())
		require.NoError(t, err, "the one that was known last")
		assert.Equal(t, second, ranking.ModelVersion)
		asked := active.asked
		_, err = a.Ranking(t.Context())
		require.NoError(t, err)
		assert.Equal(t, asked, active.asked, "a store that is down is not asked each time")
	})
}

// slow is a store that answers when the test lets it, or its asker gives up.
type slow struct{ answer chan string }

func (s slow) Active(ctx context.Context) (embeddings.Active, error) {
	select {
	case version := <-s.answer:
		return embeddings.Active{Version: version}, nil
	case <-ctx.Done():
		return embeddings.Active{}, ctx.Err()
	}
}

func TestNobodyWaitsForAnotherOnesReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := modelstoretest.New()
		folder, manifest := modelstoretest.Embeddings(t, 1, 5, 2, artifacts.Trained)
		version := objects.Put(t, folder, manifest)
		store := slow{make(chan string)}
		a := &Active{Store: store, Bucket: objects.Bucket()}

		leaving, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := a.Ranking(leaving)
			left <- err
		}()
		stayed := make(chan error, 1)
		synctest.Wait()
		go func() {
			_, err := a.Ranking(t.Context())
			stayed <- err
		}()
		synctest.Wait()
		leave()
		require.ErrorIs(t, <-left, context.Canceled, "it does not wait for the reading that it caused")
		store.answer <- version
		require.NoError(t, <-stayed, "which goes on for the others")

		time.Sleep(fresh)
		begin := time.Now()
		ranking, err := a.Ranking(t.Context())
		require.NoError(t, err)
		assert.Equal(t, version, ranking.ModelVersion)
		assert.Equal(t, patience, time.Since(begin), "a store that does not answer is not waited for")
		time.Sleep(longest)
		synctest.Wait()

		unknown := &Active{Store: store, Bucket: objects.Bucket()}
		_, err = unknown.Ranking(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
