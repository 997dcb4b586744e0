package onnx

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// relu is the smallest useful graph; tests spoil one thing of it.
func relu() *graph {
	return newGraph().input("x", Float32, batch, 3).node("", "Relu", []string{"x"}, "y").output("y", Float32, batch, 3)
}

func TestLoadRefuses(t *testing.T) {
	external := varintField(tensorProto("w", Floats([]int{3}, nil)), 14, 1)
	huge := varintField(varintField(varintField(nil, 1, 1<<20), 1, 1<<20), 2, 1)
	sequence := bytesField(stringField(nil, 1, "s"), 2, bytesField(nil, 4, nil))
	subgraph := bytesField(newAttribute("body", 5), 6, []byte{})
	one := func(kind Type, code int64) []byte { return valueInfo("x", code, 1) }
	tests := map[string]struct {
		model *graph
		says  []string
	}{
		"an unknown operator": {relu().node("", "Conv", []string{"x"}, "z"),
			[]string{`node "make z" (Conv)`, "operator Conv is not supported"}},
		"all unknown operators at once": {relu().node("", "Conv", []string{"x"}, "z").node("", "LSTM", []string{"x"},
			"v"),
			[]string{`node "make z" (Conv)`, `node "make v" (LSTM)`}},
		"an operator of a listed name in another domain": {relu().node(mlDomain, "Relu", []string{"x"}, "z"),
			[]string{`node "make z" (ai.onnx.ml.Relu)`, "operator ai.onnx.ml.Relu is not supported"}},
		"an operator that came later": {relu().node("", "Gelu", []string{"x"}, "z"),
			[]string{`node "make z" (Gelu)`, "not in opset 17; it came with 20"}},
		"a domain that is not imported": {relu().node("com.microsoft", "FusedGemm", []string{"x"}, "z"),
			[]string{`node "make z" (com.microsoft.FusedGemm)`,
				`operator com.microsoft.FusedGemm is of operator set "com.microsoft", which is not imported`}},
		"an unknown attribute": {relu().node("", "Softmax", []string{"x"}, "z", intAttribute("temperature", 2)),
			[]string{`node "make z" (Softmax)`, `attribute "temperature" is not supported in opset 17`}},
		"an attribute that came later": {relu().node("", "Cast", []string{"x"}, "z", intAttribute("to", 11),
			intAttribute("saturate", 1)),
			[]string{`node "make z" (Cast)`, `attribute "saturate" is not supported in opset 17`}},
		"an attribute that was dropped": {func() *graph {
			g := relu().node("", "ReduceSum", []string{"x"}, "z",
				attribute(varintField(newAttribute("axes", intsKind), 8, 1)))
			return g
		}(), []string{`node "make z" (ReduceSum)`, `attribute "axes" is not supported in opset 17`}},
		"an attribute of another type": {relu().node("", "Softmax", []string{"x"}, "z", floatAttribute("axis", 1)),
			[]string{`node "make z" (Softmax)`, `attribute "axis" has type FLOAT, not INT`}},
		"an attribute twice": {relu().node("", "Softmax", []string{"x"}, "z", intAttribute("axis", 1),
			intAttribute("axis", 0)),
			[]string{`node "make z" (Softmax)`, `attribute "axis" is given twice`}},
		"an unknown attribute value": {relu().node(mlDomain, "Normalizer", []string{"x"}, "z",
			textAttribute("norm", "L3")),
			[]string{`node "make z" (ai.onnx.ml.Normalizer)`, `attribute "norm" is "L3"`}},
		"a subgraph": {relu().node("", "Relu", []string{"x"}, "z", subgraph),
			[]string{`node "make z" (Relu)`, `attribute "body"`, "g (a subgraph) is not supported"}},
		"training batch normalisation": {func() *graph {
			g := relu().constant("s", Floats([]int{3}, make([]float32, 3)))
			return g.node("", "BatchNormalization", []string{"x", "s", "s", "s", "s"}, "z",
				intAttribute("training_mode", 1))
		}(), []string{`node "make z" (BatchNormalization)`, `attribute "training_mode"`}},
		"too few inputs": {relu().node("", "Add", []string{"x"}, "z"), []string{`node "make z" (Add)`,
			"it has 1 inputs, not 2"}},
		"too many inputs": {relu().node("", "Relu", []string{"x", "x"}, "z"), []string{`node "make z" (Relu)`,
			"it has 2 inputs, not 1"}},
		"an omitted needed input": {relu().node("", "Add", []string{"x", ""}, "z"),
			[]string{`node "make z" (Add)`, "input 1 must not be omitted"}},
		"an undefined input": {relu().node("", "Relu", []string{"later"}, "z"),
			[]string{`node "make z" (Relu)`, `input "later" is computed by no earlier node`}},
		"a value defined twice": {relu().node("", "Relu", []string{"x"}, "y"),
			[]string{`node "make y" (Relu)`, `value "y" is defined twice`}},
		"a type that the operator does not take": {newGraph().input("x", String, batch).node("", "Relu", []string{"x"},
			"y").output("y", String, batch),
			[]string{`node "make y" (Relu)`, `input "x" has type string; Relu takes float, double`}},
		"two types": {newGraph().input("x", Float32, 2).input("w", Float64, 2).node("", "Add", []string{"x", "w"},
			"y").output("y", Float32, 2),
			[]string{`node "make y" (Add)`, `inputs "x" and "w" have types float and double`}},
		"shapes that do not broadcast": {newGraph().input("x", Float32, batch, 3).input("w", Float32, 2).node("", "Add",
			[]string{"x", "w"}, "y").output("y", Float32, batch, 3),
			[]string{`node "make y" (Add)`, "shapes [N 3], [2] do not broadcast"}},
		"a batch that meets a fixed size": {newGraph().input("x", Float32, batch).input("w", Float32, 2).node("", "Add",
			[]string{"x", "w"}, "y").output("y", Float32, batch),
			[]string{"shapes [N], [2] do not broadcast"}},
		"inner sizes that differ": {newGraph().input("x", Float32, batch, 3).input("w", Float32, 2, 4).node("", "Gemm",
			[]string{"x", "w"}, "y").output("y", Float32, batch, 4),
			[]string{`node "make y" (Gemm)`, "inner sizes 3 and 2"}},
		"a shape that a request decides": {newGraph().input("x", Float32, batch, 4).input("s", Int64, 2).node("",
			"Reshape", []string{"x", "s"}, "y").output("y", Float32, batch, 4),
			[]string{`node "make y" (Reshape)`, `input "s" decides a shape`}},
		"a shape that fits some batches only": {newGraph().input("x", Float32, batch, 3).constant("s",
			Int64s([]int{2}, []int64{-1, 2})).
			node("", "Reshape", []string{"x", "s"}, "y").output("y", Float32, batch, 2),
			[]string{`node "make y" (Reshape)`, "[N 3] does not reshape to [-1 2] for every batch"}},
		"a slice of the batch": {newGraph().input("x", Float32, batch, 3).constant("a",
			Int64s([]int{1}, []int64{0})).constant("e", Int64s([]int{1}, []int64{2})).
			node("", "Slice", []string{"x", "a", "e"}, "y").output("y", Float32, 2, 3),
			[]string{`node "make y" (Slice)`, "a free dimension can only be kept whole"}},
		"an index that is out of range": {newGraph().input("x", Float32, batch, 3).constant("i",
			Int64s([]int{1}, []int64{3})).
			node("", "Gather", []string{"x", "i"}, "y", intAttribute("axis", 1)).output("y", Float32, batch, 1),
			[]string{`node "make y" (Gather)`, "index 3 is out of range"}},
		"an integer division by a zero": {newGraph().input("x", Int64, 2).constant("d",
			Int64s([]int{2}, []int64{1, 0})).node("", "Div", []string{"x", "d"}, "y").output("y", Int64, 2),
			[]string{`node "make y" (Div)`, `input "d" divides integers by zero`}},
		"an integer division by an input": {newGraph().input("x", Int64, 2).input("d", Int64, 2).node("", "Div",
			[]string{"x", "d"}, "y").output("y", Int64, 2),
			[]string{`input "d" divides integers and must be a constant`}},
		"text to numbers": {newGraph().input("x", String, batch).node("", "Cast", []string{"x"}, "y",
			intAttribute("to", 1)).output("y", Float32, batch),
			[]string{`node "make y" (Cast)`, "a cast from string to float is not supported"}},
		"a cast to an unsupported type": {relu().node("", "Cast", []string{"x"}, "z", intAttribute("to", 10)),
			[]string{`node "make z" (Cast)`, `attribute "to": type float16 is not supported`}},
		"a repeated category": {newGraph().input("x", String, batch).node(mlDomain, "OneHotEncoder", []string{"x"}, "y",
			textsAttribute("cats_strings", "a", "b", "a")).output("y", Float32, batch, 3),
			[]string{`node "make y" (ai.onnx.ml.OneHotEncoder)`, `category "a" is given twice`}},
		"scaler attributes that fit no column": {relu().node(mlDomain, "Scaler", []string{"x"}, "z",
			floatsAttribute("offset", 1, 2), floatsAttribute("scale", 1, 2)),
			[]string{`node "make z" (ai.onnx.ml.Scaler)`, "have 2 and 2 values"}},
		"an old opset": {relu().in(6), []string{`node "make y" (Relu): operator Relu is not supported in opset 6 ` +
			`(7 to 28 are supported); export with torch.onnx.export(..., opset_version=18)`}},
		"a new opset": {relu().in(29), []string{`operator Relu is not supported in opset 29, which is newer than ` +
			`this program (7 to 28 are supported); export with`}},
		"an opset of another meaning": {relu().node("", "Softmax", []string{"x"}, "z").in(12),
			[]string{`operator Softmax is not supported in opset 12, where it means something else ` +
				`(13 to 28 are supported); export with`}},
		"a new ai.onnx.ml": {func() *graph {
			g := relu().node(mlDomain, "Normalizer", []string{"x"}, "z")
			g.mlOpset = 6
			return g
		}(), []string{`operator ai.onnx.ml.Normalizer is not supported in opset 6 of ai.onnx.ml`, "(1 to 5 are",
			"skl2onnx.to_onnx("}},
		"an old format": {func() *graph { g := relu(); g.ir = 2; return g }(), []string{"ir_version 2"}},
		"a function": {func() *graph { g := relu(); g.trailing = bytesField(nil, 25, nil); return g }(),
			[]string{"field functions is not supported"}},
		"training information": {func() *graph { g := relu(); g.trailing = bytesField(nil, 20, nil); return g }(),
			[]string{"field training_info is not supported"}},
		"two graphs": {func() *graph { g := relu(); g.trailing = bytesField(nil, 7, nil); return g }(),
			[]string{"more than one graph"}},
		"an unknown field": {func() *graph { g := relu(); g.trailing = varintField(nil, 99, 1); return g }(),
			[]string{"ModelProto: field 99 is unknown"}},
		"a sparse initializer": {func() *graph { g := relu(); g.body = bytesField(g.body, 15, nil); return g }(),
			[]string{"field sparse_initializer is not supported"}},
		"quantisation": {func() *graph { g := relu(); g.body = bytesField(g.body, 14, nil); return g }(),
			[]string{"field quantization_annotation is not supported"}},
		"external data": {func() *graph { g := relu(); g.body = bytesField(g.body, 5, external); return g }(),
			[]string{`initializer "w"`, "external data is not supported"}},
		"a claim of 2^40 elements": {func() *graph { g := relu(); g.body = bytesField(g.body, 5, huge); return g }(),
			[]string{"more than 33554432 elements"}},
		"a shape without its data": {relu().constant("w", Floats([]int{1 << 20}, []float32{1})),
			[]string{`initializer "w"`, "1 elements are stored, but shape [1048576] has 1048576"}},
		"a half-precision input": {func() *graph {
			g := newGraph()
			g.body = bytesField(g.body, 11,
				one(0, 10))
			return g
		}(),
			[]string{`input "x"`, "type float16 is not supported"}},
		"an unknown type": {func() *graph { g := newGraph(); g.body = bytesField(g.body, 11, one(0, 77)); return g }(),
			[]string{`input "x"`, "type 77 is unknown"}},
		"a sequence": {func() *graph { g := relu(); g.body = bytesField(g.body, 12, sequence); return g }(),
			[]string{`output "s"`, "field sequence_type is not supported"}},
		"a free inner dimension": {newGraph().input("x", Float32, 3, batch).node("", "Relu", []string{"x"},
			"y").output("y", Float32, 3, batch),
			[]string{`input "x"`, `dimension 1 ("batch") is free`}},
		"an input of unknown rank": {func() *graph {
			g := newGraph()
			g.body = bytesField(g.body, 11, bytesField(stringField(nil, 1, "x"), 2,
				bytesField(nil, 1, varintField(nil, 1, 1))))
			return g.node("", "Relu", []string{"x"}, "y").output("y", Float32)
		}(), []string{`input "x" has no declared shape`}},
		"an output that nothing computes": {relu().output("nothing", Float32),
			[]string{`output "nothing" is computed by no node`}},
		"an output of another type": {newGraph().input("x", Float32, 2).node("", "Relu", []string{"x"},
			"y").output("y", Int64, 2), []string{`output "y" is declared as int64, but computed as float`}},
		"no output": {newGraph().input("x", Float32, 2), []string{"the graph has no output"}},
		"an output of ZipMap": {relu().node(mlDomain, "ZipMap", []string{"x"}, "z"),
			[]string{"operator ai.onnx.ml.ZipMap is not supported"}},
		"one row beyond the limit": {newGraph().input("x", Float32, batch, 1<<13).constant("s",
			Int64s([]int{3}, []int64{1 << 13, 1, 1 << 13})).
			node("", "Expand", []string{"x", "s"}, "y").output("y", Float32, 1<<13, batch, 1<<13),
			[]string{`output "y"`, "more than 33554432 elements"}},
		"a long name": {relu().node("", "Relu", []string{"x"}, strings.Repeat("y", 2000)),
			[]string{"a name has 2000 bytes"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Load(test.model.bytes())
			require.Error(t, err)
			for _, text := range test.says {
				assert.ErrorContains(t, err, text)
			}
		})
	}
	_, err := Load(relu().bytes())
	assert.NoError(t, err, "the graph that the tests spoil")
}

