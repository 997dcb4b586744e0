package source_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
	scripts "diecast/sql"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Run(m)) }

// users of the source.
var users = []string{scripts.SourceOwner, scripts.ETLReader, scripts.WebReader}

// empty removes what an earlier test left: the names of databases and users are the source's own,
// so that the tests share them and do not run side by side.
func empty(t testing.TB) *sql.DB {
	t.Helper()
	pool := mariadbtest.Open(t, mariadbtest.Server(t).DSN(""))
	for _, database := range []string{classicmodels.Database, "diecast"} {
		mariadbtest.Execute(t, pool, "DROP DATABASE IF EXISTS "+database)
	}
	for _, user := range users {
		mariadbtest.Execute(t, pool, "DROP USER IF EXISTS '"+user+"'@'%'")
	}
	return pool
}

// login opens a pool as one of the users, whom it gives a password as the laptop's platform does.
func login(t testing.TB, pool *sql.DB, user string) *sql.DB {
	t.Helper()
	mariadbtest.Execute(t, pool, "ALTER USER '"+user+"'@'%' IDENTIFIED BY 'open' ACCOUNT UNLOCK")
	return mariadbtest.Open(t, mariadbtest.Server(t).DSNFor(user, "open", ""))
}

func options(change func(*classicmodels.Options)) classicmodels.Options {
	options := classicmodels.DefaultOptions()
	options.Scale = 0.1
	if change != nil {
		change(&options)
	}
	return options
}

func sample(change func(*classicmodels.Options)) source.Contents {
	return source.Contents{Kind: source.Sample, Options: options(change)}
}

func shop(t testing.TB, change func(*classicmodels.Options)) *classicmodels.Shop {
	t.Helper()
	made, err := classicmodels.New(options(change))
	require.NoError(t, err)
	return made
}

// expected are a source's rows by table and key, stored those of the database, in the same form.
func expected(t testing.TB, made classicmodels.Source) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(
		t,
		made.Scan(context.Background(), func(table *classicmodels.Table, row []classicmodels.Value) error {
			texts := make([]string, len(row))
			for i, value := range row {
				texts[i] = value.String()
			}
			all[key(table, texts)] = strings.Join(texts, "|")
			return nil
		}),
	)
	return all
}

func key(table *classicmodels.Table, texts []string) string {
	name := table.Name
	for _, column := range table.PrimaryKey {
		name += "/" + texts[table.Index(column)]
	}
	return name
}

func stored(t testing.TB, pool *sql.DB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, table := range classicmodels.Schema {
		found, err := pool.QueryContext(
			context.Background(), "SELECT "+strings.Join(table.ColumnNames(), ", ")+" FROM classicmodels."+table.Name,
		)
		require.NoError(t, err)
		for found.Next() {
			values, targets := make([]any, len(table.Columns)), make([]any, len(table.Columns))
			for i := range values {
				targets[i] = &values[i]
			}
			require.NoError(t, found.Scan(targets...))
			texts := make([]string, len(values))
			for i, value := range values {
				texts[i] = text(table.Columns[i], value)
			}
			all[key(table, texts)] = strings.Join(texts, "|")
		}
		require.NoError(t, found.Err())
		require.NoError(t, found.Close())
	}
	return all
}

func text(column classicmodels.Column, value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case []byte:
		return string(value)
	case time.Time:
		if column.Kind == classicmodels.Date {
			return value.Format(time.DateOnly)
		}
		return value.Format(time.DateTime)
	}
	return fmt.Sprint(value)
}

func apply(t testing.TB, pool *sql.DB, contents source.Contents) source.State {
	t.Helper()
	state, err := source.New(pool).Apply(context.Background(), contents)
	require.NoError(t, err)
	return state
}

// The schema's two forms, for the loader and for the generator's dumps, are one.
func TestSchemaIsTheGeneratorsOwn(t *testing.T) {
	written := bytes.Buffer{}
	_, err := classicmodels.WriteSQL(
		t.Context(), shop(t, nil), func(string) (io.WriteCloser, error) { return closing{&written}, nil },
	)
	require.NoError(t, err)
	plain := func(statement string) string {
		statement = regexp.MustCompile("(?m)^--.*$").ReplaceAllString(statement, "")
		return strings.Join(strings.Fields(strings.NewReplacer("`", "", "IF NOT EXISTS ", "").Replace(statement)), " ")
	}
	var generated []string
	for statement := range strings.SplitSeq(written.String(), ";\n") {
		if statement = plain(statement); strings.HasPrefix(statement, "CREATE TABLE") ||
			strings.HasPrefix(statement, "CREATE DATABASE") {
			generated = append(generated, statement)
		}
	}
	var own []string
	for _, statement := range scripts.SourceTables().Statements {
		own = append(own, plain(statement))
	}
	assert.Equal(t, generated, own)
}

