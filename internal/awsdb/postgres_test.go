package awsdb

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/postgres/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Run(m)) }

const testRegion = "eu-central-1"

func configuration(endpoint string) aws.Config {
	return aws.Config{
		Region: testRegion, Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "the-signing-key", ""),
		BaseEndpoint: aws.String(endpoint), RetryMaxAttempts: 1,
	}
}

// secretsManager answers GetSecretValue with the text that the function returns at that moment.
func secretsManager(t *testing.T, secret func() string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "secretsmanager.GetSecretValue", r.Header.Get("X-Amz-Target"))
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		assert.NoError(t, json.NewEncoder(w).Encode(map[string]string{"SecretString": secret()}))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestOpenPostgresWithSecretFollowsRotation(t *testing.T) {
	cluster := postgrestest.Cluster(t)
	secret := map[string]string{"username": cluster.User, "password": "before-the-rotation"}
	endpoint := secretsManager(t, func() string {
		text, err := json.Marshal(secret)
		require.NoError(t, err)
		return string(text)
	})
	pool, err := OpenPostgres(t.Context(), Settings{
		Host: "127.0.0.1", Port: cluster.Port(), Name: "postgres", Auth: Secret,
		SecretARN: "arn:aws:secretsmanager:::s", DisableTLS: true,
	}, configuration(endpoint))
	require.NoError(t, err)
	defer pool.Close()

	err = pool.Ping(t.Context())
	require.ErrorContains(t, err, "password authentication failed")
	assert.NotContains(t, err.Error(), "before-the-rotation")

	secret["password"] = cluster.Password()
	var user string
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT current_user").Scan(&user))
	assert.Equal(t, cluster.User, user)
	assert.EqualValues(t, poolSize, pool.Config().MaxConns)
}

func TestSecretErrorsNameTheSecretAndNotItsValue(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": "hunter2", "a list": `["hunter2"]`, "wrong type": `{"username":"u","password":{"hunter2":1}}`,
		"no password": `{"username":"hunter2"}`, "no user": `{"password":"hunter2"}`,
	} {
		t.Run(name, func(t *testing.T) {
			endpoint := secretsManager(t, func() string { return text })
			settings := Settings{Host: "127.0.0.1", Port: 1, Auth: Secret, SecretARN: "arn:aws:secretsmanager:::named",
				DisableTLS: true}
			_, _, err := settings.Login(configuration(endpoint))(t.Context())
			require.ErrorContains(t, err, "arn:aws:secretsmanager:::named")
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestMissingCredentialsNameTheUser(t *testing.T) {
	settings := Settings{Host: "h", Port: 5432, Auth: IAM, User: "inference_reader", Region: testRegion}
	_, _, err := settings.Login(aws.Config{})(t.Context())
	require.ErrorContains(t, err, "inference_reader at h:5432")
}

// rds is as much of a PostgreSQL server as a login sees: it wants TLS and then a password in clear
// text, as RDS does for IAM users, and sends back what it got.
type rds struct {
	address   *net.TCPAddr
	users     chan string
	passwords chan string
}

func startRDS(t *testing.T, certificate tls.Certificate) rds {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := rds{address: listener.Addr().(*net.TCPAddr), users: make(chan string, 1), passwords: make(chan string, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return // closed by the test's end
			}
			server.serve(connection, certificate)
		}
	}()
	t.Cleanup(func() {
		assert.NoError(t, listener.Close())
		<-ended
	})
	return server
}

// serve ends quietly where the client hangs up: that is what a client does with a server that it
// does not trust.
func (s rds) serve(connection net.Conn, certificate tls.Certificate) {
	defer connection.Close()
	backend := pgproto3.NewBackend(connection, connection)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return
	}
	if _, err := connection.Write([]byte("S")); err != nil {
		return
	}
	secure := tls.Server(connection, &tls.Config{Certificates: []tls.Certificate{certificate}})
	backend = pgproto3.NewBackend(secure, secure)
	message, err := backend.ReceiveStartupMessage()
	if err != nil {
		return
	}
	s.users <- message.(*pgproto3.StartupMessage).Parameters["user"]
	backend.Send(&pgproto3.AuthenticationCleartextPassword{})
	if backend.Flush() != nil || backend.SetAuthType(pgproto3.AuthTypeCleartextPassword) != nil {
		return
	}
	answer, err := backend.Receive()
	if err != nil {
		return
	}
	s.passwords <- answer.(*pgproto3.PasswordMessage).Password
	backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28000", Message: "PAM authentication failed"})
	_ = backend.Flush() // the test sees what reached the client
}

// authority writes a certificate authority to a file and issues a certificate for a host.
func authority(t *testing.T, host string) (string, tls.Certificate) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		return key
	}
	rootKey, key := newKey(), newKey()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour),
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{host}, NotBefore: root.NotBefore,
		NotAfter: root.NotAfter}
	if address := net.ParseIP(host); address != nil {
		leaf.DNSNames, leaf.IPAddresses = nil, []net.IP{address}
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	require.NoError(t, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), rootKey)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), 0o600))
	return file, tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}
}

