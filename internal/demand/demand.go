// Package demand says how many events a second a shop's customers make, and when each of them is
// due: at a steady rate, or through a spike as a sale makes one. It is arithmetic alone, and knows
// neither events nor where they go.
package demand

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"time"
)

// The bounds of a profile.
const (
	// MaxRate is the largest usual demand, in events a second.
	MaxRate = 100_000
	// MaxDuration is the longest that a profile lasts.
	MaxDuration = 72 * time.Hour
	// MaxEvents is the largest number of events that fall into a profile.
	MaxEvents = 1_000_000_000
)

// A spike in the shop's own time: calm, a steep rise, and a decay of which half is over after each
// halfLife. The sample data's spikes have the same size: five times the usual on the day, two and a
// half times on the next.
const (
	// Peak is the demand at the top of a spike, in the usual demand.
	Peak     = 5
	calm     = 4 * time.Hour
	rise     = 2 * time.Hour
	decay    = 48 * time.Hour
	halfLife = 16 * time.Hour
	// SpikeLasts is the shop's time that a spike takes, from before its rise to the end of its
	// decay.
	SpikeLasts = calm + rise + decay
)

// Profile is a demand over time.
type Profile struct {
	// Rate is the usual demand, in events a second.
	Rate float64
	// Duration is when the profile ends.
	Duration time.Duration
	// Compressed is by how much the shop's time runs faster than the clock where there is a spike;
	// 0: there is none.
	Compressed float64
}

// Steady is a constant demand.
func Steady(rate float64, duration time.Duration) Profile {
	return Profile{Rate: rate, Duration: duration}
}

// Spike is one spike, compressed into a duration.
func Spike(rate float64, duration time.Duration) Profile {
	return Profile{Rate: rate, Duration: duration, Compressed: SpikeLasts.Seconds() / duration.Seconds()}
}

// Check names every problem.
func (p Profile) Check() error {
	var problems []error
	if !(p.Rate > 0 && p.Rate <= MaxRate) {
		problems = append(problems, fmt.Errorf("rate %v: above 0, and up to %d events a second, is allowed", p.Rate,
			MaxRate))
	}
	if p.Duration <= 0 || p.Duration > MaxDuration {
		problems = append(problems, fmt.Errorf("duration %s: above 0s, and up to %s, is allowed", p.Duration,
			MaxDuration))
	}
	if !(p.Compressed == 0 || p.Compressed >= 1 && p.Compressed <= 1_000_000_000) {
		problems = append(problems, fmt.Errorf("compressed %v times: 1 to 1,000,000,000 is allowed", p.Compressed))
	}
	if problems == nil && p.By(p.Duration) > MaxEvents {
		problems = append(problems, fmt.Errorf("rate %v for %s: %.0f events, at most %d are allowed", p.Rate,
			p.Duration, p.By(p.Duration), MaxEvents))
	}
	return errors.Join(problems...)
}

// At is the demand at a time since the beginning, in events a second.
func (p Profile) At(since time.Duration) float64 { return p.Rate * p.level(since) }

// level is the demand in the usual one.
func (p Profile) level(since time.Duration) float64 {
	if p.Compressed == 0 {
		return 1
	}
	const above = Peak - 1
	switch shop := since.Seconds() * p.Compressed; {
	case shop < calm.Seconds():
		return 1
	case shop < (calm + rise).Seconds():
		return 1 + above*(shop-calm.Seconds())/rise.Seconds()
	default:
		return 1 + above*math.Exp2(-(shop-(calm+rise).Seconds())/halfLife.Seconds())
	}
}

// By is how many events are due by a time since the beginning.
func (p Profile) By(since time.Duration) float64 {
	if p.Compressed == 0 {
		return p.Rate * since.Seconds()
	}
	const above = Peak - 1
	shop := since.Seconds() * p.Compressed
	extra := 0.0 // in the usual demand of a second of the shop's time
	if rising := min(shop, (calm+rise).Seconds()) - calm.Seconds(); rising > 0 {
		extra += above * rising * rising / (2 * rise.Seconds())
	}
	if decaying := shop - (calm + rise).Seconds(); decaying > 0 {
		extra += above * halfLife.Seconds() / math.Ln2 * (1 - math.Exp2(-decaying/halfLife.Seconds()))
	}
	return p.Rate * (shop + extra) / p.Compressed
}

// Events is how many fall into the profile.
func (p Profile) Events() int { return int(p.By(p.Duration)) }

// Due is when the event after this many others is due, since the beginning, to the microsecond. It
// may lie behind the profile's end.
func (p Profile) Due(before int) time.Duration {
	wanted := float64(before)
	if p.Compressed == 0 {
		return time.Duration(math.Round(wanted/p.Rate*1e6)) * time.Microsecond
	}
	// The demand is never below the usual one.
	most := int(wanted/p.Rate*1e6) + 1
	return time.Duration(sort.Search(most, func(n int) bool {
		return p.By(time.Duration(n)*time.Microsecond) >= wanted
	})) * time.Microsecond
}

// Lasting is the profile's kind at a duration in which so many events are due.
func (p Profile) Lasting(events int) Profile {
	if p.Compressed == 0 {
		p.Duration = time.Duration(float64(events) / p.Rate * float64(time.Second))
		return p
	}
	// A spike has as many events for each second that it takes, however it is compressed.
	whole := Spike(p.Rate, SpikeLasts)
	return Spike(p.Rate, time.Duration(float64(events)/whole.By(SpikeLasts)*float64(SpikeLasts)))
}
