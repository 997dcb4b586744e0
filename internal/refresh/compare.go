package refresh

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
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
	// AnotherShop says that the model before was the shipped one and this shop is not the sample:
	// of all products less than a fifth are those of both. Then nothing is to be compared with it.
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
	figures.AnotherShop = previous.Manifest.Origin == artifacts.Shipped && previous.Manifest.Refresh == nil &&
		anotherShop*items.kept < items.kept+items.added+items.vanished
	return figures, nil
}

// anotherShop is how many times as many products two shops have as they have in common, at least.
// The sample at a tenth or at ten times its size is another shop, too.
const anotherShop = 5

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

// difference compares the same file of two models; vectors within the tolerance are the same. Two
// files in the order of their ids, as trainer and refresh write them, are read side by side; of one
// in another order all vectors are kept.
func difference(now, before fs.FS, name string, tolerance float64) (changes, error) {
	found, err := merge(now, before, name, tolerance)
	if !errors.Is(err, errUnordered) {
		return found, err
	}
	vectors := map[string]string{}
	for row, err := range rows(before, name) {
		if err != nil {
			return changes{}, err
		}
		vectors[row.id] = row.text
	}
	found = changes{}
	for row, err := range rows(now, name) {
		if err != nil {
			return changes{}, err
		}
		old, known := vectors[row.id]
		delete(vectors, row.id)
		if err := found.count(row.text, old, known, tolerance); err != nil {
			return changes{}, err
		}
	}
	found.vanished = len(vectors)
	return found, nil
}

// count takes in one row of the new file, and the vector that its id had before.
func (c *changes) count(text, old string, known bool, tolerance float64) error {
	if !known {
		c.added++
		return nil
	}
	c.kept++
	near, err := near(text, old, tolerance)
	if !near {
		c.moved++
	}
	return err
}

// errUnordered says that a file is not in the order of its ids.
var errUnordered = errors.New("not in the order of the ids")

// merge compares two files in the order of their ids.
func merge(now, before fs.FS, name string, tolerance float64) (changes, error) {
	compare := cmp.Compare[string]
	if name == artifacts.UserEmbeddings {
		compare = compareNumbers
	}
	fresh, stopFresh := iter.Pull2(ordered(rows(now, name), compare))
	defer stopFresh()
	old, stopOld := iter.Pull2(ordered(rows(before, name), compare))
	defer stopOld()
	var found changes
	a, errA, moreA := fresh()
	b, errB, moreB := old()
	for moreA || moreB {
		if err := cmp.Or(errA, errB); err != nil {
			return changes{}, err
		}
		order := compare(a.id, b.id)
		switch {
		case moreA && (!moreB || order < 0):
			found.added++
			a, errA, moreA = fresh()
		case moreB && (!moreA || order > 0):
			found.vanished++
			b, errB, moreB = old()
		default:
			if err := found.count(a.text, b.text, true, tolerance); err != nil {
				return changes{}, err
			}
			a, errA, moreA = fresh()
			b, errB, moreB = old()
		}
	}
	return found, nil
}

// embedding is a row of an embeddings file as it is written.
type embedding struct{ id, text string }

// ordered hands on rows until one is not behind the one before it.
func ordered(all iter.Seq2[embedding, error], compare func(a, b string) int) iter.Seq2[embedding, error] {
	return func(yield func(embedding, error) bool) {
		last, first := "", true
		for row, err := range all {
			if err == nil && !first && compare(last, row.id) >= 0 {
				err = errUnordered
			}
			if !yield(row, err) || err != nil {
				return
			}
			last, first = row.id, false
		}
	}
}

// compareNumbers is the order of customer numbers, which have no leading zeros.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// rows are those of an embeddings file. After an error nothing comes.
func rows(folder fs.FS, name string) iter.Seq2[embedding, error] {
	return func(yield func(embedding, error) bool) {
		file, err := folder.Open(name)
		if err != nil {
			yield(embedding{}, err)
			return
		}
		defer file.Close()
		lines := csv.NewReader(file)
		lines.ReuseRecord = true
		for line := 1; ; line++ {
			row, err := lines.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && len(row) != 2 {
				err = fmt.Errorf("has %d fields, want the two of id,embedding", len(row))
			}
			if err != nil {
				yield(embedding{}, fmt.Errorf("%s:%d: %w", name, line, err))
				return
			}
			if line > 1 && !yield(embedding{strings.Clone(row[0]), strings.Clone(row[1])}, nil) {
				return
			}
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
