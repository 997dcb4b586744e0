package sql_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/sql"
)

func TestLakeQueriesSayWhatTheyAreFor(t *testing.T) {
	queries := sql.LakeQueries(func(table string) string { return table })
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

func TestArchiveQueriesSayWhatTheyAreFor(t *testing.T) {
	var names []string
	for _, query := range sql.ArchiveQueries() {
		names = append(names, query.Name)
		assert.Regexp(t, `^[A-Z].+\.$`, query.Meaning, query.Name)
		assert.True(t, strings.HasPrefix(query.Text, "WITH "), query.Name)
		assert.NotContains(t, query.Text, ";", query.Name)
		assert.NotContains(t, query.Text, "--", query.Name)
	}
	assert.Equal(t, []string{
		"customer_recommendations", "event_to_recommended", "hit_rate", "refused_by_reason", "rungs_by_hour",
	}, names)
}

// Every query of the archive leaves doubles out by one rule, which is recommendation.Unique's, and
// names the hours that it asks for: without them Athena lists the folders of a year.
func TestArchiveQueriesCountAnEventOnceAndReadAWeek(t *testing.T) {
	const (
		once = "row_number() OVER (PARTITION BY event_id ORDER BY degraded, recommended_at) AS place\n"
		week = "WHERE arrival_hour >= " +
			"date_format(current_timestamp - INTERVAL '7' DAY, 'year=%Y/month=%m/day=%d/hour=%H')\n"
	)
	for _, query := range sql.ArchiveQueries() {
		reads := strings.Count(query.Text, "FROM recommendations\n")
		assert.Equal(t, reads, strings.Count(query.Text, once), query.Name)
		assert.Equal(t, reads, strings.Count(query.Text, week), query.Name)
		assert.Equal(t, reads, min(1, strings.Count(query.Text, "place = 1")), query.Name)
	}
}

// Columns stay qualified by the name that they have in the text.
func TestLakeQueriesReadTheTablesOfTheCatalogue(t *testing.T) {
	for _, query := range sql.LakeQueries(func(table string) string { return table + "_csv" }) {
		if query.Name == "revenue_by_country" {
			assert.Contains(t, query.Text,
				"FROM sales_csv AS sales\nJOIN customers_csv AS customers ON customers.customerNumber = "+
					"sales.customerNumber")
			return
		}
	}
	require.Fail(t, "no revenue_by_country")
}
