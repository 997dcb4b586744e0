// Package inference is the contract of the inference Lambda: the batch that the stream's consumers
// send it, and the course's three HTTP routes.
//
// It holds wire types and their validation on both sides. It must not know how a vector or a
// neighbour is found. The JSON Schemas of the same contracts are
// docs/schemas/inference_*.schema.json and docs/schemas/route_*.schema.json; golden examples are in
// test/contracts.
package inference

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/quotas"
	"diecast/internal/recommendation"
	"diecast/internal/strictjson"
)

// The limits of a batch.
const (
	// MaxBytes bounds a request and an answer.
	MaxBytes = quotas.LambdaPayload
	// MaxDepth bounds their nesting.
	MaxDepth = 8
	// MaxEvents bounds the events of one batch; the callers send more in several batches.
	MaxEvents = 1000
	// MaxLimit bounds the items per event and per product.
	MaxLimit = recommendation.MaxItems
)

// BatchRequest asks for the recommendations of several events: one invocation, one SQL round trip.
type BatchRequest struct {
	// Limit is how many items each event gets at most, 1 to MaxLimit.
	Limit int `json:"limit"`
	// SimilarLimit is how many similar items each product gets at most, 1 to MaxLimit. A request
	// without it means Limit, which DecodeBatchRequest fills in.
	SimilarLimit int `json:"similar_limit,omitempty"`
	// Events are 1 to MaxEvents; one may appear twice, as a stream delivers at least once.
	Events []BatchEvent `json:"events"`
}

// BatchEvent is what inference reads of an activity event.
type BatchEvent struct {
	EventID        uuid.UUID `json:"event_id"`
	CustomerNumber int       `json:"customer_number"`
	// City and Country are as the shop sent them: inference normalises.
	City        string  `json:"city"`
	Country     string  `json:"country"`
	CreditLimit float64 `json:"credit_limit"`
	// Cart are all products in the cart, which are never recommended.
	Cart []string `json:"cart"`
	// Browsed are the products besides Cart for which similar items are wanted.
	Browsed []string `json:"browsed"`
}

// BatchAnswer answers a BatchRequest.
type BatchAnswer struct {
	// ModelVersion is the one model that all results come from.
	ModelVersion string `json:"model_version"`
	// Results are one for each event of the request, in its order.
	Results []BatchResult `json:"results"`
	// Similar are the neighbours by product code, nearest first; a product that the model does not
	// know has no entry.
	Similar map[string][]recommendation.Neighbour `json:"similar"`
}

// BatchResult is the answer to one event.
type BatchResult struct {
	EventID uuid.UUID             `json:"event_id"`
	Items   []recommendation.Item `json:"recommended_items"`
	// Rung says which step of the ladder answered.
	Rung recommendation.Rung `json:"-"`
}

// appendJSON writes the items as a record has them, and beside the rung what it means for degraded.
func (r BatchResult) appendJSON(buffer []byte) ([]byte, error) {
	buffer = append(buffer, `{"event_id":"`...)
	buffer = append(buffer, r.EventID.String()...)
	buffer = append(buffer, `","recommended_items":`...)
	buffer, err := recommendation.AppendItems(buffer, r.Items)
	buffer = append(buffer, `,"rung":"`...)
	buffer = append(buffer, r.Rung.String()...)
	buffer = append(buffer, `","degraded":`...)
	return append(strconv.AppendBool(buffer, r.Rung.Degraded()), '}'), err
}

// MarshalJSON is Encode.
func (a BatchAnswer) MarshalJSON() ([]byte, error) { return a.Encode() }

// NewBatchEvent is the part of an identified event that inference reads: its whole cart, and as
// many browsed products as activity.MaxProducts leaves room for.
func NewBatchEvent(event activity.Event) BatchEvent {
	cart, products := event.Cart(), event.Products()
	return BatchEvent{
		EventID:        event.ID,
		CustomerNumber: event.CustomerNumber,
		City:           event.City,
		Country:        event.Country,
		CreditLimit:    event.CreditLimit,
		Cart:           append([]string{}, cart...),
		Browsed:        append([]string{}, products[min(len(cart), len(products)):]...),
	}
}

