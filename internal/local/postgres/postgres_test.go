package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		fmt.Println(cluster.process.PID(), cluster.dir)
		_, _ = io.ReadAll(os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, options Options) *Cluster {
	t.Helper()
	cluster, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, cluster.Stop(ctx))
	})
	return cluster
}

func query[T any](t *testing.T, dsn, statement string) T {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer connection.Close(context.Background())
	var value T
	require.NoError(t, connection.QueryRow(t.Context(), statement).Scan(&value))
	return value
}

func TestClusterAnswersWithPgvector(t *testing.T) {
	cluster := start(t, Options{Disposable: true})
	connection, err := pgx.Connect(t.Context(), cluster.DSN("postgres"))
	require.NoError(t, err)
	defer connection.Close(context.Background())
	_, err = connection.Exec(t.Context(), "CREATE EXTENSION vector")
	require.NoError(t, err)

	assert.Equal(t, float64(5), query[float64](t, cluster.DSN("postgres"), "SELECT '[0,0]'::vector <-> '[3,4]'::vector"))
	assert.Equal(t, "127.0.0.1", query[string](t, cluster.DSN("postgres"), "SHOW listen_addresses"))
	assert.Equal(t, "UTF8", query[string](t, cluster.DSN("postgres"), "SHOW server_encoding"))
}

func TestPasswordIsRequired(t *testing.T) {
	cluster := start(t, Options{Disposable: true})
	_, err := pgx.Connect(t.Context(), cluster.DSNFor(cluster.User, "wrong", "postgres"))
	require.ErrorContains(t, err, "password authentication failed")
}

func TestTwoClustersRunSideBySide(t *testing.T) {
	one, two := start(t, Options{Disposable: true}), start(t, Options{Disposable: true})
	assert.NotEqual(t, one.Port, two.Port)
	assert.NotEqual(t, query[string](t, one.DSN("postgres"), "SHOW data_directory"), query[string](t, two.DSN("postgres"), "SHOW data_directory"))
}

// reachable is a folder that the server's user can pass through.
func reachable(t *testing.T) string {
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
	connection, err := pgx.Connect(t.Context(), cluster.DSN("postgres"))
	require.NoError(t, err)
	_, err = connection.Exec(t.Context(), "CREATE TABLE kept AS SELECT 7 AS n")
	require.NoError(t, err)
	require.NoError(t, connection.Close(t.Context()))
	require.NoError(t, cluster.Stop(t.Context()))

	again := start(t, options)
	assert.Equal(t, int32(7), query[int32](t, again.DSN("postgres"), "SELECT n FROM kept"))
}

func TestWhatWasLeftInTheDirectoryIsEndedAndItsDataKept(t *testing.T) {
	options := Options{Dir: filepath.Join(reachable(t), "cluster")}
	left := start(t, options)
	connection, err := pgx.Connect(t.Context(), left.DSN("postgres"))
	require.NoError(t, err)
	defer connection.Close(context.Background())
	_, err = connection.Exec(t.Context(), "CREATE TABLE kept AS SELECT 7 AS n")
	require.NoError(t, err)

	fresh := start(t, options)
	<-left.process.Exited()
	assert.NotEqual(t, left.process.PID(), fresh.process.PID())
	assert.Equal(t, int32(7), query[int32](t, fresh.DSN("postgres"), "SELECT n FROM kept"))
}

func TestStopLeavesNothing(t *testing.T) {
	cluster, err := Start(t.Context(), Options{Disposable: true})
	require.NoError(t, err)
	pid := cluster.process.PID()
	require.NoError(t, cluster.Stop(t.Context()))

	assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	assert.NoDirExists(t, cluster.dir)
	require.NoError(t, cluster.Stop(t.Context()), "stopping twice does nothing")
}

func TestServerDiesWithItsParent(t *testing.T) {
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
	assert.Eventually(t, func() bool { return gone(server) }, 20*time.Second, 10*time.Millisecond, "the server outlived its parent")
}

// gone also counts a zombie that nobody has reaped: in a container the first process may not.
func gone(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	return strings.Contains(string(status), ") Z ")
}

func TestTakenPortIsReported(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	_, err = Start(t.Context(), Options{Port: port, Disposable: true})
	require.ErrorContains(t, err, fmt.Sprintf("127.0.0.1:%d", port))
	require.ErrorContains(t, err, "Address already in use")
}

func TestMissingBinariesNameTheRemedy(t *testing.T) {
	for name, variable := range map[string]string{"own binaries": "DIECAST_POSTGRES_BIN", "cache": "DIECAST_CACHE"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable, t.TempDir())
			_, err := Start(t.Context(), Options{})
			require.ErrorIs(t, err, ErrNotInstalled)
			assert.Contains(t, err.Error(), "make setup")
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}
