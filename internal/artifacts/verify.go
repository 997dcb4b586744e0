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

// Check reads a model's folder and refuses it, with every problem it can name at once in an
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
//
// Rows are read one after the other: of each some 30 bytes are kept, by which a second one of its
// id is known.
func Check(folder fs.FS) (Manifest, error) {
	return check(folder, func(ItemEmbedding) {}, func(UserEmbedding) {})
}

// Verify is Check for whoever wants the embeddings in memory.
func Verify(folder fs.FS) (Model, error) {
	var model Model
	var err error
	model.Manifest, err = check(folder, func(item ItemEmbedding) { model.Items = append(model.Items, item) },
		func(user UserEmbedding) { model.Users = append(model.Users, user) })
	if err != nil {
		return Model{}, err
	}
	return model, nil
}

// check is Check, and hands on each embedding.
func check(folder fs.FS, item func(ItemEmbedding), user func(UserEmbedding)) (Manifest, error) {
	data, err := fs.ReadFile(folder, ManifestName)
	if err != nil {
		unreadable := Problem{File: ManifestName, Reason: fmt.Sprintf("not readable: %v", err)}
		return Manifest{}, &Error{Problems: []Problem{unreadable}}
	}
	manifest, err := DecodeManifest(data)
	if err != nil {
		return Manifest{}, manifestError(err)
	}
	problems := &Error{}
	if version := Version(manifest.Files); version != manifest.ModelVersion {
		problems.add(ManifestName, 0, "model_version is %s, the files' hashes give %s", manifest.ModelVersion, version)
	}
	if err := problems.join(CompareFiles(folder, manifest.Files, isManifest)); err != nil {
		return Manifest{}, err
	}
	rows := newTally(manifest.Mode, manifest.Popularity)
	if err := rows.read(folder, problems, item, user); err != nil {
		return Manifest{}, err
	}
	if err := compareRanking(folder, manifest, problems); err != nil {
		return Manifest{}, err
	}
	if len(problems.Problems) == 0 {
		rows.compare(manifest, problems)
	}
	return manifest, problems.orNil()
}

// Adopt describes a folder that has no manifest and holds the course's two CSV files: a model of
// mode EmbeddingsOnly and origin Trained. popularity is the ranking, best first, that answers for
// customers without an embedding; where it is nil, the folder's PopularityFile is read, and without
// that those customers get nothing. Other files in the folder become part of the model. The error
// is that of ReadItems, ReadUsers and ReadPopularity, or of a ranking that Verify would refuse.
func Adopt(folder fs.FS, popularity []Popular) (Manifest, error) {
	problems := &Error{}
	if popularity == nil {
		var err error
		popularity, err = readFile(folder, PopularityFile, ReadPopularity)
		if err := problems.join(err); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Manifest{}, err
		}
	}
	rows := newTally(EmbeddingsOnly, popularity)
	err := rows.read(folder, problems, func(ItemEmbedding) {}, func(UserEmbedding) {})
	if err != nil {
		return Manifest{}, err
	}
	for _, name := range []string{ItemEmbeddings, UserEmbeddings} {
		if _, err := fs.Stat(folder, name); err != nil {
			return Manifest{}, fmt.Errorf("opening %s: %w", name, err)
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
		Files:  files, Items: Count{rows.items}, Users: Count{rows.users}, Origin: Trained,
		Metrics: map[string]float64{}, Popularity: append([]Popular{}, popularity...),
	}
	if err := compareRanking(folder, manifest, problems); err != nil {
		return Manifest{}, err
	}
	rows.compare(manifest, problems)
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

// tally is what is kept of embeddings that are read one after the other.
type tally struct {
	unit         bool // vectors must have length one
	items, users int64
	// missing are the ranked products that no item was seen of, by their places in the ranking.
	missing map[string]int
	lengths Error
}

func newTally(mode Mode, ranking []Popular) *tally {
	t := &tally{unit: mode == Towers, missing: map[string]int{}}
	for i, product := range ranking {
		t.missing[product.ID] = i
	}
	return t
}

// read reads both files and adds what is wrong with them. A file that is not there is left to
// whoever lists the folder.
func (t *tally) read(folder fs.FS, problems *Error, item func(ItemEmbedding), user func(UserEmbedding)) error {
	_, err := readFile(folder, ItemEmbeddings, func(reader io.Reader, name string) ([]ItemEmbedding, error) {
		return nil, EachItem(reader, name, func(one ItemEmbedding) {
			t.items++
			delete(t.missing, one.ID)
			t.requireUnit(ItemEmbeddings, one.ID, one.Vector)
			item(one)
		})
	})
	if err := problems.join(err); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err = readFile(folder, UserEmbeddings, func(reader io.Reader, name string) ([]UserEmbedding, error) {
		return nil, EachUser(reader, name, func(one UserEmbedding) {
			t.users++
			t.requireUnit(UserEmbeddings, fmt.Sprint(one.ID), one.Vector)
			user(one)
		})
	})
	if err := problems.join(err); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (t *tally) requireUnit(file, id string, vector []float32) {
	if !t.unit {
		return
	}
	var sum float64
	for _, value := range vector {
		sum += float64(value) * float64(value)
	}
	if length := math.Sqrt(sum); math.Abs(length-1) > UnitTolerance {
		t.lengths.add(file, 0, "the vector of %s has length %.4f, want a unit vector", id, length)
	}
}

// compare checks what lies between the manifest and the embeddings.
func (t *tally) compare(manifest Manifest, problems *Error) {
	if t.items != manifest.Items.Rows {
		problems.add(ItemEmbeddings, 0, "has %d rows, the manifest says %d", t.items, manifest.Items.Rows)
	}
	if t.users != manifest.Users.Rows {
		problems.add(UserEmbeddings, 0, "has %d rows, the manifest says %d", t.users, manifest.Users.Rows)
	}
	_ = problems.join(t.lengths.orNil())
	for i, product := range manifest.Popularity {
		if _, missing := t.missing[product.ID]; missing {
			problems.add(ManifestName, 0, "popularity[%d]: product %s is not in %s", i, product.ID, ItemEmbeddings)
		}
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
