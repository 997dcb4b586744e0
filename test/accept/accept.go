// Package accept holds what is generated to what was reviewed: a test that
// generates a text compares it with the file in the repository, and writes the
// file anew where the test runs with -update, as `make accept` does. It must not
// know what is generated.
package accept

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what is generated into the repository instead of comparing")

// Updating says whether this run writes instead of comparing. It ends the test
// where a machine would accept its own work.
func Updating(t testing.TB) bool {
	t.Helper()
	if !*update {
		return false
	}
	require.Empty(t, os.Getenv("CI"), "what is generated is reviewed by a person: -update is refused where CI is set")
	return true
}

// File holds a whole file to its generated content.
func File(t testing.TB, path, generated string) {
	t.Helper()
	if Updating(t) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(generated), 0o644))
		return
	}
	reviewed, err := os.ReadFile(path)
	require.NoError(t, err, "`make accept` writes it")
	assert.Equal(t, string(reviewed), generated, "%s is not what is generated; `make accept` writes it anew", path)
}

// Region holds the part of a file between the comments `<!-- name: ... -->` and
// `<!-- end of name -->` to its generated content; the rest is written by hand.
func Region(t testing.TB, path, name, generated string) {
	t.Helper()
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	before, reviewed, after, err := cut(string(file), name)
	require.NoError(t, err, path)
	generated = "\n\n" + strings.TrimSpace(generated) + "\n\n"
	if Updating(t) {
		require.NoError(t, os.WriteFile(path, []byte(before+generated+after), 0o644))
		return
	}
	assert.Equal(t, reviewed, generated, "%s, %s, is not what is generated; `make accept` writes it anew", path, name)
}

// cut splits a file around the region; both comments stay outside.
func cut(file, name string) (before, region, after string, err error) {
	start, end := "<!-- "+name+": ", "<!-- end of "+name+" -->"
	if strings.Count(file, start) != 1 || strings.Count(file, end) != 1 {
		return "", "", "", fmt.Errorf("%q and %q must each stand in it once", start+"... -->", end)
	}
	opened := strings.Index(file, start)
	length := strings.Index(file[opened:], "-->")
	closed := strings.Index(file, end)
	if from := opened + length + len("-->"); length >= 0 && from <= closed {
		return file[:from], file[from:closed], file[closed:], nil
	}
	return "", "", "", fmt.Errorf("%q must stand before %q", start+"... -->", end)
}
