package reading

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// turns reads keys for those who wait for what lies there, once every so often, while anybody
// waits. What it reads, and whom that serves, it does not know.
type turns[Key comparable, Waiter comparable] struct {
	// mutex guards these fields and those of the struct that embeds them.
	mutex   sync.Mutex
	waiting map[Key]map[Waiter]struct{}
	// place of each key in the order of turns, and the last one that was given.
	place map[Key]int
	last  int
	stop  context.CancelFunc // nil while nobody waits
	// next is when it may read again, also where all left and others came.
	next time.Time
}

// add has a waiter wait for a key, and says whether the reading is to be started. The caller holds
// the mutex.
func (t *turns[Key, Waiter]) add(key Key, waiter Waiter) (first bool) {
	if t.waiting == nil {
		t.waiting, t.place = map[Key]map[Waiter]struct{}{}, map[Key]int{}
	}
	if t.waiting[key] == nil {
		t.waiting[key] = map[Waiter]struct{}{}
		t.putLast(key)
	}
	t.waiting[key][waiter] = struct{}{}
	return t.stop == nil
}

// remove takes a waiter away, if it still waits, and says whether it was the last one for its key;
// the last of all ends the reading. The caller holds the mutex.
func (t *turns[Key, Waiter]) remove(key Key, waiter Waiter) (last bool) {
	if _, waits := t.waiting[key][waiter]; !waits {
		return false
	}
	delete(t.waiting[key], waiter)
	if len(t.waiting[key]) > 0 {
		return false
	}
	delete(t.waiting, key)
	delete(t.place, key)
	if len(t.waiting) == 0 {
		t.stop()
		t.stop = nil
	}
	return true
}

func (t *turns[Key, Waiter]) putLast(key Key) {
	t.last++
	t.place[key] = t.last
}

// start reads from now on, at most so many keys each turn, 0 for all. The caller holds the mutex;
// read does not.
func (t *turns[Key, Waiter]) start(most int, read func(context.Context, []Key)) {
	ctx, cancel := context.WithCancel(context.Background())
	t.stop = cancel
	go func() {
		for {
			wait := time.NewTimer(t.pause())
			select {
			case <-ctx.Done():
				wait.Stop()
				return
			case <-wait.C:
			}
			if keys := t.turn(most); len(keys) > 0 {
				read(ctx, keys)
			}
		}
	}()
}

// pause is how long it is to the next reading.
func (t *turns[Key, Waiter]) pause() time.Duration {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return time.Until(t.next)
}

// turn are the keys that are read now; none where it is not yet time, because others who came after
// all had left have just read.
func (t *turns[Key, Waiter]) turn(most int) []Key {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if len(t.waiting) == 0 || time.Now().Before(t.next) {
		return nil
	}
	t.next = time.Now().Add(every)
	keys := slices.SortedFunc(maps.Keys(t.waiting), func(a, b Key) int { return cmp.Compare(t.place[a], t.place[b]) })
	if most > 0 {
		keys = keys[:min(most, len(keys))]
	}
	for _, key := range keys {
		t.putLast(key)
	}
	return keys
}
