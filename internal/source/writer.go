package source

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"diecast/internal/classicmodels"
)

const (
	// batchRows and batchBytes bound what one statement inserts, far below any server's
	// max_allowed_packet.
	batchRows  = 500
	batchBytes = 1 << 20
)

// Numbers of MySQL's errors.
const (
	errorDuplicateKey = 1062
	errorNoParent     = 1452
)

// rowErrors are those that a row's values cause: not null, duplicate key, out of range, wrong for
// the type, too long, no parent. They undo their statement only. After others the transaction may
// be gone.
var rowErrors = []uint16{1048, errorDuplicateKey, 1264, 1292, 1366, 1406, errorNoParent}

// writer inserts rows, many with each statement. Its memory is one batch for each table.
type writer struct {
	transaction *sql.Tx
	file        string // of a dump
	inOrder     bool   // references are checked at once, so that no row may go before its parent
	batches     []*batch
	rows        int64
	progress    func(rows int64)
}

// batch of one table, with the dump's line of each row.
type batch struct {
	table  *classicmodels.Table
	values []any
	lines  []int
	bytes  int
	full   *sql.Stmt // inserts batchRows rows
}

func newWriter(transaction *sql.Tx) *writer {
	w := &writer{transaction: transaction}
	for _, table := range classicmodels.Schema {
		w.batches = append(w.batches, &batch{table: table})
	}
	return w
}

// close gives the prepared statements back. The transaction may be over already, and they with it.
func (w *writer) close() {
	for _, b := range w.batches {
		if b.full != nil {
			_ = b.full.Close()
		}
	}
}

// add inserts a row, now or with others later.
func (w *writer) add(ctx context.Context, table *classicmodels.Table, row []classicmodels.Value, line int) error {
	if w.rows++; w.rows > MaxRows {
		return fmt.Errorf("more than %d rows, which is what the loader takes: %s", MaxRows, byHand)
	}
	if w.progress != nil && w.rows%progressRows == 0 {
		w.progress(w.rows)
	}
	b := w.batch(table)
	for _, value := range row {
		b.values = append(b.values, value)
		b.bytes += value.Bytes()
	}
	if b.lines = append(b.lines, line); len(b.lines) < batchRows && b.bytes < batchBytes {
		return nil
	}
	if w.inOrder {
		return w.flush(ctx)
	}
	return w.insert(ctx, b)
}

func (w *writer) batch(table *classicmodels.Table) *batch {
	for _, b := range w.batches {
		if b.table == table {
			return b
		}
	}
	panic("source: a table that is not in the schema: " + table.Name) // a mistake in this program
}

// flush inserts what is left, parents before children.
func (w *writer) flush(ctx context.Context) error {
	for _, b := range w.batches {
		if err := w.insert(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) insert(ctx context.Context, b *batch) (err error) {
	switch len(b.lines) {
	case 0:
		return nil
	case batchRows:
		if b.full == nil {
			if b.full, err = w.transaction.PrepareContext(ctx, insertStatement(b.table, batchRows)); err != nil {
				return fmt.Errorf("table %s: prepare the insert: %w", b.table.Name, err)
			}
		}
		_, err = b.full.ExecContext(ctx, b.values...)
	default:
		_, err = w.transaction.ExecContext(ctx, insertStatement(b.table, len(b.lines)), b.values...)
	}
	if err != nil {
		return w.explain(ctx, b, err)
	}
	b.values, b.lines, b.bytes = b.values[:0], b.lines[:0], 0
	return nil
}

func insertStatement(table *classicmodels.Table, rows int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(table.Columns)), ", ") + ")"
	return "INSERT INTO " + qualified(table) + " (" + strings.Join(table.ColumnNames(), ", ") + ") VALUES " +
		strings.TrimSuffix(strings.Repeat(row+", ", rows), ", ")
}

// explain finds the row of a batch that the server refused, by trying them one by one.
func (w *writer) explain(ctx context.Context, b *batch, refused error) error {
	if !refusedFor(refused, rowErrors...) {
		return fmt.Errorf("table %s: %w", b.table.Name, refused)
	}
	width := len(b.table.Columns)
	one := insertStatement(b.table, 1)
	for i, line := range b.lines {
		if _, err := w.transaction.ExecContext(ctx, one, b.values[i*width:(i+1)*width]...); err != nil {
			return located(w.file, line, b.table, err)
		}
	}
	return fmt.Errorf("table %s: %w", b.table.Name, refused)
}
