package server

import "sync"

// mostPages that are kept: 128 pages of 50 kB are 6 MB.
const mostPages = 128

// cache keeps pages as they were rendered for a filter, as long as they would come out the same.
type cache struct {
	lock  sync.Mutex
	pages map[filter]cached
}

// cached page, and what it was made of besides the filter.
type cached struct {
	basis basis
	body  body
}

func (c *cache) get(key filter, now basis) (body, bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	found, known := c.pages[key]
	return found.body, known && found.basis == now
}

func (c *cache) put(key filter, made basis, page body) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if _, known := c.pages[key]; c.pages == nil || !known && len(c.pages) >= mostPages {
		c.pages = map[filter]cached{} // rare: whoever asks for so many filters makes each anew
	}
	c.pages[key] = cached{made, page}
}
