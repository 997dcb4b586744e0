package reading

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/recommendation/row"
)

func number(n int) uuid.UUID { return uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)) }

// When a wait ends is given by when the row reaches the event, whoever else waits: at the next
// reading, or after 25 seconds. The readings of all are one every 250 ms.
func TestWaitsEndWithTheEventsAnswerANewerOneOrTheirTime(t *testing.T) {
	const sessions, waiters, writes = 130, 400, 600
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // events are no older than the century
		random := rand.New(rand.NewPCG(3, 4))
		rows, started := &table{most: 37}, time.Now()
		r := reader(rows)
		type write struct {
			at     time.Time
			event  time.Time
			number int
		}
		history := map[string][]write{}
		due := started
		var all sync.WaitGroup
		for n := range writes {
			due = due.Add(time.Duration(random.IntN(200)) * time.Millisecond)
			name := fmt.Sprintf("s%d", random.IntN(sessions))
			event := due.Add(-time.Duration(random.IntN(3000)) * time.Millisecond)
			before := history[name]
			if len(before) > 0 && !event.After(before[len(before)-1].event) {
				continue // it is no newer, and the table's condition keeps it out
			}
			history[name] = append(before, write{due, event, n})
			made, at := record(t, name, 1, n, event), due
			all.Go(func() {
				time.Sleep(time.Until(at))
				rows.put(made, time.Hour)
			})
		}
		asked := map[string]bool{}
		for range waiters {
			name := fmt.Sprintf("s%d", random.IntN(sessions))
			from := started.Add(time.Duration(random.IntN(60_000)) * time.Millisecond)
			sent := from.Add(-time.Duration(random.IntN(9000)) * time.Millisecond)
			awaited := Awaited{ID: number(writes + 1), Time: sent}
			if known := history[name]; len(known) > 0 && random.IntN(2) == 0 {
				one := known[random.IntN(len(known))]
				awaited = Awaited{ID: number(one.number), Time: one.event}
			}
			asked[name] = true
			all.Go(func() {
				time.Sleep(time.Until(from))
				answer, reached, err := r.Wait(t.Context(), name, awaited)
				took := time.Since(from)
				require.NoError(t, err)
				want := Longest
				for _, w := range history[name] {
					if w.number != writes+1 && (number(w.number) == awaited.ID || w.event.After(awaited.Time)) {
						want = min(want, max(0, w.at.Sub(from)))
						break
					}
				}
				if want == Longest {
					assert.False(t, reached)
					assert.Equal(t, Longest, took)
					return
				}
				if !reached { // it was written in the last reading's shadow
					assert.Less(t, Longest-want, every)
					return
				}
				assert.GreaterOrEqual(t, took, want)
				assert.LessOrEqual(t, took, want+every)
				require.NotNil(t, answer.Event)
				assert.True(t, answer.Event.ID == awaited.ID || answer.Event.Time.After(awaited.Time))
			})
		}
		all.Wait()
		synctest.Wait()
		assert.Zero(t, r.waiting.taken)
		assert.Empty(t, r.poll.waiting)
		for i, at := range rows.at { // the calls of one reading have one time: no time passes in them
			if i > 0 && !at.Equal(rows.at[i-1]) {
				assert.GreaterOrEqual(t, at.Sub(rows.at[i-1]), every)
			}
		}
		quiet := len(rows.readings)
		time.Sleep(time.Minute)
		assert.Len(t, rows.readings, quiet, "nobody waits, nothing is read")
	})
}

func TestAllWaitersShareOneReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &table{}
		r := reader(rows)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range 250 {
			all.Go(func() {
				_, _, err := r.Wait(ctx, fmt.Sprintf("s%d", i%50), Awaited{ID: number(1)})
				assert.ErrorIs(t, err, context.Canceled)
			})
		}
		synctest.Wait()
		time.Sleep(10*every - time.Nanosecond)
		synctest.Wait()
		require.NotEmpty(t, rows.readings)
		assert.LessOrEqual(t, len(rows.readings), 10+1)
		assert.Len(t, rows.readings[len(rows.readings)-1], 50, "each session once")
		cancel()
		all.Wait()
		synctest.Wait()
		after := len(rows.readings)
		time.Sleep(time.Minute)
		assert.Len(t, rows.readings, after, "who went away costs nothing")
		assert.Zero(t, r.waiting.taken)
	})
}

// Waiters that come and go one by one do not read more often.
func TestReadingsKeepTheirDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &table{}
		r := reader(rows)
		started := time.Now()
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			_, _, err := r.Wait(ctx, "a", Awaited{ID: number(1)})
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		assert.LessOrEqual(t, len(rows.readings), int(time.Since(started)/every)+1)
	})
}

func TestNoMoreWaitThanMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := reader(&table{})
		r.MostWaiters = 3
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { _, _, _ = r.Wait(ctx, "a", Awaited{ID: number(1)}) })
		}
		synctest.Wait()
		started := time.Now()
		_, _, err := r.Wait(t.Context(), "b", Awaited{ID: number(1)})
		var busy *BusyError
		require.ErrorAs(t, err, &busy)
		assert.Equal(t, &BusyError{Waiters: 3, RetryAfter: RetryAfter}, busy)
		assert.Zero(t, time.Since(started))
		cancel()
		all.Wait()
		_, reached, err := r.Wait(t.Context(), "b", Awaited{ID: number(1)})
		require.NoError(t, err, "there is a place again")
		assert.False(t, reached)
	})
}

func TestAnEventWithoutATimeIsReachedByItselfOrWhatWasSentAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // events are no older than the century
		rows := &table{}
		r := reader(rows)
		before := record(t, "a", 1, 9, time.Now().Add(-time.Second))
		rows.put(before, time.Hour)
		answer, reached, err := r.Wait(t.Context(), "a", Awaited{ID: before.Event.ID})
		assert.True(t, reached, "its answer is there")
		requireAnswer(t, before, answer, err)
		after := record(t, "a", 1, 8, time.Now().Add(2*time.Second))
		started := time.Now()
		go func() {
			time.Sleep(3 * time.Second)
			rows.put(after, time.Hour)
		}()
		answer, reached, err = r.Wait(t.Context(), "a", Awaited{ID: number(7)})
		assert.True(t, reached)
		requireAnswer(t, after, answer, err)
		assert.LessOrEqual(t, time.Since(started), 3*time.Second+every)
		started = time.Now()
		answer, reached, err = r.Wait(t.Context(), "a", Awaited{ID: number(7)})
		assert.False(t, reached)
		requireAnswer(t, after, answer, err)
		assert.Equal(t, Longest, time.Since(started))
	})
}

// One reading may fail without anybody hearing of it; a second of them is told to all that wait.
func TestATableThatCannotBeReadIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &table{err: errors.New("access denied")}
		r := reader(rows)
		started := time.Now()
		_, _, err := r.Wait(t.Context(), "a", Awaited{ID: number(1)})
		require.ErrorContains(t, err, "table recommendations: access denied")
		assert.Equal(t, (failures-1)*every, time.Since(started))

		time.Sleep(time.Second)
		late := record(t, "a", 1, 1, time.Now())
		go func() {
			time.Sleep(2*every + time.Millisecond)
			rows.mutex.Lock()
			rows.err = nil
			rows.mutex.Unlock()
			rows.put(late, time.Hour)
		}()
		answer, reached, err := r.Wait(t.Context(), "a", Awaited{ID: number(1)})
		assert.True(t, reached)
		requireAnswer(t, late, answer, err)
	})
}

// A row that cannot be read is told to who waits for it, and to nobody else.
func TestABrokenRowEndsNoOtherWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &table{}
		r := reader(rows)
		awaited := record(t, "a", 1, 1, time.Now())
		rows.put(record(t, "b", 2, 2, time.Now()), time.Hour)
		rows.rows["b"][row.EventTime] = &types.AttributeValueMemberS{Value: "yesterday"}
		var all sync.WaitGroup
		all.Go(func() {
			answer, reached, err := r.Wait(t.Context(), "a", Awaited{ID: awaited.Event.ID, Time: awaited.Event.Time})
			assert.True(t, reached)
			requireAnswer(t, awaited, answer, err)
		})
		all.Go(func() {
			_, _, err := r.Wait(t.Context(), "b", Awaited{ID: number(1)})
			assert.ErrorContains(t, err, row.EventTime)
		})
		time.Sleep(failures * every * 2)
		rows.put(awaited, time.Hour)
		all.Wait()
	})
}

func TestKeysThatAreLeftAreAskedAgain(t *testing.T) {
	rows := &table{most: 7}
	var names []string
	for i := range 130 {
		names = append(names, fmt.Sprintf("s%d", i))
		rows.put(record(t, names[i], 1, i, time.Now()), time.Hour)
	}
	found, err := reader(rows).rows(t.Context(), names)
	require.NoError(t, err)
	assert.Len(t, found, 130)
	_, err = (&Reader{Table: throttled{rows}, Name: "recommendations"}).rows(t.Context(), names)
	require.ErrorIs(t, err, errThrottled)
}

// throttled leaves all keys for a later call.
type throttled struct{ *table }

func (throttled) BatchGetItem(_ context.Context, input *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (
	*dynamodb.BatchGetItemOutput, error) {
	return &dynamodb.BatchGetItemOutput{UnprocessedKeys: input.RequestItems}, nil
}
