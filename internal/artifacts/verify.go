package artifacts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"diecast/internal/models"
	"diecast/internal/strictjson"
)

// UnitTolerance is how far the length of a tower's vector may be from 1: float32 arithmetic over
// models.Dimension elements and six printed digits stay well within it.
const UnitTolerance = 1e-3

// Model is a verified folder.
type Model struct {
	Manifest Manifest
	Items    []ItemEmbedding
	Users    []UserEmbedding
}

// Verify reads a model's folder and refuses it, with every problem it can name at once in an
// *Error, unless
//
//   - the manifest is well-formed;
//   - the files are exactly those that it lists, with their sizes and hashes, and the model version
//     is theirs;
//   - both embeddings files can be read and have the stated rows, in mode Towers of unit length;
//   - the popularity ranking is the same in the manifest and, where the model has one, in its file,
//     and ranks products of the items only.
//
// It does not evaluate the towers: the golden vectors are the evaluator's to compare.
func Verify(folder fs.FS) (Model, error) {
	data, err := fs.ReadFile(folder, ManifestName)
	if err != nil {
		return Model{}, &Error{Problems: []Problem{{File: ManifestName, Reason: fmt.Sprintf("not readable: %v", err)}}}
	}
	manifest, err := DecodeManifest(data)
	if err != nil {
		return Model{}, manifestError(err)
	}
	problems := &Error{}
	if version := Version(manifest.Files); version != manifest.ModelVersion {
		problems.add(ManifestName, 0, "model_version is %s, the files' hashes give %s", manifest.ModelVersion, version)
	}
	if err := problems.join(CompareFiles(folder, manifest.Files, isManifest)); err != nil {
		return Model{}, err
	}
	model := Model{Manifest: manifest}
	model.Items, err = readFile(folder, ItemEmbeddings, ReadItems)
	if err := problems.join(err); err != nil && !errors.Is(err, fs.ErrNotExist) { // CompareFiles named it
		return Model{}, err
	}
	model.Users, err = readFile(folder, UserEmbeddings, ReadUsers)
	if err := problems.join(err); err != nil && !errors.Is(err, fs.ErrNotExist) { // CompareFiles named it
		return Model{}, err
	}
	if err := compareRanking(folder, manifest, problems); err != nil {
		return Model{}, err
	}
	if len(problems.Problems) == 0 {
		model.compare(problems)
	}
	if err := problems.orNil(); err != nil {
		return Model{}, err
	}
	return model, nil
}

// Adopt describes a folder that has no manifest and holds the course's two CSV files: a model of
// mode EmbeddingsOnly and origin Trained. popularity is the ranking, best first, that answers for
// customers without an embedding; where it is nil, the folder's PopularityFile is read, and without
// that those customers get nothing. Other files in the folder become part of the model. The error
// is that of ReadItems, ReadUsers and ReadPopularity, or of a ranking that Verify would refuse.
func Adopt(folder fs.FS, popularity []Popular) (Manifest, error) {
	problems := &Error{}
	items, err := readFile(folder, ItemEmbeddings, ReadItems)
	if err := problems.join(err); err != nil {
		return Manifest{}, err
	}
	users, err := readFile(folder, UserEmbeddings, ReadUsers)
	if err := problems.join(err); err != nil {
		return Manifest{}, err
	}
	if popularity == nil {
		popularity, err = readFile(folder, PopularityFile, ReadPopularity)
		if err := problems.join(err); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Manifest{}, err
		}
	}
	if err := problems.orNil(); err != nil {
		return Manifest{}, err
	}
	files := map[string]File{}
	err = fs.WalkDir(folder, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || isManifest(path) {
			return err
		}
		files[path], err = Describe(folder, path)
		return err
	})
	if err != nil {
		return Manifest{}, fmt.Errorf("hashing the folder: %w", err)
	}
	manifest := Manifest{
		SchemaVersion: 1, ModelVersion: Version(files), Mode: EmbeddingsOnly, Dimension: models.Dimension,
		Metric: Metric,
		Files:  files, Items: Count{int64(len(items))}, Users: Count{int64(len(users))}, Origin: Trained,
		Metrics: map[string]float64{}, Popularity: append([]Popular{}, popularity...),
	}
	if err := compareRanking(folder, manifest, problems); err != nil {
		return Manifest{}, err
	}
	Model{Manifest: manifest, Items: items, Users: users}.compare(problems)
	if err := problems.orNil(); err != nil {
		return Manifest{}, err
	}
	data, err := manifest.Encode()
	if err != nil {
		return Manifest{}, err
	}
	if _, err := DecodeManifest(data); err != nil {
		return Manifest{}, manifestError(err)
	}
	return manifest, nil
}

