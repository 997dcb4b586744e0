package reading

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
)

// A page that stays open sees each answer of a session once, in order, and so does one of a
// customer.
func TestWhoWatchesSeesEachAnswerOnce(t *testing.T) {
	for name, newer := range map[string]func(*Reader, context.Context, recommendation.Place) (Answer, error){
		"session": func(r *Reader, ctx context.Context, than recommendation.Place) (Answer, error) {
			return r.Newer(ctx, "a", than)
		},
		"customer": func(r *Reader, ctx context.Context, than recommendation.Place) (Answer, error) {
			return r.NewerOfCustomer(ctx, 1, than)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour)
				rows := &table{}
				r := reader(rows)
				const events = 20
				var all sync.WaitGroup
				all.Go(func() {
					for i := range events {
						time.Sleep(time.Second)
						rows.put(record(t, "a", 1, i, time.Now()), time.Hour)
					}
				})
				all.Go(func() {
					var seen recommendation.Place
					for i := range events {
						answer, err := newer(r, t.Context(), seen)
						requireAnswer(t, record(t, "a", 1, i, answer.Event.Time), answer, err)
						assert.LessOrEqual(t, time.Since(answer.Event.Time), every)
						assert.True(t, answer.Place().After(seen))
						seen = answer.Place()
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					_, err := newer(r, ctx, seen)
					assert.ErrorIs(t, err, context.DeadlineExceeded, "there is nothing newer")
				})
				all.Wait()
				synctest.Wait()
				assert.Zero(t, r.watched.taken)
				assert.Empty(t, r.poll.waiting)
				assert.Empty(t, r.lookout.waiting)
				quiet, asked := len(rows.readings), len(rows.queries)
				time.Sleep(time.Minute)
				assert.Len(t, rows.readings, quiet, "nobody waits, nothing is read")
				assert.Len(t, rows.queries, asked)
			})
		})
	}
}

// The most popular products answered in the model's stead; then the model did.
func TestABetterAnswerToTheSameEventIsNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &table{}
		r := reader(rows)
		better := record(t, "a", 1, 1, time.Now())
		degraded := better
		degraded.Rung = recommendation.Popular
		rows.put(degraded, time.Hour)
		answer, err := r.Newer(t.Context(), "a", recommendation.Place{})
		require.NoError(t, err)
		assert.Equal(t, recommendation.Popular, answer.Rung)
		go func() {
			time.Sleep(time.Second)
			rows.put(better, time.Hour)
		}()
		answer, err = r.Newer(t.Context(), "a", answer.Place())
		requireAnswer(t, better, answer, err)
	})
}

// A customer's sessions are asked for once a turn, whoever watches, and their rows only where the
// index tells of something new.
func TestCustomersAreLookedAtByTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const customers, watchers = 25, 100
		rows := &table{}
		r := reader(rows)
		for i := range customers {
			rows.put(record(t, fmt.Sprintf("s%d", i), i, i, time.Now().Add(time.Duration(i))), time.Hour)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range watchers {
			all.Go(func() {
				var seen recommendation.Place
				for {
					answer, err := r.NewerOfCustomer(ctx, i%customers, seen)
					if err != nil {
						assert.ErrorIs(t, err, context.Canceled)
						return
					}
					seen = answer.Place()
				}
			})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		turns := int(time.Minute/every) + 1
		assert.LessOrEqual(t, len(rows.queries), turns*customersATurn+2*customers)
		assert.GreaterOrEqual(t, len(rows.queries), (turns-2)*customersATurn)
		counts := map[string]int{}
		for _, customer := range rows.queries {
			counts[customer]++
		}
		for customer, looks := range counts {
			assert.InDelta(t, turns*customersATurn/customers, looks, 4, customer)
		}
		assert.LessOrEqual(t, len(rows.readings), customers+customersATurn,
			"the rows are read once, and again for who came during the first turn")
		late := record(t, "late", 7, 99, time.Now().Add(time.Second))
		rows.put(late, time.Hour)
		begun := time.Now()
		answer, err := r.NewerOfCustomer(t.Context(), 7, recommendation.Place{Time: late.Event.Time.Add(-1)})
		requireAnswer(t, late, answer, err)
		assert.LessOrEqual(t, time.Since(begun), (customers/customersATurn+1)*every)
		cancel()
		all.Wait()
	})
}

