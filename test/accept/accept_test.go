package accept

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const page = "# Page\n\n<!-- table: by a test -->\n\nold\n\n<!-- end of table -->\n\nBy hand.\n"

// recorder is a test that may fail without failing the one that watches it.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(f string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(f, args...))
}
func (r *recorder) FailNow() { runtime.Goexit() }

// outcome runs a check as a test of its own and returns what it complained of.
func outcome(t *testing.T, writing bool, check func(testing.TB)) []string {
	t.Helper()
	was := *update
	*update = writing
	defer func() { *update = was }()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(r)
	}()
	<-done
	return r.failures
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestRegion_isComparedAndWrittenAlone(t *testing.T) {
	t.Setenv("CI", "")
	path := write(t, page)
	region := func(generated string) func(testing.TB) {
		return func(t testing.TB) { Region(t, path, "table", generated) }
	}
	assert.Empty(t, outcome(t, false, region("old\n")))
	differs := outcome(t, false, region("new"))
	require.Len(t, differs, 1)
	assert.Contains(t, differs[0], "make accept")
	assert.Equal(t, page, content(t, path), "comparing writes nothing")

	assert.Empty(t, outcome(t, true, region("new")))
	assert.Equal(t, strings.Replace(page, "old", "new", 1), content(t, path))
	assert.Empty(t, outcome(t, false, region("new")))
}

func TestRegion_brokenCommentsAreRefused(t *testing.T) {
	for name, broken := range map[string]string{
		"no start":      "<!-- end of table -->",
		"no end":        "<!-- table: x -->",
		"start twice":   "<!-- table: x --><!-- table: x --><!-- end of table -->",
		"end first":     "<!-- end of table --> <!-- table: x -->",
		"start is open": "<!-- table: x <!-- end of table",
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, broken)
			assert.NotEmpty(t, outcome(t, false, func(t testing.TB) { Region(t, path, "table", "") }))
			assert.NotEmpty(t, outcome(t, true, func(t testing.TB) { Region(t, path, "table", "") }))
			assert.Equal(t, broken, content(t, path))
		})
	}
}

func TestFile_isComparedAndWritten(t *testing.T) {
	t.Setenv("CI", "")
	path := filepath.Join(t.TempDir(), "folder", "file")
	file := func(generated string) func(testing.TB) { return func(t testing.TB) { File(t, path, generated) } }
	assert.NotEmpty(t, outcome(t, false, file("new")), "a missing file is a difference")
	assert.Empty(t, outcome(t, true, file("new")))
	assert.Empty(t, outcome(t, false, file("new")))
	assert.NotEmpty(t, outcome(t, false, file("other")))
	assert.Equal(t, "new", content(t, path))
}

func TestUpdating_isRefusedInCI(t *testing.T) {
	t.Setenv("CI", "true")
	path := write(t, page)
	for _, check := range []func(testing.TB){
		func(t testing.TB) { File(t, path, "x") },
		func(t testing.TB) { Region(t, path, "table", "x") },
	} {
		refused := outcome(t, true, check)
		require.NotEmpty(t, refused)
		assert.Contains(t, refused[0], "refused where CI is set")
		assert.Equal(t, page, content(t, path))
	}
}
