package onnx

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// buildCast supports every pair of number and bool, and integers to string. Text to numbers is
// refused, because a request could fail on it; floats to string, because the specification leaves
// their form open.
func buildCast(c *call) error {
	if !c.has("to") {
		return errors.New("attribute \"to\" is missing")
	}
	to, err := dataType(uint64(c.int("to", 0)))
	if err != nil {
		return fmt.Errorf("attribute \"to\": %w", err)
	}
	from := c.in[0].kind
	if from == to {
		c.alias(c.in[0].shape)
		return nil
	}
	c.result(0, to, c.in[0].shape)
	switch from {
	case Float32:
		c.kernel = castFrom[float32](to)
	case Float64:
		c.kernel = castFrom[float64](to)
	case Int32:
		c.kernel = castFrom[int32](to)
	case Int64:
		c.kernel = castFrom[int64](to)
	case Bool:
		c.kernel = pick(to, each(number1[float32]), each(number1[float64]), each(number1[int32]), each(number1[int64]))
	}
	if to == String && (from == Int32 || from == Int64) {
		c.kernel = pick(from, nil, nil, each(func(x int32) string { return strconv.Itoa(int(x)) }),
			each(func(x int64) string { return strconv.FormatInt(x, 10) }))
	}
	if c.kernel == nil {
		return fmt.Errorf("a cast from %s to %s is not supported", from, to)
	}
	if to == Int64 || to == Int32 {
		c.out[0].integers = c.in[0].integers
	}
	return nil
}

func castFrom[T number](to Type) kernel {
	if to == Bool {
		return each(func(x T) bool { return x != 0 })
	}
	return pick(to, each(convert[T, float32]), each(convert[T, float64]), each(convert[T, int32]),
		each(convert[T, int64]))
}

func number1[T number](x bool) T {
	if x {
		return 1
	}
	return 0
}

// convert rounds a float towards zero to an integer. What ONNX leaves undefined is defined here,
// alike on every processor: a value out of range becomes the nearest in range, and NaN becomes 0.
func convert[T, U number](x T) U {
	var u U
	switch any(u).(type) {
	case int32:
		return U(toInteger(x, math.MinInt32, math.MaxInt32))
	case int64:
		return U(toInteger(x, math.MinInt64, math.MaxInt64))
	}
	return U(x)
}

func toInteger[T number](x T, low, high int64) int64 {
	switch v := any(x).(type) {
	case float32:
		return nearest(float64(v), low, high)
	case float64:
		return nearest(v, low, high)
	case int32:
		return int64(v)
	default:
		// An integer to a shorter one keeps its low bits, as in ONNX.
		return int64(x)
	}
}

func nearest(x float64, low, high int64) int64 {
	switch {
	case x != x:
		return 0
	case x <= float64(low):
		return low
	case x >= float64(high):
		return high
	}
	return int64(x)
}
