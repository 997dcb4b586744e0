package sales

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"diecast/internal/statementtime"
	"diecast/internal/wait/mysqlwait"
	statements "diecast/sql"
)

const (
	// StatementTimeout is how long the database may work on one statement of a reading.
	StatementTimeout = 20 * time.Second
	// readTimeout bounds a whole reading, also of a database that has gone without a word.
	readTimeout = time.Minute
	// MaxItems bounds the memory: 32 MB, twice that while one reading replaces another.
	MaxItems = 2_000_000
)

var (
	// ErrUnreachable tells that no connection came about.
	ErrUnreachable = errors.New("the database cannot be reached")
	// ErrRefused tells that the database answered, and that asking again will not change what: the
	// login is refused, the database does not exist, or its certificate is not to be trusted.
	ErrRefused = errors.New("the database refuses this server, or is not to be trusted")
	// ErrTooSlow tells that a statement took longer than its limit.
	ErrTooSlow = errors.New("the database took too long to answer")
	// ErrTooMany tells that the shop has more order lines than are held.
	ErrTooMany = errors.New("the shop has more order lines than these pages can add up")
)

// Reason is why a reading did not succeed, in words that give nothing of the inside away.
func Reason(err error) string {
	for _, known := range []error{ErrUnreachable, ErrRefused, ErrTooSlow, ErrTooMany} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the database did not answer as it should"
}

// Database reads the shop's sales. Its pool's default database is classicmodels, its login at least
// web_reader.
type Database struct {
	pool  *sql.DB
	limit time.Duration
	most  int
}

// NewDatabase reads by a pool, which stays the caller's to close.
func NewDatabase(pool *sql.DB) *Database {
	return &Database{pool: pool, limit: StatementTimeout, most: MaxItems}
}

// Read takes one consistent picture. The error is ErrUnreachable, ErrRefused, ErrTooSlow or
// ErrTooMany where it is one of these.
func (d *Database) Read(ctx context.Context) (*Figures, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout, ErrTooSlow)
	defer cancel()
	figures, err := d.read(ctx)
	switch {
	case err == nil:
		return figures, nil
	case statementtime.Exceeded(err):
		return nil, fmt.Errorf("read sales: %w after %v", ErrTooSlow, d.limit)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("read sales: %w", context.Cause(ctx))
	}
	return nil, fmt.Errorf("read sales: %w", err)
}

func (d *Database) read(ctx context.Context) (_ *Figures, err error) {
	connection, err := d.pool.Conn(ctx)
	if mysqlwait.Final(err) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { err = errors.Join(err, unless(sql.ErrConnDone, connection.Close())) }()
	if err := statementtime.Limit(ctx, connection, d.limit); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	// All statements see the same rows.
	snapshot, err := connection.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unless(sql.ErrTxDone, snapshot.Rollback())) }()
	asOf := time.Now()
	var lines []string
	err = each(ctx, snapshot, statements.SalesProductLines, func(rows *sql.Rows) error {
		var line string
		err := rows.Scan(&line)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("product lines: %w", err)
	}
	var products []Product
	err = each(ctx, snapshot, statements.SalesProducts, func(rows *sql.Rows) error {
		var p Product
		err := rows.Scan(&p.Code, &p.Name, &p.Line)
		products = append(products, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("products: %w", err)
	}
	b := newBuilder(asOf, lines, products)
	err = each(ctx, snapshot, statements.SalesItems, func(rows *sql.Rows) error {
		var (
			i   Item
			day time.Time
		)
		if err := rows.Scan(&i.Order, &day, &i.Country, &i.Product, &i.Quantity, &i.Amount); err != nil {
			return err
		}
		if len(b.figures.items) == d.most {
			return fmt.Errorf("%w: %d", ErrTooMany, d.most)
		}
		i.Day = DayOf(day)
		b.add(i)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("order lines: %w", err)
	}
	err = each(ctx, snapshot, statements.SpikeDays, func(rows *sql.Rows) error {
		var (
			day       time.Time
			revenue   string
			threshold sql.NullString
			spike     bool
		)
		if err := rows.Scan(&day, &revenue, &threshold, &spike); err != nil || !spike {
			return err
		}
		s := Spike{Day: DayOf(day)}
		if s.Revenue, err = parseCents(revenue); err != nil {
			return err
		}
		s.Threshold, err = parseCents(threshold.String)
		b.figures.spikes = append(b.figures.spikes, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("demand spikes: %w", err)
	}
	return b.figures, nil
}

// each visits the rows of a statement's answer.
func each(ctx context.Context, transaction *sql.Tx, statement string, visit func(*sql.Rows) error) (err error) {
	rows, err := transaction.QueryContext(ctx, statement)
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
