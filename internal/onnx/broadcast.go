package onnx

// strides are the steps in a tensor's data for each dimension of an output that it is broadcast to;
// 0 repeats.
type strides [MaxRank]int

// broadcastStrides aligns shape with out at the last dimension.
func broadcastStrides(shape, out []int) strides {
	var s strides
	step := 1
	for axis := len(shape) - 1; axis >= 0; axis-- {
		if shape[axis] != 1 {
			s[axis+len(out)-len(shape)] = step
		}
		step *= shape[axis]
	}
	return s
}

// denseStrides are the steps of a tensor of that shape in row-major order.
func denseStrides(shape []int) strides {
	var s strides
	step := 1
	for axis := len(shape) - 1; axis >= 0; axis-- {
		s[axis] = step
		step *= shape[axis]
	}
	return s
}

// walk visits the rows (last dimension) of a shape in order, with the offsets of up to three
// tensors over it.
func walk(shape []int, s *[3]strides, row func(offsets [3]int)) {
	var index [MaxRank]int
	var offsets [3]int
	for {
		row(offsets)
		axis := len(shape) - 2
		for ; axis >= 0; axis-- {
			index[axis]++
			for i := range offsets {
				offsets[i] += s[i][axis]
			}
			if index[axis] < shape[axis] {
				break
			}
			for i := range offsets {
				offsets[i] -= s[i][axis] * shape[axis]
			}
			index[axis] = 0
		}
		if axis < 0 {
			return
		}
	}
}

// lastSize is the length of a shape's rows, 1 for a scalar.
func lastSize(shape []int) int {
	if len(shape) == 0 {
		return 1
	}
	return shape[len(shape)-1]
}

func lastStride(s *strides, shape []int) int {
	if len(shape) == 0 {
		return 0
	}
	return s[len(shape)-1]
}

// combine applies f to two tensors, broadcast to out's shape.
func combine[T, U element](a, b, out *Tensor, f func(x, y T) U) {
	x, y, z := data[T](a), data[T](b), data[U](out)
	switch {
	case len(z) == 0:
	case len(x) == len(z) && len(y) == len(z):
		for i := range z {
			z[i] = f(x[i], y[i])
		}
	case len(x) == len(z) && len(y) == 1:
		for i := range z {
			z[i] = f(x[i], y[0])
		}
	default:
		s := [3]strides{broadcastStrides(a.shape, out.shape), broadcastStrides(b.shape, out.shape),
			denseStrides(out.shape)}
		n, stepX, stepY := lastSize(out.shape), lastStride(&s[0], out.shape), lastStride(&s[1], out.shape)
		walk(out.shape, &s, func(at [3]int) {
			i, j := at[0], at[1]
			row := z[at[2] : at[2]+n]
			for k := range row {
				row[k] = f(x[i], y[j])
				i, j = i+stepX, j+stepY
			}
		})
	}
}

// spread copies a tensor to out's shape, to which it is broadcast.
func spread[T element](in, out *Tensor) {
	x, z := data[T](in), data[T](out)
	if len(z) == 0 {
		return
	}
	if len(x) == len(z) {
		copy(z, x)
		return
	}
	s := [3]strides{broadcastStrides(in.shape, out.shape), denseStrides(out.shape)}
	n, step := lastSize(out.shape), lastStride(&s[0], out.shape)
	walk(out.shape, &s, func(at [3]int) {
		i := at[0]
		row := z[at[1] : at[1]+n]
		for k := range row {
			row[k] = x[i]
			i += step
		}
	})
}
