package firehose

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var oldest = time.Date(2026, 3, 1, 23, 4, 5, 0, time.FixedZone("", 3600)) // 22:04:05 UTC

func TestPrefixes(t *testing.T) {
	cases := []struct {
		name, prefix, want string
	}{
		{"none", "", "2026/03/01/22/"},
		{"without an expression", "lake/", "lake/2026/03/01/22/"},
		{"with a timestamp", "year=!{timestamp:yyyy}/month=!{timestamp:MM}/", "year=2026/month=03/"},
		{"every field", "!{timestamp:yyyy-MM-dd'T'HH:mm:ss}", "2026-03-01T22:04:05"},
		{"quotes", "!{timestamp:'year='yyyy''MM'it''s'}", "year=2026'03it's"},
		{"exclamation marks alone", "a!b{c}/!{timestamp:dd}", "a!b{c}/01"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			parsed, err := parsePrefix(test.prefix)
			require.NoError(t, err)
			assert.Equal(t, test.want, parsed.evaluate(oldest))
		})
	}
}

func TestErrorPrefixes(t *testing.T) {
	cases := []struct {
		name, errorPrefix, prefix, want string
	}{
		{"with the type", "errors/!{firehose:error-output-type}/!{timestamp:yyyy}/", "",
			"errors/processing-failed/2026/"},
		{"none", "", "lake/", "lake/processing-failed/2026/03/01/22/"},
		{"neither", "", "", "processing-failed/2026/03/01/22/"},
		{"without an expression", "errors/", "!{timestamp:yyyy}/", "errors/processing-failed/2026/03/01/22/"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			parsed, err := parseErrorPrefix(test.errorPrefix, test.prefix)
			require.NoError(t, err)
			assert.Equal(t, test.want, parsed.evaluate(oldest))
		})
	}
	_, err := parseErrorPrefix("", "!{timestamp:yyyy}/")
	require.ErrorContains(t, err, "error-output-type")
	_, err = parseErrorPrefix("errors/!{timestamp:yyyy}/", "")
	require.ErrorContains(t, err, "error-output-type")
}

func TestRandomStringsDiffer(t *testing.T) {
	parsed, err := parsePrefix("!{firehose:random-string}-!{firehose:random-string}/")
	require.NoError(t, err)
	first, second := parsed.evaluate(oldest), parsed.evaluate(oldest)
	assert.Regexp(t, `^[A-Za-z0-9]{11}-[A-Za-z0-9]{11}/$`, first)
	assert.NotEqual(t, first, second)
	left, right, _ := strings.Cut(strings.TrimSuffix(first, "/"), "-")
	assert.NotEqual(t, left, right)
}

func TestPrefixesThatAreRefused(t *testing.T) {
	for prefix, reason := range map[string]string{
		"!{timestamp:yyyy":                    "closing brace",
		"!{yyyy}":                             "namespace:value",
		"!{timestamp:}":                       "empty",
		"!{timestamp:yy}":                     "pattern letters yy",
		"!{timestamp:EEE}":                    "pattern letters EEE",
		"!{timestamp:'yyyy}":                  "closing quote",
		"!{timestamp:yyyy[MM]}":               "reserved",
		"!{firehose:error-output-type}":       "only the error prefix",
		"!{firehose:other}":                   "random-string",
		"!{partitionKeyFromQuery:customer}":   "dynamic partitioning",
		"!{partitionKeyFromLambda:customer}":  "dynamic partitioning",
		"!{other:value}":                      "namespaces",
		strings.Repeat("x", 513) + "/!{a:b}":  "namespaces",
		strings.Repeat("x", 500) + "/":        "512",
		strings.Repeat("x", 1025):             "1024",
		"!{timestamp:ww}/!{partitionKey:two}": "namespaces",
	} {
		_, err := parsePrefix(prefix)
		assert.ErrorContains(t, err, reason, prefix)
	}
	_, err := parsePrefix("!{timestamp:ww}/!{other:two}")
	require.ErrorContains(t, err, "pattern letters ww", "all problems at once")
	require.ErrorContains(t, err, "other:two")
}

func FuzzPrefix(f *testing.F) {
	for _, seed := range []string{"", "lake/", "!{timestamp:yyyy-MM-dd'T'HH:mm:ss}/", "!{timestamp:'it''s'}",
		"!{firehose:random-string}", "!{timestamp:", "!{a:b}", "!{timestamp:[}", "é!{timestamp:'é'}"} {
		f.Add(seed, int64(1772357400))
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		parsed, err := parsePrefix(text)
		if err != nil {
			return
		}
		// Years of four digits, as streams know no other.
		at := time.Unix(((seconds%200_000_000_000)+200_000_000_000)%200_000_000_000, 0)
		evaluated := parsed.evaluate(at)
		if utf8.ValidString(text) {
			require.True(t, utf8.ValidString(evaluated), "%q", evaluated)
		}
		require.LessOrEqual(t, utf8.RuneCountInString(evaluated), maxPrefix)
		if !strings.Contains(text, "!{") {
			require.Equal(t, text+at.UTC().Format("2006/01/02/15/"), evaluated)
		}
		if !strings.Contains(text, "random-string") {
			require.Equal(t, evaluated, parsed.evaluate(at))
		}
	})
}
