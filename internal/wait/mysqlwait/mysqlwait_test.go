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
		1040: false, // too many connections
		1053: false, // the server ends
		1205: false, // a lock was waited for
	} {
		err := fmt.Errorf("connect: %w", &mysql.MySQLError{Number: number, Message: "told"})
		assert.Equal(t, final, Final(err), number)
		assert.Equal(t, final, wait.IsPermanent(Mark(err)), number)
		assert.EqualError(t, Mark(err), err.Error())
	}
	assert.True(t, Final(mysql.ErrNoTLS))
	assert.False(t, Final(mysql.ErrInvalidConn))
	assert.False(t, Final(errors.New("connection refused")))
	assert.NoError(t, Mark(nil))
}
