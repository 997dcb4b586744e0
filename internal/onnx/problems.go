package onnx

import (
	"errors"
	"fmt"
	"slices"
)

// problemKind orders what is wrong with a model by what its user must know first.
type problemKind uint8

const (
	// unknownOperator: no opset would help.
	unknownOperator problemKind = iota + 1
	// unsupportedOpset: the operator is known, but not in this opset.
	unsupportedOpset
	// misuse is everything else.
	misuse
)

// maxProblems bounds how many problems of a kind one error lists.
const maxProblems = 20

// problems are what is wrong with a model.
type problems struct {
	found map[problemKind][]error
	// more counts those beyond maxProblems.
	more int
}

// add takes in a problem, if err is one.
func (p *problems) add(kind problemKind, err error) {
	if err == nil {
		return
	}
	if p.found == nil {
		p.found = make(map[problemKind][]error)
	}
	if len(p.found[kind]) == maxProblems {
		p.more++
		return
	}
	p.found[kind] = append(p.found[kind], err)
}

// all are the problems, the first to know first.
func (p *problems) all() []error {
	all := slices.Concat(p.found[unknownOperator], p.found[unsupportedOpset], p.found[misuse])
	if p.more > 0 {
		all = append(all, fmt.Errorf("and %d more problems", p.more))
	}
	return all
}

func (p *problems) err() error { return errors.Join(p.all()...) }
