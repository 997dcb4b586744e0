// Package source keeps the source database, a classicmodels shop in MySQL or MariaDB: its schema
// and users, the data that an empty one is filled with once, the days that a generated shop lives
// on, and what readers ask of it.
//
// Rows that this package did not make are never changed and never removed. A load and the record
// that says so are one transaction: whatever ends it early, the source is as empty as before, and
// the next load begins again. The package does not know where the database runs, how it is reached,
// or where a dump lies.
package source

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"diecast/internal/classicmodels"
	scripts "diecast/sql"
)

// Kind of a source's data.
type Kind string

// Where the data comes from.
const (
	// Sample is generated.
	Sample Kind = "sample"
	// Empty has tables and no rows.
	Empty Kind = "empty"
	// Dump was read from a dump of the user's own.
	Dump Kind = "dump"
	// Foreign are rows that no load of ours made: a person's, or a program's. Nothing is done to
	// them.
	Foreign Kind = "foreign"
)

// Database is a source in a server. Every method may be called concurrently, also from several
// processes.
type Database struct {
	pool *sql.DB
}

// New uses a pool, which stays the caller's to close. Its login is the server's administrator:
// RDS's master user.
func New(pool *sql.DB) *Database { return &Database{pool: pool} }

const (
	// lockName is the lock of the server that every change of the source holds, so that two loaders
	// never interleave.
	lockName = "diecast.source"
	// lockWait is how long a change waits for another one, longer than idle: a loader that died
	// silently holds its lock until the server gives up its connection.
	lockWait = idle + 30*time.Second
	// idle is after how much silence the server ends a change's connection, and rolls back what it
	// had not committed.
	idle = 2 * time.Minute
	// strict is MySQL's own default: values that do not fit are errors.
	strict = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO," +
		"NO_ENGINE_SUBSTITUTION"
)

// change runs a function on a connection of its own that excludes every other change of the source.
func (d *Database) change(ctx context.Context, do func(*sql.Conn) error) (err error) {
	connection, err := d.pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to the source: %w", err)
	}
	defer func() {
		// The session has settings and a lock of its own: it ends here, and the lock with it,
		// whatever went wrong before.
		_ = connection.Raw(func(any) error { return driver.ErrBadConn })
		err = errors.Join(err, ignoreClosed(connection.Close()))
	}()
	for _, statement := range []string{
		"SET SESSION sql_mode = '" + strict + "'", "SET SESSION time_zone = '+00:00'",
		fmt.Sprintf("SET SESSION wait_timeout = %d", int(idle.Seconds())),
	} {
		if _, err := connection.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("prepare the session: %s: %w", statement, err)
		}
	}
	var locked sql.NullInt64
	err = connection.QueryRowContext(ctx, "SELECT get_lock(?, ?)", lockName, int(lockWait.Seconds())).Scan(&locked)
	if err != nil {
		return fmt.Errorf("wait for other changes of the source: %w", err)
	}
	if locked.Int64 != 1 {
		return fmt.Errorf("another load or advance of the source has run for %v: try again when it has ended", lockWait)
	}
	return do(connection)
}

// ignoreClosed drops the error of closing a connection that is gone already.
func ignoreClosed(err error) error {
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) {
		return nil
	}
	return err
}

// Apply creates or upgrades the schema, fills an empty source with what is wanted, and then creates
// the users, so that no reader sees a source before it is filled. It does so again without harm:
// what is filled stays as it is, whatever is wanted, and so do foreign rows. A schema newer than
// this program's (sql.SourceSchemaVersion) is left alone with all that is in it: after a failed
// deployment CloudFormation runs the old program on what the new one made.
func (d *Database) Apply(ctx context.Context, wanted Contents) (State, error) {
	if err := wanted.Validate(); err != nil {
		return State{}, err
	}
	var state State
	err := d.change(ctx, func(connection *sql.Conn) error {
		deployed, err := deployedVersion(ctx, connection)
		if err != nil {
			return err
		}
		if deployed <= scripts.SourceSchemaVersion {
			if err := renew(ctx, connection, wanted); err != nil {
				return err
			}
		}
		state, err = read(ctx, connection)
		return err
	})
	return state, err
}

// renew is Apply where the schema is not newer.
func renew(ctx context.Context, connection *sql.Conn, wanted Contents) error {
	if err := migrate(ctx, connection, scripts.SourceRecord()); err != nil {
		return err
	}
	state, err := read(ctx, connection)
	if err != nil {
		return err
	}
	if state.Kind == Foreign {
		// Its tables may be other ones: they stay, and ours might not even stand beside them.
		return accounts(ctx, connection, noTable, noColumn)
	}
	if err := migrate(ctx, connection, scripts.SourceTables()); err != nil {
		return err
	}
	if err := fill(ctx, connection, wanted); err != nil {
		return err
	}
	return accounts(ctx, connection)
}

