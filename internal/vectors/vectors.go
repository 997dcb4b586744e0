// Package vectors operates a deployed vector store, on AWS or on this machine: it asks the loader's
// function, and puts models that lie in a folder where the loader finds them. It does not know how
// the loader does its work, nor how an answer is shown.
package vectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/models"
	"diecast/internal/models/modelstore"
	"diecast/internal/refresh"
	"diecast/internal/trainingset/publishedrun"
	"diecast/internal/vectorloader"
	"diecast/internal/vectorloader/answer"
)

// Operator works on one vector store.
type Operator struct {
	// Invoke calls the loader's function; the error is the function's own.
	Invoke func(ctx context.Context, payload []byte) ([]byte, error)
	// Bucket holds models, in which Objects writes.
	Bucket  modelstore.Bucket
	Objects modelstore.Putter
	// Lake holds the runs of training data; it is empty where there is none.
	Lake string
	// Runs reads it.
	Runs publishedrun.Getter
	// By is who works, for the list of who switched when.
	By string
}

// ask sends a request and decodes its answer.
func ask[T any](ctx context.Context, o Operator, request vectorloader.Request) (T, error) {
	var told T
	by := []rune(o.By)
	request.By = string(by[:min(len(by), vectorloader.MaxBy)])
	payload, err := json.Marshal(request)
	if err != nil {
		return told, err
	}
	text, err := o.Invoke(ctx, payload)
	if err != nil {
		return told, err
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return told, fmt.Errorf("the loader's answer to %s: %w", request.Action, err)
	}
	return told, nil
}

// Status is the whole state of the store.
func (o Operator) Status(ctx context.Context) (answer.Status, error) {
	return ask[answer.Status](ctx, o, vectorloader.Request{Action: vectorloader.Status})
}

// Load loads a model that is in the bucket, and switches to it where that is wanted.
func (o Operator) Load(ctx context.Context, version string, activate bool) (embeddings.Loaded, error) {
	return ask[embeddings.Loaded](ctx, o, vectorloader.Request{Action: vectorloader.Load, ModelVersion: version,
		Activate: activate})
}

// Refresh makes the active model follow the published run; with a wanted run it must be that.
func (o Operator) Refresh(ctx context.Context, run string) (answer.Refreshed, error) {
	return ask[answer.Refreshed](ctx, o, vectorloader.Request{Action: vectorloader.Refresh, Run: run, Lake: o.Lake})
}

// Approve switches to a model that waits.
func (o Operator) Approve(ctx context.Context, version string) (embeddings.Active, error) {
	return ask[embeddings.Active](ctx, o, vectorloader.Request{Action: vectorloader.Approve, ModelVersion: version})
}

// Reject refuses a model for good.
func (o Operator) Reject(ctx context.Context, version, reason string) (answer.Status, error) {
	return ask[answer.Status](ctx, o, vectorloader.Request{Action: vectorloader.Reject, ModelVersion: version,
		Reason: reason})
}

// Rollback goes back to the previous model.
func (o Operator) Rollback(ctx context.Context) (embeddings.Active, error) {
	return ask[embeddings.Active](ctx, o, vectorloader.Request{Action: vectorloader.Rollback})
}

// Uploaded is a model that was put into the bucket.
type Uploaded struct {
	Manifest artifacts.Manifest
	// Ranking says where the ranking of a model of embeddings only comes from, in words; empty for
	// a model that brought its manifest.
	Ranking string
}

// Upload puts the model in a folder into the bucket. A folder with a manifest must be what that
// says. One without is the course's: its two CSV files, in the folder or in embeddings/ below it,
// become a model of embeddings only. Its ranking is the file popularity, or else
// popularity/item_popularity.csv in the folder, or else what customers rated in the lake's
// published run; where there is none of them, only customers with an embedding are served.
func (o Operator) Upload(ctx context.Context, folder, popularity string) (Uploaded, error) {
	files := os.DirFS(folder)
	if _, err := fs.Stat(files, artifacts.ManifestName); err == nil {
		if popularity != "" {
			return Uploaded{}, fmt.Errorf("%s has a manifest, and so its ranking: leave the other one out", folder)
		}
		manifest, err := artifacts.Check(files)
		if err != nil {
			return Uploaded{}, fmt.Errorf("%s is refused:\n%w", folder, err)
		}
		return Uploaded{Manifest: manifest}, o.put(ctx, manifest.ModelVersion, files)
	}
	adopted, err := os.MkdirTemp("", "adopted-")
	if err != nil {
		return Uploaded{}, err
	}
	defer os.RemoveAll(adopted)
	if err := collect(files, adopted); err != nil {
		return Uploaded{}, fmt.Errorf("%s is refused:\n%w", folder, err)
	}
	uploaded, err := o.adopt(ctx, adopted, popularity)
	if err != nil {
		return Uploaded{}, fmt.Errorf("%s is refused:\n%w", folder, err)
	}
	return uploaded, o.put(ctx, uploaded.Manifest.ModelVersion, os.DirFS(adopted))
}

