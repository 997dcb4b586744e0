package mysqlwait

import (
	"errors"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"

	"diecast/internal/wait"
)

func TestWhatTheServerAnswersToALogin(t *testing.T) {
	for number, final := range map[uint16]bool{
		1045: true,  // access denied
		1044: true,  // to this database
		1049: true,  // which does not exist
		1129: true,  // the host is blocked
		1130: true,  // the host may not connect
		1251: true,  // the client's protocol is too old
		1524: true,  // the plugin is not loaded
		1698: true,  // access denied without a password
		1820: true,  // the password must be changed
		1862: true,  // the password has expired
		3118: true,  // the account is locked
		3159: true,  // TLS is required
		3955: true,  // the account is blocked after wrong passwords
		4151: true,  // the account is locked, of MariaDB
		1203: false, // the user has too many connections
		1226: false, // the user's limit of an hour is used up
		1927: false, // the connection was ended
		2013: false, // the connection was lost
		1040: false, // too many connections
		1053: false, // the server ends
		1205: false, // a lock was waited for
	} {
		err := fmt.Errorf("connect: %w", &mysql.MySQLError{Number: number, Message: "told"})
		assert.Equal(t, final, Final(err), number)
		assert.Equal(t, final, wait.IsPermanent(Mark(err)), number)
		assert.EqualError(t, Mark(err), err.Error())
	}
	assert.NoError(t, Mark(nil))
}

func TestWhatTheDriverSaysOfALogin(t *testing.T) {
	for _, test := range []struct {
		err   error
		final bool
	}{
		{mysql.ErrNoTLS, true},
		{mysql.ErrCleartextPassword, true},
		{mysql.ErrNativePassword, true},
		{mysql.ErrOldPassword, true},
		{mysql.ErrUnknownPlugin, true},
		{mysql.ErrOldProtocol, true},
		{mysql.ErrInvalidConn, false},
		{mysql.ErrMalformPkt, false},
		{mysql.ErrPktSync, false},
		{mysql.ErrBusyBuffer, false},
		{errors.New("connection refused"), false},
	} {
		err := fmt.Errorf("connect: %w", test.err)
		assert.Equal(t, test.final, Final(err), test.err)
		assert.Equal(t, test.final, wait.IsPermanent(Mark(err)), test.err)
	}
}
