package boundaries

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the page on the desk check names: a test, or an invariant of the templates.
var (
	namedTest      = regexp.MustCompile("`(Test\\w+)`")
	namedInvariant = regexp.MustCompile(`(?i:invariant) "([^"]+)"`)
)

// TestDeskCheckNamesTestsThatAreThere, so that what it calls mended stays held.
func TestDeskCheckNamesTestsThatAreThere(t *testing.T) {
	page, err := os.ReadFile("../../docs/desk-check.md")
	require.NoError(t, err)
	tests := namedTest.FindAllStringSubmatch(string(page), -1)
	invariants := namedInvariant.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(tests), 10, "the search finds them")
	require.NotEmpty(t, invariants)

	var source strings.Builder
	require.NoError(t, filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || len(entry.Name()) > 2 && entry.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			content, err := os.ReadFile(path)
			source.Write(content)
			return err
		}
		return nil
	}))
	for _, match := range tests {
		assert.Contains(t, source.String(), "func "+match[1]+"(", "docs/desk-check.md names it")
	}
	for _, match := range invariants {
		assert.Contains(t, source.String(), `name: "`+match[1]+`"`, "docs/desk-check.md names it")
	}
}
