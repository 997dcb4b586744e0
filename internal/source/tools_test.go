package source_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/local/mariadb"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
	scripts "diecast/sql"
)

func installation(t *testing.T) string {
	t.Helper()
	folder, err := installed.Folder()
	require.NoError(t, err)
	return filepath.Join(folder, "mariadb-"+mariadb.Version())
}

// What mariadb-dump writes of a source, loads as that source.
func TestRealDumpsLoadAsWhatTheyAreOf(t *testing.T) {
	const text = `'"\n\r\t\Z` + "\x00" + `% ; -- /* é 日本 🙂`
	for name, arguments := range map[string][]string{
		"as it comes":               {"classicmodels"},
		"with its database":         {"--databases", "classicmodels"},
		"everything of the server":  {"--all-databases"},
		"a row a statement":         {"--skip-extended-insert", "--complete-insert", "classicmodels"},
		"blobs in hexadecimal":      {"--hex-blob", "--skip-add-drop-table", "--skip-add-locks", "classicmodels"},
		"in a transaction":          {"--single-transaction", "--no-autocommit", "--skip-tz-utc", "classicmodels"},
		"compact":                   {"--compact", "classicmodels"},
		"REPLACE, and no comments":  {"--replace", "--skip-comments", "--skip-quote-names", "classicmodels"},
		"names in double quotes":    {"--compatible=ansi", "classicmodels"},
		"INSERT IGNORE, no options": {"--insert-ignore", "--skip-opt", "--skip-dump-date", "classicmodels"},
		"with routines and events":  {"--routines", "--events", "--triggers", "classicmodels"},
	} {
		t.Run(name, func(t *testing.T) {
			pool, server := empty(t), mariadbtest.Server(t)
			apply(t, pool, sample(nil))
			mariadbtest.Execute(t, pool, "UPDATE classicmodels.products SET productDescription = ?", text)
			mariadbtest.Execute(t, pool, "UPDATE classicmodels.productlines SET image = ?",
				[]byte("\x00\x01'\\\"\xff\xfe\n\r\x1a"))
			mariadbtest.Execute(t, pool, "CREATE VIEW classicmodels.seen AS SELECT * FROM classicmodels.orders")
			mariadbtest.Execute(t, pool, "CREATE TRIGGER classicmodels.watch "+
				"BEFORE UPDATE ON classicmodels.orders FOR EACH ROW BEGIN SET NEW.status = 'x;y'; END")
			mariadbtest.Execute(t, pool, "CREATE PROCEDURE classicmodels.lose() "+
				"BEGIN DELETE FROM classicmodels.ratings; END")
			before := stored(t, pool)
			host, port, err := net.SplitHostPort(server.Address())
			require.NoError(t, err)
			command := exec.CommandContext(t.Context(), filepath.Join(installation(t), "bin", "mariadb-dump"),
				append([]string{
					"--no-defaults", "--host=" + host, "--port=" + port, "--user=" + server.User,
					"--skip-ssl", "--default-character-set=utf8mb4",
				}, arguments...)...)
			command.Env = []string{"MYSQL_PWD=" + server.Password()}
			var written, problems bytes.Buffer
			command.Stdout, command.Stderr = &written, &problems
			require.NoError(t, command.Run(), problems.String())

			pool = empty(t)
			state := apply(t, pool, dumpOf(written.String()))
			assert.Equal(t, source.Dump, state.Kind)
			assert.Equal(t, before, stored(t, pool))
		})
	}
}

// secured starts a server that speaks TLS and refuses everything else, and gives a connection
// string for a user that trusts it.
func secured(t *testing.T) (dsn func(user, password string, encrypted bool) string) {
	t.Helper()
	base, folder := installation(t), t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(filepath.Join(folder, "server.pem"), certificatePEM, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "key.pem"),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))

	// The laptop's server has no TLS: the same binaries, started with it.
	bin := filepath.Join(folder, "bin")
	require.NoError(t, os.Mkdir(bin, 0o755))
	for _, name := range []string{"share", "scripts"} {
		require.NoError(t, os.Symlink(filepath.Join(base, name), filepath.Join(folder, name)))
	}
	entries, err := os.ReadDir(filepath.Join(base, "bin"))
	require.NoError(t, err)
	for _, entry := range entries {
		if entry.Name() != "mariadbd" {
			require.NoError(t, os.Symlink(filepath.Join(base, "bin", entry.Name()), filepath.Join(bin, entry.Name())))
		}
	}
	script := "#!/bin/sh\nexec " + filepath.Join(base, "bin", "mariadbd") + ` "$@" --skip-disable-ssl --ssl-cert=` +
		filepath.Join(folder, "server.pem") +
		" --ssl-key=" + filepath.Join(folder, "key.pem") + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "mariadbd"), []byte(script), 0o755))
	t.Setenv("DIECAST_MARIADB_BIN", bin)
	server, err := mariadb.Start(t.Context(), mariadb.Options{Disposable: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, server.Stop(ctx))
	})
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certificatePEM))
	require.NoError(t, mysql.RegisterTLSConfig("secured", &tls.Config{RootCAs: roots, ServerName: "127.0.0.1",
		MinVersion: tls.VersionTLS12}))
	t.Cleanup(func() { mysql.DeregisterTLSConfig("secured") })
	return func(user, password string, encrypted bool) string {
		if user == "" {
			user, password = server.User, server.Password()
		}
		text := server.DSNFor(user, password, "")
		if encrypted {
			text += "&tls=secured"
		}
		return text
	}
}

func TestUsersMustComeByTLSWhereTheLoaderDoes(t *testing.T) {
	dsn := secured(t)
	pool := mariadbtest.Open(t, dsn("", "", true))
	apply(t, pool, source.Contents{Kind: source.Empty})
	for _, user := range users {
		mariadbtest.Execute(t, pool, "ALTER USER '"+user+"'@'%' IDENTIFIED BY 'open' ACCOUNT UNLOCK")
		require.NoError(t, mariadbtest.Open(t, dsn(user, "open", true)).PingContext(t.Context()), user)
		err := mariadbtest.Open(t, dsn(user, "open", false)).PingContext(t.Context())
		require.ErrorContains(t, err, "Access denied", user)
	}

	// A loader on loopback without TLS creates users who may do as it does.
	mariadbtest.Execute(t, pool, "DROP USER 'etl_reader'@'%'")
	plain := mariadbtest.Open(t, dsn("", "", false))
	apply(t, plain, source.Contents{Kind: source.Empty})
	mariadbtest.Execute(t, pool, "ALTER USER 'etl_reader'@'%' IDENTIFIED BY 'open' ACCOUNT UNLOCK")
	require.NoError(t, mariadbtest.Open(t, dsn(scripts.ETLReader, "open", false)).PingContext(t.Context()))
}
