package snapshots

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	var parsed map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &parsed), text)
	return parsed
}

const (
	before = `{"Description":"old","Resources":{
		"A":{"Type":"AWS::T","Properties":{"x":1,"gone":true,"list":[1,2,3],"same":[{"n":1},2],
			"Tags":[{"Key":"a","Value":"1"},{"Key":"profile","Value":"lean"}]}},
		"B":{"Type":"AWS::U","Properties":{"Tags":[{"Key":"profile","Value":"lean"}]}},
		"C":{"Type":"AWS::U","Properties":{"Tags":[{"Key":"profile","Value":"lean"}],"deep":{"er":1}}}},
		"Outputs":{"O":{"Value":1}}}`
	after = `{"Description":"new","Resources":{
		"A":{"Type":"AWS::T","Properties":{"x":2,"new":{"Ref":"C"},"list":[1,3,4,5],"same":[{"n":2},2],
			"Tags":[{"Key":"b","Value":"2"},{"Key":"profile","Value":"prod"}]}},
		"C":{"Type":"AWS::U","Properties":{"Tags":[{"Key":"profile","Value":"prod"}],"deep":{"er":1,"Fn::x y":{}}}},
		"D":{"Type":"AWS::V","Properties":{"p":{"q":[1],"r":{"Fn::GetAtt":["A","Arn"]}}}}},
		"Outputs":{"O":{"Value":1}}}`
	difference = `~ Description: "old" -> "new"
~ Resources.*
    ~ Properties.Tags[Key=profile].Value: "lean" -> "prod"
~ Resources.A (AWS::T)
    - Properties.Tags[Key=a]: {"Key":"a","Value":"1"}
    + Properties.Tags[Key=b]: {"Key":"b","Value":"2"}
    - Properties.gone: true
    - Properties.list[1]: 2
    + Properties.list[2]: 4
    + Properties.list[3]: 5
    + Properties.new: {"Ref":"C"}
    ~ Properties.same[0].n: 1 -> 2
    ~ Properties.x: 1 -> 2
- Resources.B (AWS::U)
~ Resources.C (AWS::U)
    + Properties.deep."Fn::x y": {}
+ Resources.D (AWS::V)
    + Properties.p.q: [1]
    + Properties.p.r: {"Fn::GetAtt":["A","Arn"]}
    + Type: "AWS::V"
`
)

func TestDiff_namesWhatChanged(t *testing.T) {
	got := Diff(parse(t, before), parse(t, after))
	assert.Equal(t, difference, got)
	applied, err := Apply(parse(t, before), got)
	require.NoError(t, err)
	assert.Equal(t, parse(t, after), applied)
}

func TestDiff_ofTheSameIsEmpty(t *testing.T) {
	assert.Empty(t, Diff(parse(t, before), parse(t, before)))
	same, err := Apply(parse(t, before), "")
	require.NoError(t, err)
	assert.Equal(t, parse(t, before), same)
}

func TestDiff_ofAWholeStack(t *testing.T) {
	for _, pair := range [][2]map[string]any{{nil, parse(t, before)}, {parse(t, before), {}}, {{}, {}}} {
		made, err := Apply(pair[0], Diff(pair[0], pair[1]))
		require.NoError(t, err)
		assert.Equal(t, pair[1], made)
	}
}

func TestDiff_anAsteriskStandsOnlyForEveryEntry(t *testing.T) {
	was := parse(t, `{"R":{"A":{"v":1},"B":{"v":1},"C":{"v":1},"D":{"v":2}}}`)
	assert.Contains(t, Diff(was, parse(t, `{"R":{"A":{"v":3},"B":{"v":3},"C":{"v":3},"D":{"v":2}}}`)), "R.*")
	assert.Contains(t, Diff(was, parse(t, `{"R":{"A":{"v":3},"B":{"v":3},"D":{"v":2}}}`)), "R.*", "C goes")
	assert.NotContains(t, Diff(was, parse(t, `{"R":{"A":{"v":3},"B":{"v":3},"C":{"v":1},"D":{"v":2}}}`)), "R.*")
	assert.NotContains(t, Diff(was, parse(t, `{"R":{"A":{"v":3},"B":{"v":3},"C":5,"D":{"v":2}}}`)), "R.*")
	assert.NotContains(t, Diff(was, parse(t, `{"R":{"A":{"v":3},"B":{"v":1},"C":{"v":1},"D":{"v":2}}}`)), "R.*", "one")
}

