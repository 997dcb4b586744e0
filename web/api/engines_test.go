package api

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/local/dynalite"
	"diecast/internal/local/postgres/postgrestest"
	"diecast/internal/local/server/servertest"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/models/ranking"
	"diecast/internal/models/similar"
	"diecast/internal/postgresclient"
	"diecast/internal/recommendation/reading"
	"diecast/internal/recommendation/row/rowtest"
	"diecast/sql"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Run(m)) }

const tableName = "recommendations"

// onDynalite is a table of the laptop with a row of so many customers' sessions.
func onDynalite(t testing.TB, rows int) (client *dynamodb.Client, sessions []string) {
	t.Helper()
	servertest.Needed(t, "dynalite")
	engine, err := dynalite.Start(t.Context(), dynalite.Options{})
	require.NoError(t, err, "run `make setup`")
	t.Cleanup(func() { assert.NoError(t, engine.Stop(context.Background())) })
	client = engine.Client()
	rowtest.Create(t, client, tableName)
	for i := range rows {
		session := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String()
		rowtest.Put(t, client, tableName, record(t, session, i, i, time.Now().Add(-time.Minute)), time.Hour)
		sessions = append(sessions, session)
	}
	return client, sessions
}

// onPostgreSQL is a vector store with one model, and the ranking of that.
func onPostgreSQL(t testing.TB) (*similar.Products, *ranking.Active) {
	t.Helper()
	database := postgrestest.Database(t)
	open := func(user, password string) *pgxpool.Pool {
		configuration, err := postgresclient.Pool(postgrestest.Cluster(t).DSNFor(user, password, database))
		require.NoError(t, err)
		configuration.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		configuration.MaxConns = 2
		pool, err := pgxpool.NewWithConfig(context.Background(), configuration)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return pool
	}
	cluster := postgrestest.Cluster(t)
	administrator := open(cluster.User, cluster.Password())
	store := embeddings.NewStore(administrator)
	_, err := store.Migrate(t.Context())
	require.NoError(t, err)
	objects := modelstoretest.New()
	folder, manifest := modelstoretest.Embeddings(t, 1, 40, 2, artifacts.Trained)
	version := objects.Put(t, folder, manifest)
	read := func(name string) *bytes.Reader {
		content, err := fs.ReadFile(folder, name)
		require.NoError(t, err)
		return bytes.NewReader(content)
	}
	_, err = store.Load(t.Context(), embeddings.Model{
		Version: version, Origin: embeddings.Trained, Items: read(artifacts.ItemEmbeddings),
		Users: read(artifacts.UserEmbeddings), ItemCount: 40, UserCount: 2,
	}, embeddings.Switch)
	require.NoError(t, err)
	_, err = administrator.Exec(t.Context(), "ALTER ROLE "+sql.WebReader+" PASSWORD 'reader'", pgx.QueryExecModeExec)
	require.NoError(t, err)
	reader := embeddings.NewStore(open(sql.WebReader, "reader"))
	return similar.New(reader), &ranking.Active{Store: reader, Bucket: objects.Bucket()}
}

// onEngines is an API over the laptop's engines.
func onEngines(t testing.TB, change func(*Options)) (f fixture, sessions []string) {
	t.Helper()
	client, sessions := onDynalite(t, 50)
	products, popular := onPostgreSQL(t)
	return newFixture(t, func(o *Options) {
		o.Recommendations = &reading.Reader{Table: client, Name: tableName, Popular: popular.Ranking}
		o.Similar, o.Popular = products, popular.Ranking
		if change != nil {
			change(o)
		}
	}), sessions
}

func TestTheLaptopsEnginesAnswer(t *testing.T) {
	f, sessions := onEngines(t, nil)
	answer := get(t, f, "recommendations", sessionHeader, sessions[3]).object(t)
	assert.Equal(t, "SECRET3", answer["recommended_items"].([]any)[0].(map[string]any)["id"])
	answer = get(t, f, "recommendations", customerHeader, "4").object(t)
	assert.Equal(t, "SECRET4", answer["recommended_items"].([]any)[0].(map[string]any)["id"])
	answer = get(t, f, "recommendations", sessionHeader, unguessed).object(t)
	assert.Equal(t, true, answer["stranger"])
	ranked := get(t, f, "popular?limit=3").object(t)
	assert.Equal(t, "P_000", ranked["items"].([]any)[0].(map[string]any)["id"])
	near := get(t, f, "products/P_007/similar").object(t)
	assert.Equal(t, ranked["model_version"], near["model_version"])
	assert.Len(t, near["similar_items"], similarByDefault)
	assert.Equal(t, "unknown_product", get(t, f, "products/S10_1678/similar").reason(t))
}
