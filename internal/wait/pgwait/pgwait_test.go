package pgwait

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/wait"
)

// TestAServerWithoutTLSIsFinal asks one, so that the driver's own words are compared.
func TestAServerWithoutTLSIsFinal(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(connection, make([]byte, 8)) // the request for TLS
			_, _ = connection.Write([]byte("N"))
			_ = connection.Close()
		}
	}()
	for mode, final := range map[string]bool{"require": true, "disable": false} {
		_, err = pgconn.Connect(t.Context(), "postgres://somebody@"+listener.Addr().String()+"/db?sslmode="+mode)
		require.Error(t, err)
		assert.Equal(t, final, Final(err), err)
		assert.Equal(t, final, wait.IsPermanent(Mark(err)), err)
	}
}

func TestWhatTheServerAnswersToALogin(t *testing.T) {
	for code, final := range map[string]bool{
		"28P01": true,  // wrong password
		"28000": true,  // no entry in pg_hba.conf, no such role
		"3D000": true,  // no such database
		"42501": true,  // no right to connect to it
		"57P03": false, // the server starts
		"57P01": false, // the server ends
		"53300": false, // too many connections
	} {
		err := fmt.Errorf("connect: %w", &pgconn.PgError{Code: code, Message: "told"})
		assert.Equal(t, final, Final(err), code)
		assert.Equal(t, final, wait.IsPermanent(Mark(err)), code)
		assert.EqualError(t, Mark(err), err.Error())
	}
	assert.False(t, Final(errors.New("connection refused")))
	assert.NoError(t, Mark(nil))
}