func TestLoadRefusesTooMuch(t *testing.T) {
	many := relu()
	for i := range MaxNodes {
		many.node("", "Relu", []string{"x"}, fmt.Sprint(i))
	}
	_, err := Load(many.bytes())
	assert.ErrorContains(t, err, "there are 4097 of field node, more than 4096")

	_, err = Load(make([]byte, MaxFileBytes+1))
	assert.ErrorContains(t, err, "more than 67108864")

	_, err = Load(newGraph().input("x", Float32, 1, 1, 1, 1, 1, 1, 1, 1, 1).bytes())
	assert.ErrorContains(t, err, "more than 8 dimensions")
}

func TestInitializerWinsOverInputOfItsName(t *testing.T) {
	g := newGraph().input("x", Float32, batch, 2).input("w", Float32, 2).constant("w",
		Floats([]int{2}, []float32{10, 20})).
		node("", "Add", []string{"x", "w"}, "y").output("y", Float32, batch, 2)
	m, err := Load(g.bytes())
	require.NoError(t, err)
	assert.Equal(t, []Value{{Name: "x", Type: Float32, Shape: []int{-1, 2}}}, m.Inputs())
	out, err := m.Run(t.Context(), map[string]*Tensor{"x": Floats([]int{1, 2}, []float32{1, 2})})
	require.NoError(t, err)
	assert.Equal(t, []float32{11, 22}, out["y"].Floats())
}

