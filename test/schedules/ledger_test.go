package schedules

import (
	"fmt"
	"maps"
	"slices"

	"diecast/internal/activity"
)

// place is where an answer stands in the order of rows, as the row's texts have it.
type place struct {
	time, id string
	answered bool
}

func (p place) less(other place) bool {
	if p.time != other.time {
		return p.time < other.time
	}
	if p.id != other.id {
		return p.id < other.id
	}
	return !p.answered && other.answered
}

// ledger is what was put, and what became of it.
type ledger struct {
	// put are the records of the stream.
	put []stored
	// archived and refused are payloads with their number; read and dropped are the pump's counts.
	archived, refused map[string]int
	read, dropped     int
	// droppedBy are the payloads that the processor's believed answers dropped.
	droppedBy map[string]int
	// delivered and discarded are the mapping's counts; givenUp are the kept sequence numbers.
	delivered, discarded int
	givenUp              map[string]int
	// writes are the rows that each session had, one after the other; rows the last ones.
	writes map[string][]place
	rows   map[string]place
}

// stored is a record of the stream.
type stored struct {
	arrived  activity.Origin
	sequence string
	payload  []byte
}

func (l *ledger) clone() *ledger {
	c := *l
	c.archived, c.refused, c.droppedBy = maps.Clone(l.archived), maps.Clone(l.refused), maps.Clone(l.droppedBy)
	c.givenUp, c.writes, c.rows = maps.Clone(l.givenUp), maps.Clone(l.writes), maps.Clone(l.rows)
	for session, writes := range c.writes {
		c.writes[session] = slices.Clone(writes)
	}
	return &c
}

func (l *ledger) account() string {
	return fmt.Sprintf("%d put = %d archived + %d dropped + %d in error = %d delivered + %d given up; %d rows",
		len(l.put), total(l.archived), l.dropped, total(l.refused), l.delivered, l.discarded, len(l.rows))
}

func total(counts map[string]int) (sum int) {
	for _, count := range counts {
		sum += count
	}
	return sum
}

// problems is how the ledger differs from the reference model.
func (l *ledger) problems() (found []string) {
	tell := func(format string, values ...any) { found = append(found, fmt.Sprintf(format, values...)) }

	// The archive: as many of each payload, byte for byte, as were put.
	balance := map[string]int{}
	for _, record := range l.put {
		balance[string(record.payload)]++
	}
	for _, places := range []map[string]int{l.archived, l.refused, l.droppedBy} {
		for payload, count := range places {
			balance[payload] -= count
		}
	}
	for payload, count := range balance {
		if count != 0 {
			tell("archive: %q is missing %d times", payload, count)
		}
	}
	if l.read != len(l.put) || l.read != total(l.archived)+l.dropped+total(l.refused) {
		tell("archive: %d put, %d read, which do not add up: %s", len(l.put), l.read, l.account())
	}

	// The mapping: each record handled or kept, once.
	if l.delivered+l.discarded != len(l.put) {
		tell("mapping: %s", l.account())
	}
	known := map[string]bool{}
	for _, record := range l.put {
		known[record.sequence] = true
	}
	for sequence, count := range l.givenUp {
		if count != 1 || !known[sequence] {
			tell("kept: %s is kept %d times", sequence, count)
		}
	}
	if total(l.givenUp) != l.discarded {
		tell("kept: %d records were given up, %d are kept", l.discarded, total(l.givenUp))
	}

	// The rows: each write is greater than the one before, the last one is the row, and none of the
	// session's events that were handled is greater. Those are decoded here once more.
	latest := map[string]place{}
	for _, record := range l.put {
		event, err := activity.Decode(record.payload)
		if err != nil || l.givenUp[record.sequence] > 0 {
			continue
		}
		event = event.Identify(record.arrived)
		at := place{time: event.Time.UTC().Format("2006-01-02T15:04:05.000000000Z"), id: event.ID.String()}
		if known, seen := latest[event.SessionID]; !seen || known.less(at) {
			latest[event.SessionID] = at
		}
	}
	for session, at := range latest {
		if row, written := l.rows[session]; !written || row.less(at) {
			tell("row: session %s has %v, and an event at %v was handled", session, row, at)
		}
	}
	for session, row := range l.rows {
		writes := l.writes[session]
		if len(writes) == 0 || writes[len(writes)-1] != row {
			tell("row: session %s has %v, which was not written last", session, row)
		}
	}
	for session, writes := range l.writes {
		for n := range writes[1:] {
			if !writes[n].less(writes[n+1]) {
				tell("session %s went back from %v to %v", session, writes[n], writes[n+1])
			}
		}
	}
	return found
}
