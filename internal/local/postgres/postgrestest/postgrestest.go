// Package postgrestest gives a test package one PostgreSQL cluster and every test its own database
// in it.
package postgrestest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/postgres"
	"diecast/internal/local/server/servertest"
	"diecast/internal/postgresclient"
)

var (
	cluster = servertest.Shared[*postgres.Cluster]{
		Name: "PostgreSQL",
		Start: func(ctx context.Context) (*postgres.Cluster, error) {
			return postgres.Start(ctx, postgres.Options{Disposable: true})
		},
	}
	databases atomic.Int64
)

// Run is the body of a TestMain: it runs the tests and stops the cluster that they used. Exit with
// its result.
func Run(m *testing.M) int { return cluster.Run(m) }

// Cluster starts the package's cluster when the first test asks for it. Under -short it skips the
// test.
func Cluster(t testing.TB) *postgres.Cluster {
	t.Helper()
	return cluster.Get(t)
}

// Database creates an empty database and returns its name. It lives until the cluster ends. Roles
// belong to the whole cluster.
func Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	connection, err := postgresclient.Connect(t.Context(), Cluster(t).DSN("postgres"))
	require.NoError(t, err)
	defer connection.Close(context.Background())
	_, err = connection.Exec(t.Context(), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	require.NoError(t, err)
	return name
}
