// Package activity is the contract of what a customer does in the shop: one event, as the shop puts
// it on the Kinesis stream.
//
// It decodes an event under limits, gives it the identity and time that every consumer agrees on,
// and derives what a recommender needs of it. It must not know how events travel, what is
// recommended for them, or where either is stored. The JSON Schema of the same contract is
// docs/schemas/activity_event.schema.json; the golden examples are in
// test/contracts/activity_event.json.
package activity

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"diecast/internal/strictjson"
)

// The limits of an event. Sizes in characters count Unicode code points.
const (
	// MaxBytes bounds one event without its identity (see Identify), so that an event which was
	// accepted is so again when it is put back with one. Kinesis takes quotas.KinesisRecord; an
	// event of the course has about 0.4 KB.
	MaxBytes = 64 << 10
	// maxIdentity bounds the identity's fields, with their names.
	maxIdentity = 256
	// MaxDepth bounds the nesting, unknown fields included.
	MaxDepth = 16
	// MaxBrowseHistory bounds the entries of browse_history.
	MaxBrowseHistory = 200
	// MaxSessionID bounds session_id, which is also the partition key (Kinesis takes 256
	// characters).
	MaxSessionID = 128
	// MaxPlace bounds city and country; the source's columns hold 50 characters.
	MaxPlace = 100
	// MaxCustomerNumber is the largest value of the source's int column.
	MaxCustomerNumber = 1<<31 - 1
	// MaxCreditLimit is above what the source's decimal(10,2) column holds.
	MaxCreditLimit = 1e9
	// MaxQuantity bounds the pieces of one product in one entry.
	MaxQuantity = 999999
	// MaxProductCode bounds a product code; the source's column holds 15 characters.
	MaxProductCode = 64
	// MaxProducts bounds the products of one event for which similar items are looked up.
	MaxProducts = 20
	// SchemaVersion is the only version of the contract so far, and the one of events that name
	// none.
	SchemaVersion = 1
)

// The kinds of event that the shop may name in event_type.
const (
	View     = "view"
	Cart     = "cart"
	Checkout = "checkout"
)

// ReservedFields are the names that a recommendation record adds to its event. An event that brings
// one of them is refused: its record would have to hold two values under one name.
var ReservedFields = []string{
	"recommended_items", "similar_items", "model_version", "rung", "degraded", "truncated", "recommended_at",
}

// Names are the fields of an event that the contract knows, those included that it refuses.
var Names = append([]string{
	"session_id", "customer_number", "city", "country", "credit_limit", "browse_history", "event_id", "event_time",
	"event_type", "schema_version",
}, ReservedFields...)

// quantityPattern is a numeric string, as the course's live data has it. It is that of the JSON
// Schema, so that both say the same.
var quantityPattern = regexp.MustCompile(`^[0-9]{1,6}$`)

// Violation is one broken rule of the contract; see strictjson.Violation.
type Violation = strictjson.Violation

// Error is what Decode returns: all violations of one event.
type Error = strictjson.Error

// Browse is one entry of the browse history.
type Browse struct {
	ProductCode    string
	Quantity       int
	InShoppingCart bool
}

// Event is one accepted activity event. Its exported fields are for reading; what is written out
// are the fields as they came, see Fields.
type Event struct {
	// ID is uuid.Nil until Identify where the shop sent none; the nil UUID itself counts as none.
	ID uuid.UUID
	// Time is the zero time until Identify where the shop sent none.
	Time time.Time
	// Type is View, Cart, Checkout, or empty where the shop sent none.
	Type string
	// SessionID is the partition key.
	SessionID string
	// CustomerNumber may be one that the shop's database does not know.
	CustomerNumber int
	// City and Country are as sent; see Features for what a model reads.
	City, Country string
	// CreditLimit is in the shop's currency, 0 to MaxCreditLimit.
	CreditLimit float64
	// BrowseHistory is in the shop's order, at most MaxBrowseHistory entries.
	BrowseHistory []Browse

	original []strictjson.Member
}

