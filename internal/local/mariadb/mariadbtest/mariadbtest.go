// Package mariadbtest gives a test package one MariaDB server and every test its own database in
// it.
package mariadbtest

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/mariadb"
	"diecast/internal/local/server/servertest"
)

var (
	server = servertest.Shared[*mariadb.Server]{
		Name: "MariaDB",
		Start: func(ctx context.Context) (*mariadb.Server, error) {
			return mariadb.Start(ctx, mariadb.Options{Disposable: true})
		},
	}
	databases atomic.Int64
)

// Run is the body of a TestMain: it runs the tests and stops the server that they used. Exit with
// its result.
func Run(m *testing.M) int { return server.Run(m) }

// Server starts the package's server when the first test asks for it. Under -short it skips the
// test.
func Server(t testing.TB) *mariadb.Server {
	t.Helper()
	return server.Get(t)
}

// Open opens a pool by its DSN, for as long as the test runs.
func Open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	pool, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	return pool
}

// Execute runs a statement, also while a test cleans up.
func Execute(t testing.TB, pool *sql.DB, statement string, arguments ...any) {
	t.Helper()
	_, err := pool.ExecContext(context.Background(), statement, arguments...)
	require.NoError(t, err, statement)
}

// Database creates an empty database and returns its name. It lives until the server ends. Users
// belong to the whole server.
func Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	Execute(t, Open(t, Server(t).DSN("")), "CREATE DATABASE `"+name+"`")
	return name
}
