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
