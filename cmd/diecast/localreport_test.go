package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/demonstration"
	"diecast/internal/trainingset"
)

func TestShowRun(t *testing.T) {
	var out strings.Builder
	require.NoError(t, showRun(&out, demonstration.BatchReport{
		Outcome: trainingset.Outcome{
			Rows: trainingset.Rows{
				Read:        map[string]int64{"ratings": 2556, "orders": 326},
				Published:   map[string]int64{"ratings": 2555, "sales": 0},
				Quarantined: map[string]int64{"ratings": 1, "sales": 0},
			},
			Rules: []trainingset.Rule{{Passed: true}, {Passed: false}, {Passed: true}},
		},
		Folder: "s3://lake/ratings_ml_training/r/", Format: trainingset.Parquet, Elapsed: 12345 * time.Millisecond,
		Columns: []string{"customerNumber", "city"}, Sample: [][]string{{"103", "Nantes"}, {"112", ""}},
		VectorStore: "2 products in, 1 out: model 0123456789ab serves 111",
		BestLine:    "Classic Cars", BestRevenue: "3478244.50",
	}))
	assert.Equal(t, `Training set and sales mart   rows    of these
  read from the source        2,882   326 orders, 2,556 ratings
  published                   2,555   2,555 ratings
  quarantined                 1       1 ratings
  rules passed                2       of 3
  in s3://lake/ratings_ml_training/r/, as parquet, after 12.3s
Vector store: 2 products in, 1 out: model 0123456789ab serves 111

The first ratings
  customerNumber   city
  103              Nantes
  112              

The best-selling line is Classic Cars, with a revenue of 3478244.50.
`, out.String())
}

func TestShowEvents(t *testing.T) {
	target := demonstration.Target{Stream: "s", Table: "t", Bucket: "b", ArchivePrefix: "a/", ErrorPrefix: "e/"}
	report := demonstration.Report{Sent: 10, Broken: 1, Archived: 9, Delivered: 9, Refused: 1,
		RefusedFor: map[string]int{"Code": 1}}
	var out strings.Builder
	require.NoError(t, showEvents(&out, report, 10, target))
	assert.Equal(t, `Events                                       count   where
  in                                         10      stream s
  archived                                   9       s3://b/a/
  delivered to the shop                      9       table t
  of these by popularity, not by the model   0       degraded: true
  in error, Code                             1       s3://b/e/
  dropped                                    0       nowhere
`, out.String())

	// An unfinished run says that it is one, and drops nothing.
	out.Reset()
	report.Unfinished, report.Archived = errors.New("it was interrupted"), 5
	require.NoError(t, showEvents(&out, report, 40, target))
	assert.Contains(t, out.String(), "Unfinished: it was interrupted. What follows is what was there by then.\n")
	assert.Regexp(t, `(?m)^  not sent +30 +of 40$`, out.String())
	assert.Regexp(t, `(?m)^  on the way +4 +neither archived nor in error yet$`, out.String())
	assert.NotContains(t, out.String(), "dropped")
}

func TestShowPages(t *testing.T) {
	for want, pages := range map[string]demonstration.PagesReport{
		"Pages at http://127.0.0.1:8080: 30.00 of revenue in 2 product lines, most of it from Ships (20.00); " +
			"answered by i-1 in us-east-1a and i-2 in us-east-1b.\n": {
			Address: "http://127.0.0.1:8080", Lines: 2, Revenue: "30.00", BestLine: "Ships", BestRevenue: "20.00",
			Servers: []string{"i-1 in us-east-1a", "i-2 in us-east-1b"},
		},
		"Pages at http://127.0.0.1:8080: sales are withheld; answered by i-1 in us-east-1a.\n": {
			Address: "http://127.0.0.1:8080", Withheld: true, Servers: []string{"i-1 in us-east-1a"},
		},
	} {
		var out strings.Builder
		require.NoError(t, showPages(&out, pages))
		assert.Equal(t, want, out.String())
	}
}
