package onnx

import (
	"errors"
	"fmt"
	"math"
)

var normalizationOperators = []operator{
	// Below 13, Softmax and LogSoftmax work on all dimensions from axis on, as on one.
	{name: "Softmax", since: 13, minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "axis", kind: intKind}}, build: buildLanes("axis", softmax[float32],
			softmax[float64])},
	{name: "LogSoftmax", since: 13, minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "axis", kind: intKind}}, build: buildLanes("axis", logSoftmax[float32],
			logSoftmax[float64])},
	{name: "LpNormalization", minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "axis", kind: intKind}, {name: "p", kind: intKind}},
		build:      buildLpNormalization},
	{name: "LayerNormalization", minInputs: 2, maxInputs: 3, maxOutputs: 3, build: buildLayerNormalization,
		attributes: []attributeRule{{name: "axis", kind: intKind}, {name: "epsilon", kind: floatKind},
			{name: "stash_type", kind: intKind}}},
	{name: "BatchNormalization", minInputs: 5, maxInputs: 5, maxOutputs: 1, build: buildBatchNormalization,
		attributes: []attributeRule{{name: "epsilon", kind: floatKind}, {name: "momentum", kind: floatKind},
			{name: "spatial", kind: intKind, until: 8}, {name: "training_mode", kind: intKind, since: 14}}},
}

// buildLanes is an operator that works on every lane along one axis by itself and keeps the shape.
func buildLanes(attribute string, f32 func(x, z []float32, step, size int),
	f64 func(x, z []float64, step, size int)) func(c *call) error {
	return func(c *call) error {
		if err := c.types(0, floatTypes...); err != nil {
			return err
		}
		axis, err := c.axis(attribute, -1, len(c.in[0].shape))
		if err != nil {
			return err
		}
		c.result(0, c.in[0].kind, c.in[0].shape)
		c.kernel = pick(c.in[0].kind, eachLane(axis, f32), eachLane(axis, f64), nil, nil)
		return nil
	}
}

// eachLane is the kernel that applies f to each lane: size elements, step apart, from the start of
// both slices.
func eachLane[T float](axis int, f func(x, z []T, step, size int)) kernel {
	return func(in, out []*Tensor) error {
		x, z := data[T](in[0]), data[T](out[0])
		if len(z) == 0 {
			return nil
		}
		l := lanesOf(in[0].shape, axis)
		for i := range l.count {
			from := l.start(i)
			f(x[from:], z[from:], l.step, l.size)
		}
		return nil
	}
}

// exponentials sets z to exp(x - max x) and returns their sum and the maximum.
func exponentials[T float](x, z []T, step, size int) (sum, top float64) {
	top = math.Inf(-1)
	for j := range size {
		top = larger(float64(x[j*step]), top)
	}
	for j := range size {
		e := math.Exp(float64(x[j*step]) - top)
		z[j*step] = T(e)
		sum += e
	}
	return sum, top
}

func softmax[T float](x, z []T, step, size int) {
	sum, _ := exponentials(x, z, step, size)
	for j := range size {
		z[j*step] = T(float64(z[j*step]) / sum)
	}
}

func logSoftmax[T float](x, z []T, step, size int) {
	sum, top := exponentials(x, z, step, size)
	for j := range size {
		z[j*step] = T(float64(x[j*step]) - top - math.Log(sum))
	}
}

func buildLpNormalization(c *call) error {
	switch p := c.int("p", 2); p {
	case 1:
		return buildLanes("axis", divideByNorm[float32](1), divideByNorm[float64](1))(c)
	case 2:
		return buildLanes("axis", divideByNorm[float32](2), divideByNorm[float64](2))(c)
	default:
		return fmt.Errorf("attribute \"p\" is %d, not 1 or 2", p)
	}
}

// divideByNorm makes a lane of norm 1. A lane of zeros stays as it is.
func divideByNorm[T float](p int) func(x, z []T, step, size int) {
	return func(x, z []T, step, size int) {
		norm := 0.0
		for j := range size {
			if v := float64(x[j*step]); p == 1 {
				norm += math.Abs(v)
			} else {
				norm += float64(v * v)
			}
		}
		if p == 2 {
			norm = math.Sqrt(norm)
		}
		if norm == 0 {
			norm = 1
		}
		for j := range size {
			z[j*step] = T(float64(x[j*step]) / norm)
		}
	}
}

