package onnx

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Description is what a file says of itself, as far as it can be read, with everything that keeps
// [Load] from taking it.
type Description struct {
	IRVersion int64
	// Producer is the exporter's name, where it left it.
	Producer string
	// Opsets are the imported operator sets by domain, each in its highest version.
	Opsets []Opset
	// Operators are those of all nodes, by name.
	Operators []OperatorUse
	// Inputs and Outputs are as declared; for a file without problems, Inputs leave out those that
	// have an initializer, and Outputs have the computed shapes.
	Inputs, Outputs []Declaration
	// Problems are in the order of Load's error.
	Problems []error
}

// Opset is an imported operator set; its domain is empty for the default one.
type Opset struct {
	Domain  string
	Version int64
	// Used says whether a node is of that domain.
	Used bool
}

// OperatorUse is an operator with the number of its nodes.
type OperatorUse struct {
	// Name has the domain before it, where that is not the default one.
	Name string
	// Version is the operator's own: that of its last change up to the imported opset. It is 0
	// where the operator is not supported.
	Version int
	Nodes   int
}

// Declaration is an input or output.
type Declaration struct {
	Name string
	// Type is ONNX's name of it, or "unsupported".
	Type string
	// Shape has a text for each dimension: a number, N for the batch, or ? where it is free and
	// must not be; nil where none is declared.
	Shape []string
}

// Describe reads a file and checks it as [Load] does; the model is nil where there are problems.
func Describe(file []byte) (Description, *Model) {
	m, proto, p := load(file)
	d := Description{IRVersion: proto.irVersion, Producer: proto.producer, Problems: p.all()}
	versions, used := opsetVersions(proto.opsets), make(map[string]bool)
	operators := make(map[string]OperatorUse)
	for i := range proto.graph.nodes {
		n := &proto.graph.nodes[i]
		used[n.domain] = true
		use := operators[n.title()]
		use.Name, use.Nodes = n.title(), use.Nodes+1
		if _, _, err := n.form(versions); err == nil {
			use.Version = versionOf(use.Name, versions[n.domain])
		}
		operators[use.Name] = use
	}
	for _, domain := range slices.Sorted(maps.Keys(versions)) {
		d.Opsets = append(d.Opsets, Opset{domain, versions[domain], used[domain]})
	}
	d.Operators = slices.SortedFunc(maps.Values(operators),
		func(a, b OperatorUse) int { return cmp.Compare(a.Name, b.Name) })
	if len(d.Problems) > 0 {
		d.Inputs, d.Outputs = declared(proto.graph.inputs), declared(proto.graph.outputs)
		return d, nil
	}
	d.Inputs, d.Outputs = computed(m.inputs), computed(m.outputs)
	return d, m
}

func declared(values []valueProto) []Declaration {
	declarations := make([]Declaration, len(values))
	for i, v := range values {
		declarations[i] = Declaration{Name: v.name, Type: v.kind.String()}
		if !v.ranked {
			continue
		}
		declarations[i].Shape = make([]string, len(v.dims))
		for j, d := range v.dims {
			switch {
			case d.size >= 0:
				declarations[i].Shape[j] = fmt.Sprint(d.size)
			case j == 0:
				declarations[i].Shape[j] = "N"
			default:
				declarations[i].Shape[j] = "?"
			}
		}
	}
	return declarations
}

func computed(values []*value) []Declaration {
	declarations := make([]Declaration, len(values))
	for i, v := range values {
		declarations[i] = Declaration{Name: v.name, Type: v.kind.String(), Shape: make([]string, len(v.shape))}
		for j, d := range v.shape {
			declarations[i].Shape[j] = d.String()
		}
	}
	return declarations
}
