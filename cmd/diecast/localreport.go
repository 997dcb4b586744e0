package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"diecast/internal/assembly"
	"diecast/internal/classicmodels"
	"diecast/internal/local/demonstration"
	"diecast/internal/local/platform"
	"diecast/internal/local/provider"
	"diecast/internal/recommendation"
)

// localSummary is what local run tells a machine.
type localSummary struct {
	UpSeconds  float64        `json:"up_seconds"`
	Sent       int            `json:"sent"`
	Broken     int            `json:"broken"`
	Archived   int            `json:"archived"`
	Duplicates int            `json:"duplicates"`
	Delivered  int            `json:"delivered"`
	Degraded   int            `json:"degraded"`
	Refused    int            `json:"refused"`
	RefusedFor map[string]int `json:"refused_for"`
	// Unfinished says why not all events are accounted for; empty where they are.
	Unfinished string `json:"unfinished"`
	// NotSent events of those that were wanted never came to the stream.
	NotSent        int                `json:"not_sent"`
	LatencySeconds map[string]figures `json:"latency_seconds"`
	Flow           []flowSummary      `json:"flow"`
	Run            int                `json:"resources_run"`
	Checked        int                `json:"resources_checked"`
	Batch          batchSummary       `json:"batch"`
	Pages          pagesSummary       `json:"pages"`
	Shop           shopSummary        `json:"shop"`
	// Account is the engines' own, when all events were accounted for.
	Account accountSummary `json:"account"`
}

// shopSummary is what local run tells a machine of the shop's page.
type shopSummary struct {
	Products int     `json:"products"`
	Took     float64 `json:"click_to_recommendation_seconds"`
}

// pagesSummary is what local run tells a machine of the web tier's pages.
type pagesSummary struct {
	Address     string   `json:"address"`
	Withheld    bool     `json:"withheld"`
	Lines       int      `json:"lines"`
	BestLine    string   `json:"best_line"`
	BestRevenue string   `json:"best_line_revenue"`
	Revenue     string   `json:"revenue"`
	Servers     []string `json:"servers"`
}

// batchSummary is what local run tells a machine of the ETL job.
type batchSummary struct {
	RunID       string           `json:"run_id"`
	Read        map[string]int64 `json:"rows_read"`
	Published   map[string]int64 `json:"rows_published"`
	Quarantined map[string]int64 `json:"rows_quarantined"`
	RulesPassed int              `json:"rules_passed"`
	Rules       int              `json:"rules"`
	Folder      string           `json:"folder"`
	Format      string           `json:"format"`
	// Sample are the first rows of the ratings, by column.
	Sample      []map[string]string `json:"sample"`
	BestLine    string              `json:"best_line"`
	BestRevenue string              `json:"best_line_revenue"`
	// VectorStore says in a line how the store followed the run.
	VectorStore string `json:"vector_store"`
	// Seconds by stage, and from the request to the end of the run.
	Seconds map[string]float64 `json:"seconds"`
	Elapsed float64            `json:"elapsed_seconds"`
	// Strategies are what each made of the same change, where the shop lived on.
	Strategies []strategySummary `json:"strategies,omitempty"`
}

// strategySummary is what local run tells a machine of a strategy.
type strategySummary struct {
	Strategy string `json:"strategy"`
	RunID    string `json:"run_id"`
	Ratings  int    `json:"ratings"`
	Gone     int    `json:"gone"`
	// Customer and Product have had the rating Before, and have Value now.
	Customer string  `json:"customer"`
	Product  string  `json:"product"`
	Before   string  `json:"before"`
	Value    string  `json:"value"`
	Elapsed  float64 `json:"elapsed_seconds"`
}

// flowSummary is what local run tells a machine of a second of the sending.
type flowSummary struct {
	In  int     `json:"events"`
	Lag float64 `json:"lag_seconds"`
	P99 float64 `json:"p99_seconds"`
}

type figures struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

// stage is a row of the closing table's latencies.
type stage struct {
	name      string
	durations []time.Duration
}

func stages(running *platform.Platform, report demonstration.Report) []stage {
	all := []stage{{"event to taken by the stream", report.Put}, {"event to readable by the shop", report.Readable},
		{"event to object in the archive", report.Stored}}
	sources := map[string]string{}
	for _, function := range running.Functions() {
		sources[function.Definition.Name] = path.Base(function.Source)
	}
	invocations := func(of *provider.Invocations) {
		if name, known := sources[of.Function]; known {
			warm, cold, _ := of.Durations()
			all = append(all, stage{name + ", an invocation", warm}, stage{name + ", process start to first answer",
				cold})
		}
	}
	for _, consumer := range running.Consumers() {
		invocations(consumer.Invocations)
	}
	for _, delivery := range running.Deliveries() {
		invocations(delivery.Invocations)
	}
	return all
}

