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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/awsdb"
	"diecast/internal/awsdb/awsdbtest"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
	"diecast/internal/surroundings"
)

// slack is what a loaded machine may take for a login.
const slack = time.Second

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

// Through a network that forgets connections without a word, as the loader's does while it sleeps.
func TestConnectionsThatDiedInASleepCostAFifthOfASecond(t *testing.T) {
	server := mariadbtest.Server(t)
	name := mariadbtest.Database(t)
	network := awsdbtest.Open(t, server.Address())
	pool, err := awsdb.OpenMySQL(awsdb.Settings{
		Host: "127.0.0.1", Port: network.Port, Name: name, Auth: awsdb.Secret, SecretARN: "arn", DisableTLS: true,
	}, awsdbtest.Secret(t, server.User, server.Password()))
	require.NoError(t, err)
	defer pool.Close()
	database := source.New(pool)
	fill := func() { // as many idle connections as the pool holds
		var held []*sql.Conn
		for range pool.Stats().MaxOpenConnections {
			connection, err := pool.Conn(t.Context())
			require.NoError(t, err)
			held = append(held, connection)
		}
		for _, connection := range held {
			require.NoError(t, connection.Close())
		}
	}
	for what, ask := range map[string]func() error{
		"a query":    func() error { _, err := source.Query(t.Context(), pool, "SELECT 1"); return err },
		"the status": func() error { _, err := database.Status(t.Context()); return err },
		"a load": func() error {
			_, err := database.Apply(t.Context(), source.Contents{Kind: source.Empty})
			return err
		},
		"a statement with values": func() error {
			var sum int
			return pool.QueryRowContext(t.Context(), "SELECT ? + ?", 1, 2).Scan(&sum)
		},
		"a transaction": func() error {
			transaction, err := pool.BeginTx(t.Context(), nil)
			if err != nil {
				return err
			}
			return transaction.Rollback()
		},
	} {
		fill()
		started := time.Now()
		require.NoError(t, ask(), what)
		awake := time.Since(started)
		fill()
		// One that the asking itself has closed may still be counted.
		require.GreaterOrEqual(t, network.Forget(), pool.Stats().MaxOpenConnections)
		started = time.Now()
		require.NoError(t, ask(), what)
		assert.Less(t, time.Since(started), awake+200*time.Millisecond+slack, what)
	}
}

func TestALivingConnectionIsUsedAgain(t *testing.T) {
	server := mariadbtest.Server(t)
	network := awsdbtest.Open(t, server.Address())
	pool, err := awsdb.OpenMySQL(awsdb.Settings{
		Host: "127.0.0.1", Port: network.Port, Auth: awsdb.Secret, SecretARN: "arn", DisableTLS: true,
	}, awsdbtest.Secret(t, server.User, server.Password()))
	require.NoError(t, err)
	defer pool.Close()
	session := func() (id int) {
		require.NoError(t, pool.QueryRowContext(t.Context(), "SELECT connection_id()").Scan(&id))
		return id
	}
	first := session()
	assert.Equal(t, first, session())
	assert.Equal(t, 1, network.Forget())
	assert.NotEqual(t, first, session())
}

func TestOpenNamesAllProblems(t *testing.T) {
	_, err := open(t.Context(), nil)
	for _, name := range []string{
		"DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_AUTH", "READER_DATABASE_AUTH",
	} {
		assert.ErrorContains(t, err, name)
	}
}
