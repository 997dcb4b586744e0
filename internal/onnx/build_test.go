package onnx

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// graph writes models in the wire format, so that tests need no exporter and can write wrong ones.
type graph struct {
	body     []byte
	opset    int64
	mlOpset  int64
	ir       int64
	trailing []byte
}

func newGraph() *graph { return &graph{opset: 17, mlOpset: 3, ir: 8} }

// in sets the opset of the default domain.
func (g *graph) in(opset int64) *graph {
	g.opset = opset
	return g
}

func bytesField(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

func stringField(b []byte, number protowire.Number, v string) []byte {
	return bytesField(b, number, []byte(v))
}

func varintField(b []byte, number protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(v))
}

func (g *graph) bytes() []byte {
	b := varintField(nil, 1, g.ir)
	b = bytesField(b, 7, g.body)
	b = bytesField(b, 8, varintField(nil, 2, g.opset))
	if g.mlOpset != 0 {
		b = bytesField(b, 8, varintField(stringField(nil, 1, mlDomain), 2, g.mlOpset))
	}
	return append(b, g.trailing...)
}

// typeCodes are the data types' numbers in onnx.proto.
var typeCodes = map[Type]int64{Float32: 1, Int32: 6, Int64: 7, String: 8, Bool: 9, Float64: 11}

// batch as a size makes a dimension free, under that name.
const batch = -1

func valueInfo(name string, code int64, sizes ...int) []byte {
	var shape []byte
	for _, size := range sizes {
		if size == batch {
			shape = bytesField(shape, 1, stringField(nil, 2, "batch"))
		} else {
			shape = bytesField(shape, 1, varintField(nil, 1, int64(size)))
		}
	}
	tensor := bytesField(varintField(nil, 1, code), 2, shape)
	return bytesField(stringField(nil, 1, name), 2, bytesField(nil, 1, tensor))
}

func (g *graph) input(name string, kind Type, sizes ...int) *graph {
	g.body = bytesField(g.body, 11, valueInfo(name, typeCodes[kind], sizes...))
	return g
}

func (g *graph) output(name string, kind Type, sizes ...int) *graph {
	g.body = bytesField(g.body, 12, valueInfo(name, typeCodes[kind], sizes...))
	return g
}

func tensorProto(name string, t *Tensor) []byte {
	var b []byte
	for _, size := range t.shape {
		b = varintField(b, 1, int64(size))
	}
	b = varintField(b, 2, typeCodes[t.kind])
	for _, v := range t.float32s {
		b = protowire.AppendFixed32(protowire.AppendTag(b, 4, protowire.Fixed32Type), math.Float32bits(v))
	}
	for _, v := range t.int64s {
		b = varintField(b, 7, v)
	}
	for _, v := range t.strings {
		b = stringField(b, 6, v)
	}
	return stringField(b, 8, name)
}

func (g *graph) constant(name string, t *Tensor) *graph {
	g.body = bytesField(g.body, 5, tensorProto(name, t))
	return g
}

// attribute is a written AttributeProto.
type attribute []byte

func newAttribute(name string, kind attributeKind) []byte {
	return varintField(stringField(nil, 1, name), 20, int64(kind))
}

func intAttribute(name string, v int64) attribute {
	return varintField(newAttribute(name, intKind), 3, v)
}

func textAttribute(name, v string) attribute {
	return stringField(newAttribute(name, stringKind), 4, v)
}

func floatAttribute(name string, v float32) attribute {
	b := protowire.AppendTag(newAttribute(name, floatKind), 2, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, math.Float32bits(v))
}

func floatsAttribute(name string, values ...float32) attribute {
	b := newAttribute(name, floatsKind)
	for _, v := range values {
		b = protowire.AppendFixed32(protowire.AppendTag(b, 7, protowire.Fixed32Type), math.Float32bits(v))
	}
	return b
}

func textsAttribute(name string, values ...string) attribute {
	b := newAttribute(name, stringsKind)
	for _, v := range values {
		b = stringField(b, 9, v)
	}
	return b
}

// node adds a node named after its output; the operator may have its domain before it.
func (g *graph) node(domain, operator string, inputs []string, output string, attributes ...attribute) *graph {
	var b []byte
	for _, name := range inputs {
		b = stringField(b, 1, name)
	}
	b = stringField(b, 2, output)
	b = stringField(b, 3, "make "+output)
	b = stringField(b, 4, operator)
	for _, a := range attributes {
		b = bytesField(b, 5, a)
	}
	if domain != "" {
		b = stringField(b, 7, domain)
	}
	g.body = bytesField(g.body, 1, b)
	return g
}

// towerFile is a tower like the trainer's: 77 and 21 one-hot columns and a number, 64 hidden, 32
// out.
func towerFile() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	weights := func(shape ...int) *Tensor {
		t := &Tensor{kind: Float32, shape: shape}
		t.resize(elements(shape))
		for i := range t.float32s {
			t.float32s[i] = float32(random.NormFloat64() / 8)
		}
		return t
	}
	words := func(prefix string, n int) []string {
		s := make([]string, n)
		for i := range s {
			s[i] = fmt.Sprintf("%s %d", prefix, i)
		}
		return s
	}
	g := newGraph().input("city", String, batch, 1).input("country", String, batch, 1).input("credit_limit", Float32,
		batch, 1)
	g.node(mlDomain, "OneHotEncoder", []string{"city"}, "city_hot", textsAttribute("cats_strings",
		words("city", 77)...), intAttribute("zeros", 1)).
		constant("city_shape", Int64s([]int{2}, []int64{-1, 77})).node("", "Reshape",
		[]string{"city_hot", "city_shape"}, "city_columns").
		node(mlDomain, "OneHotEncoder", []string{"country"}, "country_hot", textsAttribute("cats_strings",
			words("country", 21)...), intAttribute("zeros", 1)).
		constant("country_shape", Int64s([]int{2}, []int64{-1, 21})).node("", "Reshape",
		[]string{"country_hot", "country_shape"}, "country_columns").
		node(mlDomain, "Scaler", []string{"credit_limit"}, "credit", floatsAttribute("offset", 70000),
			floatsAttribute("scale", 1.0/45000)).
		node("", "Concat", []string{"city_columns", "country_columns", "credit"}, "features", intAttribute("axis", 1)).
		constant("w1", weights(64, 99)).constant("b1", weights(64)).
		node("", "Gemm", []string{"features", "w1", "b1"}, "hidden", intAttribute("transB", 1)).
		node("", "Relu", []string{"hidden"}, "active").
		constant("w2", weights(32, 64)).constant("b2", weights(32)).
		node("", "Gemm", []string{"active", "w2", "b2"}, "raw", intAttribute("transB", 1)).
		node("", "LpNormalization", []string{"raw"}, "embedding", intAttribute("axis", -1), intAttribute("p", 2)).
		output("embedding", Float32, batch, 32)
	return g.bytes()
}

func loadTower(t testing.TB) *Model {
	t.Helper()
	m, err := Load(towerFile())
	require.NoError(t, err)
	return m
}

func towerInputs(n int) map[string]*Tensor {
	cities, countries, credits := make([]string, n), make([]string, n), make([]float32, n)
	for i := range n {
		cities[i], countries[i], credits[i] = fmt.Sprintf("city %d", i*7%90), fmt.Sprintf("country %d", i*5%21),
			float32(i*1000)
	}
	return map[string]*Tensor{
		"city": Strings([]int{n, 1}, cities), "country": Strings([]int{n, 1}, countries),
		"credit_limit": Floats([]int{n, 1}, credits),
	}
}
