package installed

import (
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
