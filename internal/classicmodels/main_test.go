package classicmodels_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/local/mariadb/mariadbtest"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Run(m)) }

// memory keeps files by name.
type memory map[string]*bytes.Buffer

func (m memory) create(name string) (io.WriteCloser, error) {
	m[name] = &bytes.Buffer{}
	return closing{m[name]}, nil
}

type closing struct{ io.Writer }

func (closing) Close() error { return nil }

func shop(t testing.TB, change func(*classicmodels.Options)) *classicmodels.Shop {
	t.Helper()
	options := classicmodels.DefaultOptions()
	if change != nil {
		change(&options)
	}
	made, err := classicmodels.New(options)
	require.NoError(t, err)
	return made
}

// rows are a source's tables, as text by column name.
func rows(t testing.TB, source classicmodels.Source) map[string][]map[string]string {
	t.Helper()
	all := map[string][]map[string]string{}
	require.NoError(t, source.Scan(context.Background(),
		func(table *classicmodels.Table, row []classicmodels.Value) error {
			named := map[string]string{}
			for i, column := range table.Columns {
				if !row[i].IsNull() {
					named[column.Name] = row[i].String()
				}
			}
			all[table.Name] = append(all[table.Name], named)
			return nil
		}))
	return all
}

func records(t testing.TB, text string) []map[string]string {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	var all []map[string]string
	for _, line := range lines[1:] {
		named := map[string]string{}
		for i, name := range lines[0] {
			named[name] = line[i]
		}
		all = append(all, named)
	}
	return all
}

func distinct(rows []map[string]string, column string) map[string]int {
	counts := map[string]int{}
	for _, row := range rows {
		if value, found := row[column]; found {
			counts[strings.ToLower(strings.TrimSpace(value))]++
		}
	}
	return counts
}
