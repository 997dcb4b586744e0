// Package toleranttest makes documents with one odd part, for the tests of who reads them record by
// record.
package toleranttest

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// huge is more than any part of a record has, and less than an invocation.
const huge = 50_000

// values that some part of a record may have instead of its own, nothing of which is right for all.
var values = []any{
	nil, true, -1, 0, 1.5, 1e300, json.Number("1" + strings.Repeat("0", 400)), "", "soon", "2026-03-01T09:30:00Z",
	"1772357400250", "<\u2028\"\n\x00>", strings.Repeat("<", huge), strings.Repeat("\u00e9", huge), []any{},
	[]any{nil, "a", 1}, map[string]any{}, map[string]any{"recordId": "1", "kinesis": 2},
}

// Odd gives a copy of a JSON value in which one part, chosen at random from the whole to the
// smallest, has another value or is missing.
func Odd(random *rand.Rand, value any) any {
	object, nested := value.(map[string]any)
	if !nested || random.IntN(4) == 0 {
		return values[random.IntN(len(values))]
	}
	odd := maps.Clone(object)
	names := slices.Sorted(maps.Keys(object)) // so that the choice is reproducible
	name := names[random.IntN(len(names))]
	if random.IntN(6) == 0 {
		delete(odd, name)
	} else {
		odd[name] = Odd(random, object[name])
	}
	return odd
}

// Absent is a value for Set: the part is missing.
const Absent = "absent"

// Set gives the part of a JSON value that a path of names leads to another value; an empty path is
// the whole.
func Set(value any, path []string, part any) any {
	if len(path) == 0 {
		return part
	}
	object := value.(map[string]any)
	if len(path) == 1 && part == Absent {
		delete(object, path[0])
	} else {
		object[path[0]] = Set(object[path[0]], path[1:], part)
	}
	return object
}
