package shipped_test

import (
	"io/fs"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	shipped "diecast/training/artifacts"
)

func TestShippedModelKeepsItsContract(t *testing.T) {
	folder, version, err := shipped.Model()
	require.NoError(t, err)
	model, err := artifacts.Verify(folder)
	require.NoError(t, err)
	manifest := model.Manifest
	assert.Equal(t, version, manifest.ModelVersion, "the folder is named after the model")
	assert.Equal(t, artifacts.Towers, manifest.Mode)
	assert.Equal(t, artifacts.Shipped, manifest.Origin, "else it would replace models that a user trained")
	assert.Len(t, manifest.Popularity, len(model.Items), "every product can answer for a customer without a vector")
}

func TestShippedModelIsOfTheSampleAtScaleOne(t *testing.T) {
	folder, _, err := shipped.Model()
	require.NoError(t, err)
	model, err := artifacts.Verify(folder)
	require.NoError(t, err)
	assert.Len(t, model.Items, 110)
	assert.Len(t, model.Users, 122)
	for _, metric := range []string{"holdout_concordance_towers", "holdout_concordance_popularity",
		"holdout_concordance_random"} {
		assert.Contains(t, model.Manifest.Metrics, metric, "no claim of quality without its baselines")
	}
	assert.Positive(t, model.Manifest.Metrics["holdout_gain_over_popularity_low"])
	assert.Positive(t, model.Manifest.Metrics["holdout_gain_over_random_low"])
}

func TestShippedFilesAreSmall(t *testing.T) {
	var total int64
	require.NoError(t, fs.WalkDir(shipped.Files(), ".", func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		total += info.Size()
		return err
	}))
	assert.Less(t, total, int64(1<<20), "everyone who clones the repository downloads them")
}

// The popularity ranking answers when nothing else can: a product that is gone would be recommended
// for ever.
func TestShippedRankingIsOfShippedProducts(t *testing.T) {
	folder, _, err := shipped.Model()
	require.NoError(t, err)
	model, err := artifacts.Verify(folder)
	require.NoError(t, err)
	var ranked, embedded []string
	for _, product := range model.Manifest.Popularity {
		ranked = append(ranked, product.ID)
	}
	for _, item := range model.Items {
		embedded = append(embedded, item.ID)
	}
	slices.Sort(ranked)
	slices.Sort(embedded)
	assert.Equal(t, embedded, ranked)
}
