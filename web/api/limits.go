package api

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

const (
	// mostBuckets of a kind that are kept, the latest used: with their keys some 3 MB. Whoever is
	// not among them begins with a full bucket. One that has not been used for a quarter of a
	// minute is full, and nothing is lost with it.
	mostBuckets = 10_000
	// burstShare of a minute's requests may come at once.
	burstShare = 4
)

// mostWaitsOfOne address at a time, where the world is admitted: else one client could take the
// places of all.
const mostWaitsOfOne = 100

// places count what each of some is doing at the moment.
type places struct {
	most  int
	mutex sync.Mutex
	taken map[string]int
}

// enter takes one of somebody's places, if there is one.
func (p *places) enter(key string) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.taken[key] >= p.most {
		return false
	}
	if p.taken == nil {
		p.taken = map[string]int{}
	}
	p.taken[key]++
	return true
}

func (p *places) leave(key string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.taken[key]--; p.taken[key] == 0 {
		delete(p.taken, key)
	}
}

// buckets bound how often each of many may ask.
type buckets struct {
	every rate.Limit
	burst int
	mutex sync.Mutex
	known *simplelru.LRU[string, *rate.Limiter]
}

// newBuckets of so many requests a minute.
func newBuckets(perMinute int) *buckets {
	known, err := simplelru.NewLRU[string, *rate.Limiter](mostBuckets, nil)
	if err != nil {
		panic(err) // of a size below 1 only
	}
	return &buckets{every: rate.Limit(perMinute) / 60, burst: max(1, perMinute/burstShare), known: known}
}

// take one request of somebody's; where there is none, it is how long until there is.
func (b *buckets) take(key string, now time.Time) (wait time.Duration) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	bucket, there := b.known.Get(key)
	if !there {
		bucket = rate.NewLimiter(b.every, b.burst)
		b.known.Add(key, bucket)
	}
	asked := bucket.ReserveN(now, 1)
	if wait = asked.DelayFrom(now); wait > 0 {
		asked.CancelAt(now)
	}
	return wait
}