// buildLayerNormalization supports scales and biases of the normalised dimensions' own shape.
func buildLayerNormalization(c *call) error {
	if err := errors.Join(c.types(0, floatTypes...), c.sameTypes()); err != nil {
		return err
	}
	if stash := c.int("stash_type", 1); stash != 1 {
		return fmt.Errorf("attribute \"stash_type\" is %d; only 1 (float) is supported", stash)
	}
	shape := c.in[0].shape
	axis, err := c.axis("axis", -1, len(shape))
	if err != nil {
		return err
	}
	for i := 1; i < len(c.in); i++ {
		if c.given(i) && !sameShape(c.in[i].shape, shape[axis:]) {
			return fmt.Errorf("input %q has shape %s, not the normalised %s", c.in[i].name, shapeText(c.in[i].shape),
				shapeText(shape[axis:]))
		}
	}
	c.result(0, c.in[0].kind, shape)
	statistics := append([]dim(nil), shape[:axis]...)
	for range shape[axis:] {
		statistics = append(statistics, fixed(1))
	}
	c.result(1, Float32, statistics)
	c.result(2, Float32, statistics)
	epsilon := float64(c.float("epsilon", 1e-5))
	c.kernel = pick(c.in[0].kind, layerNorm[float32](axis, epsilon), layerNorm[float64](axis, epsilon), nil, nil)
	return nil
}

func layerNorm[T float](axis int, epsilon float64) kernel {
	return func(in, out []*Tensor) error {
		x, scale, z := data[T](in[0]), data[T](in[1]), data[T](out[0])
		var bias []T
		if len(in) > 2 && in[2] != nil {
			bias = data[T](in[2])
		}
		n := elements(in[0].shape[axis:])
		for i := range elements(in[0].shape[:axis]) {
			row, to := x[i*n:(i+1)*n], z[i*n:(i+1)*n]
			average, squares := 0.0, 0.0
			for _, v := range row {
				average += float64(v)
			}
			average /= float64(n)
			for _, v := range row {
				d := float64(v) - average
				squares += float64(d * d)
			}
			inverse := 1 / math.Sqrt(squares/float64(n)+epsilon)
			for j, v := range row {
				to[j] = T((float64(v) - average) * inverse * float64(scale[j]))
				if bias != nil {
					to[j] += bias[j]
				}
			}
			if len(out) > 1 && out[1] != nil {
				out[1].float32s[i] = float32(average)
			}
			if len(out) > 2 && out[2] != nil {
				out[2].float32s[i] = float32(inverse)
			}
		}
		return nil
	}
}

// buildBatchNormalization supports inference only: one output, training_mode 0.
func buildBatchNormalization(c *call) error {
	if err := errors.Join(c.types(0, floatTypes...), c.sameTypes()); err != nil {
		return err
	}
	if c.int("training_mode", 0) != 0 {
		return errors.New("attribute \"training_mode\" is not 0: training is not supported")
	}
	if c.int("spatial", 1) != 1 {
		return errors.New("attribute \"spatial\" is not 1: statistics of single elements are not supported")
	}
	shape := c.in[0].shape
	channels := fixed(1)
	if len(shape) > 1 {
		channels = shape[1]
	}
	for _, v := range c.in[1:] {
		if len(v.shape) != 1 || v.shape[0] != channels {
			return fmt.Errorf("input %q has shape %s, not [%s], the channels of %s", v.name, shapeText(v.shape),
				channels, shapeText(shape))
		}
	}
	c.result(0, c.in[0].kind, shape)
	epsilon := float64(c.float("epsilon", 1e-5))
	c.kernel = pick(c.in[0].kind, batchNorm[float32](epsilon), batchNorm[float64](epsilon), nil, nil)
	return nil
}

func batchNorm[T float](epsilon float64) kernel {
	return func(in, out []*Tensor) error {
		x, z := data[T](in[0]), data[T](out[0])
		scale, bias, average, variance := data[T](in[1]), data[T](in[2]), data[T](in[3]), data[T](in[4])
		inner := 1
		if len(in[0].shape) > 2 {
			inner = elements(in[0].shape[2:])
		}
		for i := 0; i < len(z); i += inner {
			channel := i / inner % len(scale)
			inverse := 1 / math.Sqrt(float64(variance[channel])+epsilon)
			for j := i; j < i+inner; j++ {
				z[j] = T((float64(x[j])-float64(average[channel]))*inverse*float64(scale[channel])) + bias[channel]
			}
		}
		return nil
	}
}
