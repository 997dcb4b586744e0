package classicmodels

// A demand spike: on one day customers order several times the usual quantities, and the day after
// still more than usual. Who orders what on which day is as it would be without, and so are the
// ratings: only quantities and payments differ.
const (
	// spikeWindow is how many days have one spike: twelve in the sample database's years.
	spikeWindow = 73
	// calmDays at each window's end, and at the beginning of all, have none: the measure of what is
	// usual.
	calmDays = 28
	// usualDemand is the demand of other days; demand counts tenths.
	usualDemand = 10
)

// spikeShape is the demand on the day of a spike and on those that follow.
var spikeShape = [...]int{50, 25}

// plantSpikes chooses the days and gives the demand of those on which it is not the usual one. A
// spike is on a day on which the first block has an order, so that the smallest shop shows it, too.
// It is the same for all blocks, and does not depend on how far the shop is advanced.
func (s *Shop) plantSpikes() map[int]int {
	past := map[int]bool{}
	for _, day := range s.newBlock(0).pastDays() {
		past[day] = true
	}
	first := &block{shop: s}
	ordered := func(day int) bool {
		return past[day] || day >= baseDays && first.arrivals(ordersPerBlock, day-baseDays) > 0
	}
	demand := map[int]int{}
	for start := 0; start < baseDays+s.options.AdvanceDays; start += spikeWindow {
		var days []int
		for day := max(start, calmDays); day < start+spikeWindow-calmDays; day++ {
			if ordered(day) {
				days = append(days, day)
			}
		}
		if len(days) == 0 {
			continue
		}
		d := roll(s.options.Seed, streamSpike, uint64(start))
		day := pick(&d, days)
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