// demonstrated is what local run has to tell.
type demonstrated struct {
	shop      *classicmodels.Shop
	running   *platform.Platform
	target    demonstration.Target
	streaming demonstration.Report
	batch     demonstration.BatchReport
	compared  demonstration.Comparison
	pages     demonstration.PagesReport
	shopped   demonstration.ShopReport
	// up is how long the platform took to start.
	up time.Duration
}

// encode tells all to a machine.
func (l *localRun) encode(result demonstrated) error {
	report, batch := result.streaming, result.batch
	ran, checked := result.running.Count()
	summary := localSummary{
		UpSeconds: result.up.Seconds(), Sent: report.Sent, Broken: report.Broken, Archived: report.Archived,
		Duplicates: report.Duplicates,
		Delivered:  report.Delivered, Degraded: report.Degraded, Refused: report.Refused, RefusedFor: report.RefusedFor,
		LatencySeconds: map[string]figures{},
		Run:            ran, Checked: checked, Batch: batchSummary{
			RunID: batch.Outcome.RunID, Read: batch.Outcome.Rows.Read, Published: batch.Outcome.Rows.Published,
			Quarantined: batch.Outcome.Rows.Quarantined, RulesPassed: batch.RulesPassed(),
			Rules:  len(batch.Outcome.Rules),
			Folder: batch.Folder, Format: string(batch.Format), Sample: []map[string]string{},
			BestLine: batch.BestLine, BestRevenue: batch.BestRevenue, Seconds: batch.Outcome.Seconds,
			Elapsed: batch.Elapsed.Seconds(), VectorStore: batch.VectorStore,
		},
	}
	if report.Unfinished != nil {
		summary.Unfinished = report.Unfinished.Error()
	}
	summary.NotSent = max(l.events.value-report.Sent, 0)
	for _, second := range report.Flow {
		summary.Flow = append(summary.Flow, flowSummary{second.In, second.Lag.Seconds(), second.P99.Seconds()})
	}
	summary.Pages = pagesSummary(result.pages)
	summary.Shop = shopSummary{result.shopped.Products, result.shopped.Took.Seconds()}
	summary.Account = summarised(result.running.Account(context.Background()))
	for _, row := range stages(result.running, report) {
		summary.LatencySeconds[row.name] = figures{len(row.durations),
			demonstration.Percentile(row.durations, 50).Seconds(), demonstration.Percentile(row.durations,
				99).Seconds()}
	}
	for _, one := range result.compared.Strategies {
		summary.Batch.Strategies = append(summary.Batch.Strategies, strategySummary{
			Strategy: string(one.Strategy), RunID: one.Run, Ratings: one.Ratings, Gone: one.Gone,
			Customer: result.compared.Customer, Product: result.compared.Product, Before: result.compared.Before,
			Value: one.Value, Elapsed: one.Elapsed.Seconds(),
		})
	}
	for _, row := range batch.Sample {
		named := map[string]string{}
		for i, column := range batch.Columns {
			named[column] = row[i]
		}
		summary.Batch.Sample = append(summary.Batch.Sample, named)
	}
	return json.NewEncoder(l.user.out).Encode(summary)
}

// showStreaming tells people where each event ended, and how long that took.
func (l *localRun) showStreaming(ctx context.Context, result demonstrated) error {
	report, target := result.streaming, result.target
	products, err := productNames(ctx, result.shop)
	if err != nil {
		return err
	}
	for _, record := range report.Records[:min(l.shown.value, len(report.Records))] {
		showRecord(l.user.out, record, products)
	}
	if err := showEvents(l.user.out, report, l.events.value, target); err != nil {
		return err
	}
	fmt.Fprintln(l.user.out)
	if err := showFlow(l.user.out, report.Flow); err != nil {
		return err
	}
	table := tabwriter.NewWriter(l.user.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "Latency\tp50\tp99")
	for _, row := range stages(result.running, report) {
		if len(row.durations) > 0 {
			fmt.Fprintf(table, "  %s\t%s\t%s\n", row.name, rounded(demonstration.Percentile(row.durations, 50)),
				rounded(demonstration.Percentile(row.durations, 99)))
		}
	}
	fmt.Fprintln(table)
	return table.Flush()
}

