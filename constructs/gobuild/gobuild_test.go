package gobuild

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhatIsLaidOutCanBeReadByAnotherUser, and run, whatever the umask of who packs it.
func TestWhatIsLaidOutCanBeReadByAnotherUser(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "asset")
	require.NoError(t, os.Mkdir(folder, 0o700))
	bundler := NewBundler(Target{}, "loader", "bootstrap")
	bundler.LayBeside(map[string][]byte{"authorities.pem": []byte("trusted")})
	before := syscall.Umask(0o077)
	err := bundler.layOut(folder, []byte("executable"))
	syscall.Umask(before)
	require.NoError(t, err)
	for name, want := range map[string]fs.FileMode{".": 0o755, "bootstrap": 0o755, "authorities.pem": 0o644} {
		info, err := os.Stat(filepath.Join(folder, name))
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode().Perm(), name)
	}
	content, err := os.ReadFile(filepath.Join(folder, "authorities.pem"))
	require.NoError(t, err)
	assert.Equal(t, "trusted", string(content))
}

func TestWhatCannotBeLaidOutIsTold(t *testing.T) {
	folder := t.TempDir()
	bundler := NewBundler(Target{}, "loader", "bootstrap")
	bundler.LayBeside(map[string][]byte{"absent/authorities.pem": nil})
	require.ErrorContains(t, bundler.layOut(folder, nil), "absent/authorities.pem")
}
