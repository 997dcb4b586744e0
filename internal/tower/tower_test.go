package tower

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"diecast/internal/artifacts"
	"diecast/internal/models"
	shipped "diecast/training/artifacts"
)

// A graph in the wire format of onnx.proto, so that tests can write wrong ones.
type graph struct{ body []byte }

const (
	rows   = -1
	floats = 1
	texts  = 8
)

func message(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

func text(b []byte, number protowire.Number, v string) []byte { return message(b, number, []byte(v)) }

func integer(b []byte, number protowire.Number, v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(v))
}

func (g *graph) value(number protowire.Number, name string, kind int, sizes []int) *graph {
	var shape []byte
	for _, size := range sizes {
		dim := integer(nil, 1, size)
		if size == rows {
			dim = text(nil, 2, name+"_rows")
		}
		shape = message(shape, 1, dim)
	}
	tensor := message(integer(nil, 1, kind), 2, shape)
	g.body = message(g.body, number, message(text(nil, 1, name), 2, message(nil, 1, tensor)))
	return g
}

func (g *graph) input(name string, kind int, sizes ...int) *graph {
	return g.value(11, name, kind, sizes)
}

func (g *graph) output(name string, sizes ...int) *graph { return g.value(12, name, floats, sizes) }

func (g *graph) node(domain, operator string, inputs []string, output string, attributes ...[]byte) *graph {
	var b []byte
	for _, name := range inputs {
		b = text(b, 1, name)
	}
	b = text(text(text(b, 2, output), 4, operator), 7, domain)
	for _, a := range attributes {
		b = message(b, 5, a)
	}
	g.body = message(g.body, 1, b)
	return g
}

func intAttribute(name string, v int) []byte {
	return integer(integer(text(nil, 1, name), 20, 2), 3, v)
}

func (g *graph) bytes() []byte {
	b := message(integer(nil, 1, 8), 7, g.body)
	b = message(b, 8, integer(nil, 2, 17))
	return message(b, 8, integer(text(nil, 1, "ai.onnx.ml"), 2, 3))
}

// takes are a user tower's inputs, with texts as bare vectors and the number as a column.
func takes() *graph {
	return (&graph{}).input("city", texts, rows).input("country", texts, rows).
		input("credit_limit", floats, rows, 1)
}

// gives computes width elements for each row from a column of numbers.
func (g *graph) gives(column string, width int, output string) *graph {
	for name, sizes := range map[string][]int{"weights": {1, width}, "bias": {width}} {
		t := []byte{}
		for _, size := range sizes {
			t = integer(t, 1, size)
		}
		t = text(integer(t, 2, floats), 8, name)
		for i := range width {
			t = protowire.AppendTag(t, 4, protowire.Fixed32Type)
			t = protowire.AppendFixed32(t, math.Float32bits(float32(len(name))+float32(i)))
		}
		g.body = message(g.body, 5, t)
	}
	g.node("", "Gemm", []string{column, "weights", "bias"}, "raw")
	return g.node("", "LpNormalization", []string{"raw"}, output).output(output, rows, width)
}

func TestTowersOfTheContractAreAccepted(t *testing.T) {
	loaded, err := Load(takes().gives("credit_limit", models.Dimension, "embedding").bytes(), artifacts.UserForm())
	require.NoError(t, err)
	vectors, err := loaded.Embed(Columns{
		Texts:   map[string][]string{"city": {"oslo", ""}, "country": {"norway", ""}},
		Numbers: map[string][]float32{"credit_limit": {3, 4}},
	})
	require.NoError(t, err)
	assert.Len(t, vectors, 2)

	_, err = loaded.Embed(Columns{
		Texts:   map[string][]string{"city": {"oslo", ""}, "country": {"norway"}},
		Numbers: map[string][]float32{"credit_limit": {3, 4}},
	})
	assert.ErrorContains(t, err, "input country has 1 values, others have 2")
}

