package onnx

import (
	"errors"
	"fmt"
	"math"
)

var elementwiseOperators = []operator{
	arithmetic("Add", pairs(add[float32], add[float64], add[int32], add[int64])),
	arithmetic("Sub", pairs(sub[float32], sub[float64], sub[int32], sub[int64])),
	arithmetic("Mul", pairs(mul[float32], mul[float64], mul[int32], mul[int64])),
	arithmetic("Div", pairs(div[float32], div[float64], div[int32], div[int64])),
	{name: "Pow", minInputs: 2, maxInputs: 2, maxOutputs: 1, build: buildPow},
	{name: "Max", minInputs: 1, maxInputs: variadic, maxOutputs: 1,
		build: buildExtreme(fold(larger[float32]), fold(larger[float64]), fold(larger[int32]), fold(larger[int64]))},
	{name: "Min", minInputs: 1, maxInputs: variadic, maxOutputs: 1,
		build: buildExtreme(fold(smaller[float32]), fold(smaller[float64]), fold(smaller[int32]),
			fold(smaller[int64]))},
	{name: "Clip", until: 10, minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildClipOfAttributes,
		attributes: []attributeRule{{name: "min", kind: floatKind}, {name: "max", kind: floatKind}}},
	{name: "Clip", since: 11, minInputs: 1, maxInputs: 3, maxOutputs: 1, build: buildClip},
	{name: "Equal", minInputs: 2, maxInputs: 2, maxOutputs: 1, build: buildEqual},
	comparison("Greater", pairs(greater[float32], greater[float64], greater[int32], greater[int64])),
	comparison("GreaterOrEqual", pairs(greaterOrEqual[float32], greaterOrEqual[float64], greaterOrEqual[int32],
		greaterOrEqual[int64])),
	comparison("Less", pairs(less[float32], less[float64], less[int32], less[int64])),
	comparison("LessOrEqual", pairs(lessOrEqual[float32], lessOrEqual[float64], lessOrEqual[int32],
		lessOrEqual[int64])),
	{name: "And", minInputs: 2, maxInputs: 2, maxOutputs: 1,
		build: buildLogical(func(x, y bool) bool { return x && y })},
	{name: "Or", minInputs: 2, maxInputs: 2, maxOutputs: 1,
		build: buildLogical(func(x, y bool) bool { return x || y })},
	{name: "Not", minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildNot},
	{name: "Where", minInputs: 3, maxInputs: 3, maxOutputs: 1, build: buildWhere},

	unary("Abs", numberTypes, pick4(each(absolute[float32]), each(absolute[float64]), each(absolute[int32]),
		each(absolute[int64]))),
	unary("Neg", numberTypes, pick4(each(negative[float32]), each(negative[float64]), each(negative[int32]),
		each(negative[int64]))),
	unary("Sqrt", floatTypes, real(math.Sqrt)),
	unary("Reciprocal", floatTypes, pick4(each(func(x float32) float32 { return 1 / x }),
		each(func(x float64) float64 { return 1 / x }), nil, nil)),
	unary("Exp", floatTypes, real(math.Exp)),
	unary("Log", floatTypes, real(math.Log)),
	unary("Erf", floatTypes, real(math.Erf)),
	unary("Tanh", floatTypes, real(math.Tanh)),
	unary("Sigmoid", floatTypes, real(sigmoid)),
	{name: "Relu", minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildRelu},
	{name: "LeakyRelu", minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "alpha", kind: floatKind}}, build: buildSlope("alpha", 0.01, leaky)},
	{name: "Elu", minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "alpha", kind: floatKind}}, build: buildSlope("alpha", 1, elu)},
	{name: "Gelu", minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "approximate", kind: stringKind}}, build: buildGelu},
	{name: "Cast", minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "to", kind: intKind}, {name: "saturate", kind: intKind, since: 19},
			{name: "round_mode", kind: stringKind, since: 24}},
		build: buildCast},
}

// The explicit conversions keep a product from being fused with a later sum, which some processors
// would do.
func add[T number](x, y T) T { return x + y }
func sub[T number](x, y T) T { return x - y }
func mul[T number](x, y T) T { return T(x * y) }
func div[T number](x, y T) T { return x / y }

func greater[T number](x, y T) bool        { return x > y }
func greaterOrEqual[T number](x, y T) bool { return x >= y }
func less[T number](x, y T) bool           { return x < y }
func lessOrEqual[T number](x, y T) bool    { return x <= y }

// larger and smaller keep NaN, as numpy and ONNX Runtime do.
func larger[T number](x, y T) T  { return max(x, y) }
func smaller[T number](x, y T) T { return min(x, y) }

