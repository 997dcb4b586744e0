package handler

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/awsdb"
	"diecast/internal/awsdb/awsdbtest"
	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/local/postgres/postgrestest"
	"diecast/internal/recommendation"
)

// slack is what a loaded machine may take for a login and a question.
const slack = time.Second

// distant is a platform whose inference asks its store as it does on AWS, through a network that
// can forget.
func distant(t *testing.T) (*platform, *awsdbtest.Network) {
	t.Helper()
	p := newPlatform(t)
	var pool *pgxpool.Pool
	t.Cleanup(func() { pool.Close() }) // when the network has ended: it waits for the last words
	network := awsdbtest.Open(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(postgrestest.Cluster(t).Port())))
	var err error
	pool, err = awsdb.OpenPostgres(t.Context(), awsdb.Settings{
		Host: "127.0.0.1", Port: network.Port, Name: p.database, Auth: awsdb.Secret, SecretARN: "arn", DisableTLS: true,
	}, awsdbtest.Secret(t, "inference_reader", "reader"))
	require.NoError(t, err)
	p.Engine.Store = embeddings.NewStore(pool)
	p.load(t, 1)
	return p, network
}

// questions are all ways to ask inference; each returns whether the store answered.
func (p *platform) questions(t *testing.T) map[string]func() bool {
	vector := "[1" + strings.Repeat(",0", 31) + "]"
	customers := `[{"city":"Nantes","country":"France","creditlimit":1}]`
	return map[string]func() bool{
		"a batch": func() bool {
			request := inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{event(100, nil, nil)}}
			answer, err := p.ask(t, request)
			return assert.NoError(t, err) && answer.Results[0].Rung == recommendation.Store
		},
		// The model has no towers, which only the store's answer tells.
		inference.UserEmbeddingsRoute: func() bool {
			return p.http(t, http.MethodPost, inference.UserEmbeddingsRoute, customers, nil).
				StatusCode == http.StatusNotImplemented
		},
		inference.ItemsFromUserRoute: func() bool {
			return p.http(t, http.MethodPost, inference.ItemsFromUserRoute, vector, nil).StatusCode == http.StatusOK
		},
		inference.ItemsFromItemRoute: func() bool {
			return p.http(t, http.MethodGet, inference.ItemsFromItemRoute, "", map[string]string{"item_id": "P_000"}).
				StatusCode == http.StatusOK
		},
	}
}

func TestConnectionsThatDiedInASleepCostAFifthOfASecond(t *testing.T) {
	p, network := distant(t)
	questions := p.questions(t)
	require.True(t, questions["a batch"](), "awake")
	for name, ask := range questions {
		require.Positive(t, network.Forget())
		started := time.Now()
		assert.True(t, ask(), name)
		assert.Less(t, time.Since(started), 200*time.Millisecond+slack, name)
	}
	// Also where the first thing to do is to load the model.
	require.Positive(t, network.Forget())
	p.Engine.model = nil
	started := time.Now()
	assert.True(t, questions[inference.ItemsFromItemRoute]())
	assert.Less(t, time.Since(started), 200*time.Millisecond+slack)
}

func TestAStoreThatIsSilentIsWaitedForASearchTime(t *testing.T) {
	p, network := distant(t)
	questions := p.questions(t)
	require.True(t, questions["a batch"](), "awake")
	p.Engine.RungTime = 0 // as in production
	network.Block()
	var asking sync.WaitGroup
	started := time.Now()
	for name, ask := range questions {
		asking.Go(func() {
			limit := searchTime
			if name == "a batch" {
				limit = batchTime
			}
			assert.False(t, ask(), name)
			assert.Less(t, time.Since(started), limit+slack, name)
		})
	}
	asking.Wait()
	assert.Contains(t, p.logs.String(), "memory answers")
}
