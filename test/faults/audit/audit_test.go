package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/aggregation/aggregationtest"
	"diecast/internal/erroroutput"
	"diecast/internal/recommendation"
	"diecast/test/faults/audit"
)

var at = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

const (
	first  = "11111111-1111-4111-8111-111111111111"
	second = "22222222-2222-4222-8222-222222222222"
	broken = `{"session_id":7}`
)

// text of an event that brings its identity, so many seconds after at.
func text(session, id string, seconds int) string {
	return fmt.Sprintf(`{"session_id":%q,"customer_number":103,"city":"Nantes","country":"France","credit_limit":1,`+
		`"event_id":%q,"event_time":%q}`, session, id, at.Add(time.Duration(seconds)*time.Second).Format(time.RFC3339))
}

func taken(number int, data string) audit.Taken {
	place := activity.Place{Stream: "events", Shard: "shard", SequenceNumber: fmt.Sprint(number)}
	return audit.Taken{Place: place, Data: []byte(data), Origin: func(subsequence uint64) activity.Origin {
		place.Subsequence = subsequence
		return activity.FromStream(place, at)
	}}
}

// record of an event.
func record(t *testing.T, data string) recommendation.Record {
	t.Helper()
	event, err := activity.Decode([]byte(data))
	require.NoError(t, err)
	return recommendation.Record{Event: event, Items: []recommendation.Item{{ID: "S10_1678", Score: 0.5}},
		ModelVersion: "0123456789ab", RecommendedAt: at}
}

func degraded(r recommendation.Record) recommendation.Record {
	r.Rung = recommendation.Popular
	return r
}

func entry(data string) erroroutput.Entry {
	return erroroutput.Entry{Payload: []byte(data), Code: "Lambda.ProcessingFailedStatus"}
}

// sound is an account in which nothing is wrong.
func sound(t *testing.T) *audit.Ledger {
	t.Helper()
	l := &audit.Ledger{}
	for number, data := range []string{text("a", first, 1), text("a", second, 2), broken} {
		l.Take(taken(number, data))
		l.Acknowledge(taken(number, data).Place, []byte(data))
	}
	l.Archive(record(t, text("a", first, 1)).Encode())
	l.Archive(record(t, text("a", second, 2)).Encode())
	l.Refuse(entry(broken))
	l.Row(record(t, text("a", first, 1)))
	l.Row(record(t, text("a", second, 2)))
	return l
}

func TestWhatIsAtItsPlaceIsInOrder(t *testing.T) {
	account := sound(t).Account()
	require.NoError(t, account.Err())
	assert.Equal(t, "accepted 3 = archived 2 + refused 1 (Lambda.ProcessingFailedStatus); rows 1 of 1 newest",
		account.String())
}

// Each breach that is planted into a sound account is found, and named.
func TestBreachesAreFound(t *testing.T) {
	third := strings.ReplaceAll(second, "2", "3")
	for name, planted := range map[string]struct {
		plant func(*audit.Ledger)
		found string
	}{
		"a lost event": {func(l *audit.Ledger) { l.Take(taken(7, text("b", third, 1))) },
			"1 of 1 copies are neither archived nor in the error output"},
		"a lost broken event": {func(l *audit.Ledger) { l.Take(taken(7, "{")) }, "1 of 1 copies are neither"},
		"a lost copy":         {func(l *audit.Ledger) { l.Take(taken(7, broken)) }, "1 of 2 copies are neither"},
		"a record that the stream lost": {
			func(l *audit.Ledger) { l.Acknowledge(taken(7, broken).Place, []byte(broken)) },
			"was acknowledged and is not in the stream"},
		"a record that the stream changed": {func(l *audit.Ledger) {
			l.Take(taken(7, "{"))
			l.Refuse(entry("{"))
			l.Acknowledge(taken(7, "{").Place, []byte("["))
		}, "holds other bytes than were put"},
		"two records of one number": {
			func(l *audit.Ledger) { l.Acknowledge(taken(2, broken).Place, []byte(broken)) },
			"doubled: two records were acknowledged"},
		"an event archived twice": {
			func(l *audit.Ledger) { l.Archive(record(t, text("a", first, 1)).Encode()) },
			"doubled: 1 were put, 2 archived and 0 are in the error output"},
		"an event archived and refused": {func(l *audit.Ledger) { l.Refuse(entry(text("a", first, 1))) },
			"doubled: 1 were put, 1 archived and 1 are in the error output"},
		"a broken event refused twice": {func(l *audit.Ledger) { l.Refuse(entry(broken)) }, "doubled: 1 were put"},
		"a payload with another byte": {func(l *audit.Ledger) {
			l.Archive(record(t, strings.Replace(text("a", first, 1), "Nantes", "Nantos", 1)).Encode())
		}, "corrupted: event " + first + " was put as"},
		"a payload with another time": {
			func(l *audit.Ledger) { l.Archive(record(t, text("a", first, 9)).Encode()) }, "corrupted: event " + first},
		"an event that nobody put": {
			func(l *audit.Ledger) { l.Archive(record(t, text("z", third, 1)).Encode()) }, "invented: nobody put"},
		"an error that nobody put": {func(l *audit.Ledger) { l.Refuse(entry("[")) },
			"invented: the error output holds what was never put"},
		"a line that is no record": {func(l *audit.Ledger) { l.Archive([]byte("{}\n")) },
			"corrupted: a line of the archive is no record"},
		"a row that went back": {func(l *audit.Ledger) { l.Row(record(t, text("a", first, 1))) },
			"went back: the row of session a was " + second},
		"a row that was degraded again": {
			func(l *audit.Ledger) {
				l.Row(degraded(record(t, text("a", second,
					2))))
			}, "went back: the row of session a"},
		"a row that stays behind": {func(l *audit.Ledger) {
			l.Take(taken(7, text("a", third, 3)))
			l.Archive(record(t, text("a", third, 3)).Encode())
		}, "its newest event is " + third},
		"the greater id of one time": {func(l *audit.Ledger) {
			l.Take(taken(7, text("a", third, 2)))
			l.Archive(record(t, text("a", third, 2)).Encode())
		}, "its newest event is " + third},
		"one id at two times": {func(l *audit.Ledger) {
			l.Take(taken(7, text("a", first, 3)))
			l.Archive(record(t, text("a", first, 3)).Encode())
		}, "its newest event is " + first + " at 09:30:03"},
		"a session without a row": {func(l *audit.Ledger) {
			l.Take(taken(7, text("b", third, 1)))
			l.Archive(record(t, text("b", third, 1)).Encode())
		}, "session b has no row"},
		"a row that nobody put": {func(l *audit.Ledger) { l.Row(record(t, text("z", third, 1))) },
			"invented: nobody put"},
		"a row that is not the archive's": {func(l *audit.Ledger) {
			other := record(t, text("a", second, 2))
			other.Items[0].Score = 0.25
			l.Row(other)
		}, "corrupted: archive and row of event " + second + " differ in recommended_items"},
	} {
		t.Run(name, func(t *testing.T) {
			l := sound(t)
			planted.plant(l)
			require.ErrorContains(t, l.Account().Err(), planted.found)
		})
	}
}

