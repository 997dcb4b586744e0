package api

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"diecast/internal/environment"
)

// limited is an API that takes 8 requests a minute of a session, two of them at once, and 40 of a
// token or an address, ten at once, by a clock that the test moves.
func limited(t *testing.T, access environment.APIAccess) (f fixture, clock *time.Time) {
	t.Helper()
	now := noon
	return newFixture(t, func(o *Options) {
		o.Access, o.SessionRate, o.TokenRate, o.Now = access, 8, 40, func() time.Time { return now }
	}), &now
}

// until counts requests up to the first that is refused, and tells when it may come again.
func until(t *testing.T, f fixture, below func() string, headers func() []string) (taken int, retry string) {
	t.Helper()
	for taken < 100 {
		answer := get(t, f, below(), headers()...)
		if answer.StatusCode == http.StatusTooManyRequests {
			assert.Equal(t, "rate_limited", answer.reason(t))
			return taken, answer.Header.Get("Retry-After")
		}
		taken++
	}
	return taken, ""
}

func always[T any](value T) func() T { return func() T { return value } }

func TestASessionIsLimited(t *testing.T) {
	for _, access := range []environment.APIAccess{environment.APIKnown, environment.APIRandom} {
		f, now := limited(t, access)
		ofSession := always([]string{sessionHeader, unguessed})
		taken, retry := until(t, f, always("recommendations"), ofSession)
		assert.Equal(t, 2, taken, "a quarter of a minute's at once")
		assert.Equal(t, "8", retry, "60 s / 8, rounded up")
		*now = now.Add(7500*time.Millisecond - 1)
		taken, retry = until(t, f, always("recommendations"), ofSession)
		assert.Zero(t, taken)
		assert.Equal(t, "1", retry)
		*now = now.Add(1)
		taken, _ = until(t, f, always("recommendations"), ofSession)
		assert.Equal(t, 1, taken)
		*now = now.Add(time.Hour)
		taken, _ = until(t, f, always("recommendations"), ofSession)
		assert.Equal(t, 2, taken)
		taken, _ = until(t, f, always("recommendations"), always([]string{sessionHeader, another}))
		assert.Equal(t, 2, taken, "another session is another matter")
	}
}

// Sessions cost nothing where anybody may come: there the address counts as well.
func TestTheWorldsAddressesAreLimited(t *testing.T) {
	anySession := func() []string {
		return []string{sessionHeader, uuid.NewString(), "X-Forwarded-For", "1.1.1.1, 2.2.2.2"}
	}
	from := func(address string) func() []string {
		return always([]string{sessionHeader, another, "X-Forwarded-For", address})
	}
	f, now := limited(t, environment.APIRandom)
	taken, retry := until(t, f, always("recommendations"), anySession)
	assert.Equal(t, 10, taken)
	assert.Equal(t, "2", retry)
	taken, _ = until(t, f, always("recommendations"), from("2.2.2.2"))
	assert.Zero(t, taken, "what the client wrote before counts for nothing")
	taken, _ = until(t, f, always("recommendations"), from("3.3.3.3"))
	assert.Equal(t, 2, taken)
	*now = now.Add(time.Hour)
	taken, _ = until(t, f, always("recommendations"), always([]string{sessionHeader, guessable}))
	assert.Equal(t, 10, taken, "a session that is not served has no bucket of its own")

	f, _ = limited(t, environment.APIKnown)
	taken, _ = until(t, f, always("recommendations"), anySession)
	assert.Equal(t, 100, taken, "a shop's backend asks for all its sessions from one address")
}

func TestWhoNamesNoSessionIsLimitedByAddress(t *testing.T) {
	for _, access := range []environment.APIAccess{environment.APIKnown, environment.APIRandom, environment.APILogin} {
		for name, headers := range map[string][]string{
			"nobody": {}, "a customer": {customerHeader, "7"}, "no session": {sessionHeader, "a b"},
			"two sessions": {sessionHeader, unguessed, sessionHeader, another},
		} {
			f, _ := limited(t, access)
			taken, _ := until(t, f, always("recommendations"), always(append(headers, "X-Amzn-Oidc-Data", "valid")))
			assert.Equal(t, 10, taken, "%s, %s", access, name)
		}
		f, _ := limited(t, access)
		taken, _ := until(t, f, always("popular"), always([]string{sessionHeader, unguessed,
			"X-Amzn-Oidc-Data", "valid"}))
		assert.Equal(t, 10, taken, "a session where none is asked for")
		f, _ = limited(t, access)
		taken, _ = until(t, f, always("nothing"), always([]string{"X-Amzn-Oidc-Data", "valid"}))
		assert.Equal(t, 10, taken, "an address without a route")
	}
}

func TestATokenIsLimitedWhoeverItAsksFor(t *testing.T) {
	f, _ := limited(t, environment.APIToken)
	number := 0
	mixed := func() []string {
		number++
		return []string{"Authorization", "Bearer one", sessionHeader, uuid.NewString(), "X-Forwarded-For",
			fmt.Sprint("1.1.1.", number)}
	}
	taken, retry := until(t, f, always("recommendations"), mixed)
	assert.Equal(t, 10, taken)
	assert.Equal(t, "2", retry)
	taken, _ = until(t, f, always("popular"), always([]string{"Authorization", "bearer one"}))
	assert.Zero(t, taken, "the same token")
	taken, _ = until(t, f, always("popular"), always([]string{"Authorization", "Bearer two"}))
	assert.Equal(t, 10, taken)
	for range 50 { // nobody's bucket is emptied by who has no token
		assert.Equal(t, http.StatusUnauthorized, get(t, f, "popular", "Authorization", "Bearer").StatusCode)
	}
	for _, key := range f.tokens.Keys() {
		assert.Len(t, key, 32, "a hash, not the token")
	}
}

// One client does not take the places of all.
func TestTheWorldsAddressesHoldOnlySoManyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(f fixture, address string) asked {
			return get(t, f, "recommendations/wait", sessionHeader, uuid.NewString(), eventHeader, another,
				eventTimeHeader, "2099-01-01T00:00:00Z", "X-Forwarded-For", address)
		}
		for access, refused := range map[environment.APIAccess]bool{environment.APIRandom: true,
			environment.APIKnown: false} {
			f := newFixture(t, func(o *Options) { o.Access = access })
			var all sync.WaitGroup
			for range mostWaitsOfOne {
				all.Go(func() { wait(f, "1.1.1.1") })
			}
			synctest.Wait()
			if refused {
				answer := wait(f, "1.1.1.1")
				assert.Equal(t, http.StatusTooManyRequests, answer.StatusCode)
				assert.Equal(t, "1", answer.Header.Get("Retry-After"))
			}
			assert.Equal(t, http.StatusOK, wait(f, "2.2.2.2").StatusCode)
			assert.Equal(t, http.StatusOK, wait(f, "1.1.1.1").StatusCode, "there are places again, or were always")
			all.Wait()
			assert.Zero(t, f.waits.Taken())
		}
	})
}
