// Package recommendation is the contract of what the platform answers to an activity event: one
// JSON line that holds the event and what is recommended for it.
//
// The archive in S3 and the row that the shop reads are both written from a Record, by two
// consumers of one stream. The package holds the rules that both obey, and the rules by which they
// are read and compared. It must not know how the items were found or where a record is stored. The
// JSON Schema of the same contract is docs/schemas/recommendation_record.schema.json; the golden
// examples are in test/contracts/recommendation_record.json.
package recommendation

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/models"
	"diecast/internal/strictjson"
)

// The limits of a record.
const (
	// MaxBytes bounds one record with its newline. A record that has shed its similar items is
	// always below it, and it is below the 400 KB of a DynamoDB item.
	MaxBytes = 256 << 10
	// MaxItems bounds the recommended items, and the similar items of one product.
	MaxItems = 100
	// Digits are the significant decimal digits of a score or distance: what the float32 of the
	// vectors carries. More, which a reader rounds, would be noise, a fifth of a record.
	Digits = 7
)

// Item is a recommended product. As JSON its score has Digits at most.
type Item struct {
	// ID is the product code.
	ID string `json:"id"`
	// Score is the inner product of the customer's and the product's unit vectors; where Popular
	// answered the popularity, on the scale of the model's ranking. Higher is better.
	Score float64 `json:"score"`
}

// Neighbour is a product similar to another one. As JSON its distance has Digits at most.
type Neighbour struct {
	// ID is the product code.
	ID string `json:"id"`
	// Distance is 1 minus the inner product of both products' unit vectors. Lower is nearer.
	Distance float64 `json:"distance"`
}

// Similar are the neighbours of one product of the event, nearest first.
type Similar struct {
	ProductCode string      `json:"product_code"`
	Items       []Neighbour `json:"similar_items"`
}

// Record is an event and its recommendations.
type Record struct {
	// Event has its identity and time: see activity.Event.Identify.
	Event activity.Event
	// Items are the recommended products, best first, none of them in the cart, at most MaxItems.
	Items []Item
	// Similar has at most activity.MaxProducts entries, in the order of activity.Event.Products.
	Similar []Similar
	// ModelVersion is the version of the model, or of the popularity ranking, that answered.
	ModelVersion string
	// Rung says which step of the ladder answered.
	Rung Rung
	// Truncated is true when similar items were shed for size.
	Truncated bool
	// RecommendedAt is when the answer was made; written to the millisecond, in UTC.
	RecommendedAt time.Time
}

var (
	timePattern = regexp.MustCompile(`^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$`)
)

const timeLayout = "2006-01-02T15:04:05.000Z"

// Encode writes the record as one line of compact JSON that ends in a newline (Firehose puts
// nothing between records): the event's fields as they came, then ours.
func (r Record) Encode() []byte {
	members := append(r.Event.Fields(),
		strictjson.Member{Name: "recommended_items", Value: itemsJSON(r.Items)},
		strictjson.Member{Name: "similar_items", Value: r.similarJSON()},
		strictjson.Member{Name: "model_version", Value: strictjson.String(r.ModelVersion)},
		strictjson.Member{Name: "rung", Value: strictjson.String(r.Rung.String())},
		strictjson.Member{Name: "degraded", Value: boolean(r.Rung.Degraded())},
		strictjson.Member{Name: "truncated", Value: boolean(r.Truncated)},
		strictjson.Member{Name: "recommended_at", Value: strictjson.String(r.RecommendedAt.UTC().Format(timeLayout))},
	)
	return append(strictjson.Object(members), '\n')
}

// Fit sheds similar items, the last products' first, until the encoded record has at most most
// bytes, and marks it truncated. Nothing else is ever shed: a record can stay larger than most,
// never than MaxBytes when most is MaxBytes.
func (r Record) Fit(most int) Record {
	if r.bound() <= most {
		return r
	}
	excess := len(r.Encode()) - most
	for excess > 0 && len(r.Similar) > 0 {
		last := len(r.Similar) - 1
		excess -= len(Record{Similar: r.Similar[last:]}.similarJSON()) - len("[]")
		r.Similar = r.Similar[:last]
		r.Truncated = true
	}
	return r
}

// bound is what the encoded record is not larger than, without encoding it.
func (r Record) bound() int {
	// A character of a code is two in JSON at most, and the longest measure has 15.
	const ranked, members = len(`{"id":"","distance":},`) + 15, 256
	size := members + len(r.ModelVersion)
	for _, field := range r.Event.Fields() {
		size += 6*len(field.Name) + len(`"":,`) + len(field.Value)
	}
	for _, item := range r.Items {
		size += ranked + 2*len(item.ID)
	}
	for _, similar := range r.Similar {
		size += len(`{"product_code":"","similar_items":[]},`) + 2*len(similar.ProductCode)
		for _, neighbour := range similar.Items {
			size += ranked + 2*len(neighbour.ID)
		}
	}
	return size
}

