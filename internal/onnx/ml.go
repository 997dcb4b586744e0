package onnx

import (
	"errors"
	"fmt"
	"math"
)

// mlOperators are those of ai.onnx.ml, whose floats are always float32 in the result.
// https://github.com/onnx/onnx/blob/main/docs/Operators-ml.md
var mlOperators = []operator{
	{domain: mlDomain, name: "ArrayFeatureExtractor", minInputs: 2, maxInputs: 2, maxOutputs: 1,
		build: buildArrayFeatureExtractor},
	{domain: mlDomain, name: "Normalizer", minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "norm", kind: stringKind}}, build: buildNormalizer},
	{domain: mlDomain, name: "OneHotEncoder", minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildOneHotEncoder,
		attributes: []attributeRule{
			{name: "cats_int64s", kind: intsKind}, {name: "cats_strings", kind: stringsKind},
			{name: "zeros", kind: intKind},
		}},
	{domain: mlDomain, name: "Scaler", minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildScaler,
		attributes: []attributeRule{{name: "offset", kind: floatsKind}, {name: "scale", kind: floatsKind}}},
}

func buildArrayFeatureExtractor(c *call) error {
	if err := c.types(1, Int64); err != nil {
		return err
	}
	shape := c.in[0].shape
	if len(shape) == 0 {
		return errors.New("it takes no scalar")
	}
	picked, err := product(c.in[1].shape)
	if err != nil {
		return err
	}
	result := append([]dim(nil), shape[:len(shape)-1]...)
	if len(shape) == 1 {
		result = append(result, fixed(1))
	}
	if constant := c.in[1].constant; constant != nil {
		if err := constant.within(shape[len(shape)-1]); err != nil {
			return err
		}
		for _, i := range constant.int64s {
			if i < 0 {
				return fmt.Errorf("index %d is negative", i)
			}
		}
	}
	c.result(0, c.in[0].kind, append(result, picked))
	c.kernel = forType(c.in[0].kind, extract[float32], extract[float64], extract[int32], extract[int64], extract[bool],
		extract[string])
	return nil
}

// extract picks columns of the last dimension.
func extract[T element](in, out []*Tensor) error {
	x, z := data[T](in[0]), data[T](out[0])
	size := lastSize(in[0].shape)
	for _, i := range in[1].int64s {
		if i < 0 || i >= int64(size) {
			return fmt.Errorf("index %d is out of range for %d columns", i, size)
		}
	}
	to := 0
	for from := 0; from < len(x); from += size {
		for _, i := range in[1].int64s {
			z[to] = x[from+int(i)]
			to++
		}
	}
	return nil
}

func buildNormalizer(c *call) error {
	if err := c.types(0, numberTypes...); err != nil {
		return err
	}
	if rank := len(c.in[0].shape); rank < 1 || rank > 2 {
		return fmt.Errorf("input %q has %d dimensions, not 1 or 2", c.in[0].name, rank)
	}
	norm := c.text("norm", "MAX")
	var measure func(norm, x float64) float64
	switch norm {
	case "MAX":
		measure = larger[float64]
	case "L1":
		measure = func(norm, x float64) float64 { return norm + math.Abs(x) }
	case "L2":
		measure = func(norm, x float64) float64 { return norm + float64(x*x) }
	default:
		return fmt.Errorf("attribute \"norm\" is %.40q, not MAX, L1 or L2", norm)
	}
	c.result(0, Float32, c.in[0].shape)
	c.kernel = pick(c.in[0].kind, normalizer[float32](norm, measure), normalizer[float64](norm, measure),
		normalizer[int32](norm, measure), normalizer[int64](norm, measure))
	return nil
}

// normalizer divides each row by its norm; a row of norm 0 stays as it is. MAX is the largest
// value, not magnitude.
func normalizer[T number](name string, measure func(norm, x float64) float64) kernel {
	start := 0.0
	if name == "MAX" {
		start = math.Inf(-1)
	}
	return func(in, out []*Tensor) error {
		x, z := data[T](in[0]), out[0].float32s
		size := lastSize(in[0].shape)
		for from := 0; from < len(x); from += size {
			norm := start
			for _, v := range x[from : from+size] {
				norm = measure(norm, float64(v))
			}
			if name == "L2" {
				norm = math.Sqrt(norm)
			}
			if norm == 0 {
				norm = 1
			}
			for i, v := range x[from : from+size] {
				z[from+i] = float32(float64(v) / norm)
			}
		}
		return nil
	}
}

