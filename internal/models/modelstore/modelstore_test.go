package modelstore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/models"
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

// recording is a bucket that keeps the order of what was put, and can refuse a key.
type recording struct {
	*modelstoretest.Objects
	keys    []string
	refused string
}

func (r *recording) PutObject(ctx context.Context, input *s3.PutObjectInput,
	options ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if *input.Key == r.refused {
		return nil, errors.New("service unavailable")
	}
	r.keys = append(r.keys, *input.Key)
	return r.Objects.PutObject(ctx, input, options...)
}

func complete(t *testing.T) (fstest.MapFS, string) {
	t.Helper()
	folder, manifest := modelstoretest.Embeddings(t, 1, 5, 2, artifacts.Shipped)
	data, err := manifest.Encode()
	require.NoError(t, err)
	files := fstest.MapFS{artifacts.ManifestName: {Data: data}}
	for name := range manifest.Files {
		content, err := fs.ReadFile(folder, name)
		require.NoError(t, err)
		files[name] = &fstest.MapFile{Data: content}
	}
	return files, manifest.ModelVersion
}

func TestUploadedModelIsDownloaded(t *testing.T) {
	folder, version := complete(t)
	objects := &recording{Objects: modelstoretest.New()}
	require.NoError(t, objects.Bucket().Upload(t.Context(), objects, version, folder))
	assert.Equal(t, []string{
		models.Key(version, artifacts.ItemEmbeddings), models.Key(version, artifacts.UserEmbeddings),
		models.Key(version, artifacts.ManifestName),
	}, objects.keys, "the manifest comes last")
	require.NoError(t, objects.Bucket().Download(t.Context(), version, t.TempDir()))
}

func TestUploadStopsAtTheFirstFailure(t *testing.T) {
	folder, version := complete(t)
	objects := &recording{Objects: modelstoretest.New(), refused: models.Key(version, artifacts.UserEmbeddings)}
	err := objects.Bucket().Upload(t.Context(), objects, version, folder)
	require.ErrorContains(t, err,
		"s3://artifacts/models/"+version+"/embeddings/user_embeddings.csv: service unavailable")
	_, err = objects.Bucket().Manifest(t.Context(), version)
	require.ErrorContains(t, err, "does not exist", "half a model is none")
}

func TestUploadRefusesAFolderThatIsNoModel(t *testing.T) {
	for name, change := range map[string]func(fstest.MapFS){
		"no manifest": func(folder fstest.MapFS) { delete(folder, artifacts.ManifestName) },
		"a broken one": func(folder fstest.MapFS) {
			folder[artifacts.ManifestName] = &fstest.MapFile{Data: []byte("{}")}
		},
		"a file that lacks": func(folder fstest.MapFS) { delete(folder, artifacts.ItemEmbeddings) },
	} {
		t.Run(name, func(t *testing.T) {
			folder, version := complete(t)
			change(folder)
			objects := &recording{Objects: modelstoretest.New()}
			require.Error(t, objects.Bucket().Upload(t.Context(), objects, version, folder))
			assert.Empty(t, objects.keys)
		})
	}
}

func TestFoldersAreListedComparedAndRemoved(t *testing.T) {
	objects, version := stored(t)
	folder, manifest := modelstoretest.Embeddings(t, 2, 5, 2, artifacts.Trained)
	other := objects.Put(t, folder, manifest)
	objects.Change("not-a-version", "notes.txt", []byte("x"))
	bucket := objects.Bucket()
	versions, err := bucket.Versions(t.Context(), objects)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{version, other}, versions)
	require.NoError(t, bucket.Compare(t.Context(), objects, manifest))

	drawn := models.Folder(other) + "/embeddings/"
	_, err = objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket.Name, Key: &drawn,
		Body: strings.NewReader("")})
	require.NoError(t, err)
	require.NoError(t, bucket.Compare(t.Context(), objects, manifest), "a folder that a console has drawn")
	objects.Change(other, "embeddings/stranger.csv", []byte("x"))
	objects.Remove(other, artifacts.UserEmbeddings)
	err = bucket.Compare(t.Context(), objects, manifest)
	require.ErrorContains(t, err, "models/"+other+"/embeddings/stranger.csv: not listed in the manifest")
	require.ErrorContains(t, err, "user_embeddings.csv: listed in the manifest, does not exist")

	require.NoError(t, bucket.Remove(t.Context(), objects, other))
	_, err = bucket.Manifest(t.Context(), other)
	require.ErrorContains(t, err, "does not exist")
	files, err := bucket.Files(t.Context(), objects, other)
	require.NoError(t, err)
	assert.Empty(t, files)
	_, err = bucket.Manifest(t.Context(), version)
	require.NoError(t, err, "others stay")
}