// Decode reads one record, with or without its newline. The error is a *strictjson.Error that names
// every field that breaks a rule. Fields that it does not know belong to the event.
func Decode(line []byte) (Record, error) {
	document, err := strictjson.Parse(line, strictjson.Limits{MaxBytes: MaxBytes, MaxDepth: activity.MaxDepth})
	if err != nil {
		return Record{}, err
	}
	root := document.Root()
	if !root.Object() {
		return Record{}, document.Err()
	}
	record := Record{
		Event:        activity.Read(root),
		Items:        ReadItems(root.Field("recommended_items")),
		ModelVersion: ReadModelVersion(root.Field("model_version")),
		Rung:         ReadRung(root),
		Truncated:    root.Field("truncated").Bool(),
	}
	if id := root.Field("event_id"); id.Missing() || string(id.Raw()) == `"`+uuid.Nil.String()+`"` {
		id.Refuse("the event's identity")
	}
	if root.Field("event_time").Missing() {
		root.Field("event_time").Refuse("the event's time")
	}
	record.readSimilar(root.Field("similar_items"))
	record.refuseCart(root.Field("recommended_items"))
	record.readTime(root.Field("recommended_at"))
	if err := document.Err(); err != nil {
		return Record{}, err
	}
	return record, nil
}

func (r *Record) readTime(field strictjson.Value) {
	const allowed = "a UTC time to the millisecond such as 2026-03-01T09:30:00.250Z, in the years 2000 to 2099"
	text := field.Pattern(timePattern, allowed)
	if text == "" {
		return
	}
	parsed, err := time.Parse(timeLayout, text)
	if err != nil { // a day that the month does not have
		field.Refuse(allowed)
	}
	r.RecommendedAt = parsed
}

func (r *Record) readSimilar(field strictjson.Value) {
	seen := map[string]bool{}
	for _, entry := range field.Elements(0, activity.MaxProducts) {
		if !entry.Object() {
			continue
		}
		similar := Similar{
			ProductCode: ReadProductCode(entry.Field("product_code")),
			Items:       ReadNeighbours(entry.Field("similar_items")),
		}
		if seen[similar.ProductCode] && similar.ProductCode != "" {
			entry.Field("product_code").Refuse("each product once")
		}
		seen[similar.ProductCode] = true
		r.Similar = append(r.Similar, similar)
	}
}

func (r *Record) refuseCart(field strictjson.Value) {
	cart := r.Event.Cart()
	for i, item := range r.Items {
		if slices.Contains(cart, item.ID) {
			field.Index(i).Field("id").Refuse("a product that is not in the cart")
		}
	}
}

// ReadItems reads recommended items: at most MaxItems, each product once, best first. Scores are
// rounded to Digits.
func ReadItems(field strictjson.Value) []Item {
	items := []Item{}
	readRanked(field, "score", func(id string, score float64) { items = append(items, Item{id, score}) },
		func(before, after float64) bool { return before >= after })
	return items
}

// ReadNeighbours reads similar items: at most MaxItems, each product once, nearest first. Distances
// are rounded to Digits.
func ReadNeighbours(field strictjson.Value) []Neighbour {
	neighbours := []Neighbour{}
	readRanked(field, "distance", func(id string, distance float64) {
		neighbours = append(neighbours,
			Neighbour{id, distance})
	},
		func(before, after float64) bool { return before <= after })
	return neighbours
}

func readRanked(field strictjson.Value, measure string, add func(string, float64),
	ordered func(before, after float64) bool) {
	seen := map[string]bool{}
	var before *float64
	for _, entry := range field.Elements(0, MaxItems) {
		if !entry.Object() {
			add("", 0) // keeps positions, and so the paths of later violations
			continue
		}
		id := ReadProductCode(entry.Field("id"))
		value := entry.Field(measure).Number(-math.MaxFloat64, math.MaxFloat64)
		if id != "" && seen[id] {
			entry.Field("id").Refuse("each product once")
		}
		seen[id] = true
		if before != nil && !ordered(*before, value) {
			entry.Field(measure).Refuse("the best first")
		}
		before = &value
		add(id, significant(value))
	}
}

// ReadModelVersion reads a model version: twelve lower-case hexadecimal digits.
func ReadModelVersion(field strictjson.Value) string {
	return field.Pattern(models.VersionPattern, "a model version: "+models.VersionRule)
}

// ReadProductCode reads a product code under the same rule as an activity event's.
func ReadProductCode(field strictjson.Value) string {
	return field.Where(IsProductCode, productCodeRule)
}

