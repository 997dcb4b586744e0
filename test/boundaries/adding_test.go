package boundaries

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A path in the page on adding things: it has a folder, and <...> stands for any name.
var (
	path  = regexp.MustCompile("`([a-z]+/[^` ]*|Makefile)`")
	named = regexp.MustCompile(`<[a-z]+>`)
)

func TestAddingNamesWhatIsThere(t *testing.T) {
	page, err := os.ReadFile("../../docs/adding.md")
	require.NoError(t, err)
	paths := path.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(paths), 20, "the search finds them")
	for _, match := range paths {
		found, err := filepath.Glob(filepath.Join("../..", named.ReplaceAllString(match[1], "*")))
		require.NoError(t, err)
		assert.NotEmpty(t, found, "docs/adding.md names %s", match[1])
	}
}
