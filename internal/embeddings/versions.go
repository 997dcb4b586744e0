package embeddings

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"diecast/internal/models"
	"diecast/sql"
)

// ErrNoActiveModel says that the store has no model to answer with, yet.
var ErrNoActiveModel = errors.New("no active model")

// keptVersions is how many loaded models stay beside the active one and the one to go back to.
const keptVersions = 2

// lockTimeout bounds how long the removal of an old model may hold up readers.
const lockTimeout = "3s"

// State of a version.
type State string

const (
	// StateLoaded versions have their embeddings in the store.
	StateLoaded State = "loaded"
	// Rejected versions were refused by a person and will not be loaded again.
	Rejected State = "rejected"
	// Retired versions are old; their embeddings are gone and can be loaded again.
	Retired State = "retired"
)

// How the items of a version are searched.
const (
	exact = "exact"
	hnsw  = "hnsw"
)

// Version is one model that was ever loaded.
type Version struct {
	Version  string    `json:"model_version"`
	Origin   Origin    `json:"origin"`
	State    State     `json:"state"`
	Towers   bool      `json:"towers"`
	Search   string    `json:"search"` // exact or hnsw
	Items    int       `json:"items"`
	Users    int       `json:"users"`
	Reason   string    `json:"reason,omitempty"` // of a rejection
	LoadedAt time.Time `json:"loaded_at"`
	// Base is the model whose towers a refreshed one has.
	Base string `json:"base_model_version,omitempty"`
	// RunID and RunCreatedAt are the run whose catalogue the model was last seen to have, in the
	// bucket Lake; a model that only training knows has no Lake.
	RunID        string     `json:"run_id,omitempty"`
	RunCreatedAt *time.Time `json:"run_created_at,omitempty"`
	Lake         string     `json:"lake,omitempty"`
	// SearchNote says why there is no index although there are many items.
	SearchNote string `json:"search_note,omitempty" db:"-"`
}

// Active is the pointer's row.
type Active struct {
	Version    string    `json:"model_version"`
	Previous   string    `json:"previous_version,omitempty"` // the one that Rollback goes back to
	Origin     Origin    `json:"origin"`
	Towers     bool      `json:"towers"`
	SwitchedAt time.Time `json:"switched_at"`
	// The rest is documented with Version.
	Base         string     `json:"base_model_version,omitempty"`
	RunID        string     `json:"run_id,omitempty"`
	RunCreatedAt *time.Time `json:"run_created_at,omitempty"`
	Lake         string     `json:"lake,omitempty"`
}

// Move is one move of the pointer.
type Move struct {
	Version  string    `json:"model_version"`
	Previous string    `json:"previous_version,omitempty"`
	At       time.Time `json:"switched_at"`
	// By is who asked for it, by their own account.
	By string `json:"switched_by"`
}

// Status is the whole state of the store.
type Status struct {
	SchemaVersion int       `json:"schema_version"` // 0 before Migrate
	Active        *Active   `json:"active"`
	Versions      []Version `json:"versions"` // newest first
	// Extension is the version of pgvector.
	Extension string `json:"pgvector,omitempty"`
	// Moves are the latest moves of the pointer, the newest first, at most 10.
	Moves []Move `json:"moves"`
}

// shownMoves is how many moves a Status has at most.
const shownMoves = 10

// Status reads the state of the store; an empty database has one, too.
func (s *Store) Status(ctx context.Context) (Status, error) {
	status := Status{Versions: []Version{}, Moves: []Move{}}
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		var err error
		if status.SchemaVersion, err = deployedSchema(ctx, tx); err != nil || status.SchemaVersion == 0 {
			return err
		}
		now, err := active(ctx, tx)
		if err != nil {
			return err
		}
		if now.Version != "" {
			status.Active = &now
		}
		rows, err := tx.Query(ctx, sql.Versions)
		if err != nil {
			return err
		}
		if status.Versions, err = pgx.AppendRows(status.Versions, rows, pgx.RowToStructByPos[Version]); err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, sql.Switches, shownMoves); err != nil {
			return err
		}
		if status.Moves, err = pgx.AppendRows(status.Moves, rows, pgx.RowToStructByPos[Move]); err != nil {
			return err
		}
		status.Extension, err = extensionVersion(ctx, tx)
		return err
	})
	for i := range status.Versions {
		status.Versions[i].noteSearch(status.Extension)
	}
	if err != nil {
		return Status{}, fmt.Errorf("read the vector store's status: %w", err)
	}
	return status, nil
}

