package pulse

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
)

// shop is an index in memory.
type shop struct {
	mutex    sync.Mutex
	sessions map[int]map[string]time.Time
	asked    []time.Time
	err      error
}

func (s *shop) see(customer int, session string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.sessions[customer] == nil {
		s.sessions[customer] = map[string]time.Time{}
	}
	s.sessions[customer][session] = time.Now()
}

func (s *shop) since(_ context.Context, customer int, moment time.Time) (map[string]time.Time, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.asked = append(s.asked, time.Now())
	if s.err != nil {
		return nil, s.err
	}
	found := map[string]time.Time{}
	for session, at := range s.sessions[customer] {
		if !at.Before(moment) {
			found[session] = at
		}
	}
	return found, nil
}

func newPulse(customers int) (*shop, *Pulse) {
	s := &shop{sessions: map[int]map[string]time.Time{}}
	return s, &Pulse{Since: s.since, Sample: func(most int) []int {
		sample := make([]int, min(most, customers))
		for i := range sample {
			sample[i] = i
		}
		return sample
	}}
}

func TestActiveSessionsAreCountedByInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newPulse(10)
		leave := p.Watch()
		defer leave()
		synctest.Wait()
		require.NotNil(t, p.State())
		begun := interval(time.Now())
		wanted := map[int64]int{}
		for step := range 50 { // of 2 s, step%7 sessions in each, one of them always the same
			time.Sleep(time.Second)
			at := interval(time.Now())
			for i := range step % 7 {
				name := fmt.Sprintf("s%d-%d", step, i)
				if i == 0 {
					name = "faithful"
				}
				s.see(i, name)
			}
			wanted[at] = step % 7
			time.Sleep(time.Second)
		}
		time.Sleep(late + Every)
		synctest.Wait()
		state := p.State()
		require.Len(t, state.Intervals, Intervals)
		for _, one := range state.Intervals {
			assert.Equal(t, wanted[interval(one.From)], one.Sessions, interval(one.From)-begun)
		}
		require.Len(t, state.Recent, MostRecent)
		assert.Equal(t, 10, state.Customers)
		for i := range state.Recent[1:] {
			assert.False(t, state.Recent[i].At.Before(state.Recent[i+1].At))
		}
		assert.LessOrEqual(t, len(p.seen), int((late+Every)/Every)+2, "of the others only numbers are kept")
	})
}

func TestTheSampleIsAskedOnceForAllAndOnlyWhileSomebodyWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newPulse(1000)
		time.Sleep(time.Minute)
		assert.Empty(t, s.asked)
		var leave []func()
		for range 50 {
			leave = append(leave, p.Watch())
		}
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()
		assert.Len(t, s.asked, MostCustomers*(int(time.Minute/Every)+1))
		for _, one := range leave {
			one()
			one() // twice is once
		}
		synctest.Wait()
		asked := len(s.asked)
		time.Sleep(time.Minute)
		assert.Len(t, s.asked, asked)
		// Who comes and goes does not have it asked more often.
		begun := time.Now()
		for range 100 {
			one := p.Watch()
			time.Sleep(10 * time.Millisecond)
			one()
		}
		synctest.Wait()
		assert.LessOrEqual(t, len(s.asked)-asked, MostCustomers*(int(time.Since(begun)/Every)+1))
	})
}

func TestWhatHappenedUnwatchedIsCountedByWhatItLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newPulse(10)
		p.Watch()()
		s.see(1, "a")
		time.Sleep(time.Minute)
		s.see(1, "a")
		s.see(2, "b")
		time.Sleep(30 * time.Second)
		defer p.Watch()()
		synctest.Wait()
		sum := 0
		for _, one := range p.State().Intervals {
			sum += one.Sessions
		}
		assert.Equal(t, 2, sum)
	})
}

func TestCustomersWhoCannotBeReadAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newPulse(10)
		s.err = errors.New("throttled")
		defer p.Watch()()
		synctest.Wait()
		assert.Equal(t, 10, p.State().Unread)
		require.ErrorContains(t, p.State().Err, "throttled")
		s.mutex.Lock()
		s.err = nil
		s.mutex.Unlock()
		time.Sleep(Every)
		synctest.Wait()
		assert.Zero(t, p.State().Unread)
	})
}
