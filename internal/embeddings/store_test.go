package embeddings

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/postgres/postgrestest"
	"diecast/internal/models"
	"diecast/internal/postgresclient"
	"diecast/sql"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Run(m)) }

const (
	one   = "00000000000a"
	two   = "00000000000b"
	three = "00000000000c"
)

// open returns a pool for a role as the Lambdas open one.
func open(t testing.TB, user, password, database string) *pgxpool.Pool {
	t.Helper()
	configuration, err := postgresclient.Pool(postgrestest.Cluster(t).DSNFor(user, password, database))
	require.NoError(t, err)
	configuration.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	configuration.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(context.Background(), configuration)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func superuser(t testing.TB, database string) *pgxpool.Pool {
	cluster := postgrestest.Cluster(t)
	return open(t, cluster.User, cluster.Password(), database)
}

func run(t testing.TB, pool *pgxpool.Pool, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := pool.Exec(t.Context(), statement, pgx.QueryExecModeExec)
		require.NoError(t, err, statement)
	}
}

// cloudDatabase is a database as RDS gives it: its owner, the master user, is no superuser but may
// create roles and give the role rds_iam away.
func cloudDatabase(t testing.TB) (name string, master *pgxpool.Pool) {
	t.Helper()
	name = postgrestest.Database(t)
	admin := superuser(t, name)
	run(t, admin, `DO $$ BEGIN
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'master') THEN
			CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD 'master';
			CREATE ROLE rds_iam;
			GRANT rds_iam TO master WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
		END IF; END $$`,
		"ALTER DATABASE "+name+" OWNER TO master",
		// RDS lets its master users create the extension; elsewhere only superusers can.
		"CREATE EXTENSION vector")
	return name, open(t, "master", "master", name)
}

// migrated is a store with its schema.
func migrated(t testing.TB) (*Store, *pgxpool.Pool, string) {
	t.Helper()
	name, master := cloudDatabase(t)
	store := NewStore(master)
	_, err := store.Migrate(t.Context())
	require.NoError(t, err)
	return store, master, name
}

// reader logs in as the role that only reads. On RDS it has no password but an IAM token.
func reader(t testing.TB, database string) *pgxpool.Pool {
	t.Helper()
	return login(t, sql.ReaderRole, database)
}

func login(t testing.TB, role, database string) *pgxpool.Pool {
	t.Helper()
	run(t, superuser(t, database), "ALTER ROLE "+role+" PASSWORD 'reader'")
	return open(t, role, "reader", database)
}

func randomVector(random *rand.Rand) Vector {
	vector := make(Vector, models.Dimension)
	var square float64
	for i := range vector {
		vector[i] = float32(random.NormFloat64())
		square += float64(vector[i]) * float64(vector[i])
	}
	for i := range vector {
		vector[i] /= float32(math.Sqrt(square))
	}
	return vector
}

func randomItems(seed uint64, count int) map[string]Vector {
	random := rand.New(rand.NewPCG(seed, 0))
	items := map[string]Vector{}
	for i := range count {
		items[fmt.Sprintf("S%02d_%04d", i%100, i)] = randomVector(random)
	}
	return items
}

func csvOf[K comparable](vectors map[K]Vector) string {
	lines := make([]string, 0, len(vectors))
	for id, vector := range vectors {
		lines = append(lines, fmt.Sprintf("%v,\"%s\"\n", id, vector))
	}
	slices.Sort(lines)
	return "id,embedding\n" + strings.Join(lines, "")
}

func model(version string, items map[string]Vector, users map[int]Vector) Model {
	return Model{
		Version: version, Origin: Trained, Towers: true, Items: strings.NewReader(csvOf(items)),
		Users:     strings.NewReader(csvOf(users)),
		ItemCount: len(items), UserCount: len(users),
	}
}

func small(version string, seed uint64) Model {
	random := rand.New(rand.NewPCG(seed, 1))
	return model(version, randomItems(seed, 20), map[int]Vector{103: randomVector(random), 112: randomVector(random)})
}

func load(t testing.TB, store *Store, model Model, activation Activation) Loaded {
	t.Helper()
	loaded, err := store.Load(t.Context(), model, activation)
	require.NoError(t, err)
	return loaded
}

func number(t testing.TB, pool *pgxpool.Pool, query string) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&n))
	return n
}

