package artifacts_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
)

// large is a model of embeddings only with so many items, whose file is made while it is read. It
// notes how much memory lives meanwhile.
type large struct {
	fstest.MapFS
	items int
	most  uint64
}

func (l *large) Open(name string) (fs.File, error) {
	if name != artifacts.ItemEmbeddings {
		return l.MapFS.Open(name)
	}
	file, err := l.MapFS.Open(name)
	return &largeFile{File: file, of: l}, err
}

// largeFile makes a row when the one before was read.
type largeFile struct {
	fs.File
	of   *large
	next int
	left bytes.Reader
}

var ones = "\"[1" + strings.Repeat(",0.125", 31) + "]\"\n"

func (f *largeFile) Read(into []byte) (int, error) {
	if f.left.Len() == 0 {
		switch {
		case f.next > f.of.items:
			return 0, io.EOF
		case f.next == 0:
			f.left.Reset([]byte("id,embedding\n"))
		default:
			f.left.Reset([]byte("P" + strconv.Itoa(f.next) + "," + ones))
		}
		if f.next%max(1, f.of.items/10) == 0 {
			f.of.measure()
		}
		f.next++
	}
	return f.left.Read(into)
}

// measure notes what lives: garbage is collected before.
func (l *large) measure() {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	l.most = max(l.most, memory.HeapAlloc)
}

// perItem is how many bytes live for each item while a folder of so many is checked.
func perItem(t testing.TB, items int) float64 {
	t.Helper()
	folder := &large{items: items, MapFS: fstest.MapFS{
		artifacts.ItemEmbeddings: {}, artifacts.UserEmbeddings: {Data: []byte("id,embedding\n")},
	}}
	manifest, err := artifacts.Adopt(folder, nil)
	require.NoError(t, err)
	text, err := manifest.Encode()
	require.NoError(t, err)
	folder.MapFS[artifacts.ManifestName] = &fstest.MapFile{Data: text}
	folder.most = 0
	folder.measure()
	before := folder.most
	checked, err := artifacts.Check(folder)
	require.NoError(t, err)
	require.Equal(t, int64(items), checked.Items.Rows)
	return float64(folder.most-before) / float64(items)
}

// A vector is 128 bytes in memory: they are not kept.
func TestChecksKeepNoVectors(t *testing.T) {
	assert.Less(t, perItem(t, 20_000), 60.0)
}

func BenchmarkCheck(b *testing.B) {
	for _, items := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(items), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(perItem(b, items), "B-live/item")
			}
		})
	}
}
