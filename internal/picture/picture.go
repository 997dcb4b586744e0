// Package picture reads consistent pictures of the source database as a web server may: all
// statements of one see the same rows, each is ended by the database itself when it takes too long,
// and what keeps a picture from being read is told in words that may be shown. A Keeper reads one
// after the other in the background, so that nobody waits for the database.
//
// It does not know what is read.
package picture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"diecast/internal/statementtime"
	"diecast/internal/wait/mysqlwait"
)

const (
	// StatementTimeout is how long the database may work on one statement, unless asked otherwise.
	StatementTimeout = 20 * time.Second
	// readTimeout bounds a whole reading, also of a database that has gone without a word.
	readTimeout = time.Minute
)

var (
	// ErrUnreachable tells that no connection came about.
	ErrUnreachable = errors.New("the database cannot be reached")
	// ErrRefused tells that the database answered, and that asking again will not change what: the
	// login is refused, the database does not exist, or its certificate is not to be trusted.
	ErrRefused = errors.New("the database refuses this server, or is not to be trusted")
	// ErrTooSlow tells that a statement took longer than its limit.
	ErrTooSlow = errors.New("the database took too long to answer")
)

// Take has read ask its questions in one consistent picture. Every statement may take limit. The
// error is ErrUnreachable, ErrRefused or ErrTooSlow where it is one of these.
func Take(ctx context.Context, pool *sql.DB, limit time.Duration, read func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout, ErrTooSlow)
	defer cancel()
	err := take(ctx, pool, limit, read)
	switch {
	case err == nil:
		return nil
	case statementtime.Exceeded(err):
		return fmt.Errorf("%w after %v", ErrTooSlow, limit)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

func take(ctx context.Context, pool *sql.DB, limit time.Duration, read func(context.Context, *sql.Tx) error) (
	err error) {
	connection, err := pool.Conn(ctx)
	if mysqlwait.Final(err) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { err = errors.Join(err, unless(sql.ErrConnDone, connection.Close())) }()
	if err := statementtime.Limit(ctx, connection, limit); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	// All statements see the same rows.
	snapshot, err := connection.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unless(sql.ErrTxDone, snapshot.Rollback())) }()
	return read(ctx, snapshot)
}

// Each visits the rows of a statement's answer.
func Each(ctx context.Context, snapshot *sql.Tx, statement string, visit func(*sql.Rows) error) (err error) {
	rows, err := snapshot.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// unless drops an error that only says that something has ended already.
func unless(ended, err error) error {
	if errors.Is(err, ended) {
		return nil
	}
	return err
}
