package recommendation

import (
	"fmt"

	"diecast/internal/strictjson"
)

// Rung is a step of the ladder by which an event is answered: each is tried where the one above it
// cannot answer in time. The zero value is the highest.
type Rung uint8

// The rungs, from the highest down.
const (
	// Store searched the vector store for the nearest items of the active model.
	Store Rung = iota
	// Memory compared all items that inference keeps of the model that it last loaded, which the
	// record names: the store may have moved on.
	Memory
	// Popular took the most popular products of the model's ranking, the same for every customer.
	Popular
	rungs
)

var rungNames = [rungs]string{"store", "memory", "popular"}

// Rungs are all of them, from the highest down.
func Rungs() []Rung { return []Rung{Store, Memory, Popular} }

// Degraded says whether the most popular products answered in the model's stead: what records call
// degraded.
func (r Rung) Degraded() bool { return r == Popular }

// String is the rung's name in a record, a row or an answer.
func (r Rung) String() string {
	if r >= rungs {
		return fmt.Sprintf("rung %d", uint8(r))
	}
	return rungNames[r]
}

// RungCounts are how many events each rung answered, indexed by it.
type RungCounts [rungs]int

// CountRungs counts records by their rung.
func CountRungs(records []Record) (counts RungCounts) {
	for _, record := range records {
		counts[record.Rung]++
	}
	return counts
}

// ReadRung reads the members rung and degraded of a record or of one of inference's results. The
// first may be missing, as before there was a ladder: then the second alone tells Popular from
// Store. Both must agree.
func ReadRung(document strictjson.Value) Rung {
	degraded := document.Field("degraded").Bool()
	field := document.Field("rung")
	if field.Missing() {
		if degraded {
			return Popular
		}
		return Store
	}
	name := field.OneOf(rungNames[:]...)
	for _, rung := range Rungs() {
		if rung.String() != name {
			continue
		}
		if rung.Degraded() != degraded {
			field.Refuse(fmt.Sprintf("%s exactly where degraded", Popular))
		}
		return rung
	}
	return Store
}
