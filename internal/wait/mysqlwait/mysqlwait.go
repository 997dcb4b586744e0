// Package mysqlwait says which of MySQL's and MariaDB's answers to a login are final.
package mysqlwait

import (
	"errors"
	"slices"

	"github.com/go-sql-driver/mysql"

	"diecast/internal/wait"
)

// refusals are the server's numbers: no access to the database, a wrong user or password, no such
// database, a host that is blocked until somebody unblocks it or may not connect, a login by an old
// protocol, by a plugin that is not there or that failed, a locked or expired account, a connection
// without TLS where it is required. MariaDB's own number for a locked account is 4151.
// https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
// https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
var refusals = []uint16{1044, 1045, 1049, 1129, 1130, 1251, 1524, 1698, 1820, 1862, 3118, 3159, 3955, 4151}

// incapable are the driver's: what the server asks for of TLS, protocol or login, this client does
// not do.
var incapable = []error{
	mysql.ErrNoTLS, mysql.ErrCleartextPassword, mysql.ErrNativePassword, mysql.ErrOldPassword,
	mysql.ErrUnknownPlugin, mysql.ErrOldProtocol,
}

// Final says whether connecting again will fail in the same way: the login is refused, the database
// does not exist, or the server is not to be trusted.
func Final(err error) bool {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		return slices.Contains(refusals, answer.Number)
	}
	return wait.Untrusted(err) ||
		slices.ContainsFunc(incapable, func(known error) bool { return errors.Is(err, known) })
}

// Mark marks final answers by wait.Permanent.
func Mark(err error) error { return wait.PermanentIf(Final, err) }
