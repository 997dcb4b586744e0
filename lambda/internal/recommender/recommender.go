// Package recommender asks the inference function for the recommendations of a stream's events.
// Both consumers of the stream use it, so that for the same answer they make the same records. It
// does not know where a record goes.
package recommender

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"diecast/internal/activity"
	"diecast/internal/inference"
	"diecast/internal/recommendation"
	"diecast/internal/strictjson"
)

const (
	// itemsPerEvent is how many items an event gets: the course's five.
	itemsPerEvent = 5
	// similarPerProduct is how many similar items each product of an event gets: the course's five.
	similarPerProduct = 5
	// batchEvents bounds one invocation so that both ways stay below inference.MaxBytes in the
	// worst case, which is product codes of characters that JSON writes as two: 28 KB of request
	// for an event with a full cart, 20 KB of answer for one with activity.MaxProducts products.
	batchEvents = 200
)

// Invoker is the part of the Lambda client that is used.
type Invoker interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// Recommender asks one inference function.
type Recommender struct {
	Invoker Invoker
	// Function is its name or ARN.
	Function string
	// Clock tells when an answer was made.
	Clock func() time.Time
}

// Recommend returns the record of each event, in their order. The events must have their identity.
// An error, also that of the function itself, is one that a later try may not meet.
func (r Recommender) Recommend(ctx context.Context, events []activity.Event) ([]recommendation.Record, error) {
	records := make([]recommendation.Record, 0, len(events))
	for len(events) > 0 {
		batch := events[:min(batchEvents, len(events))]
		events = events[len(batch):]
		answer, err := r.ask(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("inference function %s: %w", r.Function, err)
		}
		at := r.Clock()
		for i, event := range batch {
			records = append(records, record(event, answer, i, at))
		}
	}
	return records, nil
}

func (r Recommender) ask(ctx context.Context, events []activity.Event) (inference.BatchAnswer, error) {
	request := inference.BatchRequest{
		Limit: itemsPerEvent, SimilarLimit: similarPerProduct, Events: make([]inference.BatchEvent, len(events)),
	}
	for i, event := range events {
		request.Events[i] = inference.NewBatchEvent(event)
	}
	payload, err := request.Encode()
	if err != nil {
		return inference.BatchAnswer{}, err
	}
	output, err := r.Invoker.Invoke(ctx, &lambda.InvokeInput{FunctionName: &r.Function, Payload: payload})
	if err != nil {
		return inference.BatchAnswer{}, err
	}
	if output.FunctionError != nil {
		return inference.BatchAnswer{}, functionError(aws.ToString(output.FunctionError), output.Payload)
	}
	answer, err := inference.DecodeBatchAnswer(output.Payload, request)
	if err != nil {
		return inference.BatchAnswer{}, fmt.Errorf("its answer breaks the contract: %w", strictjson.WithoutValues(err))
	}
	return answer, nil
}

// functionError takes the message out of Lambda's error document and leaves its stack trace.
func functionError(kind string, payload []byte) error {
	var document struct {
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(payload, &document) != nil || document.Message == "" {
		return fmt.Errorf("it failed (%s) and did not say why", kind)
	}
	return fmt.Errorf("it failed: %s", strings.TrimSpace(document.Message))
}

func record(event activity.Event, answer inference.BatchAnswer, position int, at time.Time) recommendation.Record {
	result := answer.Results[position]
	record := recommendation.Record{
		Event: event, Items: result.Items, ModelVersion: answer.ModelVersion, Rung: result.Rung,
		RecommendedAt: at,
	}
	if result.Rung == recommendation.Popular {
		return record // has no similar items, wherever those of its batch come from
	}
	for _, product := range event.Products() {
		if neighbours, known := answer.Similar[product]; known {
			record.Similar = append(record.Similar, recommendation.Similar{ProductCode: product, Items: neighbours})
		}
	}
	return record.Fit(recommendation.MaxBytes)
}
