package onnx

import (
	"fmt"
	"math"
)

var reductionOperators = []operator{
	reduction("ReduceL1", floatTypes, 18, reducers{
		reduce(0, func(sum float64, x float32) float64 { return sum + math.Abs(float64(x)) }, whole[float32]),
		reduce(0, func(sum float64, x float64) float64 { return sum + math.Abs(x) }, whole[float64]), nil, nil}),
	reduction("ReduceL2", floatTypes, 18, reducers{
		reduce(0, addSquare[float32], root[float32]), reduce(0, addSquare[float64], root[float64]), nil, nil}),
	reduction("ReduceSumSquare", floatTypes, 18, reducers{
		reduce(0, addSquare[float32], whole[float32]), reduce(0, addSquare[float64], whole[float64]), nil, nil}),
	reduction("ReduceSum", numberTypes, 13, reducers{
		reduce(0, addTo[float64, float32], whole[float32]), reduce(0, addTo[float64, float64], whole[float64]),
		reduce(0, addTo[int64, int32], wholeInteger[int32]), reduce(0, addTo[int64, int64], wholeInteger[int64])}),
	reduction("ReduceMean", floatTypes, 18, reducers{
		reduce(0, addTo[float64, float32], mean[float32]), reduce(0, addTo[float64, float64], mean[float64]), nil,
		nil}),
	reduction("ReduceMax", numberTypes, 18, reducers{
		reduce(math.Inf(-1), largest[float64, float32], whole[float32]), reduce(math.Inf(-1), largest[float64, float64],
			whole[float64]),
		reduce(math.MinInt32, largest[int64, int32], wholeInteger[int32]), reduce(math.MinInt64, largest[int64, int64],
			wholeInteger[int64])}),
	reduction("ReduceMin", numberTypes, 18, reducers{
		reduce(math.Inf(1), least[float64, float32], whole[float32]), reduce(math.Inf(1), least[float64, float64],
			whole[float64]),
		reduce(math.MaxInt32, least[int64, int32], wholeInteger[int32]), reduce(math.MaxInt64, least[int64, int64],
			wholeInteger[int64])}),
	{name: "ArgMax", minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildArgMax, attributes: []attributeRule{
		{name: "axis", kind: intKind}, {name: "keepdims", kind: intKind}, {name: "select_last_index", kind: intKind},
	}},
}

// reducers are the kernels of one reduction by type, each made for the axes that it reduces.
type reducers [4]func(reduced []bool) kernel

func (r reducers) pick(t Type) func(reduced []bool) kernel {
	return r[map[Type]int{Float32: 0, Float64: 1, Int32: 2, Int64: 3}[t]]
}

// accumulator is the type in which a reduction works: double for floats, int64 for integers.
type accumulator interface{ float64 | int64 }

func addTo[A accumulator, T number](sum A, x T) A { return sum + A(x) }
func addSquare[T float](sum float64, x T) float64 { return sum + float64(float64(x)*float64(x)) }
func largest[A accumulator, T number](m A, x T) A { return larger(m, A(x)) }
func least[A accumulator, T number](m A, x T) A   { return smaller(m, A(x)) }

func whole[T float](sum float64, _ int) T        { return T(sum) }
func wholeInteger[T integer](sum int64, _ int) T { return T(sum) }
func root[T float](sum float64, _ int) T         { return T(math.Sqrt(sum)) }
func mean[T float](sum float64, n int) T         { return T(sum / float64(n)) }

// reduction is an operator that reduces axes, which are an attribute below version inputSince and
// an input from it on.
func reduction(name string, types []Type, inputSince int, kernels reducers) operator {
	return operator{name: name, minInputs: 1, maxInputs: 2, maxOutputs: 1,
		attributes: []attributeRule{
			{name: "keepdims", kind: intKind},
			{name: "axes", kind: intsKind, until: inputSince - 1},
			{name: "noop_with_empty_axes", kind: intKind, since: inputSince},
		},
		build: func(c *call) error {
			if err := c.types(0, types...); err != nil {
				return err
			}
			if len(c.in) > 1 && c.version < inputSince {
				return fmt.Errorf("it has 2 inputs, but in opset %d its axes are an attribute", c.version)
			}
			keep, err := c.flag("keepdims", true)
			if err != nil {
				return err
			}
			none, err := c.flag("noop_with_empty_axes", false)
			if err != nil {
				return err
			}
			rank := len(c.in[0].shape)
			var axes []int64
			if c.given(1) || c.has("axes") {
				if axes, err = c.knownFixed(1, "axes"); err != nil {
					return err
				}
			}
			reduced, err := normalAxes(axes, rank)
			if err != nil {
				return err
			}
			if len(axes) == 0 && !none {
				for i := range reduced {
					reduced[i] = true
				}
			}
			if len(axes) == 0 && none {
				// Without an axis nothing is reduced; exporters and engines differ on whether a
				// norm is still taken.
				if name == "ReduceL1" || name == "ReduceL2" || name == "ReduceSumSquare" {
					return fmt.Errorf("attribute \"noop_with_empty_axes\" without axes is not supported for %s", name)
				}
			}
			shape := make([]dim, 0, rank)
			work := fixed(1)
			for i, d := range c.in[0].shape {
				switch {
				case !reduced[i]:
					shape = append(shape, d)
				case keep:
					shape = append(shape, fixed(1))
				}
				if reduced[i] {
					if work, err = work.times(d); err != nil {
						return err
					}
				}
			}
			c.work = work
			c.result(0, c.in[0].kind, shape)
			c.kernel = kernels.pick(c.in[0].kind)(reduced)
			return nil
		}}
}

