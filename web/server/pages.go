package server

import (
	"fmt"
	"html/template"
	"net/http"
	"runtime"
	"strings"
	"time"

	"diecast/internal/sales"
	"diecast/web/chart"
)

// staleAfter is the age of figures from which a page says so loudly.
const staleAfter = time.Hour

// mostBars of a chart; its table has all rows.
const mostBars = 10

// basis is all that a page is made of besides its filter.
type basis struct {
	figures    *sales.Figures
	provenance Provenance
	age        string
	// level is fresh, late (the last reading failed), stale or none.
	level  string
	reason string
	tried  time.Time
	// shop says whether there is one, withheld whether sales and customers are nobody's to see.
	shop, withheld bool
}

func (s *Server) basis() basis {
	state, now := s.options.Sales(), s.options.Now()
	b := basis{figures: state.Figures, provenance: s.options.Provenance(), level: "fresh",
		shop: s.options.Shop != nil, withheld: s.options.Withhold}
	if state.Failed != nil {
		b.level, b.reason, b.tried = "late", sales.Reason(state.Failed), state.Tried
	}
	if b.figures == nil {
		b.level = "none"
		return b
	}
	age := now.Sub(b.figures.AsOf())
	b.age = ago(age)
	if age > staleAfter {
		b.level = "stale"
	}
	return b
}

// page is what every template gets.
type page struct {
	Title string
	// Section is the page's entry in the navigation.
	Section string
	basis
	Content any
}

// Methods of basis for the templates.
func (b basis) Level() string          { return b.level }
func (b basis) Reason() string         { return b.reason }
func (b basis) Age() string            { return b.age }
func (b basis) Provenance() Provenance { return b.provenance }

// Shop says whether there is one to visit, Withheld that there is nothing on sales and customers.
func (b basis) Shop() bool     { return b.shop }
func (b basis) Withheld() bool { return b.withheld }

// AsOf and Tried are moments for machines and people.
func (b basis) AsOf() moment  { return moment(b.figures.AsOf()) }
func (b basis) Tried() moment { return moment(b.tried) }

type moment time.Time

func (m moment) Machine() string { return time.Time(m).UTC().Format(time.RFC3339) }

// Second tells seconds, too.
func (m moment) Second() string { return time.Time(m).UTC().Format("2 Jan 2006, 15:04:05 UTC") }

func (m moment) Words() string { return time.Time(m).UTC().Format("2 Jan 2006, 15:04 UTC") }

func render(name string, p page) []byte { return []byte(fragment(name, p)) }

