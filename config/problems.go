package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	// Key is the key to change.
	Key string
	// Value is what it has, shortened.
	Value string
	// Allowed says what it may be.
	Allowed string
	// Suggestion is the nearest known key, for an unknown one; else empty.
	Suggestion string
}

func (p Problem) String() string {
	if p.Suggestion != "" {
		return fmt.Sprintf("%s=%s: unknown key; did you mean %s?", p.Key, p.Value, p.Suggestion)
	}
	return fmt.Sprintf("%s=%s: %s", p.Key, p.Value, p.Allowed)
}

// Problems is everything that is wrong with a configuration, sorted by key.
type Problems struct {
	List []Problem
}

// Error names every problem, one a line.
func (p *Problems) Error() string {
	var b strings.Builder
	if len(p.List) == 1 {
		b.WriteString("1 configuration problem:")
	} else {
		fmt.Fprintf(&b, "%d configuration problems:", len(p.List))
	}
	for _, problem := range p.List {
		b.WriteString("\n  " + problem.String())
	}
	return b.String()
}

// shownValue bounds what an error repeats of a value.
const shownValue = 60

func (p *Problems) add(key, value, allowed string) {
	p.List = append(p.List, Problem{Key: shown(key), Value: shown(value), Allowed: allowed})
}

// shown shortens a text, and quotes one that would break the line or the terminal.
func shown(s string) string {
	if runes := []rune(s); len(runes) > shownValue {
		s = string(runes[:shownValue]) + "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		s = strconv.Quote(s)
	}
	return s
}

func (p *Problems) refused(k Key, value string, err error) {
	allowed := "must be " + k.Allowed
	if !errors.Is(err, errNotAllowed) {
		allowed = err.Error() + "; " + allowed
	}
	p.add(k.Name, value, allowed)
}

func (p *Problems) unknown(name string, value any) {
	allowed := "unknown key; docs/configuration.md lists every key"
	if _, nested := value.(map[string]any); nested {
		allowed = "unknown key; keys are flat and have dots, such as streaming.shards"
	}
	p.add(name, fmt.Sprint(value), allowed)
	if near := nearest(name); near != "" {
		p.List[len(p.List)-1].Suggestion = near
	}
}

// nearest is the known key with the least edit distance, if at most a third of
// the key would have to change.
func nearest(name string) string {
	if len(name) > shownValue {
		return ""
	}
	best, bestDistance := "", len(name)/3+1
	for _, candidate := range names() {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

func names() []string {
	all := make([]string, 0, len(keys))
	for _, k := range keys {
		all = append(all, k.Name)
	}
	return all
}

// distance is the Levenshtein distance in bytes: keys are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitution := diagonal
			if a[i] != b[j] {
				substitution++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitution, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
