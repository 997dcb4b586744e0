package vectorsize

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheLeastMemoryHoldsWhatItIsFor(t *testing.T) {
	for _, rows := range []int{110, 10_000, 100_000, 1_000_000} {
		least := Memory{DatabaseMiB: LeastDatabaseMiB(rows, rows), FunctionMiB: LeastFunctionMiB(rows, rows)}
		require.NoError(t, least.Check(rows, rows))
		assert.GreaterOrEqual(t, MostItems(least.DatabaseMiB), rows)
		assert.LessOrEqual(t, BuildMiB(rows), max(65, least.DatabaseMiB/4+1), "a quarter holds an index build")
		assert.GreaterOrEqual(t, MostRows(least.FunctionMiB), 2*rows)
	}
}

func TestMoreThanTheMemoryHoldsIsRefusedWithWhatToSet(t *testing.T) {
	lean := Memory{DatabaseMiB: 1024, FunctionMiB: 512}
	require.NoError(t, lean.Check(250_000, 250_000))
	err := lean.Check(1_000_000, 100_000)
	require.ErrorContains(t, err, "want a database with 3434 MiB of memory, it has 1024: set vectors.instanceClass")
	require.ErrorContains(t, err, "want a loader with 653 MiB of memory, it has 512: set vectors.loaderMemoryMiB")
	err = Memory{DatabaseMiB: 1 << 20, FunctionMiB: 512}.Check(1_000_000, 0)
	require.ErrorContains(t, err, "set vectors.loaderMemoryMiB")
	assert.NotContains(t, err.Error(), "vectors.instanceClass")
	vast := Memory{DatabaseMiB: 1 << 20, FunctionMiB: 1 << 20}
	require.NoError(t, vast.Check(2_000_000, 5_000_000))
	require.ErrorContains(t, vast.Check(2_000_001, 0), "2000001 items are not indexed in the time")
}
