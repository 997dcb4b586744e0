package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/local/server"
	"diecast/internal/local/server/servertest"
	"diecast/internal/postgresclient"
)

// A child of this test binary that starts a cluster and then waits to be killed.
const childVariable = "DIECAST_POSTGRES_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		cluster, err := Start(context.Background(), Options{Disposable: true})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(cluster.PID(), cluster.Dir())
		_, _ = io.ReadAll(os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, options Options) *Cluster {
	t.Helper()
	servertest.Needed(t, "PostgreSQL")
	cluster, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, cluster.Stop(ctx))
	})
	return cluster
}

func TestClusterKeepsTheContractOfAnEngine(t *testing.T) {
	servertest.Contract(t, "PostgreSQL", reachable,
		func(ctx context.Context, options server.Options) (servertest.Engine, error) {
			return Start(ctx, Options{Dir: options.Dir, Fresh: options.Fresh, Port: options.Port, Disposable: true})
		})
}

func query[T any](t *testing.T, dsn, statement string) T {
	t.Helper()
	connection, err := postgresclient.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer connection.Close(context.Background())
	var value T
	require.NoError(t, connection.QueryRow(t.Context(), statement).Scan(&value))
	return value
}

func TestClusterAnswersWithPgvector(t *testing.T) {
	cluster := start(t, Options{Disposable: true})
	connection, err := postgresclient.Connect(t.Context(), cluster.DSN("postgres"))
	require.NoError(t, err)
	defer connection.Close(context.Background())
	_, err = connection.Exec(t.Context(), "CREATE EXTENSION vector")
	require.NoError(t, err)

	assert.Equal(t, float64(5), query[float64](t, cluster.DSN("postgres"),
		"SELECT '[0,0]'::vector <-> '[3,4]'::vector"))
	assert.Equal(t, "127.0.0.1", query[string](t, cluster.DSN("postgres"), "SHOW listen_addresses"))
	assert.Equal(t, "UTF8", query[string](t, cluster.DSN("postgres"), "SHOW server_encoding"))
}

// Who owns a database and may make databases and roles, as RDS's administrator, makes the
// extension, and does not become more by it.
func TestTheExtensionIsTrusted(t *testing.T) {
	cluster := start(t, Options{Disposable: true})
	superuser, err := postgresclient.Connect(t.Context(), cluster.DSN("postgres"))
	require.NoError(t, err)
	defer superuser.Close(context.Background())
	for _, statement := range []string{"CREATE ROLE master LOGIN CREATEDB CREATEROLE PASSWORD 'm'",
		"CREATE DATABASE vectors OWNER master"} {
		_, err := superuser.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	master, err := postgresclient.Connect(t.Context(), cluster.DSNFor("master", "m", "vectors"))
	require.NoError(t, err)
	defer master.Close(context.Background())
	_, err = master.Exec(t.Context(), "CREATE EXTENSION vector")
	require.NoError(t, err)
	var distance float64
	require.NoError(t, master.QueryRow(t.Context(), "SELECT '[0,0]'::vector <-> '[3,4]'::vector").Scan(&distance))
	assert.InDelta(t, 5, distance, 0)
	for _, statement := range []string{"COPY (SELECT 1) TO PROGRAM 'id'", "SELECT pg_read_file('PG_VERSION')",
		"ALTER ROLE master SUPERUSER", "ALTER ROLE rdsadmin PASSWORD 'm'", "SET ROLE rdsadmin",
		"GRANT rdsadmin TO master",
		"ALTER SYSTEM SET log_connections = on", "SELECT rolpassword FROM pg_authid",
		"CREATE FUNCTION f() RETURNS void LANGUAGE c AS 'vector', 'vector_in'",
	} {
		_, err := master.Exec(t.Context(), statement)
		require.ErrorContains(t, err, "permission denied", statement)
	}
}

// As root the server runs as a user whom nobody else is; what it stores only that one reads.
func TestTheServersUserIsNobodyElse(t *testing.T) {
	if os.Geteuid() != 0 {
		cluster := start(t, Options{Disposable: true})
		info, err := os.Stat(cluster.Dir())
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
		return
	}
	one, two := start(t, Options{Disposable: true}), start(t, Options{Disposable: true})
	numbers := map[uint32]bool{}
	for _, cluster := range []*Cluster{one, two} {
		process, err := os.Stat(fmt.Sprintf("/proc/%d", cluster.PID()))
		require.NoError(t, err)
		number := process.Sys().(*syscall.Stat_t).Uid
		numbers[number] = true
		_, err = user.LookupId(strconv.FormatUint(uint64(number), 10))
		require.Error(t, err, "it has no name")
		require.NoError(t, filepath.WalkDir(cluster.Dir(), func(path string, entry fs.DirEntry, err error) error {
			require.NoError(t, err)
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a temporary one
			}
			require.NoError(t, err)
			owner := info.Sys().(*syscall.Stat_t)
			if path == cluster.Dir() {
				assert.Equal(t, fs.FileMode(0o710), info.Mode().Perm())
				assert.Equal(t, number, owner.Gid, "who passes through is the server")
				return nil
			}
			assert.Zero(t, info.Mode().Perm()&0o077, path)
			assert.Contains(t, []uint32{0, number}, owner.Uid, path)
			return nil
		}))
	}
	assert.Len(t, numbers, 2, "each has its own")
}

