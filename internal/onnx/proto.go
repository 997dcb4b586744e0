package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file reads ONNX's messages (onnx.proto) directly from protobuf's wire format, with one table
// of fields per message. Generated types would read every kind of field that we then had to find
// and refuse, would copy the weights twice, and would bind this module to ONNX's descriptor; a
// table says in one place what is read, skipped or refused.

// use is what becomes of a field.
type use uint8

const (
	read use = iota
	skipped
	refused
)

type fieldRule struct {
	name string
	wire protowire.Type
	use  use
	// packable: a repeated number, which may come packed in one field of bytes.
	packable bool
}

type message struct {
	name   string
	fields map[protowire.Number]fieldRule
}

func textField(name string) fieldRule { return fieldRule{name: name, wire: protowire.BytesType} }
func intField(name string) fieldRule  { return fieldRule{name: name, wire: protowire.VarintType} }
func skippedField(name string) fieldRule {
	return fieldRule{name: name, wire: protowire.BytesType, use: skipped}
}
func refusedField(name string) fieldRule {
	return fieldRule{name: name, wire: protowire.BytesType, use: refused}
}
func numbers(name string, wire protowire.Type) fieldRule {
	return fieldRule{name: name, wire: wire, packable: true}
}

var (
	modelMessage = message{"ModelProto", map[protowire.Number]fieldRule{
		1: intField("ir_version"), 2: textField("producer_name"), 3: skippedField("producer_version"),
		4: skippedField("domain"), 5: {name: "model_version", wire: protowire.VarintType, use: skipped},
		6: skippedField("doc_string"), 7: textField("graph"), 8: textField("opset_import"),
		14: skippedField("metadata_props"), 20: refusedField("training_info"), 25: refusedField("functions"),
		26: refusedField("configuration"),
	}}
	opsetMessage = message{"OperatorSetIdProto", map[protowire.Number]fieldRule{
		1: textField("domain"), 2: intField("version"),
	}}
	graphMessage = message{"GraphProto", map[protowire.Number]fieldRule{
		1: textField("node"), 2: skippedField("name"), 5: textField("initializer"), 10: skippedField("doc_string"),
		11: textField("input"), 12: textField("output"), 13: skippedField("value_info"),
		14: refusedField("quantization_annotation"), 15: refusedField("sparse_initializer"),
		16: skippedField("metadata_props"),
	}}
	nodeMessage = message{"NodeProto", map[protowire.Number]fieldRule{
		1: textField("input"), 2: textField("output"), 3: textField("name"), 4: textField("op_type"),
		5: textField("attribute"), 6: skippedField("doc_string"), 7: textField("domain"), 8: refusedField("overload"),
		9: skippedField("metadata_props"), 10: refusedField("device_configurations"),
	}}
	attributeMessage = message{"AttributeProto", map[protowire.Number]fieldRule{
		1: textField("name"), 2: {name: "f", wire: protowire.Fixed32Type}, 3: intField("i"), 4: textField("s"),
		5: textField("t"), 6: refusedField("g (a subgraph)"), 7: numbers("floats", protowire.Fixed32Type),
		8: numbers("ints", protowire.VarintType), 9: textField("strings"), 10: refusedField("tensors"),
		11: refusedField("graphs (subgraphs)"), 13: skippedField("doc_string"), 14: refusedField("tp (a type)"),
		15: refusedField("type_protos"), 20: intField("type"), 21: refusedField("ref_attr_name"),
		22: refusedField("sparse_tensor"), 23: refusedField("sparse_tensors"),
	}}
	tensorMessage = message{"TensorProto", map[protowire.Number]fieldRule{
		1: numbers("dims", protowire.VarintType), 2: intField("data_type"), 3: refusedField("segment"),
		4: numbers("float_data", protowire.Fixed32Type), 5: numbers("int32_data", protowire.VarintType),
		6: textField("string_data"), 7: numbers("int64_data", protowire.VarintType), 8: textField("name"),
		9: textField("raw_data"), 10: numbers("double_data", protowire.Fixed64Type),
		11: {name: "uint64_data", wire: protowire.BytesType, use: refused, packable: true},
		12: skippedField("doc_string"), 13: textField("external_data"), 14: intField("data_location"),
		16: skippedField("metadata_props"),
	}}
	valueMessage = message{"ValueInfoProto", map[protowire.Number]fieldRule{
		1: textField("name"), 2: textField("type"), 3: skippedField("doc_string"), 4: skippedField("metadata_props"),
	}}
	typeMessage = message{"TypeProto", map[protowire.Number]fieldRule{
		1: textField("tensor_type"), 4: refusedField("sequence_type"), 5: refusedField("map_type"),
		6: skippedField("denotation"), 7: refusedField("opaque_type"), 8: refusedField("sparse_tensor_type"),
		9: refusedField("optional_type"),
	}}
	tensorTypeMessage = message{"TypeProto.Tensor", map[protowire.Number]fieldRule{
		1: intField("elem_type"), 2: textField("shape"),
	}}
	shapeMessage = message{"TensorShapeProto", map[protowire.Number]fieldRule{1: textField("dim")}}
	entryMessage = message{"StringStringEntryProto", map[protowire.Number]fieldRule{
		1: textField("key"), 2: textField("value"),
	}}
	dimMessage = message{"TensorShapeProto.Dimension", map[protowire.Number]fieldRule{
		1: intField("dim_value"), 2: textField("dim_param"), 3: skippedField("denotation"),
	}}
)

