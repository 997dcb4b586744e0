// Package models says how a model is named, how long its embeddings are and where its files lie:
// what every program, stack and command that touches a model agrees on. It has no client and knows
// no file's content; the files are the contract of internal/artifacts, and
// internal/models/modelstore moves them.
package models

import (
	"fmt"
	"path"
	"regexp"
)

const (
	// Dimension is the length of every embedding: the course's models have 32.
	Dimension = 32
	// IndexedItems is the number of items from which on an index pays: below, comparing with every
	// item takes about a millisecond.
	IndexedItems = 10_000
	// Prefix begins the keys of all models in the ml-artifacts bucket, and the paths of those that
	// are shipped. Each model has a folder below it, named by its version.
	Prefix = "models/"
	// VersionRule says in words what VersionPattern wants.
	VersionRule = "12 lower-case hexadecimal digits"
)

// VersionPattern matches every model version: the first digits of a sha256 over the model's files,
// see artifacts.Version.
var VersionPattern = regexp.MustCompile(`^[0-9a-f]{12}$`)

// CheckVersion says whether a text can be a model version.
func CheckVersion(version string) error {
	if !VersionPattern.MatchString(version) {
		return fmt.Errorf("model version %q: want %s", version, VersionRule)
	}
	return nil
}

// Folder holds the files of one model: models/<version>.
func Folder(version string) string { return path.Join(Prefix, version) }

// Key of a file in the ml-artifacts bucket. The name is the path inside the model's folder, such as
// manifest.json.
func Key(version, name string) string { return path.Join(Folder(version), name) }
