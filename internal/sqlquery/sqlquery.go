// Package sqlquery is what an operator may ask a database through a loader, and what is answered:
// one statement that reads, and a table of bounded size. It knows no database; whoever runs a
// statement holds it to its rights and its time.
package sqlquery

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a query.
const (
	MaxRows = 1000
	// MaxBytes of values keeps the answer below the 6 MB that a Lambda function may give, also
	// after JSON's escapes.
	MaxBytes = 1 << 20
	// Timeout of the statement.
	Timeout = 10 * time.Second
)

// Table is the answer to a query.
type Table struct {
	Columns []string `json:"columns"`
	// Rows of values as text; null where there is none. Bytes that are no text are in hexadecimal,
	// after 0x.
	Rows [][]*string `json:"rows"`
	// Truncated tells that there are more rows.
	Truncated bool `json:"truncated"`

	bytes int
}

// NewTable is an empty table.
func NewTable(columns []string) Table { return Table{Columns: columns, Rows: [][]*string{}} }

// Add adds a row of values, nil where there is none, and says whether it was: beyond the bounds
// none is, and the table is Truncated.
func (t *Table) Add(values [][]byte) bool {
	row := make([]*string, len(values))
	for i, value := range values {
		if value == nil {
			continue
		}
		text := string(value)
		if !utf8.ValidString(text) {
			text = "0x" + hex.EncodeToString(value)
		}
		row[i], t.bytes = &text, t.bytes+len(text)
	}
	if len(t.Rows) == MaxRows || t.bytes > MaxBytes {
		t.Truncated = true
		return false
	}
	t.Rows = append(t.Rows, row)
	return true
}

// Check refuses a statement that begins with none of these words, in capitals. What comes before it
// may be comments and parentheses.
func Check(statement string, words ...string) error {
	word := strings.ToUpper(firstWord(statement))
	if !slices.Contains(words, word) {
		return fmt.Errorf("query: the statement begins with %.40q: %s are allowed", word, strings.Join(words, ", "))
	}
	return nil
}

func firstWord(statement string) string {
	for {
		statement = strings.TrimLeftFunc(statement, func(r rune) bool { return unicode.IsSpace(r) || r == '(' })
		comment := ""
		switch {
		case strings.HasPrefix(statement, "--"), strings.HasPrefix(statement, "#"):
			comment = "\n"
		// MySQL runs what stands in comments for a version.
		case strings.HasPrefix(statement, "/*") && !strings.HasPrefix(statement, "/*!") &&
			!strings.HasPrefix(statement, "/*M!"):
			comment, statement = "*/", statement[len("/*"):]
		default:
			if end := strings.IndexFunc(statement, func(r rune) bool { return !unicode.IsLetter(r) }); end > 0 {
				return statement[:end]
			}
			return statement
		}
		var ended bool
		if _, statement, ended = strings.Cut(statement, comment); !ended {
			return ""
		}
	}
}
