package awsdb

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rdsMySQL is as much of a MySQL server as a login sees: it offers TLS and then wants the password
// in clear text, as RDS does for IAM users, and sends back what it got.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
type rdsMySQL struct {
	address   *net.TCPAddr
	users     chan string
	passwords chan string
}

// Capabilities of the handshake.
const (
	protocol41  = 1 << 9
	offersTLS   = 1 << 11
	secureLogin = 1 << 15
	pluginAuth  = 1 << 19
)

func startRDSMySQL(t *testing.T, certificate *tls.Certificate) rdsMySQL {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := rdsMySQL{
		address:   listener.Addr().(*net.TCPAddr),
		users:     make(chan string, 1),
		passwords: make(chan string, 1),
	}
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
func (s rdsMySQL) serve(connection net.Conn, certificate *tls.Certificate) {
	defer connection.Close()
	capabilities := uint32(protocol41 | secureLogin | pluginAuth)
	if certificate != nil {
		capabilities |= offersTLS
	}
	greeting := append([]byte{10}, "8.4.11\x00\x01\x00\x00\x0012345678\x00"...)
	greeting = binary.LittleEndian.AppendUint16(greeting, uint16(capabilities))
	greeting = append(greeting, 255, 2, 0) // utf8mb4, autocommit
	greeting = binary.LittleEndian.AppendUint16(greeting, uint16(capabilities>>16))
	greeting = append(greeting, 21)
	greeting = append(greeting, make([]byte, 10)...)
	greeting = append(greeting, "901234567890\x00mysql_native_password\x00"...)
	if writePacket(connection, 0, greeting) != nil {
		return
	}
	var stream net.Conn = connection
	sequence, answer, err := readPacket(stream)
	if err != nil {
		return
	}
	if certificate != nil { // the first answer asks for TLS, and says nothing else
		stream = tls.Server(connection, &tls.Config{Certificates: []tls.Certificate{*certificate}})
		if sequence, answer, err = readPacket(stream); err != nil {
			return
		}
	}
	user, _, _ := bytes.Cut(answer[32:], []byte{0})
	s.users <- string(user)
	if writePacket(stream, sequence+1, append([]byte{0xfe}, "mysql_clear_password\x00"...)) != nil {
		return
	}
	sequence, answer, err = readPacket(stream)
	if err != nil {
		return
	}
	s.passwords <- string(bytes.TrimSuffix(answer, []byte{0}))
	refused := append([]byte{0xff, 0x15, 0x04}, "#28000PAM authentication failed"...)
	_ = writePacket(stream, sequence+1, refused) // the test sees what reached the client
}

func writePacket(to io.Writer, sequence byte, body []byte) error {
	head := []byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), sequence}
	_, err := to.Write(append(head, body...))
	return err
}

func readPacket(from io.Reader) (sequence byte, body []byte, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(from, head); err != nil {
		return 0, nil, err
	}
	body = make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	_, err = io.ReadFull(from, body)
	return head[3], body, err
}

func TestMySQLGetsTheIAMTokenByTLSAndNoErrorOrLogHasIt(t *testing.T) {
	var logs strings.Builder
	previous := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&logs, nil)))
	t.Cleanup(func() { slog.SetDefault(previous) })

	file, certificate := authority(t, "127.0.0.1")
	server := startRDSMySQL(t, &certificate)
	pool, err := OpenMySQL(Settings{
		Host: "127.0.0.1", Port: server.address.Port, Name: "classicmodels", Auth: IAM, User: "etl_reader",
		Region: testRegion, CAFile: file,
	}, configuration(""))
	require.NoError(t, err)
	defer pool.Close()
	err = pool.PingContext(t.Context())
	require.ErrorContains(t, err, "PAM authentication failed")

	assert.Equal(t, "etl_reader", <-server.users)
	token, errParse := url.Parse("https://" + <-server.passwords)
	require.NoError(t, errParse)
	assert.Equal(t, server.address.String(), token.Host)
	assert.Equal(t, "connect", token.Query().Get("Action"))
	assert.Equal(t, "etl_reader", token.Query().Get("DBUser"))
	signature := token.Query().Get("X-Amz-Signature")
	require.Len(t, signature, 64)
	for _, secret := range []string{signature, "the-signing-key"} {
		assert.NotContains(t, err.Error(), secret)
		assert.NotContains(t, logs.String(), secret)
	}
	assert.EqualValues(t, poolSize, pool.Stats().MaxOpenConnections)
}

func TestUntrustedMySQLServersNeverSeeTheToken(t *testing.T) {
	trusted, _ := authority(t, "127.0.0.1")
	_, stranger := authority(t, "127.0.0.1")
	otherFile, otherHost := authority(t, "db.example.com")
	for name, test := range map[string]struct {
		file        string
		certificate *tls.Certificate
		message     string
	}{
		"issued by another authority":    {trusted, &stranger, "unknown authority"},
		"not signed by RDS":              {"", &stranger, "unknown authority"},
		"issued for another host's name": {otherFile, &otherHost, "doesn't contain any IP SANs"},
		"without TLS":                    {trusted, nil, mysql.ErrNoTLS.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			server := startRDSMySQL(t, test.certificate)
			pool, err := OpenMySQL(Settings{
				Host: "127.0.0.1", Port: server.address.Port, Name: "classicmodels", Auth: IAM, User: "u",
				Region: testRegion, CAFile: test.file,
			}, configuration(""))
			require.NoError(t, err)
			defer pool.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			require.ErrorContains(t, pool.PingContext(ctx), test.message)
			assert.Empty(t, server.users)
			assert.Empty(t, server.passwords)
		})
	}
}

func TestOnlyATokenIsSentInClearText(t *testing.T) {
	file, certificate := authority(t, "127.0.0.1")
	server := startRDSMySQL(t, &certificate)
	endpoint := secretsManager(t, func() string { return `{"username":"admin","password":"hunter2"}` })
	pool, err := OpenMySQL(Settings{
		Host: "127.0.0.1", Port: server.address.Port, Name: "classicmodels", Auth: Secret,
		SecretARN: "arn:aws:secretsmanager:::s", CAFile: file,
	}, configuration(endpoint))
	require.NoError(t, err)
	defer pool.Close()
	require.ErrorIs(t, pool.PingContext(t.Context()), mysql.ErrCleartextPassword)
	assert.Empty(t, server.passwords)

	_, err = OpenMySQL(Settings{Host: "127.0.0.1", Port: 1, Auth: IAM, User: "u", DisableTLS: true}, configuration(""))
	require.ErrorContains(t, err, "an IAM token is sent by TLS only")
	_, err = OpenMySQL(Settings{Host: "db.example.com", Port: 1, Auth: Secret, DisableTLS: true}, configuration(""))
	require.ErrorContains(t, err, "only a loopback host")
}

func TestMySQLWithoutItsSecretNamesIt(t *testing.T) {
	endpoint := secretsManager(t, func() string { return "hunter2" })
	pool, err := OpenMySQL(
		Settings{
			Host:       "127.0.0.1",
			Port:       1,
			Auth:       Secret,
			SecretARN:  "arn:aws:secretsmanager:::named",
			DisableTLS: true,
		},
		configuration(endpoint),
	)
	require.NoError(t, err)
	defer pool.Close()
	err = pool.PingContext(t.Context())
	require.ErrorContains(t, err, "arn:aws:secretsmanager:::named")
	assert.NotContains(t, err.Error(), "hunter2")
}
