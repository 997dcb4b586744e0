package source

import (
	"testing"

	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
)

func TestMoreRowsThanTheLoaderTakesAreRefusedWithTheWayToLoadThem(t *testing.T) {
	w := newWriter(nil)
	w.rows = MaxRows - 1
	row := []classicmodels.Value{
		classicmodels.TextValue("Kites"),
		classicmodels.Null,
		classicmodels.Null,
		classicmodels.Null,
	}
	lines := classicmodels.TableNamed(classicmodels.ProductLines)
	require.NoError(t, w.add(t.Context(), lines, row, 1))
	err := w.add(t.Context(), lines, row, 2)
	require.ErrorContains(
		t, err,
		"more than 3000000 rows, which is what the loader takes: load it by hand: deploy with source.kind=empty",
	)
}
