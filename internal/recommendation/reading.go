package recommendation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Place is where a record stands in the one total order of records: event time, then event id as
// bytes, then answered over degraded. The zero Place is before all records.
type Place struct {
	Time     time.Time
	ID       uuid.UUID
	Answered bool
}

// After says whether p is later in the order than other.
func (p Place) After(other Place) bool {
	return cmp.Or(
		p.Time.Compare(other.Time),
		bytes.Compare(p.ID[:], other.ID[:]),
		rank(p.Answered)-rank(other.Answered),
	) > 0
}

// rank is 1 where the model answered, 0 where the most popular products had to.
func rank(answered bool) int {
	if answered {
		return 1
	}
	return 0
}

// Place of the record in the order.
func (r Record) Place() Place {
	return Place{Time: r.Event.Time, ID: r.Event.ID, Answered: !r.Rung.Degraded()}
}

// Supersedes says whether r replaces other where only one record is kept, as in the row that the
// shop reads: whether its Place is the later one. The greatest stays, so that every order of
// arrival ends with the same row, which never goes back: not for an event that is sent again under
// an earlier time, nor for an answer of the model to an earlier event than the one that the most
// popular products answered. Records that are equal in this order do not supersede each other: a
// redelivery changes nothing.
func (r Record) Supersedes(other Record) bool { return r.Place().After(other.Place()) }

// Unique is how the archive is read: it can hold an event more than once (Firehose delivers at
// least once; a redrive adds more), and the first record of each id counts, or the first that is
// not degraded. That is a rule of its own: the archive tells what was answered to each event, the
// row what holds now, so the time does not matter here, nor does another session. The order of
// first appearance is kept. duplicates counts the records left out.
func Unique(records []Record) (unique []Record, duplicates int) {
	position := make(map[uuid.UUID]int, len(records))
	for _, record := range records {
		at, seen := position[record.Event.ID]
		switch {
		case !seen:
			position[record.Event.ID] = len(unique)
			unique = append(unique, record)
			continue
		case unique[at].Rung.Degraded() && !record.Rung.Degraded():
			unique[at] = record
		}
		duplicates++
	}
	return unique, duplicates
}

// Comparable says whether the archived and the delivered record of one event must agree: only where
// the same model answered from the same rung. An id that was sent again under another time is
// another event here, for archive and row then choose by different rules.
func Comparable(archived, delivered Record) bool {
	return archived.Event.ID == delivered.Event.ID && archived.Event.Time.Equal(delivered.Event.Time) &&
		archived.ModelVersion == delivered.ModelVersion && archived.Rung == delivered.Rung
}

// Differences names the fields in which two Comparable records differ, sorted; none where they obey
// the contract: equal in all but recommended_at and, where either is truncated, similar_items and
// truncated. Values are compared as JSON values, whatever the spelling of numbers and the order of
// fields.
func Differences(archived, delivered Record) ([]string, error) {
	left, err := archived.fields()
	if err != nil {
		return nil, fmt.Errorf("archived record: %w", err)
	}
	right, err := delivered.fields()
	if err != nil {
		return nil, fmt.Errorf("delivered record: %w", err)
	}
	ignored := []string{"recommended_at"}
	if archived.Truncated || delivered.Truncated {
		ignored = append(ignored, "similar_items", "truncated")
	}
	var differences []string
	for name, value := range left {
		other, present := right[name]
		if !slices.Contains(ignored, name) && !(present && reflect.DeepEqual(value, other)) {
			differences = append(differences, name)
		}
	}
	for name := range right {
		if _, present := left[name]; !present {
			differences = append(differences, name)
		}
	}
	slices.SortFunc(differences, strings.Compare)
	return differences, nil
}

func (r Record) fields() (map[string]any, error) {
	var fields map[string]any
	err := json.Unmarshal(r.Encode(), &fields)
	return fields, err
}