// deployedVersion is the version of the schema in the database, 0 where there is none.
func deployedVersion(ctx context.Context, connection *sql.Conn) (version int, err error) {
	var tables int
	if err := connection.QueryRowContext(ctx, scripts.SourceHasSchema).Scan(&tables); err != nil || tables == 0 {
		return 0, wrap("look for the schema's version", err)
	}
	err = connection.QueryRowContext(ctx, scripts.SourceDeployedVersion).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return version, wrap("read the schema's version", err)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func migrate(ctx context.Context, connection *sql.Conn, script scripts.Script) error {
	if err := run(ctx, connection, script); err != nil {
		return fmt.Errorf("migrate the source to schema version %d: %w", scripts.SourceSchemaVersion, err)
	}
	_, err := connection.ExecContext(
		ctx, scripts.SourceRecordSchemaVersion, scripts.SourceSchemaVersion, scripts.SourceSchemaVersion,
	)
	return wrap("record the schema's version", err)
}

// Numbers of MySQL's errors for what is not there.
const (
	noDatabase = 1049
	noColumn   = 1054
	noTable    = 1146
)

// refusedFor tells whether the server refused a statement for one of these reasons.
func refusedFor(err error, numbers ...uint16) bool {
	var refused *mysql.MySQLError
	return errors.As(err, &refused) && slices.Contains(numbers, refused.Number)
}

// run sends a script's statements and passes over those that the server refuses for the allowed
// reasons.
func run(ctx context.Context, connection *sql.Conn, script scripts.Script, allowed ...uint16) error {
	for _, statement := range script.Statements {
		_, err := connection.ExecContext(ctx, statement)
		if err != nil && !refusedFor(err, allowed...) {
			return fmt.Errorf("sql/%s: statement %q: %w", script.Name, firstLine(statement), err)
		}
	}
	return nil
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

// accounts creates the users as the server allows: with IAM tokens where it checks them, by TLS
// where this connection has it.
func accounts(ctx context.Context, connection *sql.Conn, allowed ...uint16) error {
	var plugins int
	if err := connection.QueryRowContext(ctx, scripts.SourceHasIAM).Scan(&plugins); err != nil {
		return fmt.Errorf("look for the plugin of IAM logins: %w", err)
	}
	var name, cipher string
	row := connection.QueryRowContext(ctx, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
	if err := row.Scan(&name, &cipher); err != nil {
		return fmt.Errorf("look for the connection's cipher: %w", err)
	}
	for _, script := range scripts.SourceAccounts(plugins > 0, cipher != "") {
		if err := run(ctx, connection, script, allowed...); err != nil {
			return fmt.Errorf("create the source's users: %w", err)
		}
	}
	return nil
}

// State of a source.
type State struct {
	// SchemaVersion of the database, 0 where no loader has been.
	SchemaVersion int `json:"schema_version"`
	// Kind of the rows that are there.
	Kind Kind `json:"kind"`
	// Detail says what was loaded: the generator's options, or the dump.
	Detail string `json:"detail,omitempty"`
	// AdvanceDays is how long a sample has lived on.
	AdvanceDays int `json:"advance_days,omitempty"`
	// Rows of all tables when the last load or advance ended.
	Rows     int64      `json:"rows,omitempty"`
	LoadedAt *time.Time `json:"loaded_at,omitempty"`
	// Tables are the rows that each has, counted now.
	Tables map[string]int64 `json:"tables,omitempty"`
}

// Status tells what the source holds.
func (d *Database) Status(ctx context.Context) (state State, err error) {
	connection, err := d.pool.Conn(ctx)
	if err != nil {
		return State{}, fmt.Errorf("connect to the source: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreClosed(connection.Close())) }()
	if state, err = read(ctx, connection); err != nil || state.SchemaVersion == 0 {
		return state, err
	}
	state.Tables = map[string]int64{}
	for _, table := range classicmodels.Schema {
		var rows int64
		err := connection.QueryRowContext(ctx, "SELECT count(*) FROM "+qualified(table)).Scan(&rows)
		if refusedFor(err, noDatabase, noTable) {
			continue
		}
		if err != nil {
			return State{}, fmt.Errorf("count the rows of %s: %w", table.Name, err)
		}
		state.Tables[table.Name] = rows
	}
	return state, nil
}

// read gives the state without its tables.
func read(ctx context.Context, connection *sql.Conn) (State, error) {
	version, err := deployedVersion(ctx, connection)
	if err != nil || version == 0 {
		return State{Kind: Empty}, err
	}
	state := State{SchemaVersion: version, Kind: Empty}
	record, err := readRecord(ctx, connection, scripts.SourceLoaded)
	if err != nil {
		return State{}, err
	}
	if record != nil {
		state.Kind, state.Detail, state.AdvanceDays, state.Rows, state.LoadedAt =
			record.kind, record.detail, record.days, record.rows, &record.loadedAt
		return state, nil
	}
	filled, err := filledTables(ctx, connection, "")
	if len(filled) > 0 {
		state.Kind = Foreign
	}
	return state, err
}

// queryer is a connection or a transaction.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, arguments ...any) *sql.Row
	ExecContext(ctx context.Context, query string, arguments ...any) (sql.Result, error)
}

// record is the row of diecast.source_load.
type record struct {
	kind            Kind
	detail          string
	generator       sql.NullInt64
	seed            sql.Null[uint64]
	scale, strength sql.NullFloat64
	days            int
	rows            int64
	loadedAt        time.Time
}

// readRecord returns nil where nothing was loaded.
func readRecord(ctx context.Context, from queryer, statement string) (*record, error) {
	r := &record{}
	err := from.QueryRowContext(
		ctx, statement,
	).Scan(
		&r.kind, &r.detail, &r.generator, &r.seed, &r.scale, &r.strength, &r.days, &r.rows, &r.loadedAt,
	)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return r, wrap("read the record of the load", err)
}

// filledTables are those that have rows. With FOR UPDATE, those that have none get none until the
// transaction ends.
func filledTables(ctx context.Context, from queryer, suffix string) (names []string, err error) {
	for _, table := range classicmodels.Schema {
		var one int
		err := from.QueryRowContext(ctx, "SELECT 1 FROM "+qualified(table)+" LIMIT 1 "+suffix).Scan(&one)
		switch {
		case err == nil:
			names = append(names, table.Name)
		case !errors.Is(err, sql.ErrNoRows) && !refusedFor(err, noDatabase, noTable):
			return nil, fmt.Errorf("look for rows in %s: %w", table.Name, err)
		}
	}
	return names, nil
}

func qualified(table *classicmodels.Table) string { return classicmodels.Database + "." + table.Name }
