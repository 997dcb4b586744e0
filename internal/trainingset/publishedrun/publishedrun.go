// Package publishedrun reads the run of training data that a lake has published, row by row: each
// file is copied to disk, compared with the manifest and read from there, so that memory does not
// grow with it. It does not know what the rows are read for.
package publishedrun

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"diecast/internal/trainingset"
	"diecast/internal/trainingset/tablefile"
)

// Getter is the part of the S3 client that reading uses.
type Getter interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// ErrNothingPublished says that the lake has no published run, yet.
var ErrNothingPublished = errors.New("nothing is published there: run the ETL job first")

// Run is the published run of a lake.
type Run struct {
	Manifest trainingset.Manifest
	// Lake is the bucket.
	Lake   string
	client Getter
}

// Row is one row of a table.
type Row struct {
	// Values are those of the wanted columns, see tablefile.Stream.
	Values []string
	// File is where the row stands, from the lake's root, and Number counts its rows from 1.
	File   string
	Number int
}

// Place says where the row stands, for messages.
func (r Row) Place() string { return fmt.Sprintf("%s, row %d", r.File, r.Number) }

// Open finds the published run. With a wanted run it is an error that another one is published.
func Open(ctx context.Context, client Getter, lake, wanted string) (Run, error) {
	pointer := trainingset.Prefix + "/" + trainingset.PublishedName
	data, err := read(ctx, client, lake, pointer, trainingset.MaxPublishedBytes)
	var missing *types.NoSuchKey
	if errors.As(err, &missing) {
		return Run{}, fmt.Errorf("s3://%s/%s: %w", lake, pointer, ErrNothingPublished)
	}
	if err != nil {
		return Run{}, err
	}
	published, err := trainingset.DecodePublished(data)
	if err != nil {
		return Run{}, fmt.Errorf("s3://%s/%s: %w", lake, pointer, err)
	}
	if wanted != "" && wanted != published.RunID {
		return Run{}, fmt.Errorf("s3://%s/%s: run %s is published, not %s", lake, pointer, published.RunID, wanted)
	}
	key := trainingset.Prefix + "/" + published.RunID + "/" + trainingset.ManifestName
	if data, err = read(ctx, client, lake, key, trainingset.MaxBytes); err != nil {
		return Run{}, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != published.ManifestSHA256 {
		return Run{}, fmt.Errorf("s3://%s/%s: sha256 is %x, %s says %s", lake, key, sum, trainingset.PublishedName,
			published.ManifestSHA256)
	}
	manifest, err := trainingset.Decode(data)
	if err == nil && manifest.RunID != published.RunID {
		err = fmt.Errorf("it is the manifest of run %s", manifest.RunID)
	}
	if err != nil {
		return Run{}, fmt.Errorf("s3://%s/%s: %w", lake, key, err)
	}
	return Run{Manifest: manifest, Lake: lake, client: client}, nil
}

// Rows are the rows of a table, with the wanted columns in their order. After an error nothing
// comes.
func (r Run) Rows(ctx context.Context, table string, wanted ...string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		described := r.Manifest.Tables.All()[table]
		var rows int64
		for _, file := range described.Files {
			more, err := r.file(ctx, described, file, wanted, func(row Row) bool {
				rows++
				return yield(row, nil)
			})
			if err != nil {
				yield(Row{}, err)
				return
			}
			if !more {
				return
			}
		}
		if rows != described.Rows {
			yield(Row{}, fmt.Errorf("run %s, table %s: there are %d rows, the manifest says %d", r.Manifest.RunID,
				table, rows, described.Rows))
		}
	}
}

// file visits the rows of one file, and says whether more are wanted.
func (r Run) file(ctx context.Context, table trainingset.Table, file trainingset.File, wanted []string,
	visit func(Row) bool) (more bool, err error) {
	key := trainingset.Prefix + "/" + r.Manifest.RunID + "/" + file.Path
	address := fmt.Sprintf("s3://%s/%s", r.Lake, key)
	local, err := os.CreateTemp("", "run-*")
	if err != nil {
		return false, err
	}
	defer os.Remove(local.Name())
	defer local.Close()
	if err := r.fetch(ctx, local, key, file); err != nil {
		return false, fmt.Errorf("%s: %w", address, err)
	}
	number := 0
	for values, err := range tablefile.Stream(r.Manifest.Format, table.Columns, local, file.Bytes, wanted...) {
		number++
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return false, fmt.Errorf("%s, row %d: %w", address, number, err)
		}
		if !visit(Row{Values: values, File: key, Number: number}) {
			return false, nil
		}
	}
	return true, nil
}

// fetch copies an object that must be what the manifest says.
func (r Run) fetch(ctx context.Context, to io.Writer, key string, listed trainingset.File) error {
	object, err := r.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &r.Lake, Key: &key})
	if err != nil {
		return err
	}
	defer object.Body.Close()
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(to, hash), io.LimitReader(object.Body, listed.Bytes+1))
	if err != nil {
		return err
	}
	if size != listed.Bytes {
		return fmt.Errorf("has %d bytes or more, the manifest says %d", size, listed.Bytes)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != listed.SHA256 {
		return fmt.Errorf("has sha256 %s, the manifest says %s", sum, listed.SHA256)
	}
	return nil
}

// read reads an object of at most so many bytes.
func read(ctx context.Context, client Getter, bucket, key string, most int64) ([]byte, error) {
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s: %w", bucket, key, err)
	}
	defer object.Body.Close()
	data, err := io.ReadAll(io.LimitReader(object.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s: %w", bucket, key, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("s3://%s/%s: it has more than %d bytes", bucket, key, most)
	}
	return data, nil
}
