package process

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMemory(t *testing.T) {
	taken, err := Memory(os.Getpid())
	require.NoError(t, err)
	assert.Greater(t, taken, int64(1<<20))
	assert.Less(t, taken, MachineMemory())
	_, err = Memory(1 << 30)
	require.Error(t, err, "there is no such process")
}