// field is one field of a message: varint holds a number, bytes a text, a message or packed
// numbers.
type field struct {
	number protowire.Number
	varint uint64
	bytes  []byte
	packed bool
}

// each calls visit for every field that is read. Of fields that are refused it tells after all
// others were visited, each once. It ends at once where visit fails, at bytes that are no field,
// and at a field that the message's table does not know.
func (m *message) each(b []byte, visit func(f field) error) error {
	var refusals []error
	told := uint64(0)
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%s: %w", m.name, protowire.ParseError(n))
		}
		b = b[n:]
		f := field{number: number}
		switch wire {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.varint = uint64(v)
		case protowire.Fixed64Type:
			f.varint, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			return fmt.Errorf("%s: field %d has wire type %d, which ONNX does not use", m.name, number, wire)
		}
		if n < 0 {
			return fmt.Errorf("%s: field %d: %w", m.name, number, protowire.ParseError(n))
		}
		b = b[n:]
		rule, known := m.fields[number]
		if !known {
			return fmt.Errorf("%s: field %d is unknown", m.name, number)
		}
		f.packed = rule.packable && wire == protowire.BytesType
		if wire != rule.wire && !f.packed {
			return fmt.Errorf("%s: field %s has wire type %d, not %d", m.name, rule.name, wire, rule.wire)
		}
		switch rule.use {
		case refused:
			// The tables' numbers are all below 64.
			if told&(1<<number) == 0 {
				refusals = append(refusals, fmt.Errorf("%s: field %s is not supported", m.name, rule.name))
			}
			told |= 1 << number
			continue
		case skipped:
			continue
		}
		if err := visit(f); err != nil {
			return err
		}
	}
	return errors.Join(refusals...)
}

// text is the field as a name, refused where it is too long to be one.
func (f field) text() (string, error) {
	if len(f.bytes) > MaxNameBytes {
		return "", fmt.Errorf("a name has %d bytes, more than %d", len(f.bytes), MaxNameBytes)
	}
	return string(f.bytes), nil
}

// capacity is the count of a field, refused where it exceeds a limit.
func (m *message) capacity(b []byte, number protowire.Number, limit int) (int, error) {
	n := m.count(b, number)
	if n > limit {
		return 0, fmt.Errorf("%s: there are %d of field %s, more than %d", m.name, n, m.fields[number].name, limit)
	}
	return n, nil
}

// count is the number of occurrences of a field, so that memory is taken once and for what is
// really there.
func (m *message) count(b []byte, number protowire.Number) int {
	total := 0
	for len(b) > 0 {
		n, _, size := protowire.ConsumeField(b)
		if size < 0 {
			return total
		}
		if n == number {
			total++
		}
		b = b[size:]
	}
	return total
}

type modelProto struct {
	irVersion int64
	producer  string
	opsets    []opsetProto
	graph     graphProto
}

type opsetProto struct {
	domain  string
	version int64
}

type graphProto struct {
	nodes        []nodeProto
	initializers []initializer
	inputs       []valueProto
	outputs      []valueProto
}

// initializer is a constant; its tensor is nil where it was refused.
type initializer struct {
	name   string
	tensor *Tensor
}