func TestMigrateIsIdempotentForAMasterWhoIsNoSuperuser(t *testing.T) {
	name, master := cloudDatabase(t)
	store := NewStore(master)
	for range 2 {
		version, err := store.Migrate(t.Context())
		require.NoError(t, err)
		assert.Equal(t, sql.VectorSchemaVersion, version)
	}
	catalogue := superuser(t, name)
	assert.Zero(t, number(t, catalogue, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'vectors' AND pg_get_userbyid(c.relowner) <> 'vector_owner'`),
		"everything belongs to the owner role")
	for _, reader := range []string{sql.ReaderRole, sql.WebReader} {
		assert.Equal(t, 1, number(t, catalogue, "SELECT pg_has_role('"+reader+"', 'rds_iam', 'MEMBER')::int"), reader)
	}
	assert.Zero(t, number(t, catalogue,
		`SELECT count(*) FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole AND member = 'master'::regrole `+
			`AND (inherit_option OR set_option)`),
		"the master user would lose its password login")
	assert.Zero(t, number(t, catalogue, "SELECT rolcanlogin::int FROM pg_roles WHERE rolname = 'vector_owner'"))
	status, err := store.Status(t.Context())
	require.NoError(t, err)
	assert.NotEmpty(t, status.Extension)
	status.Extension = ""
	assert.Equal(t, Status{SchemaVersion: sql.VectorSchemaVersion, Versions: []Version{}, Moves: []Move{}}, status)
}

func TestAChangeWaitsForAnotherOneWithAnEnd(t *testing.T) {
	_, master := cloudDatabase(t)
	store := NewStore(master)
	_, err := store.Migrate(t.Context())
	require.NoError(t, err)
	other, err := master.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", int64(writers))
	require.NoError(t, err)
	store.lockWait = 100 * time.Millisecond
	_, err = store.Migrate(t.Context())
	require.ErrorContains(t, err, "wait for other changes of the vector store: another one has run for 100ms: "+
		"try again")

	store.lockWait = time.Minute
	done := make(chan error)
	go func() {
		_, err := store.Migrate(t.Context())
		done <- err
	}()
	require.NoError(t, other.Rollback(t.Context()))
	require.NoError(t, <-done, "what ends is waited for")
}

func TestMigrateCreatesTheExtension(t *testing.T) {
	admin := superuser(t, postgrestest.Database(t))
	_, err := NewStore(admin).Migrate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, number(t, admin, "SELECT count(*) FROM pg_extension WHERE extname = 'vector'"))
}

func TestMigrateLeavesANewerSchemaAlone(t *testing.T) {
	store, _, name := migrated(t)
	admin := superuser(t, name)
	run(t, admin, "UPDATE vectors.schema_version SET version = 99", "DROP VIEW vectors.user_emb")
	version, err := store.Migrate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 99, version)
	assert.Equal(t, 1, number(t, admin, "SELECT (to_regclass('vectors.user_emb') IS NULL)::int"), "nothing was created")
}

func TestMigrateNamesTheStatementAndTheReason(t *testing.T) {
	name := postgrestest.Database(t)
	admin := superuser(t, name)
	run(t, admin, "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nothing') THEN CREATE ROLE "+
		"nothing LOGIN PASSWORD 'n'; END IF; END $$")
	_, err := NewStore(open(t, "nothing", "n", name)).Migrate(t.Context())
	require.ErrorContains(t, err, "sql/vectors/schema/01_roles.sql")
	require.ErrorContains(t, err, "CREATE EXTENSION IF NOT EXISTS vector")
	require.ErrorContains(t, err, "permission denied")
	assert.Equal(t, 1, number(t, admin, "SELECT (to_regnamespace('vectors') IS NULL)::int"), "all or nothing")
}

func TestMigrateConcurrently(t *testing.T) {
	_, master := cloudDatabase(t)
	var group sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		group.Go(func() { _, errs[i] = NewStore(master).Migrate(t.Context()) })
	}
	group.Wait()
	for _, err := range errs {
		assert.NoError(t, err)
	}
}

func TestEmptyStoreHasNoActiveModel(t *testing.T) {
	_, master := cloudDatabase(t)
	store := NewStore(master)
	_, err := store.Active(t.Context())
	require.ErrorIs(t, err, ErrNoActiveModel, "before the schema is there")
	status, err := store.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Status{Versions: []Version{}, Moves: []Move{}}, status)

	_, err = store.Migrate(t.Context())
	require.NoError(t, err)
	_, err = store.Active(t.Context())
	require.ErrorIs(t, err, ErrNoActiveModel)
	_, err = store.Nearest(t.Context(), Query{Version: one})
	require.ErrorIs(t, err, ErrNoActiveModel)
}

func TestReaderReadsAndCannotWrite(t *testing.T) {
	store, _, name := migrated(t)
	load(t, store, small(one, 1), Switch)
	pool := reader(t, name)

	assert.Equal(t, 20, number(t, pool, "select count(*) from item_emb"), "the course's query, without a schema")
	assert.Equal(t, 2, number(t, pool, "select count(id) from user_emb"))
	for name, query := range map[string]string{
		"item_emb": "select id, embedding from item_emb limit 1",
		"user_emb": "select id, embedding from user_emb limit 1",
	} {
		rows, err := pool.Query(t.Context(), query)
		require.NoError(t, err)
		var types []string
		for _, field := range rows.FieldDescriptions() {
			types = append(types, fmt.Sprintf("%d", field.DataTypeOID))
		}
		rows.Close()
		want := map[string]string{"item_emb": "1043", "user_emb": "23"}[name] // varchar and int
		assert.Equal(t, want, types[0], name)
	}

	for _, statement := range []string{
		"INSERT INTO vectors.active (model_version) VALUES ('" + one + "')",
		"UPDATE vectors.active SET switched_at = now()",
		"DELETE FROM vectors.item_embeddings",
		"DELETE FROM item_emb",
		"UPDATE vectors.versions SET state = 'rejected'",
		"TRUNCATE vectors.user_embeddings",
		"DROP VIEW vectors.item_emb",
		"CREATE TABLE vectors.mine (n int)",
		"CREATE TABLE public.mine (n int)",
		"CREATE TEMPORARY TABLE mine (n int)",
		"SET ROLE vector_owner",
		"SELECT version FROM vectors.schema_version",
	} {
		refused(t, pool, statement)
	}
	_, err := pool.Exec(t.Context(), "DELETE FROM item_emb")
	require.Error(t, err)
	assertReadersSettings(t, pool)
}

// refused says that the grants alone forbid a statement: whoever logs in may turn the default of
// reading only off.
func refused(t *testing.T, pool *pgxpool.Pool, statement string) {
	t.Helper()
	err := pgx.BeginTxFunc(t.Context(), pool, pgx.TxOptions{AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), statement, pgx.QueryExecModeExec)
		return err
	})
	require.Error(t, err, statement)
	assert.Regexp(t, "permission denied|must be owner", err.Error(), statement)
}

func assertReadersSettings(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for setting, want := range map[string]string{
		"hnsw.iterative_scan": "strict_order", "hnsw.ef_search": "200", "statement_timeout": "5s",
		"default_transaction_read_only": "on", "search_path": "vectors, public",
	} {
		var is string
		require.NoError(t, pool.QueryRow(t.Context(), "SHOW "+setting).Scan(&is))
		assert.Equal(t, want, is, setting)
	}
}

func TestWebServersReadItemsAndNobodysVector(t *testing.T) {
	store, _, name := migrated(t)
	load(t, store, small(one, 1), Switch)
	pool := login(t, sql.WebReader, name)
	read := NewStore(pool)

	active, err := read.Active(t.Context())
	require.NoError(t, err)
	assert.Equal(t, one, active.Version)
	product := slices.Sorted(maps.Keys(randomItems(1, 20)))[0]
	query := Query{Version: one, Products: []string{product}, ItemsPerProduct: 5}
	found, err := read.Nearest(t.Context(), query)
	require.NoError(t, err)
	want, err := NewStore(reader(t, name)).Nearest(t.Context(), query)
	require.NoError(t, err)
	assert.Len(t, found.Products[product], 5)
	assert.Equal(t, want, found, "as inference finds them")
	assert.Equal(t, 20, number(t, pool, "select count(*) from item_emb"))

	_, err = read.UserVectors(t.Context(), one, []int{103})
	require.ErrorContains(t, err, "permission denied")
	for _, statement := range []string{
		"SELECT * FROM user_emb",
		"SELECT * FROM vectors.user_embeddings",
		"SELECT * FROM vectors.user_embeddings_" + one,
		"SELECT * FROM vectors.item_embeddings_" + one,
		"SELECT * FROM vectors.switches",
		"SELECT version FROM vectors.schema_version",
		"INSERT INTO vectors.active (model_version) VALUES ('" + one + "')",
		"UPDATE vectors.active SET switched_at = now()",
		"DELETE FROM vectors.item_embeddings",
		"DELETE FROM item_emb",
		"UPDATE vectors.versions SET state = 'rejected'",
		"TRUNCATE vectors.item_embeddings",
		"CREATE TABLE vectors.mine (n int)",
		"CREATE TABLE public.mine (n int)",
		"CREATE TEMPORARY TABLE mine (n int)",
		"SET ROLE vector_owner",
		"SET ROLE inference_reader",
	} {
		refused(t, pool, statement)
	}
	assertReadersSettings(t, pool)
}

// A store of the version before gets the login of the web servers, and keeps its models.
func TestAnOlderStoreGetsTheWebServersLogin(t *testing.T) {
	store, master, name := migrated(t)
	load(t, store, small(one, 1), Switch)
	admin := superuser(t, name)
	run(t, admin, "UPDATE vectors.schema_version SET version = 3",
		"REVOKE SELECT ON vectors.versions, vectors.item_embeddings, vectors.active, vectors.item_emb FROM web_reader",
		"REVOKE USAGE ON SCHEMA vectors FROM web_reader", "REVOKE CONNECT ON DATABASE "+name+" FROM web_reader")
	version, err := NewStore(master).Migrate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 4, version)
	active, err := NewStore(login(t, sql.WebReader, name)).Active(t.Context())
	require.NoError(t, err)
	assert.Equal(t, one, active.Version)
}

func TestLoadBesideThenSwitchAndBack(t *testing.T) {
	store, master, name := migrated(t)
	pool := reader(t, name)
	assert.Equal(t, Loaded{Version: one, New: true, Active: one}, load(t, store, small(one, 1), Switch))
	first := number(t, pool, "select count(*) from item_emb")

	bigger := model(two, randomItems(2, 30), map[int]Vector{})
	assert.Equal(t, Loaded{Version: two, New: true, Active: one}, load(t, store, bigger, Beside))
	assert.Equal(t, first, number(t, pool, "select count(*) from item_emb"), "nothing changes before the switch")

	now, err := store.Activate(t.Context(), two)
	require.NoError(t, err)
	assert.Equal(t, []string{two, one}, []string{now.Version, now.Previous})
	assert.Equal(t, 30, number(t, pool, "select count(*) from item_emb"))
	assert.Zero(t, number(t, pool, "select count(*) from user_emb"))

	again, err := store.Activate(t.Context(), two)
	require.NoError(t, err)
	assert.Equal(t, now, again, "a second switch to the same model does not forget the previous one")

	now, err = store.Rollback(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{one, two}, []string{now.Version, now.Previous})
	assert.Equal(t, 20, number(t, pool, "select count(*) from item_emb"))
	now, err = store.Rollback(t.Context())
	require.NoError(t, err)
	assert.Equal(t, two, now.Version, "a second one undoes the first")
	assert.Equal(t, 2, number(t, master, "SELECT count(*) FROM vectors.versions"))
}

func TestRollbackWithoutAPreviousModel(t *testing.T) {
	store, _, _ := migrated(t)
	_, err := store.Rollback(t.Context())
	require.ErrorContains(t, err, "there is none")
	load(t, store, small(one, 1), Switch)
	_, err = store.Rollback(t.Context())
	require.ErrorContains(t, err, "there is none")
}

func TestLoadTwiceLoadsOnce(t *testing.T) {
	store, _, _ := migrated(t)
	load(t, store, small(one, 1), Switch)
	assert.Equal(t, Loaded{Version: one, Active: one}, load(t, store, small(one, 1), Switch))
}

// A loader that is killed in the middle of a change says nothing more, and its connection may stay.
func TestAChangeThatWasAbandonedHoldsUpTheNextForAWhileOnly(t *testing.T) {
	name, master := cloudDatabase(t)
	abandoned, next := NewStore(master), NewStore(open(t, "master", "master", name))
	abandoned.idle, next.lockWait = 500*time.Millisecond, 20*time.Second
	_, err := next.Migrate(t.Context())
	require.NoError(t, err)
	err = abandoned.change(t.Context(), func(tx pgx.Tx) error {
		_, err := next.Migrate(t.Context())
		require.NoError(t, err, "the server gave up the silent one")
		_, err = tx.Exec(t.Context(), "SELECT 1")
		return err
	})
	require.ErrorContains(t, err, "idle-in-transaction timeout")

	next.lockWait = 100 * time.Millisecond
	require.NoError(t, NewStore(master).change(t.Context(), func(pgx.Tx) error {
		_, err := next.Migrate(t.Context())
		require.ErrorContains(t, err, "another one has run for 100ms")
		return nil
	}))
	require.NoError(t, next.change(t.Context(), func(tx pgx.Tx) error {
		var wait string
		require.NoError(t, tx.QueryRow(t.Context(), "SHOW lock_timeout").Scan(&wait))
		assert.Equal(t, "0", wait, "it was for the change's own lock")
		return nil
	}))
	assert.Greater(t, lockWait, idle)
}

func TestLoadConcurrently(t *testing.T) {
	store, master, _ := migrated(t)
	var group sync.WaitGroup
	results, errs := make([]Loaded, 6), make([]error, 6)
	for i := range results {
		version := []string{one, two}[i%2]
		group.Go(func() { results[i], errs[i] = store.Load(t.Context(), small(version, uint64(i%2)), Switch) })
	}
	group.Wait()
	fresh := 0
	for i, result := range results {
		require.NoError(t, errs[i])
		if result.New {
			fresh++
		}
	}
	assert.Equal(t, 2, fresh, "each model once")
	assert.Equal(t, 40, number(t, master, "SELECT count(*) FROM vectors.item_embeddings"))
}

func TestShippedModelReplacesOnlyShippedOnes(t *testing.T) {
	store, _, _ := migrated(t)
	shipped := func(version string, seed uint64) Model {
		model := small(version, seed)
		model.Origin = Shipped
		return model
	}
	assert.Equal(t, one, load(t, store, shipped(one, 1), Switch).Active)
	assert.Equal(t, two, load(t, store, shipped(two, 2), Switch).Active)
	assert.Equal(t, three, load(t, store, small(three, 3), Switch).Active, "the user's own replaces a shipped one")

	kept := load(t, store, shipped("00000000000d", 4), Switch)
	assert.Equal(t, three, kept.Active)
	assert.True(t, kept.New, "it is there for whoever wants it")
	assert.Contains(t, kept.Note, three)
	_, err := store.Activate(t.Context(), "00000000000d")
	require.NoError(t, err, "a person may switch to it")
}

func TestWhenNoneNeverTakesAPlace(t *testing.T) {
	store, _, _ := migrated(t)
	assert.Equal(t, one, load(t, store, small(one, 1), WhenNone).Active)
	assert.Equal(t, one, load(t, store, small(two, 2), WhenNone).Active)
}

func TestAByteOrderMarkBeforeTheRowsIsPassedOver(t *testing.T) {
	store, pool, _ := migrated(t)
	marked := small(one, 1)
	marked.Items = io.MultiReader(strings.NewReader("\ufeff"), marked.Items)
	marked.Users = io.MultiReader(strings.NewReader("\ufeff"), marked.Users)
	assert.True(t, load(t, store, marked, Switch).New)
	assert.Equal(t, 20, number(t, pool, "SELECT count(*) FROM vectors.item_embeddings"))
}

func TestLoadRefusesBadModelsAndKeepsTheActiveOne(t *testing.T) {
	good := csvOf(randomItems(1, 3))
	unit := Vector(make([]float32, models.Dimension))
	unit[0] = 1
	row := func(id, vector string) string { return "id,embedding\n" + id + ",\"" + vector + "\"\n" }
	long, short := append(slices.Clone(unit), 0), unit[1:]
	double := slices.Clone(unit)
	double[0] = 2
	tests := map[string]struct {
		change  func(*Model)
		message string
	}{
		"no version":          {func(m *Model) { m.Version = "" }, "12 lower-case hexadecimal digits"},
		"version that is SQL": {func(m *Model) { m.Version = "';drop --00" }, "12 lower-case hexadecimal digits"},
		"no items": {func(m *Model) { m.Items, m.ItemCount = strings.NewReader("id,embedding\n"), 0 },
			"at least one"},
		"rows missing": {func(m *Model) { m.Items, m.ItemCount = strings.NewReader(good), 4 },
			"there are 3 rows, the manifest says 4"},
		"rows too many": {func(m *Model) { m.Items, m.ItemCount = strings.NewReader(good), 2 },
			"there are 3 rows, the manifest says 2"},
		"another container": {func(m *Model) { m.Items = strings.NewReader("\xff\xfei\x00d\x00") },
			"item_embeddings: read the rows: it is UTF-16"},
		"users missing": {func(m *Model) { m.UserCount = 3 }, "user_embeddings: there are 2 rows"},
		"wrong header": {func(m *Model) {
			m.Items = strings.NewReader(strings.Replace(good, "embedding",
				"vector", 1))
		}, "column name mismatch"},
		"33 dimensions": {func(m *Model) { m.Items, m.ItemCount = strings.NewReader(row("a", long.String())), 1 },
			"line 2"},
		"31 dimensions": {func(m *Model) {
			m.Items, m.ItemCount = strings.NewReader(row("a", short.String())),
				1
		}, "expected 32 dimensions, not 31"},
		"not a number": {func(m *Model) {
			m.Items, m.ItemCount = strings.NewReader(row("a", strings.Replace(unit.String(), "1", "NaN", 1))), 1
		}, "line 2"},
		"no vector": {func(m *Model) { m.Items, m.ItemCount = strings.NewReader("id,embedding\na,\n"), 1 },
			"null value"},
		"no id": {func(m *Model) {
			m.Items, m.ItemCount = strings.NewReader(row("\"\"", unit.String())),
				1
		}, "check constraint"},
		"user id in words": {func(m *Model) { m.Users, m.UserCount = strings.NewReader(row("me", unit.String())), 1 },
			"invalid input syntax"},
		"doubled item": {func(m *Model) {
			m.Items, m.ItemCount = strings.NewReader(good+strings.SplitAfter(good,
				"\n")[1]), 4
		}, "ADD PRIMARY KEY"},
		"not of length one": {func(m *Model) { m.Items, m.ItemCount = strings.NewReader(row("a", double.String())), 1 },
			"length one"},
		"zero, without towers": {func(m *Model) {
			m.Towers = false
			m.Items, m.ItemCount = strings.NewReader(row("a", make(Vector, models.Dimension).String())), 1
		}, "length zero"},
		"interrupted while read": {func(m *Model) { m.Items = &failingReader{text: good} }, "the connection broke"},
	}
	store, master, _ := migrated(t)
	load(t, store, small(one, 1), Switch)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bad := small(two, 2)
			test.change(&bad)
			_, err := store.Load(t.Context(), bad, Switch)
			require.ErrorContains(t, err, test.message)
			now, err := store.Active(t.Context())
			require.NoError(t, err)
			assert.Equal(t, one, now.Version)
			assert.Equal(t, 20, number(t, master, "SELECT count(*) FROM vectors.item_embeddings"))
			assert.Zero(t, number(t, master, "SELECT count(*) FROM pg_tables WHERE tablename LIKE '%"+two+"'"),
				"nothing stays behind")
		})
	}
	assert.Equal(t, two, load(t, store, small(two, 2), Switch).Active, "the good one still loads")
}

type failingReader struct{ text string }

func (r *failingReader) Read(into []byte) (int, error) {
	if r.text == "" {
		return 0, fmt.Errorf("the connection broke")
	}
	n := copy(into, r.text)
	r.text = r.text[n:]
	return n, nil
}

func TestErrorsDoNotQuoteCustomers(t *testing.T) {
	store, _, _ := migrated(t)
	bad := small(one, 1)
	bad.Users, bad.UserCount = strings.NewReader("id,embedding\nJean King,\"[1]\"\n"), 1
	_, err := store.Load(t.Context(), bad, Switch)
	require.ErrorContains(t, err, "line 2, column id")
	assert.NotContains(t, place(err).Error(), "(COPY user_embeddings_00000000000a, line 2, column id: ")
}

func TestVectorsWithoutTowersAreScaledToLengthOne(t *testing.T) {
	store, master, _ := migrated(t)
	double := make(Vector, models.Dimension)
	double[3] = 2
	plain := model(one, map[string]Vector{"a": double}, map[int]Vector{1: double})
	plain.Towers = false
	load(t, store, plain, Switch)
	assert.Equal(t, 1, number(t, master, "SELECT vector_norm(embedding)::int FROM vectors.item_emb"))
	vectors, err := store.UserVectors(t.Context(), one, []int{1, 2})
	require.NoError(t, err)
	double[3] = 1
	assert.Equal(t, map[int]Vector{1: double}, vectors)
}

func TestRejectedModelsAreNeitherLoadedNorActivated(t *testing.T) {
	store, master, _ := migrated(t)
	load(t, store, small(one, 1), Switch)
	load(t, store, small(two, 2), Beside)
	require.NoError(t, store.Reject(t.Context(), two, "worse than popularity"))
	require.NoError(t, store.Reject(t.Context(), two, "again"), "rejecting twice changes nothing")
	assert.Equal(t, 20, number(t, master, "SELECT count(*) FROM vectors.item_embeddings"), "its embeddings are gone")

	_, err := store.Activate(t.Context(), two)
	require.ErrorContains(t, err, "rejected: worse than popularity")
	_, err = store.Load(t.Context(), small(two, 2), Switch)
	require.ErrorContains(t, err, "rejected: worse than popularity")
	shipped := small(two, 2)
	shipped.Origin = Shipped
	result, err := store.Load(t.Context(), shipped, Switch)
	require.NoError(t, err, "a deployment goes on")
	assert.Equal(t, one, result.Active)
	assert.Contains(t, result.Note, "rejected")
}

func TestRejectRefuses(t *testing.T) {
	store, _, _ := migrated(t)
	load(t, store, small(one, 1), Switch)
	load(t, store, small(two, 2), Switch)
	require.ErrorContains(t, store.Reject(t.Context(), two, "x"), "active model")
	require.ErrorContains(t, store.Reject(t.Context(), one, "x"), "one to go back to")
	require.ErrorContains(t, store.Reject(t.Context(), three, "x"), "not in the vector store")
	require.ErrorContains(t, store.Reject(t.Context(), "x", "x"), "12 lower-case hexadecimal digits")
}

func TestActivateRefusesWhatIsNotLoaded(t *testing.T) {
	store, _, _ := migrated(t)
	_, err := store.Activate(t.Context(), one)
	require.ErrorContains(t, err, "not in the vector store")
}

func TestRetireKeepsTheActiveThePreviousAndTheNewest(t *testing.T) {
	store, master, _ := migrated(t)
	var versions []string
	for i := range 6 {
		version := fmt.Sprintf("%012x", i)
		versions = append(versions, version)
		load(t, store, small(version, uint64(i)), Switch)
	}
	retired, err := store.Retire(t.Context())
	require.NoError(t, err)
	assert.ElementsMatch(t, versions[:2], retired)
	assert.Equal(t, 4*20, number(t, master, "SELECT count(*) FROM vectors.item_embeddings"))
	retired, err = store.Retire(t.Context())
	require.NoError(t, err)
	assert.Empty(t, retired)

	_, err = store.Activate(t.Context(), versions[0])
	require.ErrorContains(t, err, "load it again")
	assert.Equal(t, Loaded{Version: versions[0], New: true, Active: versions[0]}, load(t, store, small(versions[0], 0),
		Switch))
	now, err := store.Rollback(t.Context())
	require.NoError(t, err)
	assert.Equal(t, versions[5], now.Version)
}

func TestNearestAgreesWithExact(t *testing.T) {
	store, _, name := migrated(t)
	items := randomItems(7, 150)
	load(t, store, model(one, items, nil), Switch)
	exact, reading := NewExact(len(items), maps.All(items)), NewStore(reader(t, name))
	random := rand.New(rand.NewPCG(9, 9))
	ids := make([]string, 0, len(items))
	for id := range items {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for round := range 40 {
		query := Query{Version: one, ItemsPerUser: random.IntN(12), ItemsPerProduct: random.IntN(8)}
		for range random.IntN(5) {
			user := User{Vector: randomVector(random)}
			for range random.IntN(4) {
				user.Excluded = append(user.Excluded, ids[random.IntN(len(ids))])
			}
			user.Excluded = append(user.Excluded, `no "such" {item}\`)
			query.Users = append(query.Users, user)
		}
		for _, at := range random.Perm(len(ids))[:random.IntN(4)] {
			query.Products = append(query.Products, ids[at])
		}
		query.Products = append(query.Products, "unknown")

		got, err := reading.Nearest(t.Context(), query)
		require.NoError(t, err)
		want, err := exact.Nearest(t.Context(), query)
		require.NoError(t, err)
		require.Len(t, got.Users, len(want.Users))
		for i := range want.Users {
			requireSameItems(t, want.Users[i], got.Users[i], strconv.Itoa(round))
			for _, item := range got.Users[i] {
				require.NotContains(t, query.Users[i].Excluded, item.ID)
			}
		}
		require.Len(t, got.Products, len(want.Products))
		for code := range want.Products {
			requireSameItems(t, want.Products[code], got.Products[code], code)
		}
	}
}

func requireSameItems(t *testing.T, want, got []Item, message string) {
	t.Helper()
	require.Len(t, got, len(want), message)
	for i := range want {
		require.Equal(t, want[i].ID, got[i].ID, message)
		require.InDelta(t, want[i].Score, got[i].Score, 1e-6, message)
	}
}

func TestNearestRefusesAModelThatIsNotActive(t *testing.T) {
	store, _, _ := migrated(t)
	load(t, store, small(one, 1), Switch)
	load(t, store, small(two, 2), Switch)
	_, err := store.Nearest(t.Context(), Query{Version: one, Products: []string{"S00_0000"}, ItemsPerProduct: 3})
	var moved *MovedError
	require.ErrorAs(t, err, &moved)
	assert.Equal(t, &MovedError{Asked: one, Active: two}, moved)
}

func TestLargeCataloguesAreIndexedAndStillFullyAnswered(t *testing.T) {
	store, master, name := migrated(t)
	items := randomItems(11, models.IndexedItems)
	load(t, store, model(one, items, nil), Switch)
	status, err := store.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "hnsw", status.Versions[0].Search)
	assert.Zero(t, status.Unindexed())
	assert.Equal(t, 1, number(t, master,
		"SELECT count(*) FROM pg_indexes WHERE tablename = 'item_embeddings_"+one+"' AND indexdef LIKE "+
			"'%hnsw%vector_ip_ops%'"))

	// All nearest items lie in the cart: without the iterative scan the index would run out of
	// candidates.
	exact := NewExact(len(items), maps.All(items))
	vector := randomVector(rand.New(rand.NewPCG(5, 5)))
	query := Query{Version: one, Users: []User{{Vector: vector}}, ItemsPerUser: 250}
	cart := []string{}
	nearest, err := exact.Nearest(t.Context(), query)
	require.NoError(t, err)
	for _, item := range nearest.Users[0] {
		cart = append(cart, item.ID)
	}
	query.Users[0].Excluded, query.ItemsPerUser = cart, 10
	reading := NewStore(reader(t, name))
	got, err := reading.Nearest(t.Context(), query)
	require.NoError(t, err)
	require.Len(t, got.Users[0], 10)
	for _, item := range got.Users[0] {
		assert.NotContains(t, cart, item.ID)
	}

	// Of what compares with every item the index finds 99 in a hundred.
	const questions = 50
	found, random := 0, rand.New(rand.NewPCG(6, 6))
	for range questions {
		query := Query{Version: one, Users: []User{{Vector: randomVector(random)}}, ItemsPerUser: 10}
		got, err := reading.Nearest(t.Context(), query)
		require.NoError(t, err)
		every, err := exact.Nearest(t.Context(), query)
		require.NoError(t, err)
		for _, item := range every.Users[0] {
			if slices.ContainsFunc(got.Users[0], func(one Item) bool { return one.ID == item.ID }) {
				found++
			}
		}
	}
	assert.GreaterOrEqual(t, found, questions*10*99/100)
}

func TestVectorTextRoundTrips(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 100 {
		vector := randomVector(random)
		parsed, err := ParseVector(vector.String())
		require.NoError(t, err)
		assert.Equal(t, vector, parsed)
	}
	_, err := ParseVector("[1,x]")
	require.Error(t, err)
}

func BenchmarkNearest(b *testing.B) {
	store, _, name := migrated(b)
	items := randomItems(1, 110)
	load(b, store, model(one, items, nil), Switch)
	reading := NewStore(reader(b, name))
	query := Query{Version: one, ItemsPerUser: 5, ItemsPerProduct: 5, Products: []string{"S00_0000", "S01_0001",
		"S02_0002"}}
	random := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		query.Users = append(query.Users, User{Vector: randomVector(random), Excluded: []string{"S03_0003"}})
	}
	for b.Loop() {
		if _, err := reading.Nearest(b.Context(), query); err != nil {
			b.Fatal(err)
		}
	}
}
