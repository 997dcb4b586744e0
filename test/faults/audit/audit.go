// Package audit accounts for events: what a stream took is held against what came of it, as
// multisets of identity and bytes, and the rows that a shop reads against a reference of its own
// for the newest event. It says what was lost, doubled, corrupted, or went back in time.
//
// It is told what others have read and asks nobody. Apart from the contracts of an event and of a
// record it uses nothing of what it judges: above all not the rules by which rows are written.
package audit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/aggregation"
	"diecast/internal/erroroutput"
	"diecast/internal/recommendation"
)

// Ledger of one stream. The zero value is empty; it is for one goroutine.
type Ledger struct {
	// Check refuses a record that is not what it should be, such as one that mixes two models; it
	// is asked once for each that is found. Default: none is refused.
	Check func(recommendation.Record) error

	payloads map[string]*payload
	events   map[identity]*event
	// sequences are the records of the stream: what each holds.
	sequences    map[string][]byte
	acknowledged map[string][]byte
	rows         map[string]recommendation.Record
	problems     []string
	told         map[string]bool
}

// payload is what was put on the stream, and told back by the error output.
type payload struct {
	put            bool
	taken, refused int
	codes          map[string]int
	events         []*event // of its own, one for each identity; none where it breaks the contract
}

// identity of an event, and its bytes as a record repeats them.
type identity struct {
	id      uuid.UUID
	content string
}

type event struct {
	event                 activity.Event
	taken, archived, rows int
	put, givenUp          bool
	record                *recommendation.Record // the last that was archived
}

// Taken is one record that the stream holds.
type Taken struct {
	Place activity.Place
	// Origin identifies the events that bring no identity: activity.FromStream of the place and of
	// its arrival; subsequence gives the place within an aggregate.
	Origin func(subsequence uint64) activity.Origin
	Data   []byte
}

func (l *Ledger) open() {
	if l.payloads == nil {
		l.payloads, l.events = map[string]*payload{}, map[identity]*event{}
		l.sequences, l.acknowledged = map[string][]byte{}, map[string][]byte{}
		l.rows, l.told = map[string]recommendation.Record{}, map[string]bool{}
	}
}

func sequence(place activity.Place) string { return place.Shard + "/" + place.SequenceNumber }

// Put notes what was sent, whatever came of it: found, it is not invented, even where nobody can
// look into the stream any longer.
func (l *Ledger) Put(data []byte) {
	split, err := aggregation.Split(data)
	if err != nil {
		split = []aggregation.Record{{Data: data}}
	}
	for _, one := range split {
		l.payload(one.Data).put = true
		if decoded, err := activity.Decode(one.Data); err == nil {
			l.event(identity{decoded.ID, string(decoded.Encode())}).put = true
		}
	}
}

// Acknowledge notes what the stream said it took: it must be there.
func (l *Ledger) Acknowledge(place activity.Place, data []byte) {
	l.open()
	if _, twice := l.acknowledged[sequence(place)]; twice {
		l.problem("doubled: two records were acknowledged as %s", sequence(place))
	}
	l.acknowledged[sequence(place)] = data
}

// Take notes what lies in the stream; the same record a second time is none.
func (l *Ledger) Take(taken Taken) {
	l.open()
	if _, again := l.sequences[sequence(taken.Place)]; again {
		return
	}
	l.sequences[sequence(taken.Place)] = taken.Data
	split, err := aggregation.Split(taken.Data)
	if err != nil { // it is no aggregate, or a broken one, which counts whole
		split = []aggregation.Record{{Data: taken.Data}}
	}
	for subsequence, one := range split {
		l.takeOne(one.Data, taken.Origin(uint64(subsequence)))
	}
}

func (l *Ledger) takeOne(data []byte, origin activity.Origin) {
	of := l.payload(data)
	of.taken++
	decoded, err := activity.Decode(data)
	if err != nil {
		return
	}
	identified := decoded.Identify(origin)
	e := l.event(identity{identified.ID, string(identified.Encode())})
	e.event = identified
	if e.taken == 0 {
		of.events = append(of.events, e)
	}
	e.taken++
}

