package server

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"diecast/internal/sales"
)

// period is a preset: so many days, or months, up to the shop's last order.
type period struct {
	Name, Words  string
	days, months int
}

// The periods, the default first in defaultPeriod. A period ends with the shop's last order rather
// than today: a sample shop lies in the past.
var periods = []period{
	{Name: "30d", Words: "30 days", days: 30},
	{Name: "90d", Words: "90 days", days: 90},
	{Name: "12m", Words: "12 months", months: 12},
	{Name: "all", Words: "All time"},
}

const defaultPeriod = "12m"

// filter is what an address asks for.
type filter struct {
	// Period is a preset's name; empty where the address has dates.
	Period string
	// From and To are the dates of the address, empty where it has none.
	From, To      string
	Line, Country string
	// sales is what they come to within the shop's orders.
	sales sales.Filter
}

// query is the address's part that asks for this filter, from the question mark on.
func (f filter) query() string {
	values := url.Values{}
	for name, value := range map[string]string{"period": f.Period, "from": f.From, "to": f.To, "line": f.Line,
		"country": f.Country} {
		if value != "" && (name != "period" || value != defaultPeriod) {
			values.Set(name, value)
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// with is the filter with another preset.
func (f filter) with(period string) filter {
	f.Period, f.From, f.To = period, "", ""
	return f
}

// readFilter understands an address. What it cannot is told in problems, each with what is shown
// instead; the filter is good for use nevertheless. Without figures, names are not checked.
func readFilter(values url.Values, figures *sales.Figures) (f filter, problems []string) {
	problem := func(format string, arguments ...any) { problems = append(problems, fmt.Sprintf(format, arguments...)) }
	one := func(name string) string {
		all := values[name]
		if len(all) == 0 {
			return ""
		}
		if len(all) > 1 {
			problem("The address has %s %d times. The first is shown.", name, len(all))
		}
		return strings.TrimSpace(all[0])
	}
	named := func(name, what, instead string, known []string) string {
		value := one(name)
		if value == "" || figures == nil || slices.Contains(known, value) {
			return value
		}
		problem("There is no %s %s. %s are shown.", what, quoted(value), instead)
		return ""
	}
	var lines, countries []string
	if figures != nil {
		lines, countries = figures.Lines(), figures.Countries()
	}
	f.Line = named("line", "product line", "All product lines", lines)
	f.Country = named("country", "country with orders called", "All countries", countries)
	date := func(name, instead string) (text string, day sales.Day) {
		text = one(name)
		if text == "" {
			return "", 0
		}
		day, err := sales.ParseDay(text)
		if err != nil {
			problem("The date %s is %s: %v. %s is shown.", name, quoted(text), err, instead)
			return "", 0
		}
		return text, day
	}
	from, to := sales.Day(0), sales.Day(0)
	f.From, from = date("from", "The time from the first order on")
	f.To, to = date("to", "The time up to the last order")
	if f.From != "" && f.To != "" && from > to {
		problem("The first day, %s, is after the last, %s. They are exchanged.", f.From, f.To)
		f.From, f.To, from, to = f.To, f.From, to, from
	}
	name := one("period")
	chosen := slices.IndexFunc(periods, func(p period) bool { return p.Name == name })
	if name != "" && chosen < 0 {
		problem("There is no period %s. Allowed are %s.", quoted(name), periodNames())
	}
	switch {
	case f.From != "" || f.To != "": // dates win: a person typed them
	case chosen >= 0:
		f.Period = name
	default:
		f.Period = defaultPeriod
	}
	if figures != nil {
		f.sales = f.within(figures, from, to)
	}
	return f, problems
}

// within is the filter's part of the time in which the shop has orders. It ends before it begins
// where there is none.
func (f filter) within(figures *sales.Figures, from, to sales.Day) sales.Filter {
	first, last, sold := figures.Span()
	if !sold {
		return sales.Filter{From: 1, To: 0}
	}
	begin, end := first, last
	if f.From != "" {
		begin = max(first, from)
	}
	if f.To != "" {
		end = min(last, to)
	}
	for _, p := range periods {
		if p.Name != f.Period {
			continue
		}
		if p.days > 0 {
			begin = max(first, last-sales.Day(p.days)+1)
		}
		if p.months > 0 {
			begin = max(first, sales.DayOf(last.Time().AddDate(0, -p.months, 1)))
		}
	}
	return sales.Filter{From: begin, To: end, Line: f.Line, Country: f.Country}
}

func periodNames() string {
	names := make([]string, len(periods))
	for i, p := range periods {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

const longestQuote = 60

// quoted shows a value of the address, shortened, without what is no letter.
func quoted(text string) string {
	letters := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, strings.ToValidUTF8(text, "�")))
	if len(letters) > longestQuote {
		letters = append(letters[:longestQuote], '…')
	}
	return "“" + string(letters) + "”"
}
