// Package postgresclient makes clients of PostgreSQL from what they are told, and from nothing
// else: the library would also read what a user of psql keeps in PG* variables and in files of the
// home folder, such as another host, or an authority's certificate. The package knows no database.
package postgresclient

import (
	"context"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"diecast/internal/surroundings"
)

// files of the home folder that the library would read, in the words of a connection string.
var files = map[string]string{"passfile": "/nonexistent", "sslcert": "", "sslkey": "", "sslrootcert": ""}

// Pool is a pool's settings of a connection string postgres://..., for pgxpool.NewWithConfig. The
// string says which TLS to use, and may leave out what the caller fills in. Errors quote no
// password.
func Pool(connection string) (*pgxpool.Config, error) {
	stated, err := alone(connection)
	if err != nil {
		return nil, err
	}
	return pgxpool.ParseConfig(stated)
}

// Connect opens one connection, as a connection string postgres://... says.
func Connect(ctx context.Context, connection string) (*pgx.Conn, error) {
	stated, err := alone(connection)
	if err != nil {
		return nil, err
	}
	return pgx.Connect(ctx, stated)
}

// alone lets a connection string be all that there is.
func alone(connection string) (string, error) {
	surroundings.Forget("PG")
	address, err := url.Parse(connection)
	if err != nil || address.Scheme != "postgres" {
		return "", fmt.Errorf("a connection string of PostgreSQL must be postgres://user:password@host:port/database")
	}
	query := address.Query()
	for name, value := range files {
		query.Set(name, value)
	}
	address.RawQuery = query.Encode()
	if address.Path == "" { // without host, user and path the slashes would be left out
		address.Path = "/"
	}
	return address.String(), nil
}
