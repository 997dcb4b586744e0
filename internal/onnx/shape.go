package onnx

import (
	"errors"
	"fmt"
	"slices"
)

var shapeOperators = []operator{
	{name: "Concat", minInputs: 1, maxInputs: variadic, maxOutputs: 1,
		attributes: []attributeRule{{name: "axis", kind: intKind}}, build: buildConcat},
	{name: "Constant", maxInputs: 0, maxOutputs: 1, build: buildConstant, attributes: []attributeRule{
		{name: "value", kind: tensorKind}, {name: "value_float", kind: floatKind, since: 12},
		{name: "value_floats", kind: floatsKind, since: 12},
		{name: "value_int", kind: intKind, since: 12}, {name: "value_ints", kind: intsKind, since: 12},
		{name: "value_string", kind: stringKind, since: 12}, {name: "value_strings", kind: stringsKind, since: 12},
	}},
	{name: "ConstantOfShape", minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "value", kind: tensorKind}}, build: buildConstantOfShape},
	{name: "Dropout", until: 11, minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "ratio", kind: floatKind}}, build: buildDropout},
	{name: "Dropout", since: 12, minInputs: 1, maxInputs: 3, maxOutputs: 2,
		attributes: []attributeRule{{name: "seed", kind: intKind}}, build: buildDropout},
	{name: "Expand", minInputs: 2, maxInputs: 2, maxOutputs: 1, build: buildExpand},
	{name: "Flatten", minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "axis", kind: intKind}}, build: buildFlatten},
	{name: "Gather", minInputs: 2, maxInputs: 2, maxOutputs: 1,
		attributes: []attributeRule{{name: "axis", kind: intKind}}, build: buildGather},
	{name: "Identity", minInputs: 1, maxInputs: 1, maxOutputs: 1, build: func(c *call) error {
		c.alias(c.in[0].shape)
		return nil
	}},
	{name: "Reshape", minInputs: 2, maxInputs: 2, maxOutputs: 1,
		attributes: []attributeRule{{name: "allowzero", kind: intKind, since: 14}}, build: buildReshape},
	{name: "Shape", minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildShape, attributes: []attributeRule{
		{name: "start", kind: intKind, since: 15}, {name: "end", kind: intKind, since: 15},
	}},
	{name: "Slice", until: 9, minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildSlice,
		attributes: []attributeRule{{name: "starts", kind: intsKind}, {name: "ends", kind: intsKind}, axesRule}},
	{name: "Slice", since: 10, minInputs: 3, maxInputs: 5, maxOutputs: 1, build: buildSlice},
	{name: "Squeeze", until: 12, minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildSqueeze,
		attributes: []attributeRule{axesRule}},
	{name: "Squeeze", since: 13, minInputs: 1, maxInputs: 2, maxOutputs: 1, build: buildSqueeze},
	{name: "Transpose", minInputs: 1, maxInputs: 1, maxOutputs: 1,
		attributes: []attributeRule{{name: "perm", kind: intsKind}}, build: buildTranspose},
	{name: "Unsqueeze", until: 12, minInputs: 1, maxInputs: 1, maxOutputs: 1, build: buildUnsqueeze,
		attributes: []attributeRule{axesRule}},
	{name: "Unsqueeze", since: 13, minInputs: 2, maxInputs: 2, maxOutputs: 1, build: buildUnsqueeze},
}

// axesRule is what became an input of its operators.
var axesRule = attributeRule{name: "axes", kind: intsKind}

// forType is the kernel for a tensor's type, of kernels that only move elements.
func forType(t Type, f32, f64, i32, i64, b, s kernel) kernel {
	switch t {
	case Bool:
		return b
	case String:
		return s
	}
	return pick(t, f32, f64, i32, i64)
}

func buildConcat(c *call) error {
	if !c.has("axis") {
		return errors.New("attribute \"axis\" is missing")
	}
	if err := c.sameTypes(); err != nil {
		return err
	}
	axis, err := c.axis("axis", 0, len(c.in[0].shape))
	if err != nil {
		return err
	}
	shape := slices.Clone(c.in[0].shape)
	for _, v := range c.in[1:] {
		if len(v.shape) != len(shape) {
			return fmt.Errorf("inputs %q and %q have shapes %s and %s", c.in[0].name, v.name, shapeText(c.in[0].shape),
				shapeText(v.shape))
		}
		for i, d := range v.shape {
			if i != axis && d != shape[i] {
				return fmt.Errorf("inputs %q and %q of shapes %s and %s differ beside axis %d",
					c.in[0].name, v.name, shapeText(c.in[0].shape), shapeText(v.shape), axis)
			}
		}
		if shape[axis], err = shape[axis].plus(v.shape[axis]); err != nil {
			return err
		}
	}
	kind := c.in[0].kind
	c.result(0, kind, shape)
	c.kernel = forType(kind, concat[float32](axis), concat[float64](axis), concat[int32](axis), concat[int64](axis),
		concat[bool](axis), concat[string](axis))
	if len(shape) == 1 && shape[0].isFixed() && shape[0].fixed <= MaxRank {
		c.out[0].integers = joined(c.in)
	}
	return nil
}