// reduce combines the elements along the reduced axes, in the order of the data, and finishes with
// their number.
func reduce[A accumulator, T number](start A, step func(A, T) A, finish func(A, int) T) func(reduced []bool) kernel {
	return func(reduced []bool) kernel {
		return func(in, out []*Tensor) error {
			x, z := data[T](in[0]), data[T](out[0])
			var kept, inner grid
			dense := denseStrides(in[0].shape)
			for axis, size := range in[0].shape {
				if reduced[axis] {
					inner.add(size, dense[axis])
				} else {
					kept.add(size, dense[axis])
				}
			}
			n := inner.count()
			kept.start()
			for i := range z {
				sum := start
				inner.start()
				for range n {
					sum = step(sum, x[kept.offset+inner.offset])
					inner.next()
				}
				z[i] = finish(sum, n)
				kept.next()
			}
			return nil
		}
	}
}

// grid goes through some dimensions of a tensor in row-major order; offset is where it stands in
// the data.
type grid struct {
	rank                int
	sizes, steps, index [MaxRank]int
	offset              int
}

func (g *grid) add(size, step int) {
	g.sizes[g.rank], g.steps[g.rank] = size, step
	g.rank++
}

func (g *grid) count() int { return elements(g.sizes[:g.rank]) }

func (g *grid) start() { g.index, g.offset = [MaxRank]int{}, 0 }

func (g *grid) next() {
	for axis := g.rank - 1; axis >= 0; axis-- {
		g.index[axis]++
		g.offset += g.steps[axis]
		if g.index[axis] < g.sizes[axis] {
			return
		}
		g.offset -= g.steps[axis] * g.sizes[axis]
		g.index[axis] = 0
	}
}

func buildArgMax(c *call) error {
	if err := c.types(0, numberTypes...); err != nil {
		return err
	}
	keep, err := c.flag("keepdims", true)
	if err != nil {
		return err
	}
	last, err := c.flag("select_last_index", false)
	if err != nil {
		return err
	}
	axis, err := c.axis("axis", 0, len(c.in[0].shape))
	if err != nil {
		return err
	}
	shape := make([]dim, 0, len(c.in[0].shape))
	for i, d := range c.in[0].shape {
		if i == axis && keep {
			shape = append(shape, fixed(1))
		} else if i != axis {
			shape = append(shape, d)
		}
	}
	if c.in[0].shape[axis].is(0) {
		return fmt.Errorf("axis %d of input %q has no element", axis, c.in[0].name)
	}
	c.work = c.in[0].shape[axis]
	c.result(0, Int64, shape)
	c.kernel = pick(c.in[0].kind, argMax[float32](axis, last), argMax[float64](axis, last), argMax[int32](axis, last),
		argMax[int64](axis, last))
	return nil
}

// argMax is the index of the first, or last, greatest element along an axis. A NaN is never
// greater.
func argMax[T number](axis int, last bool) kernel {
	return func(in, out []*Tensor) error {
		x := data[T](in[0])
		l := lanesOf(in[0].shape, axis)
		for i := range out[0].int64s {
			from := l.start(i)
			best := 0
			for j := 1; j < l.size; j++ {
				v, top := x[from+j*l.step], x[from+best*l.step]
				if v > top || last && v == top {
					best = j
				}
			}
			out[0].int64s[i] = int64(best)
		}
		return nil
	}
}

// lanes are the runs of elements along one axis: count of them, each of size elements that lie step
// apart.
type lanes struct{ count, size, step int }

func lanesOf(shape []int, axis int) lanes {
	return lanes{elements(shape[:axis]) * elements(shape[axis+1:]), shape[axis], elements(shape[axis+1:])}
}

// start is where lane i begins.
func (l lanes) start(i int) int { return i/l.step*l.step*l.size + i%l.step }