func TestWhatIsNoTowerIsRefusedWithEverythingThatDiffers(t *testing.T) {
	tests := map[string]struct {
		graph    *graph
		problems []string
	}{
		"another output": {takes().gives("credit_limit", models.Dimension, "vector"),
			[]string{"output embedding is missing: the graph gives vector"}},
		"another dimension": {takes().gives("credit_limit", 16, "embedding"),
			[]string{"output embedding has type float and shape [N 16]: want float and N 32"}},
		"inputs of other names, types and shapes": {
			(&graph{}).input("town", texts, rows, 1).input("country", floats, rows, 1).
				input("credit_limit", floats, rows, 2).
				node("", "ReduceMax", []string{"credit_limit"}, "most", intAttribute("keepdims", 1)).
				gives("most", models.Dimension, "embedding"),
			[]string{
				"input city is missing: a tower takes city string, country string, credit_limit float",
				"input country has type float: want string",
				"input credit_limit has shape [N 2]: want one value for each row, N or N 1",
				"input town is unknown: a tower takes city string, country string, credit_limit float",
				"output embedding has type float and shape [1 32]: want float and N 32",
			}},
		"a fixed batch": {(&graph{}).input("city", texts, rows).input("country", texts, rows).
			input("credit_limit", floats, 4, 1).gives("credit_limit", models.Dimension, "embedding"),
			[]string{"input credit_limit has shape [4 1]: want one value for each row, N or N 1; export with the " +
				"first dimension free",
				"output embedding has type float and shape [4 32]: want float and N 32"}},
		"vectors of another length": {
			takes().gives("credit_limit", models.Dimension, "unit").
				node("", "Add", []string{"unit", "unit"}, "embedding").
				output("embedding", rows, models.Dimension),
			[]string{"features that no training has seen: the tower gave a vector of length 2"}},
		"rows that mix": {
			takes().node("", "ReduceMax", []string{"credit_limit"}, "most", intAttribute("keepdims", 1)).
				node("", "Sub", []string{"credit_limit", "most"}, "less").gives("less", models.Dimension, "embedding"),
			[]string{"a row's vector depends on the other rows of its batch"}},
		"a category that is unknown": {
			takes().node("ai.onnx.ml", "OneHotEncoder", []string{"city"}, "hot", intAttribute("zeros", 0),
				text(integer(text(nil, 1, "cats_strings"), 20, 8), 9, "oslo")).
				node("", "Add", []string{"hot", "credit_limit"}, "sum").gives("sum", models.Dimension, "embedding"),
			[]string{"features that no training has seen", "is none of the 1 known ones"}},
		"another operator": {takes().node("", "Conv", []string{"credit_limit"}, "c").
			gives("credit_limit", models.Dimension, "embedding"), []string{"operator Conv is not supported"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Load(test.graph.bytes(), artifacts.UserForm())
			for _, problem := range test.problems {
				assert.ErrorContains(t, err, problem)
			}
			found := Inspect(test.graph.bytes(), nil)
			var all []string
			for _, problem := range found.Problems {
				all = append(all, problem.Error())
			}
			assert.ErrorContains(t, err, errors.Join(found.Problems...).Error(), "inspection and loading agree")
			assert.Len(t, all, map[bool]int{true: 1, false: len(test.problems)}[name == "a category that is unknown"])
		})
	}
}

func TestInspectionHoldsATowerToItsManifest(t *testing.T) {
	folder, _, err := shipped.Model()
	require.NoError(t, err)
	model, err := artifacts.Verify(folder)
	require.NoError(t, err)
	for _, path := range []string{artifacts.UserTower, artifacts.ItemTower} {
		file, err := fs.ReadFile(folder, path)
		require.NoError(t, err)
		manifest := model.Manifest
		found := Inspect(file, &manifest)
		assert.Equal(t, path, found.Form.Path)
		assert.Empty(t, found.Problems)
		assert.Greater(t, found.MaxBatch, 1000)

		spoiled := *manifest.Golden
		spoiled.User, spoiled.Item = spoil(spoiled.User), spoil(spoiled.Item)
		manifest.Golden = &spoiled
		found = Inspect(file, &manifest)
		require.Len(t, found.Problems, 2)
		assert.ErrorContains(t, found.Problems[0], "golden vector 0 differs by 0.5")
		assert.ErrorContains(t, found.Problems[1], "golden vector 1 differs by 0.5")
	}
}

// spoil changes the first two outputs.
func spoil(golden []artifacts.GoldenValue) []artifacts.GoldenValue {
	spoiled := append([]artifacts.GoldenValue{}, golden...)
	for i := range 2 {
		spoiled[i].Output = append([]float64{spoiled[i].Output[0] + 0.5}, spoiled[i].Output[1:]...)
	}
	return spoiled
}

func TestWhatOthersExportedIsDescribedThoughItIsNoTower(t *testing.T) {
	for _, name := range []string{"keras_two_inputs", "merged", "lightgbm"} {
		file, err := os.ReadFile("../onnx/testdata/brought/" + name + "/model.onnx")
		require.NoError(t, err)
		found := Inspect(file, nil)
		assert.NotEmpty(t, found.Problems, name)
		assert.NotEmpty(t, found.Inputs, name)
		assert.Equal(t, artifacts.UserTower, found.Form.Path)
		assert.Equal(t, name != "lightgbm", found.MaxBatch > 0)
	}
}
