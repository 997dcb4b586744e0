package installed

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFolder_firstVariableThatIsSet(t *testing.T) {
	for name, c := range map[string]struct{ own, caches, home, folder string }{
		"own folder":     {"/own", "/caches", "/home/someone", "/own"},
		"user's caches":  {"", "/caches", "/home/someone", "/caches/diecast"},
		"home directory": {"", "", "/home/someone", "/home/someone/.cache/diecast"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DIECAST_CACHE", c.own)
			t.Setenv("XDG_CACHE_HOME", c.caches)
			t.Setenv("HOME", c.home)
			folder, err := Folder()
			require.NoError(t, err)
			assert.Equal(t, c.folder, folder)
		})
	}
}

func TestFolder_namesTheRemedyWithoutAHome(t *testing.T) {
	for _, variable := range []string{"DIECAST_CACHE", "XDG_CACHE_HOME", "HOME"} {
		t.Setenv(variable, "")
	}
	_, err := Folder()
	require.ErrorContains(t, err, "set DIECAST_CACHE")
}

func TestMissingPartsAreNamedWithTheRemedy(t *testing.T) {
	nowhere := t.TempDir()
	for name, c := range map[string]struct {
		variables map[string]string
		find      func() (string, error)
		parts     []string
	}{
		"npm package": {map[string]string{"DIECAST_NODE_MODULES": nowhere},
			func() (string, error) { return NodePackage("kinesalite", "") },
			[]string{"kinesalite", "make setup", nowhere}},
		"Node.js": {map[string]string{"PATH": nowhere}, Node, []string{"Node.js", "version 20",
			"PATH"}},
		"Python": {map[string]string{"DIECAST_PYTHON": "", "DIECAST_CACHE": nowhere}, Python,
			[]string{"Python", "make setup", nowhere}},
		"a folder is no interpreter": {map[string]string{"DIECAST_PYTHON": nowhere}, Python, []string{nowhere}},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range c.variables {
				t.Setenv(variable, value)
			}
			found, err := c.find()
			require.ErrorIs(t, err, ErrNotInstalled)
			assert.Empty(t, found)
			assert.NotContains(t, err.Error(), "\n")
			for _, part := range c.parts {
				assert.ErrorContains(t, err, part)
			}
		})
	}
}

func TestNodePackageLiesBesideTheModuleAboveAFolder(t *testing.T) {
	t.Setenv("DIECAST_NODE_MODULES", "")
	module := t.TempDir()
	sample := filepath.Join(module, "node_modules", "sample")
	below := filepath.Join(module, "a", "b")
	require.NoError(t, os.MkdirAll(sample, 0o700))
	require.NoError(t, os.MkdirAll(below, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(module, "go.mod"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(sample, "package.json"), nil, 0o600))
	t.Chdir(below)
	found, err := NodePackage("sample", "")
	require.NoError(t, err)
	assert.Equal(t, sample, found)

	t.Chdir(t.TempDir())
	for _, from := range []string{module, below} {
		found, err = NodePackage("sample", from)
		require.NoError(t, err, "from anywhere")
		assert.Equal(t, sample, found)
	}
	_, err = NodePackage("sample", "")
	require.ErrorContains(t, err, "name the folder of npm packages in DIECAST_NODE_MODULES")
}
