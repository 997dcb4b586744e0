package archive_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/docs/schemas"
	"diecast/internal/archive"
)

// A field that a contract gets is a column, and no column is of a field that it has not.
func TestTablesHaveTheFieldsOfTheContracts(t *testing.T) {
	for table, schema := range map[string]string{
		archive.RecommendationsTable: "recommendation_record", archive.RefusedTable: "error_output",
	} {
		text, err := schemas.Files.ReadFile(schema + ".schema.json")
		require.NoError(t, err)
		var contract struct{ Properties map[string]any }
		require.NoError(t, json.Unmarshal(text, &contract))
		fields := slices.Collect(maps.Keys(contract.Properties))
		at := slices.IndexFunc(archive.Tables(), func(one archive.Table) bool { return one.Name == table })
		require.GreaterOrEqual(t, at, 0)
		found := archive.Tables()[at]
		if found.AnyCase {
			for i, field := range fields {
				fields[i] = strings.ToLower(field)
			}
			slices.Sort(fields)
			fields = slices.Compact(fields) // lambdaARN has two spellings
		}
		var columns []string
		for _, column := range found.Columns {
			columns = append(columns, column.Name)
		}
		assert.ElementsMatch(t, fields, columns, table)
	}
}

func TestTablesLieApart(t *testing.T) {
	for _, one := range archive.Tables() {
		for _, other := range archive.Tables() {
			assert.Equal(t, one.Name == other.Name, strings.HasPrefix(one.Folder, other.Folder),
				"%s below %s", one.Folder, other.Folder)
		}
	}
}
