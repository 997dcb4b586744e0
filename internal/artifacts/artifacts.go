// Package artifacts is the contract of one trained model: an immutable folder of embeddings, towers
// and scalers with a manifest that names, hashes and describes every file.
//
// It verifies such a folder over an fs.FS and reads its embeddings. It must not know where folders
// are kept, how a tower is evaluated (the golden vectors are there for the caller that can), or
// where embeddings are loaded. The JSON Schema of the manifest is
// docs/schemas/artifacts_manifest.schema.json; golden examples are in
// test/contracts/artifacts_manifest.json.
package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// The files and figures of the contract.
const (
	// Metric is how two embeddings are compared; the vectors of towers have unit length.
	Metric = "inner_product"
	// ManifestName is the file that describes all others.
	ManifestName = "manifest.json"
	// ItemEmbeddings and UserEmbeddings are in every model; see ReadItems and ReadUsers.
	ItemEmbeddings = "embeddings/item_embeddings.csv"
	UserEmbeddings = "embeddings/user_embeddings.csv"
	// UserTower and ItemTower are in the models of mode Towers.
	UserTower = "model/user_tower.onnx"
	ItemTower = "model/item_tower.onnx"
	// PopularityFile is the ranking as a file, which the model's version covers; a refreshed model
	// has it, see ReadPopularity.
	PopularityFile = "popularity/item_popularity.csv"
	// TowerOutput is the output of every tower that is used.
	TowerOutput = "embedding"
)

// maxProblems bounds what one Error holds: a file of a million wrong lines has one cause.
const maxProblems = 20

// Problem is one reason to refuse a folder.
type Problem struct {
	// File is the path inside the folder.
	File string
	// Line is the line of a text file, from 1; 0 where the problem is the file's as a whole.
	Line int
	// Reason says what was found and what was expected.
	Reason string
}

func (p Problem) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Reason)
	}
	return fmt.Sprintf("%s: %s", p.File, p.Reason)
}

// Error holds the problems of one folder, at most 20 of them.
type Error struct {
	Problems []Problem
	// More counts the problems beyond those.
	More int
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, problem := range e.Problems {
		lines[i] = problem.String()
	}
	text := strings.Join(lines, "\n")
	if e.More > 0 {
		text += fmt.Sprintf("\nand %d more", e.More)
	}
	return text
}

func (e *Error) add(file string, line int, format string, arguments ...any) {
	if len(e.Problems) >= maxProblems {
		e.More++
		return
	}
	e.Problems = append(e.Problems, Problem{File: file, Line: line, Reason: fmt.Sprintf(format, arguments...)})
}

// Add notes a problem of a file as a whole.
func (e *Error) Add(file, reason string) { e.add(file, 0, "%s", reason) }

func (e *Error) orNil() error {
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}

// File is what a manifest says of one file.
type File struct {
	// SHA256 is 64 lower-case hexadecimal digits.
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// Version is the model version of a folder's files: the first 12 hexadecimal digits of the sha256
// over the lines "<path> <sha256>\n" in the byte order of the paths. The manifest is not among
// them: it holds the version.
func Version(files map[string]File) string {
	hash := sha256.New()
	for _, path := range sortedPaths(files) {
		fmt.Fprintf(hash, "%s %s\n", path, files[path].SHA256)
	}
	return hex.EncodeToString(hash.Sum(nil))[:12]
}

// CompareFiles compares a folder with what a manifest lists: every listed file must be there with
// its size and sha256, and every other one must be ignored. The error is an *Error with all
// differences.
func CompareFiles(folder fs.FS, listed map[string]File, ignored func(path string) bool) error {
	problems := &Error{}
	for _, path := range sortedPaths(listed) {
		found, err := Describe(folder, path)
		want := listed[path]
		switch {
		case err != nil:
			problems.add(path, 0, "listed in the manifest, not readable: %v", err)
		case found.Bytes != want.Bytes:
			problems.add(path, 0, "has %d bytes, the manifest says %d", found.Bytes, want.Bytes)
		case found.SHA256 != want.SHA256:
			problems.add(path, 0, "has sha256 %s, the manifest says %s", found.SHA256, want.SHA256)
		}
	}
	err := fs.WalkDir(folder, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if _, known := listed[path]; !entry.IsDir() && !known && !ignored(path) {
			problems.add(path, 0, "not listed in the manifest")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing the folder: %w", err)
	}
	return problems.orNil()
}

// Describe measures one file of a folder.
func Describe(folder fs.FS, path string) (File, error) {
	file, err := folder.Open(path)
	if err != nil {
		return File{}, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return File{}, err
	}
	return File{SHA256: hex.EncodeToString(hash.Sum(nil)), Bytes: size}, nil
}

func sortedPaths(files map[string]File) []string {
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}
