// Package modelstore reads models from the ml-artifacts bucket and writes them there, each in its
// folder, see models.Folder. It checks every file that it hands out against the manifest, and the
// manifest against the version. It does not know what the files are for.
package modelstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"diecast/internal/artifacts"
	"diecast/internal/models"
)

// Getter is the part of the S3 client that reading uses.
type Getter interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// Putter is the part of the S3 client that writing uses.
type Putter interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Lister is the part of the S3 client that listing uses.
type Lister interface {
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

// Deleter is the part of the S3 client that removing uses.
type Deleter interface {
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// Keeper is the part of the S3 client of who keeps the bucket.
type Keeper interface {
	Putter
	Lister
	Deleter
}

// Quietly is an option of S3's client, which else logs a line in a form of its own for every object
// that was put without a checksum.
func Quietly(options *s3.Options) { options.DisableLogOutputChecksumValidationSkipped = true }

// Bucket holds models.
type Bucket struct {
	Client Getter
	Name   string
}

// Upload copies a model's folder into the bucket, the manifest last: a model without one is not
// there yet. Doing it again writes the same objects.
func (b Bucket) Upload(ctx context.Context, client Putter, version string, folder fs.FS) error {
	data, err := fs.ReadFile(folder, artifacts.ManifestName)
	if err != nil {
		return err
	}
	manifest, err := artifacts.DecodeManifest(data)
	if err != nil {
		return err
	}
	for _, name := range append(slices.Sorted(maps.Keys(manifest.Files)), artifacts.ManifestName) {
		if err := b.put(ctx, client, version, folder, name); err != nil {
			return err
		}
	}
	return nil
}

// put copies one file, which is read into memory only where its folder has no files to seek in.
func (b Bucket) put(ctx context.Context, client Putter, version string, folder fs.FS, name string) error {
	file, err := folder.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	body, seekable := file.(io.ReadSeeker)
	if !seekable {
		data, err := io.ReadAll(file)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	key := models.Key(version, name)
	if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.Name, Key: &key, Body: body}); err != nil {
		return fmt.Errorf("%s: %w", b.address(version, name), err)
	}
	return nil
}

// Versions are the models that have a folder, whole or not.
func (b Bucket) Versions(ctx context.Context, client Lister) ([]string, error) {
	prefix := models.Prefix
	var versions []string
	err := b.list(ctx, client, &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix, Delimiter: aws.String("/")},
		func(page *s3.ListObjectsV2Output) {
			for _, folder := range page.CommonPrefixes {
				if version := path.Base(aws.ToString(folder.Prefix)); models.CheckVersion(version) == nil {
					versions = append(versions, version)
				}
			}
		})
	return versions, err
}

// Files are those in the folder of a model by their names, with when they were written.
func (b Bucket) Files(ctx context.Context, client Lister, version string) (map[string]time.Time, error) {
	prefix := models.Folder(version) + "/"
	files := map[string]time.Time{}
	err := b.list(ctx, client, &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix},
		func(page *s3.ListObjectsV2Output) {
			for _, object := range page.Contents {
				// A name that ends in a slash is a folder that a console has drawn.
				if name := strings.TrimPrefix(aws.ToString(object.Key), prefix); !strings.HasSuffix(name, "/") {
					files[name] = aws.ToTime(object.LastModified)
				}
			}
		})
	return files, err
}

func (b Bucket) list(ctx context.Context, client Lister, input *s3.ListObjectsV2Input,
	visit func(*s3.ListObjectsV2Output)) error {
	pages := s3.NewListObjectsV2Paginator(client, input)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing s3://%s/%s: %w", b.Name, aws.ToString(input.Prefix), err)
		}
		visit(page)
	}
	return nil
}

// Compare refuses a folder with files that its manifest does not list, or without some that it
// does; their content is for whoever reads them. The error is an *artifacts.Error.
func (b Bucket) Compare(ctx context.Context, client Lister, manifest artifacts.Manifest) error {
	files, err := b.Files(ctx, client, manifest.ModelVersion)
	if err != nil {
		return err
	}
	found := &artifacts.Error{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, listed := manifest.Files[name]; !listed && name != artifacts.ManifestName {
			found.Add(models.Key(manifest.ModelVersion, name), "not listed in the manifest")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(manifest.Files)) {
		if _, there := files[name]; !there {
			found.Add(models.Key(manifest.ModelVersion, name), "listed in the manifest, does not exist")
		}
	}
	if len(found.Problems) == 0 {
		return nil
	}
	return found
}

// Remove removes a model's folder, the manifest first: what is left of one is no model.
func (b Bucket) Remove(ctx context.Context, client interface {
	Lister
	Deleter
}, version string) error {
	files, err := b.Files(ctx, client, version)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(files))
	if at := slices.Index(names, artifacts.ManifestName); at > 0 {
		names = slices.Insert(slices.Delete(names, at, at+1), 0, artifacts.ManifestName)
	}
	for _, name := range names {
		key := models.Key(version, name)
		if _, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.Name, Key: &key}); err != nil {
			return fmt.Errorf("%s: %w", b.address(version, name), err)
		}
	}
	return nil
}

