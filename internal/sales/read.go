package sales

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"diecast/internal/picture"
	statements "diecast/sql"
)

// MaxItems bounds the memory: 32 MB, twice that while one reading replaces another.
const MaxItems = 2_000_000

var (
	// ErrUnreachable, ErrRefused and ErrTooSlow are what keeps a picture of the source from being
	// read.
	ErrUnreachable, ErrRefused, ErrTooSlow = picture.ErrUnreachable, picture.ErrRefused, picture.ErrTooSlow
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
	return &Database{pool: pool, limit: picture.StatementTimeout, most: MaxItems}
}

// Read takes one consistent picture. The error is ErrUnreachable, ErrRefused, ErrTooSlow or
// ErrTooMany where it is one of these.
func (d *Database) Read(ctx context.Context) (figures *Figures, err error) {
	err = picture.Take(ctx, d.pool, d.limit, func(ctx context.Context, snapshot *sql.Tx) error {
		figures, err = d.read(ctx, snapshot)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read sales: %w", err)
	}
	return figures, nil
}

func (d *Database) read(ctx context.Context, snapshot *sql.Tx) (*Figures, error) {
	asOf := time.Now()
	var lines []string
	err := picture.Each(ctx, snapshot, statements.SalesProductLines, func(rows *sql.Rows) error {
		var line string
		err := rows.Scan(&line)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("product lines: %w", err)
	}
	var products []Product
	err = picture.Each(ctx, snapshot, statements.SalesProducts, func(rows *sql.Rows) error {
		var p Product
		err := rows.Scan(&p.Code, &p.Name, &p.Line)
		products = append(products, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("products: %w", err)
	}
	b := newBuilder(asOf, lines, products)
	err = picture.Each(ctx, snapshot, statements.SalesItems, func(rows *sql.Rows) error {
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
	err = picture.Each(ctx, snapshot, statements.SpikeDays, func(rows *sql.Rows) error {
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
