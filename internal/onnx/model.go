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
// are not kept. Its errors name the node and what about it is unknown or wrong; unknown operators
// and attributes are reported together, up to a stated number.
func Load(file []byte) (*Model, error) {
	m, err := load(file)
	if err != nil {
		return nil, fmt.Errorf("load ONNX model: %w", err)
	}
	return m, nil
}

func load(file []byte) (*Model, error) {
	if len(file) > MaxFileBytes {
		return nil, fmt.Errorf("the file has %d bytes, more than %d", len(file), MaxFileBytes)
	}
	proto, err := readModel(file)
	if err != nil {
		return nil, err
	}
	if proto.irVersion < MinIRVersion || proto.irVersion > MaxIRVersion {
		return nil, fmt.Errorf("ir_version %d is not supported (%d to %d are)", proto.irVersion, MinIRVersion,
			MaxIRVersion)
	}
	versions, err := opsetVersions(proto.opsets)
	if err != nil {
		return nil, err
	}
	if err := checkNodes(proto.graph.nodes, versions); err != nil {
		return nil, err
	}
	c := compiler{
		versions: versions,
		values:   make(map[string]*value, len(proto.graph.initializers)+len(proto.graph.inputs)+len(proto.graph.nodes)),
		budget:   foldBudget(len(file)),
	}
	return c.compile(&proto.graph)
}

// opsetVersions is the imported version by domain. An import of a domain that no node uses does no
// harm: some exporters leave it behind. A node of that domain is refused.
func opsetVersions(imports []opsetProto) (map[string]int, error) {
	versions := make(map[string]int, len(imports))
	for _, o := range imports {
		domain := normalDomain(o.domain)
		if _, twice := versions[domain]; twice {
			return nil, fmt.Errorf("operator set %q is imported twice", domain)
		}
		low, high := int64(0), int64(1)<<31
		switch domain {
		case "":
			low, high = MinOpset, MaxOpset
		case mlDomain:
			low, high = MinMLOpset, MaxMLOpset
		}
		if o.version < low || o.version > high {
			return nil, fmt.Errorf("opset %d of domain %q is not supported (%d to %d are)", o.version, domain, low,
				high)
		}
		versions[domain] = int(o.version)
	}
	return versions, nil
}

func normalDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

// maxProblems bounds how many unknown operators and attributes one error lists.
const maxProblems = 20

// checkNodes refuses unknown operators and attributes, all nodes at once.
func checkNodes(nodes []nodeProto, versions map[string]int) error {
	var problems []error
	for i := range nodes {
		if err := checkNode(&nodes[i], versions); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", nodes[i].label(), err))
			if len(problems) == maxProblems {
				break
			}
		}
	}
	return errors.Join(problems...)
}