// allocated is how many bytes f takes from the heap in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// hostile are files made to cost much memory per byte, each of at least some tens of kilobytes.
func hostile() map[string][]byte {
	const n = 50_000
	repeat := func(b []byte, times int) []byte { return bytes.Repeat(b, times) }
	wrapped := func(body []byte) []byte {
		g := relu()
		g.body = append(g.body, body...)
		return g.bytes()
	}
	chain := newGraph().input("x0", Float32, batch, 3)
	for i := range MaxNodes {
		chain.node("", "Identity", []string{fmt.Sprintf("x%d", i)}, fmt.Sprintf("x%d", i+1))
	}
	wide := newGraph().input("x", Float32, batch, 3)
	for i := range 64 {
		names := make([]string, MaxArguments)
		for j := range names {
			names[j] = "x"
		}
		wide.node("", "Max", names, fmt.Sprint(i))
	}
	concats := newGraph().input("x", Float32, batch, 3)
	for i := range MaxNodes {
		concats.node("", "Concat", []string{"x", "x"}, fmt.Sprint(i), intAttribute("axis", 1))
	}
	expand := newGraph().constant("one", Floats(nil, []float32{1})).constant("s", Int64s([]int{1}, []int64{1 << 24})).
		node("", "Expand", []string{"one", "s"}, "y").output("y", Float32, 1<<24)
	categories := make([]string, n)
	for i := range categories {
		categories[i] = fmt.Sprintf("%x", i)
	}
	var unpacked []byte
	for range n {
		unpacked = varintField(unpacked, 7, 1)
	}
	ints := varintField(varintField(nil, 1, n), 2, 7)
	return map[string][]byte{
		"empty nodes":        wrapped(repeat([]byte{0x0a, 0}, n)),
		"empty initializers": wrapped(repeat([]byte{0x2a, 0}, n)),
		"empty inputs":       wrapped(repeat([]byte{0x5a, 0}, n)),
		"empty attributes":   wrapped(bytesField(nil, 1, repeat([]byte{0x2a, 0}, n))),
		"empty imports":      repeat([]byte{0x42, 0}, n),
		"packed integers": wrapped(bytesField(nil, 5,
			bytesField(append(ints[:len(ints):len(ints)], stringField(nil, 8, "w")...), 7, repeat([]byte{1}, n)))),
		"unpacked integers": wrapped(bytesField(nil, 5,
			append(append(ints[:len(ints):len(ints)], stringField(nil, 8, "w")...), unpacked...))),
		"empty strings": wrapped(bytesField(nil, 5, append(append(varintField(varintField(nil, 1, n), 2, 8),
			stringField(nil, 8, "w")...),
			repeat([]byte{0x32, 0}, n)...))),
		"categories": newGraph().input("x", String, batch).node(mlDomain, "OneHotEncoder", []string{"x"}, "y",
			textsAttribute("cats_strings", categories...)).
			output("y", Float32, batch, n).bytes(),
		"a chain of views":   chain.output(fmt.Sprintf("x%d", MaxNodes), Float32, batch, 3).bytes(),
		"many small nodes":   concats.output("7", Float32, batch, 6).bytes(),
		"wide nodes":         wide.output("63", Float32, batch, 3).bytes(),
		"a constant to fold": expand.bytes(),
		"a long error": relu().node(mlDomain, "Normalizer", []string{"x"}, "z",
			textAttribute("norm", string(repeat([]byte{0}, n)))).bytes(),
		"nested claims": protowire.AppendVarint([]byte{0x3a}, 1<<40),
	}
}

