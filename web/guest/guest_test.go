package guest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

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
		forwarded []string
		want      string
	}{
		{nil, "192.0.2.1"}, {[]string{"198.51.100.7"}, "198.51.100.7"},
		{[]string{"10.0.0.1, 198.51.100.7"}, "198.51.100.7"},
		{[]string{"10.0.0.1,198.51.100.7:4711"}, "198.51.100.7"},
		{[]string{"10.0.0.1", "10.0.0.2, 198.51.100.7 "}, "198.51.100.7"},
		{[]string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{[]string{"[2001:db8:1:2::9]:80"}, "2001:db8:1:2::/64"},
		{[]string{"::ffff:198.51.100.7"}, "198.51.100.7"}, {[]string{"fe80::1%eth0"}, "fe80::/64"},
		{[]string{"unknown"}, ""}, {[]string{""}, ""}, {[]string{"198.51.100.7, "}, ""},
	} {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		for _, one := range c.forwarded {
			request.Header.Add("X-Forwarded-For", one)
		}
		assert.Equal(t, c.want, Address(request), c.forwarded)
	}
}

func TestBucketsAreBounded(t *testing.T) {
	b := NewBuckets(4) // one at once
	assert.Zero(t, b.Take("first", noon))
	assert.Equal(t, 15*time.Second, b.Take("first", noon))
	for i := range mostBuckets - 1 {
		require.Zero(t, b.Take(fmt.Sprint(i), noon))
	}
	assert.Equal(t, mostBuckets, b.known.Len())
	assert.NotZero(t, b.Take("first", noon), "still known")
	assert.Zero(t, b.Take("one more", noon))
	assert.Equal(t, mostBuckets, b.known.Len())
	assert.NotZero(t, b.Take("first", noon), "it was used after others, which go before it")
	assert.Zero(t, b.Take("0", noon), "the one that was not used for longest has gone")
	assert.Equal(t, 1, NewBuckets(3).burst)
	assert.Equal(t, 30, NewBuckets(120).burst)
}

func TestBucketsFillByTheMinute(t *testing.T) {
	b := NewBuckets(120)
	for range 30 {
		assert.Zero(t, b.Take("a", noon))
	}
	assert.Equal(t, time.Second/2, b.Take("a", noon))
	assert.Zero(t, b.Take("b", noon), "each has one of its own")
	assert.Zero(t, b.Take("a", noon.Add(time.Second/2)))
}

func TestEachHasSoManyPlaces(t *testing.T) {
	p := Places{Most: 2}
	assert.True(t, p.Enter("a"))
	assert.True(t, p.Enter("a"))
	assert.False(t, p.Enter("a"))
	assert.True(t, p.Enter("b"))
	assert.Equal(t, 3, p.Taken())
	p.Leave("a")
	assert.True(t, p.Enter("a"))
	for _, one := range []string{"a", "a", "b"} {
		p.Leave(one)
	}
	assert.Zero(t, p.Taken())
	assert.Empty(t, p.taken, "who has left is forgotten")
}

func TestWaitsAreToldInWholeSeconds(t *testing.T) {
	for wait, told := range map[time.Duration]string{
		time.Nanosecond: "1", time.Second: "1", time.Second + time.Millisecond: "2", time.Minute: "60",
	} {
		assert.Equal(t, told, RetryAfter(wait), "%s", wait)
	}
}
