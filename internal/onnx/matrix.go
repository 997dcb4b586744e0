package onnx

import (
	"errors"
	"fmt"
	"math"
)

var matrixOperators = []operator{
	{name: "Gemm", minInputs: 2, maxInputs: 3, maxOutputs: 1, build: buildGemm, attributes: []attributeRule{
		{name: "alpha", kind: floatKind}, {name: "beta", kind: floatKind},
		{name: "transA", kind: intKind}, {name: "transB", kind: intKind},
	}},
	{name: "MatMul", minInputs: 2, maxInputs: 2, maxOutputs: 1, build: buildMatMul},
}

// matrix is a view on row-major data: element (i, j) lies at i*row + j*column.
type matrix[T number] struct {
	data        []T
	row, column int
}

// multiply sets out, of m rows and n columns, to a times b, where k is the inner size. Every
// element sums its products in the order of the inner index. With sparse, zeros of a are skipped,
// which is exact as long as b is finite: most of a tower's first input is zeros of one-hot columns.
func multiply[T number](out []T, a, b matrix[T], m, n, k int, sparse bool) {
	clear(out)
	if b.column != 1 {
		multiplyByColumns(out, a, b, m, n, k)
		return
	}
	for i := range m {
		row := out[i*n : (i+1)*n]
		var factors [4]T
		var rows [4][]T
		pending := 0
		for l := range k {
			factor := a.data[i*a.row+l*a.column]
			if sparse && factor == 0 {
				continue
			}
			factors[pending], rows[pending] = factor, b.data[l*b.row:l*b.row+n]
			if pending++; pending == 4 {
				addRows(row, &factors, &rows)
				pending = 0
			}
		}
		for p := range pending {
			addRow(row, factors[p], rows[p])
		}
	}
}

func addRow[T number](row []T, factor T, b []T) {
	b = b[:len(row)]
	for j := range row {
		row[j] += T(factor * b[j])
	}
}

// addRows is four times addRow, in that order, with a quarter of the memory traffic.
func addRows[T number](row []T, factors *[4]T, rows *[4][]T) {
	b0, b1, b2, b3 := rows[0][:len(row)], rows[1][:len(row)], rows[2][:len(row)], rows[3][:len(row)]
	f0, f1, f2, f3 := factors[0], factors[1], factors[2], factors[3]
	for j, sum := range row {
		sum += T(f0 * b0[j])
		sum += T(f1 * b1[j])
		sum += T(f2 * b2[j])
		sum += T(f3 * b3[j])
		row[j] = sum
	}
}

func multiplyByColumns[T number](out []T, a, b matrix[T], m, n, k int) {
	for i := range m {
		for j := range n {
			var sum T
			for l := range k {
				sum += T(a.data[i*a.row+l*a.column] * b.data[l*b.row+j*b.column])
			}
			out[i*n+j] = sum
		}
	}
}

