package sql

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryStatementOfTheWebServersIsUsedAndOnlyReads(t *testing.T) {
	used := []string{SalesItems, SalesProducts, SalesProductLines, CatalogueProducts, CatalogueCustomers}
	files := 0
	require.NoError(t, fs.WalkDir(webFiles, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		assert.Contains(t, used, webStatement(strings.TrimSuffix(name, ".sql")))
		return nil
	}))
	assert.Len(t, used, files)
	for _, text := range append(used, SpikeDays) {
		assert.NotContains(t, text, ";\n")
		assert.Regexp(t, `(?m)^(SELECT|WITH) `, text)
	}
}
