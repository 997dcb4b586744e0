package awsdb

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"diecast/internal/awsdb/awsdbtest"
	"diecast/internal/local/postgres/postgrestest"
)

// optionOf reads an option of a connection's socket.
func optionOf(t *testing.T, connection net.Conn, level, name int) int {
	t.Helper()
	socket, err := connection.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var value int
	var failure error
	require.NoError(t, socket.Control(func(descriptor uintptr) {
		value, failure = unix.GetsockoptInt(int(descriptor), level, name)
	}))
	require.NoError(t, failure)
	return value
}

// A server that is gone in the middle of a statement is noticed by the kernel.
func TestConnectionsBreakUnderAStatementWhoseServerIsGone(t *testing.T) {
	cluster := postgrestest.Cluster(t)
	pool, err := OpenPostgres(t.Context(), Settings{
		Host: "127.0.0.1", Port: cluster.Port(), Name: "postgres", Auth: Secret, SecretARN: "arn", DisableTLS: true,
	}, awsdbtest.Secret(t, cluster.User, cluster.Password()))
	require.NoError(t, err)
	defer pool.Close()
	connection, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer connection.Release()
	for name, option := range map[string]struct{ level, name, want int }{
		"unacknowledged":       {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 10_000},
		"probes":               {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"before the first one": {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 2},
		"before the next ones": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 2},
		"number":               {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
	} {
		assert.Equal(t, option.want, optionOf(t, connection.Conn().PgConn().Conn(), option.level, option.name), name)
	}
}
