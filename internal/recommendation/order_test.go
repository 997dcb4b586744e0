package recommendation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/recommendation"
	"diecast/test/contracts"
)

// placed is a record of which only the place in the order matters.
func placed(id uuid.UUID, time time.Time, degraded bool) (r recommendation.Record) {
	r.Event.ID, r.Event.Time, r.Event.SessionID = id, time, "s"
	if degraded {
		r.Rung = recommendation.Popular
	}
	return r
}

func TestOrderContract(t *testing.T) {
	order := contracts.LoadRecordOrder(t)
	for _, test := range order.Cases {
		t.Run(test.Name, func(t *testing.T) {
			records := make([]recommendation.Record, len(test.Records))
			names := map[string]string{}
			for i, record := range test.Records {
				records[i] = placed(order.IDs[record.ID], record.Time, record.Degraded)
				names[rank(records[i])] = record.Name
			}
			unique, duplicates := recommendation.Unique(records)
			var archive []string
			for _, record := range unique {
				archive = append(archive, names[rank(record)])
			}
			assert.Equal(t, test.Archive, archive)
			assert.Equal(t, len(records)-len(unique), duplicates)
			contracts.Permutations(records, func(arrivals []recommendation.Record) {
				require.Equal(t, test.Row, names[rank(last(arrivals, recommendation.Record.Supersedes))])
			})
		})
	}
}

// last is what a row holds after the arrivals.
func last(arrivals []recommendation.Record, supersedes func(a, b recommendation.Record) bool) recommendation.Record {
	row := arrivals[0]
	for _, record := range arrivals[1:] {
		if supersedes(record, row) {
			row = record
		}
	}
	return row
}

// rank is the reference model of the order: a text that sorts as the records do.
func rank(r recommendation.Record) string {
	answered := map[bool]int{false: 1, true: 0}[r.Rung.Degraded()]
	return fmt.Sprintf("%020d %s %v", r.Event.Time.UnixNano(), r.Event.ID, answered)
}

// everyKind are records of three ids at three times, answered and degraded.
func everyKind() (all []recommendation.Record) {
	for _, id := range []string{
		"0b9cbe4a-6a53-4c0e-8a6f-7b0f5c1d2e3f", "7fffffff-ffff-4fff-bfff-ffffffffffff",
		"f0000000-0000-4000-8000-000000000000",
	} {
		for _, late := range []time.Duration{0, 1, 29 * time.Second} {
			for _, degraded := range []bool{false, true} {
				all = append(all, placed(uuid.MustParse(id), at.Add(late), degraded))
			}
		}
	}
	return all
}

// disorders counts the orders of arrival of any four records that leave another one in the row than
// the model says.
func disorders(supersedes func(a, b recommendation.Record) bool) (wrong int) {
	all := everyKind()
	for a := range all {
		for b := range a {
			for c := range b {
				for d := range c {
					four := []recommendation.Record{all[a], all[b], all[c], all[d]}
					want := ""
					for _, record := range four {
						want = max(want, rank(record))
					}
					contracts.Permutations(four, func(arrivals []recommendation.Record) {
						if rank(last(arrivals, supersedes)) != want {
							wrong++
						}
					})
				}
			}
		}
	}
	return wrong
}

func TestEveryOrderOfArrivalEndsWithTheSameRow(t *testing.T) {
	assert.Zero(t, disorders(recommendation.Record.Supersedes))
	for _, record := range everyKind() {
		assert.False(t, record.Supersedes(record), "a redelivery changes nothing")
	}
}

func TestOrdersThatAreNotTotalAreFound(t *testing.T) {
	for name, supersedes := range map[string]func(a, b recommendation.Record) bool{
		"the time does not matter for one id": func(a, b recommendation.Record) bool {
			if a.Event.ID == b.Event.ID {
				return b.Rung.Degraded() && !a.Rung.Degraded()
			}
			return a.Supersedes(b)
		},
		"answered before all else": func(a, b recommendation.Record) bool {
			return a.Rung == b.Rung && a.Supersedes(b) || b.Rung.Degraded() && !a.Rung.Degraded()
		},
		"the last one to arrive": func(_, _ recommendation.Record) bool { return true },
		"the first one":          func(_, _ recommendation.Record) bool { return false },
		"by time alone":          func(a, b recommendation.Record) bool { return a.Event.Time.After(b.Event.Time) },
	} {
		assert.NotZero(t, disorders(supersedes), name)
	}
}

func TestArchiveCountsAnIDOnceWhateverItsTimes(t *testing.T) {
	x := uuid.MustParse("0b9cbe4a-6a53-4c0e-8a6f-7b0f5c1d2e3f")
	first, again := placed(x, at, false), placed(x, at.Add(time.Minute), false)
	degraded := placed(x, at.Add(time.Hour), true)
	for _, test := range []struct{ archived, counts []recommendation.Record }{
		{[]recommendation.Record{first, again}, []recommendation.Record{first}},
		{[]recommendation.Record{again, first}, []recommendation.Record{again}},
		{[]recommendation.Record{degraded, first, again}, []recommendation.Record{first}},
		{[]recommendation.Record{degraded, degraded}, []recommendation.Record{degraded}},
	} {
		unique, duplicates := recommendation.Unique(test.archived)
		assert.Equal(t, test.counts, unique)
		assert.Equal(t, len(test.archived)-1, duplicates)
	}
}
