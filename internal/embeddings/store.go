// Package embeddings is the vector store: the embeddings of every loaded model side by side, the
// one row that says which of them is active, and the nearest items by inner product. Store keeps
// them in PostgreSQL with pgvector; Exact computes the same answers in memory.
//
// The package does not know where a model comes from, what its towers do, or for whom it is asked.
package embeddings

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"diecast/sql"
)

// writers is the key of the advisory lock that every change of the store holds, so that two loaders
// never interleave.
const writers = 0x6469656361737401

const (
	// idle is after how much silence the server ends a change's connection, and rolls back what it
	// had not committed: a loader that was killed in the middle would else hold its lock for hours.
	idle = 2 * time.Minute
	// lockWait is how long a change waits for another one, longer than idle: what is left of a
	// loader's quarter of an hour must do for the change itself.
	lockWait = 150 * time.Second
)

// Store is a vector store in PostgreSQL. Every method may be called concurrently, also from several
// processes.
type Store struct {
	pool           *pgxpool.Pool
	idle, lockWait time.Duration
	by             string
}

// NewStore uses a pool, which stays the caller's to close. Reading needs the login sql.ReaderRole
// or, for items and which model is active, sql.WebReader; everything else one that may become
// sql.OwnerRole.
func NewStore(pool *pgxpool.Pool) *Store {
	return &Store{pool: pool, idle: idle, lockWait: lockWait, by: "somebody who did not say"}
}

// As is the store whose switches are noted as made by whoever is named, in a few words. Nobody
// checks that.
func (s *Store) As(by string) *Store {
	named := *s
	named.by = by
	return &named
}

// Migrate creates or upgrades extension, roles, schema, tables and views, and returns the version
// that the schema has afterwards. A schema newer than this program's (sql.VectorSchemaVersion) is
// left alone, and its version returned: after a failed deployment CloudFormation runs the old
// program on what the new one made.
func (s *Store) Migrate(ctx context.Context) (int, error) {
	version := sql.VectorSchemaVersion
	err := s.change(ctx, func(tx pgx.Tx) error {
		deployed, err := deployedSchema(ctx, tx)
		if err != nil {
			return err
		}
		if deployed > version {
			version = deployed
			return nil
		}
		for _, script := range sql.VectorSchema() {
			for _, statement := range script.Statements {
				// This mode takes one statement at a time, so that an error belongs to it.
				if _, err := tx.Exec(ctx, statement, pgx.QueryExecModeExec); err != nil {
					return fmt.Errorf("sql/%s: statement %q: %w", script.Name, firstLine(statement), err)
				}
			}
		}
		if _, err := tx.Exec(ctx, sql.RecordSchemaVersion, version); err != nil {
			return fmt.Errorf("record the schema's version: %w", err)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("migrate the vector store to schema version %d: %w", sql.VectorSchemaVersion, err)
	}
	return version, nil
}

// deployedSchema is the version of the schema in the database, 0 where there is none.
func deployedSchema(ctx context.Context, tx pgx.Tx) (int, error) {
	var exists bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('vectors.schema_version') IS NOT NULL").Scan(&exists); err != nil ||
		!exists {
		return 0, err
	}
	var version int
	err := tx.QueryRow(ctx, sql.DeployedSchemaVersion).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the schema's version: %w", err)
	}
	return version, nil
}

// change runs a function in a transaction that excludes every other change of the store.
func (s *Store) change(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := s.exclude(ctx, tx); err != nil {
			return fmt.Errorf("wait for other changes of the vector store: %w", err)
		}
		return do(tx)
	})
}

// exclude waits until no other change of the store is under way, and until the transaction's end
// none begins.
func (s *Store) exclude(ctx context.Context, tx pgx.Tx) error {
	// A client that is gone without a word is looked for as often as its silence is waited for.
	err := execute(ctx, tx,
		fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", s.idle.Milliseconds()),
		fmt.Sprintf("SET LOCAL tcp_keepalives_idle = %d", int(max(time.Second, s.idle/2).Seconds())),
		"SET LOCAL tcp_keepalives_interval = 10", "SET LOCAL tcp_keepalives_count = 3")
	if err != nil {
		return err
	}
	const limit = "SELECT set_config('lock_timeout', $1, true)"
	if _, err := tx.Exec(ctx, limit, fmt.Sprint(s.lockWait.Milliseconds())); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(writers))
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == lockNotAvailable {
		return fmt.Errorf("another one has run for %s: try again when it has ended (%w)", s.lockWait, err)
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, limit, "0")
	return err
}

// lockNotAvailable is PostgreSQL's answer when lock_timeout has passed.
const lockNotAvailable = "55P03"

// changeAsOwner is change with the rights of the schema's owner.
func (s *Store) changeAsOwner(ctx context.Context, do func(pgx.Tx) error) error {
	return s.change(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+sql.OwnerRole, pgx.QueryExecModeExec); err != nil {
			return fmt.Errorf("become %s: %w", sql.OwnerRole, err)
		}
		return do(tx)
	})
}

// firstLine of a statement that is no comment, which is enough to find it by.
func firstLine(statement string) string {
	for line := range strings.Lines(statement) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			return line
		}
	}
	return statement
}

// place says where in its input PostgreSQL found a mistake, without the values that it quotes: they
// may be a customer's.
func place(err error) error {
	var failure *pgconn.PgError
	if !errors.As(err, &failure) || failure.Where == "" {
		return err
	}
	where, _, _ := strings.Cut(failure.Where, ": \"")
	return fmt.Errorf("%w (%s)", err, where)
}