// joined is the known integers of all values in a row; nil where one is not known.
func joined(values []*value) []dim {
	all := []dim{}
	for _, v := range values {
		if v.integers == nil {
			return nil
		}
		all = append(all, v.integers...)
	}
	return all
}

func concat[T element](axis int) kernel {
	return func(in, out []*Tensor) error {
		z := data[T](out[0])
		width := elements(out[0].shape[axis:])
		at := 0
		for _, t := range in {
			x := data[T](t)
			size := elements(t.shape[axis:])
			for i, to := 0, at; i < len(x); i, to = i+size, to+width {
				copy(z[to:to+size], x[i:i+size])
			}
			at += size
		}
		return nil
	}
}

func buildConstant(c *call) error {
	if len(c.node.attributes) != 1 {
		return fmt.Errorf("it has %d attributes, not exactly one value", len(c.node.attributes))
	}
	a := &c.node.attributes[0]
	t, err := a.constant()
	if err != nil {
		return fmt.Errorf("attribute %q: %w", a.name, err)
	}
	c.out[0].become(t)
	return nil
}

func (a *attributeProto) constant() (*Tensor, error) {
	switch a.kind {
	case tensorKind:
		return a.tensor()
	case floatKind:
		return Floats(nil, []float32{a.float()}), nil
	case floatsKind:
		f, err := a.floats()
		return Floats([]int{len(f)}, f), err
	case intKind:
		return Int64s(nil, []int64{a.int()}), nil
	case intsKind:
		n, err := a.ints()
		return Int64s([]int{len(n)}, n), err
	case stringKind:
		return Strings(nil, []string{a.text()}), nil
	default:
		s := a.texts()
		return Strings([]int{len(s)}, s), nil
	}
}

func buildConstantOfShape(c *call) error {
	shape, err := c.known(0, "")
	if err != nil {
		return err
	}
	fill := Floats([]int{1}, []float32{0})
	if a := c.attribute("value"); a != nil {
		if fill, err = a.tensor(); err != nil {
			return fmt.Errorf("attribute \"value\": %w", err)
		}
		if fill.count() != 1 {
			return fmt.Errorf("attribute \"value\" has %d elements, not one", fill.count())
		}
	}
	c.result(0, fill.kind, shape)
	c.kernel = forType(fill.kind, filled[float32](fill), filled[float64](fill), filled[int32](fill),
		filled[int64](fill),
		filled[bool](fill), filled[string](fill))
	return nil
}

func filled[T element](fill *Tensor) kernel {
	if fill.kind != typeOf[T]() {
		return nil
	}
	v := data[T](fill)[0]
	return func(_, out []*Tensor) error {
		z := data[T](out[0])
		for i := range z {
			z[i] = v
		}
		return nil
	}
}

// buildDropout supports inference only, where Dropout is the identity.
func buildDropout(c *call) error {
	if err := c.types(0, floatTypes...); err != nil {
		return err
	}
	if c.given(2) && (c.in[2].constant == nil || c.in[2].kind != Bool || c.in[2].constant.count() != 1 ||
		c.in[2].constant.bools[0]) {
		return fmt.Errorf("input %q (training_mode) is not the constant false: training is not supported", c.in[2].name)
	}
	for i := 1; i < len(c.in); i++ {
		c.settled = append(c.settled, i)
	}
	shape := c.in[0].shape
	c.alias(shape)
	c.result(1, Bool, shape)
	if len(c.out) > 1 && c.out[1] != nil {
		c.kernel = func(in, out []*Tensor) error {
			out[0].share(in[0])
			for i := range out[1].bools {
				out[1].bools[i] = true
			}
			return nil
		}
	}
	return nil
}

