package embeddings

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/models"
	"diecast/sql"
)

var madeAt = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

// following is a model of the shipped towers over the catalogue of a run.
func following(version string, seed uint64, run string) Model {
	model := small(version, seed)
	model.Origin, model.Base, model.Run = Shipped, one, Run{ID: run, CreatedAt: madeAt, Lake: "lake"}
	return model
}

func TestASchemaOfTheFirstVersionIsUpgradedWithWhatItHolds(t *testing.T) {
	store, master, _ := migrated(t)
	load(t, store, small(one, 1), Switch)
	run(t, master, "DROP TABLE vectors.switches",
		`ALTER TABLE vectors.versions DROP COLUMN base_version, DROP COLUMN run_id, DROP COLUMN run_created_at,
		DROP COLUMN lake`, "UPDATE vectors.schema_version SET version = 1")
	version, err := store.Migrate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, sql.VectorSchemaVersion, version)
	status, err := store.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, one, status.Active.Version)
	assert.Nil(t, status.Active.RunCreatedAt)
	assert.Empty(t, status.Moves)
	load(t, store, small(two, 2), Switch)
}

func TestStatusTellsWhoSwitchedWhen(t *testing.T) {
	store, _, _ := migrated(t)
	load(t, store.As("the deployment"), small(one, 1), Switch)
	load(t, store.As("the state machine"), small(two, 2), Switch)
	load(t, store.As("nobody"), small(three, 3), Beside)
	_, err := store.As("ada").Rollback(t.Context())
	require.NoError(t, err)
	_, err = store.As("bob").Activate(t.Context(), three)
	require.NoError(t, err)
	_, err = store.As("bob again").Activate(t.Context(), three)
	require.NoError(t, err)
	status, err := store.Status(t.Context())
	require.NoError(t, err)
	type move struct{ to, from, by string }
	var moves []move
	for _, one := range status.Moves {
		assert.WithinDuration(t, time.Now(), one.At, time.Minute)
		moves = append(moves, move{one.Version, one.Previous, one.By})
	}
	assert.Equal(t, []move{{three, one, "bob"}, {one, two, "ada"}, {two, one, "the state machine"},
		{one, "", "the deployment"}}, moves)
}

// A deployment's model has the sample's products: it never takes the place of one that follows the
// catalogue.
func TestAShippedModelWaitsBesideOneThatFollowsTheCatalogue(t *testing.T) {
	store, _, _ := migrated(t)
	shipped := small(one, 1)
	shipped.Origin = Shipped
	load(t, store, shipped, Switch)
	assert.Equal(t, two, load(t, store, following(two, 2, "run-1"), Switch).Active)
	next := small(three, 3)
	next.Origin = Shipped
	loaded := load(t, store, next, Switch)
	assert.Equal(t, two, loaded.Active)
	assert.Contains(t, loaded.Note, "follows the catalogue of run run-1")
	assert.True(t, loaded.New, "it waits beside")
	active, err := store.Active(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{one, "run-1", "lake"}, []string{active.Base, active.RunID, active.Lake})
	assert.Equal(t, madeAt, active.RunCreatedAt.UTC())
	_, err = store.Activate(t.Context(), three)
	require.NoError(t, err, "a person may")
}

// What was made to follow one model never takes the place of another.
func TestAModelOverAnotherThanTheActiveOneIsRefused(t *testing.T) {
	store, _, _ := migrated(t)
	shipped := small(one, 1)
	shipped.Origin = Shipped
	load(t, store, shipped, Switch)
	refreshed := following(two, 2, "run-1")
	refreshed.Over = three
	_, err := store.Load(t.Context(), refreshed, Switch)
	var moved *MovedError
	require.ErrorAs(t, err, &moved)
	assert.Equal(t, MovedError{Asked: three, Active: one}, *moved)
	status, err := store.Status(t.Context())
	require.NoError(t, err)
	assert.Len(t, status.Versions, 1)

	refreshed = following(two, 2, "run-1")
	refreshed.Over = one
	assert.Equal(t, two, load(t, store, refreshed, Switch).Active)
	refreshed = following(two, 2, "run-2")
	refreshed.Over = one
	loaded := load(t, store, refreshed, Switch)
	assert.False(t, loaded.New, "two made the same")
	active, err := store.Active(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "run-2", active.RunID)
}

func TestALoadThatIsNotConfirmedIsUndone(t *testing.T) {
	store, master, _ := migrated(t)
	load(t, store, small(one, 1), Switch)
	refused := errors.New("its folder is gone")
	next := small(two, 2)
	next.Confirm = func(context.Context) error { return refused }
	_, err := store.Load(t.Context(), next, Switch)
	require.ErrorIs(t, err, refused)
	active, err := store.Active(t.Context())
	require.NoError(t, err)
	assert.Equal(t, one, active.Version)
	assert.Zero(t, number(t, master, "SELECT count(*) FROM pg_class WHERE relname LIKE '%"+two+"'"), "nothing is left")
}

func TestWhatStillReflectsARunIsNoted(t *testing.T) {
	store, _, _ := migrated(t)
	load(t, store, following(two, 2, "run-1"), Switch)
	later := Run{ID: "run-2", CreatedAt: madeAt.Add(time.Hour), Lake: "lake"}
	require.NoError(t, store.Reflects(t.Context(), two, later))
	active, err := store.Active(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{one, "run-2"}, []string{active.Base, active.RunID})
	assert.Equal(t, madeAt.Add(time.Hour), active.RunCreatedAt.UTC())
}

func TestNothingChangesWhileTheStoreIsHeld(t *testing.T) {
	store, _, _ := migrated(t)
	load(t, store, small(one, 1), Switch)
	begun, ended := make(chan struct{}), make(chan error, 1)
	require.NoError(t, store.Hold(t.Context(), func(_ context.Context, versions []Version) error {
		assert.Len(t, versions, 1)
		go func() {
			close(begun)
			_, err := store.Load(context.WithoutCancel(t.Context()), small(two, 2), Switch)
			ended <- err
		}()
		<-begun
		active, err := store.Active(t.Context())
		assert.Equal(t, one, active.Version)
		assert.Empty(t, ended)
		return err
	}))
	require.NoError(t, <-ended)
}

func TestStatusSaysWhyManyItemsHaveNoIndex(t *testing.T) {
	for name, test := range map[string]struct {
		version   Version
		extension string
		note      string
	}{
		"an extension that is too old": {Version{Search: exact, Items: models.IndexedItems, State: StateLoaded},
			"0.8.0", "exact although it has 10000 items: pgvector 0.8.0 builds no sound index, 0.8.4 does; raise " +
				"vectors.engineVersion"},
		"one that was raised since": {Version{Search: exact, Items: models.IndexedItems, State: StateLoaded}, "0.8.4",
			"it was loaded before pgvector 0.8.4, load it again"},
		"few items":     {Version{Search: exact, Items: models.IndexedItems - 1, State: StateLoaded}, "0.8.0", ""},
		"an index":      {Version{Search: hnsw, Items: models.IndexedItems, State: StateLoaded}, "0.8.4", ""},
		"nothing there": {Version{Search: exact, Items: models.IndexedItems, State: Retired}, "0.8.0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.version.noteSearch(test.extension)
			if test.note == "" {
				assert.Empty(t, test.version.SearchNote)
			} else {
				assert.Contains(t, test.version.SearchNote, test.note)
			}
		})
	}
}
