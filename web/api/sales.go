package api

import (
	"net/http"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"diecast/internal/sales"
	"diecast/internal/strictjson"
)

// salesRetry is when sales that were not read yet may be there.
const salesRetry = 30 * time.Second

// scope is what figures are of: the first and the last day that the filter comes to within the
// shop's orders, null where it has none.
type scope struct {
	// AsOf is when the figures were read, Late that they could not be read anew since.
	AsOf    string  `json:"as_of"`
	Late    bool    `json:"late"`
	From    *string `json:"from"`
	To      *string `json:"to"`
	Line    *string `json:"line"`
	Country *string `json:"country"`
}

type totals struct {
	Revenue  string `json:"revenue"`
	Orders   int64  `json:"orders"`
	Quantity int64  `json:"quantity"`
}

func sumUp(t sales.Totals) totals { return totals{t.Revenue.String(), t.Orders, t.Quantity} }

// report adds up what the request's filter selects.
func (a *API) report(r *request) (sales.Report, scope, *problem) {
	state := a.options.Sales()
	filter := salesFilter(r, state.Figures)
	if slices.Contains(r.route.query, "limit") {
		r.limit(byDefault, most)
		r.after()
	}
	if refused := r.problem(); refused != nil {
		return sales.Report{}, scope{}, refused
	}
	if state.Figures == nil {
		detail := "Sales have not been read from the database yet."
		if state.Failed != nil {
			detail = "Sales have not been read yet: " + sales.Reason(state.Failed) + "."
		}
		return sales.Report{}, scope{}, &problem{Status: http.StatusServiceUnavailable, Reason: "sales_not_read",
			RetryAfter: salesRetry, Detail: detail}
	}
	of := scope{AsOf: state.Figures.AsOf().UTC().Format(time.RFC3339), Late: state.Failed != nil,
		Line: given(filter.Line), Country: given(filter.Country)}
	if filter.From <= filter.To {
		of.From, of.To = given(filter.From.String()), given(filter.To.String())
	}
	return a.reportOf(state.Figures, filter), of, nil
}

// keptReports are the latest asked for, each of which takes milliseconds in a large shop.
const keptReports = 16

// reported is a report, and of which figures.
type reported struct {
	figures *sales.Figures
	report  sales.Report
}

func newReports() *lru.Cache[sales.Filter, reported] {
	reports, err := lru.New[sales.Filter, reported](keptReports)
	if err != nil {
		panic(err) // of a size below 1 only
	}
	return reports
}

func (a *API) reportOf(figures *sales.Figures, filter sales.Filter) sales.Report {
	if kept, there := a.reports.Get(filter); there && kept.figures == figures {
		return kept.report
	}
	report := figures.Report(filter)
	a.reports.Add(filter, reported{figures, report})
	return report
}

func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// salesFilter understands the dashboard's filters; unlike it, all or nothing. Without figures,
// names are not checked.
func salesFilter(r *request, figures *sales.Figures) sales.Filter {
	var asked sales.Time
	day := func(name string) *sales.Day {
		text, there := r.query(name)
		if !there {
			return nil
		}
		day, err := sales.ParseDay(text)
		if err != nil {
			r.refuse("query", name, "got "+strictjson.Shown(text, true)+": "+err.Error())
			return nil
		}
		return &day
	}
	named := func(name string, known func() []string) string {
		text, there := r.query(name)
		if there && (text == "" || figures != nil && !slices.Contains(known(), text)) {
			r.refuse("query", name, "got "+strictjson.Shown(text, true)+", of which there are no orders")
		}
		return text
	}
	period, chosen := r.query("period")
	asked.From, asked.To = day("from"), day("to")
	_, from := r.query("from")
	_, to := r.query("to")
	switch {
	case chosen && !slices.ContainsFunc(sales.Periods, func(p sales.Period) bool { return p.Name == period }):
		r.refuse("query", "period", "got "+strictjson.Shown(period, true)+", want one of "+sales.PeriodNames())
	case chosen && (from || to):
		r.refuse("query", "period", "it is there beside dates; one of both is allowed")
	case chosen:
		asked.Period = period
	case !from && !to:
		asked.Period = sales.DefaultPeriod
	}
	if asked.From != nil && asked.To != nil && *asked.From > *asked.To {
		r.refuse("query", "from", "it is after to")
	}
	filter := sales.Filter{Line: named("line", func() []string { return figures.Lines() }),
		Country: named("country", func() []string { return figures.Countries() })}
	if figures != nil {
		filter.From, filter.To = figures.Within(asked)
	}
	return filter
}

