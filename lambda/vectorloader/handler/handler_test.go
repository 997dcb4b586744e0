package handler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/awsdb"
	"diecast/internal/awsdb/awsdbtest"
	"diecast/internal/embeddings"
	"diecast/internal/local/postgres/postgrestest"
	"diecast/internal/metrics"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/postgresclient"
	"diecast/internal/refresh"
	"diecast/internal/sqlquery"
	"diecast/internal/trainingset/publishedrun/publishedruntest"
	"diecast/internal/vectorsize"
	"diecast/sql"
	shipped "diecast/training/artifacts"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Run(m)) }

// loader works on a database and a bucket of its own.
type loader struct {
	Handler
	objects *modelstoretest.Objects
	lake    *publishedruntest.Lake
	store   *embeddings.Store
	pool    *pgxpool.Pool
	// counts are the lines that it wrote.
	counts *bytes.Buffer
}

func newLoader(t testing.TB) loader {
	t.Helper()
	settings, err := postgresclient.Pool(postgrestest.Cluster(t).DSN(postgrestest.Database(t)))
	require.NoError(t, err)
	pool, err := pgxpool.NewWithConfig(context.Background(), settings)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	l := loader{objects: modelstoretest.New(), lake: publishedruntest.NewLake(), store: embeddings.NewStore(pool),
		pool: pool, counts: &bytes.Buffer{}}
	l.Handler = Handler{
		Open:    func(context.Context) (Backend, error) { return l.backend(), nil },
		Shipped: shipped.Model,
		Metrics: metrics.Writer{Function: metrics.VectorLoader, Output: l.counts},
		Logger:  slog.New(slog.DiscardHandler),
	}
	return l
}

// limits are the default configuration's.
var limits = refresh.Limits{CatalogueOverlap: 0.99, PreviousOverlap: 0.5, Vanished: 0.2, LengthError: 1e-3}

func (l loader) backend() Backend {
	return Backend{Store: l.store, Bucket: l.objects.Bucket(), Keeper: l.objects, Lake: l.lake, Limits: limits,
		Memory: vectorsize.Memory{DatabaseMiB: 1024, FunctionMiB: 512}}
}

func (l loader) put(t *testing.T, seed uint64, origin artifacts.Origin) string {
	t.Helper()
	folder, manifest := modelstoretest.Embeddings(t, seed, 12, 4, origin)
	return l.objects.Put(t, folder, manifest)
}

// call sends an event and decodes the answer as its caller sees it.
func (l loader) call(t testing.TB, event string, into any) error {
	t.Helper()
	answer, err := l.Handle(t.Context(), json.RawMessage(event))
	if err != nil {
		return err
	}
	text, err := json.Marshal(answer)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
	return nil
}

func (l loader) resource(t testing.TB, kind, version, old string) ResourceAnswer {
	t.Helper()
	var answer ResourceAnswer
	require.NoError(t, l.call(t,
		fmt.Sprintf(`{"RequestType":%q,"ServiceToken":"arn","StackId":"s","LogicalResourceId":"l",
		"ResourceProperties":{"ServiceToken":"arn","SchemaHash":"h","ModelVersion":%q},`+
			`"OldResourceProperties":{"ModelVersion":%q}}`, kind, version, old), &answer))
	return answer
}

func (l loader) activeVersion(t *testing.T) string {
	t.Helper()
	active, err := l.store.Active(t.Context())
	require.NoError(t, err)
	return active.Version
}

func TestCreateWithoutAModelSucceedsTwice(t *testing.T) {
	l := newLoader(t)
	for range 2 {
		var answer ResourceAnswer
		require.NoError(t, l.call(t, `{"RequestType":"Create","ResourceProperties":{"SchemaHash":"h"}}`, &answer))
		assert.Equal(t, ResourceAnswer{PhysicalResourceID: "vector-store", Data: map[string]string{
			"SchemaVersion": strconv.Itoa(sql.VectorSchemaVersion), "ModelVersion": "",
		}}, answer)
	}
	_, err := l.store.Active(t.Context())
	require.ErrorIs(t, err, embeddings.ErrNoActiveModel)
}

