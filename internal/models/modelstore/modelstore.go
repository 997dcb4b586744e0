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
		data, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		key := models.Key(version, name)
		if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.Name, Key: &key,
			Body: bytes.NewReader(data)}); err != nil {
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
func (b Bucket) File(ctx context.Context, manifest artifacts.Manifest, name string) ([]byte, error) {
	listed, known := manifest.Files[name]
	if !known {
		return nil, fmt.Errorf("%s: the manifest does not list it", b.address(manifest.ModelVersion, name))
	}
	data, err := b.read(ctx, manifest.ModelVersion, name, listed.Bytes)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != listed.SHA256 {
		return nil, fmt.Errorf("%s: sha256 is %x, the manifest says %s", b.address(manifest.ModelVersion, name), sum,
			listed.SHA256)
	}
	return data, nil
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