func (l *Ledger) payload(data []byte) *payload {
	l.open()
	of, ok := l.payloads[string(data)]
	if !ok {
		of = &payload{codes: map[string]int{}}
		l.payloads[string(data)] = of
	}
	return of
}

func (l *Ledger) event(of identity) *event {
	l.open()
	e, ok := l.events[of]
	if !ok {
		e = &event{}
		l.events[of] = e
	}
	return e
}

// Archive notes a line of the archive.
func (l *Ledger) Archive(line []byte) {
	record, err := recommendation.Decode(line)
	if err != nil {
		l.problem("corrupted: a line of the archive is no record: %v", err)
		return
	}
	l.check("archived", record)
	e := l.event(identity{record.Event.ID, string(record.Event.Encode())})
	e.archived++
	e.record = &record
}

// Refuse notes an entry of the error output.
func (l *Ledger) Refuse(entry erroroutput.Entry) {
	of := l.payload(entry.Payload)
	of.refused++
	of.codes[entry.Code]++
}

// GiveUp notes a record of the stream that its consumer has given up: its events need not be in a
// row.
func (l *Ledger) GiveUp(taken Taken) {
	split, err := aggregation.Split(taken.Data)
	if err != nil {
		split = []aggregation.Record{{Data: taken.Data}}
	}
	for subsequence, one := range split {
		if decoded, err := activity.Decode(one.Data); err == nil {
			identified := decoded.Identify(taken.Origin(uint64(subsequence)))
			l.event(identity{identified.ID, string(identified.Encode())}).givenUp = true
		}
	}
}

// Row notes what a session's row holds now. The same row may be noted as often as it is looked at:
// it must not go back between two looks.
func (l *Ledger) Row(record recommendation.Record) {
	l.open()
	session := record.Event.SessionID
	before, known := l.rows[session]
	if known && before.Event.ID == record.Event.ID && bytes.Equal(before.Encode(), record.Encode()) {
		return
	}
	if known && newer(before, record) {
		l.problem("went back: the row of session %s was %s and is %s", session, position(before), position(record))
	}
	l.check("delivered", record)
	l.rows[session] = record
	l.event(identity{record.Event.ID, string(record.Event.Encode())}).rows++
}

// newer is the reference for the order of rows: event time, then event id, then answered over
// degraded.
func newer(one, other recommendation.Record) bool {
	switch order := compare(one.Event, other.Event); {
	case order != 0:
		return order > 0
	default:
		return other.Rung.Degraded() && !one.Rung.Degraded()
	}
}

func compare(one, other activity.Event) int {
	switch {
	case one.Time.After(other.Time):
		return 1
	case one.Time.Before(other.Time):
		return -1
	}
	return strings.Compare(one.ID.String(), other.ID.String())
}

func position(record recommendation.Record) string {
	text := fmt.Sprintf("%s at %s", record.Event.ID, record.Event.Time.UTC().Format("15:04:05.000000000"))
	if record.Rung.Degraded() {
		text += ", degraded"
	}
	return text
}

func (l *Ledger) check(where string, record recommendation.Record) {
	if l.Check == nil {
		return
	}
	if err := l.Check(record); err != nil {
		l.problem("corrupted: the %s record of event %s: %v", where, record.Event.ID, err)
	}
}

// problem is told once.
func (l *Ledger) problem(format string, arguments ...any) {
	l.open()
	text := fmt.Sprintf(format, arguments...)
	if !l.told[text] {
		l.told[text] = true
		l.problems = append(l.problems, text)
	}
}

