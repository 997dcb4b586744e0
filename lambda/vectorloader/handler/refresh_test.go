package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/local/postgres/postgrestest"
	"diecast/internal/models"
	"diecast/internal/models/modelstore"
	"diecast/internal/postgresclient"
	"diecast/internal/refresh"
	"diecast/internal/trainingset"
	"diecast/internal/trainingset/publishedrun"
	"diecast/internal/trainingset/publishedrun/publishedruntest"
	"diecast/internal/vectorloader"
	"diecast/internal/vectorloader/answer"
	"diecast/internal/vectorsize"
	shipped "diecast/training/artifacts"
)

const refreshRequest = `{"action":"refresh","lake":"` + publishedruntest.Bucket + `","by":"a test"}`

// deployed is a loader with the shipped model, and the run of the shop that this was trained on.
func deployed(t testing.TB) (loader, *publishedruntest.Set) {
	t.Helper()
	l := newLoader(t)
	_, version, err := shipped.Model()
	require.NoError(t, err)
	l.resource(t, "Create", version, "")
	return l, publishedruntest.Sample(t, 1, 0)
}

// exchange takes the first products away and adds others like the next ones.
func exchange(set *publishedruntest.Set, gone int, added ...string) (withdrawn []string) {
	products := set.Tables["products"]
	for _, row := range products[:gone] {
		withdrawn = append(withdrawn, row[0])
	}
	products = products[gone:]
	for i, code := range added {
		row := slices.Clone(products[i])
		row[0] = code
		products = append(products, row)
	}
	set.Tables["products"] = products
	return withdrawn
}

func (l loader) codes(t *testing.T) []string {
	t.Helper()
	rows, err := l.pool.Query(t.Context(), "SELECT id FROM vectors.item_emb")
	require.NoError(t, err)
	var codes []string
	for rows.Next() {
		var code string
		require.NoError(t, rows.Scan(&code))
		codes = append(codes, code)
	}
	require.NoError(t, rows.Err())
	return codes
}

func (l loader) status(t *testing.T) answer.Status {
	t.Helper()
	var status answer.Status
	require.NoError(t, l.call(t, `{"action":"status"}`, &status))
	return status
}

func TestRefreshFollowsTheCatalogue(t *testing.T) {
	l, set := deployed(t)
	base := l.activeVersion(t)
	withdrawn := exchange(set, 1, "NEW_1")[0]
	set.Publish(t, l.lake)
	l.Clock = func() time.Time { return set.CreatedAt.Add(5*time.Hour + time.Minute) }
	var done answer.Refreshed
	require.NoError(t, l.call(t, refreshRequest, &done))
	assert.Equal(t, base, done.Base)
	assert.Equal(t, done.Version, done.Active)
	assert.True(t, done.New)
	assert.Equal(t, []int{110, 109, 1, 1}, []int{done.Figures.Items, done.Figures.Kept, done.Figures.Added,
		done.Figures.Vanished})
	codes := l.codes(t)
	assert.Contains(t, codes, "NEW_1")
	assert.NotContains(t, codes, withdrawn)

	manifest, err := l.objects.Bucket().Manifest(t.Context(), done.Version)
	require.NoError(t, err, "inference reads tower and ranking there")
	assert.Equal(t, &artifacts.Refresh{BaseModelVersion: base, RunID: set.RunID, CreatedAt: set.CreatedAt,
		Lake: publishedruntest.Bucket}, manifest.Refresh)
	var ranked []string
	for _, product := range manifest.Popularity {
		ranked = append(ranked, product.ID)
	}
	assert.Contains(t, ranked, "NEW_1")
	assert.NotContains(t, ranked, withdrawn, "the fallback recommends what there is")

	status := l.status(t)
	assert.Equal(t, []string{done.Version, base, base, set.RunID}, []string{status.Active.Version,
		status.Active.Previous, status.Active.Base, status.Active.RunID})
	assert.Equal(t, 5, *status.RunAgeHours)
	assert.Equal(t, "a test", status.Moves[0].By)
	assert.Equal(t, "a deployment", status.Moves[1].By)
	assert.Contains(t, l.counts.String(), `"run_age_hours":5`)
}

func TestTheShippedModelAloneHasNoAge(t *testing.T) {
	l, _ := deployed(t)
	assert.Nil(t, l.status(t).RunAgeHours, "the sample's run is nobody's to renew")
	assert.NotContains(t, l.counts.String(), "run_age_hours")
}