func finite[T number](s []T) bool {
	for _, v := range s {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}

func buildGemm(c *call) error {
	if err := errors.Join(c.types(0, numberTypes...), c.sameTypes()); err != nil {
		return err
	}
	transA, errA := c.flag("transA", false)
	transB, errB := c.flag("transB", false)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	a, b := c.in[0].shape, c.in[1].shape
	if len(a) != 2 || len(b) != 2 {
		return fmt.Errorf("inputs have shapes %s and %s; Gemm takes matrices", shapeText(a), shapeText(b))
	}
	m, k, k2, n := a[0], a[1], b[0], b[1]
	if transA {
		m, k = k, m
	}
	if transB {
		k2, n = n, k2
	}
	if k != k2 {
		return fmt.Errorf("inner sizes %s and %s of shapes %s and %s differ", k, k2, shapeText(a), shapeText(b))
	}
	shape := []dim{m, n}
	if c.given(2) {
		if joint, err := broadcastShapes(shape, c.in[2].shape); err != nil || !sameShape(joint, shape) {
			return fmt.Errorf("input %q of shape %s does not broadcast to %s", c.in[2].name, shapeText(c.in[2].shape),
				shapeText(shape))
		}
	}
	c.result(0, c.in[0].kind, shape)
	c.work = k
	alpha, beta := c.float("alpha", 1), c.float("beta", 1)
	switch c.in[0].kind {
	case Float32:
		c.kernel = gemm(c.in[1].constant, transA, transB, alpha, beta)
	case Float64:
		c.kernel = gemm(c.in[1].constant, transA, transB, float64(alpha), float64(beta))
	default:
		if alpha != 1 || beta != 1 {
			return fmt.Errorf("attributes \"alpha\" %v and \"beta\" %v of an integer Gemm are not 1", alpha, beta)
		}
		c.kernel = pick(c.in[0].kind, nil, nil, gemm[int32](c.in[1].constant, transA, transB, 1, 1),
			gemm[int64](c.in[1].constant, transA, transB, 1, 1))
	}
	return nil
}

// gemm computes alpha*A*B + beta*C. Constant weights are laid out by rows once, at load.
func gemm[T number](weights *Tensor, transA, transB bool, alpha, beta T) kernel {
	var packed []T
	sparse := false
	if weights != nil {
		packed = data[T](weights)
		sparse = finite(packed)
		if transB {
			packed = transposed(packed, weights.shape[0], weights.shape[1])
		}
	}
	return func(in, out []*Tensor) error {
		m, n, z := out[0].shape[0], out[0].shape[1], data[T](out[0])
		k := in[0].shape[1]
		a := matrix[T]{data[T](in[0]), k, 1}
		if transA {
			k = in[0].shape[0]
			a.row, a.column = 1, m
		}
		b := matrix[T]{packed, n, 1}
		if weights == nil {
			b.data = data[T](in[1])
			if transB {
				b.row, b.column = 1, k
			}
		}
		multiply(z, a, b, m, n, k, sparse)
		if alpha != 1 {
			for i := range z {
				z[i] *= alpha
			}
		}
		if len(in) < 3 || in[2] == nil {
			return nil
		}
		combine(out[0], in[2], out[0], func(x, y T) T { return x + T(beta*y) })
		return nil
	}
}

func transposed[T element](s []T, rows, columns int) []T {
	t := make([]T, len(s))
	for i := range rows {
		for j := range columns {
			t[j*rows+i] = s[i*columns+j]
		}
	}
	return t
}

func buildMatMul(c *call) error {
	if err := errors.Join(c.types(0, numberTypes...), c.sameTypes()); err != nil {
		return err
	}
	a, b := c.in[0].shape, c.in[1].shape
	if len(a) == 0 || len(b) == 0 {
		return errors.New("MatMul takes no scalars")
	}
	vectorA, vectorB := len(a) == 1, len(b) == 1
	if vectorA {
		a = []dim{fixed(1), a[0]}
	}
	if vectorB {
		b = []dim{b[0], fixed(1)}
	}
	m, k, n := a[len(a)-2], a[len(a)-1], b[len(b)-1]
	if k != b[len(b)-2] {
		return fmt.Errorf("inner sizes %s and %s of shapes %s and %s differ", k, b[len(b)-2],
			shapeText(c.in[0].shape), shapeText(c.in[1].shape))
	}
	shape, err := broadcastShapes(a[:len(a)-2], b[:len(b)-2])
	if err != nil {
		return err
	}
	batches := len(shape)
	if !vectorA {
		shape = append(shape, m)
	}
	if !vectorB {
		shape = append(shape, n)
	}
	c.result(0, c.in[0].kind, shape)
	c.work = k
	constant := c.in[1].constant
	c.kernel = pick(c.in[0].kind, matmul[float32](constant, batches), matmul[float64](constant, batches),
		matmul[int32](constant, batches), matmul[int64](constant, batches))
	return nil
}

// matmul multiplies stacks of matrices; batches is the number of leading dimensions of the output
// that count them.
func matmul[T number](weights *Tensor, batches int) kernel {
	sparse := weights != nil && typeOf[T]() == weights.kind && finite(data[T](weights))
	return func(in, out []*Tensor) error {
		x, y, z := data[T](in[0]), data[T](in[1]), data[T](out[0])
		if len(z) == 0 {
			return nil
		}
		k := in[0].shape[len(in[0].shape)-1]
		m, n := 1, 1
		if len(in[0].shape) > 1 {
			m = in[0].shape[len(in[0].shape)-2]
		}
		if len(in[1].shape) > 1 {
			n = in[1].shape[len(in[1].shape)-1]
		}
		stack := out[0].shape[:batches]
		if len(in[1].shape) <= 2 {
			// One matrix for all of the stack: the stack's rows are the rows of one product.
			multiply(z, matrix[T]{x, k, 1}, matrix[T]{y, n, 1}, len(z)/n, n, k, sparse)
			return nil
		}
		s := [3]strides{broadcastStrides(stackShape(in[0].shape), stack), broadcastStrides(stackShape(in[1].shape),
			stack)}
		size, stepX, stepY := lastSize(stack), lastStride(&s[0], stack), lastStride(&s[1], stack)
		next := 0
		walk(stack, &s, func(at [3]int) {
			for i := range size {
				a, b := (at[0]+i*stepX)*m*k, (at[1]+i*stepY)*k*n
				multiply(z[next:next+m*n], matrix[T]{x[a : a+m*k], k, 1}, matrix[T]{y[b : b+k*n], n, 1}, m, n, k,
					sparse)
				next += m * n
			}
		})
		return nil
	}
}

// stackShape is the leading dimensions of a stack of matrices.
func stackShape(shape []int) []int { return shape[:max(0, len(shape)-2)] }
