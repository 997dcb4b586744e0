package sales

import (
	"cmp"
	"slices"
	"sort"
)

// Filter selects sales. The zero value of a text takes all.
type Filter struct {
	// From and To are the first and the last day.
	From, To Day
	// Line is a product line, Country that of the customer.
	Line, Country string
}

// Totals of some sales. Orders are counted once, however many of their lines are among them.
type Totals struct {
	Revenue  Cents
	Orders   int64
	Quantity int64
}

// AverageOrder is the revenue of an order, rounded to the cent, half up; zero without orders.
func (t Totals) AverageOrder() Cents {
	if t.Orders == 0 {
		return 0
	}
	return roundedRatio(int64(t.Revenue), t.Orders)
}

// roundedRatio is n/d to the nearest whole, a half away from zero.
func roundedRatio(n, d int64) Cents {
	half := d / 2
	if n < 0 {
		half = -half
	}
	return Cents((n + half) / d)
}

// Step is how long the points of a report's course are.
type Step string

// The steps, chosen by the length of the period so that there are about sixty points at most, and
// a hundred in all the time that there are dates of.
const (
	Daily   Step = "day"
	Weekly  Step = "week"
	Monthly Step = "month"
	Yearly  Step = "year"
	// ByDecade and ByCentury are for orders whose dates are mistaken.
	ByDecade  Step = "decade"
	ByCentury Step = "century"
)

// The longest periods, in days, of which a step is used.
const (
	mostDaily    = 62
	mostWeekly   = 400
	mostMonthly  = 1860
	mostYearly   = 60 * 366
	mostByDecade = 600 * 366
)

// Point of the course of revenue: a day, a week from Monday on, a month, a year, ten or a hundred
// years, or what of it is in the period.
type Point struct {
	From, To Day
	Totals
	// Spikes of the whole shop in these days.
	Spikes []Spike
}

// Row is a product line or a country with what was sold in it.
type Row struct {
	Name string
	Totals
}

// ProductRow is a product with what was sold of it.
type ProductRow struct {
	Product
	Totals
}

// Report answers a filter.
type Report struct {
	Filter Filter
	Totals
	// Before are the totals of as many days before the period, nil where the shop's first order is
	// not before them all.
	Before *Totals
	Step   Step
	// Points in order of time, one for each step of the period. Lines, Countries and Products are
	// those with sales, the greatest revenue first.
	Points    []Point
	Lines     []Row
	Countries []Row
	Products  []ProductRow
	// Spikes of the whole shop in the period; line and country do not change them.
	Spikes []Spike
}

// selection are a filter's places in the lists: -1 takes all, -2 nothing.
type selection struct{ line, country int32 }

func (f *Figures) selection(filter Filter) selection {
	place := func(list []string, text string) int32 {
		if text == "" {
			return -1
		}
		if at := slices.Index(list, text); at >= 0 {
			return int32(at)
		}
		return -2
	}
	return selection{line: place(f.lines, filter.Line), country: place(f.countries, filter.Country)}
}

// between is the half-open range of orders from one day to another, both included.
func (f *Figures) between(from, to Day) (first, end int) {
	first = sort.Search(len(f.orders), func(i int) bool { return f.orders[i].day >= from })
	end = sort.Search(len(f.orders), func(i int) bool { return f.orders[i].day > to })
	return first, max(first, end)
}

// each visits the selected orders of a period with their items.
func (f *Figures) each(from, to Day, selected selection, visit func(order, []item)) {
	if selected.line == -2 || selected.country == -2 {
		return
	}
	first, end := f.between(from, to)
	for i := first; i < end; i++ {
		begin := int32(0)
		if i > 0 {
			begin = f.orders[i-1].end
		}
		if o := f.orders[i]; selected.country < 0 || o.country == selected.country {
			visit(o, f.items[begin:o.end])
		}
	}
}

// counted are totals that know the last order that they counted.
type counted struct {
	Totals
	last int64
}

func (c *counted) add(order int64, i item) {
	c.Revenue += i.amount
	c.Quantity += int64(i.quantity)
	if c.last != order {
		c.last = order
		c.Orders++
	}
}

