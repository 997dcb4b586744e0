package snapshots

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// step goes from a JSON value to one inside it.
type step struct {
	kind stepKind
	// name is a member's name, or the Key of a tag.
	name  string
	index int
}

type stepKind int

const (
	// member is a member of an object: .name
	member stepKind = iota
	// element is an element of a list: [3]
	element
	// tag is the element with that Key in a list of tags: [Key=name]
	tag
	// line is a line of a text, counted from 1: [line 3]
	line
)

const linePrefix = "line "

// plain are names that stand in a path as they are; others are quoted.
var plain = regexp.MustCompile(`^[A-Za-z0-9_/-]+(:+[A-Za-z0-9_/-]+)*`)

func (s step) String() string {
	switch s.kind {
	case element:
		return fmt.Sprintf("[%d]", s.index)
	case tag:
		return "[Key=" + quoted(s.name) + "]"
	case line:
		return fmt.Sprintf("[%s%d]", linePrefix, s.index+1)
	}
	return "." + quoted(s.name)
}

func quoted(name string) string {
	if plain.FindString(name) == name && name != "" {
		return name
	}
	return compact(name)
}

// written is a path as text: Properties.Tags[Key=profile].Value
func written(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(s.String())
	}
	return strings.TrimPrefix(b.String(), ".")
}

// parsePath reads a path from the beginning of text and returns what follows it.
func parsePath(text string) (steps []step, rest string, err error) {
	for first := true; ; first = false {
		switch {
		case strings.HasPrefix(text, "[Key="):
			name, after, err := parseName(text[len("[Key="):])
			if err != nil || !strings.HasPrefix(after, "]") {
				return nil, "", fmt.Errorf("no tag at %q", text)
			}
			steps, text = append(steps, step{kind: tag, name: name}), after[1:]
		case strings.HasPrefix(text, "["):
			number, after, _ := strings.Cut(text[1:], "]")
			s := step{kind: element}
			if lineNumber, isLine := strings.CutPrefix(number, linePrefix); isLine {
				s.kind, number = line, lineNumber
			}
			if s.index, err = strconv.Atoi(number); s.kind == line {
				s.index--
			}
			if err != nil || s.index < 0 {
				return nil, "", fmt.Errorf("no index at %q", text)
			}
			steps, text = append(steps, s), after
		case first || strings.HasPrefix(text, "."):
			name, after, err := parseName(strings.TrimPrefix(text, "."))
			if err != nil {
				return nil, "", err
			}
			steps, text = append(steps, step{kind: member, name: name}), after
		default:
			return steps, text, nil
		}
	}
}

func parseName(text string) (name, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		rest, err := decodeValue(text, &name)
		return name, rest, err
	}
	if name := plain.FindString(text); name != "" {
		return name, text[len(name):], nil
	}
	return "", "", fmt.Errorf("no name at %q", text)
}

// decodeValue reads a JSON value from the beginning of text and returns what
// follows it.
func decodeValue(text string, value any) (rest string, err error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(value); err != nil {
		return "", fmt.Errorf("no JSON value at %q: %w", text, err)
	}
	return text[decoder.InputOffset():], nil
}

// compact is a value as JSON on one line.
func compact(value any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		// Templates are decoded JSON; nothing in them fails to encode.
		panic(fmt.Sprintf("snapshots: %v", err))
	}
	return strings.TrimSuffix(b.String(), "\n")
}
