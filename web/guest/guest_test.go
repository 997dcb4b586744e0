package guest

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
)

func TestOnlyRandomIdsInTheirOneSpellingCannotBeGuessed(t *testing.T) {
	for range 100 {
		assert.True(t, Unguessable(uuid.NewString()))
	}
	random := "0b9cbe4a-6a53-4c0e-8a6f-7b0f5c1d2e3f"
	assert.True(t, Unguessable(random))
	for _, text := range []string{"", "a1b2", strings.ToUpper(random), "{" + random + "}", "urn:uuid:" + random,
		strings.ReplaceAll(random, "-", ""), random + " ", uuid.NewSHA1(uuid.Nil, []byte("a")).String(),
		"0b9cbe4a-6a53-4c0e-ca6f-7b0f5c1d2e3f", "0b9cbe4a-6a53-1c0e-8a6f-7b0f5c1d2e3f", uuid.Nil.String()} {
		assert.False(t, Unguessable(text), text)
	}
}

func TestTheAddressIsTheOneThatTheBalancerSaw(t *testing.T) {
	for _, c := range []struct {
		remote    string
		forwarded []string
		address   string
	}{
		{"198.51.100.7:1234", nil, "198.51.100.7"},
		{"10.0.0.1:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1234", []string{"1.2.3.4, 198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1234", []string{"1.2.3.4", "5.6.7.8,198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1234", []string{"198.51.100.7:80"}, "198.51.100.7"},
		{"10.0.0.1:1234", []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"},
		{"10.0.0.1:1234", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1234", []string{"nonsense"}, ""}, {"", nil, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		r.Header["X-Forwarded-For"] = c.forwarded
		assert.Equal(t, c.address, Address(r), c.forwarded)
	}
}

func TestBucketsFillByTheMinuteAndOnlySoManyAreKept(t *testing.T) {
	now := time.Now()
	b := NewBuckets(120)
	for range 30 {
		assert.Zero(t, b.Take("a", now))
	}
	assert.Equal(t, time.Second/2, b.Take("a", now))
	assert.Zero(t, b.Take("b", now), "each has one of its own")
	assert.Zero(t, b.Take("a", now.Add(time.Second/2)))
	for i := range 2 * mostBuckets {
		b.Take(fmt.Sprint(i), now)
	}
	assert.Equal(t, mostBuckets, b.known.Len())
}
