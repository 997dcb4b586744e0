package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheDocumentIsOne(t *testing.T) {
	document, _ := contract()
	require.NoError(t, document.Validate(t.Context()), "examples included")
	assert.Equal(t, "3.1.0", document.OpenAPI)
	served := get(t, newFixture(t, nil), "openapi.json")
	assert.Equal(t, string(openapi), served.text)
}

// Every address of the document is served, and every one that is served is in it, with the same
// parameters.
func TestDocumentAndRoutesAgree(t *testing.T) {
	document, _ := contract()
	var served, written []string
	for _, route := range routes() {
		headers := slices.Clone(route.headers)
		slices.Sort(headers)
		query := slices.Clone(route.query)
		slices.Sort(query)
		served = append(served, "/"+route.pattern+" "+strings.Join(query, ",")+" "+strings.Join(headers, ","))
	}
	for path, operations := range document.Paths.Map() {
		require.Len(t, operations.Operations(), 1, path)
		require.NotNil(t, operations.Get, path)
		var query, headers []string
		for _, parameter := range operations.Get.Parameters {
			switch parameter := parameter.Value; {
			case parameter.In == "query":
				query = append(query, parameter.Name)
			case parameter.In == "header" && parameter.Name != "If-None-Match":
				headers = append(headers, parameter.Name)
			}
		}
		slices.Sort(query)
		slices.Sort(headers)
		written = append(written, path+" "+strings.Join(query, ",")+" "+strings.Join(headers, ","))
	}
	assert.ElementsMatch(t, served, written)
}

// What holds the answers of all tests to the document finds answers that break it.
func TestAnswersThatBreakTheContractAreFound(t *testing.T) {
	f := newFixture(t, nil)
	right := get(t, f, "recommendations", sessionHeader, unguessed)
	for name, change := range map[string]func(*http.Response, string) string{
		"another status": func(r *http.Response, body string) string {
			r.StatusCode = http.StatusTeapot
			return body
		},
		"another type": func(r *http.Response, body string) string {
			r.Header.Set("Content-Type", "text/plain")
			return body
		},
		"without ETag": func(r *http.Response, body string) string {
			r.Header.Del("ETag")
			return body
		},
		"an ETag of another form": func(r *http.Response, body string) string {
			r.Header.Set("ETag", "x")
			return body
		},
		"a member missing": func(_ *http.Response, body string) string {
			return strings.Replace(body, `"rung"`, `"rang"`, 1)
		},
		"another rung": func(_ *http.Response, body string) string {
			return strings.Replace(body, "memory", "cache", 1)
		},
		"a time without its event": func(_ *http.Response, body string) string {
			return strings.Replace(body, `"event_id"`, `"event"`, 1)
		},
		"no JSON": func(*http.Response, string) string { return "x" },
	} {
		request := httptest.NewRequest(http.MethodGet, Prefix+"recommendations", nil)
		answer := &http.Response{StatusCode: right.StatusCode, Header: right.Header.Clone(),
			Body: io.NopCloser(&bytes.Buffer{})}
		require.NoError(t, violation(request, answer, []byte(right.text)))
		body := change(answer, right.text)
		assert.Error(t, violation(request, answer, []byte(body)), name)
	}
}

// The page for the shop's developer lists the addresses that there are, and every reason of a
// problem.
func TestTheGuideHasEveryAddressAndReason(t *testing.T) {
	guide, err := os.ReadFile("../../docs/api.md")
	require.NoError(t, err)
	var listed, served []string
	for _, line := range regexp.MustCompile("(?m)^\\| `GET (/[^`]*)` ").FindAllSubmatch(guide, -1) {
		listed = append(listed, string(line[1]))
	}
	for _, route := range routes() {
		served = append(served, Prefix+route.pattern)
	}
	assert.Equal(t, served, listed)
	document, _ := contract()
	for _, reason := range document.Components.Schemas["Problem"].Value.Properties["reason"].Value.Enum {
		assert.Regexp(t, fmt.Sprintf("(?m)^\\| [0-9]{3} \\| .*`%s`", reason), string(guide))
	}
}
