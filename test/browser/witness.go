package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The statement is written anew here, on purpose: it is the independent witness.
const witness = ` FROM classicmodels.orderdetails d JOIN classicmodels.orders o USING (orderNumber)
	JOIN classicmodels.products p USING (productCode) JOIN classicmodels.customers c USING (customerNumber)
	WHERE o.status <> 'Cancelled' AND o.orderDate BETWEEN '%s' AND '%s'%s`

const sums = `CONCAT('$', FORMAT(SUM(quantityOrdered * priceEach), 2)), FORMAT(COUNT(DISTINCT o.orderNumber), 0)`

// ShowsWhatTheDatabaseHolds reads the dashboard's figures as a person does, under many filters, and
// compares them with what a query of the generated shop answers, each value as text.
func ShowsWhatTheDatabaseHolds(t *testing.T, b *Tab, address string, query func(statement string) [][]string) {
	t.Helper()
	for name, c := range map[string]struct {
		query, from, to, where string
		// first and last day as the page says them, of a period that the shop's last order ends.
		shown []string
	}{
		"all":           {"?period=all", "2003-01-01", "2005-12-31", "", nil},
		"twelve months": {"", "2004-06-01", "2005-05-31", "", []string{"1 Jun 2004", "31 May 2005"}},
		"ninety days":   {"?period=90d", "2005-03-03", "2005-05-31", "", []string{"3 Mar 2005", "31 May 2005"}},
		"thirty days":   {"?period=30d", "2005-05-02", "2005-05-31", "", []string{"2 May 2005", "31 May 2005"}},
		"dates":         {"?from=2004-02-03&to=2004-03-04", "2004-02-03", "2004-03-04", "", nil},
		"line, by months": {"?period=all&line=Classic+Cars", "2003-01-01", "2005-12-31",
			" AND p.productLine = 'Classic Cars'", nil},
		"country": {"?period=all&country=France", "2003-01-01", "2005-12-31",
			" AND TRIM(c.country) = 'France'", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b.Visit(t, address+"/sales"+c.query)
			if c.shown != nil {
				assert.Equal(t, c.shown, Value[[]string](t, b, Texts(".lead b")))
			}
			from := fmt.Sprintf(witness, c.from, c.to, c.where)
			assert.Equal(t, query("SELECT " + sums + `, CONCAT('$', FORMAT(ROUND(SUM(quantityOrdered * priceEach) /
				COUNT(DISTINCT o.orderNumber), 2), 2)), FORMAT(SUM(quantityOrdered), 0)` + from)[0],
				Value[[]string](t, b, Texts(".cards .value")))
			assert.Equal(t, query("SELECT productLine, "+sums+from+
				" GROUP BY productLine ORDER BY SUM(quantityOrdered * priceEach) DESC"),
				Value[[][]string](t, b, TableOf("lines", 3)))
			assert.Equal(t, query("SELECT TRIM(country) AS place, "+sums+from+
				" GROUP BY place ORDER BY SUM(quantityOrdered * priceEach) DESC, place"),
				Value[[][]string](t, b, TableOf("countries", 3)))
			assert.Equal(t, query("SELECT productName, "+sums+from+
				" GROUP BY productCode, productName ORDER BY SUM(quantityOrdered * priceEach) DESC, productCode"+
				" LIMIT 20"),
				Value[[][]string](t, b, TableOf("products", 3)))
			if strings.Contains(c.query, "period=all") {
				assert.Equal(t, query("SELECT DATE_FORMAT(MIN(orderDate), '%M %Y'), "+sums+from+
					" GROUP BY YEAR(orderDate), MONTH(orderDate) ORDER BY MIN(orderDate)"),
					Value[[][]string](t, b, `(`+TableOf("revenue", 2)+`).filter(row => row[2] != "0")`))
			}
		})
	}
}

// FiltersByKeyboard chooses a product line without a mouse, from the page's beginning on.
func FiltersByKeyboard(t *testing.T, b *Tab, address string) {
	t.Helper()
	b.Visit(t, address+"/sales")
	focus := `(document.activeElement.name || document.activeElement.textContent).trim()`
	var seen []string
	for range 40 {
		Press(t, b, "\t")
		seen = append(seen, Value[string](t, b, focus))
		if seen[len(seen)-1] == "line" {
			break
		}
	}
	assert.Equal(t, "Skip to content", seen[0])
	assert.Subset(t, seen, []string{"30 days", "90 days", "12 months", "All time", "from", "to", "line"})
	Press(t, b, "Motorcycles")
	_, err := chromedp.RunResponse(b, chromedp.KeyEvent("\t\t\r")) // country, Show
	require.NoError(t, err)
	assert.Contains(t, Value[string](t, b, `location.search`), "line=Motorcycles")
	assert.Contains(t, Value[string](t, b, `document.querySelector(".lead").textContent`), "Motorcycles")
	assert.Equal(t, []string{"Motorcycles"}, Value[[]string](t, b, Texts("#lines-table tbody th")))
	// The form goes on from what is chosen.
	assert.Equal(t, "Motorcycles", Value[string](t, b, `document.querySelector("select[name=line]").value`))
	assert.Equal(t, []string{"12 months"}, Value[[]string](t, b, Texts(".presets [aria-current]")))
	assert.Equal(t, "12m", Value[string](t, b, `document.querySelector("input[name=period]").value`))
}

// TableOf reads a table of the page: row names, and the columns of revenue and orders.
func TableOf(id string, orders int) string {
	return fmt.Sprintf(`Array.from(document.querySelectorAll("#%s-table tbody tr")).map(row =>
		[row.cells[0].textContent, row.cells[1].textContent, row.cells[%d].textContent])`, id, orders)
}

// Texts of all elements that a selector finds.
func Texts(selector string) string {
	return fmt.Sprintf(`Array.from(document.querySelectorAll(%q)).map(found => found.textContent)`, selector)
}
