package style

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// most is how large a file of the project may be, in bytes: snapshots and pictures are smaller,
// downloads and executables larger.
const most = 1 << 20

// tooLarge names the files that are larger than most.
func tooLarge(sizes map[string]int64) []string {
	var large []string
	for name, size := range sizes {
		if size > most {
			large = append(large, fmt.Sprintf("%s: %d bytes, want at most %d", name, size, most))
		}
	}
	return large
}

func TestNoFileIsADownloadOrAnExecutable(t *testing.T) {
	tracked := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z")
	tracked.Dir = "../.."
	names, err := tracked.Output()
	require.NoError(t, err)
	sizes := map[string]int64{}
	for _, name := range strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		sizes[name] = info.Size()
	}
	require.NotEmpty(t, sizes)
	assert.Empty(t, tooLarge(sizes))
}

func TestTooLarge(t *testing.T) {
	assert.Empty(t, tooLarge(map[string]int64{"go.sum": most}))
	assert.Len(t, tooLarge(map[string]int64{"tool.whl": most + 1}), 1)
}
