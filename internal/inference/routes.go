package inference

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"diecast/internal/activity"
	"diecast/internal/models"
	"diecast/internal/recommendation"
	"diecast/internal/strictjson"
)

// The course's routes.
const (
	// UserEmbeddingsRoute takes POST with a list of Customer and answers with a list of vectors,
	// one for each.
	UserEmbeddingsRoute = "/user_embeddings"
	// ItemsFromUserRoute takes POST with one vector, an element of UserEmbeddingsRoute's answer,
	// and the query limit; it answers with a list of recommendation.Item, best first.
	ItemsFromUserRoute = "/items_from_user"
	// ItemsFromItemRoute takes GET with the queries item_id and limit; it answers with a list of
	// recommendation.Neighbour, nearest first.
	ItemsFromItemRoute = "/items_from_item"
)

const (
	// DefaultLimit is the limit of a route's query that names none: the course's five.
	DefaultLimit = 5
	// MaxCustomers bounds the customers of one call of UserEmbeddingsRoute.
	MaxCustomers = 1000
)

// Customer is one element of the body of UserEmbeddingsRoute. The credit limit's name has no
// underscore: the course's spelling.
type Customer struct {
	City        string  `json:"city"`
	Country     string  `json:"country"`
	CreditLimit float64 `json:"creditlimit"`
}

// ItemsFromItemQuery is the query of ItemsFromItemRoute.
type ItemsFromItemQuery struct {
	ItemID string
	Limit  int
}

// DecodeCustomers reads the body of UserEmbeddingsRoute.
func DecodeCustomers(data []byte) ([]Customer, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxBytes, MaxDepth: MaxDepth})
	if err != nil {
		return nil, err
	}
	var customers []Customer
	for _, entry := range document.Root().Elements(1, MaxCustomers) {
		if !entry.Object() {
			continue
		}
		customers = append(customers, Customer{
			City:        entry.Field("city").Text(0, activity.MaxPlace),
			Country:     entry.Field("country").Text(0, activity.MaxPlace),
			CreditLimit: entry.Field("creditlimit").Number(0, activity.MaxCreditLimit),
		})
	}
	if err := document.Err(); err != nil {
		return nil, err
	}
	return customers, nil
}

// DecodeVector reads the body of ItemsFromUserRoute: models.Dimension numbers.
func DecodeVector(data []byte) ([]float32, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxBytes, MaxDepth: MaxDepth})
	if err != nil {
		return nil, err
	}
	vector := readVector(document.Root())
	if err := document.Err(); err != nil {
		return nil, err
	}
	return vector, nil
}

// DecodeVectors reads the answer of UserEmbeddingsRoute.
func DecodeVectors(data []byte) ([][]float32, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxBytes, MaxDepth: MaxDepth})
	if err != nil {
		return nil, err
	}
	vectors := [][]float32{}
	for _, entry := range document.Root().Elements(1, MaxCustomers) {
		vectors = append(vectors, readVector(entry))
	}
	if err := document.Err(); err != nil {
		return nil, err
	}
	return vectors, nil
}

// DecodeItems reads the answer of ItemsFromUserRoute.
func DecodeItems(data []byte) ([]recommendation.Item, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxBytes, MaxDepth: MaxDepth})
	if err != nil {
		return nil, err
	}
	items := recommendation.ReadItems(document.Root())
	if err := document.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

// DecodeNeighbours reads the answer of ItemsFromItemRoute.
func DecodeNeighbours(data []byte) ([]recommendation.Neighbour, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxBytes, MaxDepth: MaxDepth})
	if err != nil {
		return nil, err
	}
	neighbours := recommendation.ReadNeighbours(document.Root())
	if err := document.Err(); err != nil {
		return nil, err
	}
	return neighbours, nil
}

// ReadItemsFromUserQuery reads the query of ItemsFromUserRoute as a function URL hands it over and
// returns its limit, DefaultLimit where it names none. Other queries are ignored.
func ReadItemsFromUserQuery(query map[string]string) (limit int, err error) {
	limit, violations := readLimit(query)
	if violations != nil {
		return 0, &strictjson.Error{Violations: violations}
	}
	return limit, nil
}

// ReadItemsFromItemQuery reads the query of ItemsFromItemRoute as a function URL hands it over.
// Other queries are ignored.
func ReadItemsFromItemQuery(query map[string]string) (ItemsFromItemQuery, error) {
	limit, violations := readLimit(query)
	id, present := query["item_id"]
	if !recommendation.IsProductCode(id) {
		violations = append(violations, strictjson.Violation{Field: "item_id", Value: strictjson.Shown(id, present),
			Allowed: fmt.Sprintf("a product code: 1 to %d visible ASCII characters without spaces",
				activity.MaxProductCode)})
	}
	if violations != nil {
		return ItemsFromItemQuery{}, &strictjson.Error{Violations: violations}
	}
	return ItemsFromItemQuery{ItemID: id, Limit: limit}, nil
}

func readLimit(query map[string]string) (int, []strictjson.Violation) {
	text, present := query["limit"]
	if !present {
		return DefaultLimit, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > MaxLimit || strconv.Itoa(limit) != text { // such as +5 or 05
		return 0, []strictjson.Violation{{Field: "limit", Value: strictjson.Shown(text, present),
			Allowed: fmt.Sprintf("a whole number from 1 to %d", MaxLimit)}}
	}
	return limit, nil
}

func readVector(field strictjson.Value) []float32 {
	vector := make([]float32, 0, models.Dimension)
	for _, number := range field.Elements(models.Dimension, models.Dimension) {
		vector = append(vector, float32(number.Number(-math.MaxFloat32, math.MaxFloat32)))
	}
	return vector
}

// EncodeVectors writes the answer of UserEmbeddingsRoute.
func EncodeVectors(vectors [][]float32) ([]byte, error) { return json.Marshal(vectors) }
