package awsdb

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/awsdb/awsdbtest"
	"diecast/internal/local/postgres/postgrestest"
)

// slack is what a loaded machine may take for a login and a statement.
const slack = time.Second

// through opens a pool whose connections pass a network that can forget them.
func through(t *testing.T) (*pgxpool.Pool, *awsdbtest.Network) {
	t.Helper()
	cluster := postgrestest.Cluster(t)
	network := awsdbtest.Open(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(cluster.Port())))
	pool, err := OpenPostgres(t.Context(), Settings{
		Host: "127.0.0.1", Port: network.Port, Name: "postgres", Auth: Secret, SecretARN: "arn", DisableTLS: true,
	}, awsdbtest.Secret(t, cluster.User, cluster.Password()))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, network
}

// fill makes the pool hold as many idle connections as it can. A machine that is busy may keep a
// living one from answering its ping in time: then the pool is asked again.
func fill(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range poolSize {
		connection, err := pool.Acquire(ctx)
		for err != nil && ctx.Err() == nil {
			connection, err = pool.Acquire(ctx)
		}
		require.NoError(t, err)
		defer connection.Release()
	}
}

func TestAPoolOfDeadConnectionsCostsAFifthOfASecond(t *testing.T) {
	pool, network := through(t)
	for range 3 { // one sleep after the other
		fill(t, pool)
		require.Equal(t, poolSize, network.Forget())
		started := time.Now()
		// All places of the pool are free again at once: none waits for a dead connection's end.
		fill(t, pool)
		assert.Less(t, time.Since(started), deadConnections+slack)
	}
	assert.Equal(t, 200*time.Millisecond, deadConnections)
	// One is pinged after the other: what the slack above would hide.
	assert.LessOrEqual(t, poolSize*pingTimeout, deadConnections)
	assert.Equal(t, pingTimeout, pool.Config().PingTimeout)
}

func TestALivingConnectionIsUsedAgain(t *testing.T) {
	pool, network := through(t)
	var first, second int
	for _, session := range []*int{&first, &second} {
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(session))
	}
	assert.Equal(t, first, second)
	assert.Equal(t, 1, network.Forget())
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&second))
	assert.NotEqual(t, first, second)
}

// A statement that was given up leaves a broken connection, whose end nobody waits for either.
func TestAGivenUpStatementFreesItsPlace(t *testing.T) {
	pool, network := through(t)
	fill(t, pool)
	held, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	network.Forget()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = held.Exec(ctx, "SELECT 1")
	require.Error(t, err)
	held.Release()
	started := time.Now()
	fill(t, pool)
	assert.Less(t, time.Since(started), deadConnections+slack)
}
