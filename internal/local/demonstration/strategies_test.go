package demonstration

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFirstChange(t *testing.T) {
	before := map[pair]string{{"1", "b"}: "3", {"1", "c"}: "3", {"2", "a"}: "4", {"0", "x"}: "1"}
	now := map[pair]string{{"1", "b"}: "3", {"1", "c"}: "5", {"2", "a"}: "1", {"0", "y"}: "2"}
	found, err := firstChange(before, now)
	require.NoError(t, err)
	assert.Equal(t, pair{"1", "c"}, found, "what is new or gone is no change")
	_, err = firstChange(before, before)
	require.ErrorContains(t, err, "no rating has changed")
}