func TestIAMTokenIsThePasswordAndStaysOutOfErrorsAndLogs(t *testing.T) {
	var logs strings.Builder
	previous := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&logs, nil)))
	t.Cleanup(func() { slog.SetDefault(previous) })

	file, certificate := authority(t, "127.0.0.1")
	server := startRDS(t, certificate)
	pool, err := OpenPostgres(t.Context(), Settings{
		Host: "127.0.0.1", Port: server.address.Port, Name: "vectors", Auth: IAM, User: "inference_reader",
		Region: testRegion, CAFile: file,
	}, configuration(""))
	require.NoError(t, err)
	defer pool.Close()
	err = pool.Ping(t.Context())
	require.ErrorContains(t, err, "PAM authentication failed")

	assert.Equal(t, "inference_reader", <-server.users)
	token, errParse := url.Parse("https://" + <-server.passwords)
	require.NoError(t, errParse)
	assert.Equal(t, fmt.Sprintf("127.0.0.1:%d", server.address.Port), token.Host)
	assert.Equal(t, "connect", token.Query().Get("Action"))
	assert.Equal(t, "inference_reader", token.Query().Get("DBUser"))
	assert.Contains(t, token.Query().Get("X-Amz-Credential"), "/"+testRegion+"/rds-db/")
	signature := token.Query().Get("X-Amz-Signature")
	require.Len(t, signature, 64)
	for _, secret := range []string{signature, "the-signing-key"} {
		assert.NotContains(t, err.Error(), secret)
		assert.NotContains(t, logs.String(), secret)
	}
}

func TestUntrustedServersNeverSeeTheToken(t *testing.T) {
	trusted, _ := authority(t, "127.0.0.1")
	_, stranger := authority(t, "127.0.0.1")
	otherFile, otherHost := authority(t, "db.example.com")
	for name, test := range map[string]struct {
		file        string
		certificate tls.Certificate
		message     string
	}{
		"issued by another authority":    {trusted, stranger, "unknown authority"},
		"not signed by RDS":              {"", stranger, "unknown authority"},
		"issued for another host's name": {otherFile, otherHost, "doesn't contain any IP SANs"},
	} {
		t.Run(name, func(t *testing.T) {
			server := startRDS(t, test.certificate)
			pool, err := OpenPostgres(t.Context(), Settings{
				Host: "127.0.0.1", Port: server.address.Port, Name: "vectors", Auth: IAM, User: "u", Region: testRegion,
				CAFile: test.file,
			}, configuration(""))
			require.NoError(t, err)
			defer pool.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			require.ErrorContains(t, pool.Ping(ctx), test.message)
			assert.Empty(t, server.users)
			assert.Empty(t, server.passwords)
		})
	}
}
