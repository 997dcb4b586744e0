package lambdahost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// api is the part of the Lambda API that a program at run time needs.
func (h *Host) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{function}/invocations", h.invokeRequest)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if _, admitted := h.admitted(w, r); !admitted {
			return
		}
		respondError(w, http.StatusNotFound, "UnknownOperationException",
			fmt.Sprintf("%s %s is not known here: only Invoke is", r.Method, r.URL.Path))
	})
	return mux
}

// admitted is the body of a request with a valid signature; any other request is answered.
func (h *Host) admitted(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	body, err := readAll(r)
	if err != nil {
		respondInvokeError(w, err)
		return nil, false
	}
	if refused := h.verifier.verify(r, body); refused != nil {
		respondError(w, http.StatusForbidden, refused.exception, refused.message)
		return nil, false
	}
	return body, true
}

// invokeRequest is https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html without LogType,
// ClientContext and versions.
func (h *Host) invokeRequest(w http.ResponseWriter, r *http.Request) {
	body, admitted := h.admitted(w, r)
	if !admitted {
		return
	}
	name, err := h.functionName(r.PathValue("function"), r.URL.Query().Get("Qualifier"))
	if err != nil {
		respondInvokeError(w, err)
		return
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		result, err := h.Invoke(r.Context(), name, body)
		if err != nil {
			respondInvokeError(w, err)
			return
		}
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("X-Amzn-Requestid", result.RequestID)
		header.Set("X-Amz-Executed-Version", latest)
		if result.FunctionError != "" {
			header.Set("X-Amz-Function-Error", result.FunctionError)
		}
		_, _ = w.Write(result.Payload) // the caller has hung up
	case "Event":
		id, err := h.InvokeEvent(name, body)
		if err != nil {
			respondInvokeError(w, err)
			return
		}
		w.Header().Set("X-Amzn-Requestid", id)
		w.WriteHeader(http.StatusAccepted)
	case "DryRun":
		_, _, err := h.admit(name, body, MaxPayload)
		if err != nil {
			respondInvokeError(w, err)
			return
		}
		h.work.Done()
		w.Header().Set("X-Amzn-Requestid", uuid.NewString())
		w.WriteHeader(http.StatusNoContent)
	default:
		respondError(w, http.StatusBadRequest, "InvalidParameterValueException",
			fmt.Sprintf("invocation type %q: RequestResponse, Event and DryRun are allowed", kind))
	}
}

// functionName takes the three forms of a name: name, account:function:name, and the ARN, each with
// $LATEST or no qualifier.
func (h *Host) functionName(text, qualifier string) (string, error) {
	name := text
	for _, prefix := range []string{h.ARN(""), h.options.Account + ":function:", "function:"} {
		if rest, found := strings.CutPrefix(text, prefix); found {
			name = rest
			break
		}
	}
	if base, version, found := strings.Cut(name, ":"); found {
		name, qualifier = base, version
	}
	if !functionName.MatchString(name) || qualifier != "" && qualifier != latest {
		return "", fmt.Errorf("%w: %s (qualifier %q; only %s is there)", ErrNotFound, text, qualifier, latest)
	}
	return name, nil
}

// errUnreadable says that a request's body is cut off, or none of HTTP.
var errUnreadable = errors.New("the request cannot be read")

// readAll reads a body, up to one byte over the limit of a payload.
func readAll(r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes, %d are allowed", ErrTooLarge, r.ContentLength, MaxPayload)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if len(body) > MaxPayload {
		return nil, fmt.Errorf("%w: more than the %d bytes that are allowed", ErrTooLarge, MaxPayload)
	}
	return body, nil
}

// respondInvokeError writes an error of Invoke as the Lambda API does.
func respondInvokeError(w http.ResponseWriter, err error) {
	status, kind := http.StatusInternalServerError, "ServiceException"
	switch {
	case errors.Is(err, ErrNotFound):
		status, kind = http.StatusNotFound, "ResourceNotFoundException"
	case errors.Is(err, ErrThrottled):
		status, kind = http.StatusTooManyRequests, "TooManyRequestsException"
	case errors.Is(err, ErrTooLarge):
		status, kind = http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException"
	case errors.Is(err, ErrInvalidPayload), errors.Is(err, errUnreadable):
		status, kind = http.StatusBadRequest, "InvalidRequestContentException"
	}
	respondError(w, status, kind, err.Error())
}

func respondError(w http.ResponseWriter, status int, kind, message string) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Amzn-Errortype", kind)
	header.Set("X-Amzn-Requestid", uuid.NewString())
	w.WriteHeader(status)
	blame := "User"
	if status >= http.StatusInternalServerError {
		blame = "Service"
	}
	_ = json.NewEncoder(w).Encode(struct {
		Type    string `json:"Type"`
		Message string `json:"message"`
	}{blame, message}) // the caller has hung up
}
