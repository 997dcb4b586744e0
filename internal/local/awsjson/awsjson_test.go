package awsjson

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var service = Service{Target: "Shop.", ContentType: "application/x-amz-json-1.0", Invalid: "ValidationException",
	Unknown: "UnknownOperationException", Internal: "InternalFailure", Message: "message", MaxRequest: 100}

type greeting struct{ Name string }

func ask(t *testing.T, method, target, body string) (int, map[string]string) {
	t.Helper()
	handler := Handler(service, map[string]Operation{
		"Greet": Of(func(input greeting) (any, error) {
			switch input.Name {
			case "":
				return nil, Exceptionf("NobodyException", "nobody of %d", 0)
			case "broken":
				return nil, errors.New("out of order")
			}
			return map[string]string{"Hello": input.Name}, nil
		}),
	})
	request := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(body))
	request.Header.Set("X-Amz-Target", target)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	assert.Equal(t, service.ContentType, recorder.Header().Get("Content-Type"))
	assert.NotEmpty(t, recorder.Header().Get("X-Amzn-Requestid"))
	var answer map[string]string
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &answer))
	return recorder.Code, answer
}

func TestAnOperationAnswers(t *testing.T) {
	status, answer := ask(t, http.MethodPost, "Shop.Greet", `{"Name":"Ada"}`)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, map[string]string{"Hello": "Ada"}, answer)
}

func TestWhatCannotBeAnsweredIsAnException(t *testing.T) {
	for name, c := range map[string]struct {
		method, target, body string
		status               int
		kind, message        string
	}{
		"an exception": {http.MethodPost, "Shop.Greet", `{}`, 400, "NobodyException", "nobody of 0"},
		"another error": {http.MethodPost, "Shop.Greet", `{"Name":"broken"}`, 500, "InternalFailure",
			"out of order"},
		"an operation that is not served": {http.MethodPost, "Shop.Leave", `{}`, 400, "UnknownOperationException",
			"POST Shop.Leave is not known here: Greet are"},
		"a method that is none": {http.MethodGet, "Shop.Greet", ``, 400, "UnknownOperationException", "GET Shop.Greet"},
		"a member that nobody reads": {http.MethodPost, "Shop.Greet", `{"Age":1}`, 400, "ValidationException",
			`unknown field "Age"`},
		"no JSON":   {http.MethodPost, "Shop.Greet", `{`, 400, "ValidationException", "not understood"},
		"too large": {http.MethodPost, "Shop.Greet", strings.Repeat(" ", 101), 400, "ValidationException", "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := ask(t, c.method, c.target, c.body)
			assert.Equal(t, c.status, status)
			assert.Equal(t, c.kind, answer["__type"])
			assert.Contains(t, answer["message"], c.message)
		})
	}
}

var pages = Pages{Size: "maxResults", Most: 5, Default: 3, InvalidSize: "ValidationException",
	InvalidToken: "InvalidToken"}

func TestTokensLeadThroughAList(t *testing.T) {
	all := []int{1, 2, 3, 4, 5, 6, 7}
	zero, two := 0, 2
	for _, c := range []struct {
		size *int
		want [][]int
	}{
		{nil, [][]int{{1, 2, 3}, {4, 5, 6}, {7}}},
		{&zero, [][]int{{1, 2, 3}, {4, 5, 6}, {7}}},
		{&two, [][]int{{1, 2}, {3, 4}, {5, 6}, {7}}},
	} {
		var parts [][]int
		for token := ""; len(parts) == 0 || token != ""; {
			part, next, err := Page(pages, all, c.size, token)
			require.NoError(t, err)
			parts, token = append(parts, part), next
		}
		assert.Equal(t, c.want, parts)
	}
	whole, next, err := Page(pages, all[:3], nil, "")
	require.NoError(t, err)
	assert.Equal(t, all[:3], whole)
	assert.Empty(t, next, "a full page is the last one where nothing comes after it")
}

func TestAPageThatIsNoneIsRefused(t *testing.T) {
	least := pages
	least.Least = 1
	for name, c := range map[string]struct {
		of            Pages
		size          int
		token         string
		kind, message string
	}{
		"too small":          {pages, -1, "", "ValidationException", "maxResults is -1: 0 to 5 are allowed"},
		"too large":          {pages, 6, "", "ValidationException", "maxResults is 6: 0 to 5 are allowed"},
		"zero where 1 is it": {least, 0, "", "ValidationException", "maxResults is 0: 1 to 5 are allowed"},
		"no token":           {pages, 1, "x", "InvalidToken", `"x"`},
		"beyond the end":     {pages, 1, "3", "InvalidToken", `"3"`},
		"before the start":   {pages, 1, "-1", "InvalidToken", `"-1"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Page(c.of, []int{1, 2}, &c.size, c.token)
			var refused *Exception
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, c.kind, refused.Kind)
			assert.Contains(t, refused.Message, c.message)
		})
	}
}
