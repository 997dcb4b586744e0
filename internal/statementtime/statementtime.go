// Package statementtime has a MySQL or MariaDB server itself end a statement that takes too long:
// it does not notice that the client has left. It knows nothing of the statements.
package statementtime

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// How each server says that a statement took too long.
const (
	errorTimeMariaDB = 1969
	errorTimeMySQL   = 3024
)

// Limit holds all later statements of a connection to a time.
func Limit(ctx context.Context, connection *sql.Conn, limit time.Duration) error {
	var version string
	if err := connection.QueryRowContext(ctx, "SELECT version()").Scan(&version); err != nil {
		return fmt.Errorf("ask the server's version: %w", err)
	}
	statement := fmt.Sprintf("SET SESSION max_execution_time = %d", limit.Milliseconds())
	if strings.Contains(version, "MariaDB") {
		statement = fmt.Sprintf("SET SESSION max_statement_time = %f", limit.Seconds())
	}
	if _, err := connection.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("limit the time of a statement: %w", err)
	}
	return nil
}

// Exceeded says whether an error is the server's word that a statement took longer than its limit.
func Exceeded(err error) bool {
	var ended *mysql.MySQLError
	return errors.As(err, &ended) && (ended.Number == errorTimeMariaDB || ended.Number == errorTimeMySQL)
}
