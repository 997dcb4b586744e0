package contracts

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// RecordOrder is rules/record_order.json: which records of several count in the row and in the
// archive.
type RecordOrder struct {
	IDs   map[string]uuid.UUID `json:"ids"`
	Cases []struct {
		Name    string          `json:"name"`
		Records []OrderedRecord `json:"records"`
		// Row names the record that every order of arrival leaves in the row.
		Row string `json:"row"`
		// Archive names the records that count where they lie in the order of Records.
		Archive []string `json:"archive"`
	} `json:"cases"`
}

// OrderedRecord is what the rules look at; ID is a key of RecordOrder.IDs.
type OrderedRecord struct {
	Name     string    `json:"name"`
	ID       string    `json:"id"`
	Time     time.Time `json:"time"`
	Degraded bool      `json:"degraded"`
}

// LoadRecordOrder reads the rule's file.
func LoadRecordOrder(t testing.TB) (order RecordOrder) {
	t.Helper()
	data, err := files.ReadFile("rules/record_order.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &order))
	require.NotEmpty(t, order.Cases)
	return order
}

// Permutations calls each with every order of the values; the slice is its own only until it
// returns.
func Permutations[T any](values []T, each func([]T)) {
	values = slices.Clone(values) // tests side by side share what was loaded
	var place func(int)
	place = func(from int) {
		if from == len(values) {
			each(values)
			return
		}
		for i := from; i < len(values); i++ {
			values[from], values[i] = values[i], values[from]
			place(from + 1)
			values[from], values[i] = values[i], values[from]
		}
	}
	place(0)
}