// showEvents tells where the events are, of so many that were wanted.
func showEvents(to io.Writer, report demonstration.Report, wanted int, target demonstration.Target) error {
	if report.Unfinished != nil {
		fmt.Fprintf(to, "Unfinished: %v. What follows is what was there by then.\n", report.Unfinished)
	}
	table := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "Events\tcount\twhere")
	if left := wanted - report.Sent; left > 0 {
		fmt.Fprintf(table, "  not sent\t%d\tof %d\n", left, wanted)
	}
	fmt.Fprintf(table, "  in\t%d\tstream %s\n", report.Sent, target.Stream)
	fmt.Fprintf(table, "  archived\t%d\ts3://%s/%s\n", report.Archived, target.Bucket, target.ArchivePrefix)
	fmt.Fprintf(table, "  delivered to the shop\t%d\ttable %s\n", report.Delivered, target.Table)
	fmt.Fprintf(table, "  of these by popularity, not by the model\t%d\tdegraded: true\n", report.Degraded)
	for _, reason := range slices.Sorted(maps.Keys(report.RefusedFor)) {
		fmt.Fprintf(table, "  in error, %s\t%d\ts3://%s/%s\n", reason, report.RefusedFor[reason], target.Bucket,
			target.ErrorPrefix)
	}
	if left := report.Sent - report.Archived - report.Refused; report.Unfinished == nil {
		fmt.Fprintf(table, "  dropped\t%d\tnowhere\n", left)
	} else {
		fmt.Fprintf(table, "  on the way\t%d\tneither archived nor in error yet\n", left)
	}
	return table.Flush()
}

// showBatch tells people what the ETL job published, and what of the templates ran.
func (l *localRun) showBatch(result demonstrated) error {
	if err := showRun(l.user.out, result.batch); err != nil {
		return err
	}
	if err := showStrategies(l.user.out, result.compared); err != nil {
		return err
	}
	if err := showPages(l.user.out, result.pages); err != nil {
		return err
	}
	if err := showShop(l.user.out, result.shopped); err != nil {
		return err
	}
	ran, checked := result.running.Count()
	_, err := fmt.Fprintf(l.user.out,
		"\nUp in %.1f s. %d resources of the templates ran:\n  %s\n%d were checked, not executed, because\n  %s\n",
		result.up.Seconds(), ran, strings.Join(kindsThatRan(result.running), ", "), checked,
		strings.Join(reasonsForChecking(result.running), "\n  "))
	return err
}

