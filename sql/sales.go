package sql

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed sales
var salesFiles embed.FS

// The statements that the web servers read the shop's sales with, as WebReader. None has
// parameters.
var (
	// SalesItems are the lines of all orders that count.
	SalesItems = salesStatement("items")
	// SalesProducts are the products with their lines, SalesProductLines all lines.
	SalesProducts     = salesStatement("products")
	SalesProductLines = salesStatement("product_lines")
	// SpikeDays are revenue, threshold and verdict by day. Its tables are not qualified: it is run
	// in the database classicmodels.
	SpikeDays = strings.TrimSuffix(strings.TrimSpace(sourceText("spike_days.sql")), ";")
)

func salesStatement(name string) string {
	text, err := salesFiles.ReadFile("sales/" + name + ".sql")
	if err != nil {
		panic(fmt.Sprintf("sql: embedded file: %v", err)) // only a broken build can get here
	}
	return strings.TrimSuffix(strings.TrimSpace(string(text)), ";")
}
