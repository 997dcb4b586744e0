package sql_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/sql"
)

func TestSavedQueriesSayWhatTheyAreFor(t *testing.T) {
	queries := sql.AthenaQueries(func(table string) string { return table })
	var names []string
	for _, query := range queries {
		names = append(names, query.Name)
		assert.Regexp(t, `^[A-Z].+\.$`, query.Meaning, query.Name)
		assert.True(t, strings.HasPrefix(query.Text, "SELECT "), query.Name)
		assert.NotContains(t, query.Text, ";", query.Name)
		assert.NotContains(t, query.Text, "--", query.Name)
	}
	assert.Equal(t, []string{
		"revenue_by_country", "revenue_by_month", "revenue_by_product_line", "spike_days", "top_products",
		"training_set_profile",
	}, names)
}

// Columns stay qualified by the name that they have in the text.
func TestSavedQueriesReadTheTablesOfTheCatalogue(t *testing.T) {
	for _, query := range sql.AthenaQueries(func(table string) string { return table + "_csv" }) {
		if query.Name == "revenue_by_country" {
			assert.Contains(t, query.Text,
				"FROM sales_csv AS sales\nJOIN customers_csv AS customers ON customers.customerNumber = "+
					"sales.customerNumber")
			return
		}
	}
	require.Fail(t, "no revenue_by_country")
}
