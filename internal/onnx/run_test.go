package onnx

import (
	"context"
	"math"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRunRefusesInputs(t *testing.T) {
	m := loadTower(t)
	spoiled := func(name string, with *Tensor) map[string]*Tensor {
		inputs := towerInputs(2)
		if with == nil {
			delete(inputs, name)
		} else {
			inputs[name] = with
		}
		return inputs
	}
	tests := map[string]struct {
		inputs map[string]*Tensor
		says   []string
	}{
		"missing": {spoiled("city", nil), []string{`input "city" is missing`}},
		"all missing": {nil, []string{`input "city" is missing`, `input "country" is missing`,
			`input "credit_limit" is missing`}},
		"unknown": {spoiled("town", Strings([]int{2, 1}, []string{"a", "b"})),
			[]string{`the model has no input "town"; its inputs are city, country, credit_limit`}},
		"another type": {spoiled("credit_limit", Doubles([]int{2, 1}, []float64{1, 2})),
			[]string{`input "credit_limit" has type double, not float`}},
		"another rank": {spoiled("credit_limit", Floats([]int{2}, []float32{1, 2})),
			[]string{`input "credit_limit" has shape [2], not [N 1]`}},
		"another width": {spoiled("credit_limit", Floats([]int{2, 2}, []float32{1, 2, 3, 4})),
			[]string{`input "credit_limit" has shape [2 2], not [N 1]`}},
		"unequal batch": {spoiled("credit_limit", Floats([]int{1, 1}, []float32{1})),
			[]string{`inputs "country" and "credit_limit" have batches of 2 and 1`}},
		"too little": {spoiled("credit_limit", Floats([]int{2, 1}, []float32{1})),
			[]string{`input "credit_limit" has 1 elements, but its shape [2 1] has 2`}},
		"negative batch": {spoiled("city", Strings([]int{-1, 1}, nil)), []string{`input "city" has a batch of -1`}},
		"empty batch":    {towerInputs(0), []string{`input "city" has a batch of 0, not 1 to`}},
		"too large":      {towerInputs(m.MaxBatch() + 1), []string{`not 1 to`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := m.Run(t.Context(), test.inputs)
			require.Error(t, err)
			for _, text := range test.says {
				assert.ErrorContains(t, err, text)
			}
		})
	}
}

func TestRunReportsAnIndexOutOfRange(t *testing.T) {
	g := newGraph().constant("table", Floats([]int{2, 2}, []float32{1, 2, 3, 4})).input("id", Int64, batch).
		node("", "Gather", []string{"table", "id"}, "y").output("y", Float32, batch, 2)
	m, err := Load(g.bytes())
	require.NoError(t, err)
	out, err := m.Run(t.Context(), map[string]*Tensor{"id": Int64s([]int{3}, []int64{1, 0, -1})})
	require.NoError(t, err)
	assert.Equal(t, []float32{3, 4, 1, 2, 3, 4}, out["y"].Floats())
	_, err = m.Run(t.Context(), map[string]*Tensor{"id": Int64s([]int{1}, []int64{2})})
	assert.ErrorContains(t, err, `node "make y" (Gather): index 2 is out of range for a dimension of 2`)
}

func TestRunReportsAnUnknownCategoryWhereTheModelAsksForIt(t *testing.T) {
	for zeros, says := range map[int64]string{0: "category 1 of the input is none of the 2 known ones", 1: ""} {
		g := newGraph().input("x", String, batch).
			node(mlDomain, "OneHotEncoder", []string{"x"}, "y", textsAttribute("cats_strings", "a", "b"),
				intAttribute("zeros", zeros)).
			output("y", Float32, batch, 2)
		m, err := Load(g.bytes())
		require.NoError(t, err)
		out, err := m.Run(t.Context(), map[string]*Tensor{"x": Strings([]int{2}, []string{"b", "c"})})
		if says != "" {
			assert.ErrorContains(t, err, says)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, []float32{0, 1, 0, 0}, out["y"].Floats())
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := loadTower(t).Run(ctx, towerInputs(1))
	assert.ErrorIs(t, err, context.Canceled)
}

func TestOutputsAreTheCallersOwn(t *testing.T) {
	// One output is an input as it came, another a constant: even those are copies.
	g := newGraph().input("x", Float32, batch, 2).constant("c", Floats([]int{1}, []float32{5})).
		node("", "Identity", []string{"x"}, "same").node("", "Relu", []string{"x"}, "y").
		output("same", Float32, batch, 2).output("y", Float32, batch, 2).output("c", Float32, 1)
	m, err := Load(g.bytes())
	require.NoError(t, err)
	x := []float32{-1, 2}
	first, err := m.Run(t.Context(), map[string]*Tensor{"x": Floats([]int{1, 2}, x)})
	require.NoError(t, err)
	for _, output := range first {
		output.Floats()[0] = 99
	}
	assert.Equal(t, []float32{-1, 2}, x, "the input is only read")
	second, err := m.Run(t.Context(), map[string]*Tensor{"x": Floats([]int{1, 2}, x)})
	require.NoError(t, err)
	assert.Equal(t, []float32{-1, 2}, second["same"].Floats())
	assert.Equal(t, []float32{0, 2}, second["y"].Floats())
	assert.Equal(t, []float32{5}, second["c"].Floats())
}

func TestConcurrentRunsOfSeveralBatches(t *testing.T) {
	m := loadTower(t)
	want, err := m.Run(t.Context(), towerInputs(50))
	require.NoError(t, err)
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range 40 {
				n := 1 + (i*7+worker)%50
				got, err := m.Run(t.Context(), towerInputs(n))
				if assert.NoError(t, err) {
					assert.Equal(t, want["embedding"].Floats()[:n*32], got["embedding"].Floats())
				}
			}
		})
	}
	wait.Wait()
}

