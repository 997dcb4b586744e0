package modelstore_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/models/modelstore"
	"diecast/internal/models/modelstore/modelstoretest"
)

func stored(t *testing.T) (*modelstoretest.Objects, string) {
	objects := modelstoretest.New()
	folder, manifest := modelstoretest.Embeddings(t, 1, 5, 2, artifacts.Shipped)
	return objects, objects.Put(t, folder, manifest)
}

func TestDownloadedModelVerifies(t *testing.T) {
	objects, version := stored(t)
	folder := t.TempDir()
	require.NoError(t, objects.Bucket().Download(t.Context(), version, folder))
	model, err := artifacts.Verify(os.DirFS(folder))
	require.NoError(t, err)
	assert.Equal(t, version, model.Manifest.ModelVersion)
	assert.Len(t, model.Items, 5)
}

func TestFileChecksSizeAndHash(t *testing.T) {
	objects, version := stored(t)
	bucket := objects.Bucket()
	manifest, err := bucket.Manifest(t.Context(), version)
	require.NoError(t, err)
	data, err := bucket.File(t.Context(), manifest, artifacts.UserEmbeddings)
	require.NoError(t, err)
	require.NotEmpty(t, data)

	data[20] ^= 1
	objects.Change(version, artifacts.UserEmbeddings, data)
	_, err = bucket.File(t.Context(), manifest, artifacts.UserEmbeddings)
	require.ErrorContains(t, err, "s3://artifacts/models/"+version+"/embeddings/user_embeddings.csv: sha256 is")
	objects.Change(version, artifacts.UserEmbeddings, append(data, 0))
	_, err = bucket.File(t.Context(), manifest, artifacts.UserEmbeddings)
	require.ErrorContains(t, err, "more than")
	_, err = bucket.File(t.Context(), manifest, artifacts.UserTower)
	require.ErrorContains(t, err, "the manifest does not list it")
}

func TestManifestRefuses(t *testing.T) {
	objects, version := stored(t)
	_, other := modelstoretest.Embeddings(t, 2, 5, 2, artifacts.Shipped)
	text, err := other.Encode()
	require.NoError(t, err)
	tests := map[string]struct {
		content []byte
		message string
	}{
		"another model's":  {text, "want " + version + " for both"},
		"no JSON":          {[]byte("{"), "models/" + version + "/manifest.json"},
		"fields that lack": {[]byte("{}"), "model_version"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			objects.Change(version, artifacts.ManifestName, test.content)
			_, err := objects.Bucket().Manifest(t.Context(), version)
			require.ErrorContains(t, err, test.message)
		})
	}
	_, err = objects.Bucket().Manifest(t.Context(), "00000000000f")
	require.ErrorContains(t, err, "s3://artifacts/models/00000000000f/manifest.json does not exist")
}

type getter func() (*s3.GetObjectOutput, error)

func (g getter) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return g()
}

func TestFailuresNameTheObject(t *testing.T) {
	down := errors.New("service unavailable")
	bucket := modelstore.Bucket{Name: "b", Client: getter(func() (*s3.GetObjectOutput, error) { return nil, down })}
	_, err := bucket.Manifest(t.Context(), "00000000000f")
	require.ErrorIs(t, err, down)
	require.ErrorContains(t, err, "s3://b/models/00000000000f/manifest.json")
}
