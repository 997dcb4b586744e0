package assembly

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// object reads the evaluated properties of a resource that runs. Each is read into the typed form,
// held to the one value with which the laptop agrees, or ignored with a reason; close refuses the
// rest. A test holds the laptop's side to the typed form: each field of it is read there. Unknown
// values, in a rehearsal, pass as absent ones that nobody misses.
//
// CDK writes some numbers and booleans as strings, which CloudFormation takes: they are read alike.
type object struct {
	fields map[string]any
	at     *path
	// server is the evaluated metadata of what a server runs; nil where there is none.
	server      map[string]any
	resource    *Resource
	environment Environment
	assembly    *Assembly
	fail        func(at *path, format string, arguments ...any) any
	ignored     *[]Ignored
	seen        map[string]bool
	parts       []*object
}

// value is a property that is present and known.
func (o *object) value(name string) (any, bool) {
	o.seen[name] = true
	value, ok := o.fields[name]
	return value, ok && value != (any)(unknown{})
}

func (o *object) refuse(name, allowed string) {
	o.fail(o.at.field(name), "got %s, want %s", shown(o.fields[name]), allowed)
}

// need requires the properties to be there.
func (o *object) need(names ...string) {
	for _, name := range names {
		if _, ok := o.fields[name]; !ok {
			o.refuse(name, "a value: the laptop needs this property")
		}
	}
}

// text is a string; empty where absent.
func (o *object) text(name string) string {
	value, ok := o.value(name)
	if !ok {
		return ""
	}
	text, ok := scalar(value)
	if !ok {
		o.refuse(name, "a string")
	}
	return text
}

// oneOf is one of these strings; the first where absent.
func (o *object) oneOf(name string, allowed ...string) string {
	if _, ok := o.value(name); !ok {
		return allowed[0]
	}
	text := o.text(name)
	if !slices.Contains(allowed, text) {
		o.refuse(name, strings.Join(allowed, " or "))
	}
	return text
}

// boolean is true or false, or spelled so.
func (o *object) boolean(name string, absent bool) bool {
	value, ok := o.value(name)
	if !ok {
		return absent
	}
	text, _ := scalar(value)
	truth, err := strconv.ParseBool(text)
	if err != nil || (text != "true" && text != "false") {
		o.refuse(name, "true or false")
	}
	return truth
}

// number is a number from least to most, or one spelled as a string.
func (o *object) number(name string, absent, least, most float64) float64 {
	value, ok := o.value(name)
	if !ok {
		return absent
	}
	text, _ := scalar(value)
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(number) || number < least || number > most {
		o.refuse(name, fmt.Sprintf("a number from %g to %g", least, most))
		return absent
	}
	return number
}

// integer is a whole number from least to most, or one spelled as a string.
func (o *object) integer(name string, absent, least, most int) int {
	value, ok := o.value(name)
	if !ok {
		return absent
	}
	text, _ := scalar(value)
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || number != math.Trunc(number) || number < float64(least) || number > float64(most) {
		o.refuse(name, fmt.Sprintf("a whole number from %d to %d", least, most))
		return absent
	}
	return int(number)
}

// part is an object within; an empty one where absent.
func (o *object) part(name string) *object {
	value, ok := o.value(name)
	fields, isObject := value.(map[string]any)
	if ok && !isObject {
		o.refuse(name, "an object")
	}
	return o.within(fields, o.at.field(name))
}

func (o *object) within(fields map[string]any, at *path) *object {
	part := *o
	part.fields, part.at, part.seen, part.parts = fields, at, map[string]bool{}, nil
	o.parts = append(o.parts, &part)
	return &part
}

// list is a list of any values; empty where absent.
func (o *object) list(name string) []any {
	value, ok := o.value(name)
	list, isList := value.([]any)
	if ok && !isList {
		o.refuse(name, "a list")
	}
	return list
}

// objects is a list of objects.
func (o *object) objects(name string) []*object {
	var result []*object
	for i, element := range o.list(name) {
		here := o.at.field(name).index(i)
		fields, ok := element.(map[string]any)
		if !ok && element != (any)(unknown{}) {
			o.fail(here, "got %s, want an object", shown(element))
		}
		if ok {
			result = append(result, o.within(fields, here))
		}
	}
	return result
}

// named is a list of names with values, as one object.
func (o *object) named(list, name, value string) *object {
	named := map[string]any{}
	for _, element := range o.objects(list) {
		element.need(name, value)
		key := element.text(name)
		element.seen[value] = true
		if _, doubled := named[key]; doubled {
			element.refuse(name, "every name once")
		}
		named[key] = element.fields[value]
	}
	return o.within(named, o.at.field(list))
}

// texts is a list of strings.
func (o *object) texts(name string) []string {
	var result []string
	for i, element := range o.list(name) {
		text, ok := scalar(element)
		if !ok && element != (any)(unknown{}) {
			o.fail(o.at.field(name).index(i), "got %s, want a string", shown(element))
		}
		result = append(result, text)
	}
	return result
}

// table is an object of strings.
func (o *object) table(name string) map[string]string {
	result := map[string]string{}
	part := o.part(name)
	for _, key := range slices.Sorted(maps.Keys(part.fields)) {
		result[key] = part.text(key)
	}
	return result
}

// rest is everything, as CloudFormation sends it to a custom resource: every scalar as a string.
func (o *object) rest() map[string]any {
	result := map[string]any{}
	for name, value := range o.fields {
		o.seen[name] = true
		result[name] = stringly(value)
	}
	return result
}

func stringly(value any) any {
	switch value := value.(type) {
	case []any:
		result := make([]any, len(value))
		for i, element := range value {
			result[i] = stringly(element)
		}
		return result
	case map[string]any:
		result := make(map[string]any, len(value))
		for name, member := range value {
			result[name] = stringly(member)
		}
		return result
	case bool, json.Number:
		text, _ := scalar(value)
		return text
	}
	return value
}

// ignore leaves properties out on purpose.
func (o *object) ignore(reason string, names ...string) {
	for _, name := range names {
		o.seen[name] = true
		if _, ok := o.fields[name]; ok {
			property := strings.TrimPrefix(o.at.field(name).String(), "Properties.")
			*o.ignored = append(*o.ignored, Ignored{Property: property, Reason: reason})
		}
	}
}

// close refuses every property that was neither read nor ignored.
func (o *object) close(what string) {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.seen[name] {
			o.fail(o.at.field(name),
				"the laptop's %s neither honours nor knowingly ignores this property: give it a meaning or a reason "+
					"in internal/assembly", what)
		}
	}
	for _, part := range o.parts {
		part.close(what)
	}
}
