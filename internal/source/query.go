package source

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"diecast/internal/sqlquery"
	"diecast/internal/statementtime"
)

// reading are the words with which a statement that changes nothing begins.
var reading = []string{"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "TABLE", "VALUES"}

// Query runs one read-only statement on a pool whose login is a reader's: its rights are what
// protects the data, the rest are good manners. It gives at most sqlquery.MaxRows rows and
// sqlquery.MaxBytes, and takes at most sqlquery.Timeout.
func Query(ctx context.Context, pool *sql.DB, statement string) (sqlquery.Table, error) {
	return query(ctx, pool, statement, sqlquery.Timeout)
}

func query(ctx context.Context, pool *sql.DB, statement string, limit time.Duration) (_ sqlquery.Table, err error) {
	if err := sqlquery.Check(statement, reading...); err != nil {
		return sqlquery.Table{}, err
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
		return sqlquery.Table{}, fmt.Errorf("query: connect: %w", err)
	}
	defer func() {
		// A statement may have taken locks and set variables, which outlive the transaction: they
		// end with the session.
		_ = connection.Raw(func(any) error { return driver.ErrBadConn })
		err = errors.Join(err, ignoreClosed(connection.Close()))
	}()
	if err := statementtime.Limit(ctx, connection, limit); err != nil {
		return sqlquery.Table{}, wrap("query", err)
	}
	transaction, err := connection.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return sqlquery.Table{}, fmt.Errorf("query: begin: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(transaction.Rollback())) }()
	rows, err := transaction.QueryContext(ctx, statement)
	if err != nil {
		return sqlquery.Table{}, fmt.Errorf("query: %w", err)
	}
	defer rows.Close()
	table, err := readTable(rows)
	return table, wrap("query", err)
}

func readTable(rows *sql.Rows) (sqlquery.Table, error) {
	names, err := rows.Columns()
	if err != nil {
		return sqlquery.Table{}, err
	}
	table := sqlquery.NewTable(names)
	values, targets := make([][]byte, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = (*sql.RawBytes)(&values[i])
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return sqlquery.Table{}, err
		}
		if !table.Add(values) {
			return table, nil
		}
	}
	return table, rows.Err()
}