func (o Operator) put(ctx context.Context, version string, files fs.FS) error {
	return o.Bucket.Upload(ctx, o.Objects, version, files)
}

// collect copies the course's files to where the contract has them. Any other file may be one that
// somebody believes to be part of the model, and is refused.
func collect(from fs.FS, into string) error {
	found := &artifacts.Error{}
	seen := map[string]string{}
	places := []string{artifacts.ItemEmbeddings, artifacts.UserEmbeddings, artifacts.PopularityFile}
	err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		at := slices.IndexFunc(places, func(place string) bool { return name == place || name == path.Base(place) })
		if at < 0 {
			found.Add(name, "not a file of a model of embeddings only: take it out, or name the folder of the CSV "+
				"files; a model with towers has a manifest.json")
			return nil
		}
		if other := seen[places[at]]; other != "" {
			found.Add(name, "lies there a second time, beside "+other)
			return nil
		}
		seen[places[at]] = name
		return copyFile(from, name, path.Join(into, places[at]))
	})
	if err != nil {
		return err
	}
	for _, place := range places[:2] {
		if seen[place] == "" {
			found.Add(path.Base(place), "does not exist: the course's model has it")
		}
	}
	if len(found.Problems) > 0 {
		return found
	}
	return nil
}

func copyFile(from fs.FS, name, to string) (err error) {
	source, err := from.Open(name)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := os.MkdirAll(path.Dir(to), 0o700); err != nil {
		return err
	}
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// adopt finds a ranking for a folder of embeddings, and describes it by a manifest.
func (o Operator) adopt(ctx context.Context, folder, popularity string) (Uploaded, error) {
	ranking := path.Join(folder, artifacts.PopularityFile)
	uploaded := Uploaded{Ranking: "none: customers without an embedding get nothing"}
	_, missing := os.Stat(ranking)
	switch {
	case popularity != "":
		if err := os.MkdirAll(path.Dir(ranking), 0o700); err != nil {
			return Uploaded{}, err
		}
		if err := copyFile(os.DirFS(path.Dir(popularity)), path.Base(popularity), ranking); err != nil {
			return Uploaded{}, err
		}
		uploaded.Ranking = "that of " + popularity
	case missing == nil:
		uploaded.Ranking = "that of the folder"
	case o.Lake != "":
		run, err := publishedrun.Open(ctx, o.Runs, o.Lake, "")
		if errors.Is(err, publishedrun.ErrNothingPublished) {
			break
		}
		if err != nil {
			return Uploaded{}, err
		}
		if err := rank(ctx, run, folder, ranking); err != nil {
			return Uploaded{}, err
		}
		uploaded.Ranking = "what customers rated in run " + run.Manifest.RunID
	}
	var err error
	if uploaded.Manifest, err = artifacts.Adopt(os.DirFS(folder), nil); err != nil {
		return Uploaded{}, err
	}
	text, err := uploaded.Manifest.Encode()
	if err != nil {
		return Uploaded{}, err
	}
	return uploaded, os.WriteFile(path.Join(folder, artifacts.ManifestName), text, 0o600)
}

// rank writes a ranking of the folder's items by a run's ratings.
func rank(ctx context.Context, run publishedrun.Run, folder, into string) error {
	file, err := os.Open(path.Join(folder, artifacts.ItemEmbeddings))
	if err != nil {
		return err
	}
	defer file.Close()
	items, err := artifacts.ReadItems(file, artifacts.ItemEmbeddings)
	if err != nil {
		return err
	}
	codes := make([]string, len(items))
	for i, item := range items {
		codes[i] = item.ID
	}
	ranking, err := refresh.Rank(ctx, run, codes)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(path.Dir(into), 0o700); err != nil {
		return err
	}
	return os.WriteFile(into, artifacts.FormatPopularity(ranking), 0o600)
}

// IsVersion says whether an argument names a model rather than a folder.
func IsVersion(text string) bool { return models.CheckVersion(text) == nil }
