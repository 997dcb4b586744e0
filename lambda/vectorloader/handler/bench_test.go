package handler

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"diecast/internal/trainingset/publishedrun/publishedruntest"
	"diecast/internal/vectorloader/answer"
)

// large is a training set of so many products, each rated 10 times, and as many customers, made of
// the sample's rows.
func large(b *testing.B, products int) *publishedruntest.Set {
	b.Helper()
	set := publishedruntest.Sample(b, 1, 0)
	many := func(table, column string, count int, id func(int) string) {
		sample, at := set.Tables[table], publishedruntest.Column(b, table, column)
		rows := make([][]string, count)
		for i := range rows {
			rows[i] = append([]string{}, sample[i%len(sample)]...)
			rows[i][at] = id(i)
		}
		set.Tables[table] = rows
	}
	code := func(i int) string { return fmt.Sprintf("P%07d", i%products) }
	many("products", "productCode", products, code)
	// Each at a price of its own: the same product a thousand times makes the same vector.
	for _, column := range []string{"buyPrice", "MSRP"} {
		at := publishedruntest.Column(b, "products", column)
		for i, row := range set.Tables["products"] {
			price, err := strconv.ParseFloat(row[at], 64)
			require.NoError(b, err)
			row[at] = fmt.Sprintf("%.2f", price*(0.5+float64(i)/float64(products)))
		}
	}
	many("customers", "customerNumber", products, strconv.Itoa)
	many("ratings", "productCode", 10*products, code)
	return set
}

// BenchmarkRefresh measures a refresh from the request to the switch: products and customers are
// embedded, ratings ranked, both loaded beside and indexed. The lake and the bucket are in memory.
func BenchmarkRefresh(b *testing.B) {
	for _, products := range []int{110, 10_000, 100_000} {
		b.Run(strconv.Itoa(products), func(b *testing.B) {
			set := large(b, products)
			for b.Loop() {
				b.StopTimer()
				l, _ := deployed(b)
				set.Publish(b, l.lake)
				b.StartTimer()
				var done answer.Refreshed
				require.NoError(b, l.call(b, refreshRequest, &done))
				require.Equal(b, products, done.Figures.Items)
			}
		})
	}
}