// compareRanking holds the ranking's file, where the model has one, to the manifest.
func compareRanking(folder fs.FS, manifest Manifest, problems *Error) error {
	if _, listed := manifest.Files[PopularityFile]; !listed {
		return nil
	}
	ranking, err := readFile(folder, PopularityFile, ReadPopularity)
	if err := problems.join(err); err != nil && !errors.Is(err, fs.ErrNotExist) { // CompareFiles named it
		return err
	}
	if err == nil && !slices.Equal(ranking, manifest.Popularity) {
		problems.add(PopularityFile, 0, "ranks otherwise than popularity in %s", ManifestName)
	}
	return nil
}

// compare checks what lies between the manifest and the embeddings.
func (m Model) compare(problems *Error) {
	if rows := int64(len(m.Items)); rows != m.Manifest.Items.Rows {
		problems.add(ItemEmbeddings, 0, "has %d rows, the manifest says %d", rows, m.Manifest.Items.Rows)
	}
	if rows := int64(len(m.Users)); rows != m.Manifest.Users.Rows {
		problems.add(UserEmbeddings, 0, "has %d rows, the manifest says %d", rows, m.Manifest.Users.Rows)
	}
	known := make(map[string]bool, len(m.Items))
	for _, item := range m.Items {
		known[item.ID] = true
		m.requireUnit(problems, ItemEmbeddings, item.ID, item.Vector)
	}
	for _, user := range m.Users {
		m.requireUnit(problems, UserEmbeddings, fmt.Sprint(user.ID), user.Vector)
	}
	for i, product := range m.Manifest.Popularity {
		if !known[product.ID] {
			problems.add(ManifestName, 0, "popularity[%d]: product %s is not in %s", i, product.ID, ItemEmbeddings)
		}
	}
}

func (m Model) requireUnit(problems *Error, file, id string, vector []float32) {
	var sum float64
	for _, value := range vector {
		sum += float64(value) * float64(value)
	}
	if length := math.Sqrt(sum); m.Manifest.Mode == Towers && math.Abs(length-1) > UnitTolerance {
		problems.add(file, 0, "the vector of %s has length %.4f, want a unit vector", id, length)
	}
}

// join takes in the problems of an *Error and returns any other error.
func (e *Error) join(err error) error {
	var other *Error
	if !errors.As(err, &other) {
		return err
	}
	for _, problem := range other.Problems {
		e.add(problem.File, problem.Line, "%s", problem.Reason)
	}
	e.More += other.More
	return nil
}

func manifestError(err error) error {
	var invalid *strictjson.Error
	if !errors.As(err, &invalid) {
		return err
	}
	problems := &Error{}
	for _, violation := range invalid.Violations {
		problems.add(ManifestName, 0, "%s", violation)
	}
	return problems
}

func isManifest(path string) bool { return path == ManifestName }

// readFile reads one of the embeddings files.
func readFile[Row any](folder fs.FS, path string, read func(io.Reader, string) ([]Row, error)) ([]Row, error) {
	file, err := folder.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	defer file.Close()
	return read(file, path)
}
