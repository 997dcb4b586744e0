package handler

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/models"
)

// fetched is a model that was copied from the bucket and verified.
type fetched struct {
	Manifest artifacts.Manifest
	folder   string
}

func (f fetched) remove() { _ = os.RemoveAll(f.folder) }

// fetch copies a model and refuses one that is larger than the memory holds, or whose folder is not
// what its manifest says. The caller removes the copy.
func (h Handler) fetch(ctx context.Context, backend Backend, version string) (fetched, error) {
	if err := models.CheckVersion(version); err != nil {
		return fetched{}, err
	}
	manifest, err := backend.Bucket.Manifest(ctx, version)
	if err != nil {
		return fetched{}, err
	}
	if err := backend.Memory.Check(int(manifest.Items.Rows), int(manifest.Users.Rows)); err != nil {
		return fetched{}, fmt.Errorf("model %s is refused: %w", version, err)
	}
	if err := backend.Bucket.Compare(ctx, backend.Keeper, manifest); err != nil {
		return fetched{}, fmt.Errorf("model %s is refused: %w", version, err)
	}
	folder, err := os.MkdirTemp("", "model-")
	if err != nil {
		return fetched{}, err
	}
	copied := fetched{folder: folder}
	if err := backend.Bucket.Download(ctx, version, folder); err != nil {
		copied.remove()
		return fetched{}, err
	}
	if copied.Manifest, err = artifacts.Check(os.DirFS(folder)); err != nil {
		copied.remove()
		return fetched{}, fmt.Errorf("model %s is refused: %w", version, err)
	}
	return copied, nil
}

// load downloads, verifies and loads one model.
func (h Handler) load(ctx context.Context, backend Backend, version string,
	activation embeddings.Activation) (embeddings.Loaded, error) {
	model, err := h.fetch(ctx, backend, version)
	if err != nil {
		return embeddings.Loaded{}, err
	}
	defer model.remove()
	return h.put(ctx, backend, model.folder, described(model.Manifest, func(ctx context.Context) error {
		// The folder of an old refreshed model may have been removed meanwhile.
		_, err := backend.Bucket.Manifest(ctx, version)
		return err
	}), activation)
}

// described is a model without its rows as the store takes it.
func described(manifest artifacts.Manifest, confirm func(context.Context) error) embeddings.Model {
	model := embeddings.Model{
		Version: manifest.ModelVersion, Origin: embeddings.Origin(manifest.Origin),
		Towers:    manifest.Mode == artifacts.Towers,
		ItemCount: int(manifest.Items.Rows), UserCount: int(manifest.Users.Rows), Confirm: confirm,
	}
	if manifest.Training != nil {
		model.Run = embeddings.Run{ID: manifest.Training.RunID, CreatedAt: manifest.Training.CreatedAt}
	}
	if refreshed := manifest.Refresh; refreshed != nil {
		model.Base = refreshed.BaseModelVersion
		model.Run = embeddings.Run{ID: refreshed.RunID, CreatedAt: refreshed.CreatedAt, Lake: refreshed.Lake}
	}
	return model
}

// put loads the embeddings that lie in a folder.
func (h Handler) put(ctx context.Context, backend Backend, folder string, model embeddings.Model,
	activation embeddings.Activation) (embeddings.Loaded, error) {
	items, err := os.Open(filepath.Join(folder, filepath.FromSlash(artifacts.ItemEmbeddings)))
	if err != nil {
		return embeddings.Loaded{}, err
	}
	defer items.Close()
	users, err := os.Open(filepath.Join(folder, filepath.FromSlash(artifacts.UserEmbeddings)))
	if err != nil {
		return embeddings.Loaded{}, err
	}
	defer users.Close()
	model.Items, model.Users = items, users
	loaded, err := backend.Store.Load(ctx, model, activation)
	if err != nil {
		return embeddings.Loaded{}, err
	}
	h.Logger.InfoContext(ctx, "model loaded", slog.Any("result", loaded))
	h.retire(ctx, backend)
	return loaded, nil
}

// approve switches to a model whose files are where inference reads them.
func (h Handler) approve(ctx context.Context, backend Backend, version string) (embeddings.Active, error) {
	if err := models.CheckVersion(version); err != nil {
		return embeddings.Active{}, err
	}
	if _, err := backend.Bucket.Manifest(ctx, version); err != nil {
		return embeddings.Active{}, err
	}
	active, err := backend.Store.Activate(ctx, version)
	if err == nil {
		h.retire(ctx, backend)
	}
	return active, err
}

// retire removes old models. That the new one serves is what counts: a failure is logged, and the
// next load tries again.
func (h Handler) retire(ctx context.Context, backend Backend) {
	retired, err := backend.Store.Retire(ctx)
	if err == nil && len(retired) > 0 {
		h.Logger.InfoContext(ctx, "old models removed", slog.Any("model_versions", retired))
	}
	if err == nil {
		err = backend.Store.Hold(ctx, func(ctx context.Context, versions []embeddings.Version) error {
			return h.prune(ctx, backend, versions)
		})
	}
	if err != nil {
		h.Logger.WarnContext(ctx, "old models are still there", slog.Any("error", err))
	}
}

// strayFor is how old a refreshed folder must be that the store has never heard of: one that a
// refresh left when it died. A person may be copying a younger one.
const strayFor = 24 * time.Hour

// prune removes the folders of refreshed models that are not in the store any more. A refresh makes
// them again; what was trained or brought stays.
func (h Handler) prune(ctx context.Context, backend Backend, versions []embeddings.Version) error {
	states := map[string]embeddings.State{}
	for _, one := range versions {
		states[one.Version] = one.State
	}
	folders, err := backend.Bucket.Versions(ctx, backend.Keeper)
	if err != nil {
		return err
	}
	for _, version := range folders {
		if states[version] == embeddings.StateLoaded {
			continue
		}
		manifest, err := backend.Bucket.Manifest(ctx, version)
		if err != nil || manifest.Refresh == nil {
			continue // half a model may be one that is being copied
		}
		if states[version] == "" {
			files, err := backend.Bucket.Files(ctx, backend.Keeper, version)
			if err != nil {
				return err
			}
			if h.now().Sub(files[artifacts.ManifestName]) < strayFor {
				continue
			}
		}
		if err := backend.Bucket.Remove(ctx, backend.Keeper, version); err != nil {
			return err
		}
		h.Logger.InfoContext(ctx, "folder removed", slog.String("model_version", version))
	}
	return nil
}