func TestRunAllocatesForItsOutputsOnly(t *testing.T) {
	m := loadTower(t)
	inputs := towerInputs(1)
	// The least of many: a pool forgets its memory now and then, under the race detector even on
	// purpose.
	least := math.Inf(1)
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, func() { _, _ = m.Run(t.Context(), inputs) }))
	}
	// The map and its own memory, the tensor, its shape and its data.
	assert.LessOrEqual(t, least, 5.0)
}

// TestSpecialValues fixes what the random models rarely meet. The expected values are ONNX
// Runtime's, except the casts out of range, which ONNX leaves undefined.
func TestSpecialValues(t *testing.T) {
	infinity, nan := float32(math.Inf(1)), float32(math.NaN())
	one := func(x *Tensor, domain, operator string, output Type, attributes ...attribute) *graph {
		return newGraph().input("x", x.kind, x.shape...).node(domain, operator, []string{"x"}, "y",
			attributes...).output("y", output)
	}
	rows := Floats([]int{3, 2}, []float32{0, 0, 3, -4, -1, -2})
	weights := newGraph().input("x", Float32, 1, 2).constant("w", Floats([]int{2, 1}, []float32{1, infinity})).
		node("", "Gemm", []string{"x", "w"}, "y").output("y", Float32)
	tests := map[string]struct {
		graph   *graph
		x, want *Tensor
	}{
		"rows of zeros keep their zeros, L2": {one(rows, mlDomain, "Normalizer", Float32, textAttribute("norm", "L2")),
			rows,
			Floats([]int{3, 2}, []float32{0, 0, 0.6, -0.8, -0.4472136, -0.8944272})},
		"rows of zeros keep their zeros, L1": {one(rows, mlDomain, "Normalizer", Float32, textAttribute("norm", "L1")),
			rows,
			Floats([]int{3, 2}, []float32{0, 0, 3. / 7, -4. / 7, -1. / 3, -2. / 3})},
		"the MAX norm is the largest value, not magnitude": {one(rows, mlDomain, "Normalizer", Float32), rows,
			Floats([]int{3, 2}, []float32{0, 0, 1, -4. / 3, 1, 2})},
		"a lane of zeros keeps its zeros": {one(rows, "", "LpNormalization", Float32), rows,
			Floats([]int{3, 2}, []float32{0, 0, 0.6, -0.8, -0.4472136, -0.8944272})},
		"zero times an infinite weight is not skipped": {weights, Floats([]int{1, 2}, []float32{1, 0}),
			Floats([]int{1, 1}, []float32{nan})},
		"a not-a-number passes Relu": {one(Floats([]int{2}, nil), "", "Relu", Float32),
			Floats([]int{2}, []float32{nan, -1}),
			Floats([]int{2}, []float32{nan, 0})},
		"casts out of range are the nearest in range": {one(Floats([]int{4}, nil), "", "Cast", Int32,
			intAttribute("to", 6)),
			Floats([]int{4}, []float32{1e20, -1e20, nan, -2.9}),
			Int32s([]int{4}, []int32{math.MaxInt32, math.MinInt32, 0, -2})},
		"floats are truncated to categories": {one(Floats([]int{2}, nil), mlDomain, "OneHotEncoder", Float32,
			varintField(varintField(newAttribute("cats_int64s", intsKind), 8, 1), 8, 2)),
			Floats([]int{2}, []float32{1.7, -0.5}), Floats([]int{2, 2}, []float32{1, 0, 0, 0})},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := Load(test.graph.bytes())
			require.NoError(t, err)
			out, err := m.Run(t.Context(), map[string]*Tensor{"x": test.x})
			require.NoError(t, err)
			assert.Empty(t, difference(test.want, out["y"], 1e-6))
		})
	}
}

