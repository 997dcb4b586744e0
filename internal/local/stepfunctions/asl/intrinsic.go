package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// expression is what a template's field ending in .$ says: a path or a call of an intrinsic
// function.
type expression interface {
	value(data any, about *contextObject) (any, *Failure)
}

func (p *path) value(data any, about *contextObject) (any, *Failure) {
	found, ok := p.of(data, about)
	if !ok {
		return nil, failuref(ParameterPathFailure, "the path %s names nothing in %s", p.text, shown(data))
	}
	return found, nil
}

// literal is an argument that stands as it is. A text keeps its escapes, which States.Format needs.
type literal struct {
	content any
	raw     string
}

func (l literal) value(any, *contextObject) (any, *Failure) { return l.content, nil }

// call of an intrinsic function.
type call struct {
	name      string
	arguments []expression
}

// function is an intrinsic: how many arguments it takes (most -1: any number), and what it makes of
// them.
type function struct {
	least, most int
	apply       func(arguments []any) (any, error)
}

var functions = map[string]function{
	"States.ArrayGetItem": {2, 2, arrayGetItem},
	"States.Format":       {1, -1, nil}, // by itself: it needs its template's escapes
	"States.JsonMerge":    {3, 3, jsonMerge},
	"States.StringToJson": {1, 1, stringToJSON},
}

func (c *call) value(data any, about *contextObject) (any, *Failure) {
	values := make([]any, len(c.arguments))
	for i, argument := range c.arguments {
		value, failure := argument.value(data, about)
		if failure != nil {
			return nil, failure
		}
		values[i] = value
	}
	apply := functions[c.name].apply
	if apply == nil {
		template := c.arguments[0].(literal).raw
		apply = func(values []any) (any, error) { return format(template, values[1:]) }
	}
	result, err := apply(values)
	if err != nil {
		return nil, failuref(IntrinsicFailure, "%s: %v", c.name, err)
	}
	return result, nil
}

