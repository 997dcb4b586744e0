package sql

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"strings"
)

//go:embed athena
var athenaFiles embed.FS

// SavedQuery is a query of the lake's tables in Athena's dialect.
type SavedQuery struct {
	// Name is that of the file, such as revenue_by_month.
	Name string
	// Meaning is the file's first line.
	Meaning string
	// Text is the statement, without meaning and closing semicolon.
	Text string
}

// athenaTable is a table: it stands behind FROM or JOIN, and its columns are qualified by its name.
var athenaTable = regexp.MustCompile(`\b(FROM|JOIN) (\w+)`)

// AthenaQueries are the saved queries, over the tables that catalogue names for those in the text.
func AthenaQueries(catalogue func(table string) string) []SavedQuery {
	entries, err := athenaFiles.ReadDir("athena")
	if err != nil {
		panic(fmt.Sprintf("sql: embedded folder: %v", err)) // only a broken build can get here
	}
	queries := make([]SavedQuery, 0, len(entries))
	for _, entry := range entries { // ReadDir sorts by name
		content, err := athenaFiles.ReadFile(path.Join("athena", entry.Name()))
		if err != nil {
			panic(fmt.Sprintf("sql: embedded file: %v", err)) // only a broken build can get here
		}
		meaning, text, _ := strings.Cut(string(content), "\n")
		text = athenaTable.ReplaceAllStringFunc(text, func(found string) string {
			keyword, table, _ := strings.Cut(found, " ")
			if name := catalogue(table); name != table {
				return fmt.Sprintf("%s %s AS %s", keyword, name, table)
			}
			return found
		})
		queries = append(queries, SavedQuery{
			Name: strings.TrimSuffix(entry.Name(), ".sql"), Meaning: strings.TrimPrefix(meaning, "-- "),
			Text: strings.TrimSuffix(strings.TrimSpace(text), ";"),
		})
	}
	return queries
}
