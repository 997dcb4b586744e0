package handler

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/strictjson"
)

// retryAfter is when a caller may try again, in seconds: until then a model is loaded or a database
// is back.
const retryAfter = 30

// route answers a request whose method is right with a value for JSON.
type route struct {
	method string
	answer func(ctx context.Context, body []byte, query map[string]string) (any, error)
}

// errUnknownItem answers 404.
var errUnknownItem = errors.New("the active model does not know this item")

func (h Handler) routes() map[string]route {
	return map[string]route{
		inference.UserEmbeddingsRoute: {http.MethodPost,
			func(ctx context.Context, body []byte, _ map[string]string) (any, error) {
				customers, err := inference.DecodeCustomers(body)
				if err != nil {
					return nil, err
				}
				return h.Engine.UserEmbeddings(ctx, customers)
			}},
		inference.ItemsFromUserRoute: {http.MethodPost,
			func(ctx context.Context, body []byte, query map[string]string) (any, error) {
				vector, err := inference.DecodeVector(body)
				limit, limitErr := inference.ReadItemsFromUserQuery(query)
				if err := errors.Join(err, limitErr); err != nil {
					return nil, err
				}
				return h.Engine.ItemsFromUser(ctx, vector, limit)
			}},
		inference.ItemsFromItemRoute: {http.MethodGet,
			func(ctx context.Context, _ []byte, query map[string]string) (any, error) {
				wanted, err := inference.ReadItemsFromItemQuery(query)
				if err != nil {
					return nil, err
				}
				items, known, err := h.Engine.ItemsFromItem(ctx, wanted.ItemID, wanted.Limit)
				if err == nil && !known {
					err = errUnknownItem
				}
				return items, err
			}},
	}
}

// serve answers the course's three routes, and everything else with a status and a reason.
func (h Handler) serve(ctx context.Context, request events.LambdaFunctionURLRequest) events.LambdaFunctionURLResponse {
	wanted, known := h.routes()[request.RawPath]
	if !known {
		return refusal(http.StatusNotFound, fmt.Sprintf("no route %s: there are POST %s, POST %s and GET %s",
			request.RawPath,
			inference.UserEmbeddingsRoute, inference.ItemsFromUserRoute, inference.ItemsFromItemRoute))
	}
	if method := request.RequestContext.HTTP.Method; method != wanted.method {
		refused := refusal(http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s, not %s", request.RawPath,
			wanted.method, method))
		refused.Headers["Allow"] = wanted.method
		return refused
	}
	body := []byte(request.Body)
	if request.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(request.Body); err != nil {
			return refusal(http.StatusBadRequest, "the body is not base64, as the event says")
		}
	}
	answer, err := wanted.answer(ctx, body, request.QueryStringParameters)
	if err != nil {
		return h.failure(ctx, err)
	}
	return respond(http.StatusOK, answer)
}

func (h Handler) failure(ctx context.Context, err error) events.LambdaFunctionURLResponse {
	var violations *strictjson.Error
	switch {
	case errors.As(err, &violations):
		return refusal(http.StatusBadRequest, err.Error())
	case errors.Is(err, errUnknownItem):
		return refusal(http.StatusNotFound, err.Error())
	case errors.Is(err, errNoTowers):
		return refusal(http.StatusNotImplemented, err.Error())
	}
	reason := "the recommender cannot answer now"
	if errors.Is(err, embeddings.ErrNoActiveModel) {
		reason = embeddings.ErrNoActiveModel.Error()
	} else {
		h.Engine.Logger.ErrorContext(ctx, "request not answered", slog.Any("error", err))
	}
	refused := refusal(http.StatusServiceUnavailable, reason)
	refused.Headers["Retry-After"] = strconv.Itoa(retryAfter)
	return refused
}

func refusal(status int, reason string) events.LambdaFunctionURLResponse {
	return respond(status, map[string]string{"error": reason})
}

func respond(status int, value any) events.LambdaFunctionURLResponse {
	body, err := json.Marshal(value)
	if err != nil { // a vector or score that is no number, which the store and the tower cannot hold
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	return events.LambdaFunctionURLResponse{
		StatusCode: status, Headers: map[string]string{"Content-Type": "application/json"}, Body: string(body),
	}
}
