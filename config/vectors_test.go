package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"diecast/internal/vectorsize"
	"diecast/test/accept"
)

// The table of what fits is made of the arithmetic by which the loader refuses.
func TestSizesAreDocumented(t *testing.T) {
	byMemory := map[int][]string{}
	for _, class := range InstanceClasses() {
		byMemory[instanceMemoryGiB[class]] = append(byMemory[instanceMemoryGiB[class]], class)
	}
	var table strings.Builder
	table.WriteString("| Products, each with a customer | Least class | `vectors.loaderMemoryMiB` |\n")
	table.WriteString("| --- | --- | --- |\n")
	for _, rows := range []int{110, 10_000, 100_000, 250_000, 500_000, 1_000_000, 2_000_000} {
		classes := ""
		for _, memory := range slices.Sorted(maps.Keys(byMemory)) {
			if vectorsize.LeastDatabaseMiB(rows, rows) <= memory<<10 {
				classes = fmt.Sprintf("%s (%d GiB)", strings.Join(byMemory[memory], ", "), memory)
				break
			}
		}
		assert.NotEmpty(t, classes, rows)
		fmt.Fprintf(&table, "| %d | %s | %d |\n", rows, classes, max(256, vectorsize.LeastFunctionMiB(rows, rows)))
	}
	accept.Region(t, "../docs/vectors.md", "sizes", table.String())
}
