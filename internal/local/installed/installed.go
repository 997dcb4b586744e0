// Package installed finds the folder into which `make setup` installs the laptop's engines and tools. It knows nothing of what
// lies there.
package installed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrNotInstalled says that something that `make setup` installs is missing.
var ErrNotInstalled = errors.New("not installed: run `make setup`")

// Folder is DIECAST_CACHE, by default diecast in XDG_CACHE_HOME, by default .cache in the home folder. That default is the same
// on every system: the Makefile cannot ask Go for the place that a system prefers. It fails where the home folder is needed
// and unknown. The folder need not exist.
func Folder() (string, error) {
	if folder := os.Getenv("DIECAST_CACHE"); folder != "" {
		return folder, nil
	}
	if caches := os.Getenv("XDG_CACHE_HOME"); caches != "" {
		return filepath.Join(caches, "diecast"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (set DIECAST_CACHE): %w", err)
	}
	return filepath.Join(home, ".cache", "diecast"), nil
}

// Python is the interpreter with the packages of requirements.txt: DIECAST_PYTHON, by default python/bin/python in Folder.
// The error is ErrNotInstalled where there is none.
func Python() (string, error) {
	python := os.Getenv("DIECAST_PYTHON")
	if python == "" {
		cache, err := Folder()
		if err != nil {
			return "", err
		}
		python = filepath.Join(cache, "python", "bin", "python")
	}
	if info, err := os.Stat(python); err != nil || info.IsDir() {
		return "", fmt.Errorf("the Python environment is %w (no interpreter at %s)", ErrNotInstalled, python)
	}
	return filepath.Abs(python)
}
