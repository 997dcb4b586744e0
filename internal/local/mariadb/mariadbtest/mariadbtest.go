// Package mariadbtest gives a test package one MariaDB server and every test its own database in it.
package mariadbtest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"diecast/internal/local/mariadb"
)

const startTimeout = time.Minute

var (
	mutex     sync.Mutex
	server    *mariadb.Server
	databases atomic.Int64
)

// Run is the body of a TestMain: it runs the tests and stops the server that they used. Exit with its result.
func Run(m *testing.M) int {
	code := m.Run()
	if server == nil {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Server starts the package's server when the first test asks for it.
func Server(t testing.TB) *mariadb.Server {
	t.Helper()
	mutex.Lock()
	defer mutex.Unlock()
	if server == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		started, err := mariadb.Start(ctx, mariadb.Options{Disposable: true})
		require.NoError(t, err)
		server = started
	}
	return server
}

// Database creates an empty database and returns its name. It lives until the server ends. Users belong to the whole server.
func Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	connection, err := sql.Open("mysql", Server(t).DSN(""))
	require.NoError(t, err)
	defer connection.Close()
	_, err = connection.ExecContext(t.Context(), "CREATE DATABASE `"+name+"`")
	require.NoError(t, err)
	return name
}
