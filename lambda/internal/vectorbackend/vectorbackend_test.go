package vectorbackend

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/environment"
	"diecast/internal/surroundings"
)

func TestOpenConnectsToNothing(t *testing.T) {
	surroundings.Forget("AWS_")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	read, err := environment.Read[environment.VectorStore](map[string]string{
		"DATABASE_HOST": "db.example.com", "DATABASE_PORT": "5432", "DATABASE_NAME": "vectors", "DATABASE_AUTH": "iam",
		"DATABASE_USER": "inference_reader", "AWS_REGION": "us-east-1", "ARTIFACTS_BUCKET": "artifacts",
	})
	require.NoError(t, err)
	backend, err := Open(t.Context(), read)
	require.NoError(t, err)
	assert.Equal(t, "artifacts", backend.Models.Name)
	assert.NotNil(t, backend.Store)
}

func TestOpenNamesAllProblems(t *testing.T) {
	_, err := Open(t.Context(), environment.VectorStore{})
	for _, name := range []string{"DATABASE_HOST", "DATABASE_AUTH"} {
		assert.ErrorContains(t, err, name)
	}
}
