// Package schedules plays random schedules against both consumers of the stream in one process: the
// delivery stream and the event source mapping as the laptop runs them, deliver's own handler, and
// a stream, a bucket and a table in memory that fail by chance, on a clock of their own. What
// became of the events is compared with a reference model. It knows no engine, no network and no
// template: test/platform and test/faults have those.
package schedules

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	// most is a million for the permanent proof; what every run of the tests plays is less.
	most = flag.Int("events", 40_000, "events of all schedules together")
	// first is the seed of the first schedule; the next ones count on from it.
	first = flag.Uint64("seed", rand.Uint64N(1<<32), "seed of the first schedule")
)

// each is the events of one schedule.
const each = 5_000

func TestSchedules(t *testing.T) {
	t.Logf("again: go test ./test/schedules -args -events %d -seed %d", *most, *first)
	for n := range uint64((*most + each - 1) / each) {
		seed := *first + n
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			if runtime.GOMAXPROCS(0) > 1 {
				t.Parallel()
			}
			synctest.Test(t, func(t *testing.T) {
				l := play(t, seed, each)
				t.Log(l.account())
				problems := l.problems()
				require.Empty(t, problems[:min(len(problems), 10)], "%d problems", len(problems))
			})
		})
	}
}

// What the schedules look for is found where it is planted.
func TestBreachesAreFound(t *testing.T) {
	var sound *ledger
	synctest.Test(t, func(t *testing.T) { sound = play(t, 7, 600) })
	require.Empty(t, sound.problems())
	var archived, refused string
	for payload := range sound.archived {
		archived = payload
	}
	for payload := range sound.refused {
		refused = payload
	}
	require.NotEmpty(t, refused, "the seed has something in error")
	var session string // whose row was written over
	for name, writes := range sound.writes {
		if len(writes) > 1 {
			session = name
		}
	}
	require.NotEmpty(t, session)
	for name, test := range map[string]struct {
		plant func(l *ledger)
		found string
	}{
		"lost from the archive": {func(l *ledger) { delete(l.archived, archived) }, "archive"},
		"archived twice":        {func(l *ledger) { l.archived[archived]++ }, "archive"},
		"lost from the errors":  {func(l *ledger) { delete(l.refused, refused) }, "archive"},
		"corrupted": {func(l *ledger) {
			delete(l.archived, archived)
			l.archived[archived+" "]++
		}, "archive"},
		"no row":                   {func(l *ledger) { delete(l.rows, session) }, "row"},
		"a row of an earlier time": {func(l *ledger) { l.rows[session] = l.writes[session][0] }, "row"},
		"a row that nobody wrote":  {func(l *ledger) { l.rows[session] = place{time: "9"} }, "row"},
		"a row that went back": {func(l *ledger) {
			l.writes[session] = append(l.writes[session], l.writes[session][0])
		}, "back"},
		"not delivered":     {func(l *ledger) { l.delivered-- }, "mapping"},
		"given up unkept":   {func(l *ledger) { l.discarded++; l.delivered-- }, "kept"},
		"given up and kept": {func(l *ledger) { l.givenUp["x"] = 1 }, "kept"},
		"counted wrongly":   {func(l *ledger) { l.dropped++ }, "archive"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := sound.clone()
			test.plant(broken)
			assert.Contains(t, fmt.Sprint(broken.problems()), test.found)
		})
	}
}
