// Package installed finds what the laptop's engines and tools were installed as: the folder of
// `make setup`, and in it the interpreter and packages that several of them need. It knows nothing
// of what they are for.
package installed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrNotInstalled is in the error of every engine and tool that is missing on this machine.
var ErrNotInstalled = errors.New("not installed")

// Missing is the error, an ErrNotInstalled, of something that `make setup` installs; where says
// where it was looked for.
func Missing(what, where string) error {
	return fmt.Errorf("%s is %w: run `make setup` (%s)", what, ErrNotInstalled, where)
}

// Folder is DIECAST_CACHE, by default diecast in XDG_CACHE_HOME, by default .cache in the home
// folder. That default is the same on every system: the Makefile cannot ask Go for the place that a
// system prefers. It fails where the home folder is needed and unknown. The folder need not exist.
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

// Python is the interpreter with the packages of requirements.txt: DIECAST_PYTHON, by default
// python/bin/python in Folder. The error is ErrNotInstalled where there is none.
func Python() (string, error) { return python("the Python environment", "DIECAST_PYTHON", "python") }

// JobPython is the interpreter with the packages of glue-scripts/requirements.txt:
// DIECAST_GLUE_PYTHON, by default python-glue/bin/python in Folder. The error is ErrNotInstalled
// where there is none.
func JobPython() (string, error) {
	return python("the Python environment of the jobs", "DIECAST_GLUE_PYTHON", "python-glue")
}

func python(what, variable, folder string) (string, error) {
	path := os.Getenv(variable)
	if path == "" {
		cache, err := Folder()
		if err != nil {
			return "", err
		}
		path = filepath.Join(cache, folder, "bin", "python")
	}
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return "", Missing(what, "no interpreter at "+path)
	}
	return filepath.Abs(path)
}

// Node is the Node.js interpreter in PATH. The error is ErrNotInstalled where there is none.
func Node() (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("%s is %w: install version 20 or later and put `node` in PATH: %w", "Node.js",
			ErrNotInstalled, err)
	}
	return filepath.Abs(node)
}

// NodePackage is the folder of an npm package: in DIECAST_NODE_MODULES, by default in node_modules
// beside the nearest go.mod in a folder or above it; "" is the working directory. The error is
// ErrNotInstalled where it is missing.
func NodePackage(name, from string) (string, error) {
	modules, err := nodeModules(from)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(modules, name)
	if _, err := os.Stat(filepath.Join(folder, "package.json")); err != nil {
		return "", Missing("the npm package "+name, "looked in "+modules)
	}
	return folder, nil
}

func nodeModules(from string) (string, error) {
	const variable = "DIECAST_NODE_MODULES"
	if folder := os.Getenv(variable); folder != "" {
		return filepath.Abs(folder)
	}
	start, err := filepath.Abs(from)
	if err != nil {
		return "", err
	}
	for folder := start; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return filepath.Join(folder, "node_modules"), nil
		}
		if folder == filepath.Dir(folder) {
			return "", fmt.Errorf("no go.mod in %s or above: start there, or name the folder of npm packages in %s",
				start, variable)
		}
	}
}