type nodeProto struct {
	index      int
	name       string
	operator   string
	domain     string
	inputs     []string
	outputs    []string
	attributes []attributeProto
	// refused: what is wrong with the node was told when it was read.
	refused bool
}

type attributeProto struct {
	name string
	kind attributeKind
	body []byte
}

// attributeKind is onnx.proto's AttributeProto.AttributeType.
type attributeKind uint8

const (
	floatKind   attributeKind = 1
	intKind     attributeKind = 2
	stringKind  attributeKind = 3
	tensorKind  attributeKind = 4
	floatsKind  attributeKind = 6
	intsKind    attributeKind = 7
	stringsKind attributeKind = 8
)

var attributeKindNames = map[attributeKind]string{
	floatKind: "FLOAT", intKind: "INT", stringKind: "STRING", tensorKind: "TENSOR", 5: "GRAPH", floatsKind: "FLOATS",
	intsKind: "INTS", stringsKind: "STRINGS", 9: "TENSORS", 10: "GRAPHS", 11: "SPARSE_TENSOR", 12: "SPARSE_TENSORS",
	13: "TYPE_PROTO", 14: "TYPE_PROTOS",
}

func (k attributeKind) String() string {
	if name, ok := attributeKindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("type %d", uint8(k))
}

// valueFields are the fields of an attribute that hold a value of each kind.
var valueFields = map[protowire.Number]attributeKind{
	2: floatKind, 3: intKind, 4: stringKind, 5: tensorKind, 7: floatsKind, 8: intsKind, 9: stringsKind,
}

// valueProto is a graph input or output as declared. Its kind is 0 where it was refused.
type valueProto struct {
	name string
	kind Type
	// ranked is false where no shape is declared.
	ranked bool
	dims   []dimProto
}

// dimProto is a fixed size, or a free one (size -1) with its name, if any.
type dimProto struct {
	size int64
	name string
}

// readModel reads a file as far as it can be read, and adds to p everything in it that is refused.
func readModel(b []byte, p *problems) *modelProto {
	m := &modelProto{}
	var graph []byte
	err := modelMessage.each(b, func(f field) error {
		switch f.number {
		case 1:
			m.irVersion = int64(f.varint)
		case 2:
			producer, err := f.text()
			m.producer = producer
			return err
		case 7:
			if graph != nil {
				return errors.New("ModelProto: there is more than one graph")
			}
			graph = f.bytes
			if graph == nil {
				graph = []byte{}
			}
		case 8:
			if len(m.opsets) >= maxDomains {
				return fmt.Errorf("ModelProto: more than %d operator sets are imported", maxDomains)
			}
			var o opsetProto
			if err := opsetMessage.each(f.bytes, func(f field) (err error) {
				if f.number == 1 {
					o.domain, err = f.text()
				} else {
					o.version = int64(f.varint)
				}
				return err
			}); err != nil {
				return err
			}
			m.opsets = append(m.opsets, o)
		}
		return nil
	})
	p.add(misuse, err)
	if graph != nil {
		p.add(misuse, m.graph.read(graph, p))
	} else if err == nil {
		p.add(misuse, errors.New("ModelProto: there is no graph"))
	}
	return m
}

// maxDomains bounds how many operator sets a model may import.
const maxDomains = 64

// read fails where the graph's own message does; what is wrong with a part of it, it adds to p, and
// goes on.
func (g *graphProto) read(b []byte, p *problems) error {
	nodes, err1 := graphMessage.capacity(b, 1, MaxNodes)
	initializers, err2 := graphMessage.capacity(b, 5, MaxValues)
	inputs, err3 := graphMessage.capacity(b, 11, MaxValues)
	outputs, err4 := graphMessage.capacity(b, 12, MaxValues)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	g.nodes = make([]nodeProto, 0, nodes)
	g.initializers = make([]initializer, 0, initializers)
	g.inputs = make([]valueProto, 0, inputs)
	g.outputs = make([]valueProto, 0, outputs)
	external := false
	return graphMessage.each(b, func(f field) error {
		switch f.number {
		case 1:
			n := nodeProto{index: len(g.nodes)}
			if err := n.read(f.bytes); err != nil {
				n.refused = true
				p.add(misuse, fmt.Errorf("%s: %w", n.label(), err))
			}
			g.nodes = append(g.nodes, n)
		case 5:
			name, t, err := readTensor(f.bytes)
			var elsewhere externalDataError
			isElsewhere := errors.As(err, &elsewhere)
			switch {
			case isElsewhere && external:
				// One of them has told it of all.
			case err != nil:
				p.add(misuse, fmt.Errorf("initializer %q: %w", name, err))
			case name == "":
				p.add(misuse, fmt.Errorf("initializer %d has no name", len(g.initializers)))
			}
			external = external || isElsewhere
			g.initializers = append(g.initializers, initializer{name, t})
		case 11, 12:
			var v valueProto
			if err := v.read(f.bytes); err != nil {
				v.kind = 0
				p.add(misuse, fmt.Errorf("%s %q: %w",
					map[protowire.Number]string{11: "input", 12: "output"}[f.number], v.name, err))
			}
			if f.number == 11 {
				g.inputs = append(g.inputs, v)
			} else {
				g.outputs = append(g.outputs, v)
			}
		}
		return nil
	})
}

