package handler

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"diecast/internal/inference"
	"diecast/internal/strictjson"
)

// Handler answers the batches of the stream's consumers and the HTTP requests of the function URL.
type Handler struct {
	Engine *Engine
}

// Handle tells the two apart: only an HTTP request has a requestContext. A batch that breaks the
// contract and one that cannot be answered now are errors, which Lambda logs; HTTP has its status
// codes.
func (h Handler) Handle(ctx context.Context, payload json.RawMessage) (any, error) {
	var kind struct {
		RequestContext *json.RawMessage `json:"requestContext"`
	}
	if json.Unmarshal(payload, &kind) == nil && kind.RequestContext != nil {
		var request events.LambdaFunctionURLRequest
		if err := json.Unmarshal(payload, &request); err != nil {
			return nil, fmt.Errorf("the event is not one of a function URL: %w", err)
		}
		return h.serve(ctx, request), nil
	}
	request, err := inference.DecodeBatchRequest(payload)
	if err != nil {
		return nil, fmt.Errorf("the batch breaks the contract: %w", strictjson.WithoutValues(err))
	}
	return h.Engine.Recommend(ctx, request)
}