func html(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html; charset=utf-8") }

// Headline says in a few words why the figures are not of now.
func (b basis) Headline() string {
	if b.reason == sales.ErrUnreachable.Error() {
		return "The database is away."
	}
	return "The figures could not be refreshed."
}

// problem answers with a page that says what is wrong.
func (s *Server) problem(w http.ResponseWriter, status int, title, words string) {
	html(w)
	content := render("problem.html", page{Title: title, basis: s.basis(), Content: words})
	w.WriteHeader(status)
	_, _ = w.Write(content) // a client that has left is told nothing
}

func (s *Server) provenance(w http.ResponseWriter, r *http.Request) {
	html(w)
	b := s.basis()
	content := struct {
		Started  moment
		Go       string
		Machine  string
		Draining bool
	}{moment(b.provenance.Started), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, s.draining.Load()}
	newBody(render("provenance.html", page{Title: "Provenance", Section: "provenance", basis: b,
		Content: content})).write(w, r, http.StatusOK)
}

// figure is a chart with its table.
type figure struct {
	ID, Title, Note string
	// Charts one below the other, of one table.
	Charts  []template.HTML
	Columns []string
	Rows    [][]string
	CSV     string
}

// card is one of the headline figures.
type card struct {
	Title, Value string
	// Change against the period before in words, Trend up, down or level; empty without one.
	Change, Trend string
}

type dashboard struct {
	filter   filter
	Problems []string
	// Later says which orders no period takes, because they are dated after the reading.
	Later     string
	Presets   []preset
	Lines     []string
	Countries []string
	// Empty shop, or a filter without sales.
	Empty, Nothing bool
	First, Last    sales.Day
	Report         sales.Report
	Cards          []card
	Before         string
	Course         figure
	Parts          []figure
	// Spikes that the page has room for, the latest of SpikeDays.
	Spikes    []sales.Spike
	SpikeDays int
	SpikesCSV string
	Step      string
	// ShownDays are the ends of the time for people, one or two; none where there is nothing.
	ShownDays []string
}

type preset struct {
	Name, Words, Address string
	Chosen               bool
}

// Filter's parts, for the form.
func (d dashboard) Line() string    { return d.filter.Line }
func (d dashboard) Country() string { return d.filter.Country }
func (d dashboard) From() string    { return d.filter.From }
func (d dashboard) To() string      { return d.filter.To }
func (d dashboard) Period() string  { return d.filter.Period }

func (s *Server) dashboard(w http.ResponseWriter, r *http.Request) {
	html(w)
	b := s.basis()
	f, problems := readFilter(r.URL.RawQuery, b.figures)
	if len(problems) > 0 {
		newSales(f, problems, b).write(w, r, http.StatusBadRequest)
		return
	}
	made, known := s.cache.get(f, b)
	if !known {
		// All who ask for it at the same moment wait for one making.
		shared, _, _ := s.making.Do(f.query(), func() (any, error) {
			made := newSales(f, nil, b)
			s.cache.put(f, b, made)
			return made, nil
		})
		made = shared.(body)
	}
	made.write(w, r, http.StatusOK)
}

func newSales(f filter, problems []problem, b basis) body {
	return newBody(render("sales.html", page{Title: "Sales", Section: "sales", basis: b,
		Content: newDashboard(f, problems, b.figures)}))
}

func newDashboard(f filter, problems []problem, figures *sales.Figures) dashboard {
	d := dashboard{filter: f}
	for _, p := range problems {
		if figures == nil {
			p.instead = ""
		}
		d.Problems = append(d.Problems, strings.TrimSpace(p.what+" "+p.instead))
	}
	for _, p := range sales.Periods {
		d.Presets = append(d.Presets, preset{p.Name, p.Words, "/sales" + f.with(p.Name).query(), f.Period == p.Name})
	}
	if figures == nil {
		return d
	}
	d.Lines, d.Countries = figures.Lines(), figures.Countries()
	var sold bool
	d.First, d.Last, sold = figures.Span()
	d.Empty = !sold
	if d.Empty {
		return d
	}
	if latest, later := figures.Latest(); later > 0 {
		d.Later = fmt.Sprintf("Dated after these figures were read: %s, the last of %s. Periods end with %s; choose"+
			" dates to see what is later.", orders(later), day(d.Last), day(latest))
	}
	d.Report = figures.Report(f.sales)
	if d.Nothing = d.Report.Orders == 0; d.Nothing {
		return d
	}
	d.ShownDays = []string{day(f.sales.From)}
	if f.sales.From != f.sales.To {
		d.ShownDays = append(d.ShownDays, day(f.sales.To))
	}
	d.Step = string(d.Report.Step)
	d.Cards, d.Before = cards(d.Report)
	d.Course = course(f, d.Report)
	d.Parts = parts(f, d.Report)
	d.Spikes, d.SpikeDays = d.Report.Spikes, len(d.Report.Spikes)
	d.Spikes = d.Spikes[max(0, d.SpikeDays-mostTableSpikes):]
	d.SpikesCSV = "/sales/spikes.csv" + f.query()
	return d
}

// cards are the headline figures, and in a sentence what they are compared with; empty where the
// shop is younger.
func cards(report sales.Report) ([]card, string) {
	values := func(t sales.Totals) []int64 {
		return []int64{int64(t.Revenue), t.Orders, int64(t.AverageOrder()), t.Quantity}
	}
	now := values(report.Totals)
	cards := []card{
		{Title: "Revenue", Value: money(report.Revenue)}, {Title: "Orders", Value: count(report.Orders)},
		{Title: "Average order", Value: money(report.AverageOrder())},
		{Title: "Pieces sold", Value: count(report.Quantity)},
	}
	if report.Before == nil {
		return cards, ""
	}
	compared := false
	for i, before := range values(*report.Before) {
		tenths, known := change(now[i], before)
		switch {
		case !known:
		case tenths > 0:
			cards[i].Trend, cards[i].Change = "up", "+"+percent(tenths)
		case tenths < 0:
			cards[i].Trend, cards[i].Change = "down", percent(tenths)
		default:
			cards[i].Trend, cards[i].Change = "level", percent(0)
		}
		compared = compared || known
	}
	days := report.Filter.To - report.Filter.From + 1
	before := span(report.Filter.From-days, report.Filter.From-1)
	if !compared {
		return cards, "Nothing was sold in the period before, " + before + ": there is nothing to compare with."
	}
	return cards, "Change against the period before, " + before + "."
}

var stepWords = map[sales.Step]string{sales.Daily: "Day", sales.Weekly: "Week from", sales.Monthly: "Month",
	sales.Yearly: "Year", sales.ByDecade: "Decade", sales.ByCentury: "Century"}

// pointName names a point of the course; tick is its short form below a column, which has a year
// where the columns are of more than one.
func pointName(report sales.Report, point sales.Point) (name, tick string) {
	begin := point.From.Time()
	switch report.Step {
	case sales.Monthly:
		return begin.Format("January 2006"), begin.Format("Jan 2006")
	case sales.Yearly:
		return begin.Format("2006"), begin.Format("2006")
	case sales.ByDecade, sales.ByCentury:
		name = begin.Format("2006") + "–" + point.To.Time().Format("2006")
		return name, begin.Format("2006")
	}
	if report.Filter.From.Time().Year() != report.Filter.To.Time().Year() {
		return day(point.From), begin.Format("2 Jan ’06")
	}
	return day(point.From), begin.Format("2 Jan")
}

// course of revenue and orders over time.
func course(f filter, report sales.Report) figure {
	revenue := chart.Chart{ID: "revenue", Title: "Revenue by " + string(report.Step), Axis: shortMoney}
	placed := chart.Chart{ID: "orders", Title: "Orders by " + string(report.Step), Axis: short}
	table := figure{ID: "revenue", Title: "Revenue and orders over time", CSV: "/sales/course.csv" + f.query(),
		Columns: []string{stepWords[report.Step], "Revenue", "Orders", "Pieces", "Demand spikes"}}
	best := report.Points[0]
	for _, point := range report.Points {
		name, tick := pointName(report, point)
		words := fmt.Sprintf("%s: %s, %s", name, money(point.Revenue), orders(point.Orders))
		var spikes []string
		for _, spike := range point.Spikes {
			spikes = append(spikes, day(spike.Day))
		}
		unusual := len(spikes) > 0
		marked := words
		if unusual {
			marked += "; demand spike " + strings.Join(spikes, ", ")
		}
		revenue.Marks = append(revenue.Marks,
			chart.Mark{Label: tick, Words: marked, Value: int64(point.Revenue), Unusual: unusual})
		placed.Marks = append(placed.Marks, chart.Mark{Label: tick, Words: words, Value: point.Orders})
		table.Rows = append(table.Rows, []string{name, money(point.Revenue), count(point.Orders),
			count(point.Quantity), strings.Join(spikes, ", ")})
		if point.Revenue > best.Revenue {
			best = point
		}
	}
	name, _ := pointName(report, best)
	revenue.Description = fmt.Sprintf(
		"%s in all, the most in the %s of %s with %s. Demand spikes of the whole shop: %d.",
		money(report.Revenue), report.Step, name, money(best.Revenue), len(report.Spikes))
	placed.Description = orders(report.Orders) + " in all."
	table.Charts = []template.HTML{revenue.Columns(190), placed.Columns(64)}
	return table
}

// parts of revenue: by product line, by country and by product.
func parts(f filter, report sales.Report) []figure {
	figures := []figure{
		{ID: "lines", Title: "By product line", CSV: "/sales/product-lines.csv" + f.query(),
			Columns: []string{"Product line", "Revenue", "Share", "Orders", "Pieces"}},
		{ID: "countries", Title: "By country", CSV: "/sales/countries.csv" + f.query(),
			Columns: []string{"Country", "Revenue", "Share", "Orders", "Pieces"}},
		{ID: "products", Title: "Top products", CSV: "/sales/products.csv" + f.query(),
			Columns: []string{"Product", "Revenue", "Share", "Orders", "Pieces"}},
	}
	products := make([]sales.Row, 0, mostTableProducts)
	for _, product := range report.Products[:min(len(report.Products), mostTableProducts)] {
		products = append(products, sales.Row{Name: product.Name, Totals: product.Totals})
	}
	for i, rows := range [][]sales.Row{report.Lines, report.Countries, products} {
		drawn := chart.Chart{ID: figures[i].ID, Title: "Revenue: " + strings.ToLower(figures[i].Title)}
		for place, row := range rows {
			part := share(row.Revenue, report.Revenue)
			figures[i].Rows = append(figures[i].Rows,
				[]string{row.Name, money(row.Revenue), part, count(row.Orders), count(row.Quantity)})
			if place < mostBars {
				drawn.Marks = append(drawn.Marks, chart.Mark{Label: row.Name, Value: int64(row.Revenue),
					Shown: money(row.Revenue),
					Words: fmt.Sprintf("%s: %s, %s of revenue, %s", row.Name, money(row.Revenue), part,
						orders(row.Orders))})
			}
		}
		drawn.Description = fmt.Sprintf("%s leads with %s, %s of revenue.", rows[0].Name, money(rows[0].Revenue),
			share(rows[0].Revenue, report.Revenue))
		figures[i].Charts = []template.HTML{drawn.Bars()}
		if all := len(report.Countries); figures[i].ID == "countries" && all > mostBars {
			figures[i].Note = fmt.Sprintf("The first %d of %d countries.", mostBars, all)
		}
		if all := len(report.Products); figures[i].ID == "products" && all > mostBars {
			figures[i].Note = fmt.Sprintf("The first %d of %d products; the CSV has all.", mostBars, all)
		}
	}
	return figures
}

// mostTableProducts and mostTableSpikes on the page; the CSV has all.
const (
	mostTableProducts = 20
	mostTableSpikes   = 16
)
