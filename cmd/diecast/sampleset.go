package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"diecast/internal/classicmodels"
)

// recordName is the file that marks a folder as written by generate.
const recordName = "diecast-sample.json"

// record says what a sample set is and which files belong to it.
type record struct {
	SchemaVersion int    `json:"schema_version"`
	Format        string `json:"format"`
	Source        string `json:"source"` // generated or dump
	Detail        string `json:"detail"`
	// Options of a generated set; nil for a dump's.
	Options *classicmodels.Options `json:"options,omitempty"`
	// Files are all that belongs to the set, but for this record itself.
	Files []classicmodels.File `json:"files"`
	// Broken counts the broken ones of events by kind.
	Broken map[string]int `json:"broken,omitempty"`
}

// readRecord returns nil where there is no folder yet, and refuses a folder that holds anything
// that generate did not write.
func readRecord(folder string) (*record, error) {
	entries, err := os.ReadDir(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(entries) == 0:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("--out: %w", err)
	}
	foreign := func(what string) error {
		return fmt.Errorf("--out %s: %s; name a folder that does not exist, or one that generate wrote", folder, what)
	}
	text, err := os.ReadFile(filepath.Join(folder, recordName))
	if err != nil {
		return nil, foreign("the folder exists and is not a sample set (it has no " + recordName + ")")
	}
	found := &record{}
	if err := json.Unmarshal(text, found); err != nil {
		return nil, foreign(recordName + " is damaged: " + err.Error())
	}
	if found.SchemaVersion != 1 {
		return nil, foreign(fmt.Sprintf("%s has schema version %d, this program reads 1", recordName,
			found.SchemaVersion))
	}
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if name != recordName && !slices.ContainsFunc(found.Files,
			func(f classicmodels.File) bool { return f.Path == name }) {
			return foreign("it holds " + name + ", which generate did not write")
		}
		return nil
	})
	return found, err
}

// replaceFolder fills a new folder beside the target and puts it in the target's place. Whatever
// fails, the target is whole: the old one or the new one.
func replaceFolder(target string, fill func(temporary string) error) (err error) {
	target = filepath.Clean(target)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(target), "."+filepath.Base(target)+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	fresh, old := filepath.Join(temporary, "new"), filepath.Join(temporary, "old")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	if err := fill(fresh); err != nil {
		return err
	}
	if err := os.Rename(target, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, target); err != nil {
		return errors.Join(err, os.Rename(old, target))
	}
	return nil
}

// keepFile takes a file of the old set over into the new one.
func keepFile(from, to, name string) error {
	target := filepath.Join(to, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.Link(filepath.Join(from, filepath.FromSlash(name)), target)
}

// newFile fills a file in one step and refuses one that exists.
func newFile(target string, fill func(create classicmodels.Create) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(target), "."+filepath.Base(target)+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	fresh := filepath.Join(temporary, "new")
	if err := fill(func(string) (io.WriteCloser, error) { return os.Create(fresh) }); err != nil {
		return err
	}
	// Unlike a rename, a link never replaces what is there.
	if err := os.Link(fresh, target); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--out %s: the file exists; name one that does not, or remove it", target)
	} else if err != nil {
		return err
	}
	return nil
}

func (r *record) write(folder string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, recordName), append(text, '\n'), 0o644)
}
