package awsapi

import (
	_ "embed"
	"encoding/json"
	"errors"

	"diecast/internal/local/installed"
)

//go:embed contain.js
var containScript string

//go:embed admit.js
var admitScript string

//go:embed listen.js
var listenScript string

// Package says how an npm package is served.
type Package struct {
	// Prelude is a script that runs before the package is loaded; process.argv[1] is its folder. It
	// tells what errors must not outlive a request, by the functions of contain.js.
	Prelude string
	// Settings are given to what the package exports.
	Settings map[string]any
	// Environment beside that of package surroundings.
	Environment map[string]string
	// Source is Options.Source.
	Source string
}

// Node is the program that serves an npm package whose export makes an HTTP server of settings. The
// command lines of such packages would listen on every interface. The error is
// installed.ErrNotInstalled where the package or Node.js is missing.
func Node(name string, serve Package) (Program, error) {
	node, err := installed.Node()
	if err != nil {
		return Program{}, err
	}
	folder, err := installed.NodePackage(name, serve.Source)
	if err != nil {
		return Program{}, err
	}
	settings, err := json.Marshal(serve.Settings)
	if err != nil {
		return Program{}, err
	}
	return Program{
		Name: name, Path: node,
		Arguments: []string{"--eval", containScript + serve.Prelude + admitScript + listenScript, folder,
			string(settings)},
		Environment: serve.Environment,
	}, nil
}

// NodeInstalled is the error of a machine without Node.js or without the npm package, which is
// looked for as Options.Source says; nil where both are there.
func NodeInstalled(name, source string) error {
	_, err := installed.Node()
	_, errPackage := installed.NodePackage(name, source)
	return errors.Join(err, errPackage)
}
