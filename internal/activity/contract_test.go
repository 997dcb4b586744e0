package activity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/test/contracts"
)

func TestContract(t *testing.T) {
	contracts.Check(t, "activity_event", func(data []byte) error {
		_, err := activity.Decode(data)
		return err
	})
}

func FuzzDecode(f *testing.F) {
	suite := contracts.Load(f, "activity_event")
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		event, err := activity.Decode(data)
		suite.Agree(t, data, err)
		if err != nil {
			return
		}
		again, err := activity.Decode(event.Encode())
		require.NoError(t, err)
		require.Equal(t, event, again)
		identified := event.Identify(stream())
		again, err = activity.Decode(identified.Encode())
		require.NoError(t, err, "put back on the stream")
		require.Equal(t, identified, again)
		require.LessOrEqual(t, len(event.Products()), activity.MaxProducts)
	})
}

func FuzzNormalise(f *testing.F) {
	for _, text := range []string{"", " Norway  ", "STRASSE ß", "\u00a0Århus\u2003", "İstanbul", "ΣΊΣΥΦΟΣ"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := activity.Normalise(text)
		require.Equal(t, once, activity.Normalise(once), "normalising twice changes nothing")
	})
}