// Products are the products for which similar items are wanted: activity.Event.Products of the
// event.
func (e BatchEvent) Products() []string {
	products := append(append([]string{}, e.Cart...), e.Browsed...)
	return products[:min(len(products), activity.MaxProducts)]
}

// DecodeBatchRequest reads a request. The error is a *strictjson.Error that names every violation.
func DecodeBatchRequest(data []byte) (BatchRequest, error) {
	document, root, err := parse(data)
	if err != nil {
		return BatchRequest{}, err
	}
	request := BatchRequest{Limit: int(root.Field("limit").Integer(1, MaxLimit))}
	request.SimilarLimit = request.Limit
	if field := root.Field("similar_limit"); !field.Missing() {
		request.SimilarLimit = int(field.Integer(1, MaxLimit))
	}
	for _, entry := range root.Field("events").Elements(1, MaxEvents) {
		if !entry.Object() {
			continue
		}
		request.Events = append(request.Events, BatchEvent{
			EventID:        entry.Field("event_id").UUID(),
			CustomerNumber: int(entry.Field("customer_number").Integer(0, activity.MaxCustomerNumber)),
			City:           entry.Field("city").Text(0, activity.MaxPlace),
			Country:        entry.Field("country").Text(0, activity.MaxPlace),
			CreditLimit:    entry.Field("credit_limit").Number(0, activity.MaxCreditLimit),
			Cart:           readCodes(entry.Field("cart"), activity.MaxBrowseHistory),
			Browsed:        readCodes(entry.Field("browsed"), activity.MaxProducts),
		})
	}
	if err := document.Err(); err != nil {
		return BatchRequest{}, err
	}
	return request, nil
}

// Encode writes the request as JSON, as its members' names say: by hand, because every event goes
// this way. The error names a credit limit that is no number.
func (r BatchRequest) Encode() ([]byte, error) {
	const roomForOne = 256 // of an event of the shop's with its names
	buffer := make([]byte, 0, roomForOne*(len(r.Events)+1))
	buffer = strconv.AppendInt(append(buffer, `{"limit":`...), int64(r.Limit), 10)
	if r.SimilarLimit != 0 {
		buffer = strconv.AppendInt(append(buffer, `,"similar_limit":`...), int64(r.SimilarLimit), 10)
	}
	buffer = append(buffer, `,"events":[`...)
	for i, event := range r.Events {
		if math.IsNaN(event.CreditLimit) || math.IsInf(event.CreditLimit, 0) {
			return nil, fmt.Errorf("event %d of the batch: credit_limit is %v, which JSON cannot hold", i,
				event.CreditLimit)
		}
		if i > 0 {
			buffer = append(buffer, ',')
		}
		buffer = event.appendJSON(buffer)
	}
	return append(buffer, "]}"...), nil
}

func (e BatchEvent) appendJSON(buffer []byte) []byte {
	buffer = append(append(buffer, `{"event_id":"`...), e.EventID.String()...)
	buffer = strconv.AppendInt(append(buffer, `","customer_number":`...), int64(e.CustomerNumber), 10)
	buffer = strictjson.AppendString(append(buffer, `,"city":`...), e.City)
	buffer = strictjson.AppendString(append(buffer, `,"country":`...), e.Country)
	buffer = strconv.AppendFloat(append(buffer, `,"credit_limit":`...), e.CreditLimit, 'g', -1, 64)
	buffer = appendCodes(append(buffer, `,"cart":`...), e.Cart)
	return append(appendCodes(append(buffer, `,"browsed":`...), e.Browsed), '}')
}

func appendCodes(buffer []byte, codes []string) []byte {
	buffer = append(buffer, '[')
	for i, code := range codes {
		if i > 0 {
			buffer = append(buffer, ',')
		}
		buffer = strictjson.AppendString(buffer, code)
	}
	return append(buffer, ']')
}

