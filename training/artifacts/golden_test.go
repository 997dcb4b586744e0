package shipped_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/tower"
	shipped "diecast/training/artifacts"
)

func TestShippedTowersGiveTheirGoldenVectors(t *testing.T) {
	folder, _, err := shipped.Model()
	require.NoError(t, err)
	model, err := artifacts.Verify(folder)
	require.NoError(t, err)
	golden := model.Manifest.Golden
	for name, half := range map[string]struct {
		artifacts.Tower
		values []artifacts.GoldenValue
	}{
		"user": {model.Manifest.Towers.User, golden.User},
		"item": {model.Manifest.Towers.Item, golden.Item},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := fs.ReadFile(folder, half.Path)
			require.NoError(t, err)
			loaded, err := tower.Load(file, half.Tower)
			require.NoError(t, err)
			assert.NotEmpty(t, half.values)
			assert.NoError(t, loaded.CheckGolden(half.values, golden.Tolerance))
		})
	}
}
