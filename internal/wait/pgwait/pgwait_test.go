package pgwait

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"

	"diecast/internal/wait"
)

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
