package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"diecast/internal/classicmodels"
	"diecast/internal/classicmodels/sqldump"
	scripts "diecast/sql"
)

// MaxRows is what a load takes, sample or dump: a quarter of what was measured to pass in the 15
// minutes that a Lambda function has (docs/source.md), because a small RDS instance behind a
// network is slower.
const MaxRows = 3_000_000

// rowsPerScale is about how many rows a sample has at scale 1.
const rowsPerScale = 6_400

// byHand is how to load what is more than that. The file of generate has the tables that the rights
// are for; a dump's own statements would put others in their place.
const byHand = "load it by hand: deploy with source.kind=empty, write shop.sql with `diecast generate --format sql " +
	"--out shop.sql` (and --scale and --seed, or --dump FILE), then, from a machine in the VPC, as the user owner, " +
	"mysql --ssl-mode=VERIFY_IDENTITY --ssl-ca=global-bundle.pem --enable-cleartext-plugin --host=HOST --user=owner " +
	"--password=TOKEN < shop.sql"

// Contents are what an empty source is to be filled with.
type Contents struct {
	Kind Kind
	// Options of a sample.
	Options classicmodels.Options
	// DumpName is where the dump lies, for messages and the record, and Dump opens it; both of a
	// dump only.
	DumpName string
	Dump     func(ctx context.Context) (io.ReadCloser, error)
	// Progress hears of every progressRows rows. Optional.
	Progress func(rows int64)
}

// progressRows take a few seconds.
const progressRows = 100_000

// Validate reports all that is wrong with the contents.
func (c Contents) Validate() error {
	switch c.Kind {
	case Empty:
		return nil
	case Sample:
		if err := c.Options.Validate(); err != nil {
			return err
		}
		if rows := c.Options.Scale * rowsPerScale; rows > MaxRows {
			return fmt.Errorf(
				"scale %v is about %.0f rows, the loader takes %d (scale %d): %s",
				c.Options.Scale,
				rows,
				MaxRows,
				MaxRows/rowsPerScale,
				byHand,
			)
		}
		return nil
	case Dump:
		if c.DumpName == "" || c.Dump == nil {
			return errors.New("kind dump: name the dump to load")
		}
		return nil
	}
	return fmt.Errorf("kind %q: %s, %s and %s are allowed", c.Kind, Sample, Empty, Dump)
}

// fill loads the wanted contents where nothing is. A load that was recorded and foreign rows stay
// as they are.
func fill(ctx context.Context, connection *sql.Conn, wanted Contents) error {
	if wanted.Kind == Empty {
		return nil
	}
	// Rows come in the file's order, parents after children: references are checked at the end, in
	// one go.
	if _, err := connection.ExecContext(ctx, "SET SESSION foreign_key_checks = 0"); err != nil {
		return fmt.Errorf("put off the check of references: %w", err)
	}
	transaction, err := connection.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return fmt.Errorf("begin the load: %w", err)
	}
	// After the commit it does nothing; a lost connection has rolled back by itself.
	defer func() { _ = transaction.Rollback() }()
	loaded, err := readRecord(ctx, transaction, scripts.SourceLoad)
	if err != nil {
		return err
	}
	filled, err := filledTables(ctx, transaction, "FOR UPDATE")
	if err != nil {
		return err
	}
	if loaded != nil || len(filled) > 0 {
		return nil
	}
	if err := load(ctx, transaction, wanted); err != nil {
		if deadline, bounded := ctx.Deadline(); bounded && !time.Now().Before(deadline) {
			err = fmt.Errorf("the time is up before all is loaded: %s: %w", byHand, err)
		}
		return fmt.Errorf("load the %s: %w; nothing of it was kept", wanted.Kind, err)
	}
	if err := transaction.Commit(); err != nil {
		return fmt.Errorf("commit the load: %w", err)
	}
	return nil
}

