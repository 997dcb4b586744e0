package recommendation_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"diecast/internal/recommendation"
	"diecast/test/contracts"
)

func TestContract(t *testing.T) {
	contracts.Check(t, "recommendation_record", func(data []byte) error {
		_, err := recommendation.Decode(data)
		return err
	})
}

func FuzzDecode(f *testing.F) {
	suite := contracts.Load(f, "recommendation_record")
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		record, err := recommendation.Decode(data)
		suite.Agree(t, data, err)
		if err != nil {
			return
		}
		line := record.Encode()
		require.Equal(t, byte('\n'), line[len(line)-1])
		if len(line) > recommendation.MaxBytes { // a long spelling of numbers can be near the limit
			return
		}
		again, err := recommendation.Decode(line)
		require.NoError(t, err)
		require.Equal(t, record, again)
	})
}