func absolute[T number](x T) T {
	switch {
	case x < 0:
		return -x
	case x == 0:
		return 0
	}
	return x
}

func negative[T number](x T) T { return -x }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// each is the kernel that applies f to every element.
func each[T, U element](f func(T) U) kernel {
	return func(in, out []*Tensor) error {
		x, y := data[T](in[0]), data[U](out[0])
		for i := range y {
			y[i] = f(x[i])
		}
		return nil
	}
}

// pairs are the kernels that apply a function to two broadcast tensors, by type.
func pairs[A, B, C, D element](f32 func(x, y float32) A, f64 func(x, y float64) B, i32 func(x, y int32) C,
	i64 func(x, y int64) D) func(Type) kernel {
	return pick4(pair(f32), pair(f64), pair(i32), pair(i64))
}

func pair[T, U element](f func(x, y T) U) kernel {
	return func(in, out []*Tensor) error {
		combine(in[0], in[1], out[0], f)
		return nil
	}
}

func pick4(f32, f64, i32, i64 kernel) func(Type) kernel {
	return func(t Type) kernel { return pick(t, f32, f64, i32, i64) }
}

// real is a function of real numbers, computed in double for both types of float.
func real(f func(float64) float64) func(Type) kernel {
	return pick4(each(func(x float32) float32 { return float32(f(float64(x))) }), each(f), nil, nil)
}

func unary(name string, types []Type, kernels func(Type) kernel) operator {
	return operator{name: name, minInputs: 1, maxInputs: 1, maxOutputs: 1, build: func(c *call) error {
		if err := c.types(0, types...); err != nil {
			return err
		}
		c.result(0, c.in[0].kind, c.in[0].shape)
		c.kernel = kernels(c.in[0].kind)
		return nil
	}}
}

// broadcast describes output 0 as of that type and of the inputs' common shape.
func (c *call) broadcast(kind Type) error {
	shapes := make([][]dim, len(c.in))
	for i, v := range c.in {
		shapes[i] = v.shape
	}
	shape, err := broadcastShapes(shapes...)
	if err != nil {
		return err
	}
	c.result(0, kind, shape)
	return nil
}

func arithmetic(name string, kernels func(Type) kernel) operator {
	return operator{name: name, minInputs: 2, maxInputs: 2, maxOutputs: 1, build: func(c *call) error {
		if err := errors.Join(c.types(0, numberTypes...), c.sameTypes()); err != nil {
			return err
		}
		kind := c.in[0].kind
		if name == "Div" && (kind == Int32 || kind == Int64) {
			if err := c.in[1].noZeros(); err != nil {
				return err
			}
		}
		c.kernel = kernels(kind)
		if err := c.broadcast(kind); err != nil {
			return err
		}
		c.out[0].integers = linear(name, c.in[0].integers, c.in[1].integers, c.out[0].shape)
		return nil
	}}
}

// noZeros refuses an integer divisor that is not known at load or has a zero: a request could fail
// on it.
func (v *value) noZeros() error {
	if v.constant == nil {
		return fmt.Errorf("input %q divides integers and must be a constant", v.name)
	}
	for _, n := range v.constant.int64s {
		if n == 0 {
			return fmt.Errorf("input %q divides integers by zero", v.name)
		}
	}
	for _, n := range v.constant.int32s {
		if n == 0 {
			return fmt.Errorf("input %q divides integers by zero", v.name)
		}
	}
	return nil
}

// linear is the arithmetic of two short integer tensors of the same or of scalar shape, where the
// result is a linear function of the batch; else nil.
func linear(name string, a, b []dim, shape []dim) []dim {
	if a == nil || b == nil || len(shape) > 1 {
		return nil
	}
	size := max(len(a), len(b))
	if len(a) == 0 || len(b) == 0 || len(a) != size && len(a) != 1 || len(b) != size && len(b) != 1 {
		return nil
	}
	out := make([]dim, size)
	for i := range out {
		x, y := a[i%len(a)], b[i%len(b)]
		var err error
		switch name {
		case "Add":
			out[i], err = x.plus(y)
		case "Sub":
			out[i], err = x.plus(dim{-y.batch, -y.fixed})
		case "Mul":
			out[i], err = x.times(y)
		default:
			var exact bool
			if out[i], exact = x.over(y); !exact {
				return nil
			}
		}
		if err != nil {
			return nil
		}
	}
	return out
}

