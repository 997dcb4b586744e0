package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// operator is one entry of the allow-list.
type operator struct {
	domain, name string
	// since and until bound the versions of the operator set in which the entry holds; 0 is no
	// bound. An operator whose form changed has an entry for each form.
	since, until int
	// inputs and outputs bound how many a node has; those above the least may be omitted by an
	// empty name, too.
	minInputs, maxInputs int
	maxOutputs           int
	attributes           []attributeRule
	// build checks a node's types and shapes, describes its outputs and sets its kernel.
	build func(c *call) error
}

// attributeRule allows an attribute in versions since to until of the operator set (0 is no bound).
type attributeRule struct {
	name         string
	kind         attributeKind
	since, until int
}

// variadic is the greatest number of inputs of an operator that takes any number.
const variadic = MaxArguments

const mlDomain = "ai.onnx.ml"

// value is a tensor of the graph as known at load.
type value struct {
	name  string
	kind  Type
	shape []dim
	// constant is the data where it is known at load.
	constant *Tensor
	// integers is the data of an integer tensor that depends on nothing but the batch, where that
	// is known.
	integers []dim
	// of is the value whose data this one shares, nil for its own data.
	of *value
	// slot is the index of the value in a run, -1 until the plan needs it.
	slot int
}

// kernel computes a node's outputs, whose memory is ready. An omitted input or output is nil.
type kernel func(in, out []*Tensor) error

// call is one node while it is being built.
type call struct {
	node    *nodeProto
	op      *operator
	version int
	in      []*value
	out     []*value
	kernel  kernel
	// settled are the inputs that served to find shapes only: the kernel does not read them.
	settled []int
	// work is the number of multiply-adds for each element of the first output; 1 where unset.
	work dim
}

func (c *call) attribute(name string) *attributeProto {
	for i := range c.node.attributes {
		if c.node.attributes[i].name == name {
			return &c.node.attributes[i]
		}
	}
	return nil
}

func (c *call) has(name string) bool { return c.attribute(name) != nil }

func (c *call) int(name string, otherwise int64) int64 {
	if a := c.attribute(name); a != nil {
		return a.int()
	}
	return otherwise
}

func (c *call) flag(name string, otherwise bool) (bool, error) {
	a := c.attribute(name)
	if a == nil {
		return otherwise, nil
	}
	if v := a.int(); v != 0 && v != 1 {
		return false, fmt.Errorf("attribute %q is %d, not 0 or 1", name, v)
	}
	return a.int() == 1, nil
}

func (c *call) float(name string, otherwise float32) float32 {
	if a := c.attribute(name); a != nil {
		return a.float()
	}
	return otherwise
}

func (c *call) text(name, otherwise string) string {
	if a := c.attribute(name); a != nil {
		return a.text()
	}
	return otherwise
}

func (c *call) floats(name string) ([]float32, error) {
	if a := c.attribute(name); a != nil {
		return a.floats()
	}
	return nil, nil
}

func (c *call) ints(name string) ([]int64, error) {
	if a := c.attribute(name); a != nil {
		return a.ints()
	}
	return nil, nil
}

// given says whether the node has an input i.
func (c *call) given(i int) bool { return i < len(c.in) && c.in[i] != nil }

// types refuses a node whose input i has none of the types.
func (c *call) types(i int, allowed ...Type) error {
	if !slices.Contains(allowed, c.in[i].kind) {
		names := make([]string, len(allowed))
		for j, t := range allowed {
			names[j] = t.String()
		}
		return fmt.Errorf("input %q has type %s; %s takes %s", c.in[i].name, c.in[i].kind, c.op.name,
			strings.Join(names, ", "))
	}
	return nil
}

// sameTypes refuses a node whose given inputs differ in type.
func (c *call) sameTypes() error {
	for _, v := range c.in[1:] {
		if v != nil && v.kind != c.in[0].kind {
			return fmt.Errorf("inputs %q and %q have types %s and %s", c.in[0].name, v.name, c.in[0].kind, v.kind)
		}
	}
	return nil
}