func TestAnUnchangedCatalogueMakesNoNewVersion(t *testing.T) {
	l, set := deployed(t)
	base := l.activeVersion(t)
	set.Publish(t, l.lake)
	var done answer.Refreshed
	require.NoError(t, l.call(t, refreshRequest, &done))
	assert.Equal(t, []string{base, base}, []string{done.Version, done.Active})
	assert.True(t, done.Figures.Unchanged)
	assert.False(t, done.New)
	status := l.status(t)
	assert.Len(t, status.Versions, 1)
	assert.Equal(t, set.RunID, status.Active.RunID, "it is known to be of today")
	assert.NotNil(t, status.RunAgeHours)

	exchange(set, 1, "NEW_1")
	set.RunID = "second"
	set.Publish(t, l.lake)
	require.NoError(t, l.call(t, refreshRequest, &done))
	set.RunID, set.Files = "third", 3
	set.Publish(t, l.lake)
	first := done.Version
	done = answer.Refreshed{}
	require.NoError(t, l.call(t, `{"action":"refresh"}`, &done), "the lake is known")
	assert.Equal(t, first, done.Version)
	assert.False(t, done.New)
	status = l.status(t)
	assert.Len(t, status.Versions, 2)
	assert.Equal(t, "third", status.Active.RunID)
}

func TestEachThresholdStopsBeforeTheSwitch(t *testing.T) {
	for key, test := range map[string]struct {
		change func(*publishedruntest.Set)
		limits func(*refresh.Limits)
	}{
		"vectors.minCatalogueOverlap": {change: func(set *publishedruntest.Set) {
			exchange(set, 0, "no code", "no code", "no code")
		}},
		"vectors.minPreviousOverlap": {change: func(set *publishedruntest.Set) {
			for i := range 2 {
				var added []string
				for j := range 75 {
					added = append(added, fmt.Sprintf("NEW_%d_%d", i, j))
				}
				exchange(set, 0, added...)
			}
		}},
		"vectors.maxVanished": {change: func(set *publishedruntest.Set) { exchange(set, 23) }},
		"vectors.lengthTolerance": {change: func(set *publishedruntest.Set) { exchange(set, 1) },
			limits: func(l *refresh.Limits) { l.LengthError = 0 }},
	} {
		t.Run(key, func(t *testing.T) {
			l, set := deployed(t)
			base := l.activeVersion(t)
			backend := l.backend()
			if test.limits != nil {
				test.limits(&backend.Limits)
			}
			l.Open = func(context.Context) (Backend, error) { return backend, nil }
			test.change(set)
			set.Publish(t, l.lake)
			err := l.call(t, refreshRequest, nil)
			assert.Equal(t, vectorloader.LimitsBroken, errorType(err))
			require.ErrorContains(t, err, "stopped before the switch, model "+base+" still serves: ")
			require.ErrorContains(t, err, key)
			assert.Equal(t, 1, strings.Count(err.Error(), "(vectors."), "only that one: %v", err)
			assert.Equal(t, base, l.activeVersion(t))
			status := l.status(t)
			require.Len(t, status.Versions, 2, "it waits beside")
			waiting := status.Versions[0].Version
			require.ErrorContains(t, err, "model "+waiting+" waits beside")
			require.ErrorContains(t, l.call(t, refreshRequest, nil), key, "a second time, too")

			var active embeddings.Active
			require.NoError(t, l.call(t, `{"action":"approve","model_version":"`+waiting+`"}`, &active))
			assert.Equal(t, waiting, l.activeVersion(t))
		})
	}
}

func TestAnotherShopIsNotComparedWithTheSample(t *testing.T) {
	l, set := deployed(t)
	for i, row := range set.Tables["products"][15:] {
		row[0] = fmt.Sprintf("OWN_%d", i) // some codes are the same by chance
	}
	set.Publish(t, l.lake)
	var done answer.Refreshed
	require.NoError(t, l.call(t, refreshRequest, &done))
	assert.Equal(t, done.Version, done.Active)
	for i, row := range set.Tables["products"] {
		row[0] = fmt.Sprintf("OTHER_%d", i)
	}
	set.Publish(t, l.lake)
	require.ErrorContains(t, l.call(t, refreshRequest, nil), "vectors.maxVanished", "but with its own products it is")
}