// The shipped model needs nobody to upload it, and goes the same way as any other: by the bucket.
func TestCreateLoadsTheShippedModel(t *testing.T) {
	l := newLoader(t)
	_, version, err := shipped.Model()
	require.NoError(t, err)
	for range 2 {
		assert.Equal(t, version, l.resource(t, "Create", version, "").Data["ModelVersion"])
	}
	assert.Equal(t, version, l.activeVersion(t))
	assert.Equal(t, 2, strings.Count(l.counts.String(), "\n"), "once for each time that it worked")
	assert.Contains(t, l.counts.String(), `"function":"vectorloader","unindexed_items":110`)
	manifest, err := l.objects.Bucket().Manifest(t.Context(), version)
	require.NoError(t, err, "inference reads the towers from the bucket")
	assert.Equal(t, artifacts.Towers, manifest.Mode)
}

func TestAModelThatIsNotInTheBucketIsRefused(t *testing.T) {
	l := newLoader(t)
	var answer ResourceAnswer
	err := l.call(t, `{"RequestType":"Create","ResourceProperties":{"ModelVersion":"0123456789ab"}}`, &answer)
	require.ErrorContains(t, err, "models/0123456789ab/manifest.json does not exist")
}

func TestDeleteOpensNothing(t *testing.T) {
	handler := Handler{Open: func(context.Context) (Backend, error) { return Backend{}, errors.New("opened") }}
	answer, err := handler.Handle(t.Context(),
		json.RawMessage(`{"RequestType":"Delete","PhysicalResourceId":"vector-store","ResourceProperties":{}}`))
	require.NoError(t, err)
	assert.Equal(t, ResourceAnswer{PhysicalResourceID: "vector-store", Data: map[string]string{}}, answer)
}

func TestCreateFailsWhereTheBackendDoes(t *testing.T) {
	handler := Handler{Open: func(context.Context) (Backend, error) {
		return Backend{},
			errors.New("DATABASE_HOST is not set")
	}}
	_, err := handler.Handle(t.Context(), json.RawMessage(`{"RequestType":"Create"}`))
	require.ErrorContains(t, err, "DATABASE_HOST is not set")
}

func TestDeploymentsLoadTheShippedModel(t *testing.T) {
	l := newLoader(t)
	first, second := l.put(t, 1, artifacts.Shipped), l.put(t, 2, artifacts.Shipped)
	assert.Equal(t, first, l.resource(t, "Create", first, "").Data["ModelVersion"])
	assert.Equal(t, second, l.resource(t, "Update", second, first).Data["ModelVersion"])
	assert.Equal(t, first, l.resource(t, "Update", first, second).Data["ModelVersion"],
		"a failed update is rolled back")
}

func TestUpdateOfSomethingElseKeepsTheOperatorsChoice(t *testing.T) {
	l := newLoader(t)
	first, second := l.put(t, 1, artifacts.Shipped), l.put(t, 2, artifacts.Shipped)
	l.resource(t, "Create", first, "")
	l.resource(t, "Update", second, first)
	var active embeddings.Active
	require.NoError(t, l.call(t, `{"action":"rollback"}`, &active))
	require.Equal(t, first, active.Version)
	assert.Equal(t, first, l.resource(t, "Update", second, second).Data["ModelVersion"])
}

func TestDeploymentNeverReplacesATrainedModel(t *testing.T) {
	l := newLoader(t)
	shipped, trained := l.put(t, 1, artifacts.Shipped), l.put(t, 2, artifacts.Trained)
	l.resource(t, "Create", "", "")
	var loaded embeddings.Loaded
	require.NoError(t, l.call(t, `{"action":"load","model_version":"`+trained+`","activate":true}`, &loaded))
	assert.Equal(t, trained, l.resource(t, "Update", shipped, "").Data["ModelVersion"])
}

func TestNewerSchemaIsLeftAlone(t *testing.T) {
	l := newLoader(t)
	shipped := l.put(t, 1, artifacts.Shipped)
	l.resource(t, "Create", "", "")
	_, err := l.pool.Exec(t.Context(), "UPDATE vectors.schema_version SET version = 99")
	require.NoError(t, err)
	answer := l.resource(t, "Update", shipped, "")
	assert.Equal(t, map[string]string{"SchemaVersion": "99", "ModelVersion": ""}, answer.Data)
}

