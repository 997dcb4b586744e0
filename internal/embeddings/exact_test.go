package embeddings

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// numbered is a context that ends after so many looks at it.
type numbered struct {
	context.Context
	looks int
}

var errOver = errors.New("over")

func (n *numbered) Err() error {
	if n.looks--; n.looks < 0 {
		return errOver
	}
	return nil
}

func TestExactSearchTellsWhatItFoundInTime(t *testing.T) {
	items := randomItems(3, 50)
	exact := NewExact(len(items), maps.All(items))
	query := Query{
		Users: []User{{Vector: exact.vector(1)}, {Vector: exact.vector(2)}}, ItemsPerUser: 3,
		Products: []string{exact.ids[0], exact.ids[1]}, ItemsPerProduct: 3,
	}
	whole, err := exact.Nearest(t.Context(), query)
	require.NoError(t, err)
	for looks := range 4 {
		found, err := exact.Nearest(&numbered{t.Context(), looks}, query)
		require.ErrorIs(t, err, errOver)
		for i := range query.Users {
			if i < looks {
				assert.Equal(t, whole.Users[i], found.Users[i])
			} else {
				assert.Nil(t, found.Users[i])
			}
		}
		assert.Len(t, found.Products, max(0, looks-2))
	}
	assert.LessOrEqual(t, cap(exact.numbers)*4+len(exact.ids)*(16+len("S00_0000")), len(items)*ExactBytes(8))
}

func BenchmarkExact(b *testing.B) {
	for _, count := range []int{110, 100_000} {
		items := randomItems(1, count)
		exact := NewExact(count, maps.All(items))
		query := Query{Users: []User{{Vector: exact.vector(1)}}, ItemsPerUser: 10}
		b.Run(fmt.Sprintf("%d-items", count), func(b *testing.B) {
			for b.Loop() {
				if _, err := exact.Nearest(b.Context(), query); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
