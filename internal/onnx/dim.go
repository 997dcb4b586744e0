package onnx

import (
	"fmt"
	"math"
	"strings"
)

// dim is a size, or an integer computed from sizes, as a linear function of the batch N: batch*N +
// fixed.
type dim struct{ batch, fixed int64 }

// dimLimit keeps sums and products of dims within int64.
const dimLimit = math.MaxInt32

func fixed(n int) dim { return dim{fixed: int64(n)} }

func (d dim) isFixed() bool { return d.batch == 0 }

func (d dim) is(n int64) bool { return d.batch == 0 && d.fixed == n }

// at is the dim's value for a batch of n.
func (d dim) at(n int) int { return int(d.batch)*n + int(d.fixed) }

func (d dim) String() string {
	switch {
	case d.batch == 0:
		return fmt.Sprint(d.fixed)
	case d.batch == 1 && d.fixed == 0:
		return "N"
	case d.fixed == 0:
		return fmt.Sprintf("%dN", d.batch)
	default:
		return fmt.Sprintf("%dN%+d", d.batch, d.fixed)
	}
}

func (d dim) valid() bool {
	return d.batch <= dimLimit && d.batch >= -dimLimit && d.fixed <= dimLimit && d.fixed >= -dimLimit
}

func (d dim) plus(e dim) (dim, error) {
	sum := dim{d.batch + e.batch, d.fixed + e.fixed}
	if !sum.valid() {
		return dim{}, fmt.Errorf("%v + %v is too large", d, e)
	}
	return sum, nil
}

// times is the product, of which one factor must be fixed.
func (d dim) times(e dim) (dim, error) {
	if d.is(0) || e.is(0) {
		return dim{}, nil
	}
	if !d.isFixed() {
		d, e = e, d
	}
	if !d.isFixed() {
		return dim{}, fmt.Errorf("%v times %v is not linear in the batch", d, e)
	}
	product := dim{d.fixed * e.batch, d.fixed * e.fixed}
	if !product.valid() {
		return dim{}, fmt.Errorf("%v times %v is too large", d, e)
	}
	return product, nil
}

// over is the exact quotient d/e for every batch, where there is one.
func (d dim) over(e dim) (dim, bool) {
	if e.isFixed() {
		if e.fixed == 0 || d.batch%e.fixed != 0 || d.fixed%e.fixed != 0 {
			return dim{}, false
		}
		return dim{d.batch / e.fixed, d.fixed / e.fixed}, true
	}
	if d.batch%e.batch != 0 {
		return dim{}, false
	}
	q := d.batch / e.batch
	return dim{fixed: q}, d.fixed == q*e.fixed
}

func product(dims []dim) (dim, error) {
	total := fixed(1)
	for _, d := range dims {
		var err error
		if total, err = total.times(d); err != nil {
			return dim{}, err
		}
	}
	return total, nil
}

func sameShape(a, b []dim) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// shapeText is a shape as errors show it, like [N 32].
func shapeText(dims []dim) string {
	parts := make([]string, len(dims))
	for i, d := range dims {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, " ") + "]"
}

func fixedShape(shape []int) []dim {
	dims := make([]dim, len(shape))
	for i, n := range shape {
		dims[i] = fixed(n)
	}
	return dims
}

// broadcastShapes is the shape that ONNX's multidirectional broadcasting gives, for every batch
// alike. https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md
func broadcastShapes(shapes ...[]dim) ([]dim, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]dim, rank)
	for i := range out {
		out[i] = fixed(1)
		for _, s := range shapes {
			axis := i - (rank - len(s))
			if axis < 0 || s[axis].is(1) {
				continue
			}
			if !out[i].is(1) && out[i] != s[axis] {
				return nil, fmt.Errorf("shapes %s do not broadcast", shapesText(shapes))
			}
			out[i] = s[axis]
		}
	}
	return out, nil
}

func shapesText(shapes [][]dim) string {
	parts := make([]string, len(shapes))
	for i, s := range shapes {
		parts[i] = shapeText(s)
	}
	return strings.Join(parts, ", ")
}