// figures answer with what is only for who may see sales.
func figures(content any, next string) *answer {
	return &answer{content: content, next: next, cache: "private, no-cache"}
}

func (a *API) salesTotals(r *request) (*answer, *problem) {
	report, within, refused := a.report(r)
	if refused != nil {
		return nil, refused
	}
	content := struct {
		scope
		totals
		AverageOrder string  `json:"average_order"`
		Before       *totals `json:"before"`
	}{scope: within, totals: sumUp(report.Totals), AverageOrder: report.AverageOrder().String()}
	if report.Before != nil && within.From != nil {
		before := sumUp(*report.Before)
		content.Before = &before
	}
	return figures(content, ""), nil
}

func (a *API) salesCourse(r *request) (*answer, *problem) {
	report, within, refused := a.report(r)
	if refused != nil {
		return nil, refused
	}
	type point struct {
		From string `json:"from"`
		To   string `json:"to"`
		totals
		SpikeDays []string `json:"spike_days"`
	}
	points := []point{}
	for _, p := range report.Points {
		spikes := []string{}
		for _, spike := range p.Spikes {
			spikes = append(spikes, spike.Day.String())
		}
		points = append(points, point{p.From.String(), p.To.String(), sumUp(p.Totals), spikes})
	}
	return figures(struct {
		scope
		Step   string  `json:"step"`
		Points []point `json:"points"`
	}{within, string(report.Step), points}, ""), nil
}

// paged is a page of rows.
type paged[T any] struct {
	scope
	Rows []T `json:"rows"`
}

// rows of a report, each made known by its id.
func rows[T any](a *API, r *request, of func(sales.Report) []T, id func(T) string) (*answer, *problem) {
	report, within, refused := a.report(r)
	if refused != nil {
		return nil, refused
	}
	found, next := page(r, of(report), id)
	if refused := r.problem(); refused != nil {
		return nil, refused
	}
	return figures(paged[T]{within, found}, next), nil
}

type lineRow struct {
	Line string `json:"product_line"`
	totals
}

func (a *API) salesLines(r *request) (*answer, *problem) {
	return rows(a, r, func(report sales.Report) (all []lineRow) {
		for _, row := range report.Lines {
			all = append(all, lineRow{row.Name, sumUp(row.Totals)})
		}
		return all
	}, func(row lineRow) string { return row.Line })
}

type countryRow struct {
	Country string `json:"country"`
	totals
}

func (a *API) salesCountries(r *request) (*answer, *problem) {
	return rows(a, r, func(report sales.Report) (all []countryRow) {
		for _, row := range report.Countries {
			all = append(all, countryRow{row.Name, sumUp(row.Totals)})
		}
		return all
	}, func(row countryRow) string { return row.Country })
}

type productRow struct {
	Code string `json:"product_code"`
	Name string `json:"product"`
	Line string `json:"product_line"`
	totals
}

func (a *API) salesProducts(r *request) (*answer, *problem) {
	return rows(a, r, func(report sales.Report) (all []productRow) {
		for _, row := range report.Products {
			all = append(all, productRow{row.Code, row.Name, row.Line, sumUp(row.Totals)})
		}
		return all
	}, func(row productRow) string { return row.Code })
}

type spikeRow struct {
	Day       string `json:"day"`
	Revenue   string `json:"revenue"`
	Threshold string `json:"threshold"`
}

func (a *API) salesSpikes(r *request) (*answer, *problem) {
	return rows(a, r, func(report sales.Report) (all []spikeRow) {
		for _, spike := range report.Spikes {
			all = append(all, spikeRow{spike.Day.String(), spike.Revenue.String(), spike.Threshold.String()})
		}
		return all
	}, func(row spikeRow) string { return row.Day })
}