// noteSearch says why a version that would have an index has none.
func (v *Version) noteSearch(extension string) {
	if v.Search != exact || v.Items < models.IndexedItems || v.State != StateLoaded {
		return
	}
	if indexes(extension) {
		v.SearchNote = fmt.Sprintf("exact although it has %d items: it was loaded before pgvector %s, load it again "+
			"for an index", v.Items, extension)
		return
	}
	v.SearchNote = fmt.Sprintf("exact although it has %d items: pgvector %s builds no sound index, %s does; raise "+
		"vectors.engineVersion", v.Items, extension, strings.TrimPrefix(indexVersion, "v"))
}

// Unindexed is how many items of the active model are compared with one by one, because they have
// no index; 0 without a model.
func (s Status) Unindexed() int {
	for _, one := range s.Versions {
		if s.Active != nil && one.Version == s.Active.Version && one.Search == exact {
			return one.Items
		}
	}
	return 0
}

// Active returns the active model, or ErrNoActiveModel, also for a store that has no schema yet.
func (s *Store) Active(ctx context.Context) (Active, error) {
	var now Active
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		var exists bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass('vectors.active') IS NOT NULL").Scan(&exists); err != nil ||
			!exists {
			return err
		}
		var err error
		now, err = active(ctx, tx)
		return err
	})
	if err != nil {
		return Active{}, fmt.Errorf("read the active model: %w", err)
	}
	if now.Version == "" {
		return Active{}, ErrNoActiveModel
	}
	return now, nil
}

func (s *Store) snapshot(ctx context.Context, read func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, read)
}

// Activate switches to a loaded version. It is an error where that is not loaded; where it is
// active nothing happens.
func (s *Store) Activate(ctx context.Context, wanted string) (Active, error) {
	return s.move(ctx, "switch to model "+wanted, func(tx pgx.Tx) error {
		if err := models.CheckVersion(wanted); err != nil {
			return err
		}
		found, err := version(ctx, tx, wanted)
		if err != nil {
			return err
		}
		if found.State != StateLoaded {
			return notLoaded(found)
		}
		_, err = tx.Exec(ctx, sql.Activate, wanted, s.by)
		return err
	})
}

// Rollback switches to the previously active version; a second one undoes the first.
func (s *Store) Rollback(ctx context.Context) (Active, error) {
	return s.move(ctx, "go back to the previous model", func(tx pgx.Tx) error {
		changed, err := tx.Exec(ctx, sql.Rollback, s.by)
		if err == nil && changed.RowsAffected() == 0 {
			return errors.New("there is none")
		}
		return err
	})
}

// move changes the pointer and returns what it is then.
func (s *Store) move(ctx context.Context, what string, change func(pgx.Tx) error) (Active, error) {
	var now Active
	err := s.changeAsOwner(ctx, func(tx pgx.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		var err error
		now, err = active(ctx, tx)
		return err
	})
	if err != nil {
		return Active{}, fmt.Errorf("%s: %w", what, err)
	}
	return now, nil
}

// Reflects notes that a version still is what a run's catalogue makes of its towers.
func (s *Store) Reflects(ctx context.Context, wanted string, run Run) error {
	err := s.changeAsOwner(ctx, func(tx pgx.Tx) error {
		known, err := version(ctx, tx, wanted)
		if err != nil {
			return err
		}
		return setRun(ctx, tx, wanted, known.Base, run)
	})
	if err != nil {
		return fmt.Errorf("note the run of model %s: %w", wanted, err)
	}
	return nil
}

