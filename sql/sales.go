package sql

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed sales catalogue
var webFiles embed.FS

// The statements that the web servers read the shop's sales and its catalogue with, as WebReader.
// None has parameters.
var (
	// CatalogueProducts are what the shop sells, CatalogueCustomers the numbers of its customers.
	CatalogueProducts  = webStatement("catalogue/products")
	CatalogueCustomers = webStatement("catalogue/customers")
	// SalesItems are the lines of all orders that count.
	SalesItems = webStatement("sales/items")
	// SalesProducts are the products with their lines, SalesProductLines all lines.
	SalesProducts     = webStatement("sales/products")
	SalesProductLines = webStatement("sales/product_lines")
	// SpikeDays are revenue, threshold and verdict by day. Its tables are not qualified: it is run
	// in the database classicmodels.
	SpikeDays = strings.TrimSuffix(strings.TrimSpace(sourceText("spike_days.sql")), ";")
)

func webStatement(name string) string {
	text, err := webFiles.ReadFile(name + ".sql")
	if err != nil {
		panic(fmt.Sprintf("sql: embedded file: %v", err)) // only a broken build can get here
	}
	return strings.TrimSuffix(strings.TrimSpace(string(text)), ";")
}