// load inserts the contents and the record of it.
func load(ctx context.Context, transaction *sql.Tx, wanted Contents) error {
	writer := newWriter(transaction)
	writer.progress = wanted.Progress
	defer writer.close()
	var detail string
	var generator, seed, scale, strength any
	switch wanted.Kind {
	case Sample:
		shop, err := classicmodels.New(wanted.Options)
		if err != nil {
			return err
		}
		err = shop.Scan(ctx, func(table *classicmodels.Table, row []classicmodels.Value) error {
			return writer.add(ctx, table, row, 0)
		})
		if err != nil {
			return err
		}
		_, detail = shop.Origin()
		generator, seed = classicmodels.Generator, wanted.Options.Seed
		scale, strength = wanted.Options.Scale, wanted.Options.Strength
	case Dump:
		summary, err := loadDump(ctx, writer, wanted)
		if err != nil {
			return err
		}
		_, detail = summary.Origin()
	}
	if err := writer.flush(ctx); err != nil {
		return err
	}
	if err := checkReferences(ctx, transaction); err != nil {
		return err
	}
	_, err := transaction.ExecContext(
		ctx, scripts.SourceRecordLoad, string(wanted.Kind), detail, generator, seed, scale, strength, writer.rows,
	)
	if err != nil || wanted.Options.AdvanceDays == 0 {
		return wrap("record the load", err)
	}
	_, err = transaction.ExecContext(ctx, scripts.SourceRecordAdvance, wanted.Options.AdvanceDays, detail, 0)
	return wrap("record the days of the load", err)
}

// undated stands for the date that a rating does not have, until all rows are read: no rating is as
// old.
const undated = "1000-01-01 00:00:00"

func loadDump(ctx context.Context, writer *writer, wanted Contents) (*classicmodels.DumpSummary, error) {
	content, err := wanted.Dump(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", wanted.DumpName, err)
	}
	defer content.Close()
	writer.file = wanted.DumpName
	none, err := time.Parse(time.DateTime, undated)
	if err != nil {
		return nil, err
	}
	ratings := classicmodels.TableNamed(classicmodels.Ratings)
	ratedAt := ratings.Index("ratedAt")
	summary, err := classicmodels.ScanDump(
		ctx, wanted.DumpName, content,
		func(table *classicmodels.Table, row []classicmodels.Value, line int) error {
			if table == ratings && row[ratedAt].IsNull() {
				row[ratedAt] = classicmodels.TimestampValue(none)
			}
			return writer.add(ctx, table, row, line)
		},
	)
	if err != nil {
		return nil, err
	}
	if err := writer.flush(ctx); err != nil {
		return nil, err
	}
	switch summary.Ratings() {
	case classicmodels.RatingsUndated:
		_, err = writer.transaction.ExecContext(
			ctx, scripts.SourceDateRatings, summary.Now().Format(time.DateTime), undated,
		)
		err = wrap("date the ratings", err)
	case classicmodels.RatingsDerived:
		var result sql.Result
		if result, err = writer.transaction.ExecContext(ctx, scripts.SourceDeriveRatings); err != nil {
			return nil, fmt.Errorf("derive ratings from the orders: %w", err)
		}
		derived, affectedErr := result.RowsAffected()
		writer.rows, err = writer.rows+derived, affectedErr
	}
	return summary, err
}

// maxOrphans is how many references to nothing are told of each key.
const maxOrphans = 3

// checkReferences reports rows that refer to one that is not there.
func checkReferences(ctx context.Context, transaction *sql.Tx) error {
	var problems []error
	for _, table := range classicmodels.Schema {
		for _, key := range table.ForeignKeys {
			statement := fmt.Sprintf(
				"SELECT DISTINCT c.%s FROM %s AS c LEFT JOIN %s AS p ON c.%s = p.%s "+
					"WHERE c.%s IS NOT NULL AND p.%s IS NULL LIMIT %d",
				key.Column, qualified(table), qualified(classicmodels.TableNamed(key.Table)), key.Column,
				key.References, key.Column, key.References, maxOrphans,
			)
			orphans, err := column(ctx, transaction, statement)
			if err != nil {
				return fmt.Errorf("check that %s.%s refers to %s: %w", table.Name, key.Column, key.Table, err)
			}
			for _, value := range orphans {
				problems = append(
					problems, fmt.Errorf("table %s: %s %s is not in %s", table.Name, key.Column, value, key.Table),
				)
			}
		}
	}
	return errors.Join(problems...)
}

// column is the first column of a query's rows.
func column(ctx context.Context, transaction *sql.Tx, statement string) (values []string, err error) {
	rows, err := transaction.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, rows.Err()
}

// located names the dump's line of a row.
func located(file string, line int, table *classicmodels.Table, err error) error {
	if line == 0 {
		return fmt.Errorf("table %s: %w", table.Name, err)
	}
	return &sqldump.Error{
		File:   file,
		Line:   line,
		Reason: fmt.Sprintf("table %s: %s", table.Name, strings.TrimSpace(err.Error())),
	}
}