// Hold runs a function while no change of the store is under way, with the versions that are there
// then.
func (s *Store) Hold(ctx context.Context, do func(context.Context, []Version) error) error {
	return s.changeAsOwner(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql.Versions)
		if err != nil {
			return err
		}
		versions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Version])
		if err != nil {
			return err
		}
		return do(ctx, versions)
	})
}

// Reject removes a version's embeddings and remembers why, so that it is not loaded again. The
// active version and the one to go back to are refused.
func (s *Store) Reject(ctx context.Context, wanted, reason string) error {
	err := s.changeAsOwner(ctx, func(tx pgx.Tx) error {
		if err := models.CheckVersion(wanted); err != nil {
			return err
		}
		found, err := version(ctx, tx, wanted)
		if err != nil {
			return err
		}
		if found.State == Rejected {
			return nil
		}
		if found.Version == "" {
			return notLoaded(found)
		}
		changed, err := tx.Exec(ctx, sql.SetState, wanted, Rejected, reason)
		if err != nil {
			return err
		}
		if changed.RowsAffected() == 0 {
			return errors.New("it is the active model or the one to go back to: switch to another one first")
		}
		return remove(ctx, tx, found)
	})
	if err != nil {
		return fmt.Errorf("reject model %s: %w", wanted, err)
	}
	return nil
}

// Retire removes the embeddings of old versions, and returns which: it keeps the active one, the
// one to go back to, and the two newest others.
func (s *Store) Retire(ctx context.Context) ([]string, error) {
	var retired []string
	err := s.changeAsOwner(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql.Surplus, keptVersions)
		if err != nil {
			return err
		}
		if retired, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		for _, surplus := range retired {
			if _, err := tx.Exec(ctx, sql.SetState, surplus, Retired, ""); err != nil {
				return err
			}
			if err := remove(ctx, tx, Version{Version: surplus, State: StateLoaded}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("retire old models: %w", err)
	}
	return retired, nil
}

// remove drops the embeddings that a version has. It waits a short time only: everybody who reads
// waits behind it.
func remove(ctx context.Context, tx pgx.Tx, old Version) error {
	if old.State != StateLoaded {
		return nil
	}
	return execute(ctx, tx,
		"SET LOCAL lock_timeout = '"+lockTimeout+"'",
		"DROP TABLE "+partition{parent: "item_embeddings", version: old.Version}.name(),
		"DROP TABLE "+partition{parent: "user_embeddings", version: old.Version}.name())
}

// version reads one version; an unknown one has no State.
func version(ctx context.Context, tx pgx.Tx, wanted string) (Version, error) {
	rows, err := tx.Query(ctx, sql.Version, wanted)
	if err != nil {
		return Version{}, fmt.Errorf("read version %s: %w", wanted, err)
	}
	found, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[Version])
	if errors.Is(err, pgx.ErrNoRows) {
		return Version{}, nil
	}
	if err != nil {
		return Version{}, fmt.Errorf("read version %s: %w", wanted, err)
	}
	return found, nil
}

// active reads the pointer; without an active model the result has no Version.
func active(ctx context.Context, tx pgx.Tx) (Active, error) {
	rows, err := tx.Query(ctx, sql.Active)
	if err != nil {
		return Active{}, fmt.Errorf("read the active model: %w", err)
	}
	now, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[Active])
	if errors.Is(err, pgx.ErrNoRows) {
		return Active{}, nil
	}
	if err != nil {
		return Active{}, fmt.Errorf("read the active model: %w", err)
	}
	return now, nil
}

func notLoaded(found Version) error {
	switch found.State {
	case Rejected:
		return fmt.Errorf("it was rejected: %s", found.Reason)
	case Retired:
		return errors.New("it is old and its embeddings were removed: load it again")
	}
	return errors.New("it is not in the vector store: load it first")
}
