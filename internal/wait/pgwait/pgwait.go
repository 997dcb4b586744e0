// Package pgwait says which of PostgreSQL's answers to a login are final.
package pgwait

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"diecast/internal/wait"
)

// Final says whether connecting again will fail in the same way: the login is refused, the database
// does not exist, or the server is not to be trusted. A server that starts or ends, or has no
// connection left, is not final.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func Final(err error) bool {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		const invalidAuthorization, invalidCatalogName, insufficientPrivilege = "28", "3D000", "42501"
		return strings.HasPrefix(answer.Code, invalidAuthorization) || answer.Code == invalidCatalogName ||
			answer.Code == insufficientPrivilege
	}
	// pgx has no value for this one.
	return wait.Untrusted(err) || err != nil && strings.Contains(err.Error(), "server refused TLS connection")
}

// Mark marks final answers by wait.Permanent.
func Mark(err error) error { return wait.PermanentIf(Final, err) }