// format puts values in the place of each {} of a template, in which \ takes the meaning from the
// character behind it.
func format(template string, values []any) (string, error) {
	var text strings.Builder
	for rest := template; rest != ""; {
		switch {
		case rest[0] == '\\':
			text.WriteByte(rest[1])
			rest = rest[2:]
		case strings.HasPrefix(rest, "{}"):
			if len(values) == 0 {
				return "", errors.New("fewer values than {}")
			}
			switch value := values[0].(type) {
			case string:
				text.WriteString(value)
			case map[string]any, []any:
				return "", fmt.Errorf("%s is no text, number, boolean or null", shown(value))
			default:
				text.WriteString(encode(value))
			}
			values, rest = values[1:], rest[2:]
		default:
			text.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	return text.String(), nil
}

// placeholders counts the {} of a template; the error is about a brace or a backslash that means
// nothing.
func placeholders(template string) (count int, err error) {
	for rest := template; rest != ""; {
		switch {
		case rest[0] == '\\': // the parser has seen that something follows
			rest = rest[2:]
		case strings.HasPrefix(rest, "{}"):
			count++
			rest = rest[2:]
		case rest[0] == '{' || rest[0] == '}':
			return 0, errors.New(`a brace of its own is written \{ or \}`)
		default:
			rest = rest[1:]
		}
	}
	return count, nil
}

func stringToJSON(arguments []any) (any, error) {
	text, ok := arguments[0].(string)
	if !ok {
		return nil, fmt.Errorf("%s is no text", shown(arguments[0]))
	}
	value, err := decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the text %s is no JSON: %w", shown(text), err)
	}
	return value, nil
}

// jsonMerge is shallow: what the second object has wins.
func jsonMerge(arguments []any) (any, error) {
	first, isFirst := arguments[0].(map[string]any)
	second, isSecond := arguments[1].(map[string]any)
	if !isFirst || !isSecond {
		return nil, fmt.Errorf("%s and %s are not both objects", shown(arguments[0]), shown(arguments[1]))
	}
	if arguments[2] != false {
		return nil, errors.New("only a shallow merge is known: the third argument is false")
	}
	merged := maps.Clone(first)
	maps.Copy(merged, second)
	return merged, nil
}

func arrayGetItem(arguments []any) (any, error) {
	list, isList := arguments[0].([]any)
	number, isNumber := arguments[1].(json.Number)
	at, err := number.Int64()
	if !isList || !isNumber || err != nil {
		return nil, fmt.Errorf("%s and %s are no list and whole number", shown(arguments[0]), shown(arguments[1]))
	}
	if at < 0 || at >= int64(len(list)) {
		return nil, fmt.Errorf("there is no item %d among %d", at, len(list))
	}
	return list[at], nil
}

// maxNesting of calls in calls (developer guide, "Intrinsic functions").
const maxNesting = 10

// parseExpression reads a path or a call.
func parseExpression(text string) (expression, error) {
	if strings.HasPrefix(text, "$") {
		return parsePath(text)
	}
	p := &parser{text: text}
	parsed, err := p.call(1)
	if err == nil && p.text != "" {
		err = fmt.Errorf("%q follows what is complete", p.text)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	return parsed, nil
}

// parser reads an expression from the front of text.
type parser struct{ text string }

func (p *parser) skip() { p.text = strings.TrimLeft(p.text, " ") }

// take takes a text off the front.
func (p *parser) take(prefix string) bool {
	p.skip()
	rest, ok := strings.CutPrefix(p.text, prefix)
	if ok {
		p.text = rest
	}
	return ok
}

// until takes what stands before the first of these characters, or all.
func (p *parser) until(characters string) string {
	p.skip()
	at := strings.IndexAny(p.text, characters)
	if at < 0 {
		at = len(p.text)
	}
	taken := p.text[:at]
	p.text = p.text[at:]
	return strings.TrimRight(taken, " ")
}

func (p *parser) call(depth int) (expression, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("more than %d calls stand in each other", maxNesting)
	}
	name := p.until("(")
	known, ok := functions[name]
	if !ok || !p.take("(") {
		return nil, fmt.Errorf("%s is no path and none of the intrinsic functions %s",
			name, strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
	}
	made := &call{name: name}
	for !p.take(")") {
		if len(made.arguments) > 0 && !p.take(",") {
			return nil, fmt.Errorf("a comma or a bracket is missing before %q", p.text)
		}
		argument, err := p.argument(depth)
		if err != nil {
			return nil, err
		}
		made.arguments = append(made.arguments, argument)
	}
	if count := len(made.arguments); count < known.least || known.most >= 0 && count > known.most {
		return nil, fmt.Errorf("%s takes %d arguments, not %d", name, known.least, count)
	}
	if known.apply == nil {
		return made, checkFormat(made.arguments)
	}
	return made, nil
}

// checkFormat holds States.Format to a template that stands there and to as many values as it has
// places.
func checkFormat(arguments []expression) error {
	template, ok := arguments[0].(literal)
	if _, isText := template.content.(string); !ok || !isText {
		return errors.New("States.Format begins with a text in apostrophes")
	}
	count, err := placeholders(template.raw)
	if err == nil && count != len(arguments)-1 {
		err = fmt.Errorf("%d values for %d {}", len(arguments)-1, count)
	}
	if err != nil {
		return fmt.Errorf("States.Format: %w", err)
	}
	return nil
}

func (p *parser) argument(depth int) (expression, error) {
	p.skip()
	switch {
	case p.take("'"):
		return p.quoted()
	case strings.HasPrefix(p.text, "$"):
		return parsePath(p.until(",)"))
	case strings.HasPrefix(p.text, "States."):
		return p.call(depth + 1)
	}
	text := p.until(",)")
	value, err := decode([]byte(text))
	switch value.(type) {
	case bool, json.Number, nil:
		if err == nil {
			return literal{content: value}, nil
		}
	}
	return nil, fmt.Errorf("%q is no path, text in apostrophes, number, true, false, null or call", text)
}

// quoted reads a text behind its first apostrophe.
func (p *parser) quoted() (expression, error) {
	var content strings.Builder
	for i := 0; i < len(p.text); i++ {
		switch character := p.text[i]; character {
		case '\'':
			raw := p.text[:i]
			p.text = p.text[i+1:]
			return literal{content: content.String(), raw: raw}, nil
		case '\\':
			if i++; i == len(p.text) || !strings.ContainsRune(`'\{}`, rune(p.text[i])) {
				return nil, errors.New(`a backslash stands before ', \, { or } only`)
			}
			content.WriteByte(p.text[i])
		default:
			content.WriteByte(character)
		}
	}
	return nil, errors.New("a text does not end: its second apostrophe is missing")
}

// decode reads one JSON value; numbers keep their digits.
func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return value, nil
}

// encode writes a value that decode has read, or a template has made of such.
func encode(value any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(fmt.Sprintf("asl: %T is no JSON: %v", value, err)) // a fault of this program
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// shown is a value for a message, shortened.
func shown(value any) string {
	text := encode(value)
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
