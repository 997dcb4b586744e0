// Package mysqlwait says which of MySQL's and MariaDB's answers to a login are final.
package mysqlwait

import (
	"errors"
	"slices"

	"github.com/go-sql-driver/mysql"

	"diecast/internal/wait"
)

// refusals are the server's numbers: no access to the database, a wrong user or password, no such
// database, a host that may not connect, a login by plugin that failed, a locked or expired
// account. https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
var refusals = []uint16{1044, 1045, 1049, 1130, 1524, 1698, 1820, 1862, 3118}

// Final says whether connecting again will fail in the same way: the login is refused, the database
// does not exist, or the server is not to be trusted.
func Final(err error) bool {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		return slices.Contains(refusals, answer.Number)
	}
	return wait.Untrusted(err) || errors.Is(err, mysql.ErrNoTLS) || errors.Is(err, mysql.ErrCleartextPassword)
}

// Mark marks final answers by wait.Permanent.
func Mark(err error) error {
	if err != nil && Final(err) {
		return wait.Permanent(err)
	}
	return err
}
