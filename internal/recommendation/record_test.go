package recommendation

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/test/contracts"
)

// The short way writes what rounding, reading and writing again does.
func TestMeasuresAreWrittenAsTheyAreRounded(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	values := []float64{
		0.1, 0.01, 0.001, 1e-4, 1e-5, 0.99999999, 0.9999999, 0.09999999999, 0.00099999999, 1e-5 - 1e-15, 0.5,
		0.12345675, 0.12345665, 0.012345675, 1 - 1e-16, math.Nextafter(1e-5, 1), math.Nextafter(0.1, 0),
	}
	for range 200_000 {
		values = append(values, random.Float64()*math.Pow(10, -float64(random.IntN(7))))
	}
	for _, value := range values {
		for _, signed := range []float64{value, -value} {
			want := jsontext.Float(significant(signed)).String()
			if got := string(appendMeasure(nil, signed)); got != want {
				require.Equal(t, want, got, "%v", signed)
			}
		}
	}
}

func TestTheBoundIsNeverBelowTheRecord(t *testing.T) {
	suite := contracts.Load(t, "recommendation_record")
	for _, test := range suite.Cases {
		record, err := Decode(test.Input(t))
		if err != nil {
			continue
		}
		for range 2 {
			size := len(record.Encode())
			assert.GreaterOrEqual(t, record.bound(), size, test.Name)
			assert.Less(t, record.bound(), 2*size+1<<10, "and not far above")
			// What takes most room: codes that are escaped, and the longest measures.
			record.Items = nil
			for range MaxItems {
				record.Items = append(record.Items, Item{ID: `\\\\\\\\`, Score: -1.234567e-300})
			}
			record.Similar = []Similar{{ProductCode: `""""`, Items: []Neighbour{{ID: `"`, Distance: -math.MaxFloat64}}}}
		}
	}
}