func (r Record) similarJSON() []byte {
	size := 2
	for _, similar := range r.Similar {
		size += rankedRoom * (1 + len(similar.Items))
	}
	buffer := append(make([]byte, 0, size), '[')
	for i, similar := range r.Similar {
		if i > 0 {
			buffer = append(buffer, ',')
		}
		buffer = append(buffer, `{"product_code":`...)
		buffer = strictjson.AppendString(buffer, similar.ProductCode)
		buffer = append(buffer, `,"similar_items":[`...)
		for j, neighbour := range similar.Items {
			buffer = appendRanked(buffer, j, neighbour.ID, "distance", neighbour.Distance)
		}
		buffer = append(buffer, `]}`...)
	}
	return append(buffer, ']')
}

// rankedRoom is what an item takes, with a code of usual length.
const rankedRoom = 48

func itemsJSON(items []Item) []byte {
	buffer := append(make([]byte, 0, 2+rankedRoom*len(items)), '[')
	for i, item := range items {
		buffer = appendRanked(buffer, i, item.ID, "score", item.Score)
	}
	return append(buffer, ']')
}

func appendRanked(buffer []byte, index int, id, measure string, value float64) []byte {
	if index > 0 {
		buffer = append(buffer, ',')
	}
	buffer = append(buffer, `{"id":`...)
	buffer = strictjson.AppendString(buffer, id)
	buffer = append(buffer, `,"`...)
	buffer = append(buffer, measure...)
	buffer = append(buffer, `":`...)
	return append(appendMeasure(buffer, value), '}')
}

// appendMeasure appends a number as JSON, rounded to Digits. Those of vectors, below one and not
// tiny, take a short way: a decimal of so few digits is written as it is read.
func appendMeasure(buffer []byte, value float64) []byte {
	size := math.Abs(value)
	if !(size >= 1e-5 && size < 1) {
		return append(buffer, jsontext.Float(significant(value)).String()...)
	}
	start := len(buffer)
	buffer = strconv.AppendFloat(buffer, value, 'f', Digits+leadingZeros(size), 64)
	end := len(buffer)
	for buffer[end-1] == '0' {
		end--
	}
	if buffer[end-1] == '.' { // it was rounded up to one
		return append(buffer[:start], jsontext.Float(significant(value)).String()...)
	}
	return buffer[:end]
}

// leadingZeros are those after the decimal point of a number below one, from 1e-5 on.
func leadingZeros(size float64) (zeros int) {
	for limit := 0.1; size < limit; limit /= 10 {
		zeros++
	}
	return zeros
}

// significant rounds to Digits. Rounding keeps the order of values.
func significant(value float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(value, 'g', Digits, 64), 64)
	if err != nil { // beyond the largest float64, which rounds down: no number at all
		return value
	}
	return rounded
}

// MarshalJSON writes the item as a record does.
func (i Item) MarshalJSON() ([]byte, error) { return marshalRanked(i.ID, "score", i.Score) }

// MarshalJSON writes the neighbour as a record does.
func (n Neighbour) MarshalJSON() ([]byte, error) { return marshalRanked(n.ID, "distance", n.Distance) }

func marshalRanked(id, measure string, value float64) ([]byte, error) {
	if err := number(id, measure, value); err != nil {
		return nil, err
	}
	return appendRanked(nil, 0, id, measure, value), nil
}

// number refuses a measure that JSON cannot hold.
func number(id, measure string, value float64) error {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return fmt.Errorf("the %s of product %s is %v, which JSON cannot hold", measure, id, value)
	}
	return nil
}

// AppendItems appends a JSON array of items as a record has them. It refuses what MarshalJSON of an
// item does.
func AppendItems(buffer []byte, items []Item) ([]byte, error) {
	buffer = append(buffer, '[')
	for i, item := range items {
		if err := number(item.ID, "score", item.Score); err != nil {
			return nil, err
		}
		buffer = appendRanked(buffer, i, item.ID, "score", item.Score)
	}
	return append(buffer, ']'), nil
}

// AppendNeighbours is AppendItems for neighbours.
func AppendNeighbours(buffer []byte, neighbours []Neighbour) ([]byte, error) {
	buffer = append(buffer, '[')
	for i, neighbour := range neighbours {
		if err := number(neighbour.ID, "distance", neighbour.Distance); err != nil {
			return nil, err
		}
		buffer = appendRanked(buffer, i, neighbour.ID, "distance", neighbour.Distance)
	}
	return append(buffer, ']'), nil
}

func boolean(value bool) jsontext.Value {
	if value {
		return jsontext.Value("true")
	}
	return jsontext.Value("false")
}

// IsProductCode says whether a text obeys the rule for product codes.
func IsProductCode(text string) bool {
	return len(text) <= activity.MaxProductCode && activity.IsIdentifier(text)
}

var productCodeRule = fmt.Sprintf("a product code: 1 to %d visible ASCII characters without spaces",
	activity.MaxProductCode)