// Manifest reads the manifest of a model and checks that it is that model's.
func (b Bucket) Manifest(ctx context.Context, version string) (artifacts.Manifest, error) {
	data, err := b.read(ctx, version, artifacts.ManifestName, artifacts.MaxManifestBytes)
	if err != nil {
		return artifacts.Manifest{}, err
	}
	manifest, err := artifacts.DecodeManifest(data)
	if err != nil {
		return artifacts.Manifest{}, fmt.Errorf("%s: %w", b.address(version, artifacts.ManifestName), err)
	}
	if files := artifacts.Version(manifest.Files); manifest.ModelVersion != version || files != version {
		return artifacts.Manifest{},
			fmt.Errorf("%s: model_version is %s and its files' hashes give %s, want %s for both",
				b.address(version, artifacts.ManifestName), manifest.ModelVersion, files, version)
	}
	return manifest, nil
}

// File reads one file of a model into memory and checks its size and hash.
func (b Bucket) File(ctx context.Context, manifest artifacts.Manifest, name string) (data []byte, err error) {
	err = b.Stream(ctx, manifest, name, func(file io.Reader) error {
		data, err = io.ReadAll(file)
		return err
	})
	return data, err
}

// Stream is File for a file that need not be in memory as a whole: read gets its content, and what
// it made of that counts only where Stream returns no error. A file that is not the manifest's is
// told before whatever read says of it.
func (b Bucket) Stream(ctx context.Context, manifest artifacts.Manifest, name string,
	read func(io.Reader) error) error {
	address := b.address(manifest.ModelVersion, name)
	listed, known := manifest.Files[name]
	if !known {
		return fmt.Errorf("%s: the manifest does not list it", address)
	}
	body, err := b.open(ctx, manifest.ModelVersion, name)
	if err != nil {
		return err
	}
	defer body.Close()
	hash, limited := sha256.New(), &io.LimitedReader{R: body, N: listed.Bytes + 1}
	file := io.TeeReader(limited, hash)
	refused := read(file)
	if _, err := io.Copy(io.Discard, file); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	if limited.N == 0 {
		return fmt.Errorf("%s: it has more than %d bytes", address, listed.Bytes)
	}
	if sum := hash.Sum(nil); hex.EncodeToString(sum) != listed.SHA256 {
		return fmt.Errorf("%s: sha256 is %x, the manifest says %s", address, sum, listed.SHA256)
	}
	return refused
}

// Download copies a whole model into an empty folder, for artifacts.Verify. Files that the manifest
// does not list stay where they are.
func (b Bucket) Download(ctx context.Context, version, folder string) error {
	manifest, err := b.Manifest(ctx, version)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(folder) // a path in a manifest never leads out of the folder
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range append(slices.Sorted(maps.Keys(manifest.Files)), artifacts.ManifestName) {
		if err := b.copy(ctx, root, version, name); err != nil {
			return err
		}
	}
	return nil
}

func (b Bucket) copy(ctx context.Context, root *os.Root, version, name string) (err error) {
	body, err := b.open(ctx, version, name)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := root.MkdirAll(filepath.FromSlash(path.Dir(name)), 0o700); err != nil {
		return err
	}
	file, err := root.Create(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(file, body); err != nil {
		return fmt.Errorf("%s: %w", b.address(version, name), err)
	}
	return nil
}

// read reads an object of at most so many bytes.
func (b Bucket) read(ctx context.Context, version, name string, most int64) ([]byte, error) {
	body, err := b.open(ctx, version, name)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.address(version, name), err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s: it has more than %d bytes", b.address(version, name), most)
	}
	return data, nil
}

func (b Bucket) open(ctx context.Context, version, name string) (io.ReadCloser, error) {
	key := models.Key(version, name)
	output, err := b.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: &key})
	var missing *types.NoSuchKey
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("%s does not exist", b.address(version, name))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.address(version, name), err)
	}
	return output.Body, nil
}

func (b Bucket) address(version, name string) string {
	return "s3://" + path.Join(b.Name, models.Key(version, name))
}