// buildOneHotEncoder adds a dimension of the categories' number. With zeros 1, the default, an
// unknown category is a row of zeros; with zeros 0 it fails the request.
func buildOneHotEncoder(c *call) error {
	texts := c.has("cats_strings")
	if texts == c.has("cats_int64s") {
		return errors.New("exactly one of the attributes \"cats_int64s\" and \"cats_strings\" is needed")
	}
	zeros, err := c.flag("zeros", true)
	if err != nil {
		return err
	}
	size := 0
	if texts {
		if err := c.types(0, String); err != nil {
			return err
		}
		categories := c.attribute("cats_strings").texts()
		index, err := positions(categories)
		if err != nil {
			return err
		}
		size = len(categories)
		c.kernel = oneHot(index, size, zeros, func(s string) string { return s })
	} else {
		if err := c.types(0, numberTypes...); err != nil {
			return err
		}
		categories, err := c.ints("cats_int64s")
		if err != nil {
			return err
		}
		index, err := positions(categories)
		if err != nil {
			return err
		}
		size = len(categories)
		c.kernel = pick(c.in[0].kind, oneHot(index, size, zeros, convert[float32, int64]),
			oneHot(index, size, zeros, convert[float64, int64]),
			oneHot(index, size, zeros, convert[int32, int64]), oneHot(index, size, zeros, convert[int64, int64]))
	}
	c.result(0, Float32, append(append([]dim(nil), c.in[0].shape...), fixed(size)))
	return nil
}

func positions[T int64 | string](categories []T) (map[T]int, error) {
	if len(categories) == 0 {
		return nil, errors.New("there is no category")
	}
	index := make(map[T]int, len(categories))
	for i, category := range categories {
		if _, twice := index[category]; twice {
			return nil, fmt.Errorf("category %.40q is given twice", fmt.Sprint(category))
		}
		index[category] = i
	}
	return index, nil
}

func oneHot[T element, K int64 | string](index map[K]int, size int, zeros bool, key func(T) K) kernel {
	return func(in, out []*Tensor) error {
		z := out[0].float32s
		clear(z)
		for i, v := range data[T](in[0]) {
			at, known := index[key(v)]
			if !known && !zeros {
				return fmt.Errorf("category %d of the input is none of the %d known ones", i, size)
			}
			if known {
				z[i*size+at] = 1
			}
		}
		return nil
	}
}

// buildScaler is (x - offset) * scale, per column of the last dimension or with one number for all.
// As in ONNX Runtime, doubles are rounded to the result's float32 only at the end; all other types
// come to float32 first.
func buildScaler(c *call) error {
	if err := c.types(0, numberTypes...); err != nil {
		return err
	}
	offset, errOffset := c.floats("offset")
	scale, errScale := c.floats("scale")
	if err := errors.Join(errOffset, errScale); err != nil {
		return err
	}
	shape := c.in[0].shape
	if len(shape) == 0 {
		return errors.New("it takes no scalar")
	}
	columns := shape[len(shape)-1]
	if len(offset) != len(scale) || len(offset) != 1 && !columns.is(int64(len(offset))) {
		return fmt.Errorf("attributes \"offset\" and \"scale\" have %d and %d values; both need 1, or one for each "+
			"of %s columns",
			len(offset), len(scale), columns)
	}
	c.result(0, Float32, shape)
	c.kernel = pick(c.in[0].kind, scaler[float32, float32](offset, scale), scaler[float64, float64](offset, scale),
		scaler[int32, float32](offset, scale), scaler[int64, float32](offset, scale))
	return nil
}

// scaler works in F.
func scaler[T number, F float](offset, scale []float32) kernel {
	return func(in, out []*Tensor) error {
		z := out[0].float32s
		for i, v := range data[T](in[0]) {
			column := i % len(offset)
			z[i] = float32((F(v) - F(offset[column])) * F(scale[column]))
		}
		return nil
	}
}