func TestOperatorLoadsApprovesAndGoesBack(t *testing.T) {
	l := newLoader(t)
	first, second := l.put(t, 1, artifacts.Trained), l.put(t, 2, artifacts.Trained)
	l.resource(t, "Create", "", "")

	var loaded embeddings.Loaded
	require.NoError(t, l.call(t, `{"action":"load","model_version":"`+first+`"}`, &loaded))
	assert.Equal(t, embeddings.Loaded{Version: first, New: true}, loaded, "nothing is switched without being told")
	var active embeddings.Active
	require.NoError(t, l.call(t, `{"action":"approve","model_version":"`+first+`"}`, &active))
	assert.Equal(t, first, active.Version)
	require.NoError(t, l.call(t, `{"action":"load","model_version":"`+second+`","activate":true}`, &loaded))
	assert.Equal(t, second, loaded.Active)
	active = embeddings.Active{}
	require.NoError(t, l.call(t, `{"action":"rollback"}`, &active))
	assert.Equal(t, []string{first, second}, []string{active.Version, active.Previous})

	var status embeddings.Status
	require.NoError(t, l.call(t, `{"action":"status"}`, &status))
	assert.Equal(t, first, status.Active.Version)
	assert.Len(t, status.Versions, 2)
}

func TestOperatorQueries(t *testing.T) {
	l := newLoader(t)
	l.resource(t, "Create", "", "")
	var answer sqlquery.Table
	require.NoError(t, l.call(t, `{"action":"query","statement":"SELECT count(*) AS models FROM versions"}`, &answer))
	assert.Equal(t, []string{"models"}, answer.Columns)
	assert.Equal(t, "0", *answer.Rows[0][0])
	require.ErrorContains(t, l.call(t, `{"action":"query","statement":"DROP TABLE vectors.models"}`, nil),
		"SELECT, WITH")
}

func TestOperatorRejects(t *testing.T) {
	l := newLoader(t)
	version := l.put(t, 1, artifacts.Trained)
	l.resource(t, "Create", "", "")
	var loaded embeddings.Loaded
	require.NoError(t, l.call(t, `{"action":"load","model_version":"`+version+`"}`, &loaded))
	require.ErrorContains(t, l.call(t, `{"action":"reject","model_version":"`+version+`"}`, nil), "give a reason")
	var status embeddings.Status
	require.NoError(t, l.call(t, `{"action":"reject","model_version":"`+version+`","reason":"below popularity"}`,
		&status))
	assert.Equal(t, embeddings.Rejected, status.Versions[0].State)
	require.ErrorContains(t, l.call(t, `{"action":"approve","model_version":"`+version+`"}`, nil), "below popularity")
}

func TestBadArtifactsAreRefusedAndTheActiveModelStays(t *testing.T) {
	l := newLoader(t)
	good := l.put(t, 1, artifacts.Trained)
	l.resource(t, "Create", good, "")
	tests := map[string]struct {
		damage  func(version string)
		message string
	}{
		"no manifest": {func(version string) { l.objects.Remove(version, artifacts.ManifestName) },
			"manifest.json does not exist"},
		"a file that is missing": {
			func(version string) { l.objects.Remove(version, artifacts.UserEmbeddings) },
			"user_embeddings.csv: listed in the manifest, does not exist",
		},
		"a stranger's file": {
			func(version string) { l.objects.Change(version, "embeddings/mine.csv", []byte("x")) },
			"embeddings/mine.csv: not listed in the manifest",
		},
		"a file that was changed": {
			func(version string) { l.objects.Change(version, artifacts.ItemEmbeddings, []byte("id,embedding\n")) },
			"embeddings/item_embeddings.csv: has 13 bytes, the manifest says",
		},
		"another model's manifest": {
			func(version string) {
				_, other := modelstoretest.Embeddings(t, 99, 3, 1, artifacts.Trained)
				text, err := other.Encode()
				require.NoError(t, err)
				l.objects.Change(version, artifacts.ManifestName, text)
			}, "for both",
		},
	}
	seed := uint64(10)
	for name, test := range tests {
		seed++
		t.Run(name, func(t *testing.T) {
			version := l.put(t, seed, artifacts.Trained)
			test.damage(version)
			require.ErrorContains(t, l.call(t, `{"action":"load","model_version":"`+version+`","activate":true}`, nil),
				test.message)
			assert.Equal(t, good, l.activeVersion(t))
		})
	}
}