func (n *nodeProto) read(b []byte) error {
	inputs, err1 := nodeMessage.capacity(b, 1, MaxArguments)
	outputs, err2 := nodeMessage.capacity(b, 2, MaxArguments)
	attributes, err3 := nodeMessage.capacity(b, 5, MaxAttributes)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	n.inputs = make([]string, 0, inputs)
	n.outputs = make([]string, 0, outputs)
	n.attributes = make([]attributeProto, 0, attributes)
	// A refused attribute does not end the reading: what is told of the node names its operator.
	var refusals []error
	err := nodeMessage.each(b, func(f field) (err error) {
		var name string
		switch f.number {
		case 1:
			name, err = f.text()
			n.inputs = append(n.inputs, name)
		case 2:
			name, err = f.text()
			n.outputs = append(n.outputs, name)
		case 3:
			n.name, err = f.text()
		case 4:
			n.operator, err = f.text()
		case 5:
			a := attributeProto{body: f.bytes}
			if err := a.read(); err != nil {
				refusals = append(refusals, fmt.Errorf("attribute %q: %w", a.name, err))
			} else {
				n.attributes = append(n.attributes, a)
			}
		case 7:
			n.domain, err = f.text()
		}
		return err
	})
	if err == nil && n.operator == "" {
		err = errors.New("there is no operator (op_type)")
	}
	return errors.Join(append(refusals, err)...)
}

// label names a node in an error: by its name, else by its first output.
func (n *nodeProto) label() string {
	switch {
	case n.name != "":
		return fmt.Sprintf("node %q (%s)", n.name, n.title())
	case len(n.outputs) > 0:
		return fmt.Sprintf("node %d (%s, output %q)", n.index, n.title(), n.outputs[0])
	default:
		return fmt.Sprintf("node %d (%s)", n.index, n.title())
	}
}

func (n *nodeProto) title() string {
	return title(n.domain, n.operator)
}

// read checks the attribute's fields; its value stays in the body until an operator asks for it.
func (a *attributeProto) read() error {
	var kind uint64
	var value attributeKind
	err := attributeMessage.each(a.body, func(f field) (err error) {
		switch f.number {
		case 1:
			a.name, err = f.text()
		case 20:
			kind = f.varint
		default:
			if value != 0 && value != valueFields[f.number] {
				return fmt.Errorf("it has values of two types, %s and %s", value, valueFields[f.number])
			}
			value = valueFields[f.number]
		}
		return err
	})
	if err != nil {
		return err
	}
	if kind > math.MaxUint8 {
		return fmt.Errorf("its type %d is unknown", kind)
	}
	a.kind = attributeKind(kind)
	if value != 0 && value != a.kind {
		return fmt.Errorf("its type is %s but its value %s", a.kind, value)
	}
	return nil
}

// last is the varint of the last occurrence of a field, as protobuf reads a single value; else 0.
func (a *attributeProto) last(number protowire.Number) field {
	var found field
	// The body was checked when it was read.
	_ = attributeMessage.each(a.body, func(f field) error {
		if f.number == number {
			found = f
		}
		return nil
	})
	return found
}

func (a *attributeProto) float() float32 { return math.Float32frombits(uint32(a.last(2).varint)) }
func (a *attributeProto) int() int64     { return int64(a.last(3).varint) }
func (a *attributeProto) text() string   { return string(a.last(4).bytes) }