func TestBadRunsLeaveTheActiveModel(t *testing.T) {
	for name, test := range map[string]struct {
		change           func(*publishedruntest.Set)
		request, message string
	}{
		"no products": {func(set *publishedruntest.Set) { set.Tables["products"] = nil }, refreshRequest,
			"no products"},
		"a duplicate": {func(set *publishedruntest.Set) { exchange(set, 0, "TWICE", "TWICE") }, refreshRequest,
			"row 112: id TWICE is already in"},
		"another run": {nil, `{"action":"refresh","lake":"lake","run":"old"}`, "is published, not old"},
		"no lake":     {nil, `{"action":"refresh"}`, "lake is missing"},
		"no bucket":   {nil, `{"action":"refresh","lake":"mine"}`, "s3://mine/"},
		"a name in a novel": {nil, `{"action":"refresh","by":"` + strings.Repeat("x", 101) + `"}`,
			"more than 100 characters"},
		"a price that is NaN": {func(set *publishedruntest.Set) { set.Tables["products"][0][6] = "NaN" },
			refreshRequest, `products/part-00000.csv, row 1: buyPrice "NaN"`},
	} {
		t.Run(name, func(t *testing.T) {
			l, set := deployed(t)
			base := l.activeVersion(t)
			if test.change != nil {
				test.change(set)
			}
			set.Publish(t, l.lake)
			require.ErrorContains(t, l.call(t, test.request, nil), test.message)
			assert.Equal(t, base, l.activeVersion(t))
			assert.Len(t, l.status(t).Versions, 1)
		})
	}
}

// What does not fit is refused before anything is read.
func TestMoreThanTheMemoryHoldsIsRefused(t *testing.T) {
	l, set := deployed(t)
	base := l.activeVersion(t)
	trained := l.put(t, 1, artifacts.Trained)
	exchange(set, 1, "NEW_1")
	set.Publish(t, l.lake)
	backend := l.backend()
	l.Open = func(context.Context) (Backend, error) { return backend, nil }
	for key, memory := range map[string]vectorsize.Memory{
		"vectors.loaderMemoryMiB": {DatabaseMiB: 1024, FunctionMiB: 64},
		"vectors.instanceClass":   {DatabaseMiB: 0, FunctionMiB: 512},
	} {
		backend.Memory = memory
		for _, request := range []string{refreshRequest, `{"action":"load","model_version":"` + trained + `"}`} {
			require.ErrorContains(t, l.call(t, request, nil), "set "+key, request)
		}
	}
	assert.Equal(t, base, l.activeVersion(t))
	assert.Len(t, l.status(t).Versions, 1)
}

// errorType is how Lambda names an error's type, by which the state machine tells it.
func errorType(err error) string { return reflect.TypeOf(err).Elem().Name() }

func TestWhereNothingCanBeRefreshedTheErrorIsOfThatType(t *testing.T) {
	l := newLoader(t)
	l.resource(t, "Create", "", "")
	err := l.call(t, refreshRequest, nil)
	require.ErrorContains(t, err, "no active model: load one with towers first")
	assert.Equal(t, vectorloader.NothingToRefresh, errorType(err))
	l.resource(t, "Update", l.put(t, 1, artifacts.Shipped), "")
	publishedruntest.Sample(t, 0.1, 0).Publish(t, l.lake)
	err = l.call(t, refreshRequest, nil)
	require.ErrorContains(t, err, "has embeddings only, no towers to refresh it with")
	assert.Equal(t, vectorloader.NothingToRefresh, errorType(err))
}

func TestTwoRefreshesAtOnceMakeOneVersion(t *testing.T) {
	l, set := deployed(t)
	exchange(set, 1, "NEW_1")
	set.Publish(t, l.lake)
	var group sync.WaitGroup
	answers, errs := make([]answer.Refreshed, 4), make([]error, 4)
	for i := range answers {
		group.Go(func() { errs[i] = l.call(t, refreshRequest, &answers[i]) })
	}
	group.Wait()
	for i := range answers {
		require.NoError(t, errs[i])
		assert.Equal(t, l.activeVersion(t), answers[i].Active)
	}
	assert.Len(t, l.status(t).Versions, 2)
	assert.Len(t, l.status(t).Moves, 2, "the deployment's and one more")
}