// Decode reads one event. The error is an *Error that names every field that breaks a rule.
func Decode(data []byte) (Event, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxBytes + maxIdentity, MaxDepth: MaxDepth})
	if err != nil {
		return Event{}, err
	}
	root := document.Root()
	if !root.Object() {
		return Event{}, document.Err()
	}
	event := Read(root)
	if len(data)-event.identityBytes() > MaxBytes {
		root.Refuse(fmt.Sprintf("at most %d bytes, not counting %s", MaxBytes, strings.Join(identityFields, ", ")))
	}
	for _, name := range ReservedFields {
		root.Field(name).Absent("the name is reserved for the recommendation record")
	}
	if err := document.Err(); err != nil {
		return Event{}, err
	}
	return event, nil
}

// Read reads the event out of an object that may hold ReservedFields beside it, as a recommendation
// record does; those are no part of the event. Violations are recorded in the object's document.
func Read(object strictjson.Value) Event {
	event := Event{
		SessionID:      identifier(object.Field("session_id"), MaxSessionID),
		CustomerNumber: int(object.Field("customer_number").Integer(0, MaxCustomerNumber)),
		City:           object.Field("city").Text(0, MaxPlace),
		Country:        object.Field("country").Text(0, MaxPlace),
		CreditLimit:    object.Field("credit_limit").Number(0, MaxCreditLimit),
	}
	if field := object.Field("browse_history"); !field.Missing() {
		for _, entry := range field.Elements(0, MaxBrowseHistory) {
			if entry.Object() {
				event.BrowseHistory = append(event.BrowseHistory, readBrowse(entry))
			}
		}
	}
	if field := object.Field("event_id"); !field.Missing() {
		event.ID = field.UUID()
	}
	if field := object.Field("event_time"); !field.Missing() {
		event.Time = field.Time()
	}
	if field := object.Field("event_type"); !field.Missing() {
		event.Type = field.OneOf(View, Cart, Checkout)
	}
	if field := object.Field("schema_version"); !field.Missing() {
		field.Integer(SchemaVersion, SchemaVersion)
	}
	for _, member := range object.Members() {
		if !slices.Contains(ReservedFields, member.Name) {
			event.original = append(event.original, member)
		}
	}
	return event
}

func readBrowse(entry strictjson.Value) Browse {
	return Browse{
		ProductCode:    identifier(entry.Field("product_code"), MaxProductCode),
		Quantity:       readQuantity(entry.Field("quantity")),
		InShoppingCart: entry.Field("in_shopping_cart").Bool(),
	}
}

// CheckSessionID says whether a text can be a session's id. The error is an *Error.
func CheckSessionID(text string) error {
	if length := len(text); length <= MaxSessionID && IsIdentifier(text) {
		return nil
	}
	return &Error{Violations: []Violation{{
		Field: "session_id", Value: strictjson.Shown(text, true),
		Allowed: fmt.Sprintf("1 to %d visible ASCII characters without spaces", MaxSessionID),
	}}}
}

// IsIdentifier says whether a text consists of visible ASCII characters, as the ids of sessions and
// the codes of products do; how many is another rule.
func IsIdentifier(text string) bool {
	for i := range len(text) {
		if text[i] < '!' || text[i] > '~' {
			return false
		}
	}
	return text != ""
}

func identifier(field strictjson.Value, most int) string {
	text := field.Text(1, most)
	if text == "" {
		return ""
	}
	return field.Where(IsIdentifier, "visible ASCII characters without spaces")
}

func readQuantity(field strictjson.Value) int {
	if !field.IsText() {
		return int(field.Integer(0, MaxQuantity))
	}
	digits := field.Pattern(quantityPattern, fmt.Sprintf("a whole number from 0 to %d, also as a string of digits",
		MaxQuantity))
	quantity, _ := strconv.Atoi(digits)
	return quantity
}

// Fields are the event's fields for a record: each as it came, unknown ones included, in the order
// that they came in; then the event's identity and time where Identify supplied them.
func (e Event) Fields() []strictjson.Member { return slices.Clone(e.original) }

// Encode writes Fields as one compact object: what redrive and replay put back on the stream.
// (There is no MarshalJSON: encoding/json would respell the strings that it returns.)
func (e Event) Encode() []byte { return strictjson.Object(e.original) }