// The rows may be read as they were before the index told of the newest.
func TestARowThatTheIndexIsAheadOfIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &table{}
		r := reader(rows)
		before := record(t, "a", 1, 1, time.Now())
		rows.put(before, time.Hour)
		answer, err := r.NewerOfCustomer(t.Context(), 1, recommendation.Place{})
		requireAnswer(t, before, answer, err)
		after := record(t, "a", 1, 2, time.Now().Add(time.Second))
		stored := rows.rows["a"][row.Record]
		rows.put(after, time.Hour)
		whole := rows.rows["a"]
		half := item{}
		for name, value := range whole {
			half[name] = value
		}
		half[row.Record] = stored
		rows.mutex.Lock()
		rows.rows["a"] = half
		rows.mutex.Unlock()
		go func() {
			time.Sleep(time.Second)
			rows.mutex.Lock()
			rows.rows["a"] = whole
			rows.mutex.Unlock()
		}()
		answer, err = r.NewerOfCustomer(t.Context(), 1, answer.Place())
		requireAnswer(t, after, answer, err)
	})
}

// Rows that have expired are not read over and over: DynamoDB may delete them days later.
func TestExpiredRowsAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &table{}
		r := reader(rows)
		rows.put(record(t, "a", 1, 1, time.Now()), -time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := r.NewerOfCustomer(ctx, 1, recommendation.Place{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Len(t, rows.readings, mostReadings)
	})
}

func TestACustomerWhoCannotBeReadIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &table{err: errors.New("access denied")}
		r := reader(rows)
		begun := time.Now()
		_, err := r.NewerOfCustomer(t.Context(), 1, recommendation.Place{})
		require.ErrorContains(t, err, "table recommendations: access denied")
		assert.Equal(t, (failures-1)*every, time.Since(begun))
		rows.mutex.Lock()
		rows.err = nil
		rows.mutex.Unlock()
		late := record(t, "a", 1, 1, time.Now())
		rows.put(late, time.Hour)
		answer, err := r.NewerOfCustomer(t.Context(), 1, recommendation.Place{})
		requireAnswer(t, late, answer, err)
	})
}

// Those who wait for events take no seat from pages that stay open, nor these from them.
func TestWhoWaitsAndWhoWatchesHaveSeatsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := reader(&table{})
		r.MostWaiters = 2
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { _, _, _ = r.Wait(ctx, "a", Awaited{ID: number(1)}) })
		}
		synctest.Wait()
		all.Go(func() {
			_, err := r.Newer(ctx, "a", recommendation.Place{})
			assert.ErrorIs(t, err, context.Canceled)
		})
		all.Go(func() {
			_, err := r.NewerOfCustomer(ctx, 1, recommendation.Place{})
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		var busy *BusyError
		_, _, err := r.Wait(t.Context(), "b", Awaited{ID: number(1)})
		require.ErrorAs(t, err, &busy)
		_, err = r.Newer(t.Context(), "b", recommendation.Place{})
		require.ErrorAs(t, err, &busy)
		_, err = r.NewerOfCustomer(t.Context(), 2, recommendation.Place{})
		require.ErrorAs(t, err, &busy)
		assert.Equal(t, &BusyError{Waiters: 2, RetryAfter: RetryAfter}, busy)
		cancel()
		all.Wait()
		assert.Zero(t, r.waiting.taken)
		assert.Zero(t, r.watched.taken)
	})
}

func TestOddWatchesAreRefused(t *testing.T) {
	r := reader(&table{})
	var refused *activity.Error
	_, err := r.Newer(t.Context(), "a b", recommendation.Place{})
	require.ErrorAs(t, err, &refused)
	for _, odd := range []int{-1, activity.MaxCustomerNumber + 1} {
		_, err = r.NewerOfCustomer(t.Context(), odd, recommendation.Place{})
		require.ErrorAs(t, err, &refused)
		_, err = r.Since(t.Context(), odd, time.Now())
		require.ErrorAs(t, err, &refused)
	}
}

func TestSessionsSinceAMoment(t *testing.T) {
	rows := &table{}
	r := reader(rows)
	at := time.Now().Truncate(time.Second)
	for i := range 5 {
		rows.put(record(t, fmt.Sprintf("s%d", i), 1, i, at.Add(time.Duration(i)*time.Second)), time.Hour)
	}
	rows.put(record(t, "other", 2, 9, at.Add(time.Hour)), time.Hour)
	sessions, err := r.Since(t.Context(), 1, at.Add(3*time.Second))
	require.NoError(t, err)
	require.Len(t, sessions, 2)
	assert.True(t, at.Add(3*time.Second).Equal(sessions["s3"]))
	assert.True(t, at.Add(4*time.Second).Equal(sessions["s4"]))
	rows.err = errors.New("access denied")
	_, err = r.Since(t.Context(), 1, at)
	require.ErrorContains(t, err, "table recommendations: access denied")
}
