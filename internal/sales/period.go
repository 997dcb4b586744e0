package sales

import "strings"

// Period is a preset time: so many days, or months, up to the shop's latest order rather than to
// today, because a sample shop lies in the past.
type Period struct {
	// Name is what an address says, Words what people read.
	Name, Words  string
	days, months int
}

// Periods are the presets.
var Periods = []Period{
	{Name: "30d", Words: "30 days", days: 30},
	{Name: "90d", Words: "90 days", days: 90},
	{Name: "12m", Words: "12 months", months: 12},
	{Name: "all", Words: "All time"},
}

// DefaultPeriod is the name of the preset that counts where nobody asks for another.
const DefaultPeriod = "12m"

// PeriodNames are those of all presets, for people.
func PeriodNames() string {
	names := make([]string, len(Periods))
	for i, p := range Periods {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

// Time is a part of the shop's time.
type Time struct {
	// Period is a preset's name; empty where there are dates.
	Period string
	// From and To are the first and the last day; nil leaves the end open.
	From, To *Day
}

// Within is a time's part in which the shop has orders. It ends before it begins where there is
// none. Periods end with the last order that is not dated after the reading: one order of the year
// 9999 leaves them as they are.
func (f *Figures) Within(asked Time) (begin, end Day) {
	first, last, sold := f.Span()
	if !sold {
		return 1, 0
	}
	latest, _ := f.Latest()
	begin, end = first, latest
	if asked.From != nil {
		begin = max(first, *asked.From)
	}
	switch {
	case asked.To != nil:
		end = min(last, *asked.To)
	case begin > latest: // who asks for the time after it sees it
		end = last
	}
	for _, p := range Periods {
		if p.Name != asked.Period {
			continue
		}
		if p.days > 0 {
			begin = max(first, latest-Day(p.days)+1)
		}
		if p.months > 0 {
			// From the day after the last: a year before 29 February is no date.
			begin = max(first, DayOf((latest+1).Time().AddDate(0, -p.months, 0)))
		}
	}
	return begin, end
}