// Of two refreshes over different runs the later run serves, whoever is faster.
func TestARefreshThatWasOvertakenBeginsAnew(t *testing.T) {
	l, set := deployed(t)
	exchange(set, 1, "NEW_1")
	set.RunID = "first"
	set.Publish(t, l.lake)
	overtaken := sync.OnceFunc(func() {
		exchange(set, 0, "NEW_2")
		set.RunID = "second"
		set.Publish(t, l.lake)
		var done answer.Refreshed
		require.NoError(t, l.call(t, refreshRequest, &done))
	})
	slow := l
	slow.Open = func(context.Context) (Backend, error) {
		backend := l.backend()
		backend.Lake = lakeThat{l.lake, func(key string) error {
			if strings.Contains(key, "/customers/") {
				overtaken()
			}
			return nil
		}}
		return backend, nil
	}
	var done answer.Refreshed
	require.NoError(t, slow.call(t, refreshRequest, &done))
	assert.Equal(t, "second", done.RunID)
	assert.Subset(t, l.codes(t), []string{"NEW_1", "NEW_2"})
}

// lakeThat hears of every object that is read, and may fail.
type lakeThat struct {
	publishedrun.Getter
	before func(key string) error
}

func (l lakeThat) GetObject(ctx context.Context, input *s3.GetObjectInput, options ...func(*s3.Options)) (
	*s3.GetObjectOutput, error) {
	if err := l.before(*input.Key); err != nil {
		return nil, err
	}
	return l.Getter.GetObject(ctx, input, options...)
}

// keeperThat hears of every object that is written, and may fail.
type keeperThat struct {
	modelstore.Keeper
	before func(key string) error
}

func (k keeperThat) PutObject(ctx context.Context, input *s3.PutObjectInput, options ...func(*s3.Options)) (
	*s3.PutObjectOutput, error) {
	if err := k.before(*input.Key); err != nil {
		return nil, err
	}
	return k.Keeper.PutObject(ctx, input, options...)
}

// Each object that is read or written is where a refresh may die. Until it is done the active model
// serves, with all its files, and the next refresh does what this one did not.
func TestARefreshThatDiesAnywhereLeavesTheActiveModel(t *testing.T) {
	l, set := deployed(t)
	exchange(set, 1, "NEW_1")
	set.Publish(t, l.lake)
	base := l.activeVersion(t)
	died := errors.New("killed")
	for step := int64(1); ; step++ {
		ctx, kill := context.WithCancel(t.Context())
		var count atomic.Int64
		die := func(string) error {
			if count.Add(1) == step {
				kill()
				return died
			}
			return nil
		}
		dying := l
		dying.Open = func(context.Context) (Backend, error) {
			backend := l.backend()
			backend.Lake, backend.Keeper = lakeThat{l.lake, die}, keeperThat{l.objects, die}
			return backend, nil
		}
		_, err := dying.Handle(ctx, json.RawMessage(refreshRequest))
		kill()
		if count.Load() < step {
			require.NoError(t, err)
			require.GreaterOrEqual(t, step, int64(12), "pointer, manifest, three tables, and eight files are steps")
			break
		}
		require.ErrorIs(t, err, died, "step %d", step)
		require.Equal(t, base, l.activeVersion(t), "step %d", step)
		require.Len(t, l.status(t).Versions, 1, "step %d", step)
		_, err = l.objects.Bucket().Manifest(t.Context(), base)
		require.NoError(t, err)
	}
	assert.Contains(t, l.codes(t), "NEW_1")
}

// mortal is a store whose connections end without a word after a number of messages to the server,
// as they do when the process is killed.
func mortal(t *testing.T, database string, messages int64) *embeddings.Store {
	t.Helper()
	settings, err := postgresclient.Pool(postgrestest.Cluster(t).DSN(database))
	require.NoError(t, err)
	var left atomic.Int64
	left.Store(messages)
	settings.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if left.Load() <= 0 {
			return nil, errKilled
		}
		connection, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &mortalConn{connection, &left}, err
	}
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), settings)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return embeddings.NewStore(pool)
}

var errKilled = errors.New("killed")

type mortalConn struct {
	net.Conn
	left *atomic.Int64
}

func (c *mortalConn) Write(b []byte) (int, error) {
	if c.left.Add(-1) < 0 {
		_ = c.Close()
		return 0, errKilled
	}
	return c.Conn.Write(b)
}

