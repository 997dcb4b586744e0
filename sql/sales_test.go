package sql

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEverySalesStatementIsUsedAndOnlyReads(t *testing.T) {
	used := []string{SalesItems, SalesProducts, SalesProductLines}
	entries, err := salesFiles.ReadDir("sales")
	require.NoError(t, err)
	assert.Len(t, used, len(entries))
	for _, entry := range entries {
		assert.Contains(t, used, salesStatement(strings.TrimSuffix(entry.Name(), ".sql")))
	}
	for _, text := range append(used, SpikeDays) {
		assert.NotContains(t, text, ";\n")
		assert.Regexp(t, `(?m)^(SELECT|WITH) `, text)
	}
}
