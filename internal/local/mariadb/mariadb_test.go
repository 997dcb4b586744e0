package mariadb

import (
	"context"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/local/server"
	"diecast/internal/local/server/servertest"
)

func start(t *testing.T, options Options) *Server {
	t.Helper()
	servertest.Needed(t, "MariaDB")
	server, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, server.Stop(ctx))
	})
	return server
}

func TestServerKeepsTheContractOfAnEngine(t *testing.T) {
	folder := func(t testing.TB) string { return t.TempDir() }
	servertest.Contract(t, "MariaDB", folder, func(ctx context.Context, options server.Options) (servertest.Engine,
		error) {
		return Start(ctx, Options{Dir: options.Dir, Fresh: options.Fresh, Port: options.Port, Disposable: true})
	})
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
		"@@sql_mode": mysqlMode, "@@time_zone": "+00:00", "@@version": Version() + "-MariaDB",
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
	assert.Equal(t, "root@127.0.0.1",
		query(t, server.DSN(""), "SELECT GROUP_CONCAT(User, '@', Host) FROM mysql.user WHERE User <> 'mariadb.sys'"))
	for name, password := range map[string]string{"wrong": "wrong", "none": ""} {
		t.Run(name, func(t *testing.T) {
			database, err := sql.Open("mysql", server.DSNFor(server.User, password, ""))
			require.NoError(t, err)
			defer database.Close()
			require.ErrorContains(t, database.PingContext(t.Context()), "Access denied")
		})
	}
}

func TestTemporaryTablesAreInTheServersOwnFolder(t *testing.T) {
	t.Run("of the server", func(t *testing.T) {
		server := start(t, Options{Disposable: true})
		assert.Equal(t, server.Dir(), query(t, server.DSN(""), "SELECT @@tmpdir"))
	})
	t.Run("of the installation", func(t *testing.T) {
		_, err := Start(t.Context(), Options{Dir: installation(t, `echo "[ERROR] $TMPDIR is used"; exit 1`)})
		require.ErrorContains(t, err, "[ERROR] "+filepath.Join(os.Getenv("DIECAST_MARIADB_BIN"), "..",
			"run")+" is used")
	})
}

func TestAFailedInstallationIsTold(t *testing.T) {
	for name, c := range map[string]struct{ script, message string }{
		"what is wrong, not the advice": {
			"echo Installing; echo 'ERROR: 1051 one'; echo '0 [ERROR] two'; echo see https://example.org; exit 3",
			"mariadb-install-db: exit status 3: ERROR: 1051 one | 0 [ERROR] two",
		},
		"all where nothing says that it is wrong": {"echo one; echo two; exit 1", "exit status 1: one | two"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Start(t.Context(), Options{Dir: installation(t, c.script)})
			require.ErrorContains(t, err, c.message)
			assert.NotContains(t, err.Error(), "example.org")
		})
	}
}

// installation makes a MariaDB of the test's own, whose installation is a script, and names a
// folder for its server.
func installation(t *testing.T, script string) (folder string) {
	t.Helper()
	base := t.TempDir()
	for file, content := range map[string]string{"bin/mariadbd": "", "scripts/mariadb-install-db": script} {
		path := filepath.Join(base, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+content+"\n"), 0o700))
	}
	t.Setenv("DIECAST_MARIADB_BIN", filepath.Join(base, "bin"))
	return filepath.Join(base, "run")
}

func TestFoldersMayHaveAnyName(t *testing.T) {
	base, err := findInstallation()
	require.NoError(t, err)
	folder := filepath.Join(t.TempDir(), `it's "a folder", with spaces and $ümläuts`)
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.Symlink(base, filepath.Join(folder, "server of mine")))
	t.Setenv("DIECAST_MARIADB_BIN", filepath.Join(folder, "server of mine", "bin"))
	server := start(t, Options{Dir: filepath.Join(folder, "data of mine"), Disposable: true})
	assert.Equal(t, "1", query(t, server.DSN(""), "SELECT 1"))
	assert.NoFileExists(t, filepath.Join(server.Dir(), "installation"))
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

func TestARefusedPasswordEndsTheStartAtOnce(t *testing.T) {
	options := Options{Dir: filepath.Join(t.TempDir(), "server"), Disposable: true}
	require.NoError(t, start(t, options).Stop(t.Context()))
	require.NoError(t, os.WriteFile(filepath.Join(options.Dir, "password"), []byte("another"), 0o600))
	_, err := Start(t.Context(), options)
	require.ErrorContains(t, err, "refuses to serve")
	require.ErrorContains(t, err, "Access denied for user")
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
	<-left.Exited()
	assert.NotEqual(t, left.PID(), fresh.PID())
	assert.Equal(t, "kept", query(t, fresh.DSN("kept"), "SELECT DATABASE()"))
}

func TestMissingBinariesNameTheRemedy(t *testing.T) {
	for name, variable := range map[string]string{"own binaries": "DIECAST_MARIADB_BIN", "cache": "DIECAST_CACHE"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DIECAST_MARIADB_BIN", "")
			t.Setenv(variable, t.TempDir())
			_, err := Start(t.Context(), Options{})
			require.ErrorIs(t, err, installed.ErrNotInstalled)
			require.ErrorIs(t, Installed(t.Context()), installed.ErrNotInstalled)
			assert.Contains(t, err.Error(), "make setup")
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestInstallerLeavesAnInstallationAlone(t *testing.T) {
	servertest.Needed(t, "MariaDB")
	base, err := findInstallation()
	require.NoError(t, err)
	cache := t.TempDir()
	require.NoError(t, os.Symlink(base, filepath.Join(cache, "mariadb-"+Version())))
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
