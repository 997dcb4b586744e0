package models

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersionHasTwelveHexadecimalDigits(t *testing.T) {
	require.NoError(t, CheckVersion("0123456789ab"))
	for _, text := range []string{"", "0123456789a", "0123456789abc", "0123456789AB", "0123456789ag", "0123456789ab\n",
		"../secrets"} {
		assert.ErrorContains(t, CheckVersion(text), "want 12 lower-case hexadecimal digits", "%q", text)
	}
}

func TestFilesLieInTheModelsFolder(t *testing.T) {
	assert.Equal(t, "models/0123456789ab", Folder("0123456789ab"))
	assert.Equal(t, "models/0123456789ab/model/user_tower.onnx", Key("0123456789ab", "model/user_tower.onnx"))
}