func comparison(name string, kernels func(Type) kernel) operator {
	return operator{name: name, minInputs: 2, maxInputs: 2, maxOutputs: 1, build: func(c *call) error {
		if err := errors.Join(c.types(0, numberTypes...), c.sameTypes()); err != nil {
			return err
		}
		c.kernel = kernels(c.in[0].kind)
		return c.broadcast(Bool)
	}}
}

func buildEqual(c *call) error {
	types := []Type{Float32, Float64, Int32, Int64, Bool}
	if c.version >= 19 {
		types = allTypes
	}
	if err := errors.Join(c.types(0, types...), c.sameTypes()); err != nil {
		return err
	}
	switch c.in[0].kind {
	case Bool:
		c.kernel = pair(func(x, y bool) bool { return x == y })
	case String:
		c.kernel = pair(func(x, y string) bool { return x == y })
	default:
		c.kernel = pairs(equal[float32], equal[float64], equal[int32], equal[int64])(c.in[0].kind)
	}
	return c.broadcast(Bool)
}

func equal[T number](x, y T) bool { return x == y }

func buildLogical(f func(x, y bool) bool) func(c *call) error {
	return func(c *call) error {
		if err := errors.Join(c.types(0, Bool), c.types(1, Bool)); err != nil {
			return err
		}
		c.kernel = pair(f)
		return c.broadcast(Bool)
	}
}

func buildNot(c *call) error {
	if err := c.types(0, Bool); err != nil {
		return err
	}
	c.result(0, Bool, c.in[0].shape)
	c.kernel = each(func(x bool) bool { return !x })
	return nil
}

// buildPow supports every base with every exponent; the result has the base's type.
func buildPow(c *call) error {
	if err := errors.Join(c.types(0, numberTypes...), c.types(1, numberTypes...)); err != nil {
		return err
	}
	switch c.in[0].kind {
	case Float32:
		c.kernel = power[float32](c.in[1].kind)
	case Float64:
		c.kernel = power[float64](c.in[1].kind)
	case Int32:
		c.kernel = power[int32](c.in[1].kind)
	case Int64:
		c.kernel = power[int64](c.in[1].kind)
	}
	return c.broadcast(c.in[0].kind)
}

func power[T number](exponent Type) kernel {
	return pick(exponent, mixed(raise[T, float32]), mixed(raise[T, float64]), mixed(raise[T, int32]),
		mixed(raise[T, int64]))
}

func raise[T, E number](x T, e E) T {
	if e == 2 {
		return T(x * x)
	}
	return convert[float64, T](math.Pow(float64(x), float64(e)))
}

// mixed is pair for two types of input.
func mixed[T, E number](f func(x T, e E) T) kernel {
	return func(in, out []*Tensor) error {
		x, e, z := data[T](in[0]), data[E](in[1]), data[T](out[0])
		if len(z) == 0 {
			return nil
		}
		shape := out[0].shape
		s := [3]strides{broadcastStrides(in[0].shape, shape), broadcastStrides(in[1].shape, shape), denseStrides(shape)}
		n, stepX, stepE := lastSize(shape), lastStride(&s[0], shape), lastStride(&s[1], shape)
		walk(shape, &s, func(at [3]int) {
			for k := range n {
				z[at[2]+k] = f(x[at[0]+k*stepX], e[at[1]+k*stepE])
			}
		})
		return nil
	}
}

// fold is the kernel that combines any number of broadcast tensors, from left to right.
func fold[T number](f func(x, y T) T) kernel {
	return func(in, out []*Tensor) error {
		spread[T](in[0], out[0])
		for _, t := range in[1:] {
			combine(out[0], t, out[0], f)
		}
		return nil
	}
}

func buildExtreme(f32, f64, i32, i64 kernel) func(c *call) error {
	return func(c *call) error {
		if err := errors.Join(c.types(0, numberTypes...), c.sameTypes()); err != nil {
			return err
		}
		c.kernel = pick(c.in[0].kind, f32, f64, i32, i64)
		c.work = fixed(len(c.in))
		return c.broadcast(c.in[0].kind)
	}
}

func buildClip(c *call) error {
	if err := errors.Join(c.types(0, numberTypes...), c.sameTypes()); err != nil {
		return err
	}
	for i := 1; i < len(c.in); i++ {
		if c.given(i) && len(c.in[i].shape) != 0 {
			return fmt.Errorf("input %q has shape %s; Clip takes a scalar", c.in[i].name, shapeText(c.in[i].shape))
		}
	}
	c.kernel = pick(c.in[0].kind, clip[float32], clip[float64], clip[int32], clip[int64])
	c.result(0, c.in[0].kind, c.in[0].shape)
	return nil
}

