package classicmodels

import "math/bits"

// All figures of the planted signal are integers in thousandths of a standard deviation.
const unit = 1000

// What a customer's taste is made of. The squares sum to one, so that an affinity has variance one.
const (
	lineWeight  = 750
	scaleWeight = 450
	priceWeight = 484
)

// markets is how many groups of countries share a taste.
const markets = 4

// tasteLevels are the tastes of the four markets for one trait, in some order: mean 0, variance 1.
// No trait is liked by all alike, so recommending what is popular does not answer for a preference.
var tasteLevels = [markets]int64{-1342, -447, 447, 1342}

// ratingBounds are where the score passes from one rating to the next: the normal quantiles of the
// cumulative shares of 1..5 that the course counted (224, 562, 859, 632, 255 of 2,532).
var ratingBounds = [4]int64{-1350, -495, 385, 1277}

// taste is one market's liking, in thousandths.
type taste struct {
	lines  [len(productLines)]int64
	scales [len(productScales)]int64
}

// plantTastes gives every line and every scale a random order of the four levels.
func plantTastes(seed uint64) (tastes [markets]taste) {
	d := roll(seed, streamTaste)
	levels := tasteLevels
	for line := range productLines {
		shuffle(&d, levels[:])
		for market := range tastes {
			tastes[market].lines[line] = levels[market]
		}
	}
	for scale := range productScales {
		shuffle(&d, levels[:])
		for market := range tastes {
			tastes[market].scales[scale] = levels[market]
		}
	}
	return tastes
}

// standardised turns a uniform rank of [0, 1000) into a variable of mean 0 and variance 1.
func standardised(rank int) int64 { return int64(2*rank-999) * 1732 / unit }

// affinity of a customer to a product: what the customer's country likes about line and scale, and
// the agreement of the credit limit with the price. Mean about 0, variance about 1.
func (s *Shop) affinity(c customerTraits, p productTraits) int64 {
	likes := &s.tastes[c.place().market()]
	return (lineWeight*likes.lines[p.line] + scaleWeight*likes.scales[p.scale] +
		priceWeight*(standardised(c.creditRank)*standardised(p.priceRank)/unit)) / unit
}

// The noise of one rating is the sum of eight dice with 64 faces: nearly normal, and its
// distribution is exact in integers.
const (
	noiseDice  = 8
	noiseFaces = 64
	noiseSum   = noiseDice * (noiseFaces - 1)
	// noiseDeviation is the sum's standard deviation in thousandths: sqrt(8 (64^2 - 1) / 12).
	noiseDeviation = 52249
)

// noiseWays counts the rolls that give each sum; together 2^48.
var noiseWays = func() [noiseSum + 1]uint64 {
	ways := [noiseSum + 1]uint64{0: 1}
	for range noiseDice {
		var next [noiseSum + 1]uint64
		for sum, count := range ways {
			for face := 0; face < noiseFaces && count > 0; face++ {
				next[sum+face] += count
			}
		}
		ways = next
	}
	return ways
}()

// score mixes affinity and noise so that strength is their correlation and the variance stays one.
func (s *Shop) score(affinity int64, noise int) int64 {
	deviate := int64(2*noise-noiseSum) * unit * unit / (2 * noiseDeviation)
	return (s.strength*affinity + s.noise*deviate) / unit
}

func ratingOf(score int64) int {
	rating := 1
	for _, bound := range ratingBounds {
		if score >= bound {
			rating++
		}
	}
	return rating
}

// rate draws the nth rating of a pair.
func (s *Shop) rate(c customerTraits, p productTraits, nth int) int {
	d := roll(s.options.Seed, streamRating, uint64(c.index), uint64(p.index), uint64(nth))
	noise, faces := 0, d.source.Uint64()
	for range noiseDice {
		noise += int(faces % noiseFaces)
		faces /= noiseFaces
	}
	return ratingOf(s.score(s.affinity(c, p), noise))
}

// expectedRating is the mean of what rate draws, in ten thousandths.
func (s *Shop) expectedRating(affinity int64) int64 {
	var sum uint64
	for noise, ways := range noiseWays {
		sum += ways * uint64(ratingOf(s.score(affinity, noise)))
	}
	high, low := bits.Mul64(sum, 10_000)
	return int64(high<<16 | low>>48)
}

// squareRoot is the integer part.
func squareRoot(n int64) int64 {
	root := int64(0)
	for bit := int64(1) << 31; bit > 0; bit >>= 1 {
		if next := root | bit; next*next <= n {
			root = next
		}
	}
	return root
}