func checkNode(n *nodeProto, versions map[string]int) error {
	n.domain = normalDomain(n.domain)
	version, imported := versions[n.domain]
	if !imported {
		return fmt.Errorf("operator set %q is not imported", n.domain)
	}
	op := findOperator(n.domain, n.operator)
	if op == nil {
		return fmt.Errorf("operator %s is not supported", n.title())
	}
	if version < op.since {
		return fmt.Errorf("operator %s is not in opset %d; it came with %d", n.title(), version, op.since)
	}
	for i, a := range n.attributes {
		rule := op.attribute(a.name)
		if rule == nil || version < rule.since || rule.until > 0 && version > rule.until {
			return fmt.Errorf("attribute %q is not supported in opset %d", a.name, version)
		}
		if a.kind != rule.kind {
			return fmt.Errorf("attribute %q has type %s, not %s", a.name, a.kind, rule.kind)
		}
		if slices.ContainsFunc(n.attributes[:i], func(earlier attributeProto) bool { return earlier.name == a.name }) {
			return fmt.Errorf("attribute %q is given twice", a.name)
		}
	}
	if len(n.inputs) < op.minInputs || len(n.inputs) > op.maxInputs {
		return fmt.Errorf("it has %d inputs, not %s", len(n.inputs), between(op.minInputs, op.maxInputs))
	}
	if len(n.outputs) < 1 || len(n.outputs) > op.maxOutputs {
		return fmt.Errorf("it has %d outputs, not %s", len(n.outputs), between(1, op.maxOutputs))
	}
	for i, name := range n.inputs {
		if name == "" && (i < op.minInputs || op.maxInputs == variadic) {
			return fmt.Errorf("input %d must not be omitted", i)
		}
	}
	return nil
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
type compiler struct {
	versions map[string]int
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

func (c *compiler) compile(g *graphProto) (*Model, error) {
	for _, i := range g.initializers {
		v := &value{name: i.name}
		v.become(i.tensor)
		if err := c.define(v); err != nil {
			return nil, err
		}
	}
	m := &Model{}
	if err := c.inputs(m, g.inputs); err != nil {
		return nil, err
	}
	for i := range g.nodes {
		if err := c.node(&g.nodes[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", g.nodes[i].label(), err)
		}
	}
	if len(g.outputs) == 0 {
		return nil, errors.New("the graph has no output")
	}
	for _, o := range g.outputs {
		v := c.values[o.name]
		if v == nil {
			return nil, fmt.Errorf("output %q is computed by no node", o.name)
		}
		if v.kind != o.kind {
			return nil, fmt.Errorf("output %q is declared as %s, but computed as %s", o.name, o.kind, v.kind)
		}
		if slices.Contains(m.outputs, v) {
			return nil, fmt.Errorf("output %q is declared twice", o.name)
		}
		m.outputs = append(m.outputs, v)
	}
	c.plan(m)
	return m, m.bound()
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
	for _, n := range t.int64s {
		// Exporters write the greatest int64 for "to the end".
		dims = append(dims, dim{fixed: min(max(n, -dimLimit), dimLimit)})
	}
	for _, n := range t.int32s {
		dims = append(dims, dim{fixed: int64(n)})
	}
	return dims
}

func (c *compiler) inputs(m *Model, inputs []valueProto) error {
	batchName, batchInput := "", ""
	for _, in := range inputs {
		if v := c.values[in.name]; v != nil && v.constant != nil {
			// An initializer of the same name is the input's default. It is used, and the input not
			// offered.
			if v.kind != in.kind {
				return fmt.Errorf("input %q is declared as %s, but its initializer is %s", in.name, in.kind, v.kind)
			}
			continue
		}
		if !in.ranked {
			return fmt.Errorf("input %q has no declared shape", in.name)
		}
		v := &value{name: in.name, kind: in.kind}
		for i, d := range in.dims {
			switch {
			case d.size > MaxElements:
				return fmt.Errorf("input %q: dimension %d has the size %d, more than %d", in.name, i, d.size,
					MaxElements)
			case d.size >= 0:
				v.shape = append(v.shape, fixed(int(d.size)))
			case i > 0:
				return fmt.Errorf("input %q: dimension %d (%q) is free; only the leading one may be", in.name, i,
					d.name)
			default:
				if d.name != "" && batchName != "" && d.name != batchName {
					return fmt.Errorf("inputs %q and %q have different free dimensions, %q and %q; one batch is "+
						"supported",
						batchInput, in.name, batchName, d.name)
				}
				if d.name != "" {
					batchName, batchInput = d.name, in.name
				}
				v.shape = append(v.shape, dim{batch: 1})
			}
		}
		if err := c.define(v); err != nil {
			return err
		}
		m.inputs = append(m.inputs, v)
	}
	return nil
}

func (c *compiler) node(n *nodeProto) error {
	call := &call{
		node: n, op: findOperator(n.domain, n.operator), version: c.versions[n.domain],
		in: make([]*value, len(n.inputs)), out: make([]*value, len(n.outputs)), work: fixed(1),
	}
	for i, name := range n.inputs {
		if name == "" {
			continue
		}
		v := c.values[name]
		if v == nil {
			return fmt.Errorf("input %q is computed by no earlier node", name)
		}
		call.in[i] = v
	}
	for i, name := range n.outputs {
		if name != "" {
			call.out[i] = &value{name: name}
		} else if i == 0 {
			return errors.New("output 0 must not be omitted")
		}
	}
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

func (v Value) String() string {
	parts := make([]string, len(v.Shape))
	for i, n := range v.Shape {
		parts[i] = fmt.Sprint(n)
		if n < 0 {
			parts[i] = "N"
		}
	}
	return fmt.Sprintf("%s %s[%s]", v.Name, v.Type, strings.Join(parts, " "))
}
