// Package modelstoretest makes models and buckets for tests.
package modelstoretest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/models"
	"diecast/internal/models/modelstore"
)

// BucketName of every bucket that is made here.
const BucketName = "artifacts"

// Objects is a bucket in memory: contents by key.
type Objects struct {
	mutex    sync.Mutex
	contents map[string][]byte
	modified map[string]time.Time
}

// New returns an empty bucket.
func New() *Objects { return &Objects{contents: map[string][]byte{}, modified: map[string]time.Time{}} }

// GetObject answers as S3 does.
func (o *Objects) GetObject(_ context.Context, input *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput,
	error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if *input.Bucket != BucketName {
		return nil, &types.NoSuchBucket{}
	}
	content, exists := o.contents[*input.Key]
	if !exists {
		return nil, &types.NoSuchKey{}
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(content))}, nil
}

// PutObject stores as S3 does.
func (o *Objects) PutObject(_ context.Context, input *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput,
	error) {
	content, err := io.ReadAll(input.Body)
	if err != nil {
		return nil, err
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if *input.Bucket != BucketName {
		return nil, &types.NoSuchBucket{}
	}
	o.contents[*input.Key], o.modified[*input.Key] = content, time.Now()
	return &s3.PutObjectOutput{}, nil
}

// ListObjectsV2 answers as S3 does, in one page.
func (o *Objects) ListObjectsV2(_ context.Context, input *s3.ListObjectsV2Input,
	_ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if *input.Bucket != BucketName {
		return nil, &types.NoSuchBucket{}
	}
	output, prefixes := &s3.ListObjectsV2Output{}, map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(o.contents)) {
		rest, below := strings.CutPrefix(key, *input.Prefix)
		if !below {
			continue
		}
		if folder, _, deeper := strings.Cut(rest, "/"); deeper && input.Delimiter != nil {
			if prefix := *input.Prefix + folder + "/"; !prefixes[prefix] {
				prefixes[prefix] = true
				output.CommonPrefixes = append(output.CommonPrefixes, types.CommonPrefix{Prefix: &prefix})
			}
			continue
		}
		modified := o.modified[key]
		output.Contents = append(output.Contents, types.Object{Key: &key, LastModified: &modified})
	}
	return output, nil
}

// DeleteObject removes as S3 does: what is not there is gone already.
func (o *Objects) DeleteObject(_ context.Context, input *s3.DeleteObjectInput,
	_ ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if *input.Bucket != BucketName {
		return nil, &types.NoSuchBucket{}
	}
	delete(o.contents, *input.Key)
	return &s3.DeleteObjectOutput{}, nil
}

// Age makes the files of a model as old as that.
func (o *Objects) Age(version string, by time.Duration) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for key := range o.contents {
		if strings.HasPrefix(key, models.Folder(version)+"/") {
			o.modified[key] = o.modified[key].Add(-by)
		}
	}
}

// Bucket reads models from these objects.
func (o *Objects) Bucket() modelstore.Bucket { return modelstore.Bucket{Client: o, Name: BucketName} }

// Change replaces a file of a model.
func (o *Objects) Change(version, name string, content []byte) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.contents[models.Key(version, name)], o.modified[models.Key(version, name)] = content, time.Now()
}

// Remove a file of a model.
func (o *Objects) Remove(version, name string) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	delete(o.contents, models.Key(version, name))
}

// Put stores a folder of files with its manifest and returns the model's version.
func (o *Objects) Put(t testing.TB, folder fs.FS, manifest artifacts.Manifest) string {
	t.Helper()
	data, err := manifest.Encode()
	require.NoError(t, err)
	o.Change(manifest.ModelVersion, artifacts.ManifestName, data)
	for name := range manifest.Files {
		content, err := fs.ReadFile(folder, name)
		require.NoError(t, err)
		o.Change(manifest.ModelVersion, name, content)
	}
	return manifest.ModelVersion
}

// PutDirectory stores a model that lies in a directory with its manifest.
func (o *Objects) PutDirectory(t testing.TB, directory string) artifacts.Manifest {
	t.Helper()
	model, err := artifacts.Verify(os.DirFS(directory))
	require.NoError(t, err)
	o.Put(t, os.DirFS(directory), model.Manifest)
	return model.Manifest
}

// Embeddings makes a model without towers from a seed: the products P_000, P_001, ... and the
// customers 100, 101, ...; the more popular a product, the lower its number.
func Embeddings(t testing.TB, seed uint64, items, users int, origin artifacts.Origin) (fs.FS, artifacts.Manifest) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	lines := func(count int, id func(int) string) []byte {
		var text strings.Builder
		text.WriteString("id,embedding\n")
		for i := range count {
			vector := make([]float32, models.Dimension)
			for j := range vector {
				vector[j] = float32(random.NormFloat64())
			}
			fmt.Fprintf(&text, "%s,\"%s\"\n", id(i), artifacts.FormatVector(vector))
		}
		return []byte(text.String())
	}
	folder := fstest.MapFS{
		artifacts.ItemEmbeddings: {Data: lines(items, Product)},
		artifacts.UserEmbeddings: {Data: lines(users, func(i int) string { return fmt.Sprint(100 + i) })},
	}
	popularity := make([]artifacts.Popular, items)
	for i := range popularity {
		popularity[i] = artifacts.Popular{ID: Product(i), Score: float64(items - i)}
	}
	manifest, err := artifacts.Adopt(folder, popularity)
	require.NoError(t, err)
	manifest.Origin = origin
	return folder, manifest
}

// Product is the code of a product of Embeddings.
func Product(i int) string { return fmt.Sprintf("P_%03d", i) }
