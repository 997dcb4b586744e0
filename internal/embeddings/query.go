package embeddings

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"diecast/internal/sqlquery"
	"diecast/sql"
)

// canceled is PostgreSQL's error for a statement that took too long: query_canceled.
const canceled = "57014"

// Query runs one statement that reads, with the rights of the schema's owner and in a transaction
// that changes nothing, and gives its answer within sqlquery's bounds.
func (s *Store) Query(ctx context.Context, statement string) (sqlquery.Table, error) {
	return s.query(ctx, statement, sqlquery.Timeout)
}

func (s *Store) query(ctx context.Context, statement string, limit time.Duration) (table sqlquery.Table, err error) {
	if err := sqlquery.Check(statement, "SELECT", "WITH", "SHOW", "EXPLAIN", "TABLE", "VALUES"); err != nil {
		return sqlquery.Table{}, err
	}
	tooLong := fmt.Errorf("query: the statement took more than %v", limit)
	// The server ends the statement; this bound is for a server that has gone.
	ctx, cancel := context.WithTimeoutCause(ctx, limit+time.Second, tooLong)
	defer cancel()
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return sqlquery.Table{}, fmt.Errorf("query: connect: %w", err)
	}
	// A statement may have taken locks and set variables, which outlive the transaction: they end
	// with the session. The context may be over, and the server sees the connection's end in any
	// case.
	connection := pooled.Hijack()
	defer func() { _ = connection.Close(context.WithoutCancel(ctx)) }()
	err = pgx.BeginTxFunc(ctx, connection, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, setting := range []string{
			"SET LOCAL ROLE " + sql.OwnerRole, fmt.Sprintf("SET LOCAL statement_timeout = %d", limit.Milliseconds()),
			"SET LOCAL search_path = vectors, public",
		} {
			if _, err := tx.Exec(ctx, setting, pgx.QueryExecModeExec); err != nil {
				return fmt.Errorf("query: %s: %w", setting, err)
			}
		}
		table, err = readTable(ctx, tx.Conn().PgConn(), statement)
		return err
	})
	var ended *pgconn.PgError
	switch {
	case table.Truncated: // which ended the connection, and the transaction with it
		return table, nil
	case errors.As(err, &ended) && ended.Code == canceled:
		return sqlquery.Table{}, tooLong
	case err != nil && ctx.Err() != nil:
		return sqlquery.Table{}, context.Cause(ctx)
	case err != nil:
		return sqlquery.Table{}, fmt.Errorf("query: %w", err)
	}
	return table, nil
}

// readTable asks for every value as text. The extended protocol takes one statement and no more.
// Where the table is full the connection is given up: it would have to read all the rest.
func readTable(ctx context.Context, connection *pgconn.PgConn, statement string) (sqlquery.Table, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := connection.ExecParams(ctx, statement, nil, nil, nil, nil)
	names := []string{}
	for _, field := range answer.FieldDescriptions() {
		names = append(names, field.Name)
	}
	table := sqlquery.NewTable(names)
	for answer.NextRow() {
		if !table.Add(answer.Values()) {
			cancel()
			_, _ = answer.Close() // it was given up
			return table, nil
		}
	}
	_, err := answer.Close()
	return table, err
}
