package snapshots

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// The operations of a difference.
const (
	added   = '+'
	removed = '-'
	changed = '~'
)

// change is one difference between two JSON values.
type change struct {
	op   rune
	path []step
	// from is what was removed or changed, to what was added or what it became.
	from, to any
}

func (c change) String() string {
	text := fmt.Sprintf("%c %s", c.op, written(c.path))
	switch c.op {
	case added:
		return text + ": " + compact(c.to)
	case removed:
		return text + ": " + compact(c.from)
	}
	return text + ": " + compact(c.from) + " -> " + compact(c.to)
}

// everyEntry stands for every entry of a section that has the value.
const everyEntry = "*"

// Diff says in lines how after differs from before, so that Apply(before, Diff(before, after))
// is after. A resource or another entry of a section has a line of its own with
// its type, and below it one line for each value that was added (+), removed (-)
// or changed (~). What changes alike in every entry that has it, such as a tag,
// is said once below the section's name with an asterisk.
//
//	~ Resources.*
//	    ~ Properties.Tags[Key=profile].Value: "lean" -> "prod"
//	~ Resources.DatabaseInstance (AWS::RDS::DBInstance)
//	    ~ Properties.AllocatedStorage: "20" -> "100"
//	- Resources.Endpoint (AWS::EC2::VPCEndpoint)
func Diff(before, after map[string]any) string {
	var b strings.Builder
	for _, section := range names(before, after) {
		was, wasEntries := before[section].(map[string]any)
		is, areEntries := after[section].(map[string]any)
		if !wasEntries || !areEntries {
			for _, c := range diffMember(nil, section, before, after) {
				b.WriteString(c.String() + "\n")
			}
			continue
		}
		diffSection(&b, section, was, is)
	}
	return b.String()
}

func diffSection(b *strings.Builder, section string, before, after map[string]any) {
	inner := map[string][]change{}
	for id := range before {
		was, wasObject := before[id].(map[string]any)
		is, isObject := after[id].(map[string]any)
		if wasObject && isObject {
			inner[id] = diffValues(nil, was, is)
		}
	}
	alike := changedAlike(before, after, inner)
	if len(alike) > 0 {
		fmt.Fprintf(b, "%c %s.%s\n", changed, quoted(section), everyEntry)
		writeBelow(b, slices.Sorted(maps.Keys(alike)))
	}
	for _, id := range names(before, after) {
		entry := written([]step{{name: section}, {name: id}}) + typeOf(before[id], after[id])
		was, wasObject := before[id].(map[string]any)
		is, isObject := after[id].(map[string]any)
		_, stood := before[id]
		_, stands := after[id]
		switch {
		case stood && !stands && wasObject:
			fmt.Fprintf(b, "%c %s\n", removed, entry)
		case stands && !stood && isObject && len(is) > 0:
			fmt.Fprintf(b, "%c %s\n", added, entry)
			writeBelow(b, lines(diffValues(nil, map[string]any{}, is), nil))
		case wasObject && isObject:
			if below := lines(diffValues(nil, was, is), alike); len(below) > 0 {
				fmt.Fprintf(b, "%c %s\n", changed, entry)
				writeBelow(b, below)
			}
		default:
			for _, c := range diffMember([]step{{name: section}}, id, before, after) {
				b.WriteString(c.String() + "\n")
			}
		}
	}
}

func writeBelow(b *strings.Builder, lines []string) {
	for _, line := range lines {
		b.WriteString("    " + line + "\n")
	}
}

func lines(changes []change, without map[string]bool) []string {
	var lines []string
	for _, c := range changes {
		if line := c.String(); !without[line] {
			lines = append(lines, line)
		}
	}
	return lines
}

// changedAlike finds changes of several entries that every entry has whose value
// was the same before, but for those that go.
func changedAlike(before, after map[string]any, inner map[string][]change) map[string]bool {
	count := map[string]int{}
	example := map[string]change{}
	for _, changes := range inner {
		for _, c := range changes {
			if c.op == changed {
				count[c.String()]++
				example[c.String()] = c
			}
		}
	}
	alike := map[string]bool{}
	for line, c := range example {
		if count[line] < 2 {
			continue
		}
		alike[line] = true
		for id := range before {
			value, found := valueAt(before[id], c.path)
			_, stands := after[id]
			if stands && found && reflect.DeepEqual(value, c.from) && !slices.Contains(lines(inner[id], nil), line) {
				delete(alike, line)
			}
		}
	}
	return alike
}

func diffValues(path []step, was, is any) []change {
	if reflect.DeepEqual(was, is) {
		return nil
	}
	if wasObject, ok := was.(map[string]any); ok {
		if isObject, ok := is.(map[string]any); ok {
			var changes []change
			for _, name := range names(wasObject, isObject) {
				changes = append(changes, diffMember(path, name, wasObject, isObject)...)
			}
			return changes
		}
	}
	if wasList, ok := was.([]any); ok {
		if isList, ok := is.([]any); ok {
			return diffLists(path, element, wasList, isList)
		}
	}
	if changes := diffTexts(path, was, is); len(changes) > 0 {
		return changes
	}
	return []change{{op: changed, path: path, from: was, to: is}}
}

