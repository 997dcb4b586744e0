package postgresclient

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// psql is the shell and the home of somebody who uses psql for something else, and not always well.
func psql(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	require.NoError(t, os.Mkdir(filepath.Join(home, ".postgresql"), 0o700))
	for name, content := range map[string]string{
		".postgresql/root.crt": "no certificate", ".postgresql/postgresql.crt": "none",
		".postgresql/postgresql.key": "none",
		".pgpass":                    "*:*:*:*:of-the-file", ".pg_service.conf": "[work]\nhost=10.0.0.1\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(home, name), []byte(content), 0o600))
	}
	for name, value := range map[string]string{
		"PGHOST": "10.0.0.1", "PGPORT": "no port", "PGUSER": "somebody", "PGPASSWORD": "of-the-shell",
		"PGDATABASE": "work",
		"PGSERVICE":  "missing", "PGSERVICEFILE": "/nowhere", "PGPASSFILE": "/nowhere", "PGSSLMODE": "verify-full",
		"PGSSLROOTCERT": "/nowhere", "PGSSLCERT": "/nowhere", "PGSSLKEY": "/nowhere",
		"PGOPTIONS":         "-c search_path=work",
		"PGCONNECT_TIMEOUT": "soon", "PGTARGETSESSIONATTRS": "standby", "PGAPPNAME": "psql", "PGTZ": "Asia/Tokyo",
	} {
		t.Setenv(name, value)
	}
}

func TestAPoolKnowsNothingOfPsqls(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T){"a clean shell": func(*testing.T) {}, "psql's": psql} {
		t.Run(name, func(t *testing.T) {
			prepare(t)
			settings, err := Pool("postgres://reader:secret@127.0.0.1:5433/vectors?sslmode=disable")
			require.NoError(t, err)
			connection := settings.ConnConfig
			assert.Equal(t, []any{"127.0.0.1", uint16(5433), "vectors", "reader", "secret"}, []any{connection.Host,
				connection.Port, connection.Database, connection.User, connection.Password})
			assert.Nil(t, connection.TLSConfig)
			assert.Empty(t, connection.Fallbacks)
			assert.Empty(t, connection.RuntimeParams)
			assert.Nil(t, connection.ValidateConnect)

			settings, err = Pool("postgres://?sslmode=disable") // as who fills in the rest
			require.NoError(t, err)
			assert.Empty(t, settings.ConnConfig.Password)
			assert.Empty(t, settings.ConnConfig.Fallbacks)
		})
	}
}

func TestAConnectionStringIsAnAddress(t *testing.T) {
	_, err := Connect(t.Context(), "host=127.0.0.1 password=secret")
	require.ErrorContains(t, err, "must be postgres://")
	assert.NotContains(t, err.Error(), "secret")
}
