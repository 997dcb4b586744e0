// Package publishedruntest makes published runs of training data, and lakes, for tests.
package publishedruntest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/trainingset"
)

// Bucket is the name of every lake that is made here.
const Bucket = "lake"

// Lake is a bucket in memory: contents by key.
type Lake struct {
	mutex    sync.Mutex
	contents map[string][]byte
}

// NewLake is an empty lake.
func NewLake() *Lake { return &Lake{contents: map[string][]byte{}} }

// GetObject answers as S3 does.
func (l *Lake) GetObject(_ context.Context, input *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput,
	error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if *input.Bucket != Bucket {
		return nil, &types.NoSuchBucket{}
	}
	content, exists := l.contents[*input.Key]
	if !exists {
		return nil, &types.NoSuchKey{}
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(content))}, nil
}

// Put stores an object.
func (l *Lake) Put(key string, content []byte) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.contents[key] = content
}

// Object is a stored one.
func (l *Lake) Object(key string) []byte {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.contents[key]
}

// Set is a training set that a test may change before it is published: the rows of its tables,
// whose columns are the contract's.
type Set struct {
	RunID     string
	CreatedAt time.Time
	Tables    map[string][][]string
	// Files is how many files each table is cut into. Default 1.
	Files int
}

// Sample is the generated shop's, as it stands after so many days: a product is launched and
// another one withdrawn now and then.
func Sample(t testing.TB, scale float64, days int) *Set {
	t.Helper()
	options := classicmodels.DefaultOptions()
	options.Scale, options.AdvanceDays = scale, days
	shop, err := classicmodels.New(options)
	require.NoError(t, err)
	written := map[string]*file{}
	_, err = classicmodels.WriteTraining(t.Context(), shop, func(name string) (io.WriteCloser, error) {
		written[name] = &file{}
		return written[name], nil
	})
	require.NoError(t, err)
	set := &Set{RunID: classicmodels.RunID(shop), CreatedAt: shop.Now().UTC(), Tables: map[string][][]string{}}
	for _, table := range []string{"ratings", "products", "customers"} {
		content := written[trainingset.Prefix+"/"+set.RunID+"/"+table+"/part-00000.csv"]
		require.NotNil(t, content, table)
		rows, err := csv.NewReader(content).ReadAll()
		require.NoError(t, err)
		set.Tables[table] = rows[1:]
	}
	return set
}

type file struct{ bytes.Buffer }

func (*file) Close() error { return nil }

// Column is the place of a column in a table's rows.
func Column(t testing.TB, table, name string) int {
	t.Helper()
	at := slices.IndexFunc(trainingset.Columns(table), func(c trainingset.Column) bool { return c.Name == name })
	require.GreaterOrEqual(t, at, 0, name)
	return at
}

// Publish writes the run, its manifest and the pointer to it, as the ETL job does.
func (s *Set) Publish(t testing.TB, lake *Lake) {
	t.Helper()
	manifest := trainingset.Manifest{
		SchemaVersion: 1, RunID: s.RunID, CreatedAt: s.CreatedAt, Strategy: trainingset.Replace,
		Format: trainingset.CSV, Source: trainingset.Source{Kind: "generated"},
	}
	folder := trainingset.Prefix + "/" + s.RunID + "/"
	for table, into := range map[string]*trainingset.Table{
		"ratings": &manifest.Tables.Ratings, "products": &manifest.Tables.Products,
		"customers": &manifest.Tables.Customers,
	} {
		into.Rows, into.Columns = int64(len(s.Tables[table])), trainingset.Columns(table)
		count := max(s.Files, 1)
		for number := range count {
			content := s.part(t, table, number, count)
			name := table + "/part-0000" + string(rune('0'+number)) + ".csv"
			sum := sha256.Sum256(content)
			into.Files = append(into.Files, trainingset.File{Path: name, SHA256: hex.EncodeToString(sum[:]),
				Bytes: int64(len(content))})
			lake.Put(folder+name, content)
		}
	}
	text, err := manifest.Encode()
	require.NoError(t, err)
	lake.Put(folder+trainingset.ManifestName, text)
	sum := sha256.Sum256(text)
	pointer, err := json.Marshal(map[string]any{"schema_version": 1, "run_id": s.RunID,
		"published_at": s.CreatedAt, "manifest_sha256": hex.EncodeToString(sum[:])})
	require.NoError(t, err)
	lake.Put(trainingset.Prefix+"/"+trainingset.PublishedName, pointer)
}

// part is every count-th row of a table as a file.
func (s *Set) part(t testing.TB, table string, number, count int) []byte {
	t.Helper()
	var text strings.Builder
	lines := csv.NewWriter(&text)
	var header []string
	for _, column := range trainingset.Columns(table) {
		header = append(header, column.Name)
	}
	require.NoError(t, lines.Write(header))
	for i := number; i < len(s.Tables[table]); i += count {
		require.NoError(t, lines.Write(s.Tables[table][i]))
	}
	lines.Flush()
	return []byte(text.String())
}
