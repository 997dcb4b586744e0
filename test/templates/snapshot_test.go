package templates

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSnapshots compares every template of every profile with the one that was
// reviewed. `make snapshots` writes them anew.
func TestSnapshots(t *testing.T) {
	require.False(t, *update && os.Getenv("CI") != "", "snapshots are reviewed by a person: -update is refused where CI is set")
	for _, profile := range profiles {
		built := synth(t, "profile="+profile)
		dir := filepath.Join("snapshots", profile)
		for _, stack := range slices.Sorted(maps.Keys(built.templates)) {
			t.Run(profile+"/"+stack, func(t *testing.T) {
				file := filepath.Join(dir, stack+".template.json")
				got := built.templates[stack].raw
				want := readSnapshot(t, file)
				changes := diff(want, got)
				if *update {
					require.NoError(t, os.MkdirAll(dir, 0o755))
					require.NoError(t, os.WriteFile(file, encode(t, got), 0o644))
					if len(changes) > 0 {
						fmt.Printf("%s/%s\n%s", profile, stack, indent(changes))
					}
					return
				}
				if len(changes) > 0 {
					t.Errorf("%s differs from its snapshot; `make snapshots` accepts this:\n%s", file, indent(changes))
				}
			})
		}
		t.Run(profile+"/no stack too many", func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(dir, "*.template.json"))
			require.NoError(t, err)
			for _, file := range files {
				stack := strings.TrimSuffix(filepath.Base(file), ".template.json")
				assert.Contains(t, built.templates, stack, "%s is the snapshot of a stack that is no more; remove it", file)
			}
		})
	}
}

func TestSnapshotDiff_namesWhatChanged(t *testing.T) {
	parse := func(text string) map[string]any {
		var parsed map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &parsed))
		return parsed
	}
	before := parse(`{"Resources":{"A":{"Type":"T","Properties":{"x":1,"gone":true,"list":[1,2,3],"moved":[1,2]}},"B":{"Type":"U"}},"Outputs":{"O":{"Value":1}}}`)
	after := parse(`{"Resources":{"A":{"Type":"T","Properties":{"x":2,"new":[1],"list":[1,3,4],"moved":[2,1]}},"C":{"Type":"V"}},"Outputs":{"O":{"Value":1}}}`)
	assert.Equal(t, []string{
		"~ Resources.A (T)",
		"    - Properties.gone: true",
		"    - Properties.list[]: 2",
		"    + Properties.list[]: 4",
		"    ~ Properties.moved: reordered",
		"    + Properties.new: [1]",
		"    ~ Properties.x: 1 -> 2",
		"- Resources.B (U)",
		"+ Resources.C (V)",
	}, diff(before, after))
	assert.Empty(t, diff(before, before))
}

func readSnapshot(t *testing.T, file string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	var snapshot map[string]any
	require.NoError(t, json.Unmarshal(data, &snapshot))
	return snapshot
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	require.NoError(t, encoder.Encode(value))
	return b.Bytes()
}

func indent(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString("  " + line + "\n")
	}
	return b.String()
}

// diff lists what changed between two templates, a line for each entry of a
// section and below it one for each changed property.
func diff(before, after map[string]any) []string {
	var changes []string
	for _, section := range keysOf(before, after) {
		was, _ := before[section].(map[string]any)
		is, _ := after[section].(map[string]any)
		for _, id := range keysOf(was, is) {
			name := section + "." + id + typeOf(was[id], is[id])
			switch {
			case was[id] == nil:
				changes = append(changes, "+ "+name)
			case is[id] == nil:
				changes = append(changes, "- "+name)
			default:
				if inner := diffValues("", was[id], is[id]); len(inner) > 0 {
					changes = append(changes, "~ "+name)
					for _, change := range inner {
						changes = append(changes, "    "+change)
					}
				}
			}
		}
		if was == nil && is == nil {
			changes = append(changes, diffValues(section, before[section], after[section])...)
		}
	}
	return changes
}

func diffValues(path string, was, is any) []string {
	if wasList, ok := was.([]any); ok {
		if isList, ok := is.([]any); ok {
			return diffLists(path, wasList, isList)
		}
	}
	wasMap, wasOK := was.(map[string]any)
	isMap, isOK := is.(map[string]any)
	if !wasOK || !isOK {
		if string(compact(was)) == string(compact(is)) {
			return nil
		}
		return []string{fmt.Sprintf("~ %s: %s -> %s", path, compact(was), compact(is))}
	}
	var changes []string
	for _, key := range keysOf(wasMap, isMap) {
		inner := strings.TrimPrefix(path+"."+key, ".")
		_, before := wasMap[key]
		_, after := isMap[key]
		switch {
		case !before:
			changes = append(changes, fmt.Sprintf("+ %s: %s", inner, compact(isMap[key])))
		case !after:
			changes = append(changes, fmt.Sprintf("- %s: %s", inner, compact(wasMap[key])))
		default:
			changes = append(changes, diffValues(inner, wasMap[key], isMap[key])...)
		}
	}
	return changes
}

// diffLists shows which elements came and went: the order of most lists in a
// template means nothing, and a moved element is not worth its whole text.
func diffLists(path string, was, is []any) []string {
	var gone, come []string
	remaining := map[string]int{}
	for _, element := range is {
		remaining[string(compact(element))]++
	}
	for _, element := range was {
		text := string(compact(element))
		if remaining[text] == 0 {
			gone = append(gone, fmt.Sprintf("- %s[]: %s", path, text))
			continue
		}
		remaining[text]--
	}
	for _, element := range is {
		text := string(compact(element))
		if remaining[text] > 0 {
			remaining[text]--
			come = append(come, fmt.Sprintf("+ %s[]: %s", path, text))
		}
	}
	if len(gone)+len(come) == 0 && string(compact(was)) != string(compact(is)) {
		return []string{fmt.Sprintf("~ %s: reordered", path)}
	}
	return append(gone, come...)
}

func compact(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		return []byte(err.Error())
	}
	return data
}

func keysOf(a, b map[string]any) []string {
	both := maps.Clone(a)
	if both == nil {
		both = map[string]any{}
	}
	maps.Copy(both, b)
	return slices.Sorted(maps.Keys(both))
}

func typeOf(values ...any) string {
	for _, value := range values {
		if entry, ok := value.(map[string]any); ok {
			if kind, ok := entry["Type"].(string); ok {
				return " (" + kind + ")"
			}
		}
	}
	return ""
}
