package awsapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"diecast/internal/local/installed"
)

//go:embed listen.js
var listenScript string

// Node is the program that serves an npm package whose export makes an HTTP server of options. The command lines of such
// packages would listen on every interface.
//
// The package is looked for in DIECAST_NODE_MODULES, by default node_modules beside the nearest go.mod above the working
// directory; the error is installed.ErrNotInstalled where it or Node.js is missing.
func Node(name string, settings map[string]any, environment ...string) (Program, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return Program{}, fmt.Errorf("no Node.js: install version 20 or later and put `node` in PATH: %w", err)
	}
	if node, err = filepath.Abs(node); err != nil {
		return Program{}, err
	}
	modules, err := nodeModules()
	if err != nil {
		return Program{}, err
	}
	folder := filepath.Join(modules, name)
	if _, err := os.Stat(filepath.Join(folder, "package.json")); err != nil {
		return Program{}, fmt.Errorf("the npm package %s is %w (looked in %s)", name, installed.ErrNotInstalled, modules)
	}
	encoded, err := json.Marshal(settings)
	if err != nil {
		return Program{}, err
	}
	return Program{Name: name, Path: node, Arguments: []string{"--eval", listenScript, folder, string(encoded)}, Environment: environment}, nil
}

func nodeModules() (string, error) {
	const variable = "DIECAST_NODE_MODULES"
	if folder := os.Getenv(variable); folder != "" {
		return filepath.Abs(folder)
	}
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for folder := start; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return filepath.Join(folder, "node_modules"), nil
		}
		if folder == filepath.Dir(folder) {
			return "", fmt.Errorf("no go.mod above %s: start there, or name the folder of npm packages in %s", start, variable)
		}
	}
}
