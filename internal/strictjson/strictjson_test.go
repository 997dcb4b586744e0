package strictjson_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/strictjson"
)

func TestMembersKeepTheSpellingOfTheirValues(t *testing.T) {
	document, err := strictjson.Parse([]byte(" { \"a\" : [ 1.50 , -0, 1E+2 ] , \"\\u0062\":\"\\u00e9<\", "+
		"\"c\":{\"d\" :null} } "), strictjson.Limits{})
	require.NoError(t, err)
	members := document.Root().Members()
	require.Len(t, members, 3)
	assert.Equal(t, `[1.50,-0,1E+2]`, string(members[0].Value))
	assert.Equal(t, "b", members[1].Name)
	assert.Equal(t, `"\u00e9<"`, string(members[1].Value))
	assert.Equal(t, `{"a":[1.50,-0,1E+2],"b":"\u00e9<","c":{"d":null}}`, string(strictjson.Object(members)))
}

func TestParseRefusesWithTheCause(t *testing.T) {
	for name, test := range map[string]struct{ text, value string }{
		"a doubled name":       {`{"a":{"b":1,"b":2}}`, "doubled name at /a/b"},
		"an unfinished value":  {`{"a":`, "an unfinished value"},
		"a mistake":            {`{"a":!}`, "a mistake after byte 5"},
		"a second value":       {`1 2`, "a mistake after byte 2"},
		"deeper than the root": {`[[[1]]]`, "deeper nesting"},
		"too large":            {`"` + strings.Repeat("x", 100) + `"`, "102 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := strictjson.Parse([]byte(test.text), strictjson.Limits{MaxBytes: 100, MaxDepth: 2})
			var invalid *strictjson.Error
			require.ErrorAs(t, err, &invalid)
			require.Len(t, invalid.Violations, 1)
			assert.Equal(t, test.value, invalid.Violations[0].Value)
		})
	}
}

func TestTheContainerIsLookedAtFirst(t *testing.T) {
	document, err := strictjson.Parse([]byte("\ufeff {\"a\":1}"), strictjson.Limits{})
	require.NoError(t, err)
	assert.Equal(t, `{"a":1}`, string(document.Root().Raw()))
	_, err = strictjson.Parse([]byte("\xff\xfe{\x00}\x00"), strictjson.Limits{})
	require.EqualError(t, err, "document: got another container, want one JSON value in UTF-8 without doubled names; "+
		"it is UTF-16: write it as UTF-8")
	_, err = strictjson.Parse([]byte("\ufeff"), strictjson.Limits{})
	require.ErrorContains(t, err, "an unfinished value")
}

func TestViolationsShowLittleOfTheValue(t *testing.T) {
	document, err := strictjson.Parse([]byte(`{"a":"`+strings.Repeat("é", 100)+`","b":{"secret":1},"c":[1,2]}`),
		strictjson.Limits{})
	require.NoError(t, err)
	root := document.Root()
	root.Field("a").Integer(0, 1)
	root.Field("b").Text(0, 1)
	root.Field("c").Bool()
	root.Field("d").Number(0, 1)
	assert.EqualError(t, document.Err(), `a: got "`+strings.Repeat("é", 23)+`..., want a whole number from 0 to 1; `+
		`b: got an object, want a string of 0 to 1 characters; c: got an array of 2, want true or false; `+
		`d: got nothing, want a number from 0 to 1`)
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":"c"}],"":null}`, `[[],{},"\u0000",-0.0e-0,true,false]`, ` "x" `,
		`{"a":1,"\u0061":2}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: 1 << 16, MaxDepth: 32})
		if err != nil {
			return
		}
		raw := document.Root().Raw()
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, data))
		require.Equal(t, compact.String(), string(raw))
		if members := document.Root().Members(); len(members) > 0 {
			again, err := strictjson.Parse(strictjson.Object(members), strictjson.Limits{})
			require.NoError(t, err)
			require.Equal(t, members, again.Root().Members())
		}
	})
}
