package classicmodels

import (
	"maps"
	"slices"
	"sort"
)

// A demand spike: on one day customers order several times the usual quantities, and the day after
// still more than usual. Who orders what on which day is as it would be without, and so are the
// ratings: only quantities and payments differ.
const (
	// spikeWindow is how many days have one spike: about ten in the sample database's years.
	spikeWindow = 73
	// calmDays at each window's end have none, nor have as many days with revenue at the beginning:
	// they are the measure of what is usual.
	calmDays = 28
	// usualDemand is the demand of other days; demand counts tenths.
	usualDemand = 10
)

// spikeShape is the demand on the day of a spike and on those that follow.
var spikeShape = [...]int{50, 25}

// plantSpikes chooses the days and gives the demand of those on which it is not the usual one. A
// spike is on a day on which the first block's revenue is at least its median even without, so that
// the smallest shop shows it, too, and not before there are calmDays with revenue to compare it
// with. It is the same for all blocks, and does not depend on how far the shop is advanced.
func (s *Shop) plantSpikes() map[int]int {
	windows := (baseDays + s.options.AdvanceDays + spikeWindow - 1) / spikeWindow
	b := s.newBlock(0)
	b.past()
	b.live(0, windows*spikeWindow-baseDays)
	revenue := map[int]int64{}
	for i := range b.orders {
		if o := &b.orders[i]; o.status != "Cancelled" {
			revenue[o.day] += o.amount()
		}
	}
	days := slices.Sorted(maps.Keys(revenue))
	past := days[:sort.SearchInts(days, baseDays)]
	amounts := make([]int64, len(past))
	for i, day := range past {
		amounts[i] = revenue[day]
	}
	slices.Sort(amounts)
	usual := amounts[len(amounts)/2]
	demand := map[int]int{}
	for window := range windows {
		var fit []int
		for _, day := range days[min(calmDays, len(days)):] {
			place := day - window*spikeWindow
			if place >= 0 && place < spikeWindow-calmDays && revenue[day] >= usual {
				fit = append(fit, day)
			}
		}
		if len(fit) == 0 {
			continue
		}
		d := roll(s.options.Seed, streamSpike, uint64(window))
		day := pick(&d, fit)
		for after, tenths := range spikeShape {
			demand[day+after] = tenths
		}
	}
	return demand
}

// demandOn is the demand of a day in tenths of the usual.
func (s *Shop) demandOn(day int) int {
	if tenths, spike := s.demand[day]; spike {
		return tenths
	}
	return usualDemand
}

// spikes are the days on which one begins, up to the shop's last.
func (s *Shop) spikes() (days []int) {
	for day := range baseDays + s.options.AdvanceDays {
		if s.demandOn(day) == spikeShape[0] {
			days = append(days, day)
		}
	}
	return days
}