// Account is what came of all events so far.
type Account struct {
	// Accepted events are those that the stream holds: Archived, refused as they break the
	// contract, failed though they keep it, or Pending, which is nowhere yet.
	Accepted, Archived, Pending int
	// Records of the stream, each of which may hold several events.
	Records int
	// Refused and Failed are in the error output, by its code.
	Refused, Failed map[string]int
	// GivenUp events were not delivered to their rows, and are kept for that.
	GivenUp int
	// Sessions have a valid event; of these Newest have the row of their newest one.
	Sessions, Newest int
	// Degraded events were answered by the most popular products.
	Degraded int
	// Breaches are what must never be: something doubled, corrupted, invented, or a row that went
	// back.
	Breaches []string
	// Missing says what is not at its place: it may still come.
	Missing []string
}

// Settled says that everything is at its place.
func (a Account) Settled() bool { return len(a.Missing) == 0 }

// Account is the state so far.
func (l *Ledger) Account() Account {
	l.open()
	a := Account{Records: len(l.sequences), Refused: map[string]int{}, Failed: map[string]int{},
		Breaches: slices.Clone(l.problems)}
	l.holdStream(&a)
	for _, data := range slices.Sorted(maps.Keys(l.payloads)) {
		l.holdPayload(&a, data, l.payloads[data])
	}
	newest := map[string]activity.Event{}
	for of, e := range l.events {
		l.holdEvent(&a, of, e)
		if e.taken == 0 {
			continue
		}
		if e.givenUp {
			a.GivenUp += e.taken
			continue
		}
		if known, ok := newest[e.event.SessionID]; !ok || compare(e.event, known) > 0 {
			newest[e.event.SessionID] = e.event
		}
	}
	l.holdRows(&a, newest)
	slices.Sort(a.Breaches)
	slices.Sort(a.Missing)
	return a
}

// holdStream: what was acknowledged lies in the stream.
func (l *Ledger) holdStream(a *Account) {
	for at, data := range l.acknowledged {
		switch held, ok := l.sequences[at]; {
		case !ok:
			a.Missing = append(a.Missing, fmt.Sprintf("record %s was acknowledged and is not in the stream", at))
		case !bytes.Equal(held, data):
			a.Breaches = append(a.Breaches, fmt.Sprintf("corrupted: record %s holds other bytes than were put", at))
		}
	}
}

// holdPayload: each copy is archived or in the error output, once.
func (l *Ledger) holdPayload(a *Account, data string, of *payload) {
	archived := 0
	for _, e := range of.events {
		archived += e.archived
		if e.record != nil && e.record.Rung.Degraded() {
			a.Degraded += e.archived
		}
	}
	a.Accepted += of.taken
	a.Archived += archived
	codes := a.Refused
	if len(of.events) > 0 {
		codes = a.Failed
	}
	for code, n := range of.codes {
		codes[code] += n
	}
	switch left := of.taken - archived - of.refused; {
	case of.taken == 0 && of.put:
		if archived+of.refused > 0 {
			a.Missing = append(a.Missing, "archived or in the error output, and not seen in the stream: "+shown(data))
		}
	case left > 0:
		a.Pending += left
		a.Missing = append(a.Missing, fmt.Sprintf("%d of %d copies are neither archived nor in the error output: %s",
			left, of.taken, shown(data)))
	case of.taken == 0:
		a.Breaches = append(a.Breaches, "invented: the error output holds what was never put: "+shown(data))
	case left < 0:
		a.Breaches = append(a.Breaches,
			fmt.Sprintf("doubled: %d were put, %d archived and %d are in the error output: %s",
				of.taken, archived, of.refused, shown(data)))
	}
}

// holdEvent: nothing is archived or delivered that was not put.
func (l *Ledger) holdEvent(a *Account, of identity, e *event) {
	if e.taken > 0 || e.archived+e.rows == 0 {
		return
	}
	if e.put {
		a.Missing = append(a.Missing, "found, and not seen in the stream: "+shown(of.content))
		return
	}
	for other, known := range l.events {
		if other.id == of.id && known.taken > 0 {
			a.Breaches = append(a.Breaches, fmt.Sprintf("corrupted: event %s was put as %s and found as %s", of.id,
				shown(other.content), shown(of.content)))
			return
		}
	}
	a.Breaches = append(a.Breaches, "invented: nobody put "+shown(of.content))
}