func buildExpand(c *call) error {
	target, err := c.known(1, "")
	if err != nil {
		return err
	}
	shape, err := broadcastShapes(c.in[0].shape, target)
	if err != nil {
		return err
	}
	if sameShape(shape, c.in[0].shape) {
		c.alias(shape)
		return nil
	}
	c.result(0, c.in[0].kind, shape)
	c.kernel = forType(c.in[0].kind, expand[float32], expand[float64], expand[int32], expand[int64], expand[bool],
		expand[string])
	return nil
}

func expand[T element](in, out []*Tensor) error {
	spread[T](in[0], out[0])
	return nil
}

func buildFlatten(c *call) error {
	shape := c.in[0].shape
	axis := c.int("axis", 1)
	if axis < -int64(len(shape)) || axis > int64(len(shape)) {
		return fmt.Errorf("axis %d is out of range for shape %s", axis, shapeText(shape))
	}
	if axis < 0 {
		axis += int64(len(shape))
	}
	rows, err := product(shape[:axis])
	if err != nil {
		return err
	}
	columns, err := product(shape[axis:])
	if err != nil {
		return err
	}
	c.alias([]dim{rows, columns})
	return nil
}

func buildGather(c *call) error {
	if err := c.types(1, Int32, Int64); err != nil {
		return err
	}
	shape, indices := c.in[0].shape, c.in[1]
	axis, err := c.axis("axis", 0, len(shape))
	if err != nil {
		return err
	}
	result := slices.Concat(shape[:axis], indices.shape, shape[axis+1:])
	c.result(0, c.in[0].kind, result)
	kind := c.in[0].kind
	if indices.kind == Int32 {
		c.kernel = forType(kind, gather[float32, int32](axis), gather[float64, int32](axis), gather[int32, int32](axis),
			gather[int64, int32](axis), gather[bool, int32](axis), gather[string, int32](axis))
	} else {
		c.kernel = forType(kind, gather[float32, int64](axis), gather[float64, int64](axis), gather[int32, int64](axis),
			gather[int64, int64](axis), gather[bool, int64](axis), gather[string, int64](axis))
	}
	if indices.constant != nil {
		if err := indices.constant.within(shape[axis]); err != nil {
			return err
		}
	}
	if c.in[0].integers != nil && len(shape) == 1 && indices.constant != nil && indices.integers != nil {
		picked := []dim{}
		for _, i := range indices.integers {
			at, err := normalAxis(i.fixed, len(c.in[0].integers))
			if err != nil {
				return err
			}
			picked = append(picked, c.in[0].integers[at])
		}
		c.out[0].integers = picked
	}
	return nil
}

// within refuses constant indices that a dimension does not have, for some batch.
func (t *Tensor) within(d dim) error {
	size := int64(d.at(1))
	for i := range t.count() {
		index := int64(0)
		if t.kind == Int32 {
			index = int64(t.int32s[i])
		} else {
			index = t.int64s[i]
		}
		if index < -size || index >= size {
			return fmt.Errorf("index %d is out of range for a dimension of %s", index, d)
		}
	}
	return nil
}

func gather[T element, I integer](axis int) kernel {
	return func(in, out []*Tensor) error {
		x, indices, z := data[T](in[0]), data[I](in[1]), data[T](out[0])
		outer, size, inner := elements(in[0].shape[:axis]), in[0].shape[axis], elements(in[0].shape[axis+1:])
		to := 0
		for i := range outer {
			for _, index := range indices {
				at := int(index)
				if at < 0 {
					at += size
				}
				if at < 0 || at >= size {
					return fmt.Errorf("index %d is out of range for a dimension of %d", index, size)
				}
				from := (i*size + at) * inner
				copy(z[to:to+inner], x[from:from+inner])
				to += inner
			}
		}
		return nil
	}
}

