package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// state is the memory of one evaluation. States are pooled, so an evaluation takes memory for its
// outputs only.
type state struct {
	batch   int
	tensors []*Tensor
	in, out [][]*Tensor
}

func (m *Model) newState() *state {
	s := &state{tensors: make([]*Tensor, len(m.slots)), in: make([][]*Tensor, len(m.steps)),
		out: make([][]*Tensor, len(m.steps))}
	for i, v := range m.slots {
		if v.constant != nil {
			s.tensors[i] = v.constant
		} else {
			s.tensors[i] = &Tensor{kind: v.kind, shape: make([]int, len(v.shape))}
		}
	}
	pick := func(slots []int) []*Tensor {
		tensors := make([]*Tensor, len(slots))
		for i, slot := range slots {
			if slot >= 0 {
				tensors[i] = s.tensors[slot]
			}
		}
		return tensors
	}
	for i, step := range m.steps {
		s.in[i], s.out[i] = pick(step.in), pick(step.out)
	}
	return s
}

// fit gives every computed tensor its shape and memory for a batch of n.
func (s *state) fit(m *Model, n int) {
	if s.batch == n {
		return
	}
	for _, v := range m.slots[len(m.inputs):] {
		if v.constant == nil {
			s.tensors[v.slot].fit(v, n)
		}
	}
	s.batch = n
}

// release lets go of the caller's data, of all views on it and of all strings, and returns the
// state to the pool.
func (s *state) release(m *Model) {
	for i, v := range m.slots {
		t := s.tensors[i]
		switch {
		case v.constant != nil:
		case i < len(m.inputs):
			*t = Tensor{}
		case v.of != nil:
			*t = Tensor{kind: v.kind, shape: t.shape}
		default:
			clear(t.strings)
		}
	}
	m.pool.Put(s)
}

// Run evaluates the model on the given inputs, by name, and returns its outputs, which are the
// caller's to keep. The inputs are only read. ctx is looked at between nodes.
//
// It fails on its inputs only: a missing or unknown name, another type or shape, an unequal or too
// large batch, an index out of range in Gather or ArrayFeatureExtractor, a category that
// OneHotEncoder with zeros=0 does not know; or when ctx ends.
func (m *Model) Run(ctx context.Context, inputs map[string]*Tensor) (map[string]*Tensor, error) {
	batch, err := m.check(inputs)
	if err != nil {
		return nil, fmt.Errorf("run ONNX model: %w", err)
	}
	s, ok := m.pool.Get().(*state)
	if !ok {
		s = m.newState()
	}
	defer s.release(m)
	for i, v := range m.inputs {
		*s.tensors[i] = *inputs[v.name]
	}
	s.fit(m, batch)
	for i := range m.steps {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("run ONNX model: %w", err)
		}
		if err := m.steps[i].kernel(s.in[i], s.out[i]); err != nil {
			return nil, fmt.Errorf("run ONNX model: %s: %w", m.steps[i].label, err)
		}
	}
	outputs := make(map[string]*Tensor, len(m.outputs))
	for _, v := range m.outputs {
		outputs[v.name] = s.tensors[v.slot].clone()
	}
	return outputs, nil
}

// check finds everything that is wrong with the inputs, and the batch.
func (m *Model) check(inputs map[string]*Tensor) (int, error) {
	var problems []error
	batch, batchInput := 1, ""
	for _, v := range m.inputs {
		t := inputs[v.name]
		if t == nil {
			problems = append(problems, fmt.Errorf("input %q is missing", v.name))
			continue
		}
		if t.kind != v.kind {
			problems = append(problems, fmt.Errorf("input %q has type %s, not %s", v.name, t.kind, v.kind))
			continue
		}
		if len(t.shape) != len(v.shape) {
			problems = append(problems, fmt.Errorf("input %q has shape %v, not %s", v.name, t.shape,
				shapeText(v.shape)))
			continue
		}
		total := 1
		for i, d := range v.shape {
			if n := t.shape[i]; !d.isFixed() {
				switch {
				case batchInput != "" && n != batch:
					problems = append(problems, fmt.Errorf("inputs %q and %q have batches of %d and %d", batchInput,
						v.name, batch, n))
				case n < 1 || n > m.maxBatch:
					problems = append(problems, fmt.Errorf("input %q has a batch of %d, not 1 to %d", v.name, n,
						m.maxBatch))
				default:
					batch, batchInput = n, v.name
				}
				if n < 0 || n > m.maxBatch {
					n = 0
				}
				total *= n
			} else if n != d.at(1) {
				problems = append(problems, fmt.Errorf("input %q has shape %v, not %s", v.name, t.shape,
					shapeText(v.shape)))
				break
			} else {
				total *= n
			}
		}
		if len(problems) == 0 && total != t.count() {
			problems = append(problems, fmt.Errorf("input %q has %d elements, but its shape %v has %d", v.name,
				t.count(), t.shape, total))
		}
	}
	if len(inputs) > len(m.inputs) || len(problems) > 0 {
		problems = append(problems, m.unknown(inputs)...)
	}
	return batch, errors.Join(problems...)
}

// unknown reports names that are no inputs, with those that are.
func (m *Model) unknown(inputs map[string]*Tensor) []error {
	var unknown, known []string
	for _, v := range m.inputs {
		known = append(known, v.name)
	}
	for name := range inputs {
		if !slices.Contains(known, name) {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return []error{fmt.Errorf("the model has no input %s; its inputs are %s", strings.Join(unknown, ", "),
		strings.Join(known, ", "))}
}