// buildClipOfAttributes is Clip as long as its bounds were attributes.
func buildClipOfAttributes(c *call) error {
	if err := c.types(0, floatTypes...); err != nil {
		return err
	}
	bound := func(name string) *Tensor {
		switch {
		case !c.has(name):
			return nil
		case c.in[0].kind == Float64:
			return Doubles(nil, []float64{float64(c.float(name, 0))})
		default:
			return Floats(nil, []float32{c.float(name, 0)})
		}
	}
	low, high := bound("min"), bound("max")
	within := pick(c.in[0].kind, clip[float32], clip[float64], nil, nil)
	c.kernel = func(in, out []*Tensor) error { return within([]*Tensor{in[0], low, high}, out) }
	c.result(0, c.in[0].kind, c.in[0].shape)
	return nil
}

func clip[T number](in, out []*Tensor) error {
	x, z := data[T](in[0]), data[T](out[0])
	copy(z, x)
	if len(in) > 1 && in[1] != nil {
		low := data[T](in[1])[0]
		for i, v := range z {
			if v < low {
				z[i] = low
			}
		}
	}
	if len(in) > 2 && in[2] != nil {
		high := data[T](in[2])[0]
		for i, v := range z {
			if v > high {
				z[i] = high
			}
		}
	}
	return nil
}

func buildWhere(c *call) error {
	if err := c.types(0, Bool); err != nil {
		return err
	}
	if c.in[1].kind != c.in[2].kind {
		return fmt.Errorf("inputs %q and %q have types %s and %s", c.in[1].name, c.in[2].name, c.in[1].kind,
			c.in[2].kind)
	}
	switch kind := c.in[1].kind; kind {
	case Bool:
		c.kernel = choose[bool]
	case String:
		c.kernel = choose[string]
	default:
		c.kernel = pick(kind, choose[float32], choose[float64], choose[int32], choose[int64])
	}
	return c.broadcast(c.in[1].kind)
}

func choose[T element](in, out []*Tensor) error {
	z, shape := data[T](out[0]), out[0].shape
	if len(z) == 0 {
		return nil
	}
	condition, x, y := in[0].bools, data[T](in[1]), data[T](in[2])
	s := [3]strides{broadcastStrides(in[0].shape, shape), broadcastStrides(in[1].shape, shape),
		broadcastStrides(in[2].shape, shape)}
	n := lastSize(shape)
	stepC, stepX, stepY := lastStride(&s[0], shape), lastStride(&s[1], shape), lastStride(&s[2], shape)
	o := 0
	walk(shape, &s, func(at [3]int) {
		for k := range n {
			if condition[at[0]+k*stepC] {
				z[o] = x[at[1]+k*stepX]
			} else {
				z[o] = y[at[2]+k*stepY]
			}
			o++
		}
	})
	return nil
}

func buildRelu(c *call) error {
	types := floatTypes
	if c.version >= 14 {
		types = numberTypes
	}
	if err := c.types(0, types...); err != nil {
		return err
	}
	c.kernel = pick(c.in[0].kind, each(rectify[float32]), each(rectify[float64]), each(rectify[int32]),
		each(rectify[int64]))
	c.result(0, c.in[0].kind, c.in[0].shape)
	return nil
}

func rectify[T number](x T) T {
	if x < 0 {
		return 0
	}
	return x
}

func leaky(x, alpha float64) float64 {
	if x < 0 {
		return alpha * x
	}
	return x
}

func elu(x, alpha float64) float64 {
	if x < 0 {
		return alpha * math.Expm1(x)
	}
	return x
}

// buildSlope is an activation with one parameter.
func buildSlope(attribute string, otherwise float32, f func(x, parameter float64) float64) func(c *call) error {
	return func(c *call) error {
		if err := c.types(0, floatTypes...); err != nil {
			return err
		}
		parameter := float64(c.float(attribute, otherwise))
		c.kernel = real(func(x float64) float64 { return f(x, parameter) })(c.in[0].kind)
		c.result(0, c.in[0].kind, c.in[0].shape)
		return nil
	}
}

func buildGelu(c *call) error {
	if err := c.types(0, floatTypes...); err != nil {
		return err
	}
	switch approximate := c.text("approximate", "none"); approximate {
	case "none":
		c.kernel = real(func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) })(c.in[0].kind)
	case "tanh":
		c.kernel = real(func(x float64) float64 {
			return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+float64(0.044715*x*x*x))))
		})(c.in[0].kind)
	default:
		return fmt.Errorf("attribute \"approximate\" is %.40q, not none or tanh", approximate)
	}
	c.result(0, c.in[0].kind, c.in[0].shape)
	return nil
}