func buildReshape(c *call) error {
	target, err := c.known(1, "")
	if err != nil {
		return err
	}
	allowZero, err := c.flag("allowzero", false)
	if err != nil {
		return err
	}
	old := c.in[0].shape
	shape := slices.Clone(target)
	open := -1
	for i, d := range target {
		switch {
		case d.is(-1) && open >= 0:
			return fmt.Errorf("target %s has two unknown dimensions", shapeText(target))
		case d.is(-1):
			open = i
		case d.is(0) && !allowZero && i >= len(old):
			return fmt.Errorf("target %s copies dimension %d, which %s has not", shapeText(target), i, shapeText(old))
		case d.is(0) && !allowZero:
			shape[i] = old[i]
		case d.batch < 0 || d.fixed < 0:
			return fmt.Errorf("target %s has a negative size", shapeText(target))
		}
	}
	// Sizes on both sides are struck out first, so that even a product of two batches can be kept.
	left, right := slices.Clone(old), []dim{}
	for i, d := range shape {
		if i == open {
			continue
		}
		if at := slices.Index(left, d); at >= 0 && !d.is(0) {
			left = slices.Delete(left, at, at+1)
		} else {
			right = append(right, d)
		}
	}
	have, err := product(left)
	if err != nil {
		return err
	}
	want, err := product(right)
	if err != nil {
		return err
	}
	fits := have == want
	if open >= 0 {
		shape[open], fits = have.over(want)
	}
	if !fits {
		return fmt.Errorf("shape %s does not reshape to %s for every batch", shapeText(old), shapeText(target))
	}
	c.alias(shape)
	return nil
}

func buildShape(c *call) error {
	shape := c.in[0].shape
	rank := int64(len(shape))
	bound := func(name string, otherwise int64) int64 {
		i := c.int(name, otherwise)
		if i < 0 {
			i += rank
		}
		return min(max(i, 0), rank)
	}
	start, end := bound("start", 0), bound("end", rank)
	part := slices.Clone(shape[start:max(start, end)])
	c.result(0, Int64, []dim{fixed(len(part))})
	c.settled = append(c.settled, 0)
	c.out[0].integers = part
	// The kernel cannot see the batch of an input it does not read, so it keeps the input when the
	// batch matters.
	if slices.ContainsFunc(part, func(d dim) bool { return !d.isFixed() }) {
		c.settled = nil
		c.kernel = func(in, out []*Tensor) error {
			for i := range out[0].int64s {
				out[0].int64s[i] = int64(in[0].shape[int(start)+i])
			}
			return nil
		}
		return nil
	}
	sizes := make([]int64, len(part))
	for i, d := range part {
		sizes[i] = d.fixed
	}
	c.out[0].become(Int64s([]int{len(part)}, sizes))
	return nil
}

