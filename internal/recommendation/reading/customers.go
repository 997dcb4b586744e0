package reading

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
)

const (
	// customersATurn bounds how many customers are looked at every turn, at the same time: 40 a
	// second, each for half a read unit. More who are watched wait for their turn.
	customersATurn = 10
	// mostKnown bounds the customers of whom is remembered what was read last.
	mostKnown = 1000
	// mostReadings of the rows that an entry of the index leads to, until one has its event: two
	// seconds of them, where few are watched.
	mostReadings = 8
)

// NewerOfCustomer is Customer once its answer is a later one, in the order of records, than what
// was seen; the zero Place for whoever has seen what a stranger gets. It waits until the context
// ends. Where as many watch as may, it is a *BusyError at once. A better answer to the very event
// that was seen is not waited for: the index does not tell of it.
func (r *Reader) NewerOfCustomer(ctx context.Context, customer int, than recommendation.Place) (Answer, error) {
	if err := checkCustomer(customer); err != nil {
		return Answer{}, err
	}
	if err := r.watched.sit(r.mostSeats()); err != nil {
		return Answer{}, err
	}
	defer r.watched.rise()
	waiting := &watcher{than: than, found: make(chan lookedAt, 1)}
	r.lookout.join(r, customer, waiting)
	defer r.lookout.leave(customer, waiting)
	select {
	case found := <-waiting.found:
		return found.answer, found.err
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

// watcher is one call of NewerOfCustomer.
type watcher struct {
	than  recommendation.Place
	found chan lookedAt
}

// lookedAt ends a wait: the customer's answer, or why it cannot be read.
type lookedAt struct {
	answer Answer
	err    error
}

// known is what was read of a customer last: the newest entry of the index, and what the answer
// was. As long as the index has no newer entry, the answer need not be read again.
type known struct {
	session string
	at      time.Time
	answer  recommendation.Place
	// readings of the rows since the index has the entry.
	readings int
}

// settled says whether the rows have been read as they are since the index has its newest entry:
// the reading of a row may lag behind the index for a moment, and one that has expired never comes.
func (k known) settled() bool { return !k.answer.Time.Before(k.at) || k.readings >= mostReadings }

// lookout looks, for all who watch, at the customers that they watch, some of them each turn.
type lookout struct {
	turns[int, *watcher] // by customer
	known                map[int]known
	// failed are each customer's looks in a row that were refused.
	failed map[int]int
}

func (l *lookout) join(r *Reader, customer int, waiting *watcher) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.known == nil {
		l.known, l.failed = map[int]known{}, map[int]int{}
	}
	if l.add(customer, waiting) {
		l.start(customersATurn, func(ctx context.Context, customers []int) {
			var looks errgroup.Group
			for _, one := range customers {
				looks.Go(func() error {
					l.look(ctx, r, one)
					return nil
				})
			}
			_ = looks.Wait() // each look tells those who watch
		})
	}
}

// leave takes a watcher away, if it has not been served.
func (l *lookout) leave(customer int, waiting *watcher) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.away(customer, waiting)
}

func (l *lookout) away(customer int, waiting *watcher) {
	if l.remove(customer, waiting) {
		delete(l.failed, customer)
	}
}

// look at a customer: at the newest entry of the index, and at the rows where that tells of more
// than a watcher has seen.
func (l *lookout) look(ctx context.Context, r *Reader, customer int) {
	now, err := r.newest(ctx, customer)
	if err == nil && !l.tells(customer, now) {
		return
	}
	var found lookedAt
	if err == nil {
		found.answer, err = r.Customer(ctx, customer)
	}
	if ctx.Err() != nil {
		return
	}
	found.err = err
	now.answer = found.answer.Place()
	l.serve(customer, now, found)
}

// newest entry of the index for a customer; the zero value where there is none.
func (r *Reader) newest(ctx context.Context, customer int) (newest known, err error) {
	page, err := r.Table.Query(ctx, r.latestFirst(customer, 1))
	if err != nil {
		return known{}, fmt.Errorf("find the customer's sessions in table %s: %w", r.Name, err)
	}
	if len(page.Items) > 0 {
		newest.session, newest.at, err = row.ReadPosition(page.Items[0])
	}
	if err != nil {
		return known{}, fmt.Errorf("index %s of table %s: %w", row.CustomerIndex, r.Name, err)
	}
	return newest, nil
}

// tells whether an entry of the index may tell a watcher of the customer something new.
func (l *lookout) tells(customer int, now known) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	last, read := l.known[customer]
	if !read || last.session != now.session || !last.at.Equal(now.at) {
		if now.session != "" {
			return true
		}
	} else if !last.settled() {
		return true
	}
	for waiting := range l.waiting[customer] {
		if last.answer.After(waiting.than) {
			return true
		}
	}
	delete(l.failed, customer)
	return false
}

func (l *lookout) serve(customer int, now known, found lookedAt) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.waiting[customer]) == 0 {
		return
	}
	if found.err != nil {
		if l.failed[customer]++; l.failed[customer] < failures {
			return
		}
	} else {
		delete(l.failed, customer)
		now.readings = 1
		if last := l.known[customer]; last.session == now.session && last.at.Equal(now.at) {
			now.readings += last.readings
		}
		if len(l.known) >= mostKnown {
			clear(l.known) // rare: whoever is watched is read once more
		}
		l.known[customer] = now
	}
	for waiting := range l.waiting[customer] {
		if found.err != nil || now.answer.After(waiting.than) {
			waiting.found <- found
			l.away(customer, waiting)
		}
	}
}
