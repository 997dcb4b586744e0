package sql

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"strings"
)

//go:embed lake archive
var athenaFiles embed.FS

// SavedQuery is a query in Athena's dialect.
type SavedQuery struct {
	// Name is that of the file, such as revenue_by_month.
	Name string
	// Meaning is the file's first line.
	Meaning string
	// Text is the statement, without meaning and closing semicolon. Athena asks whoever runs it for
	// the value of each question mark in it.
	Text string
}

// athenaTable is a table: it stands behind FROM or JOIN, and its columns are qualified by its name.
var athenaTable = regexp.MustCompile(`\b(FROM|JOIN) (\w+)`)

// LakeQueries are the saved queries of the lake, over the tables that catalogue names for those in
// the text.
func LakeQueries(catalogue func(table string) string) []SavedQuery {
	queries := savedQueries("lake")
	for i, query := range queries {
		queries[i].Text = athenaTable.ReplaceAllStringFunc(query.Text, func(found string) string {
			keyword, table, _ := strings.Cut(found, " ")
			if name := catalogue(table); name != table {
				return fmt.Sprintf("%s %s AS %s", keyword, name, table)
			}
			return found
		})
	}
	return queries
}

// ArchiveQueries are the saved queries of the archive of recommendations, over the tables of
// internal/archive.
func ArchiveQueries() []SavedQuery { return savedQueries("archive") }

// savedQueries are the files of a folder, by name.
func savedQueries(folder string) []SavedQuery {
	entries, err := athenaFiles.ReadDir(folder)
	if err != nil {
		panic(fmt.Sprintf("sql: embedded folder: %v", err)) // only a broken build can get here
	}
	queries := make([]SavedQuery, 0, len(entries))
	for _, entry := range entries { // ReadDir sorts by name
		content, err := athenaFiles.ReadFile(path.Join(folder, entry.Name()))
		if err != nil {
			panic(fmt.Sprintf("sql: embedded file: %v", err)) // only a broken build can get here
		}
		meaning, text, _ := strings.Cut(string(content), "\n")
		queries = append(queries, SavedQuery{
			Name: strings.TrimSuffix(entry.Name(), ".sql"), Meaning: strings.TrimPrefix(meaning, "-- "),
			Text: strings.TrimSuffix(strings.TrimSpace(text), ";"),
		})
	}
	return queries
}