type closing struct{ io.Writer }

func (closing) Close() error { return nil }

func TestEmptySourceIsFilledOnceWithASample(t *testing.T) {
	pool := empty(t)
	made := shop(t, func(o *classicmodels.Options) { o.Scale, o.Seed = 1, 7 })
	wanted := sample(func(o *classicmodels.Options) { o.Scale, o.Seed = 1, 7 })
	state := apply(t, pool, wanted)
	rows := expected(t, made)
	assert.Equal(t, rows, stored(t, pool))
	assert.Equal(t, source.Sample, state.Kind)
	assert.Equal(t, "seed=7 scale=1 strength=0.8 advance=0", state.Detail)
	assert.EqualValues(t, len(rows), state.Rows)
	assert.Equal(t, scripts.SourceSchemaVersion, state.SchemaVersion)
	assert.WithinDuration(t, time.Now(), *state.LoadedAt, time.Minute)

	// Whatever is wanted later, what is there stays.
	for _, later := range []source.Contents{wanted, sample(nil), {Kind: source.Empty}, dumpOf("not read")} {
		again := apply(t, pool, later)
		assert.Equal(t, state, again)
	}
	assert.Equal(t, rows, stored(t, pool))

	status, err := source.New(pool).Status(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 122, status.Tables["customers"])
	assert.Len(t, status.Tables, 9)
}

func TestASampleMayBeAdvancedFromTheStart(t *testing.T) {
	pool := empty(t)
	state := apply(t, pool, sample(func(o *classicmodels.Options) { o.AdvanceDays = 5 }))
	assert.Equal(t, 5, state.AdvanceDays)
	_, err := source.New(pool).Advance(t.Context(), 3)
	require.NoError(t, err)
	assert.Equal(t, expected(t, shop(t, func(o *classicmodels.Options) { o.AdvanceDays = 8 })), stored(t, pool))
}

func TestKindsThatAreNotLoaded(t *testing.T) {
	pool := empty(t)
	state, err := source.New(pool).Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, source.State{Kind: source.Empty}, state, "no loader has been here")

	state = apply(t, pool, source.Contents{Kind: source.Empty})
	assert.Equal(t, source.State{Kind: source.Empty, SchemaVersion: 1}, state)
	assert.Empty(t, stored(t, pool))
	assert.Equal(t, source.Sample, apply(t, pool, sample(nil)).Kind, "an empty source may be filled later")

	for name, bad := range map[string]struct {
		contents source.Contents
		message  string
	}{
		"no kind":           {source.Contents{}, `kind "": sample, empty and dump are allowed`},
		"foreign":           {source.Contents{Kind: source.Foreign}, `kind "foreign"`},
		"options":           {sample(func(o *classicmodels.Options) { o.Scale = 0.25 }), "scale 0.25"},
		"a dump of no name": {source.Contents{Kind: source.Dump}, "name the dump"},
		"a large sample": {sample(func(o *classicmodels.Options) { o.Scale = 469 }),
			"the loader takes 3000000 (scale 468): load it by hand: deploy with source.kind=empty, write shop.sql"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := source.New(nil).Apply(t.Context(), bad.contents)
			require.ErrorContains(t, err, bad.message)
		})
	}
}

func TestForeignRowsAreNeverTouched(t *testing.T) {
	for name, prepare := range map[string]func(*sql.DB){
		"in our tables": func(pool *sql.DB) {
			apply(t, pool, source.Contents{Kind: source.Empty})
			mariadbtest.Execute(t, pool, "INSERT INTO classicmodels.productlines (productLine) VALUES ('Kites')")
		},
		// As the course's own dump makes them: ours could not refer to them.
		"in tables of their own": func(pool *sql.DB) {
			mariadbtest.Execute(t, pool, "CREATE DATABASE classicmodels CHARACTER SET latin1")
			mariadbtest.Execute(t, pool, "CREATE TABLE classicmodels.productlines "+
				"(productLine varchar(50) PRIMARY KEY)")
			mariadbtest.Execute(t, pool, "CREATE TABLE classicmodels.orders (orderNumber int PRIMARY KEY)")
			mariadbtest.Execute(t, pool, "INSERT INTO classicmodels.productlines VALUES ('Kites')")
		},
	} {
		t.Run(name, func(t *testing.T) {
			pool := empty(t)
			prepare(pool)
			tables := count(t, pool, "information_schema.tables WHERE table_schema = 'classicmodels'")
			for _, wanted := range []source.Contents{sample(nil), dumpOf("not read"), {Kind: source.Empty}} {
				assert.Equal(t, source.State{Kind: source.Foreign, SchemaVersion: 1}, apply(t, pool, wanted))
			}
			_, err := source.New(pool).Advance(t.Context(), 1)
			require.ErrorContains(t, err, "filled with rows that the loader did not make")
			assert.Equal(t, tables, count(t, pool, "information_schema.tables WHERE table_schema = 'classicmodels'"))
			assert.Equal(t, 1, count(t, login(t, pool, scripts.ETLReader), "classicmodels.productlines"),
				"readers are served")
			state, err := source.New(pool).Status(t.Context())
			require.NoError(t, err)
			assert.EqualValues(t, 1, state.Tables["productlines"])
			assert.Len(t, state.Tables, tables)
		})
	}
}

