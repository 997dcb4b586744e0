package classicmodels

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"diecast/internal/activity"
)

// EventOptions of the activity in the shop. The zero value is a hundred customers at a time, no
// broken event, all fields.
type EventOptions struct {
	// Seed of the activity; the same shop can be watched on many days.
	Seed uint64
	// Sessions that are open at once, at most 50,000; some are far busier than others. Default 100.
	Sessions int
	// Customers who come, each of them before one comes again; those whom the database does not
	// have are like those whom it has, each with a credit limit of its own. Default 0: the
	// database's, some far more often than others.
	Customers int
	// BrokenShare of the events, 0 to 1, breaks the contract, in each way of BrokenKinds as often.
	BrokenShare float64
	// CourseFields leaves out event_id, event_time, event_type and schema_version, as the course's
	// events do.
	CourseFields bool
	// Clock gives the event_time. Default: one second after the other from the shop's Now on, so
	// that events are reproducible.
	Clock func() time.Time
}

// Event of a customer's session.
type Event struct {
	// SessionID is the partition key, also where the payload lacks it.
	SessionID string
	// Payload is one JSON object without line breaks, but where it is broken.
	Payload []byte
	// Broken is the kind of BrokenKinds by which the payload breaks the contract; empty where it
	// keeps it.
	Broken string
}

// activityEvent has the contract's fields in its order; any value, since broken events have wrong
// ones.
type activityEvent struct {
	EventID        any         `json:"event_id,omitempty"`
	EventTime      any         `json:"event_time,omitempty"`
	EventType      any         `json:"event_type,omitempty"`
	SchemaVersion  any         `json:"schema_version,omitempty"`
	SessionID      any         `json:"session_id,omitempty"`
	CustomerNumber any         `json:"customer_number,omitempty"`
	City           any         `json:"city,omitempty"`
	Country        any         `json:"country,omitempty"`
	CreditLimit    any         `json:"credit_limit,omitempty"`
	BrowseHistory  *[]browsing `json:"browse_history,omitempty"`
	Extra          any         `json:"note,omitempty"`
	ModelVersion   any         `json:"model_version,omitempty"`
}

type browsing struct {
	ProductCode    any `json:"product_code"`
	Quantity       any `json:"quantity"`
	InShoppingCart any `json:"in_shopping_cart"`
}

// oversize is above what any consumer of the stream takes for one event.
const oversize = activity.MaxBytes + 1<<10

// breakage breaks an event before it is encoded, or its bytes after.
type breakage struct {
	kind    string
	fields  func(*activityEvent)
	payload func([]byte) []byte
}

func onFirst(change func(*browsing)) func(*activityEvent) {
	return func(e *activityEvent) {
		if e.BrowseHistory == nil || len(*e.BrowseHistory) == 0 {
			e.BrowseHistory = &[]browsing{{"S18_1000", "1", false}}
		}
		change(&(*e.BrowseHistory)[0])
	}
}

var breakages = []breakage{
	{kind: "truncated", payload: func(b []byte) []byte { return b[:len(b)/2] }},
	{kind: "not-json", payload: func([]byte) []byte { return []byte("session_id=42&customer_number=103") }},
	{kind: "not-an-object", payload: func(b []byte) []byte { return append(append([]byte{'['}, b...), ']') }},
	{kind: "invalid-utf8", payload: func(b []byte) []byte {
		return []byte(strings.Replace(string(b), `"city":"`, "\"city\":\"\xff", 1))
	}},
	{kind: "oversized", fields: func(e *activityEvent) { e.Extra = strings.Repeat("x", oversize) }},
	{kind: "missing-session", fields: func(e *activityEvent) { e.SessionID = nil }},
	{kind: "missing-customer", fields: func(e *activityEvent) { e.CustomerNumber = nil }},
	{kind: "customer-not-a-number", fields: func(e *activityEvent) { e.CustomerNumber = "guest" }},
	{kind: "negative-credit-limit", fields: func(e *activityEvent) { e.CreditLimit = -1 }},
	{kind: "country-not-a-string", fields: func(e *activityEvent) { e.Country = 33 }},
	{kind: "quantity-not-a-number", fields: onFirst(func(b *browsing) { b.Quantity = "two" })},
	{kind: "negative-quantity", fields: onFirst(func(b *browsing) { b.Quantity = -3 })},
	{kind: "cart-not-a-boolean", fields: onFirst(func(b *browsing) { b.InShoppingCart = "yes" })},
	{kind: "bad-event-time", fields: func(e *activityEvent) { e.EventTime = "yesterday" }},
	{kind: "unknown-event-type", fields: func(e *activityEvent) { e.EventType = "gaze" }},
	{kind: "reserved-field", fields: func(e *activityEvent) { e.ModelVersion = "0123456789ab" }},
}