// showRun tells of one run of the batch path.
func showRun(to io.Writer, batch demonstration.BatchReport) error {
	rows := batch.Outcome.Rows
	table := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "Training set and sales mart\trows\tof these")
	for _, line := range []struct {
		what string
		rows map[string]int64
	}{{"read from the source", rows.Read}, {"published", rows.Published}, {"quarantined", rows.Quarantined}} {
		total, parts := int64(0), []string{}
		for _, name := range slices.Sorted(maps.Keys(line.rows)) {
			total += line.rows[name]
			if line.rows[name] > 0 {
				parts = append(parts, grouped(line.rows[name])+" "+name)
			}
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", line.what, grouped(total), strings.Join(parts, ", "))
	}
	fmt.Fprintf(table, "  rules passed\t%d\tof %d\n", batch.RulesPassed(), len(batch.Outcome.Rules))
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(to, "  in %s, as %s, after %s\n", batch.Folder, batch.Format,
		batch.Elapsed.Round(100*time.Millisecond))
	fmt.Fprintf(to, "Vector store: %s\n\n", batch.VectorStore)
	fmt.Fprintln(to, "The first ratings")
	if len(batch.Sample) > 0 {
		fmt.Fprintln(table, "  "+strings.Join(batch.Columns, "\t"))
	}
	for _, row := range batch.Sample {
		fmt.Fprintln(table, "  "+strings.Join(row, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(to, "\nThe best-selling line is %s, with a revenue of %s.\n", batch.BestLine,
		batch.BestRevenue)
	return err
}

// showStrategies tells in a line each what the strategies made of the same change.
func showStrategies(to io.Writer, compared demonstration.Comparison) error {
	if len(compared.Strategies) == 0 {
		return nil
	}
	fmt.Fprintf(to, "\n%d days later, in which customer %s changed a rating of %s from %s, as the strategies have it\n",
		compared.Days, compared.Customer, compared.Product, compared.Before)
	table := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	for _, one := range compared.Strategies {
		fmt.Fprintf(table, "  %s\tthat rating is %s\t%s ratings, %s of the first run's are gone\tafter %s\n",
			one.Strategy, one.Value, grouped(int64(one.Ratings)), grouped(int64(one.Gone)),
			one.Elapsed.Round(100*time.Millisecond))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(to, "Vector store: %s\n\n", compared.VectorStore)
	return err
}

// showShop tells in one line what a visitor of the shop sees.
func showShop(to io.Writer, shop demonstration.ShopReport) error {
	_, err := fmt.Fprintf(to, "Shop: %d products; %s put into the cart there, and what is recommended upon that"+
		" shown after %s.\n", shop.Products, shop.Looked, rounded(shop.Took))
	return err
}

// showPages tells in one line what the web tier's pages show.
func showPages(to io.Writer, pages demonstration.PagesReport) error {
	shown := fmt.Sprintf("%s of revenue in %d product lines, most of it from %s (%s)", pages.Revenue, pages.Lines,
		pages.BestLine, pages.BestRevenue)
	if pages.Withheld {
		shown = "sales are withheld"
	}
	_, err := fmt.Fprintf(to, "Pages at %s: %s; answered by %s.\n", pages.Address, shown,
		strings.Join(pages.Servers, " and "))
	return err
}

// reasonsForChecking counts the resources that did not run by the reason.
func reasonsForChecking(running *platform.Platform) []string {
	counts := map[string]int{}
	for _, resource := range running.Resources() {
		if resource.Fate == assembly.Checked {
			counts[resource.Reason]++
		}
	}
	var lines []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf("%3d  %s", counts[reason], reason))
	}
	return lines
}

// kindsThatRan counts the resources that ran by type, in the order of their creation.
func kindsThatRan(running *platform.Platform) []string {
	counts := map[string]int{}
	var order []string
	for _, resource := range running.Resources() {
		if resource.Fate == assembly.Run {
			if counts[resource.Type] == 0 {
				order = append(order, resource.Type)
			}
			counts[resource.Type]++
		}
	}
	for i, kind := range order {
		order[i] = fmt.Sprintf("%d %s", counts[kind], strings.TrimPrefix(kind, "AWS::"))
	}
	return order
}

func rounded(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// productNames are short descriptions of the shop's products by code.
func productNames(ctx context.Context, shop *classicmodels.Shop) (map[string]string, error) {
	names := map[string]string{}
	err := shop.Scan(ctx, func(table *classicmodels.Table, row []classicmodels.Value) error {
		if table.Name == classicmodels.Products {
			text := map[string]string{}
			for i, column := range table.Columns {
				text[column.Name] = row[i].String()
			}
			names[text["productCode"]] = fmt.Sprintf("%s (%s, %s)", text["productName"], text["productLine"],
				text["productScale"])
		}
		return nil
	})
	return names, err
}

func showRecord(to io.Writer, record recommendation.Record, products map[string]string) {
	event := record.Event
	fmt.Fprintf(to, "Customer %d in %s, %s, credit limit %s\n", event.CustomerNumber,
		strings.TrimSpace(event.City), strings.TrimSpace(event.Country), grouped(int64(event.CreditLimit)))
	name := func(code string) string {
		if known := products[code]; known != "" {
			return code + " " + known
		}
		return code
	}
	list := func(title string, codes []string) {
		for i, code := range codes {
			if i > 0 {
				title = ""
			}
			fmt.Fprintf(to, "  %-14s %s\n", title, name(code))
		}
	}
	list("browsed", event.Browsed())
	list("in the cart", event.Cart())
	for i, item := range record.Items {
		title := ""
		if i == 0 {
			title = "recommended"
		}
		fmt.Fprintf(to, "  %-14s %.3f  %s\n", title, item.Score, name(item.ID))
	}
	why := fmt.Sprintf("of all products not in the cart, model %s places these nearest to a customer of\n%17sthat "+
		"city, country and credit limit (the figure is the inner product of unit vectors)", record.ModelVersion, "")
	if record.Rung.Degraded() {
		why = fmt.Sprintf("the model could not answer: these are the most popular of %s", record.ModelVersion)
	}
	fmt.Fprintf(to, "  %-14s %s\n", "because", why)
	for _, similar := range record.Similar[:min(1, len(record.Similar))] {
		for i, item := range similar.Items[:min(3, len(similar.Items))] {
			title := ""
			if i == 0 {
				title = "like " + similar.ProductCode
			}
			fmt.Fprintf(to, "  %-14s %s\n", title, name(item.ID))
		}
	}
	fmt.Fprintln(to)
}

// steps shows what a longer piece of work is at, on one line of a terminal; elsewhere it shows
// nothing.
type steps struct {
	to       io.Writer
	terminal bool
}

func startSteps(to io.Writer) *steps {
	file, isFile := to.(*os.File)
	return &steps{to: to, terminal: isFile && term.IsTerminal(int(file.Fd()))}
}

func (s *steps) step(text string) {
	if s.terminal {
		fmt.Fprintf(s.to, "\r\x1b[K%s", text)
	}
}

// watchEvery is the pause between two looks at what is shown.
const watchEvery = 500 * time.Millisecond

// watch shows a text that changes, until the returned function is called.
func (s *steps) watch(text func() string) (stop func()) {
	if !s.terminal {
		return func() {}
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer s.close()
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			s.step(text())
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	return func() {
		close(over)
		<-done
	}
}

func (s *steps) close() {
	if s.terminal {
		fmt.Fprint(s.to, "\r\x1b[K")
	}
}
