package onnx

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Value describes an input or output of a model.
type Value struct {
	Name string
	Type Type
	// Shape is the size of each dimension; -1 where it depends on the batch.
	Shape []int
}

// Model is a loaded graph. It is immutable and safe for concurrent use.
type Model struct {
	inputs, outputs []*value
	steps           []step
	// slots are the values that a run holds, constants among them.
	slots    []*value
	maxBatch int
	pool     sync.Pool
}

// step is one node of the plan: its inputs and outputs as slots, -1 where omitted.
type step struct {
	label   string
	kernel  kernel
	in, out []int
	work    workCount
}

// workCount is the work of one node: per (a linear function of the batch) for each element of a
// shape.
type workCount struct {
	shape []dim
	per   dim
}

// Load reads a model, checks all of it, and compiles the plan that Run follows. The file's bytes
// are not kept. Its error has a line for each problem, up to a stated number, each with the node
// and what about it is unknown or wrong: operators that are not supported first, then those of
// other opsets, with how to export, then all else.
func Load(file []byte) (*Model, error) {
	m, _, p := load(file)
	if err := p.err(); err != nil {
		return nil, fmt.Errorf("load ONNX model: %w", err)
	}
	return m, nil
}

// load gives the model and what was read of it: the model only without problems, the other as far
// as it could be read.
func load(file []byte) (*Model, *modelProto, *problems) {
	p := &problems{}
	if len(file) > MaxFileBytes {
		p.add(misuse, fmt.Errorf("the file has %d bytes, more than %d", len(file), MaxFileBytes))
		return nil, &modelProto{}, p
	}
	if other := foreign(file); other != "" {
		p.add(misuse, fmt.Errorf("the file is no ONNX model but %s", other))
		return nil, &modelProto{}, p
	}
	proto := readModel(file, p)
	if proto.irVersion < MinIRVersion || proto.irVersion > MaxIRVersion {
		p.add(misuse, fmt.Errorf("ir_version %d is not supported (%d to %d are)", proto.irVersion, MinIRVersion,
			MaxIRVersion))
	}
	versions := opsetVersions(proto.opsets)
	c := compiler{
		problems: p,
		forms:    checkNodes(proto.graph.nodes, versions, p),
		versions: versions,
		values:   make(map[string]*value, len(proto.graph.initializers)+len(proto.graph.inputs)+len(proto.graph.nodes)),
		budget:   foldBudget(len(file)),
	}
	return c.compile(&proto.graph), proto, p
}

// checkNodes finds the form of each node's operator, nil for a node that is refused, and adds to p
// why. An operator is refused once, with the number of its nodes.
func checkNodes(nodes []nodeProto, versions map[string]int64, p *problems) []*operator {
	forms := make([]*operator, len(nodes))
	refused := make(map[string]int)
	for i := range nodes {
		n := &nodes[i]
		n.domain = normalDomain(n.domain)
		if _, again := refused[n.title()]; again {
			refused[n.title()]++
			continue
		}
		op, _, err := n.form(versions)
		if err != nil {
			refused[n.title()] = 1
			continue
		}
		if err := n.check(op, versions[n.domain]); err != nil {
			p.add(misuse, fmt.Errorf("%s: %w", n.label(), err))
		} else if !n.refused {
			forms[i] = op
		}
	}
	for i := range nodes {
		if count := refused[nodes[i].title()]; count > 0 {
			delete(refused, nodes[i].title())
			_, kind, err := nodes[i].form(versions)
			others := ""
			if count > 1 {
				others = fmt.Sprintf(" and %d more", count-1)
			}
			p.add(kind, fmt.Errorf("%s%s: %w", nodes[i].label(), others, err))
		}
	}
	return forms
}

