package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// problems of a command line's flags, collected so that the user hears of all at once.
type problems struct{ found []error }

func (p *problems) add(err error) {
	if err != nil {
		p.found = append(p.found, err)
	}
}

func (p *problems) err() error { return errors.Join(p.found...) }

// parsed is a flag whose bad values do not end the parsing of the others.
type parsed[T any] struct {
	name, kind string
	value      T
	text       string
	parse      func(string) (T, error)
	problem    error
}

func (f *parsed[T]) String() string { return f.text }
func (f *parsed[T]) Type() string   { return f.kind }

func (f *parsed[T]) Set(text string) error {
	f.text = text
	var err error
	if f.value, err = f.parse(text); err != nil {
		f.problem = fmt.Errorf("--%s %q is not %s", f.name, text, article(f.kind))
	}
	return nil
}

func article(kind string) string {
	if strings.ContainsRune("aeiou", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}

func newFlag[T any](name, kind string, value T, parse func(string) (T, error)) *parsed[T] {
	return &parsed[T]{name: name, kind: kind, value: value, text: fmt.Sprint(value), parse: parse}
}

func numberFlag(name string, value float64) *parsed[float64] {
	return newFlag(name, "number", value, func(text string) (float64, error) { return strconv.ParseFloat(text, 64) })
}

func integerFlag(name string, value int) *parsed[int] {
	return newFlag(name, "integer", value, strconv.Atoi)
}

func durationFlag(name string, value time.Duration) *parsed[time.Duration] {
	return newFlag(name, "duration", value, time.ParseDuration)
}

// allow adds what is wrong with a flag: its text, or else what the rule, which is false for a bad
// value, allows.
func allow[T any](p *problems, f *parsed[T], rule func(T) bool, allowed string) {
	if f.problem == nil && !rule(f.value) {
		f.problem = fmt.Errorf("--%s is %s: %s", f.name, f.text, allowed)
	}
	p.add(f.problem)
}

// named adds a problem for a file or folder that is not named.
func (p *problems) named(flag, value string) {
	if strings.TrimSpace(value) == "" {
		p.add(fmt.Errorf("--%s is empty: a name is needed", flag))
	}
}

func seedFlag(name string, value uint64) *parsed[uint64] {
	return newFlag(name, "whole number", value, func(text string) (uint64, error) {
		return strconv.ParseUint(text, 10,
			64)
	})
}