func TestLoadAllocatesNoMoreThanStated(t *testing.T) {
	files := hostile()
	for _, path := range exported(t) {
		file, err := os.ReadFile(path)
		require.NoError(t, err)
		files[path] = file
	}
	files["tower"] = towerFile()
	for name, file := range files {
		size := allocated(func() { _, _ = Load(file) })
		assert.LessOrEqual(t, size, uint64(LoadAllocationFactor*len(file)+LoadAllocationBase), name)
		if testing.Verbose() {
			t.Logf("%-40s %8d bytes, %9d allocated, %.1f times", name, len(file), size,
				float64(size)/float64(len(file)))
		}
	}
}

func FuzzLoad(f *testing.F) {
	// Small seeds only: the fuzzer spends its time on what it can change.
	const small = 3000
	seeds := hostile()
	for _, path := range exported(f) {
		file, err := os.ReadFile(path)
		require.NoError(f, err)
		seeds[path] = file
	}
	seeds["relu"] = relu().bytes()
	for _, name := range slices.Sorted(maps.Keys(seeds)) {
		if len(seeds[name]) < small {
			f.Add(seeds[name])
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		var m *Model
		var err error
		size := allocated(func() { m, err = Load(file) })
		// Other goroutines of the fuzzer allocate a little meanwhile.
		if limit := uint64(LoadAllocationFactor*len(file) + LoadAllocationBase + 1<<20); size > limit {
			t.Errorf("%d bytes allocated for a file of %d", size, len(file))
		}
		if err != nil {
			return
		}
		evaluateAnything(t, m)
	})
}