// holdRows: each session has the row of its newest event; where events were given up, of one that
// is no older than the newest of the others.
func (l *Ledger) holdRows(a *Account, newest map[string]activity.Event) {
	a.Sessions = len(newest)
	for session, wanted := range newest {
		record, ok := l.rows[session]
		if !ok {
			a.Missing = append(a.Missing, fmt.Sprintf("session %s has no row, its newest event is %s", session,
				wanted.ID))
			continue
		}
		order := compare(record.Event, wanted)
		e := l.events[identity{record.Event.ID, string(record.Event.Encode())}]
		if order < 0 || order > 0 && !e.givenUp {
			a.Missing = append(a.Missing, fmt.Sprintf("the row of session %s is %s, its newest event is %s at %s",
				session,
				position(record), wanted.ID, wanted.Time.UTC().Format("15:04:05.000000000")))
			continue
		}
		a.Newest++
		if e.record != nil && recommendation.Comparable(*e.record, record) {
			differences, err := recommendation.Differences(*e.record, record)
			if err != nil || len(differences) > 0 {
				a.Breaches = append(a.Breaches, fmt.Sprintf("corrupted: archive and row of event %s differ in %s: %v",
					record.Event.ID, strings.Join(differences, ", "), err))
			}
		}
	}
}

// shown is enough of some bytes to find them.
func shown(data string) string {
	const most = 120
	if len(data) > most {
		return fmt.Sprintf("%q... of %d bytes", data[:most], len(data))
	}
	return fmt.Sprintf("%q", data)
}

// String is the account on one line.
func (a Account) String() string {
	var parts []string
	part := func(n int, format string, arguments ...any) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(format, arguments...))
		}
	}
	part(a.Archived, "archived %d", a.Archived)
	for _, code := range slices.Sorted(maps.Keys(a.Refused)) {
		part(a.Refused[code], "refused %d (%s)", a.Refused[code], code)
	}
	for _, code := range slices.Sorted(maps.Keys(a.Failed)) {
		part(a.Failed[code], "failed %d (%s)", a.Failed[code], code)
	}
	part(a.Pending, "pending %d", a.Pending)
	text := fmt.Sprintf("accepted %d = %s; rows %d of %d newest", a.Accepted, strings.Join(parts, " + "), a.Newest,
		a.Sessions)
	if len(parts) == 0 {
		text = "accepted 0"
	}
	if a.GivenUp > 0 {
		text += fmt.Sprintf(", given up %d", a.GivenUp)
	}
	return text
}

// Err is nil where everything is at its place and nothing is where it must not be; else it tells
// the first of what is wrong, and how much that is.
func (a Account) Err() error { return tell(append(slices.Clone(a.Breaches), a.Missing...)) }

// Consistent is Err of an account that was cut off: what is not at its place may have been on its
// way.
func (a Account) Consistent() error { return tell(a.Breaches) }

func tell(wrong []string) error {
	const most = 3
	if len(wrong) == 0 {
		return nil
	}
	text := strings.Join(wrong[:min(most, len(wrong))], "; ")
	if len(wrong) > most {
		text += fmt.Sprintf("; and %d more", len(wrong)-most)
	}
	return fmt.Errorf("%s", text)
}

// Since is what came after an earlier account of the same ledger. Sessions, breaches and what is
// missing are those of all.
func (a Account) Since(before Account) Account {
	a.Accepted -= before.Accepted
	a.Records -= before.Records
	a.Archived -= before.Archived
	a.Pending -= before.Pending
	a.GivenUp -= before.GivenUp
	a.Degraded -= before.Degraded
	a.Refused, a.Failed = without(a.Refused, before.Refused), without(a.Failed, before.Failed)
	return a
}

func without(counts, before map[string]int) map[string]int {
	left := map[string]int{}
	for code, n := range counts {
		if n > before[code] {
			left[code] = n - before[code]
		}
	}
	return left
}