func buildSlice(c *call) error {
	starts, err := c.knownFixed(1, "starts")
	if err != nil {
		return err
	}
	ends, err := c.known(2, "ends")
	if err != nil {
		return err
	}
	axes := make([]int64, len(starts))
	steps := make([]int64, len(starts))
	for i := range axes {
		axes[i], steps[i] = int64(i), 1
	}
	if c.given(3) || c.has("axes") {
		if axes, err = c.knownFixed(3, "axes"); err != nil {
			return err
		}
	}
	if c.given(4) {
		if steps, err = c.knownFixed(4, ""); err != nil {
			return err
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return fmt.Errorf("%d starts, %d ends, %d axes and %d steps differ", len(starts), len(ends), len(axes),
			len(steps))
	}
	old := c.in[0].shape
	if _, err := normalAxes(axes, len(old)); err != nil {
		return err
	}
	s := slicing{shape: slices.Clone(old)}
	for i := range s.step {
		s.step[i] = 1
	}
	for i := range axes {
		axis, _ := normalAxis(axes[i], len(old))
		if err := s.cut(axis, starts[i], ends[i], steps[i]); err != nil {
			return err
		}
	}
	if sameShape(s.shape, old) && s.step == (slicing{}.plain()) {
		c.alias(old)
		return nil
	}
	kind := c.in[0].kind
	c.result(0, kind, s.shape)
	c.kernel = forType(kind, slice[float32](s), slice[float64](s), slice[int32](s), slice[int64](s), slice[bool](s),
		slice[string](s))
	if in := c.in[0].integers; in != nil && len(old) == 1 {
		part := []dim{}
		for i := range s.shape[0].at(1) {
			part = append(part, in[s.start[0]+i*s.step[0]])
		}
		c.out[0].integers = part
	}
	return nil
}

// slicing is where each dimension of a slice starts, how it steps, and its shape.
type slicing struct {
	shape       []dim
	start, step [MaxRank]int
}

func (slicing) plain() [MaxRank]int { return [MaxRank]int{1, 1, 1, 1, 1, 1, 1, 1} }

// cut narrows one dimension. A free dimension can only be kept whole: anything else would depend on
// the batch.
func (s *slicing) cut(axis int, start int64, end dim, step int64) error {
	size := s.shape[axis]
	if step == 0 {
		return errors.New("step 0 is not allowed")
	}
	if !size.isFixed() {
		if start == 0 && step == 1 && (end == size || end.is(dimLimit)) {
			return nil
		}
		return fmt.Errorf("axis %d of size %s is sliced from %d to %s by %d; a free dimension can only be kept whole",
			axis, size, start, end, step)
	}
	if !end.isFixed() {
		return fmt.Errorf("the end %s of axis %d depends on the batch", end, axis)
	}
	n, stop := size.fixed, end.fixed
	if start < 0 {
		start += n
	}
	if stop < 0 {
		stop += n
	}
	count := int64(0)
	if step > 0 {
		start, stop = min(max(start, 0), n), min(max(stop, 0), n)
		if stop > start {
			count = (stop - start + step - 1) / step
		}
	} else {
		start, stop = min(max(start, 0), n-1), min(max(stop, -1), n-1)
		if start > stop {
			count = (start - stop - step - 1) / -step
		}
	}
	s.shape[axis] = dim{fixed: count}
	s.start[axis], s.step[axis] = int(start), int(step)
	return nil
}

func slice[T element](s slicing) kernel {
	return func(in, out []*Tensor) error {
		x, z := data[T](in[0]), data[T](out[0])
		dense := denseStrides(in[0].shape)
		var g grid
		from := 0
		for axis, size := range out[0].shape {
			from += s.start[axis] * dense[axis]
			g.add(size, s.step[axis]*dense[axis])
		}
		for i := range z {
			z[i] = x[from+g.offset]
			g.next()
		}
		return nil
	}
}

func buildSqueeze(c *call) error {
	shape := c.in[0].shape
	removed := make([]bool, len(shape))
	if c.given(1) || c.has("axes") {
		axes, err := c.knownFixed(1, "axes")
		if err != nil {
			return err
		}
		if removed, err = normalAxes(axes, len(shape)); err != nil {
			return err
		}
	} else {
		for i, d := range shape {
			if !d.isFixed() {
				return fmt.Errorf("without axes, shape %s loses other dimensions for a batch of 1", shapeText(shape))
			}
			removed[i] = d.is(1)
		}
	}
	kept := make([]dim, 0, len(shape))
	for i, d := range shape {
		if removed[i] && !d.is(1) {
			return fmt.Errorf("axis %d of shape %s is not 1", i, shapeText(shape))
		}
		if !removed[i] {
			kept = append(kept, d)
		}
	}
	c.alias(kept)
	return nil
}

func buildUnsqueeze(c *call) error {
	axes, err := c.knownFixed(1, "axes")
	if err != nil {
		return err
	}
	old := c.in[0].shape
	if len(old)+len(axes) > MaxRank {
		return fmt.Errorf("the result has more than %d dimensions", MaxRank)
	}
	added, err := normalAxes(axes, len(old)+len(axes))
	if err != nil {
		return err
	}
	shape := make([]dim, 0, len(added))
	for _, isNew := range added {
		if isNew {
			shape = append(shape, fixed(1))
		} else {
			shape = append(shape, old[0])
			old = old[1:]
		}
	}
	c.alias(shape)
	return nil
}

func buildTranspose(c *call) error {
	old := c.in[0].shape
	perm, err := c.ints("perm")
	if err != nil {
		return err
	}
	if !c.has("perm") {
		for i := range old {
			perm = append(perm, int64(len(old)-1-i))
		}
	}
	if len(perm) != len(old) {
		return fmt.Errorf("attribute \"perm\" %v does not permute %d dimensions", perm, len(old))
	}
	order := make([]int, len(perm))
	seen := make([]bool, len(perm))
	shape := make([]dim, len(perm))
	for i, p := range perm {
		if p < 0 || p >= int64(len(old)) || seen[p] {
			return fmt.Errorf("attribute \"perm\" %v does not permute %d dimensions", perm, len(old))
		}
		order[i], seen[p], shape[i] = int(p), true, old[p]
	}
	kind := c.in[0].kind
	c.result(0, kind, shape)
	c.kernel = forType(kind, transpose[float32](order), transpose[float64](order), transpose[int32](order),
		transpose[int64](order), transpose[bool](order), transpose[string](order))
	return nil
}

func transpose[T element](order []int) kernel {
	return func(in, out []*Tensor) error {
		x, z := data[T](in[0]), data[T](out[0])
		dense := denseStrides(in[0].shape)
		var g grid
		for i, axis := range order {
			g.add(out[0].shape[i], dense[axis])
		}
		for i := range z {
			z[i] = x[g.offset]
			g.next()
		}
		return nil
	}
}