func TestDiff_ofATextIsOfItsLines(t *testing.T) {
	was := parse(t, `{"R":{"A":{"script":"one\ntwo\nthree\n","other":"a\nb"}}}`)
	is := parse(t, `{"R":{"A":{"script":"one\nthree\nfour\nfive\n","other":"c\nd"}}}`)
	text := Diff(was, is)
	assert.Equal(t, `~ R.A
    ~ other: "a\nb" -> "c\nd"
    - script[line 2]: "two"
    + script[line 3]: "four"
    + script[line 4]: "five"
`, text)
	got, err := Apply(was, text)
	require.NoError(t, err)
	assert.Equal(t, is, got)
	same := Diff(was, parse(t, `{"R":{"A":{"script":"one\n2\nthree\n","other":"a\nb"}}}`))
	assert.Equal(t, "~ R.A\n    ~ script[line 2]: \"two\" -> \"2\"\n", same)
}

func TestApply_leavesWhatItStartsFrom(t *testing.T) {
	start := parse(t, before)
	_, err := Apply(start, difference)
	require.NoError(t, err)
	assert.Equal(t, parse(t, before), start)
}

func TestApply_refusesWhatDoesNotFit(t *testing.T) {
	for name, test := range map[string]struct{ line, says string }{
		"another value":           {`~ Description: "odd" -> "new"`, `is "old", should be "odd"`},
		"removes another value":   {`- Description: "odd"`, `is "old", should be "odd"`},
		"adds what is there":      {`+ Description: "new"`, "is there already"},
		"removes what is not":     {`- Nothing: 1`, "is not there"},
		"changes what is not":     {`~ Nothing: 1 -> 2`, "is not there"},
		"entry that is not there": {"~ Resources.Z (AWS::T)", "Resources.Z"},
		"entry that is there":     {"+ Resources.A (AWS::T)", "Resources.A"},
		"removes no entry":        {"- Resources.Z", "Resources.Z"},
		"inside nothing":          {`~ Resources.Z.v: 1 -> 2`, "there is no Z"},
		"an index too far":        {`- Resources.A.Properties.list[3]: 4`, "is not there"},
		"added too far":           {`+ Resources.A.Properties.list[4]: 4`, "cannot be added"},
		"through an index":        {`~ Resources.A.Properties.list[7].x: 1 -> 2`, "there is no [7]"},
		"a tag that is there":     {`+ Resources.A.Properties.Tags[Key=a]: {"Key":"a"}`, "cannot be added"},
		"no such tag":             {`~ Resources.A.Properties.Tags[Key=c].Value: 1 -> 2`, "there is no [Key=c]"},
		"a member of a list":      {`~ Resources.A.Properties.list.x: 1 -> 2`, "is not in"},
		"an element of an object": {`~ Resources[0]: 1 -> 2`, "is not in"},
		"every of none":           {"~ Resources.*\n    ~ Type: 1 -> 2", "has no entry where Type is 1"},
		"every without a section": {"~ .*", "no +, - or ~"},
		"every, section too deep": {"~ A.B.*", "no section"},
		"every, unreadable":       {"~ Resources.*\n    Type", "no +, - or ~"},
		"no operation":            {"Description", "no +, - or ~"},
		"no name":                 {"~ : 1", "no name"},
		"no value":                {"~ Description 1", "cannot read"},
		"no value below":          {"~ Resources.A\n    ~ Type 1", "no value"},
		"no second value":         {`~ Description: "old"`, "no ->"},
		"more than a value":       {`- Description: "old" x`, "cannot read"},
		"broken value":            {`- Description: {`, "no JSON value"},
		"broken tag":              {`- Resources.A[Key=x: 1`, "no tag"},
		"broken index":            {`- Resources.A[x]: 1`, "no index"},
		"negative index":          {`- Resources.A[-1]: 1`, "no index"},
		"broken line":             {`- Description[line x]: "a"`, "no index"},
		"line before the first":   {`- Description[line 0]: "a"`, "no index"},
		"a line too far":          {`- Description[line 2]: "a"`, "is not there"},
		"a line of an object":     {`- Resources[line 1]: "a"`, "is not in"},
		"a line of a list":        {`- Resources.A.Properties.list[line 1]: 1`, "is not in"},
		"an element of a text":    {`- Description[0]: "o"`, "is not in"},
		"a line that is no text":  {`~ Description[line 1]: "old" -> 1`, "cannot be 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Apply(parse(t, before), test.line)
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.says)
			assert.Contains(t, err.Error(), "make accept")
		})
	}
}