// form is the entry that holds for the node's operator.
func (n *nodeProto) form(versions map[string]int64) (*operator, problemKind, error) {
	version, imported := versions[n.domain]
	if !imported {
		kind := misuse
		if changes[n.title()] == nil {
			kind = unknownOperator
		}
		return nil, kind, fmt.Errorf("operator %s is of operator set %q, which is not imported", n.title(), n.domain)
	}
	return form(n.domain, n.operator, version)
}

// check refuses attributes that the operator does not have, and wrong numbers of inputs and
// outputs.
func (n *nodeProto) check(op *operator, version int64) error {
	var found []error
	for i, a := range n.attributes {
		rule := op.attribute(a.name)
		switch {
		case rule == nil || version < int64(rule.since) || rule.until > 0 && version > int64(rule.until):
			found = append(found, fmt.Errorf("attribute %q is not supported in %s", a.name,
				opsetText(n.domain, version)))
		case a.kind != rule.kind:
			found = append(found, fmt.Errorf("attribute %q has type %s, not %s", a.name, a.kind, rule.kind))
		case slices.ContainsFunc(n.attributes[:i], func(earlier attributeProto) bool { return earlier.name == a.name }):
			found = append(found, fmt.Errorf("attribute %q is given twice", a.name))
		}
	}
	if len(n.inputs) < op.minInputs || len(n.inputs) > op.maxInputs {
		found = append(found, fmt.Errorf("it has %d inputs, not %s", len(n.inputs),
			between(op.minInputs, op.maxInputs)))
	}
	if len(n.outputs) < 1 || len(n.outputs) > op.maxOutputs {
		found = append(found, fmt.Errorf("it has %d outputs, not %s", len(n.outputs), between(1, op.maxOutputs)))
	}
	for i, name := range n.inputs {
		if name == "" && (i < op.minInputs || op.maxInputs == variadic) {
			found = append(found, fmt.Errorf("input %d must not be omitted", i))
		}
	}
	return inOneLine(found)
}

