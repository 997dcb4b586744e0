package snapshots

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// Apply returns the template that differs from before as Diff says. It fails
// where a line cannot be read, or where before has not what the line says was
// there. before stays as it is.
func Apply(before map[string]any, difference string) (map[string]any, error) {
	var template any
	if err := json.Unmarshal([]byte(compact(before)), &template); err != nil {
		return nil, err
	}
	if template == nil {
		template = map[string]any{}
	}
	var entry []step
	var every string
	for number, line := range strings.Split(strings.TrimSuffix(difference, "\n"), "\n") {
		if line == "" {
			continue
		}
		var err error
		indented, isBelow := strings.CutPrefix(line, "    ")
		switch {
		case isBelow && every != "":
			err = applyToEvery(template, every, indented)
		case isBelow:
			template, err = applyLine(template, entry, indented)
		default:
			if section, ok := strings.CutSuffix(line, "."+everyEntry); ok {
				every, entry, err = headOfEvery(section)
				break
			}
			every = ""
			template, entry, err = applyHead(template, line)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w; `make accept` writes the difference anew", number+1, err)
		}
	}
	return template.(map[string]any), nil
}

func headOfEvery(line string) (section string, entry []step, err error) {
	if _, line, err = parseOp(line); err != nil {
		return "", nil, err
	}
	steps, rest, err := parsePath(line)
	if err != nil || len(steps) != 1 || rest != "" {
		return "", nil, fmt.Errorf("no section at %q", line)
	}
	return steps[0].name, nil, nil
}

// applyHead reads a line that is not below another: a change by itself, an entry
// that goes, or the entry that the lines below it belong to.
func applyHead(template any, line string) (any, []step, error) {
	op, text, err := parseOp(line)
	if err != nil {
		return nil, nil, err
	}
	entry, rest, err := parsePath(text)
	if err != nil {
		return nil, nil, err
	}
	if strings.HasPrefix(rest, ": ") {
		template, err = applyLine(template, nil, line)
		return template, nil, err
	}
	if rest != "" && !strings.HasPrefix(rest, " (") {
		return nil, nil, fmt.Errorf("cannot read %q", rest)
	}
	value, found := valueAt(template, entry)
	if found != (op != added) {
		return nil, nil, fmt.Errorf("%s: to be there is %t, which does not go with %q", written(entry), found, op)
	}
	if op == removed {
		template, err = edit(template, entry, change{op: removed, from: value})
	}
	return template, entry, err
}

func applyLine(template any, entry []step, line string) (any, error) {
	c, err := parseChange(line)
	if err != nil {
		return nil, err
	}
	c.path = append(slices.Clone(entry), c.path...)
	edited, err := edit(template, c.path, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", written(c.path), err)
	}
	return edited, nil
}

// applyToEvery changes the value in every entry of a section that has it.
func applyToEvery(template any, section, line string) error {
	c, err := parseChange(line)
	if err != nil {
		return err
	}
	entries, _ := template.(map[string]any)[section].(map[string]any)
	applied := 0
	for id, entry := range entries {
		if value, found := valueAt(entry, c.path); found && reflect.DeepEqual(value, c.from) {
			if entries[id], err = edit(entry, c.path, c); err != nil {
				return fmt.Errorf("%s.%s: %w", section, id, err)
			}
			applied++
		}
	}
	if applied == 0 {
		return fmt.Errorf("%s has no entry where %s is %s", section, written(c.path), compact(c.from))
	}
	return nil
}

func parseOp(line string) (op rune, rest string, err error) {
	if len(line) > 2 && line[1] == ' ' && strings.ContainsRune("+-~", rune(line[0])) {
		return rune(line[0]), line[2:], nil
	}
	return 0, "", fmt.Errorf("no +, - or ~ at %q", line)
}

func parseChange(line string) (c change, err error) {
	c.op, line, err = parseOp(line)
	if err != nil {
		return c, err
	}
	if c.path, line, err = parsePath(line); err != nil {
		return c, err
	}
	value, ok := strings.CutPrefix(line, ": ")
	if !ok {
		return c, fmt.Errorf("no value at %q", line)
	}
	target := &c.from
	if c.op == added {
		target = &c.to
	}
	rest, err := decodeValue(value, target)
	if err == nil && c.op == changed {
		if value, ok = strings.CutPrefix(rest, " -> "); !ok {
			return c, fmt.Errorf("no -> at %q", rest)
		}
		rest, err = decodeValue(value, &c.to)
	}
	if err == nil && rest != "" {
		err = fmt.Errorf("cannot read %q", rest)
	}
	return c, err
}