// DecodeBatchAnswer reads the answer to a request and checks that it answers this request: a result
// for each event, in order, none with more items than the limit, none with an item of the event's
// cart. The error is a *strictjson.Error that names every violation.
func DecodeBatchAnswer(data []byte, request BatchRequest) (BatchAnswer, error) {
	document, root, err := parse(data)
	if err != nil {
		return BatchAnswer{}, err
	}
	answer := readAnswer(root)
	if results := root.Field("results"); document.Err() == nil {
		if len(answer.Results) != len(request.Events) {
			results.Refuse(fmt.Sprintf("one result for each of the %d events", len(request.Events)))
		} else {
			for i, event := range request.Events {
				checkResult(results.Index(i), answer.Results[i], event, request.Limit)
			}
		}
	}
	if err := document.Err(); err != nil {
		return BatchAnswer{}, err
	}
	return answer, nil
}

// Encode writes the answer as JSON. The error names the items whose measures are no numbers.
func (a BatchAnswer) Encode() ([]byte, error) {
	var problems []error
	note := func(buffer []byte, err error) []byte {
		problems = append(problems, err)
		return buffer
	}
	buffer := append([]byte(nil), `{"model_version":`...)
	buffer = strictjson.AppendString(buffer, a.ModelVersion)
	buffer = append(buffer, `,"results":[`...)
	for i, result := range a.Results {
		if i > 0 {
			buffer = append(buffer, ',')
		}
		buffer = note(result.appendJSON(buffer))
	}
	buffer = append(buffer, `],"similar":{`...)
	for i, code := range slices.Sorted(maps.Keys(a.Similar)) {
		if i > 0 {
			buffer = append(buffer, ',')
		}
		buffer = append(strictjson.AppendString(buffer, code), ':')
		buffer = note(recommendation.AppendNeighbours(buffer, a.Similar[code]))
	}
	return append(buffer, "}}"...), errors.Join(problems...)
}

func readAnswer(root strictjson.Value) BatchAnswer {
	answer := BatchAnswer{
		ModelVersion: recommendation.ReadModelVersion(root.Field("model_version")),
		Results:      []BatchResult{},
		Similar:      map[string][]recommendation.Neighbour{},
	}
	for _, entry := range root.Field("results").Elements(1, MaxEvents) {
		if !entry.Object() {
			continue
		}
		answer.Results = append(answer.Results, BatchResult{
			EventID: entry.Field("event_id").UUID(),
			Items:   recommendation.ReadItems(entry.Field("recommended_items")),
			Rung:    recommendation.ReadRung(entry),
		})
	}
	similar := root.Field("similar")
	if similar.Object() {
		for _, member := range similar.Members() {
			neighbours := similar.Field(member.Name)
			if !recommendation.IsProductCode(member.Name) {
				neighbours.Refuse("a name that is a product code")
			}
			answer.Similar[member.Name] = recommendation.ReadNeighbours(neighbours)
		}
	}
	return answer
}

func checkResult(field strictjson.Value, result BatchResult, event BatchEvent, limit int) {
	if result.EventID != event.EventID {
		field.Field("event_id").Refuse("the id of the event at this position of the request")
	}
	if len(result.Items) > limit {
		field.Field("recommended_items").Refuse(fmt.Sprintf("at most %d items", limit))
	}
	allowed := recommendation.NotInCart(result.Items, event.Cart, len(result.Items))
	if len(allowed) < len(result.Items) {
		field.Field("recommended_items").Refuse("no product of the cart")
	}
}

func parse(data []byte) (*strictjson.Document, strictjson.Value, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxBytes, MaxDepth: MaxDepth})
	if err != nil {
		return nil, strictjson.Value{}, err
	}
	root := document.Root()
	if !root.Object() {
		return nil, strictjson.Value{}, document.Err()
	}
	return document, root, nil
}

func readCodes(field strictjson.Value, most int) []string {
	codes := []string{}
	for _, entry := range field.Elements(0, most) {
		codes = append(codes, recommendation.ReadProductCode(entry))
	}
	return codes
}
