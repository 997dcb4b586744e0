package asl

import (
	"fmt"
	"regexp"
	"strings"
)

// path is a reference path: $, $.a.b, or, into the context object, $$.a.b. Nothing else of JSONPath
// is taken: an expression that may name several values, or that implementations read differently,
// is refused.
type path struct {
	text    string
	context bool
	fields  []string
}

var pathSyntax = regexp.MustCompile(`^\$\$?(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

func parsePath(text string) (*path, error) {
	if !pathSyntax.MatchString(text) {
		return nil, fmt.Errorf("%q is no reference path such as $.a.b: letters, digits and underscores after each "+
			"full stop, the first no digit", text)
	}
	p := &path{text: text, context: strings.HasPrefix(text, "$$")}
	if _, fields, below := strings.Cut(text, "."); below {
		p.fields = strings.Split(fields, ".")
	}
	return p, nil
}

// of is the value that the path names.
func (p *path) of(data any, about *contextObject) (any, bool) {
	if p.context {
		data = about.document()
	}
	for _, field := range p.fields {
		object, ok := data.(map[string]any)
		if !ok {
			return nil, false
		}
		if data, ok = object[field]; !ok {
			return nil, false
		}
	}
	return data, true
}

// put returns data with value where the path leads, which makes the objects on its way. Data itself
// stays as it is.
func (p *path) put(data, value any) (any, bool) {
	return put(data, p.fields, value)
}

func put(data any, fields []string, value any) (any, bool) {
	if len(fields) == 0 {
		return value, true
	}
	object, ok := data.(map[string]any)
	if !ok {
		return nil, false
	}
	changed := make(map[string]any, len(object)+1)
	for name, member := range object {
		changed[name] = member
	}
	below, exists := object[fields[0]]
	if !exists {
		below = map[string]any{}
	}
	if changed[fields[0]], ok = put(below, fields[1:], value); !ok {
		return nil, false
	}
	return changed, true
}
