package embeddings

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/sqlquery"
)

func TestQuery_answersAsText(t *testing.T) {
	store, _, _ := migrated(t)
	answer, err := store.Query(t.Context(), "SELECT 1 AS version, NULL::int AS nothing, 1.50 AS price")
	require.NoError(t, err)
	assert.Equal(t, []string{"version", "nothing", "price"}, answer.Columns)
	require.Len(t, answer.Rows, 1)
	assert.Equal(t, "1", *answer.Rows[0][0])
	assert.Nil(t, answer.Rows[0][1])
	assert.Equal(t, "1.50", *answer.Rows[0][2])

	answer, err = store.Query(t.Context(), "SELECT count FROM (SELECT count(*) AS count FROM versions) WHERE false")
	require.NoError(t, err)
	assert.Equal(t, []string{"count"}, answer.Columns, "also of no rows")
	assert.Empty(t, answer.Rows)
}

func TestQuery_changesNothing(t *testing.T) {
	store, master, _ := migrated(t)
	for statement, want := range map[string]string{
		"DELETE FROM schema_version":                                               "the statement begins with",
		"SELECT 1; DELETE FROM schema_version":                                     "multiple commands",
		"WITH gone AS (DELETE FROM schema_version RETURNING 1) SELECT * FROM gone": "read-only transaction",
		"SELECT set_config('transaction_read_only', 'off', true)":                  "read-write mode",
		"SELECT * FROM nothing":                                                    "does not exist",
	} {
		_, err := store.Query(t.Context(), statement)
		require.ErrorContains(t, err, want, statement)
	}
	var left int
	require.NoError(t, master.QueryRow(t.Context(), "SELECT count(*) FROM vectors.schema_version").Scan(&left))
	assert.Equal(t, 1, left)
}

func TestQuery_isBounded(t *testing.T) {
	store, _, _ := migrated(t)
	for rows, truncated := range map[string]bool{"1000": false, "1001": true, "1000000": true} {
		answer, err := store.Query(t.Context(), "SELECT * FROM generate_series(1, "+rows+")")
		require.NoError(t, err)
		assert.Len(t, answer.Rows, sqlquery.MaxRows)
		assert.Equal(t, truncated, answer.Truncated, rows)
	}
	_, err := store.query(t.Context(), "SELECT pg_sleep(60)", 50*time.Millisecond)
	require.EqualError(t, err, "query: the statement took more than 50ms")
	_, err = store.Query(t.Context(), "SELECT 1")
	require.NoError(t, err, "the store goes on")
}

// What a statement takes of its session ends with its answer.
func TestQuery_leavesNothingBehindInItsSession(t *testing.T) {
	store, _, _ := migrated(t)
	_, err := store.Query(t.Context(), "SELECT pg_advisory_lock(7), set_config('diecast.left', 'behind', false)")
	require.NoError(t, err)
	table, err := store.Query(t.Context(),
		"SELECT count(*), coalesce(current_setting('diecast.left', true), '') FROM pg_locks "+
			"WHERE locktype = 'advisory' AND objid = 7 AND pid = pg_backend_pid()")
	require.NoError(t, err)
	assert.Equal(t, []string{"0", ""}, []string{*table.Rows[0][0], *table.Rows[0][1]})
}