func count(t testing.TB, pool *sql.DB, from string) (rows int) {
	t.Helper()
	require.NoError(t, pool.QueryRowContext(context.Background(), "SELECT count(*) FROM "+from).Scan(&rows))
	return rows
}

// A row that comes while a load runs waits for its end, or the load for the row's.
func TestForeignRowsThatComeDuringALoadAreNotMixedIn(t *testing.T) {
	pool := empty(t)
	apply(t, pool, source.Contents{Kind: source.Empty})
	mariadbtest.Execute(t, pool, "SET GLOBAL innodb_lock_wait_timeout = 1")
	t.Cleanup(func() { mariadbtest.Execute(t, pool, "SET GLOBAL innodb_lock_wait_timeout = 50") })
	other := mariadbtest.Open(t, mariadbtest.Server(t).DSN(""))
	tried := false
	content := dumpText(t, shop(t, nil))
	wanted := dumpOf("")
	wanted.Dump = func(ctx context.Context) (io.ReadCloser, error) {
		_, err := other.ExecContext(
			ctx, "INSERT INTO classicmodels.offices VALUES ('99','Lille','1','a',NULL,NULL,'France','59000','EMEA')",
		)
		tried = true
		require.ErrorContains(t, err, "Lock wait timeout")
		return io.NopCloser(strings.NewReader(content)), nil
	}
	assert.Equal(t, source.Dump, apply(t, pool, wanted).Kind)
	assert.True(t, tried)
	assert.Equal(t, expected(t, shop(t, nil)), stored(t, pool))
}

func TestNewerSchemaIsLeftAlone(t *testing.T) {
	pool := empty(t)
	apply(t, pool, source.Contents{Kind: source.Empty})
	mariadbtest.Execute(t, pool, "UPDATE diecast.source_schema SET version = 99")
	mariadbtest.Execute(t, pool, "DROP USER 'owner'@'%'")
	state := apply(t, pool, sample(nil))
	assert.Equal(t, source.State{Kind: source.Empty, SchemaVersion: 99}, state)
	assert.Empty(t, stored(t, pool))
	var owners int
	require.NoError(
		t, pool.QueryRowContext(t.Context(), "SELECT count(*) FROM mysql.user WHERE user = 'owner'").Scan(&owners),
	)
	assert.Zero(t, owners)

	mariadbtest.Execute(t, pool, "UPDATE diecast.source_schema SET version = 1")
	apply(t, pool, sample(nil))
	mariadbtest.Execute(t, pool, "UPDATE diecast.source_schema SET version = 99")
	_, err := source.New(pool).Advance(t.Context(), 1)
	require.ErrorContains(t, err, "schema version 99, this program knows 1")
}

