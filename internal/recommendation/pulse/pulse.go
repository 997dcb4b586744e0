// Package pulse counts, for whoever watches the shop live, how many sessions were active every two
// seconds. It asks for the sessions of a sample of customers, each once every two seconds, only
// while somebody watches, and once for all who watch.
//
// What it counts are sessions whose latest event fell into the interval, as it was known then: a
// session that goes on is counted in each interval in which it was seen.
package pulse

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// Every is how long an interval is, and how often the sample is asked.
	Every = 2 * time.Second
	// Intervals that are kept, and Window their time.
	Intervals = 60
	Window    = Intervals * Every
	// MostCustomers of the sample: a hundred queries a second, each for half a read unit.
	MostCustomers = 200
	// atOnce are the customers that are asked for at the same time.
	atOnce = 20
	// late is how long an event may take until it is recommended and still be counted.
	late = 8 * time.Second
	// MostRecent sessions are told.
	MostRecent = 8
)

// Interval of time with the sessions that were active in it.
type Interval struct {
	From     time.Time
	Sessions int
}

// Sighting is a session that was active.
type Sighting struct {
	Session  string
	Customer int
	At       time.Time
}

// State is what is known at a moment. It does not change.
type State struct {
	// Intervals, the latest last; the last of all is still under way. Empty before the first
	// reading.
	Intervals []Interval
	// Recent are the sessions that were active last, the latest first.
	Recent []Sighting
	// Customers are those of the sample, Unread those of them that could not be read.
	Customers, Unread int
	// Err is why one of them could not be.
	Err error
}

// Pulse of a shop.
type Pulse struct {
	// Since are a customer's sessions whose latest event is not before a moment.
	Since func(ctx context.Context, customer int, moment time.Time) (map[string]time.Time, error)
	// Sample of the shop's customers, most at most.
	Sample func(most int) []int

	state    atomic.Pointer[State]
	mutex    sync.Mutex
	watchers int
	stop     context.CancelFunc
	// read is when the sample was asked last.
	read time.Time
	// seen sessions by interval, the latest intervals only; counts are those of the others.
	seen   map[int64]map[string]struct{}
	counts map[int64]int
	recent []Sighting
}

// State of the moment; nil before the first reading.
func (p *Pulse) State() *State { return p.state.Load() }

// Watch has the sample asked until leave is called.
func (p *Pulse) Watch() (leave func()) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.watchers++; p.watchers == 1 {
		ctx, cancel := context.WithCancel(context.Background())
		p.stop = cancel
		go p.run(ctx)
	}
	return sync.OnceFunc(func() {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		if p.watchers--; p.watchers == 0 {
			p.stop()
		}
	})
}

func (p *Pulse) run(ctx context.Context) {
	for {
		p.mutex.Lock()
		wait := time.NewTimer(time.Until(p.read.Add(Every)))
		p.mutex.Unlock()
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
		p.look(ctx)
	}
}

// look asks for the whole sample once.
func (p *Pulse) look(ctx context.Context) {
	now := time.Now()
	p.mutex.Lock()
	if now.Before(p.read.Add(Every)) || ctx.Err() != nil { // another has just looked
		p.mutex.Unlock()
		return
	}
	since := now.Add(-late)
	if now.Sub(p.read) > late { // what happened meanwhile is not known, but of what it left
		since = now.Add(-Window)
		p.seen, p.counts, p.recent = map[int64]map[string]struct{}{}, map[int64]int{}, nil
	}
	p.read = now
	p.mutex.Unlock()

	var (
		found  sync.Mutex
		all    []Sighting
		unread int
		why    error
		asked  errgroup.Group
	)
	asked.SetLimit(atOnce)
	sample := p.Sample(MostCustomers)
	for _, customer := range sample {
		asked.Go(func() error {
			sessions, err := p.Since(ctx, customer, since)
			found.Lock()
			defer found.Unlock()
			if err != nil {
				unread, why = unread+1, err
			}
			for session, at := range sessions {
				all = append(all, Sighting{session, customer, at})
			}
			return nil
		})
	}
	_ = asked.Wait() // failures were counted
	if ctx.Err() != nil {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.count(all, now)
	state := &State{Recent: p.recent, Customers: len(sample), Unread: unread, Err: why}
	for at := interval(now) - Intervals + 1; at <= interval(now); at++ {
		state.Intervals = append(state.Intervals,
			Interval{time.Unix(0, at*int64(Every)), p.counts[at] + len(p.seen[at])})
	}
	p.state.Store(state)
}

func interval(at time.Time) int64 { return at.UnixNano() / int64(Every) }

// count what was found until now.
func (p *Pulse) count(all []Sighting, now time.Time) {
	for _, one := range all {
		at := interval(one.At)
		if _, settled := p.counts[at]; settled || at > interval(now) || at <= interval(now)-Intervals {
			continue
		}
		if p.seen[at] == nil {
			p.seen[at] = map[string]struct{}{}
		}
		p.seen[at][one.Session] = struct{}{}
	}
	// Intervals in which no more is found are settled, and only their numbers are kept.
	for at, sessions := range p.seen {
		if at < interval(now.Add(-late-Every)) {
			p.counts[at] = len(sessions)
			delete(p.seen, at)
		}
	}
	for at := range p.counts {
		if at <= interval(now)-Intervals {
			delete(p.counts, at)
		}
	}
	latest := map[string]Sighting{}
	for _, one := range slices.Concat(p.recent, all) {
		if known, there := latest[one.Session]; !there || one.At.After(known.At) {
			latest[one.Session] = one
		}
	}
	p.recent = make([]Sighting, 0, len(latest))
	for _, one := range latest {
		p.recent = append(p.recent, one)
	}
	slices.SortFunc(p.recent, func(a, b Sighting) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Session, b.Session))
	})
	p.recent = slices.Clip(p.recent[:min(MostRecent, len(p.recent))])
}
