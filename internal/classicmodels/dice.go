package classicmodels

import (
	"math/bits"
	"math/rand/v2"
)

// stream names one kind of random decision, so that adding a kind never changes another's numbers.
type stream uint64

const (
	streamTaste stream = iota + 1
	streamProduct
	streamProductText
	streamCustomer
	streamCustomerText
	streamEmployee
	streamOffice
	streamBlock
	streamRating
	streamAdvance
	streamEvents
	streamSession
	streamDerived
	streamSpike
)

// dice is a stream of random integers. PCG is specified bit for bit by math/rand/v2; the reductions
// here are our own, so nothing depends on the Go version.
type dice struct{ source rand.PCG }

// roll starts the stream of one entity: what it is, and its indices.
func roll(seed uint64, what stream, indices ...uint64) dice {
	state := mix(seed ^ mix(uint64(what)))
	for _, index := range indices {
		state = mix(state + index)
	}
	var d dice
	d.source.Seed(state, mix(state))
	return d
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
// generators", 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// n is uniform in [0, limit), to within 2^-32 for the limits used here.
func (d *dice) n(limit int) int {
	high, _ := bits.Mul64(d.source.Uint64(), uint64(limit))
	return int(high)
}

// between is uniform in [low, high].
func (d *dice) between(low, high int) int { return low + d.n(high-low+1) }

// chance is true in permille of 1000 cases.
func (d *dice) chance(permille int) bool { return d.n(1000) < permille }

func pick[T any](d *dice, from []T) T { return from[d.n(len(from))] }

func shuffle[T any](d *dice, s []T) {
	for i := len(s) - 1; i > 0; i-- {
		j := d.n(i + 1)
		s[i], s[j] = s[j], s[i]
	}
}

// permute maps i one to one onto [0, n) by an affine function that salt selects: a shuffle that
// needs no memory.
func permute(i, n int, salt uint64) int {
	if n == 1 {
		return 0
	}
	step := 1 + int(mix(salt)%uint64(n-1))
	for greatestCommonDivisor(step, n) != 1 {
		step = step%(n-1) + 1
	}
	return (i*step + int(mix(salt+1)%uint64(n))) % n
}

func greatestCommonDivisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
