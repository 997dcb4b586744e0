// Package awsjson answers requests of AWS's JSON protocols, 1.0 and 1.1, for the hosts that serve
// an API themselves: which operation is meant, its input, its answer or exception. It knows no
// service.
//
// Contract: "AWS JSON 1.0 protocol" and "AWS JSON 1.1 protocol" of Smithy's documentation.
package awsjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Exception is an error of an API, as its reference names it.
type Exception struct{ Kind, Message string }

func (e *Exception) Error() string { return e.Kind + ": " + e.Message }

// Exceptionf makes an exception whose message is formatted.
func Exceptionf(kind, format string, arguments ...any) *Exception {
	return &Exception{kind, fmt.Sprintf(format, arguments...)}
}

// Service is what its requests and answers have of their own.
type Service struct {
	// Target begins the operations' names in the header that tells them, such as "AWSGlue.".
	Target string
	// ContentType of the answers.
	ContentType string
	// Invalid and Unknown are the exceptions for an input that is not understood and for an
	// operation that is not served, Internal that for an error that is no exception.
	Invalid, Unknown, Internal string
	// Message is the member of an exception's document that has its words.
	Message string
	// MaxRequest bounds a request, in bytes.
	MaxRequest int64
}

// Operation answers one: with what becomes JSON, or with an *Exception.
type Operation func(service Service, body []byte) (any, error)

// Of makes an operation of a function. A member of the input that the function's type does not have
// is refused: it would not be honoured.
func Of[Input any](operate func(Input) (any, error)) Operation {
	return func(service Service, body []byte) (any, error) {
		var input Input
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&input); err != nil {
			return nil, Exceptionf(service.Invalid, "the request is not understood: %v", err)
		}
		return operate(input)
	}
}

// Handler serves operations by name.
func Handler(service Service, operations map[string]Operation) http.Handler {
	known := strings.Join(slices.Sorted(maps.Keys(operations)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Header.Get("X-Amz-Target")
		operation, ok := operations[strings.TrimPrefix(asked, service.Target)]
		if r.Method != http.MethodPost || !ok {
			service.respond(w, nil, Exceptionf(service.Unknown, "%s %s is not known here: %s are", r.Method, asked,
				known))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, service.MaxRequest))
		if err != nil {
			service.respond(w, nil, Exceptionf(service.Invalid, "the request cannot be read: %v", err))
			return
		}
		answer, err := operation(service, body)
		service.respond(w, answer, err)
	})
}

func (s Service) respond(w http.ResponseWriter, answer any, err error) {
	header := w.Header()
	header.Set("Content-Type", s.ContentType)
	header.Set("X-Amzn-Requestid", uuid.NewString())
	if err == nil {
		_ = json.NewEncoder(w).Encode(answer) // the caller has hung up
		return
	}
	refused := &Exception{s.Internal, err.Error()}
	status := http.StatusInternalServerError
	if errors.As(err, &refused) {
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
	// As above.
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": refused.Kind, s.Message: refused.Message})
}
