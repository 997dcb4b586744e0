package main

import (
	"database/sql"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
	"diecast/internal/surroundings"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Run(m)) }

// secrets answers GetSecretValue by the secret's name.
func secrets(t *testing.T, values map[string]map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		var request struct{ SecretId string }
		assert.NoError(t, json.Unmarshal(body, &request))
		text, err := json.Marshal(values[request.SecretId])
		assert.NoError(t, err)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		assert.NoError(t, json.NewEncoder(w).Encode(map[string]string{"SecretString": string(text)}))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The function as it runs on the laptop: logins from secrets, the loader's own as administrator,
// that of queries as a reader.
func TestLoaderAndQueriesHaveLoginsOfTheirOwn(t *testing.T) {
	server := mariadbtest.Server(t)
	endpoint := secrets(t, map[string]map[string]string{
		"arn:admin":  {"username": server.User, "password": server.Password()},
		"arn:reader": {"username": "etl_reader", "password": "open"},
	})
	surroundings.Forget("AWS_")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y",
	} {
		t.Setenv(name, value)
	}
	administrator, err := sql.Open("mysql", server.DSN(""))
	require.NoError(t, err)
	defer administrator.Close()
	// RDS creates the database with the instance.
	_, err = administrator.ExecContext(t.Context(), "CREATE DATABASE classicmodels")
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(server.Address())
	require.NoError(t, err)
	backend, err := open(t.Context(), map[string]string{
		"DATABASE_HOST": host, "DATABASE_PORT": port, "DATABASE_NAME": "classicmodels",
		"DATABASE_TLS": "off", "DATABASE_AUTH": "secret", "DATABASE_SECRET_ARN": "arn:admin",
		"READER_DATABASE_AUTH": "secret", "READER_DATABASE_SECRET_ARN": "arn:reader",
	})
	require.NoError(t, err)
	_, err = backend.Source.Apply(t.Context(), source.Contents{Kind: source.Empty})
	require.NoError(t, err)
	_, err = source.Query(t.Context(), backend.Reader, "SELECT current_user()")
	require.ErrorContains(t, err, "etl_reader", "the account is locked until it has a password")
	assert.NotContains(t, err.Error(), "open")

	_, err = administrator.ExecContext(t.Context(), "ALTER USER 'etl_reader'@'%' IDENTIFIED BY 'open' ACCOUNT UNLOCK")
	require.NoError(t, err)
	table, err := source.Query(t.Context(), backend.Reader, "SELECT current_user(), database()")
	require.NoError(t, err)
	assert.Equal(t, []string{"etl_reader@%", "classicmodels"}, []string{*table.Rows[0][0], *table.Rows[0][1]})
	assert.NotNil(t, backend.Dumps)
}

func TestOpenNamesAllProblems(t *testing.T) {
	_, err := open(t.Context(), nil)
	for _, name := range []string{
		"DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_AUTH", "READER_DATABASE_AUTH",
	} {
		assert.ErrorContains(t, err, name)
	}
}
