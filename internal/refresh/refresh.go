// Package refresh makes a model follow the catalogue without training: it runs the towers of a
// model that there is over the products and customers of another run of training data, ranks the
// products by that run's ratings, and compares the outcome with what was served before.
//
// It must not know where a run or a model is kept, nor what becomes of the new model: it reads
// rows and folders, and writes a folder.
package refresh

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/tower"
	"diecast/internal/trainingset/publishedrun"
)

// Run is a run of training data, such as a publishedrun.Run.
type Run interface {
	Rows(ctx context.Context, table string, columns ...string) iter.Seq2[publishedrun.Row, error]
}

// Folder is a model's folder with its manifest, verified.
type Folder struct {
	Files    fs.FS
	Manifest artifacts.Manifest
}

// Made is a model that a refresh has made.
type Made struct {
	Manifest artifacts.Manifest
	// Catalogue counts the run's products, Left those that no vector could be made of.
	Catalogue, Left int
	// LeftCustomers counts the run's customers that no vector could be made of.
	LeftCustomers int
	// Reasons say of the first products and customers that were left out where they stand and why.
	Reasons []string
	// LengthError is by how much a vector's length differs from 1 at most.
	LengthError float64
}

// maxReasons bounds Made.Reasons: a column of a thousand wrong values has one cause.
const maxReasons = 10

// Make writes a model into an empty folder: the base's towers, and all its other files but
// embeddings and ranking, which are the run's. The same run gives the same bytes, in whatever files
// and order its rows lie. The error names file and row of what a run must not have: a product or a
// customer twice, a number that is none, a rating that is not from 1 to 5, no product at all.
func Make(ctx context.Context, base Folder, run Run, from artifacts.Refresh, into string) (Made, error) {
	if base.Manifest.Mode != artifacts.Towers {
		return Made{}, fmt.Errorf("model %s has embeddings only, no towers to refresh it with: load one with towers",
			base.Manifest.ModelVersion)
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return Made{}, err
	}
	defer root.Close()
	w := writer{ctx: ctx, base: base, root: root, files: map[string]artifacts.File{}}
	if err := w.copyOthers(); err != nil {
		return Made{}, err
	}
	products, err := w.items(run)
	if err != nil {
		return Made{}, err
	}
	ranking, err := Rank(ctx, run, products)
	if err != nil {
		return Made{}, err
	}
	if err := w.write(artifacts.PopularityFile, func(file *os.File) error {
		_, err := file.Write(artifacts.FormatPopularity(ranking))
		return err
	}); err != nil {
		return Made{}, err
	}
	users, err := w.users(run)
	if err != nil {
		return Made{}, err
	}
	manifest := base.Manifest
	manifest.Files, manifest.ModelVersion = w.files, artifacts.Version(w.files)
	manifest.Items, manifest.Users = artifacts.Count{Rows: int64(len(products))}, artifacts.Count{Rows: users}
	manifest.Popularity, manifest.Refresh = ranking, &from
	w.made.Manifest = manifest
	text, err := manifest.Encode()
	if err != nil {
		return Made{}, err
	}
	if _, err := artifacts.DecodeManifest(text); err != nil {
		return Made{}, fmt.Errorf("the refreshed model's manifest: %w", err)
	}
	if err := root.WriteFile(artifacts.ManifestName, text, 0o600); err != nil {
		return Made{}, err
	}
	return w.made, nil
}

// writer makes one folder.
type writer struct {
	ctx   context.Context
	base  Folder
	root  *os.Root
	files map[string]artifacts.File
	made  Made
}

// own are the files that a refresh makes; all others it leaves as they are.
var own = []string{artifacts.ItemEmbeddings, artifacts.UserEmbeddings, artifacts.PopularityFile}