func TestPasswordIsRequired(t *testing.T) {
	cluster := start(t, Options{Disposable: true})
	_, err := postgresclient.Connect(t.Context(), cluster.DSNFor(cluster.User, "wrong", "postgres"))
	require.ErrorContains(t, err, "password authentication failed")
}

// reachable is a folder that the server's user can pass through.
func reachable(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp(sharedTempDir(), "diecast-postgres-restart-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(folder, 0o755))
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
	return folder
}

func TestDataSurvivesARestartInTheSameDirectory(t *testing.T) {
	options := Options{Dir: filepath.Join(reachable(t), "cluster")}

	cluster := start(t, options)
	connection, err := postgresclient.Connect(t.Context(), cluster.DSN("postgres"))
	require.NoError(t, err)
	_, err = connection.Exec(t.Context(), "CREATE TABLE kept AS SELECT 7 AS n")
	require.NoError(t, err)
	require.NoError(t, connection.Close(t.Context()))
	require.NoError(t, cluster.Stop(t.Context()))

	again := start(t, options)
	assert.Equal(t, int32(7), query[int32](t, again.DSN("postgres"), "SELECT n FROM kept"))
}

func TestARefusedPasswordEndsTheStartAtOnce(t *testing.T) {
	options := Options{Dir: filepath.Join(reachable(t), "cluster"), Disposable: true}
	require.NoError(t, start(t, options).Stop(t.Context()))
	require.NoError(t, os.WriteFile(filepath.Join(options.Dir, "password"), []byte("another"), 0o600))
	_, err := Start(t.Context(), options)
	require.ErrorContains(t, err, "refuses to serve")
	require.ErrorContains(t, err, "password authentication failed")
}

func TestWhatWasLeftInTheDirectoryIsEndedAndItsDataKept(t *testing.T) {
	options := Options{Dir: filepath.Join(reachable(t), "cluster")}
	left := start(t, options)
	connection, err := postgresclient.Connect(t.Context(), left.DSN("postgres"))
	require.NoError(t, err)
	defer connection.Close(context.Background())
	_, err = connection.Exec(t.Context(), "CREATE TABLE kept AS SELECT 7 AS n")
	require.NoError(t, err)

	fresh := start(t, options)
	<-left.Exited()
	assert.NotEqual(t, left.PID(), fresh.PID())
	assert.Equal(t, int32(7), query[int32](t, fresh.DSN("postgres"), "SELECT n FROM kept"))
}

func TestServerDiesWithItsParent(t *testing.T) {
	servertest.Needed(t, "PostgreSQL")
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childVariable+"=1")
	stdin, err := child.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	fields := strings.Fields(line)
	require.Len(t, fields, 2)
	require.NotEqual(t, "error", fields[0], line)
	server, err := strconv.Atoi(fields[0])
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(fields[1])) })

	require.NoError(t, child.Process.Kill())
	_ = child.Wait() // killed
	assert.Eventually(t, func() bool { return gone(server) }, 20*time.Second, 10*time.Millisecond,
		"the server outlived its parent")
}

// gone also counts a zombie that nobody has reaped: in a container the first process may not.
func gone(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	return strings.Contains(string(status), ") Z ")
}

func TestMissingBinariesNameTheRemedy(t *testing.T) {
	for name, variable := range map[string]string{"own binaries": "DIECAST_POSTGRES_BIN", "cache": "DIECAST_CACHE"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable, t.TempDir())
			_, err := Start(t.Context(), Options{})
			require.ErrorIs(t, err, installed.ErrNotInstalled)
			require.ErrorIs(t, Installed(t.Context()), installed.ErrNotInstalled)
			assert.Contains(t, err.Error(), "make setup")
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}