func TestPackageCommentListsTheOperators(t *testing.T) {
	comment, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, list, found := strings.Cut(string(comment), "// # Operators\n//\n")
	require.True(t, found)
	list, _, found = strings.Cut(list, "\n//\n")
	require.True(t, found)
	var named []string
	for line := range strings.Lines(list) {
		line = strings.TrimLeft(line, "/ -")
		if _, names, titled := strings.Cut(line, ": "); titled {
			line = names
		}
		named = append(named, strings.FieldsFunc(line, func(r rune) bool {
			return r == ' ' || r == '.' ||
				r == '\n'
		})...)
	}
	var known []string
	for _, name := range Operators() {
		known = append(known, strings.TrimPrefix(name, mlDomain+"."))
	}
	assert.ElementsMatch(t, known, named)
}

func TestDescription(t *testing.T) {
	m := loadTower(t)
	assert.Equal(t, []Value{
		{"city", String, []int{-1, 1}}, {"country", String, []int{-1, 1}}, {"credit_limit", Float32, []int{-1, 1}},
	}, m.Inputs())
	require.Len(t, m.Outputs(), 1)
	assert.Equal(t, "embedding float[N 32]", m.Outputs()[0].String())
	assert.GreaterOrEqual(t, m.MaxBatch(), 500)
}

func TestShapesFollowTheBatch(t *testing.T) {
	// What exporters write for x.view(x.shape[0], -1): the target is computed from the input's own
	// shape.
	g := newGraph().input("x", Float32, batch, 2, 3).node("", "Shape", []string{"x"}, "s").
		constant("zero", Int64s([]int{1}, []int64{0})).constant("rest", Int64s([]int{1}, []int64{-1})).
		node("", "Gather", []string{"s", "zero"}, "n").node("", "Concat", []string{"n", "rest"}, "target",
		intAttribute("axis", 0)).
		node("", "Reshape", []string{"x", "target"}, "y").output("y", Float32, batch, 6).output("s", Int64, 3)
	m, err := Load(g.bytes())
	require.NoError(t, err)
	assert.Len(t, m.steps, 2, "what only served to find a shape is not evaluated")
	for _, n := range []int{1, 4} {
		out, err := m.Run(t.Context(), map[string]*Tensor{"x": Floats([]int{n, 2, 3}, make([]float32, 6*n))})
		require.NoError(t, err)
		assert.Equal(t, []int{n, 6}, out["y"].Shape())
		assert.Equal(t, []int64{int64(n), 2, 3}, out["s"].Int64s())
	}
}

func TestDimensionsAreLinearInTheBatch(t *testing.T) {
	n, three := dim{batch: 1}, fixed(3)
	sum, err := n.plus(three)
	require.NoError(t, err)
	assert.Equal(t, "1N+3", sum.String())
	assert.Equal(t, 8, sum.at(5))
	_, err = n.times(n)
	assert.ErrorContains(t, err, "not linear")
	_, err = fixed(1 << 20).times(fixed(1 << 20))
	assert.ErrorContains(t, err, "too large")
	six, err := sum.times(fixed(2))
	require.NoError(t, err)
	quotient, exact := six.over(sum)
	assert.True(t, exact)
	assert.Equal(t, fixed(2), quotient)
	_, exact = sum.over(fixed(2))
	assert.False(t, exact)
}
