package server

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"diecast/internal/sales"
)

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
		if value != "" && (name != "period" || value != sales.DefaultPeriod) {
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

// problem is something of an address that cannot be understood.
type problem struct {
	what string
	// instead is what is shown; empty where nothing is.
	instead string
}

// reader understands an address part by part, and gathers what it cannot.
type reader struct {
	values   url.Values
	problems []found
}

// found is a problem, and where the filter's choice of time, line or country follows from it.
type found struct{ what, choice string }

func (r *reader) problem(choice, format string, arguments ...any) {
	r.problems = append(r.problems, found{fmt.Sprintf(format, arguments...), choice})
}

// filters are the names that an address may have, each with the choice that it is a part of.
var filters = map[string]string{"period": "time", "from": "time", "to": "time", "line": "line", "country": "country"}

// newReader takes an address apart. Nothing of it is left out in silence.
func newReader(query string) *reader {
	r := &reader{values: url.Values{}}
	for part := range strings.SplitSeq(query, "&") {
		values, err := url.ParseQuery(part)
		if err != nil {
			r.problem("", "The address’s part %s is none that an address can have.", quoted(part))
		}
		for name, value := range values {
			if filters[name] == "" {
				r.problem("", "There is no filter %s. Allowed are period, from, to, line, country.", quoted(name))
				continue
			}
			r.values[name] = append(r.values[name], value...)
		}
	}
	return r
}

// one value of a name; empty where there is none.
func (r *reader) one(name string) string {
	all := r.values[name]
	if len(all) == 0 {
		return ""
	}
	if len(all) > 1 {
		r.problem(filters[name], "The address has %s %d times. The first counts.", name, len(all))
	}
	return strings.TrimSpace(all[0])
}

// named is a value that must be among the known.
func (r *reader) named(name, what string, known []string) string {
	value := r.one(name)
	if value == "" || slices.Contains(known, value) {
		return value
	}
	r.problem(name, "There is no %s %s.", what, quoted(value))
	return ""
}

func (r *reader) date(name string) (text string, day sales.Day) {
	text = r.one(name)
	if text == "" {
		return "", 0
	}
	day, err := sales.ParseDay(text)
	if err != nil {
		r.problem("time", "The date %s is %s: %v.", name, quoted(text), err)
		return "", 0
	}
	return text, day
}

// readFilter understands an address. What it cannot is told in problems, each with what is shown
// instead; the filter is good for use nevertheless. Without figures, names are not checked.
func readFilter(query string, figures *sales.Figures) (f filter, problems []problem) {
	r := newReader(query)
	if figures != nil {
		f.Line = r.named("line", "product line", figures.Lines())
		f.Country = r.named("country", "country with orders called", figures.Countries())
	} else {
		f.Line, f.Country = r.one("line"), r.one("country")
	}
	from, to := sales.Day(0), sales.Day(0)
	f.From, from = r.date("from")
	f.To, to = r.date("to")
	if f.From != "" && f.To != "" && from > to {
		r.problem("time", "The first day, %s, is after the last, %s. They are exchanged.", f.From, f.To)
		f.From, f.To, from, to = f.To, f.From, to, from
	}
	name := r.one("period")
	chosen := slices.IndexFunc(sales.Periods, func(p sales.Period) bool { return p.Name == name })
	if name != "" && chosen < 0 {
		r.problem("time", "There is no period %s. Allowed are %s.", quoted(name), sales.PeriodNames())
	}
	switch {
	case f.From != "" || f.To != "": // dates win: a person typed them
	case chosen >= 0:
		f.Period = name
	default:
		f.Period = sales.DefaultPeriod
	}
	if figures != nil {
		f.sales = f.within(figures, from, to)
	}
	for _, one := range r.problems {
		problems = append(problems, problem{one.what, f.shown(one.choice)})
	}
	return f, problems
}

// shown says what a choice has come to.
func (f filter) shown(choice string) string {
	switch choice {
	case "line":
		return shownOf(f.Line, "All product lines are shown.")
	case "country":
		return shownOf(f.Country, "All countries are shown.")
	case "time":
		switch {
		case f.From != "" && f.To != "":
			return "The time from " + f.From + " to " + f.To + " is shown."
		case f.From != "":
			return "The time from " + f.From + " on is shown."
		case f.To != "":
			return "The time up to " + f.To + " is shown."
		}
		for _, p := range sales.Periods {
			if p.Name == f.Period && p.Name != "all" {
				return "The last " + p.Words + " of the shop’s orders are shown."
			}
		}
		return "All time is shown."
	}
	return "It is left out of what is shown."
}

func shownOf(value, all string) string {
	if value == "" {
		return all
	}
	return quoted(value) + " is shown."
}

// within is the filter's part of the time in which the shop has orders.
func (f filter) within(figures *sales.Figures, from, to sales.Day) sales.Filter {
	asked := sales.Time{Period: f.Period}
	if f.From != "" {
		asked.From = &from
	}
	if f.To != "" {
		asked.To = &to
	}
	begin, end := figures.Within(asked)
	return sales.Filter{From: begin, To: end, Line: f.Line, Country: f.Country}
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