func (a *attributeProto) tensor() (*Tensor, error) {
	_, t, err := readTensor(a.last(5).bytes)
	return t, err
}

func (a *attributeProto) floats() ([]float32, error) {
	s, err := attributeMessage.numbers(a.body, 7)
	return s.float32s(), err
}

func (a *attributeProto) ints() ([]int64, error) {
	s, err := attributeMessage.numbers(a.body, 8)
	return s.int64s(), err
}

func (a *attributeProto) texts() []string {
	texts := make([]string, 0, attributeMessage.count(a.body, 9))
	_ = attributeMessage.each(a.body, func(f field) error {
		if f.number == 9 {
			texts = append(texts, string(f.bytes))
		}
		return nil
	})
	return texts
}

// packedNumbers is a repeated number that was found to be well formed: where it lies, and how many
// there are.
type packedNumbers struct {
	message *message
	body    []byte
	number  protowire.Number
	wire    protowire.Type
	count   int
}

// numbers counts the elements of a repeated number, packed or not, without taking memory for them.
func (m *message) numbers(body []byte, number protowire.Number) (packedNumbers, error) {
	p := packedNumbers{message: m, body: body, number: number, wire: m.fields[number].wire}
	err := p.each(func(uint64) { p.count++ })
	return p, err
}

func (p packedNumbers) each(visit func(bits uint64)) error {
	return p.message.each(p.body, func(f field) error {
		if f.number != p.number {
			return nil
		}
		if !f.packed {
			visit(f.varint)
			return nil
		}
		for b := f.bytes; len(b) > 0; {
			var v uint64
			var n int
			switch p.wire {
			case protowire.Fixed32Type:
				var v32 uint32
				v32, n = protowire.ConsumeFixed32(b)
				v = uint64(v32)
			case protowire.Fixed64Type:
				v, n = protowire.ConsumeFixed64(b)
			default:
				v, n = protowire.ConsumeVarint(b)
			}
			if n < 0 {
				return fmt.Errorf("%s: field %s: %w", p.message.name, p.message.fields[p.number].name,
					protowire.ParseError(n))
			}
			visit(v)
			b = b[n:]
		}
		return nil
	})
}

// decode makes a slice of the numbers, which were counted before and are therefore well formed.
func decode[T element](p packedNumbers, convert func(bits uint64) T) []T {
	s := make([]T, 0, p.count)
	_ = p.each(func(bits uint64) { s = append(s, convert(bits)) })
	return s
}

func (p packedNumbers) float32s() []float32 {
	if p.count == 0 {
		return nil
	}
	return decode(p, func(bits uint64) float32 { return math.Float32frombits(uint32(bits)) })
}

func (p packedNumbers) int64s() []int64 {
	if p.count == 0 {
		return nil
	}
	return decode(p, func(bits uint64) int64 { return int64(bits) })
}

// dataTypes are onnx.proto's TensorProto.DataType values; those that map to no Type are refused by
// name.
var dataTypes = map[uint64]struct {
	name string
	kind Type
}{
	1: {"float", Float32}, 2: {"uint8", 0}, 3: {"int8", 0}, 4: {"uint16", 0}, 5: {"int16", 0}, 6: {"int32", Int32},
	7: {"int64", Int64}, 8: {"string", String}, 9: {"bool", Bool}, 10: {"float16", 0}, 11: {"double", Float64},
	12: {"uint32", 0}, 13: {"uint64", 0}, 14: {"complex64", 0}, 15: {"complex128", 0}, 16: {"bfloat16", 0},
	17: {"float8e4m3fn", 0}, 18: {"float8e4m3fnuz", 0}, 19: {"float8e5m2", 0}, 20: {"float8e5m2fnuz", 0},
	21: {"uint4", 0}, 22: {"int4", 0}, 23: {"float4e2m1", 0}, 24: {"float8e8m0", 0}, 25: {"uint2", 0}, 26: {"int2", 0},
	27: {"float6e2m3", 0}, 28: {"float6e3m2", 0},
}

func dataType(code uint64) (Type, error) {
	t, known := dataTypes[code]
	if !known {
		return 0, fmt.Errorf("type %d is unknown", code)
	}
	if t.kind == 0 {
		return 0, fmt.Errorf("type %s is not supported (float, double, int32, int64, bool and string are)", t.name)
	}
	return t.kind, nil
}