// inOneLine joins what is wrong with one node, or is nil.
func inOneLine(found []error) error {
	if len(found) < 2 {
		return errors.Join(found...)
	}
	texts := make([]string, len(found))
	for i, err := range found {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}

func between(low, high int) string {
	switch high {
	case low:
		return fmt.Sprint(low)
	case variadic:
		return fmt.Sprintf("%d or more", low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

func (op *operator) attribute(name string) *attributeRule {
	for i := range op.attributes {
		if op.attributes[i].name == name {
			return &op.attributes[i]
		}
	}
	return nil
}

// compiler turns a graph into a plan, in the graph's order, which ONNX requires to be topological.
// What it refuses, it adds to problems and goes on: a value of a refused part is unknown (its kind
// is 0), and so is all that is computed from it.
type compiler struct {
	problems *problems
	// forms are the nodes' operators, nil for a node that was refused.
	forms    []*operator
	versions map[string]int64
	values   map[string]*value
	// budget is how many elements folding may still make or visit.
	budget int
	calls  []*call
}

func (c *compiler) define(v *value) error {
	if v.name == "" {
		return errors.New("a value has no name")
	}
	if _, twice := c.values[v.name]; twice {
		return fmt.Errorf("value %q is defined twice", v.name)
	}
	v.slot = -1
	c.values[v.name] = v
	return nil
}

// compile makes the model; nil where there are problems.
func (c *compiler) compile(g *graphProto) *Model {
	for _, i := range g.initializers {
		if i.name == "" {
			continue
		}
		v := &value{name: i.name}
		if i.tensor != nil {
			v.become(i.tensor)
		}
		c.problems.add(misuse, c.define(v))
	}
	m := &Model{}
	for _, in := range g.inputs {
		v, err := c.input(in)
		if err != nil {
			v = &value{name: in.name}
			_ = c.define(v)
		}
		c.problems.add(misuse, err)
		if v != nil {
			m.inputs = append(m.inputs, v)
		}
	}
	for i := range g.nodes {
		if err := c.node(&g.nodes[i], c.forms[i]); err != nil {
			c.problems.add(misuse, fmt.Errorf("%s: %w", g.nodes[i].label(), err))
		}
	}
	if len(g.outputs) == 0 {
		c.problems.add(misuse, errors.New("the graph has no output"))
	}
	for _, o := range g.outputs {
		c.problems.add(misuse, c.output(m, o))
	}
	if len(c.problems.found) > 0 {
		return nil
	}
	c.plan(m)
	c.problems.add(misuse, m.bound())
	return m
}

func (c *compiler) output(m *Model, o valueProto) error {
	v := c.values[o.name]
	switch {
	case v == nil:
		return fmt.Errorf("output %q is computed by no node", o.name)
	case v.kind == 0 || o.kind == 0:
		return nil
	case v.kind != o.kind:
		return fmt.Errorf("output %q is declared as %s, but computed as %s", o.name, o.kind, v.kind)
	case slices.Contains(m.outputs, v):
		return fmt.Errorf("output %q is declared twice", o.name)
	}
	m.outputs = append(m.outputs, v)
	return nil
}

// become makes the value a constant.
func (v *value) become(t *Tensor) {
	v.kind, v.shape, v.constant = t.kind, fixedShape(t.shape), t
	v.integers = t.smallIntegers()
}

// smallIntegers is the data of an integer tensor that may describe a shape; nil for any other.
func (t *Tensor) smallIntegers() []dim {
	if t.kind != Int64 && t.kind != Int32 || len(t.shape) > 1 || t.count() > MaxRank {
		return nil
	}
	dims := make([]dim, 0, t.count())
	for _, n := range t.int32s {
		dims = append(dims, dim{fixed: int64(n)})
	}
	return append(dims, shapeIntegers(t.int64s)...)
}

func shapeIntegers(numbers []int64) []dim {
	dims := make([]dim, len(numbers))
	for i, n := range numbers {
		// Exporters write the greatest int64 for "to the end".
		dims[i] = dim{fixed: min(max(n, -dimLimit), dimLimit)}
	}
	return dims
}

// input defines an input of the graph; nil where it is an initializer's. A leading free dimension
// is the batch whatever its name: exporters give each input one of its own, or none.
func (c *compiler) input(in valueProto) (*value, error) {
	if v := c.values[in.name]; v != nil && (v.constant != nil || v.kind == 0) {
		// An initializer of the same name is the input's default. It is used, and the input not
		// offered.
		if v.kind != in.kind && v.kind != 0 && in.kind != 0 {
			return nil, fmt.Errorf("input %q is declared as %s, but its initializer is %s", in.name, in.kind, v.kind)
		}
		return nil, nil
	}
	v := &value{name: in.name, kind: in.kind}
	if in.kind != 0 && !in.ranked {
		return nil, fmt.Errorf("input %q has no declared shape", in.name)
	}
	for i, d := range in.dims {
		switch {
		case d.size > MaxElements:
			return nil, fmt.Errorf("input %q: dimension %d has the size %d, more than %d", in.name, i, d.size,
				MaxElements)
		case d.size >= 0:
			v.shape = append(v.shape, fixed(int(d.size)))
		case i > 0:
			return nil, fmt.Errorf("input %q: dimension %d (%q) is free; only the leading one may be", in.name, i,
				d.name)
		default:
			v.shape = append(v.shape, dim{batch: 1})
		}
	}
	return v, c.define(v)
}

// node adds a node to the plan; op is nil where the node was refused.
func (c *compiler) node(n *nodeProto, op *operator) error {
	call := &call{
		node: n, op: op, in: make([]*value, len(n.inputs)), out: make([]*value, len(n.outputs)), work: fixed(1),
	}
	known := op != nil
	var missing []error
	for i, name := range n.inputs {
		if name == "" {
			continue
		}
		v := c.values[name]
		if v == nil {
			missing = append(missing, fmt.Errorf("input %q is computed by no earlier node", name))
		}
		known = known && v != nil && v.kind != 0
		call.in[i] = v
	}
	for i, name := range n.outputs {
		if name != "" {
			call.out[i] = &value{name: name}
		} else if i == 0 {
			missing = append(missing, errors.New("output 0 must not be omitted"))
		}
	}
	err := inOneLine(missing)
	if known && err == nil {
		if err = c.build(call); err == nil {
			return nil
		}
	}
	for _, v := range call.out {
		if v != nil && c.values[v.name] == nil {
			c.values[v.name] = &value{name: v.name, slot: -1}
		}
	}
	return err
}

// build compiles a node whose operator and inputs are known.
func (c *compiler) build(call *call) error {
	// The version is within the bounds of the operator's form.
	call.version = int(c.versions[call.node.domain])
	if err := call.op.build(call); err != nil {
		return err
	}
	for _, i := range call.settled {
		call.in[i] = nil
	}
	for i, v := range call.out {
		if v == nil {
			continue
		}
		if v.kind == 0 {
			return fmt.Errorf("output %d (%q) is not supported", i, v.name)
		}
		if err := checkShape(v.shape); err != nil {
			return fmt.Errorf("output %q: %w", v.name, err)
		}
		if err := c.define(v); err != nil {
			return err
		}
	}
	folded, err := c.fold(call)
	if err != nil {
		return err
	}
	if !folded {
		c.calls = append(c.calls, call)
	}
	return nil
}

func checkShape(shape []dim) error {
	if len(shape) > MaxRank {
		return fmt.Errorf("it has %d dimensions, more than %d", len(shape), MaxRank)
	}
	for _, d := range shape {
		if d.batch < 0 || d.fixed < 0 {
			return fmt.Errorf("its shape %s can be negative", shapeText(shape))
		}
	}
	if n, err := count(shape, 1); err != nil || n > MaxElements {
		return fmt.Errorf("its shape %s has more than %d elements for one row", shapeText(shape), MaxElements)
	}
	return nil
}

var errTooMany = errors.New("too many elements")

// count is the number of elements of a shape for a batch of n, guarded against overflow.
func count(shape []dim, n int) (int, error) {
	total := 1
	for _, d := range shape {
		if d.at(n) == 0 {
			return 0, nil
		}
	}
	for _, d := range shape {
		if d.at(n) > MaxWork/total {
			return 0, errTooMany
		}
		total *= d.at(n)
	}
	return total, nil
}

// fold computes a node whose inputs are all constant, where the file pays for the memory and the
// work.
func (c *compiler) fold(call *call) (bool, error) {
	if !slices.ContainsFunc(call.out, func(v *value) bool { return v != nil && v.constant == nil }) {
		return true, nil
	}
	in := make([]*Tensor, len(call.in))
	for i, v := range call.in {
		if v == nil {
			continue
		}
		if v.constant == nil {
			return false, nil
		}
		in[i] = v.constant
	}
	for _, v := range call.out {
		if v != nil && slices.ContainsFunc(v.shape, func(d dim) bool { return !d.isFixed() }) {
			return false, nil
		}
	}
	cost := 0
	for i, v := range call.out {
		if v == nil {
			continue
		}
		n, err := count(v.shape, 1)
		if err != nil {
			return false, nil
		}
		if i == 0 && n > 0 && int64(call.work.at(1)) > int64(c.budget/n) {
			return false, nil
		}
		cost += n * max(1, call.work.at(1))
	}
	for _, t := range in {
		if t != nil {
			cost += t.count()
		}
	}
	if cost > c.budget {
		return false, nil
	}
	c.budget -= cost
	out := make([]*Tensor, len(call.out))
	for i, v := range call.out {
		if v != nil {
			out[i] = newTensor(v, 1)
		}
	}
	if err := call.kernel(in, out); err != nil {
		return false, err
	}
	for i, v := range call.out {
		if v != nil {
			v.become(out[i])
			v.of = nil
		}
	}
	return true, nil
}

// newTensor is a tensor for the value with a batch of n. One that shares another's data gets no
// memory.
func newTensor(v *value, n int) *Tensor {
	t := &Tensor{kind: v.kind, shape: make([]int, len(v.shape))}
	t.fit(v, n)
	return t
}

func (t *Tensor) fit(v *value, n int) {
	for i, d := range v.shape {
		t.shape[i] = d.at(n)
	}
	if v.of == nil {
		t.resize(elements(t.shape))
	}
}

// plan keeps the nodes that an output needs, in the graph's order, and numbers the values they use.
func (c *compiler) plan(m *Model) {
	needed := make(map[*value]bool, len(c.values))
	for _, v := range m.outputs {
		needed[v] = true
	}
	live := make([]*call, 0, len(c.calls))
	for _, call := range slices.Backward(c.calls) {
		if !slices.ContainsFunc(call.out, func(v *value) bool { return v != nil && needed[v] }) {
			continue
		}
		live = append(live, call)
		for _, v := range call.in {
			if v != nil {
				needed[v] = true
			}
		}
	}
	slot := func(v *value) int {
		if v == nil {
			return -1
		}
		if v.slot < 0 {
			v.slot = len(m.slots)
			m.slots = append(m.slots, v)
		}
		return v.slot
	}
	for _, v := range m.inputs {
		slot(v)
	}
	for _, call := range slices.Backward(live) {
		s := step{label: call.node.label(), kernel: call.kernel, work: workCount{call.out[0].shape, call.work}}
		for _, v := range call.in {
			s.in = append(s.in, slot(v))
		}
		for _, v := range call.out {
			s.out = append(s.out, slot(v))
		}
		m.steps = append(m.steps, s)
	}
	for _, v := range m.outputs {
		slot(v)
	}
}

// bound finds the largest batch within the limits.
func (m *Model) bound() error {
	if !m.fits(1) {
		return fmt.Errorf("one row takes more than %d elements or %d multiply-adds", MaxElements, MaxWork)
	}
	m.maxBatch = sort.Search(LargestBatch, func(i int) bool { return !m.fits(i + 1) })
	return nil
}

func (m *Model) fits(n int) bool {
	total := 0
	for _, v := range m.slots {
		if v.constant != nil || v.of != nil {
			continue
		}
		size, err := count(v.shape, n)
		if err != nil {
			return false
		}
		if total += size; total > MaxElements {
			return false
		}
	}
	work := 0
	for _, s := range m.steps {
		size, err := count(s.work.shape, n)
		per := max(1, s.work.per.at(n))
		if err != nil || per > MaxWork || size > 0 && per > MaxWork/size {
			return false
		}
		if work += size * per; work > MaxWork {
			return false
		}
	}
	return true
}

// Inputs describes what Run takes, in the file's order.
func (m *Model) Inputs() []Value { return describe(m.inputs) }

// Outputs describes what Run returns, in the file's order.
func (m *Model) Outputs() []Value { return describe(m.outputs) }

// MaxBatch is the largest batch that Run accepts.
func (m *Model) MaxBatch() int { return m.maxBatch }

func describe(values []*value) []Value {
	described := make([]Value, len(values))
	for i, v := range values {
		described[i] = Value{Name: v.name, Type: v.kind, Shape: make([]int, len(v.shape))}
		for j, d := range v.shape {
			described[i].Shape[j] = -1
			if d.isFixed() {
				described[i].Shape[j] = int(d.fixed)
			}
		}
	}
	return described
}

// ShapeText is the shape as errors show it: [N 32], with N for the batch.
func (v Value) ShapeText() string {
	parts := make([]string, len(v.Shape))
	for i, n := range v.Shape {
		parts[i] = fmt.Sprint(n)
		if n < 0 {
			parts[i] = "N"
		}
	}
	return "[" + strings.Join(parts, " ") + "]"
}

func (v Value) String() string { return fmt.Sprintf("%s %s%s", v.Name, v.Type, v.ShapeText()) }