func diffMember(path []step, name string, before, after map[string]any) []change {
	was, stood := before[name]
	is, stands := after[name]
	path = below(path, step{name: name})
	switch {
	case !stood:
		return addedValue(path, is)
	case !stands:
		return []change{{op: removed, path: path, from: was}}
	}
	return diffValues(path, was, is)
}

// addedValue adds an object by its members, for the eye; an intrinsic function
// stays in one piece.
func addedValue(path []step, value any) []change {
	object, ok := value.(map[string]any)
	if !ok || len(object) == 0 || intrinsic(object) {
		return []change{{op: added, path: path, to: value}}
	}
	var changes []change
	for _, name := range names(object, nil) {
		changes = append(changes, addedValue(below(path, step{name: name}), object[name])...)
	}
	return changes
}

func intrinsic(object map[string]any) bool {
	for name := range object {
		return len(object) == 1 && (name == "Ref" || strings.HasPrefix(name, "Fn::"))
	}
	return false
}

// diffTexts goes into the lines of texts, such as an instance's boot script. It
// is empty where they are no texts of several lines, or have no line in common.
func diffTexts(path []step, was, is any) []change {
	wasText, isText := several(was), several(is)
	if len(wasText) == 0 || len(isText) == 0 {
		return nil
	}
	if kept, _ := commonSubsequence(wasText, isText); !slices.Contains(kept, true) {
		return nil
	}
	return diffLists(path, line, wasText, isText)
}

// several are the lines of a text that has more than one.
func several(value any) []any {
	text, _ := value.(string)
	if !strings.Contains(text, "\n") {
		return nil
	}
	return textLines(text)
}

func textLines(text string) (lines []any) {
	for _, one := range strings.Split(text, "\n") {
		lines = append(lines, one)
	}
	return lines
}

// diffLists goes into the elements of lists of one length. Between lists of
// different lengths whole elements come and go: first all removals, from the end,
// then all additions, so that each index holds when its turn comes.
func diffLists(path []step, kind stepKind, was, is []any) []change {
	wasTags, wasKeys := tags(was)
	isTags, isKeys := tags(is)
	// Apply adds a tag where its key sorts; any order will do where none comes or goes.
	sorted := slices.IsSorted(wasKeys) && slices.IsSorted(isKeys)
	if len(wasTags) > 0 && len(isTags) > 0 && (sorted || slices.Equal(wasKeys, isKeys)) {
		return diffTags(path, wasTags, isTags)
	}
	var changes []change
	if len(was) == len(is) {
		for i := range was {
			changes = append(changes, diffValues(below(path, step{kind: kind, index: i}), was[i], is[i])...)
		}
		return changes
	}
	keptWas, keptIs := commonSubsequence(was, is)
	for i := len(was) - 1; i >= 0; i-- {
		if !keptWas[i] {
			at := below(path, step{kind: kind, index: i})
			changes = append(changes, change{op: removed, path: at, from: was[i]})
		}
	}
	for i := range is {
		if !keptIs[i] {
			at := below(path, step{kind: kind, index: i})
			changes = append(changes, change{op: added, path: at, to: is[i]})
		}
	}
	return changes
}

func diffTags(path []step, was, is map[string]any) []change {
	var changes []change
	for _, key := range names(was, is) {
		at := below(path, step{kind: tag, name: key})
		switch {
		case was[key] == nil:
			changes = append(changes, change{op: added, path: at, to: is[key]})
		case is[key] == nil:
			changes = append(changes, change{op: removed, path: at, from: was[key]})
		default:
			changes = append(changes, diffValues(at, was[key], is[key])...)
		}
	}
	return changes
}

// tags reads a list of objects with a Key of their own each: such a list can be
// compared like an object. It is empty for another list.
func tags(list []any) (byKey map[string]any, keys []string) {
	byKey = map[string]any{}
	for _, one := range list {
		object, _ := one.(map[string]any)
		key, ok := object["Key"].(string)
		if _, twice := byKey[key]; !ok || twice {
			return nil, nil
		}
		byKey[key] = object
		keys = append(keys, key)
	}
	return byKey, keys
}

// commonSubsequence marks the elements of the longest list that both contain.
func commonSubsequence(a, b []any) (inA, inB []bool) {
	lengths := make([][]int, len(a)+1)
	for i := range lengths {
		lengths[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if reflect.DeepEqual(a[i], b[j]) {
				lengths[i][j] = lengths[i+1][j+1] + 1
			} else {
				lengths[i][j] = max(lengths[i+1][j], lengths[i][j+1])
			}
		}
	}
	inA, inB = make([]bool, len(a)), make([]bool, len(b))
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case reflect.DeepEqual(a[i], b[j]):
			inA[i], inB[j] = true, true
			i, j = i+1, j+1
		case lengths[i+1][j] >= lengths[i][j+1]:
			i++
		default:
			j++
		}
	}
	return inA, inB
}

// below never shares its array with another path.
func below(path []step, s step) []step {
	return append(slices.Clone(path), s)
}

func names(a, b map[string]any) []string {
	both := map[string]bool{}
	for name := range a {
		both[name] = true
	}
	for name := range b {
		both[name] = true
	}
	return slices.Sorted(maps.Keys(both))
}

func typeOf(entries ...any) string {
	for _, entry := range entries {
		object, _ := entry.(map[string]any)
		if name, ok := object["Type"].(string); ok && plain.FindString(name) == name {
			return " (" + name + ")"
		}
	}
	return ""
}