// externalDataError is that a tensor's data is in another file, whose name it is; empty where that
// is not said. PyTorch's exporter does so unless told otherwise.
type externalDataError string

func (e externalDataError) Error() string {
	where := "another file"
	if e != "" {
		where = fmt.Sprintf("another file, %q", string(e))
	}
	return "external data is not supported: the weights are in " + where +
		"; export with torch.onnx.export(..., external_data=False), or, with that file beside the model, write one " +
		"file with onnx.save(onnx.load(path), path)"
}

// location is the file of an entry of a tensor's external_data; "" for the other entries.
func location(entry []byte) (string, error) {
	var key, value string
	err := entryMessage.each(entry, func(f field) (err error) {
		if f.number == 1 {
			key, err = f.text()
		} else {
			value, err = f.text()
		}
		return err
	})
	if key != "location" {
		value = ""
	}
	return value, err
}

// readTensor reads a tensor and its name. It takes memory only after the claimed shape was found to
// fit the data.
func readTensor(b []byte) (string, *Tensor, error) {
	var name string
	var code uint64
	var raw []byte
	hasRaw, external := false, false
	var elsewhere externalDataError
	var typed protowire.Number
	err := tensorMessage.each(b, func(f field) (err error) {
		switch f.number {
		case 2:
			code = f.varint
		case 8:
			name, err = f.text()
		case 9:
			raw, hasRaw = f.bytes, len(f.bytes) > 0
		case 13:
			file, err := location(f.bytes)
			if file != "" {
				elsewhere = externalDataError(file)
			}
			return err
		case 14:
			external = f.varint != 0
		case 4, 5, 6, 7, 10:
			if typed != 0 && typed != f.number {
				return fmt.Errorf("TensorProto: both %s and %s are set",
					tensorMessage.fields[typed].name, tensorMessage.fields[f.number].name)
			}
			typed = f.number
		}
		return err
	})
	if err != nil {
		return name, nil, err
	}
	if external {
		return name, nil, elsewhere
	}
	kind, err := dataType(code)
	if err != nil {
		return name, nil, err
	}
	sizes, err := tensorMessage.numbers(b, 1)
	if err != nil {
		return name, nil, err
	}
	if sizes.count > MaxRank {
		return name, nil, fmt.Errorf("it has %d dimensions, more than %d", sizes.count, MaxRank)
	}
	t := &Tensor{kind: kind, shape: make([]int, 0, sizes.count)}
	count := uint64(1)
	for _, size := range sizes.int64s() {
		if size < 0 || size > MaxElements || count*uint64(size) > MaxElements {
			return name, nil, fmt.Errorf("its shape %v has a negative size or more than %d elements", sizes.int64s(),
				MaxElements)
		}
		count *= uint64(size)
		t.shape = append(t.shape, int(size))
	}
	if hasRaw && typed != 0 {
		return name, nil, fmt.Errorf("TensorProto: both raw_data and %s are set", tensorMessage.fields[typed].name)
	}
	if hasRaw {
		err = t.readRaw(raw, int(count))
	} else {
		err = t.readTyped(b, typed, int(count))
	}
	if err != nil {
		return name, nil, err
	}
	return name, t, nil
}

var rawSizes = map[Type]int{Float32: 4, Float64: 8, Int32: 4, Int64: 8, Bool: 1}

