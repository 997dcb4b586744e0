package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"diecast/internal/picture"
	statements "diecast/sql"
)

const (
	// MaxProducts bounds the memory.
	MaxProducts = 200_000
	// MaxCustomers bounds the numbers of customers: 4 MB. Those above are left out: the numbers are
	// a choice to offer, not a rule of who may be asked for.
	MaxCustomers = 1_000_000
)

// ErrTooMany tells that the shop has more products than are held.
var ErrTooMany = errors.New("the shop has more products than these pages can hold")

// Database reads the catalogue. Its login is at least web_reader.
type Database struct {
	pool            *sql.DB
	products, known int
}

// NewDatabase reads by a pool, which stays the caller's to close.
func NewDatabase(pool *sql.DB) *Database {
	return &Database{pool: pool, products: MaxProducts, known: MaxCustomers}
}

// NewKeeper keeps the latest catalogue, once it runs.
func NewKeeper(database *Database, interval time.Duration, logger *slog.Logger) *picture.Keeper[Catalogue] {
	return &picture.Keeper[Catalogue]{
		Read: database.Read, Interval: interval, Logger: logger, What: "products",
		Size: func(c *Catalogue) []any { return []any{"products", c.Len(), "customers", c.Customers()} },
	}
}

// Read takes one consistent picture. The error is one of picture's, or ErrTooMany, where it is one
// of these.
func (d *Database) Read(ctx context.Context) (*Catalogue, error) {
	asOf := time.Now()
	var (
		products  []Product
		customers []int32
	)
	err := picture.Take(ctx, d.pool, picture.StatementTimeout, func(ctx context.Context, snapshot *sql.Tx) error {
		err := picture.Each(ctx, snapshot, statements.CatalogueProducts, func(rows *sql.Rows) error {
			if len(products) == d.products {
				return fmt.Errorf("%w: %d", ErrTooMany, d.products)
			}
			var p Product
			err := rows.Scan(&p.Code, &p.Name, &p.Line, &p.Price, &p.Stock)
			products = append(products, p)
			return err
		})
		if err != nil {
			return fmt.Errorf("products: %w", err)
		}
		err = picture.Each(ctx, snapshot, statements.CatalogueCustomers, func(rows *sql.Rows) error {
			var number int32
			if err := rows.Scan(&number); err != nil || len(customers) == d.known {
				return err
			}
			customers = append(customers, number)
			return nil
		})
		if err != nil {
			return fmt.Errorf("customers: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	return New(asOf, products, customers), nil
}
