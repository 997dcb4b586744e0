package onnx

import "fmt"

// Type is the type of a tensor's elements.
type Type uint8

// The supported types. Their texts are ONNX's names.
const (
	Float32 Type = iota + 1
	Float64
	Int32
	Int64
	Bool
	String
)

var typeNames = [...]string{0: "unsupported", Float32: "float", Float64: "double", Int32: "int32", Int64: "int64",
	Bool: "bool", String: "string"}

func (t Type) String() string {
	if t > String {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return typeNames[t]
}

type float interface{ float32 | float64 }

type integer interface{ int32 | int64 }

type number interface{ float | integer }

type element interface{ number | bool | string }

// Tensor is a dense array in row-major order. Only the slice of its own type is set.
type Tensor struct {
	kind     Type
	shape    []int
	float32s []float32
	float64s []float64
	int32s   []int32
	int64s   []int64
	bools    []bool
	strings  []string
}

// Floats is a float tensor over data, which is not copied. Run reports a shape that does not fit
// it.
func Floats(shape []int, data []float32) *Tensor {
	return &Tensor{kind: Float32, shape: shape, float32s: data}
}

// Doubles is a double tensor over data, which is not copied. Run reports a shape that does not fit
// it.
func Doubles(shape []int, data []float64) *Tensor {
	return &Tensor{kind: Float64, shape: shape, float64s: data}
}

// Int32s is an int32 tensor over data, which is not copied. Run reports a shape that does not fit
// it.
func Int32s(shape []int, data []int32) *Tensor {
	return &Tensor{kind: Int32, shape: shape, int32s: data}
}

// Int64s is an int64 tensor over data, which is not copied. Run reports a shape that does not fit
// it.
func Int64s(shape []int, data []int64) *Tensor {
	return &Tensor{kind: Int64, shape: shape, int64s: data}
}

// Bools is a bool tensor over data, which is not copied. Run reports a shape that does not fit it.
func Bools(shape []int, data []bool) *Tensor {
	return &Tensor{kind: Bool, shape: shape, bools: data}
}

// Strings is a string tensor over data, which is not copied. Run reports a shape that does not fit
// it.
func Strings(shape []int, data []string) *Tensor {
	return &Tensor{kind: String, shape: shape, strings: data}
}

// Type is the type of the elements.
func (t *Tensor) Type() Type { return t.kind }

// Shape is the size of each dimension; empty for a scalar. It is shared, not a copy.
func (t *Tensor) Shape() []int { return t.shape }

// Floats is the data of a float tensor, else nil. It is shared, not a copy; so are those below.
func (t *Tensor) Floats() []float32 { return t.float32s }

// Doubles is the data of a double tensor, else nil.
func (t *Tensor) Doubles() []float64 { return t.float64s }

// Int32s is the data of an int32 tensor, else nil.
func (t *Tensor) Int32s() []int32 { return t.int32s }

// Int64s is the data of an int64 tensor, else nil.
func (t *Tensor) Int64s() []int64 { return t.int64s }

// Bools is the data of a bool tensor, else nil.
func (t *Tensor) Bools() []bool { return t.bools }

// Strings is the data of a string tensor, else nil.
func (t *Tensor) Strings() []string { return t.strings }

// count is the number of elements that the data holds.
func (t *Tensor) count() int {
	return len(t.float32s) + len(t.float64s) + len(t.int32s) + len(t.int64s) + len(t.bools) + len(t.strings)
}

// resize gives the tensor room for n elements, keeping its memory where that is enough.
func (t *Tensor) resize(n int) {
	switch t.kind {
	case Float32:
		t.float32s = room(t.float32s, n)
	case Float64:
		t.float64s = room(t.float64s, n)
	case Int32:
		t.int32s = room(t.int32s, n)
	case Int64:
		t.int64s = room(t.int64s, n)
	case Bool:
		t.bools = room(t.bools, n)
	case String:
		t.strings = room(t.strings, n)
	}
}

func room[T element](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// share makes the tensor another view on the data of from, with its own shape.
func (t *Tensor) share(from *Tensor) {
	shape := t.shape
	*t = *from
	t.shape = shape
}

// clone copies shape and data.
func (t *Tensor) clone() *Tensor {
	c := &Tensor{kind: t.kind, shape: append([]int(nil), t.shape...)}
	c.float32s = append(c.float32s, t.float32s...)
	c.float64s = append(c.float64s, t.float64s...)
	c.int32s = append(c.int32s, t.int32s...)
	c.int64s = append(c.int64s, t.int64s...)
	c.bools = append(c.bools, t.bools...)
	c.strings = append(c.strings, t.strings...)
	return c
}

// typeOf is the type of a tensor of T.
func typeOf[T element]() Type {
	var zero T
	switch any(zero).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int32:
		return Int32
	case int64:
		return Int64
	case bool:
		return Bool
	default:
		return String
	}
}

// data is the tensor's elements as a slice of T, which must be its type.
func data[T element](t *Tensor) []T {
	var zero T
	var p any
	switch any(zero).(type) {
	case float32:
		p = &t.float32s
	case float64:
		p = &t.float64s
	case int32:
		p = &t.int32s
	case int64:
		p = &t.int64s
	case bool:
		p = &t.bools
	case string:
		p = &t.strings
	}
	return *p.(*[]T)
}

// elements is the product of a shape's dimensions.
func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
