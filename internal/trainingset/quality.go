package trainingset

import "diecast/internal/strictjson"

// Quality is what the ETL job measured of a run, and how far that is from the run before.
type Quality struct {
	Measures []Measure `json:"measures"`
	Drift    []Drift   `json:"drift"`
}

// Measure is a number that tells of a table.
type Measure struct {
	Table string `json:"table"`
	// Column is an asterisk for the whole table.
	Column string `json:"column"`
	// Measure is rows, quarantined (rows), nulls (a share of the rows), mean, new or vanished
	// (products, as shares of those of the run before).
	Measure string  `json:"measure"`
	Value   float64 `json:"value"`
}

// Drift is what a drift rule found.
type Drift struct {
	Table   string  `json:"table"`
	Column  string  `json:"column"`
	Measure string  `json:"measure"`
	Before  float64 `json:"before"`
	Now     float64 `json:"now"`
	// Change is a share of Before for rows, and a difference for the others.
	Change float64 `json:"change"`
	Limit  float64 `json:"limit"`
	Passed bool    `json:"passed"`
}

const (
	maxMeasures = 1000
	maxValue    = 1e15
)

func readQuality(value strictjson.Value) *Quality {
	quality := &Quality{Measures: []Measure{}, Drift: []Drift{}}
	if !value.Object() {
		return quality
	}
	place := func(entry strictjson.Value) (table, column, measure string) {
		return entry.Field("table").Text(1, maxIdentifier), entry.Field("column").Text(1, maxIdentifier),
			entry.Field("measure").OneOf("rows", "quarantined", "nulls", "mean", "new", "vanished")
	}
	for _, entry := range value.Field("measures").Elements(0, maxMeasures) {
		if entry.Object() {
			measure := Measure{Value: entry.Field("value").Number(0, maxValue)}
			measure.Table, measure.Column, measure.Measure = place(entry)
			quality.Measures = append(quality.Measures, measure)
		}
	}
	for _, entry := range value.Field("drift").Elements(0, maxMeasures) {
		if entry.Object() {
			drift := Drift{
				Before: entry.Field("before").Number(0, maxValue), Now: entry.Field("now").Number(0, maxValue),
				Change: entry.Field("change").Number(0, maxValue), Limit: entry.Field("limit").Number(0, maxValue),
				Passed: entry.Field("passed").Bool(),
			}
			drift.Table, drift.Column, drift.Measure = place(entry)
			quality.Drift = append(quality.Drift, drift)
		}
	}
	return quality
}