// edit returns value with the change made at the path, of which at least one step
// is left.
func edit(value any, path []step, c change) (any, error) {
	at, rest := path[0], path[1:]
	switch container := value.(type) {
	case map[string]any:
		if at.kind == member {
			return editMember(container, at.name, rest, c)
		}
	case []any:
		if at.kind == element || at.kind == tag {
			return editElement(container, at, rest, c)
		}
	case string:
		if at.kind == line {
			return editText(container, at, rest, c)
		}
	}
	return nil, fmt.Errorf("%s is not in %s", at, compact(value))
}

func editMember(object map[string]any, name string, rest []step, c change) (any, error) {
	inner, found := object[name]
	if len(rest) > 0 {
		if !found && c.op == added {
			inner, found = map[string]any{}, true
		}
		if !found {
			return nil, fmt.Errorf("there is no %s", name)
		}
		edited, err := edit(inner, rest, c)
		if err == nil {
			object[name] = edited
		}
		return object, err
	}
	if err := c.expects(inner, found); err != nil {
		return nil, err
	}
	if c.op == removed {
		delete(object, name)
	} else {
		object[name] = c.to
	}
	return object, nil
}

func editText(text string, at step, rest []step, c change) (any, error) {
	edited, err := editElement(textLines(text), at, rest, c)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, one := range edited.([]any) {
		text, isText := one.(string)
		if !isText {
			return nil, fmt.Errorf("a line of a text cannot be %s", compact(one))
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n"), nil
}

func editElement(list []any, at step, rest []step, c change) (any, error) {
	index, found := at.index, at.index < len(list)
	if at.kind == tag {
		index = tagIndex(list, at.name)
		found = index >= 0
	}
	if len(rest) > 0 {
		if !found {
			return nil, fmt.Errorf("there is no %s", at)
		}
		edited, err := edit(list[index], rest, c)
		if err == nil {
			list[index] = edited
		}
		return list, err
	}
	if c.op == added {
		if index > len(list) || at.kind == tag && found {
			return nil, fmt.Errorf("%s cannot be added to %s", at, compact(list))
		}
		if at.kind == tag {
			index = sort.Search(len(list), func(i int) bool { return keyOf(list[i]) > at.name })
		}
		return slices.Insert(list, index, c.to), nil
	}
	var value any
	if found {
		value = list[index]
	}
	if err := c.expects(value, found); err != nil {
		return nil, err
	}
	if c.op == removed {
		return slices.Delete(list, index, index+1), nil
	}
	list[index] = c.to
	return list, nil
}

// expects says how what is there differs from what the change says was there.
func (c change) expects(value any, found bool) error {
	switch {
	case c.op == added && found:
		return fmt.Errorf("is there already: %s", compact(value))
	case c.op != added && !found:
		return fmt.Errorf("is not there, should be %s", compact(c.from))
	case c.op != added && !reflect.DeepEqual(value, c.from):
		return fmt.Errorf("is %s, should be %s", compact(value), compact(c.from))
	}
	return nil
}

func keyOf(value any) string {
	object, _ := value.(map[string]any)
	key, _ := object["Key"].(string)
	return key
}

// tagIndex is where the tag of a key stands in a list, or -1.
func tagIndex(list []any, key string) int {
	return slices.IndexFunc(list, func(one any) bool { return keyOf(one) == key })
}

// valueAt is the value at the path, if there is one.
func valueAt(value any, path []step) (any, bool) {
	for _, at := range path {
		switch container := value.(type) {
		case map[string]any:
			inner, found := container[at.name]
			if at.kind != member || !found {
				return nil, false
			}
			value = inner
		case []any:
			index := at.index
			if at.kind == tag {
				index = tagIndex(container, at.name)
			}
			if at.kind == member || at.kind == line || index < 0 || index >= len(container) {
				return nil, false
			}
			value = container[index]
		case string:
			lines := textLines(container)
			if at.kind != line || at.index >= len(lines) {
				return nil, false
			}
			value = lines[at.index]
		default:
			return nil, false
		}
	}
	return value, true
}