// evaluateAnything runs a model on inputs of zeros and ones: nothing but an index or a category may
// be wrong with them.
func evaluateAnything(t *testing.T, m *Model) {
	t.Helper()
	for _, n := range []int{1, min(3, m.MaxBatch())} {
		inputs := make(map[string]*Tensor)
		total := 0
		for _, v := range m.inputs {
			in := newTensor(v, n)
			total += in.count()
			inputs[v.name] = in
		}
		if total > 1<<16 || !m.cheap(n) {
			return
		}
		outputs, err := m.Run(t.Context(), inputs)
		if err != nil {
			for _, allowed := range []string{"is out of range for", "is none of the"} {
				if strings.Contains(err.Error(), allowed) {
					return
				}
			}
			t.Fatalf("a loaded model failed: %v", err)
		}
		for _, v := range m.outputs {
			got := outputs[v.name]
			for i, d := range v.shape {
				if got.shape[i] != d.at(n) {
					t.Fatalf("output %q has shape %v, inferred %s for a batch of %d", v.name, got.shape,
						shapeText(v.shape), n)
				}
			}
			if elements(got.shape) != got.count() {
				t.Fatalf("output %q has %d elements for shape %v", v.name, got.count(), got.shape)
			}
		}
	}
}

// cheap says whether a fuzzer should evaluate the model.
func (m *Model) cheap(n int) bool {
	work := 0
	for _, s := range m.steps {
		size, err := count(s.work.shape, n)
		if err != nil {
			return false
		}
		if work += size * max(1, s.work.per.at(n)); work > 1<<20 {
			return false
		}
	}
	return true
}