// BrokenKinds are the ways in which events are broken.
func BrokenKinds() []string {
	kinds := make([]string, len(breakages))
	for i, breakage := range breakages {
		kinds[i] = breakage.kind
	}
	return kinds
}

// strangers come from places that the shop has never seen.
var strangers = []place{
	{"Ulaanbaatar", "", "Mongolia"}, {"Valparaíso", "", "Chile"}, {"Łódź", "", "Poland"}, {"Windhoek", "", "Namibia"},
	{"Nuuk", "", "Greenland"},
}

// session of one customer, from the first look to the checkout.
type session struct {
	id       string
	traits   customerTraits
	customer int
	place    place
	credit   Value
	history  []browsing
}

const (
	longestHistory = 12
	maxSessions    = 50_000
	maxCustomers   = 10_000_000
)

// Validate reports all that is wrong with the options.
func (o EventOptions) Validate() error {
	var problems []error
	if !(o.BrokenShare >= 0 && o.BrokenShare <= 1) {
		problems = append(problems, fmt.Errorf("broken share %v: allowed are 0 to 1", o.BrokenShare))
	}
	if o.Sessions < 0 || o.Sessions > maxSessions {
		problems = append(problems, fmt.Errorf("sessions %d: allowed are 1 to %d, or 0 for the default", o.Sessions,
			maxSessions))
	}
	if o.Customers < 0 || o.Customers > maxCustomers {
		problems = append(problems, fmt.Errorf("customers %d: allowed are 1 to %d, or 0 for the shop's own",
			o.Customers, maxCustomers))
	}
	return errors.Join(problems...)
}

// Events is the shop's activity without end; take what is wanted. Sessions look at what their
// customer has an affinity to, put some of it in the cart and mostly check out. One customer in ten
// is unknown to the database. The rate is the caller's.
func (s *Shop) Events(options EventOptions) (iter.Seq[Event], error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if options.Sessions == 0 {
		options.Sessions = 100
	}
	return func(yield func(Event) bool) {
		d := roll(s.options.Seed, streamEvents, options.Seed)
		opened := 0
		open := make([]*session, options.Sessions)
		brokenPerMillion := int(options.BrokenShare * 1_000_000)
		for sequence := uint64(0); ; sequence++ {
			// The cube of a uniform number: the first of a hundred sessions has every fifth event,
			// the last half one in a hundred.
			u := d.n(1 << 16)
			slot := int(uint64(u) * uint64(u) * uint64(u) * uint64(len(open)) >> 48)
			if open[slot] == nil {
				open[slot] = s.openSession(&d)
				if options.Customers > 0 {
					s.become(open[slot], opened%options.Customers)
				}
				opened++
			}
			visit := open[slot]
			event, ended := s.step(&d, visit)
			if ended {
				open[slot] = nil
			}
			if !options.CourseFields {
				now := s.Now().Add(time.Duration(sequence) * time.Second)
				if options.Clock != nil {
					now = options.Clock()
				}
				event.EventID, event.SchemaVersion = randomUUID(&d), 1
				event.EventTime = now.UTC().Format("2006-01-02T15:04:05.000Z")
			} else {
				event.EventType = nil
			}
			made := Event{SessionID: visit.id}
			if d.n(1_000_000) < brokenPerMillion {
				breakage := pick(&d, breakages)
				made.Broken = breakage.kind
				if breakage.fields != nil {
					breakage.fields(&event)
				}
				made.Payload = encode(event)
				if breakage.payload != nil {
					made.Payload = breakage.payload(made.Payload)
				}
			} else {
				made.Payload = encode(event)
			}
			if !yield(made) {
				return
			}
		}
	}, nil
}

// encode never fails: the fields hold strings, numbers and booleans only.
func encode(event activityEvent) []byte {
	payload, err := json.Marshal(event)
	if err != nil {
		panic(fmt.Sprintf("encode an activity event: %v", err))
	}
	return payload
}