func TestUsersHaveTheirRightsAndNoMore(t *testing.T) {
	pool := empty(t)
	apply(t, pool, sample(nil))
	for _, user := range users {
		locked := mariadbtest.Open(t, mariadbtest.Server(t).DSNFor(user, "", ""))
		require.Error(t, locked.PingContext(t.Context()), "nobody has given %s a password", user)
	}
	for user, rights := range map[string]struct{ allowed, refused []string }{
		scripts.ETLReader: {
			[]string{"SELECT count(*) FROM classicmodels.customers", "SELECT count(*) FROM classicmodels.ratings",
				"SELECT count(*) FROM classicmodels.orderdetails",
				"SELECT count(*) FROM classicmodels.orders", "SELECT count(*) FROM classicmodels.products",
				"SELECT count(*) FROM classicmodels.productlines", "SELECT kind FROM diecast.source_load"},
			[]string{"SELECT * FROM classicmodels.employees", "SELECT * FROM classicmodels.payments",
				"SELECT * FROM classicmodels.offices", "DELETE FROM classicmodels.ratings",
				"UPDATE classicmodels.ratings SET productRating = 5",
				"INSERT INTO classicmodels.productlines (productLine) VALUES ('x')",
				"CREATE TABLE classicmodels.x (a int)",
				"DROP TABLE classicmodels.ratings", "DELETE FROM diecast.source_load",
				"SELECT * FROM diecast.source_schema", "SELECT * FROM mysql.user", "CREATE USER x"},
		},
		scripts.WebReader: {
			[]string{"SELECT city, country FROM classicmodels.customers",
				"SELECT orderDate, status FROM classicmodels.orders", "SELECT count(*) FROM classicmodels.orderdetails",
				"SELECT productLine FROM classicmodels.products"},
			[]string{"SELECT customerName FROM classicmodels.customers", "SELECT phone FROM classicmodels.customers",
				"SELECT comments FROM classicmodels.orders", "SELECT * FROM classicmodels.ratings",
				"UPDATE classicmodels.products SET MSRP = 0", "DELETE FROM classicmodels.orders",
				"SELECT * FROM diecast.source_load"},
		},
		scripts.SourceOwner: {
			[]string{"SELECT count(*) FROM classicmodels.employees",
				"UPDATE classicmodels.products SET quantityInStock = 0", "CREATE TABLE classicmodels.notes (a int)",
				"ALTER TABLE classicmodels.notes ADD COLUMN b int", "DROP TABLE classicmodels.notes"},
			[]string{"DELETE FROM diecast.source_load", "SELECT * FROM mysql.user", "CREATE USER x",
				"CREATE DATABASE x", "GRANT SELECT ON classicmodels.* TO 'web_reader'@'%'"},
		},
	} {
		t.Run(user, func(t *testing.T) {
			as := login(t, pool, user)
			for _, statement := range rights.allowed {
				_, err := as.ExecContext(t.Context(), statement)
				assert.NoError(t, err, statement)
			}
			for _, statement := range rights.refused {
				_, err := as.ExecContext(t.Context(), statement)
				assert.ErrorContains(t, err, "denied", statement)
			}
		})
	}
	apply(t, pool, sample(nil))
	require.NoError(
		t, login(t, pool, scripts.ETLReader).PingContext(t.Context()), "a later loader leaves passwords alone",
	)
}

// A new column must be seen by the job's user, who reports it.
func TestTheJobsUserSeesNewColumns(t *testing.T) {
	pool := empty(t)
	apply(t, pool, source.Contents{Kind: source.Empty})
	mariadbtest.Execute(t, pool, "ALTER TABLE classicmodels.customers ADD COLUMN tier int")
	var columns int
	require.NoError(t, login(t, pool, scripts.ETLReader).QueryRowContext(
		t.Context(),
		"SELECT count(*) FROM information_schema.columns WHERE table_schema = 'classicmodels' AND table_name = "+
			"'customers'",
	).Scan(&columns))
	assert.Equal(t, 14, columns)
}

func TestAnotherChangeIsWaitedFor(t *testing.T) {
	pool := empty(t)
	other, err := pool.Conn(t.Context())
	require.NoError(t, err)
	defer other.Close()
	var locked int
	require.NoError(t, other.QueryRowContext(t.Context(), "SELECT get_lock('diecast.source', 0)").Scan(&locked))
	require.Equal(t, 1, locked)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = source.New(pool).Apply(ctx, sample(nil))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "wait for other changes")

	done := make(chan error)
	go func() {
		_, err := source.New(pool).Apply(context.WithoutCancel(t.Context()), sample(nil))
		done <- err
	}()
	select {
	case err := <-done:
		require.NoError(t, err)
		t.Fatal("it did not wait")
	case <-time.After(200 * time.Millisecond):
	}
	_, err = other.ExecContext(t.Context(), "DO release_lock('diecast.source')")
	require.NoError(t, err)
	require.NoError(t, <-done)
}

func TestUnreachableSourceIsSaid(t *testing.T) {
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", "127.0.0.1:1"
	pool := mariadbtest.Open(t, config.FormatDSN())
	_, err := source.New(pool).Apply(t.Context(), sample(nil))
	require.ErrorContains(t, err, "connect to the source")
	_, err = source.New(pool).Status(t.Context())
	require.ErrorContains(t, err, "connect to the source")
	_, err = source.Query(t.Context(), pool, "SELECT 1")
	require.ErrorContains(t, err, "query: connect")
}
