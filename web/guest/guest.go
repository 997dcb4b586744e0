// Package guest is how servers treat who asks without a name: from which address a request comes,
// whether a session's id could have been guessed, and how often each may ask. It knows neither what
// is asked nor what is answered.
package guest

import (
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// The headers in which a request says for whom it asks: an id of a person is in no address, which
// is logged on its way.
const (
	SessionHeader  = "Diecast-Session"
	CustomerHeader = "Diecast-Customer"
)

// Unguessable says whether a session's id has 122 random bits: a UUID of version 4 and the variant
// of RFC 9562, in the one spelling that has a row.
func Unguessable(session string) bool {
	id, err := uuid.Parse(session)
	return err == nil && id.Version() == 4 && id.Variant() == uuid.RFC4122 && id.String() == session
}

// Address is the one that the load balancer saw: it adds it at the end of X-Forwarded-For, behind
// whatever the client had written there. Of IPv6 the network counts, of which one client has all
// addresses. It is empty where there is none that can be read.
func Address(r *http.Request) string {
	text := r.RemoteAddr
	if all := r.Header.Values("X-Forwarded-For"); len(all) > 0 {
		last := all[len(all)-1]
		text = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	}
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	address = address.Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	network, err := address.Prefix(64)
	if err != nil {
		return ""
	}
	return network.String()
}

const (
	// mostBuckets that are kept, the latest used: with their keys some 3 MB. Whoever is not among
	// them begins with a full bucket.
	mostBuckets = 10_000
	// burstShare of a minute's requests may come at once.
	burstShare = 4
)

// Buckets bound how often each of many may ask.
type Buckets struct {
	every rate.Limit
	burst int
	mutex sync.Mutex
	known *simplelru.LRU[string, *rate.Limiter]
}

// NewBuckets of so many requests a minute, of which a quarter may come at once.
func NewBuckets(perMinute int) *Buckets {
	known, err := simplelru.NewLRU[string, *rate.Limiter](mostBuckets, nil)
	if err != nil {
		panic(err) // of a size below 1 only
	}
	return &Buckets{every: rate.Limit(perMinute) / 60, burst: max(1, perMinute/burstShare), known: known}
}

// Take one request of somebody's; where there is none, it is how long until there is.
func (b *Buckets) Take(key string, now time.Time) (wait time.Duration) {
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

// RetryAfter is a wait as the header of that name has it: in whole seconds, rounded up, at least 1.
func RetryAfter(wait time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))
}

// Keys of those who are known.
func (b *Buckets) Keys() []string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.known.Keys()
}

// Places count what each of some is doing at the moment.
type Places struct {
	// Most of one.
	Most  int
	mutex sync.Mutex
	taken map[string]int
}

// Enter takes one of somebody's places, if there is one.
func (p *Places) Enter(key string) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.taken[key] >= p.Most {
		return false
	}
	if p.taken == nil {
		p.taken = map[string]int{}
	}
	p.taken[key]++
	return true
}

// Leave gives one back.
func (p *Places) Leave(key string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.taken[key]--; p.taken[key] == 0 {
		delete(p.taken, key)
	}
}

// Taken are the places of all.
func (p *Places) Taken() (all int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, taken := range p.taken {
		all += taken
	}
	return all
}
