package onnx

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

// dice makes choices from a fuzzer's bytes, and nothing but zeros after them.
type dice struct{ bytes []byte }

func (d *dice) below(n int) int {
	if len(d.bytes) == 0 {
		return 0
	}
	b := d.bytes[0]
	d.bytes = d.bytes[1:]
	return int(b) % n
}

func (d *dice) sizes(free bool) []int {
	sizes := make([]int, d.below(4))
	for i := range sizes {
		sizes[i] = []int{1, 2, 3, 1, 2, 0}[d.below(6)]
		if i == 0 && free && d.below(2) == 0 {
			sizes[i] = batch
		}
	}
	return sizes
}

func (d *dice) attribute(rule attributeRule) attribute {
	switch rule.kind {
	case intKind:
		return intAttribute(rule.name, int64([]int{0, 1, -1, 2, 7, 11, -2, 6, 8, 9}[d.below(10)]))
	case floatKind:
		return floatAttribute(rule.name, []float32{1, 0.5, -2, 0}[d.below(4)])
	case stringKind:
		return textAttribute(rule.name, []string{"L2", "MAX", "L1", "tanh", "none", ""}[d.below(6)])
	case floatsKind:
		return floatsAttribute(rule.name, []float32{1, 2, 3}[:d.below(4)]...)
	case stringsKind:
		return textsAttribute(rule.name, []string{"a", "b", "c"}[:d.below(4)]...)
	case intsKind:
		b := newAttribute(rule.name, intsKind)
		for range d.below(4) {
			b = varintField(b, 8, int64([]int{0, 1, 2, -1, 3}[d.below(5)]))
		}
		return b
	default:
		return bytesField(newAttribute(rule.name, tensorKind), 5, tensorProto("", d.tensor()))
	}
}

func (d *dice) tensor() *Tensor {
	shape := d.sizes(false)
	n := elements(shape)
	switch d.below(3) {
	case 0:
		numbers := make([]int64, n)
		for i := range numbers {
			numbers[i] = []int64{1, 2, 0, -1, 3, 1 << 62}[d.below(6)]
		}
		return Int64s(shape, numbers)
	case 1:
		return Floats(shape, make([]float32, n))
	default:
		return Strings(shape, make([]string, n))
	}
}

// graph is a small graph of listed operators. Its last value is an output of the given type.
func (d *dice) graph(output Type) []byte {
	g := newGraph()
	g.opset = int64(MinOpset + d.below(MaxOpset-MinOpset+1))
	var names []string
	for range 1 + d.below(3) {
		name := fmt.Sprintf("x%d", len(names))
		g.input(name, allTypes[d.below(len(allTypes))], d.sizes(true)...)
		names = append(names, name)
	}
	for range d.below(4) {
		name := fmt.Sprintf("c%d", len(names))
		g.constant(name, d.tensor())
		names = append(names, name)
	}
	for range 1 + d.below(4) {
		op := operators[d.below(len(operators))]
		inputs := make([]string, min(op.maxInputs, op.minInputs+d.below(3)))
		for i := range inputs {
			if i < op.minInputs || d.below(4) > 0 {
				inputs[i] = names[len(names)-1-d.below(len(names))]
			}
		}
		var attributes []attribute
		for _, rule := range op.attributes {
			if d.below(2) == 0 {
				attributes = append(attributes, d.attribute(rule))
			}
		}
		name := fmt.Sprintf("v%d", len(names))
		g.node(op.domain, op.name, inputs, name, attributes...)
		names = append(names, name)
	}
	return g.output(names[len(names)-1], output).bytes()
}

// loadAny loads the graph of those choices with the output type that it has, if any.
func loadAny(choices []byte) *Model {
	for _, kind := range allTypes {
		if m, err := Load((&dice{choices}).graph(kind)); err == nil {
			return m
		}
	}
	return nil
}

// FuzzGraph checks that a graph of listed operators is either refused at load or never fails a
// well-formed request.
func FuzzGraph(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(randomBytes(seed))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		if m := loadAny(choices); m != nil {
			evaluateAnything(t, m)
		}
	})
}

func randomBytes(seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 120)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// TestRandomGraphsNeverFailARequest is FuzzGraph over choices that are the same in every run, and
// says how many of them are graphs at all.
func TestRandomGraphsNeverFailARequest(t *testing.T) {
	loaded := 0
	for seed := range uint64(20_000) {
		if m := loadAny(randomBytes(seed)); m != nil {
			loaded++
			evaluateAnything(t, m)
		}
	}
	t.Logf("%d graphs evaluated", loaded)
	assert.Greater(t, loaded, 500)
}