// readRaw reads little-endian elements.
func (t *Tensor) readRaw(raw []byte, count int) error {
	size := rawSizes[t.kind]
	if size == 0 {
		return fmt.Errorf("raw_data cannot hold type %s", t.kind)
	}
	if len(raw) != count*size {
		return fmt.Errorf("raw_data has %d bytes, but shape %v of type %s needs %d", len(raw), t.shape, t.kind,
			count*size)
	}
	t.resize(count)
	switch t.kind {
	case Float32:
		for i := range t.float32s {
			t.float32s[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case Float64:
		for i := range t.float64s {
			t.float64s[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	case Int32:
		for i := range t.int32s {
			t.int32s[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case Int64:
		for i := range t.int64s {
			t.int64s[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	case Bool:
		for i := range t.bools {
			t.bools[i] = raw[i] != 0
		}
	}
	return nil
}

// typedFields are the fields of TensorProto that hold each type's elements.
var typedFields = map[Type]protowire.Number{Float32: 4, Int32: 5, Bool: 5, String: 6, Int64: 7, Float64: 10}

func (t *Tensor) readTyped(b []byte, typed protowire.Number, count int) error {
	want := typedFields[t.kind]
	if typed != 0 && typed != want {
		return fmt.Errorf("type %s is stored in %s, not %s", t.kind, tensorMessage.fields[typed].name,
			tensorMessage.fields[want].name)
	}
	if t.kind == String {
		if found := tensorMessage.count(b, want); found != count {
			return fmt.Errorf("%d elements are stored, but shape %v has %d", found, t.shape, count)
		}
		t.strings = make([]string, 0, count)
		return tensorMessage.each(b, func(f field) error {
			if f.number == want {
				t.strings = append(t.strings, string(f.bytes))
			}
			return nil
		})
	}
	stored, err := tensorMessage.numbers(b, want)
	if err != nil {
		return err
	}
	if stored.count != count {
		return fmt.Errorf("%d elements are stored, but shape %v has %d", stored.count, t.shape, count)
	}
	switch t.kind {
	case Float32:
		t.float32s = stored.float32s()
	case Float64:
		t.float64s = decode(stored, math.Float64frombits)
	case Int32:
		t.int32s = decode(stored, func(bits uint64) int32 { return int32(bits) })
	case Int64:
		t.int64s = stored.int64s()
	case Bool:
		t.bools = decode(stored, func(bits uint64) bool { return bits != 0 })
	}
	return nil
}

func (v *valueProto) read(b []byte) error {
	var declared []byte
	if err := valueMessage.each(b, func(f field) (err error) {
		if f.number == 1 {
			v.name, err = f.text()
		} else {
			declared = f.bytes
		}
		return err
	}); err != nil {
		return err
	}
	var tensor []byte
	if err := typeMessage.each(declared, func(f field) error {
		tensor = f.bytes
		return nil
	}); err != nil {
		return err
	}
	var code uint64
	var shape []byte
	if err := tensorTypeMessage.each(tensor, func(f field) error {
		if f.number == 1 {
			code = f.varint
		} else {
			shape, v.ranked = f.bytes, true
		}
		return nil
	}); err != nil {
		return err
	}
	var err error
	if v.kind, err = dataType(code); err != nil {
		return err
	}
	return shapeMessage.each(shape, func(f field) error {
		if len(v.dims) == MaxRank {
			return fmt.Errorf("it has more than %d dimensions", MaxRank)
		}
		d := dimProto{size: -1}
		if err := dimMessage.each(f.bytes, func(f field) (err error) {
			if f.number == 2 {
				d.name, err = f.text()
				return err
			}
			// Some exporters write -1 for a free dimension; ONNX Runtime reads it so.
			if d.size = int64(f.varint); d.size < -1 {
				return fmt.Errorf("dimension %d has the size %d", len(v.dims), d.size)
			}
			return nil
		}); err != nil {
			return err
		}
		v.dims = append(v.dims, d)
		return nil
	})
}

// foreign names the format of a file that is known not to be ONNX, with how to come to one; "" for
// any other.
func foreign(file []byte) string {
	begins := func(at int, text string) bool {
		return len(file) >= at+len(text) && string(file[at:at+len(text)]) == text
	}
	switch {
	case len(file) == 0:
		return "empty"
	case begins(0, "PK\x03\x04"):
		return "a zip archive, as torch.save and Keras write: export the model to ONNX"
	case begins(0, "\x1f\x8b"):
		return "compressed by gzip: unpack it"
	case begins(0, "\x89HDF"):
		return "HDF5, as Keras writes: export the model to ONNX"
	case begins(2, "\x00\x00TFL3"):
		return "a TensorFlow Lite model: convert it with tf2onnx --tflite"
	case begins(2, "\x00\x00ORTM"):
		return "in ONNX Runtime's own format: export the model to a .onnx file"
	case begins(0, "version https://git-lfs"):
		return "Git LFS's pointer to one: run git lfs pull"
	case begins(0, "<"), begins(0, "{"), begins(0, "\xef\xbb\xbf"), begins(0, "\xff\xfe"), begins(0, "\xfe\xff"):
		return "text: was it downloaded whole?"
	}
	return ""
}