// Report adds up what a filter selects.
func (f *Figures) Report(filter Filter) Report {
	report := Report{Filter: filter, Step: stepOf(filter)}
	report.Points = points(filter, report.Step)
	var (
		selected  = f.selection(filter)
		all       counted
		course    = make([]counted, len(report.Points))
		lines     = make([]counted, len(f.lines))
		countries = make([]counted, len(f.countries))
		products  = make([]counted, len(f.products))
		at        int
		number    int64 // of the order, from 1 on
	)
	f.each(filter.From, filter.To, selected, func(o order, items []item) {
		number++
		for o.day > report.Points[at].To {
			at++
		}
		for _, i := range items {
			line := f.products[i.product].line
			if selected.line >= 0 && line != selected.line {
				continue
			}
			for _, sum := range []*counted{&all, &course[at], &lines[line], &countries[o.country],
				&products[i.product]} {
				sum.add(number, i)
			}
		}
	})
	report.Totals = all.Totals
	report.Spikes = f.spikesBetween(filter.From, filter.To)
	for i := range course {
		report.Points[i].Totals = course[i].Totals
		report.Points[i].Spikes = f.spikesBetween(report.Points[i].From, report.Points[i].To)
	}
	report.Lines, report.Countries = rows(f.lines, lines), rows(f.countries, countries)
	for i, sum := range products {
		if sum.Orders > 0 {
			report.Products = append(report.Products, ProductRow{f.products[i].Product, sum.Totals})
		}
	}
	slices.SortFunc(report.Products, func(one, other ProductRow) int {
		return cmp.Or(cmp.Compare(other.Revenue, one.Revenue), cmp.Compare(one.Code, other.Code))
	})
	report.Before = f.before(filter, selected)
	return report
}

// before are the totals of as many days before the period.
func (f *Figures) before(filter Filter, selected selection) *Totals {
	from, to := int64(filter.From)-(int64(filter.To)-int64(filter.From)+1), filter.From-1
	first, _, sold := f.Span()
	if !sold || from < int64(first) {
		return nil
	}
	var sum counted
	number := int64(0)
	f.each(Day(from), to, selected, func(_ order, items []item) {
		number++
		for _, i := range items {
			if selected.line < 0 || f.products[i.product].line == selected.line {
				sum.add(number, i)
			}
		}
	})
	return &sum.Totals
}

func (f *Figures) spikesBetween(from, to Day) []Spike {
	first := sort.Search(len(f.spikes), func(i int) bool { return f.spikes[i].Day >= from })
	end := sort.Search(len(f.spikes), func(i int) bool { return f.spikes[i].Day > to })
	return f.spikes[first:max(first, end)]
}

func rows(names []string, sums []counted) []Row {
	var all []Row
	for i, sum := range sums {
		if sum.Orders > 0 {
			all = append(all, Row{names[i], sum.Totals})
		}
	}
	slices.SortFunc(all, func(one, other Row) int {
		return cmp.Or(cmp.Compare(other.Revenue, one.Revenue), cmp.Compare(one.Name, other.Name))
	})
	return all
}

func stepOf(filter Filter) Step {
	switch days := int64(filter.To) - int64(filter.From) + 1; {
	case days <= mostDaily:
		return Daily
	case days <= mostWeekly:
		return Weekly
	case days <= mostMonthly:
		return Monthly
	case days <= mostYearly:
		return Yearly
	case days <= mostByDecade:
		return ByDecade
	}
	return ByCentury
}

// points cover the period without gaps. A period that ends before it begins has none.
func points(filter Filter, step Step) []Point {
	var all []Point
	for from := filter.From; from <= filter.To; {
		next := from + 1
		switch step {
		case Weekly:
			next = from.monday() + 7
		case Monthly:
			next = (from.first() + 31).first()
		case Yearly:
			next = from.nextYears(1)
		case ByDecade:
			next = from.nextYears(10)
		case ByCentury:
			next = from.nextYears(100)
		}
		all = append(all, Point{From: from, To: min(next-1, filter.To)})
		from = next
	}
	return all
}
