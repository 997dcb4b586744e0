package reading

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
)

const (
	// Longest is how long Wait waits.
	Longest = 25 * time.Second
	// every is how often the rows that are waited for are read.
	every = 250 * time.Millisecond
	// failures in a row are so many readings that those who wait are told: the client has tried
	// each several times.
	failures = 4
	// mostWaiters by default: at 5 KB a row, their rows are 20 MB a second.
	mostWaiters = 1000
	// RetryAfter is when somebody for whom there was no place may ask again.
	RetryAfter = time.Second
)

var errThrottled = errors.New("DynamoDB left all of them for a later call")

// BusyError says that as many wait as may.
type BusyError struct {
	Waiters int
	// RetryAfter is when there may be a place.
	RetryAfter time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%d wait already, which is the most: try again in %s", e.Waiters, e.RetryAfter)
}

// Awaited is an event whose answer is waited for.
type Awaited struct {
	ID uuid.UUID
	// Time is the event's. The zero time, of an event whose time is that of its arrival, means: the
	// event was sent before it is waited for.
	Time time.Time
}

// reached says whether a row holds the event's answer, or that of a newer one.
func (a Awaited) reached(held recommendation.Place) bool {
	// Whether the event was answered by the model does not matter: both are its answer.
	return held.ID == a.ID || held.After(recommendation.Place{Time: a.Time, ID: a.ID, Answered: true})
}

// seats bound how many wait.
type seats struct {
	mutex sync.Mutex
	taken int
}

// sit takes one of most seats, which rise gives back; where all are taken it is a *BusyError.
func (s *seats) sit(most int) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.taken >= most {
		return &BusyError{Waiters: s.taken, RetryAfter: RetryAfter}
	}
	s.taken++
	return nil
}

func (s *seats) rise() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.taken--
}

func (r *Reader) mostSeats() int { return cmp.Or(r.MostWaiters, mostWaiters) }

// Wait is Session once the session's row has reached an event, by its answer or that of a newer
// one, by the order of records; or after Longest, whatever there is then: reached tells which.
// Where as many wait as may, it is a *BusyError at once. A context that ends takes its waiter with
// it.
func (r *Reader) Wait(ctx context.Context, session string, event Awaited) (answer Answer, reached bool, err error) {
	if err := activity.CheckSessionID(session); err != nil {
		return Answer{}, false, err
	}
	if event.Time.IsZero() {
		event.Time = time.Now()
	}
	if err := r.waiting.sit(r.mostSeats()); err != nil {
		return Answer{}, false, err
	}
	defer r.waiting.rise()
	waiting := &waiter{reached: event.reached, found: make(chan seen, 1)}
	r.poll.join(r, session, waiting)
	defer r.poll.leave(session, waiting)
	longest := time.NewTimer(Longest)
	defer longest.Stop()
	select {
	case found := <-waiting.found:
		if found.err != nil {
			return Answer{}, false, found.err
		}
		answer, err = r.answer(ctx, found.item)
		return answer, err == nil, err
	case <-longest.C:
		answer, err = r.Session(ctx, session)
		return answer, false, err
	case <-ctx.Done():
		return Answer{}, false, ctx.Err()
	}
}

// Newer is Session once its answer is a later one, in the order of records, than what was seen; the
// zero Place for whoever has seen what a stranger gets. It waits until the context ends. Where as
// many watch as may, it is a *BusyError at once.
func (r *Reader) Newer(ctx context.Context, session string, than recommendation.Place) (Answer, error) {
	if err := activity.CheckSessionID(session); err != nil {
		return Answer{}, err
	}
	if err := r.watched.sit(r.mostSeats()); err != nil {
		return Answer{}, err
	}
	defer r.watched.rise()
	waiting := &waiter{found: make(chan seen, 1),
		reached: func(held recommendation.Place) bool { return held.After(than) }}
	r.poll.join(r, session, waiting)
	defer r.poll.leave(session, waiting)
	select {
	case found := <-waiting.found:
		if found.err != nil {
			return Answer{}, found.err
		}
		return r.answer(ctx, found.item)
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

// waiter is one call of Wait or Newer.
type waiter struct {
	reached func(recommendation.Place) bool
	found   chan seen
}

// seen is what ends a wait: the row that has reached the event, or why no row can be read.
type seen struct {
	item map[string]types.AttributeValue
	err  error
}

// poll reads, for all that wait, the rows that they wait for.
type poll struct {
	turns[string, *waiter] // by session
	// failed are the readings in a row that were refused.
	failed int
}

func (p *poll) join(r *Reader, session string, waiting *waiter) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.add(session, waiting) {
		p.failed = 0
		p.start(0, func(ctx context.Context, sessions []string) {
			rows, err := r.rows(ctx, sessions)
			if ctx.Err() == nil {
				p.serve(sessions, rows, err)
			}
		})
	}
}

// leave takes a waiter away, if it has not been served.
func (p *poll) leave(session string, waiting *waiter) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.remove(session, waiting)
}

// serve ends the waits that the rows have brought to their end.
func (p *poll) serve(sessions []string, rows map[string]map[string]types.AttributeValue, err error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.failed++
	if err == nil {
		p.failed = 0
	}
	for _, session := range sessions {
		item, there := rows[session]
		for waiting := range p.waiting[session] {
			found, ended := seen{err: err}, p.failed >= failures
			if err == nil && there && !row.Expired(item, time.Now()) {
				found.item, ended = item, false
				var held recommendation.Place
				if held, found.err = row.ReadPlace(item); found.err != nil || waiting.reached(held) {
					ended = true
				}
			}
			if ended {
				waiting.found <- found
				p.remove(session, waiting)
			}
		}
	}
}
