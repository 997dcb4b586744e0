package assembly

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing in an assembly that cannot be read, resolved or run.
type Problem struct {
	// Stack is the stack's id; LogicalID the resource's, empty outside resources.
	Stack, LogicalID string
	// Path leads to the place within the resource or, outside resources, within the template.
	Path    string
	Message string
}

// Problem is one with this resource. The path leads to the place within it, such as
// Properties.Engine; empty: the whole.
func (r *Resource) Problem(path, format string, arguments ...any) Problem {
	return Problem{Stack: r.Stack.ID, LogicalID: r.LogicalID, Path: path, Message: fmt.Sprintf(format, arguments...)}
}

func (p Problem) Error() string {
	place := p.Stack
	if p.LogicalID != "" {
		place += "/" + p.LogicalID
	}
	if p.Path != "" {
		place += " " + p.Path
	}
	return place + ": " + p.Message
}

// Problems are all problems that were found, in the order of stack, logical id and path.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// err is nil where there are no problems.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	sorted := slices.Clone(p)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Stack, b.Stack), cmp.Compare(a.LogicalID, b.LogicalID), cmp.Compare(a.Path, b.Path))
	})
	return slices.Compact(sorted)
}

// path is a place in a template. It is written out only when there is something to say about it.
type path struct {
	parent *path
	step   string
	list   bool
}

func at(section string) *path { return &path{step: section} }

func (p *path) field(name string) *path { return &path{parent: p, step: name} }

func (p *path) index(i int) *path { return &path{parent: p, step: strconv.Itoa(i), list: true} }

func (p *path) String() string {
	var steps []string
	for step := p; step != nil; step = step.parent {
		text := step.step
		if step.list {
			text = "[" + text + "]"
		} else if step.parent != nil {
			text = "." + text
		}
		steps = append(steps, text)
	}
	slices.Reverse(steps)
	return strings.Join(steps, "")
}

// shownLength is how much of a value an error repeats.
const shownLength = 60

// shown is a value as an error repeats it.
func shown(value any) string {
	switch value := value.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "an object"
	case []any:
		return fmt.Sprintf("a list of %d", len(value))
	case json.Number:
		return value.String()
	case noValue:
		return "AWS::NoValue"
	case unknown:
		return "a value that is not known yet"
	case string:
		if text := []rune(value); len(text) > shownLength {
			value = string(text[:shownLength]) + "..."
		}
		return strconv.Quote(value)
	}
	return fmt.Sprint(value)
}