// Whatever two templates hold, applying their difference to one gives the other.
func TestApply_undoesNothingOfDiff(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		was := template(r)
		is := template(r)
		if seed%4 != 0 {
			is = mutated(r, was).(map[string]any)
		}
		text := Diff(was, is)
		got, err := Apply(was, text)
		require.NoError(t, err, "seed %d\n%s\n%s\n%s", seed, compact(was), compact(is), text)
		require.Equal(t, compact(is), compact(got), "seed %d\n%s", seed, text)
	}
}

func FuzzApply(f *testing.F) {
	f.Add(before, difference)
	f.Add(`{}`, "~ Resources.*\n    + A[0]: 1")
	f.Fuzz(func(t *testing.T, template, text string) {
		var parsed map[string]any
		if json.Unmarshal([]byte(template), &parsed) != nil {
			return
		}
		got, err := Apply(parsed, text)
		if err != nil {
			return
		}
		again, err := Apply(parsed, Diff(parsed, got))
		if err != nil || compact(again) != compact(got) {
			t.Fatalf("%v: %s, not %s", err, compact(again), compact(got))
		}
	})
}

// template grows an object with sections, entries and values.
func template(r *rand.Rand) map[string]any {
	grown := map[string]any{}
	for range r.IntN(4) {
		entries := map[string]any{}
		for range r.IntN(6) {
			entries[name(r)] = value(r, 4)
		}
		grown[name(r)] = entries
	}
	if r.IntN(3) == 0 {
		grown[name(r)] = value(r, 2)
	}
	return grown
}

func name(r *rand.Rand) string {
	all := []string{"A", "B", "Type", "Fn::Join", "Ref", "a.b", "*", "", "a:", ": ", "x y", "é\n", "[0]", `"`, "Key",
		"aws:Source"}
	return all[r.IntN(len(all))]
}

func value(r *rand.Rand, depth int) any {
	switch kind := r.IntN(9); {
	case depth == 0 || kind < 3:
		all := []any{
			nil, true, 1.0, 2.5, "", "text -> text", "a: b", "<&>", "a\nb\nc", "a\n\nc\n", "\n",
			map[string]any{}, []any{},
		}
		return all[r.IntN(len(all))]
	case kind < 6:
		object := map[string]any{}
		for range r.IntN(4) {
			object[name(r)] = value(r, depth-1)
		}
		return object
	case kind == 6:
		list := []any{}
		keys := []string{"a", "b", "c d", "profile"}
		if r.IntN(2) == 0 {
			keys = []string{"b", "a", "profile", "c d"}
		}
		for _, key := range keys {
			if r.IntN(2) == 0 {
				list = append(list, map[string]any{"Key": key, "Value": value(r, 1)})
			}
		}
		return list
	}
	list := []any{}
	for range r.IntN(5) {
		list = append(list, value(r, depth-1))
	}
	return list
}

// mutated copies a value with a few changes.
func mutated(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		copied := map[string]any{}
		for k, inner := range v {
			if r.IntN(12) > 0 {
				copied[k] = mutated(r, inner)
			}
		}
		if r.IntN(12) == 0 {
			copied[name(r)] = value(r, 2)
		}
		return copied
	case []any:
		copied := []any{}
		for _, inner := range v {
			if r.IntN(10) > 0 {
				copied = append(copied, mutated(r, inner))
			}
			if r.IntN(10) == 0 {
				copied = append(copied, value(r, 1))
			}
		}
		return copied
	case string:
		lines := strings.Split(v, "\n")
		if at := r.IntN(len(lines)); len(lines) > 1 && r.IntN(2) == 0 {
			return strings.Join(slices.Replace(lines, at, at+r.IntN(2), fmt.Sprint(r.IntN(9))), "\n")
		}
	case float64:
		// The same change in several places.
		return v + 1
	}
	if r.IntN(15) == 0 {
		return fmt.Sprint(r.IntN(9))
	}
	return v
}