func (s *Shop) openSession(d *dice) *session {
	// The square of a uniform number: some customers come far more often.
	u := d.n(1 << 20)
	index := int(uint64(u) * uint64(u) * uint64(s.customers()) >> 40)
	row := s.customer(index)
	visit := &session{
		id: randomUUID(d), traits: s.customerTraits(index), customer: int(row[0].Int()),
		place: place{city: row[7].String(), country: row[10].String()}, credit: row[12],
	}
	if d.chance(100) {
		visit.customer = s.customers()*16/5 + 1000 + d.n(100_000)
		if d.chance(500) {
			visit.place = pick(d, strangers)
		}
	}
	return visit
}

// become gives a session to a customer, also to one whom the database does not have.
func (s *Shop) become(visit *session, index int) {
	like := index % s.customers()
	row := s.customer(like)
	visit.traits, visit.credit = s.customerTraits(like), row[12]
	visit.place = place{city: row[7].String(), country: row[10].String()}
	visit.customer = int(row[0].Int())
	if index != like {
		visit.customer = s.customers()*16/5 + 1000 + index
		visit.credit = DecimalValue(visit.traits.creditLimit() + 100*int64(index))
	}
}

// step is the session's next event; ended tells that it is the last one.
func (s *Shop) step(d *dice, visit *session) (event activityEvent, ended bool) {
	kind, cart := "view", 0
	for _, entry := range visit.history {
		if entry.InShoppingCart == true {
			cart++
		}
	}
	switch {
	case len(visit.history) >= longestHistory, cart > 0 && d.chance(150):
		kind, ended = "checkout", cart > 0 || len(visit.history) >= longestHistory
		if cart == 0 {
			kind = "view" // leaves without buying
		}
	case len(visit.history) > cart && d.chance(350):
		kind = "cart"
		for at := d.n(len(visit.history)); ; at = (at + 1) % len(visit.history) {
			if entry := &visit.history[at]; entry.InShoppingCart == false {
				entry.InShoppingCart = true
				break
			}
		}
	case len(visit.history) == 0 && d.chance(200): // has just arrived
	default:
		visit.history = append(visit.history, browsing{
			ProductCode: s.attraction(d, visit.traits).code(), Quantity: eventQuantity(d), InShoppingCart: false,
		})
	}
	history := append([]browsing{}, visit.history...)
	event = activityEvent{
		EventType: kind, SessionID: visit.id, CustomerNumber: visit.customer, City: visit.place.city,
		Country:     visit.place.country,
		CreditLimit: json.Number("0"), BrowseHistory: &history,
	}
	if !visit.credit.IsNull() {
		event.CreditLimit = json.Number(visit.credit.String())
	}
	if len(history) == 0 && d.chance(500) {
		event.BrowseHistory = nil
	}
	return event, ended
}

// eventQuantity is a string in nine of ten cases, as in the course's live data, and a number as in
// its example.
func eventQuantity(d *dice) any {
	pieces := 1 + d.n(1+d.n(6))
	if d.chance(900) {
		return itoa(pieces)
	}
	return pieces
}

// attraction is the one of eight products in the shop window that the customer would rate best.
func (s *Shop) attraction(d *dice, c customerTraits) productTraits {
	const window = 8
	var best productTraits
	var most int64
	for i := range window {
		p := s.productTraits(d.n(s.products()))
		noise := 0
		for range noiseDice {
			noise += d.n(noiseFaces)
		}
		if score := s.score(s.affinity(c, p), noise); i == 0 || score > most {
			best, most = p, score
		}
	}
	return best
}

// randomUUID is of version 4 (RFC 9562) and reproducible.
func randomUUID(d *dice) string {
	var id [16]byte
	for i := range id {
		id[i] = byte(d.n(256))
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// WriteEvents writes the first count events, one a line, and says how many are broken by kind.
func (s *Shop) WriteEvents(ctx context.Context, options EventOptions, count int, name string, create Create) (File,
	map[string]int, error) {
	events, err := s.Events(options)
	if err != nil {
		return File{}, nil, err
	}
	out, err := open(create, name, "")
	if err != nil {
		return File{}, nil, err
	}
	broken := map[string]int{}
	if count > 0 {
		for event := range events {
			out.write(append(event.Payload, '\n'))
			if event.Broken != "" {
				broken[event.Broken]++
			}
			if out.err == nil {
				out.err = ctx.Err()
			}
			if out.Rows++; out.Rows == int64(count) || out.err != nil {
				break
			}
		}
	}
	file, err := out.close()
	return file, broken, err
}