func TestOldModelsAreRemoved(t *testing.T) {
	l := newLoader(t)
	l.resource(t, "Create", "", "")
	for seed := range uint64(6) {
		var loaded embeddings.Loaded
		require.NoError(t, l.call(t, `{"action":"load","model_version":"`+l.put(t, seed,
			artifacts.Trained)+`","activate":true}`, &loaded))
	}
	status, err := l.store.Status(t.Context())
	require.NoError(t, err)
	kept := 0
	for _, version := range status.Versions {
		if version.State == embeddings.StateLoaded {
			kept++
		}
	}
	assert.Equal(t, 4, kept, "the active one, the previous one and two more")
}

func TestUnknownEventsNameWhatIsAllowed(t *testing.T) {
	l := newLoader(t)
	for name, test := range map[string]struct{ event, message string }{
		"no JSON":             {`{`, "not a JSON object"},
		"a list":              {`[]`, "not a JSON object"},
		"neither of the two":  {`{"version":"0"}`, "rollback and query are allowed"},
		"unknown request":     {`{"RequestType":"Replace"}`, "Create, Update and Delete are allowed"},
		"unknown action":      {`{"action":"drop"}`, `action is "drop"`},
		"a misspelt field":    {`{"action":"load","model":"00000000000a"}`, "model"},
		"no version":          {`{"action":"load"}`, "12 lower-case hexadecimal digits"},
		"a version as a path": {`{"action":"load","model_version":"../secrets"}`, "12 lower-case hexadecimal digits"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, l.call(t, test.event, nil), test.message)
		})
	}
}

// A warm loader asks through a network that forgets connections without a word while it sleeps.
func TestConnectionsThatDiedInASleepCostAFifthOfASecond(t *testing.T) {
	cluster := postgrestest.Cluster(t)
	network := awsdbtest.Open(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(cluster.Port())))
	pool, err := awsdb.OpenPostgres(t.Context(), awsdb.Settings{
		Host: "127.0.0.1", Port: network.Port, Name: postgrestest.Database(t), Auth: awsdb.Secret, SecretARN: "arn",
		DisableTLS: true,
	}, awsdbtest.Secret(t, cluster.User, cluster.Password()))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	l := newLoader(t)
	l.store, l.pool = embeddings.NewStore(pool), pool
	l.Open = func(context.Context) (Backend, error) { return l.backend(), nil }
	version := l.put(t, 1, artifacts.Trained)
	l.resource(t, "Create", "", "")
	for _, request := range []string{
		`{"action":"load","model_version":"` + version + `","activate":true}`, `{"action":"status"}`,
		`{"action":"query","statement":"SELECT 1"}`, `{"action":"approve","model_version":"` + version + `"}`,
	} {
		var answer any
		started := time.Now()
		require.NoError(t, l.call(t, request, &answer), request)
		awake := time.Since(started)
		require.Positive(t, network.Forget())
		started = time.Now()
		require.NoError(t, l.call(t, request, &answer), request)
		const slack = time.Second // what a loaded machine may take for a login
		assert.Less(t, time.Since(started), awake+200*time.Millisecond+slack, request)
	}
}

// Lambda ends the process at its deadline: what is to be told must be told before.
func TestTimeIsKeptForTheAnswer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	end, _ := ctx.Deadline()
	var kept time.Time
	stopped := errors.New("stopped")
	h := Handler{Open: func(ctx context.Context) (Backend, error) {
		kept, _ = ctx.Deadline()
		return Backend{}, stopped
	}}
	for _, event := range []string{`{"action":"status"}`, `{"RequestType":"Create","ResourceProperties":{}}`} {
		kept = time.Time{}
		_, err := h.Handle(ctx, json.RawMessage(event))
		require.ErrorIs(t, err, stopped)
		assert.LessOrEqual(t, kept, end.Add(-5*time.Second), event)
		assert.NotZero(t, kept, event)
	}
}