func TestARecordThatIsRefusedIsCorrupted(t *testing.T) {
	l := &audit.Ledger{Check: func(recommendation.Record) error { return fmt.Errorf("it mixes models") }}
	l.Take(taken(1, text("a", first, 1)))
	l.Archive(record(t, text("a", first, 1)).Encode())
	require.ErrorContains(t, l.Account().Consistent(), "the archived record of event "+first+": it mixes models")
}

// An account that is cut off tells what must never be, and not what was on its way.
func TestWhatIsOnItsWayIsConsistent(t *testing.T) {
	l := sound(t)
	l.Take(taken(7, text("b", first, 1)))
	l.Put([]byte(text("c", second, 1)))
	l.Archive(record(t, text("c", second, 1)).Encode())
	account := l.Account()
	require.Error(t, account.Err())
	require.NoError(t, account.Consistent(), "it was put, and nobody can look into the stream any longer")
	l.Archive(record(t, text("d", second, 1)).Encode())
	require.Error(t, l.Account().Consistent())
}

func TestAggregatesAndEventsWithoutIdentityAreCountedOneByOne(t *testing.T) {
	plain := strings.Split(text("a", first, 1), `,"event_id"`)[0] + "}"
	l := &audit.Ledger{}
	from := taken(1, string(aggregationtest.Aggregate("k", []byte(plain), []byte(broken), []byte(plain))))
	l.Take(from)
	l.Take(from) // the same record of the stream
	l.Refuse(entry(broken))
	var newest recommendation.Record
	for _, subsequence := range []uint64{0, 2} {
		event, err := activity.Decode([]byte(plain))
		require.NoError(t, err)
		identified := event.Identify(from.Origin(subsequence))
		made := record(t, string(identified.Encode()))
		l.Archive(made.Encode())
		if newest.Event.ID.String() < made.Event.ID.String() {
			newest = made
		}
	}
	require.ErrorContains(t, l.Account().Err(), "session a has no row")
	l.Row(newest)
	account := l.Account()
	require.NoError(t, account.Err())
	assert.Equal(t, 3, account.Accepted)
	assert.Equal(t, 2, account.Archived)
}

// What its consumer has given up need not be in a row, and may.
func TestGivenUpEventsNeedNoRow(t *testing.T) {
	third := strings.ReplaceAll(second, "2", "3")
	for _, row := range []string{second, third} {
		l := sound(t)
		late := taken(7, text("a", third, 3))
		l.Take(late)
		l.Archive(record(t, text("a", third, 3)).Encode())
		l.GiveUp(late)
		if row == third {
			l.Row(record(t, text("a", third, 3)))
		}
		account := l.Account()
		require.NoError(t, account.Err())
		assert.Equal(t, 1, account.GivenUp)
	}
}

func TestAnAccountSinceAnotherCountsWhatCameAfterIt(t *testing.T) {
	l := sound(t)
	before := l.Account()
	l.Take(taken(7, broken))
	l.Refuse(entry(broken))
	since := l.Account().Since(before)
	assert.Equal(t, 1, since.Accepted)
	assert.Zero(t, since.Archived)
	assert.Equal(t, map[string]int{"Lambda.ProcessingFailedStatus": 1}, since.Refused)
}
