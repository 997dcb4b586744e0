package handler

import (
	"bytes"
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

// Invoke is Handle for Lambda's runtime, which would write and check what it answers once more.
func (h Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	answer, err := h.Handle(ctx, payload)
	if err != nil {
		return nil, err
	}
	if batch, ok := answer.(inference.BatchAnswer); ok {
		return batch.Encode()
	}
	return json.Marshal(answer)
}

// fromURL says whether an event is an HTTP request. A batch is large, and hardly ever has the name
// in a text of its own: it is not read for this.
func fromURL(payload []byte) bool {
	if !bytes.Contains(payload, []byte("requestContext")) {
		return false
	}
	var kind struct {
		RequestContext *json.RawMessage `json:"requestContext"`
	}
	return json.Unmarshal(payload, &kind) == nil && kind.RequestContext != nil
}

// Handle tells the two apart: only an HTTP request has a requestContext. A batch that breaks the
// contract and one that cannot be answered now are errors, which Lambda logs; HTTP has its status
// codes.
func (h Handler) Handle(ctx context.Context, payload json.RawMessage) (any, error) {
	if fromURL(payload) {
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
