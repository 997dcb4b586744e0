package style

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// tracked are the contents of the project's files by name: those that git tracks, and those that it
// would.
func tracked(t *testing.T) map[string][]byte {
	t.Helper()
	// Whoever the checkout belongs to.
	list := exec.Command("git", "-c", "safe.directory=*",
		"ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	require.NoError(t, err)
	contents := map[string][]byte{}
	for _, name := range strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		contents[name] = content
	}
	require.NotEmpty(t, contents)
	return contents
}