// Whatever message to the database is the last one: before the commit the active model serves as if
// nothing had been, after it the new one does, with its folder.
func TestARefreshWhoseDatabaseIsGoneAnywhereIsWholeOrNothing(t *testing.T) {
	l, _ := deployed(t)
	base := l.activeVersion(t)
	publishedruntest.Sample(t, 0.1, 0).Publish(t, l.lake)
	var database string
	require.NoError(t, l.pool.QueryRow(t.Context(), "SELECT current_database()").Scan(&database))
	died := 0
	for step := int64(1); ; step++ {
		dying := l
		dying.Open = func(context.Context) (Backend, error) {
			backend := l.backend()
			backend.Store, backend.Limits.Vanished = mortal(t, database, step), 1
			return backend, nil
		}
		told, err := dying.Handle(t.Context(), json.RawMessage(refreshRequest))
		active := l.activeVersion(t)
		_, missing := l.objects.Bucket().Manifest(t.Context(), active)
		require.NoError(t, missing, "step %d", step)
		if active != base {
			assert.Greater(t, died, 15, "steps of a refresh before its commit")
			if err == nil {
				assert.Equal(t, active, told.(answer.Refreshed).Active)
			}
			return
		}
		require.Error(t, err, "step %d", step)
		require.Len(t, l.status(t).Versions, 1, "step %d", step)
		died++
	}
}

// variant is the shipped model with one file more: the towers of another release.
func variant(t *testing.T, l loader, note string) string {
	t.Helper()
	folder := t.TempDir()
	original, _, err := shipped.Model()
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(folder, original))
	require.NoError(t, os.WriteFile(folder+"/scalers/note.json", []byte(note), 0o600))
	text, err := fs.ReadFile(original, artifacts.ManifestName)
	require.NoError(t, err)
	manifest, err := artifacts.DecodeManifest(text)
	require.NoError(t, err)
	manifest.Files["scalers/note.json"], err = artifacts.Describe(os.DirFS(folder), "scalers/note.json")
	require.NoError(t, err)
	manifest.ModelVersion = artifacts.Version(manifest.Files)
	return l.objects.Put(t, os.DirFS(folder), manifest)
}

func TestANewlyShippedModelIsRefreshedFirst(t *testing.T) {
	l, set := deployed(t)
	old := l.activeVersion(t)
	withdrawn := exchange(set, 1, "NEW_1")[0]
	set.Publish(t, l.lake)
	var done answer.Refreshed
	require.NoError(t, l.call(t, refreshRequest, &done))
	assert.Equal(t, done.Version, l.resource(t, "Update", old, "").Data["ModelVersion"],
		"the towers that it has already change nothing")
	next := variant(t, l, `"next"`)
	active := l.resource(t, "Update", next, old).Data["ModelVersion"]
	assert.NotContains(t, []string{next, old, done.Version}, active)
	assert.Equal(t, next, l.status(t).Active.Base)
	codes := l.codes(t)
	assert.Contains(t, codes, "NEW_1")
	assert.NotContains(t, codes, withdrawn)
	assert.Equal(t, active, l.resource(t, "Update", next, next).Data["ModelVersion"], "something else has changed")
	assert.Len(t, l.status(t).Versions, 3, "neither of them is loaded for nothing")
	assert.Equal(t, done.Version, l.resource(t, "Update", old, next).Data["ModelVersion"],
		"a failed update is rolled back")
}

func TestANewlyShippedModelThatCannotFollowWaitsBeside(t *testing.T) {
	l, set := deployed(t)
	old := l.activeVersion(t)
	exchange(set, 1, "NEW_1")
	set.Publish(t, l.lake)
	var done answer.Refreshed
	require.NoError(t, l.call(t, refreshRequest, &done))
	l.lake.Put(trainingset.Prefix+"/"+trainingset.PublishedName, []byte("{}"))
	next := variant(t, l, `"next"`)
	assert.Equal(t, done.Version, l.resource(t, "Update", next, old).Data["ModelVersion"])
	assert.Contains(t, l.codes(t), "NEW_1")
	var loaded embeddings.Loaded
	require.NoError(t, l.call(t, `{"action":"load","model_version":"`+next+`","activate":true}`, &loaded))
	assert.False(t, loaded.New, "it waits")
	assert.Contains(t, loaded.Note, "follows the catalogue")
}

