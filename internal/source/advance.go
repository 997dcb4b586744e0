package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"diecast/internal/classicmodels"
	scripts "diecast/sql"
)

// Advanced says what days of a shop's life brought.
type Advanced struct {
	// Days that were lived, and Since the load.
	Days  int `json:"days"`
	Since int `json:"advance_days"`
	// Added are the new rows by table.
	Added map[string]int `json:"added"`
	// ChangedRatings have another value or date, WithdrawnProducts are gone.
	ChangedRatings    int `json:"changed_ratings"`
	WithdrawnProducts int `json:"withdrawn_products"`
	// Kept are ratings and products that somebody else has changed or ordered since: they stay as
	// they are.
	Kept int `json:"kept"`
}

// Advance lets a generated shop live on for some days: the same days whether they come in one step
// or in several. It is one transaction. It is refused for anything but a sample, and where the
// database has rows that the shop's own would run into.
func (d *Database) Advance(ctx context.Context, days int) (Advanced, error) {
	if days < 1 {
		return Advanced{}, fmt.Errorf(
			"advance: days is %d: a number from 1 to %d is allowed", days, classicmodels.MaxAdvanceDays,
		)
	}
	var advanced Advanced
	err := d.change(ctx, func(connection *sql.Conn) error {
		state, err := read(ctx, connection)
		if err != nil {
			return err
		}
		switch {
		case state.SchemaVersion > scripts.SourceSchemaVersion:
			return fmt.Errorf(
				"advance: the source has schema version %d, this program knows %d", state.SchemaVersion,
				scripts.SourceSchemaVersion,
			)
		case state.Kind != Sample:
			return fmt.Errorf(
				"advance: only a generated shop lives on (source.kind=%s), and the source is %s", Sample,
				described(state),
			)
		}
		transaction, err := connection.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		if err != nil {
			return fmt.Errorf("advance: begin: %w", err)
		}
		// After the commit it does nothing; a lost connection has rolled back by itself.
		defer func() { _ = transaction.Rollback() }()
		if advanced, err = advance(ctx, transaction, days); err != nil {
			return fmt.Errorf("advance: %w; nothing of it was kept", foreignRows(err))
		}
		return wrap("advance: commit", transaction.Commit())
	})
	return advanced, err
}

func described(state State) string {
	switch state.Kind {
	case Foreign:
		return "filled with rows that the loader did not make"
	case Dump:
		return "a dump (" + state.Detail + ")"
	}
	return string(state.Kind)
}

// ignoreDone drops the error of rolling back what a lost connection has rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) || errors.Is(err, mysql.ErrInvalidConn) {
		return nil
	}
	return ignoreClosed(err)
}

// foreignRows says what a clash with other rows means.
func foreignRows(err error) error {
	if refusedFor(err, errorDuplicateKey, errorNoParent) {
		return fmt.Errorf(
			"the source has rows that the generated shop did not make, or lacks some that it made, "+
				"so that it cannot live on: %w",
			err,
		)
	}
	return err
}

func advance(ctx context.Context, transaction *sql.Tx, days int) (Advanced, error) {
	loaded, err := readRecord(ctx, transaction, scripts.SourceLoad)
	if err != nil {
		return Advanced{}, err
	}
	if loaded == nil {
		return Advanced{}, errors.New("the record of the load is gone")
	}
	if loaded.generator.Int64 != classicmodels.Generator {
		return Advanced{}, fmt.Errorf(
			"the shop was made by version %d of the generator, and this is version %d: its days would not follow on",
			loaded.generator.Int64, classicmodels.Generator,
		)
	}
	shop, err := classicmodels.New(classicmodels.Options{
		Seed: loaded.seed.V, Scale: loaded.scale.Float64, Strength: loaded.strength.Float64,
		AdvanceDays: loaded.days + days,
	})
	if err != nil {
		return Advanced{}, err
	}
	advanced := Advanced{Days: days, Since: loaded.days + days, Added: map[string]int{}}
	writer := newWriter(transaction)
	writer.inOrder = true
	defer writer.close()
	err = shop.ScanAdvance(ctx, days, func(change classicmodels.Change) error {
		switch {
		case change.Before == nil:
			advanced.Added[change.Table.Name]++
			return writer.add(ctx, change.Table, change.After, 0)
		case change.After != nil:
			return advanced.count(&advanced.ChangedRatings)(changeRating(ctx, transaction, change))
		}
		// Products go last: what the days brought must be there to hold those that were ordered.
		if err := writer.flush(ctx); err != nil {
			return err
		}
		return advanced.count(
			&advanced.WithdrawnProducts,
		)(
			transaction.ExecContext(ctx, scripts.SourceWithdrawProduct, change.Before[0]),
		)
	})
	if err == nil {
		err = writer.flush(ctx)
	}
	if err != nil {
		return Advanced{}, err
	}
	_, detail := shop.Origin()
	_, err = transaction.ExecContext(
		ctx, scripts.SourceRecordAdvance, advanced.Since, detail, writer.rows-int64(advanced.WithdrawnProducts),
	)
	return advanced, wrap("record the days", err)
}

// changeRating changes a rating that is as the shop left it.
func changeRating(ctx context.Context, transaction *sql.Tx, change classicmodels.Change) (sql.Result, error) {
	before, after := change.Before, change.After
	return transaction.ExecContext(
		ctx, scripts.SourceChangeRating, after[2], after[3], after[0], after[1], before[2], before[3],
	)
}

// count adds to a counter where a statement changed a row, else to those that are kept.
func (a *Advanced) count(counter *int) func(sql.Result, error) error {
	return func(result sql.Result, err error) error {
		if err != nil {
			return err
		}
		affected, err := result.RowsAffected()
		if affected == 0 {
			counter = &a.Kept
		}
		*counter++
		return err
	}
}
