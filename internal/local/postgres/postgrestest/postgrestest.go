// Package postgrestest gives a test package one PostgreSQL cluster and every test its own database in it.
package postgrestest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/postgres"
)

const startTimeout = time.Minute

var (
	mutex     sync.Mutex
	cluster   *postgres.Cluster
	databases atomic.Int64
)

// Run is the body of a TestMain: it runs the tests and stops the cluster that they used. Exit with its result.
func Run(m *testing.M) int {
	code := m.Run()
	if cluster == nil {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := cluster.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Cluster starts the package's cluster when the first test asks for it.
func Cluster(t testing.TB) *postgres.Cluster {
	t.Helper()
	mutex.Lock()
	defer mutex.Unlock()
	if cluster == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		started, err := postgres.Start(ctx, postgres.Options{Disposable: true})
		require.NoError(t, err)
		cluster = started
	}
	return cluster
}

// Database creates an empty database and returns its name. It lives until the cluster ends. Roles belong to the whole cluster.
func Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	connection, err := pgx.Connect(t.Context(), Cluster(t).DSN("postgres"))
	require.NoError(t, err)
	defer connection.Close(context.Background())
	_, err = connection.Exec(t.Context(), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	require.NoError(t, err)
	return name
}
