package shipped_test

import (
	"context"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/models"
	"diecast/internal/onnx"
	shipped "diecast/training/artifacts"
)

func TestShippedTowersGiveTheirGoldenVectors(t *testing.T) {
	folder, _, err := shipped.Model()
	require.NoError(t, err)
	model, err := artifacts.Verify(folder)
	require.NoError(t, err)
	golden := model.Manifest.Golden
	for name, tower := range map[string]struct {
		artifacts.Tower
		values []artifacts.GoldenValue
	}{
		"user": {model.Manifest.Towers.User, golden.User},
		"item": {model.Manifest.Towers.Item, golden.Item},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := fs.ReadFile(folder, tower.Path)
			require.NoError(t, err)
			loaded, err := onnx.Load(file)
			require.NoError(t, err)
			inputs := map[string]*onnx.Tensor{}
			shape := []int{len(tower.values), 1}
			for _, input := range tower.Inputs {
				var texts []string
				var numbers []float32
				for _, value := range tower.values {
					switch given := value.Input[input.Name].(type) {
					case string:
						texts = append(texts, given)
					case float64:
						numbers = append(numbers, float32(given))
					}
				}
				if input.Type == "string" {
					inputs[input.Name] = onnx.Strings(shape, texts)
				} else {
					inputs[input.Name] = onnx.Floats(shape, numbers)
				}
			}
			outputs, err := loaded.Run(context.Background(), inputs)
			require.NoError(t, err)
			vectors := outputs[tower.Output].Floats()
			require.Len(t, vectors, len(tower.values)*models.Dimension)
			for i, value := range tower.values {
				for j, want := range value.Output {
					assert.InDelta(t, want, vectors[i*models.Dimension+j], golden.Tolerance, "%v, element %d",
						value.Input, j)
				}
			}
		})
	}
}
