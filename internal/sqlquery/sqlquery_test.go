package sqlquery

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	for _, accepted := range []string{
		"SELECT 1", "select(1)", "  with x AS (SELECT 1) SELECT * FROM x", "-- why\n# so\n\n((SELECT 1))", "select\t1",
		"SELECT", "/* why */ SELECT 1", "/* a\n b */\n-- c\n/**/(/* d */ WITH x AS (SELECT 1) SELECT 1", "--\nSELECT 1",
	} {
		assert.NoError(t, Check(accepted, "SELECT", "WITH"), accepted)
	}
	for statement, word := range map[string]string{
		"DELETE FROM t": "DELETE", "/* SELECT */ DELETE FROM t": "DELETE", "/*/ SELECT 1": "", "/* SELECT 1": "",
		"/*! DROP */ SELECT 1": "/*! DROP */ SELECT 1", "-- SELECT 1\nDROP TABLE t": "DROP",
		"": "", "-- SELECT": "", "SELECTS 1": "SELECTS", "; SELECT 1": "; SELECT 1",
	} {
		assert.EqualError(t, Check(statement, "SELECT", "WITH"),
			`query: the statement begins with "`+word+`": SELECT, WITH are allowed`, statement)
	}
}

func TestTable_writesNullsAndBytes(t *testing.T) {
	table := NewTable([]string{"a", "b", "c"})
	require.True(t, table.Add([][]byte{[]byte("ö"), nil, {0xff, 0x01}}))
	text, err := json.Marshal(table)
	require.NoError(t, err)
	assert.JSONEq(t, `{"columns":["a","b","c"],"rows":[["ö",null,"0xff01"]],"truncated":false}`, string(text))
	empty, err := json.Marshal(NewTable([]string{"a"}))
	require.NoError(t, err)
	assert.JSONEq(t, `{"columns":["a"],"rows":[],"truncated":false}`, string(empty))
}

func TestTable_isBounded(t *testing.T) {
	many := NewTable([]string{"a"})
	for range MaxRows {
		require.True(t, many.Add([][]byte{[]byte("1")}))
	}
	assert.False(t, many.Truncated)
	assert.False(t, many.Add([][]byte{[]byte("1")}))
	assert.True(t, many.Truncated)
	assert.Len(t, many.Rows, MaxRows)

	large := NewTable([]string{"a"})
	require.True(t, large.Add([][]byte{bytes.Repeat([]byte("x"), MaxBytes)}))
	assert.False(t, large.Add([][]byte{[]byte("x")}))
	assert.True(t, large.Truncated)
	assert.Len(t, large.Rows, 1)
}
