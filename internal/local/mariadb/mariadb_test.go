package mariadb

import (
	"bufio"
	"context"
	"database/sql"
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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A child of this test binary that starts a server and then waits to be killed.
const childVariable = "DIECAST_MARIADB_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		server, err := Start(context.Background(), Options{Disposable: true})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(server.process.PID(), server.dir)
		_, _ = io.ReadAll(os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, options Options) *Server {
	t.Helper()
	server, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, server.Stop(ctx))
	})
	return server
}

func query(t *testing.T, dsn, statement string) string {
	t.Helper()
	database, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	defer database.Close()
	var value string
	require.NoError(t, database.QueryRowContext(t.Context(), statement).Scan(&value))
	return value
}

func TestServerHasMySQLsSettings(t *testing.T) {
	server := start(t, Options{Disposable: true})
	for variable, expected := range map[string]string{
		"@@bind_address": "127.0.0.1", "@@character_set_server": "utf8mb4", "@@collation_server": "utf8mb4_0900_ai_ci",
		"@@sql_mode": mysqlMode, "@@time_zone": "+00:00", "@@version": "11.4.5-MariaDB",
	} {
		got := query(t, server.DSN(""), "SELECT "+variable)
		if variable == "@@sql_mode" {
			assert.ElementsMatch(t, strings.Split(expected, ","), strings.Split(got, ","))
			continue
		}
		assert.Equal(t, expected, strings.Replace(got, "uca1400_ai_ci", "0900_ai_ci", 1), variable)
	}
}

func TestOnlyTheSuperuserExistsAndNeedsThePassword(t *testing.T) {
	server := start(t, Options{Disposable: true})
	assert.Equal(t, "root@127.0.0.1", query(t, server.DSN(""), "SELECT GROUP_CONCAT(User, '@', Host) FROM mysql.user WHERE User <> 'mariadb.sys'"))
	for name, password := range map[string]string{"wrong": "wrong", "none": ""} {
		t.Run(name, func(t *testing.T) {
			database, err := sql.Open("mysql", server.DSNFor(server.User, password, ""))
			require.NoError(t, err)
			defer database.Close()
			require.ErrorContains(t, database.PingContext(t.Context()), "Access denied")
		})
	}
}

func TestTwoServersRunSideBySide(t *testing.T) {
	one, two := start(t, Options{Disposable: true}), start(t, Options{Disposable: true})
	assert.NotEqual(t, one.Port, two.Port)
	assert.NotEqual(t, query(t, one.DSN(""), "SELECT @@datadir"), query(t, two.DSN(""), "SELECT @@datadir"))
}

func TestDataSurvivesARestartInTheSameDirectory(t *testing.T) {
	options := Options{Dir: filepath.Join(t.TempDir(), strings.Repeat("long", 40), "server")}
	server := start(t, options)
	database, err := sql.Open("mysql", server.DSN(""))
	require.NoError(t, err)
	_, err = database.ExecContext(t.Context(), "CREATE DATABASE kept")
	require.NoError(t, err)
	require.NoError(t, database.Close())
	require.NoError(t, server.Stop(t.Context()))

	again := start(t, options)
	assert.Equal(t, "kept", query(t, again.DSN("kept"), "SELECT DATABASE()"))
}

func TestWhatWasLeftInTheDirectoryIsEndedAndItsDataKept(t *testing.T) {
	options := Options{Dir: filepath.Join(t.TempDir(), "server")}
	left := start(t, options)
	database, err := sql.Open("mysql", left.DSN(""))
	require.NoError(t, err)
	defer database.Close()
	_, err = database.ExecContext(t.Context(), "CREATE DATABASE kept")
	require.NoError(t, err)

	fresh := start(t, options)
	<-left.process.Exited()
	assert.NotEqual(t, left.process.PID(), fresh.process.PID())
	assert.Equal(t, "kept", query(t, fresh.DSN("kept"), "SELECT DATABASE()"))
}

func TestStopLeavesNothing(t *testing.T) {
	server, err := Start(t.Context(), Options{Disposable: true})
	require.NoError(t, err)
	pid := server.process.PID()
	require.NoError(t, server.Stop(t.Context()))

	assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	assert.NoDirExists(t, server.dir)
	require.NoError(t, server.Stop(t.Context()), "stopping twice does nothing")
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
	require.Len(t, fields, 2, line)
	pid, err := strconv.Atoi(fields[0])
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(fields[1])) })

	require.NoError(t, child.Process.Kill())
	_ = child.Wait() // killed
	assert.Eventually(t, func() bool { return gone(pid) }, 20*time.Second, 10*time.Millisecond, "the server outlived its parent")
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
	go func() { // a port that accepts and hangs up
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	_, err = Start(t.Context(), Options{Port: port, Disposable: true})
	require.ErrorContains(t, err, fmt.Sprintf("127.0.0.1:%d", port))
	require.ErrorContains(t, err, "Address already in use")
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, Options{Disposable: true})
	require.ErrorIs(t, err, context.Canceled)
}

func TestMissingBinariesNameTheRemedy(t *testing.T) {
	for name, variable := range map[string]string{"own binaries": "DIECAST_MARIADB_BIN", "cache": "DIECAST_CACHE"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DIECAST_MARIADB_BIN", "")
			t.Setenv(variable, t.TempDir())
			_, err := Start(t.Context(), Options{})
			require.ErrorIs(t, err, ErrNotInstalled)
			assert.Contains(t, err.Error(), "make setup")
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestInstallerLeavesAnInstallationAlone(t *testing.T) {
	base, err := findInstallation()
	require.NoError(t, err)
	cache := t.TempDir()
	require.NoError(t, os.Symlink(base, filepath.Join(cache, "mariadb-"+Version)))
	command := exec.CommandContext(t.Context(), "/bin/sh", "install.sh", cache)
	command.Env = []string{"PATH=/nowhere"} // nothing is fetched or unpacked
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	assert.Empty(t, output)
}

func TestInstallerSaysWhatIsMissing(t *testing.T) {
	tools := t.TempDir()
	path, err := exec.LookPath("uname")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(path, filepath.Join(tools, "uname")))
	cache := filepath.Join(t.TempDir(), "cache")
	command := exec.CommandContext(t.Context(), "/bin/sh", "install.sh", cache)
	command.Env = []string{"PATH=" + tools}
	output, err := command.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(output), "Maven (mvn) is needed")
	assert.Contains(t, string(output), "DIECAST_MARIADB_BIN")
	assert.Equal(t, 1, strings.Count(string(output), "\n"))
	assert.NoDirExists(t, cache)
}
