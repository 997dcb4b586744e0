package tablefile

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/trainingset"
)

// columns of the files that testdata/make_types.py has Spark write: every type of a run's tables.
var columns = []trainingset.Column{
	{Name: "anInt", Type: "int"}, {Name: "aSmall", Type: "smallint"}, {Name: "aText", Type: "string"},
	{Name: "price", Type: "decimal(10,2)"}, {Name: "revenue", Type: "decimal(20,2)"},
	{Name: "threshold", Type: "decimal(24,4)"}, {Name: "aDay", Type: "date"}, {Name: "aTime", Type: "timestamp"},
	{Name: "aFlag", Type: "boolean"}, {Name: "aMean", Type: "double"},
}

func read(t *testing.T, kind trainingset.Format, columns []trainingset.Column, content []byte) ([][]string, error) {
	t.Helper()
	var rows [][]string
	for row, err := range Rows(kind, columns, content) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func file(t *testing.T, kind trainingset.Format) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "types."+string(kind)))
	require.NoError(t, err)
	return content
}

func TestRows_areTheSameInEitherFormat(t *testing.T) {
	for _, kind := range []trainingset.Format{trainingset.Parquet, trainingset.CSV} {
		rows, err := read(t, kind, columns, file(t, kind))
		require.NoError(t, err)
		assert.Equal(t, [][]string{
			{"1", "-7", "S10_1", "81.35", "-0.05", "12345678901234567890.1234", "1969-12-31", "2004-11-24 23:59:59",
				"true", "2.5"},
			{"2", "", "", "", "100000000000000000.00", "", "", "", "false", ""},
		}, rows, kind)
	}
}

func TestRows_lookAtWhatACSVComesInFirst(t *testing.T) {
	whole := file(t, trainingset.CSV)
	plain, err := read(t, trainingset.CSV, columns, whole)
	require.NoError(t, err)
	marked, err := read(t, trainingset.CSV, columns, append([]byte("\xef\xbb\xbf"), whole...))
	require.NoError(t, err)
	assert.Equal(t, plain, marked)
	_, err = read(t, trainingset.CSV, columns, []byte("\xff\xfea\x00,\x00"))
	require.ErrorContains(t, err, "it is UTF-16: write it as UTF-8")
}

func TestRows_endWhenNobodyWantsMore(t *testing.T) {
	for _, kind := range []trainingset.Format{trainingset.Parquet, trainingset.CSV} {
		for row, err := range Rows(kind, columns, file(t, kind)) {
			require.NoError(t, err)
			assert.Equal(t, "1", row[0])
			break
		}
	}
}

func TestRows_refuseOtherColumnsAndDamagedFiles(t *testing.T) {
	others := slices.Clone(columns)
	others[3].Name = "priceEach"
	for _, kind := range []trainingset.Format{trainingset.Parquet, trainingset.CSV} {
		whole := file(t, kind)
		_, err := read(t, kind, others, whole)
		require.ErrorContains(t, err, "the manifest says anInt, aSmall, aText, priceEach", kind)
		_, err = read(t, kind, columns, nil)
		require.Error(t, err, kind)
	}
	_, err := read(t, trainingset.Parquet, columns, file(t, trainingset.CSV))
	require.ErrorContains(t, err, "it is no Parquet file")
	_, err = read(t, trainingset.CSV, columns, append(file(t, trainingset.CSV), "1,2\n"...))
	require.ErrorContains(t, err, "wrong number of fields")
	_, err = read(t, "avro", columns, nil)
	require.ErrorContains(t, err, `a file of format "avro"`)
}

func TestStream_readsTheWantedColumnsInTheirOrder(t *testing.T) {
	for _, kind := range []trainingset.Format{trainingset.Parquet, trainingset.CSV} {
		content := file(t, kind)
		var rows [][]string
		for row, err := range Stream(kind, columns, bytes.NewReader(content), int64(len(content)), "aMean", "aText") {
			require.NoError(t, err)
			rows = append(rows, row)
		}
		assert.Equal(t, [][]string{{"2.5", "S10_1"}, {"", ""}}, rows, kind)
		for _, err := range Stream(kind, columns, bytes.NewReader(content), int64(len(content)), "aPrice") {
			require.ErrorContains(t, err, "no column aPrice")
		}
	}
}