// result describes output i.
func (c *call) result(i int, kind Type, shape []dim) {
	if i < len(c.out) && c.out[i] != nil {
		c.out[i].kind, c.out[i].shape = kind, shape
	}
}

// alias makes the output another view on the data of input 0.
func (c *call) alias(shape []dim) {
	c.result(0, c.in[0].kind, shape)
	c.out[0].of = c.in[0]
	c.out[0].integers = c.in[0].integers
	c.kernel = func(in, out []*Tensor) error {
		out[0].share(in[0])
		return nil
	}
}

// known is the integers that input i holds, as functions of the batch; in a form of the operator
// that has no such input, those of the attribute. What decides a shape must be known.
func (c *call) known(i int, attribute string) ([]dim, error) {
	if !c.given(i) {
		if !c.has(attribute) {
			return nil, fmt.Errorf("attribute %q is missing", attribute)
		}
		numbers, err := c.ints(attribute)
		if err == nil && len(numbers) > MaxRank {
			err = fmt.Errorf("attribute %q has %d values, more than %d", attribute, len(numbers), MaxRank)
		}
		return shapeIntegers(numbers), err
	}
	v := c.in[i]
	if v.kind != Int64 && v.kind != Int32 {
		return nil, fmt.Errorf("input %q has type %s; %s takes int64 there", v.name, v.kind, c.op.name)
	}
	if v.integers == nil {
		return nil, fmt.Errorf("input %q decides a shape and must be a constant or computed from shapes", v.name)
	}
	c.settled = append(c.settled, i)
	return v.integers, nil
}

// knownFixed is known, for integers that must not depend on the batch.
func (c *call) knownFixed(i int, attribute string) ([]int64, error) {
	dims, err := c.known(i, attribute)
	if err != nil {
		return nil, err
	}
	fixed := make([]int64, len(dims))
	for j, d := range dims {
		if !d.isFixed() {
			return nil, fmt.Errorf("input %q depends on the batch (%s)", c.in[i].name, shapeText(dims))
		}
		fixed[j] = d.fixed
	}
	return fixed, nil
}

// axis is the attribute of that name as an index into rank dimensions.
func (c *call) axis(name string, otherwise int64, rank int) (int, error) {
	return normalAxis(c.int(name, otherwise), rank)
}

func normalAxis(axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d is out of range for %d dimensions", axis, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// normalAxes makes axes indices into rank dimensions and refuses repeated ones.
func normalAxes(axes []int64, rank int) ([]bool, error) {
	chosen := make([]bool, rank)
	for _, a := range axes {
		i, err := normalAxis(a, rank)
		if err != nil {
			return nil, err
		}
		if chosen[i] {
			return nil, fmt.Errorf("axis %d is given twice", a)
		}
		chosen[i] = true
	}
	return chosen, nil
}

// pick is the kernel for a type of number; nil for types that were refused before.
func pick(t Type, f32, f64, i32, i64 kernel) kernel {
	switch t {
	case Float32:
		return f32
	case Float64:
		return f64
	case Int32:
		return i32
	case Int64:
		return i64
	}
	return nil
}

var (
	floatTypes  = []Type{Float32, Float64}
	numberTypes = []Type{Float32, Float64, Int32, Int64}
	allTypes    = []Type{Float32, Float64, Int32, Int64, Bool, String}
)

// Operators is the allow-list, sorted: a name of the default domain, or ai.onnx.ml's with its
// domain before it.
func Operators() []string {
	names := make([]string, 0, len(operators))
	for i := range operators {
		names = append(names, operators[i].title())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (op *operator) title() string { return title(op.domain, op.name) }

func title(domain, name string) string {
	if domain == "" {
		return name
	}
	return domain + "." + name
}

// operators is the allow-list itself.
var operators = slices.Concat(elementwiseOperators, matrixOperators, reductionOperators, normalizationOperators,
	shapeOperators, mlOperators)
