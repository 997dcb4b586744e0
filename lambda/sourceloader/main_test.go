package main

import (
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
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
		"arn:admin":  {"username": server.User, "password": server.Password},
		"arn:reader": {"username": "etl_reader", "password": "open"},
	})
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y",
	} {
		t.Setenv(name, value)
	}
	environment := map[string]string{
		"DATABASE_HOST": server.Host, "DATABASE_PORT": strconv.Itoa(server.Port), "DATABASE_NAME": mariadbtest.Database(t), "DATABASE_TLS": "off",
		"DATABASE_AUTH": "secret", "DATABASE_SECRET_ARN": "arn:admin", "READER_DATABASE_SECRET_ARN": "arn:reader", "READER_DATABASE_NAME": "classicmodels",
	}
	backend, err := open(func(name string) string { return environment[name] })
	require.NoError(t, err)
	_, err = backend.Source.Apply(t.Context(), source.Contents{Kind: source.Empty})
	require.NoError(t, err)
	_, err = source.Query(t.Context(), backend.Reader, "SELECT current_user()")
	require.ErrorContains(t, err, "etl_reader", "the account is locked until it has a password")
	assert.NotContains(t, err.Error(), "open")

	administrator, err := sql.Open("mysql", server.DSN(""))
	require.NoError(t, err)
	defer administrator.Close()
	_, err = administrator.ExecContext(t.Context(), "ALTER USER 'etl_reader'@'%' IDENTIFIED BY 'open' ACCOUNT UNLOCK")
	require.NoError(t, err)
	table, err := source.Query(t.Context(), backend.Reader, "SELECT current_user(), database()")
	require.NoError(t, err)
	assert.Equal(t, []string{"etl_reader@%", "classicmodels"}, []string{*table.Rows[0][0], *table.Rows[0][1]})
	assert.NotNil(t, backend.Dumps)
}

func TestOpenNamesAllProblems(t *testing.T) {
	_, err := open(func(string) string { return "" })
	for _, name := range []string{"DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_AUTH"} {
		assert.ErrorContains(t, err, name)
	}
	_, err = open(func(name string) string {
		return map[string]string{"DATABASE_HOST": "h", "DATABASE_PORT": "1", "DATABASE_NAME": "n", "DATABASE_AUTH": "secret", "DATABASE_SECRET_ARN": "s", "READER_DATABASE_AUTH": "iam"}[name]
	})
	require.ErrorContains(t, err, "the queries' login (READER_DATABASE_*): AWS_REGION is not set")
	assert.False(t, strings.Contains(err.Error(), "DATABASE_USER"), "it is the reader's own")
}
