package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/refresh"
	"diecast/internal/trainingset/publishedrun"
	"diecast/internal/vectorloader/answer"
)

// refreshOf is what a refresh is asked for; every field may be empty.
type refreshOf struct {
	// base has the towers. Default: the active model.
	base string
	// lake is read. Default: that of the active model.
	lake string
	// run must be the published one. Default: whichever is.
	run string
}

// NothingToRefreshError says that the store has no model that could follow a catalogue. Its type's
// name is vectorloader.NothingToRefresh.
type NothingToRefreshError struct{ Reason string }

func (e *NothingToRefreshError) Error() string { return "nothing to refresh: " + e.Reason }

// LimitsBrokenError says which limits a refreshed model breaks, which therefore waits beside. Its
// type's name is vectorloader.LimitsBroken.
type LimitsBrokenError struct {
	// Run is the one whose catalogue the Waiting model has, Active the model that still serves.
	Run, Active, Waiting string
	Breaches             []string
}

func (e *LimitsBrokenError) Error() string {
	return fmt.Sprintf("refresh over run %s stopped before the switch, model %s still serves: %s; model %s waits "+
		"beside: approve switches to it all the same, reject refuses it for good", e.Run, e.Active,
		strings.Join(e.Breaches, "; "), e.Waiting)
}

// refreshes bounds how often a refresh begins anew because another model has become active.
const refreshes = 3

// refresh makes the active model follow the published run. Of two at once, the second finds done
// what it would do, or begins anew over what the first has made.
func (h Handler) refresh(ctx context.Context, backend Backend, wanted refreshOf) (answer.Refreshed, error) {
	for attempt := 1; ; attempt++ {
		refreshed, err := h.refreshOnce(ctx, backend, wanted)
		var moved *embeddings.MovedError
		if !errors.As(err, &moved) || attempt == refreshes {
			return refreshed, err
		}
		h.Logger.InfoContext(ctx, "the refresh begins anew", slog.Any("reason", err))
	}
}

func (h Handler) refreshOnce(ctx context.Context, backend Backend, wanted refreshOf) (answer.Refreshed, error) {
	active, err := backend.Store.Active(ctx)
	if errors.Is(err, embeddings.ErrNoActiveModel) {
		return answer.Refreshed{}, &NothingToRefreshError{err.Error() + ": load one with towers first"}
	}
	if err != nil {
		return answer.Refreshed{}, err
	}
	if !active.Towers && wanted.base == "" {
		return answer.Refreshed{}, &NothingToRefreshError{fmt.Sprintf("model %s has embeddings only, no towers to "+
			"refresh it with: load one with towers", active.Version)}
	}
	lake := cmp.Or(wanted.lake, active.Lake)
	if lake == "" {
		return answer.Refreshed{}, errors.New("refresh: lake is missing: name the bucket of the training runs; " +
			"later refreshes know it from the first")
	}
	run, err := publishedrun.Open(ctx, backend.Lake, lake, wanted.run)
	if err != nil {
		return answer.Refreshed{}, fmt.Errorf("refresh: %w", err)
	}
	tables := run.Manifest.Tables
	if err := backend.Memory.Check(int(tables.Products.Rows), int(tables.Customers.Rows)); err != nil {
		return answer.Refreshed{}, fmt.Errorf("refresh over run %s: %w", run.Manifest.RunID, err)
	}
	previous, err := h.fetch(ctx, backend, active.Version)
	if err != nil {
		return answer.Refreshed{}, err
	}
	defer previous.remove()
	base := previous
	if wanted.base != "" && wanted.base != active.Version {
		if base, err = h.fetch(ctx, backend, wanted.base); err != nil {
			return answer.Refreshed{}, err
		}
		defer base.remove()
	}
	folder, err := os.MkdirTemp("", "refreshed-")
	if err != nil {
		return answer.Refreshed{}, err
	}
	defer os.RemoveAll(folder)
	return h.follow(ctx, backend, run, base, previous, folder)
}

// follow makes the refreshed model in a folder and switches to it, unless a limit is broken.
func (h Handler) follow(ctx context.Context, backend Backend, run publishedrun.Run, base, previous fetched,
	folder string) (answer.Refreshed, error) {
	from := artifacts.Refresh{BaseModelVersion: base.Manifest.ModelVersion, RunID: run.Manifest.RunID,
		CreatedAt: run.Manifest.CreatedAt, Lake: run.Lake}
	if base.Manifest.Refresh != nil {
		from.BaseModelVersion = base.Manifest.Refresh.BaseModelVersion
	}
	serving := previous.Manifest.ModelVersion
	made, err := refresh.Make(ctx, folderOf(base), run, from, folder)
	if err != nil {
		return answer.Refreshed{}, fmt.Errorf("refresh over run %s: %w", from.RunID, err)
	}
	figures, err := refresh.Compare(made, os.DirFS(folder), folderOf(previous))
	if err != nil {
		return answer.Refreshed{}, err
	}
	told := answer.Refreshed{Version: made.Manifest.ModelVersion, Base: from.BaseModelVersion, Active: serving,
		RunID: from.RunID, Figures: figures, LeftOut: made.Left + made.LeftCustomers, Reasons: made.Reasons}
	breaches := backend.Limits.Check(figures)
	if figures.Unchanged && len(breaches) == 0 {
		told.Version, told.Note = serving, "the catalogue is unchanged"
		return told, backend.Store.Reflects(ctx, serving, embeddings.Run{ID: from.RunID, CreatedAt: from.CreatedAt,
			Lake: from.Lake})
	}
	model := described(made.Manifest, func(ctx context.Context) error {
		return backend.Bucket.Upload(ctx, backend.Keeper, made.Manifest.ModelVersion, os.DirFS(folder))
	})
	model.Over = serving
	activation := embeddings.Switch
	if len(breaches) > 0 {
		activation = embeddings.Beside
	}
	loaded, err := h.put(ctx, backend, folder, model, activation)
	if err != nil {
		return answer.Refreshed{}, err
	}
	told.Active, told.New, told.Note = loaded.Active, loaded.New, loaded.Note
	if len(breaches) > 0 && loaded.Active != told.Version {
		return answer.Refreshed{}, &LimitsBrokenError{Run: from.RunID, Active: loaded.Active, Waiting: told.Version,
			Breaches: breaches}
	}
	h.Logger.InfoContext(ctx, "model refreshed", slog.Any("result", told))
	return told, nil
}

func folderOf(model fetched) refresh.Folder {
	return refresh.Folder{Files: os.DirFS(model.folder), Manifest: model.Manifest}
}
