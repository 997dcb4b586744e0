package source_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
	"diecast/internal/sqlquery"
	scripts "diecast/sql"
)

func TestQueriesAnswerAReader(t *testing.T) {
	pool := empty(t)
	apply(t, pool, sample(nil))
	reader := login(t, pool, scripts.ETLReader)
	value := func(text string) *string { return &text }
	for statement, expected := range map[string]sqlquery.Table{
		"SELECT 1 AS a, NULL AS b, 1.50 AS c": {Columns: []string{"a", "b", "c"},
			Rows: [][]*string{{value("1"), nil, value("1.50")}}},
		"-- a comment\n# another\n (SELECT 'é' AS x) ": {Columns: []string{"x"},
			Rows: [][]*string{{value("é")}}},
		"with q as (select x'00ff' as x) select * from q": {Columns: []string{"x"},
			Rows: [][]*string{{value("0x00ff")}}},
		"SELECT city FROM classicmodels.customers WHERE customerNumber = 0": {Columns: []string{"city"},
			Rows: [][]*string{}},
	} {
		table, err := source.Query(t.Context(), reader, statement)
		require.NoError(t, err, statement)
		assert.Equal(t, expected.Columns, table.Columns, statement)
		assert.Equal(t, expected.Rows, table.Rows, statement)
		assert.False(t, table.Truncated, statement)
	}
	for _, statement := range []string{"SHOW TABLES FROM classicmodels", "DESCRIBE classicmodels.ratings",
		"EXPLAIN SELECT * FROM classicmodels.ratings", "DESC classicmodels.orders"} {
		table, err := source.Query(t.Context(), reader, statement)
		require.NoError(t, err, statement)
		assert.NotEmpty(t, table.Rows, statement)
	}
}

func TestQueriesAreBounded(t *testing.T) {
	pool := empty(t)
	numbers := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) SELECT n.i, " +
		"repeat('x', $) FROM n JOIN n AS m LIMIT %"
	for name, test := range map[string]struct {
		rows, width string
		expected    int
		truncated   bool
	}{
		"as many as go": {"1000", "1", 1000, false}, "one more": {"1001", "1", 1000, true}, "too wide": {"30", "100000",
			10, true},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := source.Query(
				t.Context(), pool, strings.NewReplacer("%", test.rows, "$", test.width).Replace(numbers),
			)
			require.NoError(t, err)
			assert.Len(t, table.Rows, test.expected)
			assert.Equal(t, test.truncated, table.Truncated)
		})
	}
	_, err := source.QueryWithin(
		t.Context(), pool,
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT sum(n.i * m.i * o.i) "+
			"FROM n JOIN n AS m JOIN n AS o",
		200*time.Millisecond,
	)
	require.EqualError(t, err, "query: the statement took more than 200ms")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = source.Query(ctx, pool, "SELECT 1")
	require.ErrorIs(t, err, context.Canceled)
}

func TestQueriesChangeNothing(t *testing.T) {
	pool := empty(t)
	apply(t, pool, sample(nil))
	before := stored(t, pool)
	for statement, message := range map[string]string{
		"DELETE FROM classicmodels.ratings": `the statement begins with "DELETE": SELECT, WITH,`,
		"":                                  `the statement begins with ""`,
		"SELECT 1; DELETE FROM classicmodels.ratings":            "syntax",
		"SELECT * FROM classicmodels.ratings FOR":                "syntax",
		"EXPLAIN ANALYZE DELETE FROM classicmodels.ratings":      "",
		"ANALYZE DELETE FROM classicmodels.ratings":              `begins with "ANALYZE"`,
		"SELECT 1 INTO OUTFILE '/tmp/x'":                         "denied",
		"WITH a AS (SELECT 1) DELETE FROM classicmodels.ratings": "",
	} {
		_, err := source.Query(t.Context(), login(t, pool, scripts.ETLReader), statement)
		require.Error(t, err, statement)
		assert.ErrorContains(t, err, message, statement)
	}
	assert.Equal(t, before, stored(t, pool))
	// With a login that may do everything, the transaction is what holds.
	mariadbtest.Execute(t, pool, "CREATE FUNCTION classicmodels.lose() RETURNS int BEGIN "+
		"DELETE FROM classicmodels.ratings; RETURN 1; END")
	_, err := source.Query(t.Context(), pool, "SELECT classicmodels.lose()")
	require.ErrorContains(t, err, "READ ONLY transaction")
	assert.Equal(t, before, stored(t, pool))
}

// What a statement takes of its session ends with its answer: a lock that stayed would keep every
// load away.
func TestQueriesLeaveNothingBehindInTheirSession(t *testing.T) {
	pool := empty(t)
	apply(t, pool, sample(nil))
	for range 3 {
		table, err := source.Query(t.Context(), pool, "SELECT get_lock('diecast.source', 5), @left, @left := 'behind'")
		require.NoError(t, err)
		require.Equal(t, "1", *table.Rows[0][0])
		require.Nil(t, table.Rows[0][1])
	}
	advanced := make(chan error, 1)
	go func() {
		_, err := source.New(pool).Advance(t.Context(), 1)
		advanced <- err
	}()
	select {
	case err := <-advanced:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("an advance waits for a lock that a query has taken")
	}
	assert.Zero(t, pool.Stats().InUse)
}
