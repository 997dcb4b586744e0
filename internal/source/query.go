package source

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"diecast/internal/statementtime"
)

// Bounds of a query.
const (
	MaxQueryRows = 1000
	// MaxQueryBytes of values keeps the answer below the 6 MB that a Lambda function may give, also
	// after JSON's escapes.
	MaxQueryBytes = 1 << 20
	QueryTimeout  = 10 * time.Second
)

// Table is the answer to a query.
type Table struct {
	Columns []string `json:"columns"`
	// Rows of values as text; null where there is none. Bytes that are no text are in hexadecimal,
	// after 0x.
	Rows [][]*string `json:"rows"`
	// Truncated tells that there are more rows.
	Truncated bool `json:"truncated"`
}

// reading are the words with which a statement that changes nothing begins.
var reading = []string{"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "TABLE", "VALUES"}

// Query runs one read-only statement on a pool whose login is a reader's: its rights are what
// protects the data, the rest are good manners. It gives at most MaxQueryRows rows and
// MaxQueryBytes, and takes at most QueryTimeout.
func Query(ctx context.Context, pool *sql.DB, statement string) (Table, error) {
	return query(ctx, pool, statement, QueryTimeout)
}

func query(ctx context.Context, pool *sql.DB, statement string, limit time.Duration) (_ Table, err error) {
	word := strings.ToUpper(strings.TrimLeft(firstWord(statement), "("))
	if !slices.Contains(reading, word) {
		return Table{}, fmt.Errorf(
			"query: the statement begins with %.40q: %s are allowed", word, strings.Join(reading, ", "),
		)
	}
	tooLong := fmt.Errorf("query: the statement took more than %v", limit)
	// The server ends the statement; this bound is for a server that has gone.
	ctx, cancel := context.WithTimeoutCause(ctx, limit+time.Second, tooLong)
	defer cancel()
	defer func() {
		switch {
		case err == nil:
		case statementtime.Exceeded(err):
			err = tooLong
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		}
	}()
	connection, err := pool.Conn(ctx)
	if err != nil {
		return Table{}, fmt.Errorf("query: connect: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreClosed(connection.Close())) }()
	if err := statementtime.Limit(ctx, connection, limit); err != nil {
		return Table{}, wrap("query", err)
	}
	transaction, err := connection.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Table{}, fmt.Errorf("query: begin: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(transaction.Rollback())) }()
	rows, err := transaction.QueryContext(ctx, statement)
	if err != nil {
		return Table{}, fmt.Errorf("query: %w", err)
	}
	defer rows.Close()
	table, err := readTable(rows)
	return table, wrap("query", err)
}

// firstWord of a statement, after comments that take a line.
func firstWord(statement string) string {
	for line := range strings.Lines(statement) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "--") || strings.HasPrefix(line, "#") {
			continue
		}
		return strings.Fields(line)[0]
	}
	return ""
}

func readTable(rows *sql.Rows) (Table, error) {
	names, err := rows.Columns()
	if err != nil {
		return Table{}, err
	}
	table := Table{Columns: names, Rows: [][]*string{}}
	values, targets, bytes := make([]sql.RawBytes, len(names)), make([]any, len(names)), 0
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return Table{}, err
		}
		row := make([]*string, len(values))
		for i, value := range values {
			if value == nil {
				continue
			}
			text := string(value)
			if !utf8.ValidString(text) {
				text = "0x" + hex.EncodeToString(value)
			}
			row[i], bytes = &text, bytes+len(text)
		}
		if len(table.Rows) == MaxQueryRows || bytes > MaxQueryBytes {
			table.Truncated = true
			return table, nil
		}
		table.Rows = append(table.Rows, row)
	}
	return table, rows.Err()
}