func TestOldRefreshedFoldersArePruned(t *testing.T) {
	l, set := deployed(t)
	base := l.activeVersion(t)
	trained := l.put(t, 1, artifacts.Trained) // somebody's, in the bucket only
	var made []string
	for i := range 6 {
		exchange(set, 0, fmt.Sprintf("NEW_%d", i))
		set.RunID = fmt.Sprintf("run-%d", i)
		set.Publish(t, l.lake)
		var done answer.Refreshed
		require.NoError(t, l.call(t, refreshRequest, &done))
		made = append(made, done.Version)
	}
	folders, err := l.objects.Bucket().Versions(t.Context(), l.objects)
	require.NoError(t, err)
	assert.ElementsMatch(t, append([]string{base, trained}, made[2:]...), folders,
		"the active one, the previous one and two more; what was not refreshed stays")

	var active embeddings.Active
	require.ErrorContains(t, l.call(t, `{"action":"approve","model_version":"`+made[0]+`"}`, &active), "does not exist")
	require.NoError(t, l.call(t, `{"action":"rollback"}`, &active))
	assert.Equal(t, made[4], active.Version)
}

// What a refresh left when it died goes after a day; what a person is copying stays.
func TestAStrayRefreshedFolderGoesAfterADay(t *testing.T) {
	l, set := deployed(t)
	exchange(set, 1, "NEW_1")
	set.Publish(t, l.lake)
	var done answer.Refreshed
	require.NoError(t, l.call(t, refreshRequest, &done))
	manifest, err := l.objects.Bucket().Manifest(t.Context(), done.Version)
	require.NoError(t, err)
	manifest.Files["scalers/note.json"] = manifest.Files["scalers/user.json"]
	manifest.ModelVersion = artifacts.Version(manifest.Files)
	text, err := manifest.Encode()
	require.NoError(t, err)
	stray := manifest.ModelVersion
	l.objects.Change(stray, artifacts.ManifestName, text)
	var active embeddings.Active
	approve := `{"action":"approve","model_version":"` + done.Version + `"}`
	require.NoError(t, l.call(t, approve, &active))
	folders, err := l.objects.Bucket().Versions(t.Context(), l.objects)
	require.NoError(t, err)
	assert.Contains(t, folders, stray)
	l.objects.Age(stray, 25*time.Hour)
	require.NoError(t, l.call(t, approve, &active))
	folders, err = l.objects.Bucket().Versions(t.Context(), l.objects)
	require.NoError(t, err)
	assert.NotContains(t, folders, stray)
	assert.Contains(t, folders, done.Version)
}

// A hundred switches and rollbacks while others ask: every answer is of one model, and each comes.
func TestAHundredSwitchesUnderLoad(t *testing.T) {
	l, set := deployed(t)
	base := l.activeVersion(t)
	exchange(set, 20, "NEW_1")
	set.Publish(t, l.lake)
	var done answer.Refreshed
	require.NoError(t, l.call(t, refreshRequest, &done))
	codesOf := map[string][]string{done.Version: l.codes(t)}
	var active embeddings.Active
	require.NoError(t, l.call(t, `{"action":"rollback"}`, &active))
	codesOf[base] = l.codes(t)

	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var asked, mixed, failed atomic.Int64
	vector := make(embeddings.Vector, models.Dimension)
	vector[0] = 1
	for range 3 {
		group.Go(func() {
			version := base
			for ctx.Err() == nil {
				found, err := l.store.Nearest(context.WithoutCancel(ctx), embeddings.Query{Version: version,
					Users: []embeddings.User{{Vector: vector}}, ItemsPerUser: 200})
				var moved *embeddings.MovedError
				switch {
				case errors.As(err, &moved):
					version = moved.Active
					continue
				case err != nil:
					failed.Add(1)
					continue
				}
				asked.Add(1)
				if len(found.Users[0]) != len(codesOf[version]) {
					mixed.Add(1)
				}
				for _, item := range found.Users[0] {
					if !slices.Contains(codesOf[version], item.ID) {
						mixed.Add(1)
					}
				}
			}
		})
	}
	for i := range 100 {
		request := `{"action":"rollback"}`
		if i%2 == 1 {
			request = `{"action":"approve","model_version":"` + []string{base, done.Version}[i/2%2] + `"}`
		}
		require.NoError(t, l.call(t, request, &active))
	}
	stop()
	group.Wait()
	assert.Positive(t, asked.Load())
	assert.Zero(t, mixed.Load(), "answers that mix versions")
	assert.Zero(t, failed.Load(), "failed readers")
}
