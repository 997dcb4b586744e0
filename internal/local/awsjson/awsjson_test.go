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
