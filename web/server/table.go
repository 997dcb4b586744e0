package server

import (
	"bytes"
	"encoding/csv"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"diecast/internal/sales"
)

// tables by the name in their address.
var tables = map[string]func(sales.Report) [][]string{
	"course.csv": func(r sales.Report) [][]string {
		rows := [][]string{{"from", "to", "revenue", "orders", "quantity", "spike_days"}}
		for _, p := range r.Points {
			spikes := make([]string, len(p.Spikes))
			for i, spike := range p.Spikes {
				spikes[i] = spike.Day.String()
			}
			rows = append(rows, append(append([]string{p.From.String(), p.To.String()}, totals(p.Totals)...),
				strings.Join(spikes, " ")))
		}
		return rows
	},
	"product-lines.csv": func(r sales.Report) [][]string { return named("product_line", r.Lines) },
	"countries.csv":     func(r sales.Report) [][]string { return named("country", r.Countries) },
	"products.csv": func(r sales.Report) [][]string {
		rows := [][]string{{"product_code", "product", "product_line", "revenue", "orders", "quantity"}}
		for _, p := range r.Products {
			rows = append(rows, append([]string{cell(p.Code), cell(p.Name), cell(p.Line)}, totals(p.Totals)...))
		}
		return rows
	},
	"spikes.csv": func(r sales.Report) [][]string {
		rows := [][]string{{"day", "revenue", "threshold"}}
		for _, spike := range r.Spikes {
			rows = append(rows, []string{spike.Day.String(), spike.Revenue.String(), spike.Threshold.String()})
		}
		return rows
	},
}

func named(column string, rows []sales.Row) [][]string {
	all := [][]string{{column, "revenue", "orders", "quantity"}}
	for _, row := range rows {
		all = append(all, append([]string{cell(row.Name)}, totals(row.Totals)...))
	}
	return all
}

func totals(t sales.Totals) []string {
	return []string{t.Revenue.String(), strconv.FormatInt(t.Orders, 10), strconv.FormatInt(t.Quantity, 10)}
}

// cell keeps a spreadsheet from taking a name for a formula.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// table answers with a dashboard's table as CSV. What is wrong with the address is an error here: a
// machine does not read what is shown instead.
func (s *Server) table(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("table")
	rows, known := tables[name]
	if !known {
		s.problem(w, http.StatusNotFound, "There is no such table", "Nothing is at "+quoted(r.URL.Path)+".")
		return
	}
	state := s.options.Sales()
	figures := state.Figures
	if figures == nil {
		s.noTable(w, state.Failed)
		return
	}
	f, problems := readFilter(r.URL.RawQuery, figures)
	if len(problems) > 0 {
		lines := make([]string, len(problems))
		for i, p := range problems {
			lines[i] = p.what
		}
		http.Error(w, strings.Join(lines, "\n"), http.StatusBadRequest)
		return
	}
	var out bytes.Buffer
	writer := csv.NewWriter(&out)
	_ = writer.WriteAll(rows(figures.Report(f.sales))) // to memory: it cannot fail
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+s.fileName(name, figures)+`"`)
	w.Header().Set("Last-Modified", figures.AsOf().UTC().Format(http.TimeFormat))
	newBody(out.Bytes()).write(w, r, http.StatusOK)
}

// noTable answers while nothing was read, with the reason. What asking again will not change is no
// matter of waiting.
func (s *Server) noTable(w http.ResponseWriter, failed error) {
	if errors.Is(failed, sales.ErrRefused) {
		http.Error(w, "The sales cannot be read: "+sales.Reason(failed)+".", http.StatusInternalServerError)
		return
	}
	words := "The sales have not been read from the database yet."
	if failed != nil {
		words = "The sales have not been read yet: " + sales.Reason(failed) + "."
	}
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	http.Error(w, words+" Please try again later.", http.StatusServiceUnavailable)
}

// fileName of a table says of when its figures are, and that they are old: rows of a CSV have no
// room for it, and a file is looked at long after it was fetched.
func (s *Server) fileName(table string, figures *sales.Figures) string {
	name := strings.TrimSuffix(table, ".csv")
	if s.options.Now().Sub(figures.AsOf()) > staleAfter {
		name += "-old"
	}
	return name + "-" + figures.AsOf().UTC().Format("2006-01-02T15-04Z") + ".csv"
}