// copyOthers copies those.
func (w *writer) copyOthers() error {
	for _, name := range slices.Sorted(maps.Keys(w.base.Manifest.Files)) {
		if slices.Contains(own, name) {
			continue
		}
		content, err := fs.ReadFile(w.base.Files, name)
		if err != nil {
			return fmt.Errorf("model %s: %w", w.base.Manifest.ModelVersion, err)
		}
		err = w.write(name, func(file *os.File) error {
			_, err := file.Write(content)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// write makes one file of the folder and describes it.
func (w *writer) write(name string, content func(*os.File) error) (err error) {
	if err := w.root.MkdirAll(filepath.FromSlash(path.Dir(name)), 0o700); err != nil {
		return err
	}
	file, err := w.root.Create(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	if err := errors.Join(content(file), file.Close()); err != nil {
		return err
	}
	w.files[name], err = artifacts.Describe(w.root.FS(), name)
	return err
}

// leave notes a row that no vector can be made of.
func (w *writer) leave(count *int, row publishedrun.Row, reason string) {
	*count++
	if len(w.made.Reasons) < maxReasons {
		w.made.Reasons = append(w.made.Reasons, row.Place()+": "+reason)
	}
}

// items embeds the run's products and returns their codes, sorted.
func (w *writer) items(run Run) ([]string, error) {
	read := newFeatures[string](artifacts.ItemInputs())
	columns := []string{"productCode", "productLine", "productScale", "quantityInStock", "buyPrice", "MSRP"}
	for row, err := range run.Rows(w.ctx, "products", columns...) {
		if err != nil {
			return nil, err
		}
		w.made.Catalogue++
		code := row.Values[0]
		if !artifacts.ValidItemID(code) {
			w.leave(&w.made.Left, row, fmt.Sprintf("productCode %.80q: want %s", code, artifacts.ItemIDRule))
			continue
		}
		missing, err := read.add(code, row, columns[1:], nil)
		if err != nil {
			return nil, err
		}
		if missing != "" {
			w.leave(&w.made.Left, row, fmt.Sprintf("product %s has no %s", code, missing))
		}
	}
	if w.made.Catalogue == 0 {
		return nil, errors.New("the run has no products: an empty catalogue would leave nothing to recommend")
	}
	if len(read.rows) == 0 {
		return nil, fmt.Errorf("no vector can be made of any of the run's %d products: %s", w.made.Catalogue,
			w.made.Reasons[0])
	}
	embedder, err := w.tower(artifacts.ItemTower, w.base.Manifest.Towers.Item, w.base.Manifest.Golden.Item)
	if err != nil {
		return nil, err
	}
	err = embed(w, artifacts.ItemEmbeddings, embedder, read, func(code string) string { return code })
	codes := make([]string, len(read.rows))
	for i, row := range read.rows {
		codes[i] = row.id
	}
	return codes, err
}

// users embeds the run's customers and counts them.
func (w *writer) users(run Run) (int64, error) {
	mean, err := meanCreditLimit(w.base)
	if err != nil {
		return 0, err
	}
	read := newFeatures[int](artifacts.UserInputs())
	columns := []string{"customerNumber", "city", "country", "creditLimit"}
	for row, err := range run.Rows(w.ctx, "customers", columns...) {
		if err != nil {
			return 0, err
		}
		number, err := strconv.ParseUint(row.Values[0], 10, 31)
		if err != nil {
			return 0, fmt.Errorf("%s: customerNumber %.40q: want a whole number from 0 to 2147483647", row.Place(),
				row.Values[0])
		}
		missing, err := read.add(int(number), row, columns[1:], mean)
		if err != nil {
			return 0, err
		}
		if missing != "" {
			w.leave(&w.made.LeftCustomers, row, fmt.Sprintf("customer %d has no %s", number, missing))
		}
	}
	embedder, err := w.tower(artifacts.UserTower, w.base.Manifest.Towers.User, w.base.Manifest.Golden.User)
	if err != nil {
		return 0, err
	}
	return int64(len(read.rows)), embed(w, artifacts.UserEmbeddings, embedder, read, strconv.Itoa)
}

// tower loads one of the base's towers and holds it to its golden vectors.
func (w *writer) tower(name string, contract artifacts.Tower, golden []artifacts.GoldenValue) (*tower.Tower, error) {
	graph, err := fs.ReadFile(w.base.Files, name)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", w.base.Manifest.ModelVersion, err)
	}
	loaded, err := tower.Load(graph, contract)
	if err == nil {
		err = loaded.CheckGolden(golden, w.base.Manifest.Golden.Tolerance)
	}
	if err != nil {
		return nil, fmt.Errorf("model %s, %s: %w", w.base.Manifest.ModelVersion, name, err)
	}
	return loaded, nil
}

// embedAtOnce bounds how many vectors are in memory.
const embedAtOnce = 4096

// embed writes the vectors of all rows in the order of their ids, each of which may be there once.
func embed[ID interface{ ~string | ~int }](w *writer, name string, tower *tower.Tower, read *features[ID],
	text func(ID) string) error {
	if err := read.sort(); err != nil {
		return err
	}
	return w.write(name, func(file *os.File) error {
		lines := csv.NewWriter(file)
		if err := lines.Write([]string{"id", "embedding"}); err != nil {
			return err
		}
		for rows := range slices.Chunk(read.rows, embedAtOnce) {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			vectors, err := tower.Embed(read.columns(rows))
			if err != nil {
				return fmt.Errorf("%s, from %s to %s: %w", name, text(rows[0].id), text(rows[len(rows)-1].id), err)
			}
			for i, vector := range vectors {
				w.made.LengthError = max(w.made.LengthError, lengthError(vector))
				if err := lines.Write([]string{text(rows[i].id), vector.String()}); err != nil {
					return err
				}
			}
		}
		lines.Flush()
		return lines.Error()
	})
}

// lengthError is by how much a vector's length differs from 1.
func lengthError(vector embeddings.Vector) float64 {
	return math.Abs(math.Sqrt(embeddings.InnerProduct(vector, vector)) - 1)
}
