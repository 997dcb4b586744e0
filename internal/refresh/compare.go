package refresh

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
)

// Figures compare a refreshed model with the run's catalogue and with the model that served before.
type Figures struct {
	// Catalogue counts the run's products, Items those that the new model has.
	Catalogue int `json:"catalogue"`
	Items     int `json:"items"`
	// Previous counts the items of the model before, Kept those that the new one has, too; Added
	// are the others of the new one, Vanished those of the one before.
	Previous int `json:"previous"`
	Kept     int `json:"kept"`
	Added    int `json:"added"`
	Vanished int `json:"vanished"`
	// LengthError is by how much a vector's length differs from 1 at most.
	LengthError float64 `json:"length_error"`
	// AnotherShop says that the model before was the shipped one and has no product of this shop:
	// then nothing is to be compared with it.
	AnotherShop bool `json:"another_shop,omitempty"`
	// Unchanged says that the new model answers as the one before: the same products and customers,
	// the same ranking, the same towers, and vectors that differ by no more than the towers' golden
	// ones may.
	Unchanged bool `json:"unchanged,omitempty"`
}

// Compare measures a model that Make has made against the one that serves.
func Compare(made Made, files fs.FS, previous Folder) (Figures, error) {
	figures := Figures{Catalogue: made.Catalogue, LengthError: made.LengthError}
	tolerance := 0.0
	if golden := made.Manifest.Golden; golden != nil {
		tolerance = golden.Tolerance
	}
	items, err := difference(files, previous.Files, artifacts.ItemEmbeddings, tolerance)
	if err != nil {
		return Figures{}, err
	}
	users, err := difference(files, previous.Files, artifacts.UserEmbeddings, tolerance)
	if err != nil {
		return Figures{}, err
	}
	figures.Items, figures.Previous = items.kept+items.added, items.kept+items.vanished
	figures.Kept, figures.Added, figures.Vanished = items.kept, items.added, items.vanished
	figures.Unchanged = items.same() && users.same() && sameOthers(made.Manifest, previous.Manifest) &&
		slices.Equal(made.Manifest.Popularity, previous.Manifest.Popularity)
	figures.AnotherShop = items.kept == 0 && previous.Manifest.Origin == artifacts.Shipped &&
		previous.Manifest.Refresh == nil
	return figures, nil
}

// sameOthers says whether two models have the same files besides what a refresh makes: towers and
// scalers.
func sameOthers(a, b artifacts.Manifest) bool {
	others := func(manifest artifacts.Manifest) map[string]artifacts.File {
		left := maps.Clone(manifest.Files)
		maps.DeleteFunc(left, func(name string, _ artifacts.File) bool { return slices.Contains(own, name) })
		return left
	}
	return maps.Equal(others(a), others(b))
}

// changes count the rows of an embeddings file against those of another one.
type changes struct{ kept, added, vanished, moved int }

func (c changes) same() bool { return c.added == 0 && c.vanished == 0 && c.moved == 0 }

// difference compares the same file of two models; vectors within the tolerance are the same.
func difference(now, before fs.FS, name string, tolerance float64) (changes, error) {
	vectors, err := texts(before, name)
	if err != nil {
		return changes{}, err
	}
	var found changes
	err = visit(now, name, func(id, text string) error {
		old, known := vectors[id]
		if !known {
			found.added++
			return nil
		}
		found.kept++
		delete(vectors, id)
		near, err := near(text, old, tolerance)
		if !near {
			found.moved++
		}
		return err
	})
	found.vanished = len(vectors)
	return found, err
}

// texts are the vectors of a file by their ids, as they are written.
func texts(folder fs.FS, name string) (map[string]string, error) {
	all := map[string]string{}
	return all, visit(folder, name, func(id, text string) error {
		all[strings.Clone(id)] = strings.Clone(text)
		return nil
	})
}

func visit(folder fs.FS, name string, each func(id, text string) error) error {
	file, err := folder.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	rows := csv.NewReader(file)
	rows.ReuseRecord = true
	for line := 1; ; line++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && len(row) != 2 {
			err = fmt.Errorf("has %d fields, want the two of id,embedding", len(row))
		}
		if err == nil && line > 1 {
			err = each(row[0], row[1])
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, line, err)
		}
	}
}

func near(one, other string, tolerance float64) (bool, error) {
	if one == other {
		return true, nil
	}
	a, err := embeddings.ParseVector(one)
	if err != nil {
		return false, err
	}
	b, err := embeddings.ParseVector(other)
	if err != nil || len(a) != len(b) {
		return false, err
	}
	for i := range a {
		if math.Abs(float64(a[i])-float64(b[i])) > tolerance {
			return false, nil
		}
	}
	return true, nil
}

// Limits say how far a refreshed model may differ before a person must look at it.
type Limits struct {
	// CatalogueOverlap is the least share of the run's products that the model must have.
	CatalogueOverlap float64
	// PreviousOverlap is the least share of the model's items that the one before had.
	PreviousOverlap float64
	// Vanished is the largest share of the items before that may be gone.
	Vanished float64
	// LengthError is by how much the length of a vector may differ from 1.
	LengthError float64
}

// Check names each limit that the figures break, and by how much.
func (l Limits) Check(f Figures) []string {
	var breaches []string
	below := func(what, key string, part, whole int, least float64) {
		if share := float64(part) / float64(whole); whole > 0 && share < least {
			breaches = append(breaches, fmt.Sprintf("%s: %d of %d, a share of %.4g; at least %.4g is allowed (%s)",
				what, part, whole, share, least, key))
		}
	}
	below("products of the run that the model has", "vectors.minCatalogueOverlap", f.Items, f.Catalogue,
		l.CatalogueOverlap)
	if !f.AnotherShop {
		below("items of the model that the one before had", "vectors.minPreviousOverlap", f.Kept, f.Items,
			l.PreviousOverlap)
		if share := float64(f.Vanished) / float64(f.Previous); f.Previous > 0 && share > l.Vanished {
			breaches = append(breaches, fmt.Sprintf("items of the model before that have vanished: %d of %d, a share "+
				"of %.4g; at most %.4g is allowed (vectors.maxVanished)", f.Vanished, f.Previous, share, l.Vanished))
		}
	}
	if f.LengthError > l.LengthError {
		breaches = append(breaches, fmt.Sprintf("length of a vector: it differs from 1 by %.3g; at most %.3g is "+
			"allowed (vectors.lengthTolerance)", f.LengthError, l.LengthError))
	}
	return breaches
}
