package awsdb

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"diecast/internal/postgresclient"
)

// OpenPostgres returns a pool for a PostgreSQL database. It connects when the first connection is
// asked for.
func OpenPostgres(ctx context.Context, settings Settings, configuration aws.Config) (*pgxpool.Pool, error) {
	security, err := settings.TLS()
	if err != nil {
		return nil, err
	}
	pool, err := postgresclient.Pool("postgres://?sslmode=disable") // TLS is set below
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to %s: %w", settings.Address(), err)
	}
	connection := pool.ConnConfig
	connection.Host, connection.Port, connection.Database = settings.Host, uint16(settings.Port), settings.Name
	connection.TLSConfig, connection.Fallbacks = security, nil
	connection.ConnectTimeout, connection.DialFunc = connectTimeout, dialer().DialContext
	// Statements are described once and kept unnamed, so that the planner sees the parameters: it
	// prunes partitions by them.
	connection.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	connection.RuntimeParams = map[string]string{"application_name": "diecast"}
	pool.MaxConns, pool.MaxConnIdleTime, pool.PingTimeout = poolSize, idleTimeout, pingTimeout
	pool.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true }
	pool.BeforeClose = closeBroken

	login := settings.Login(configuration)
	pool.BeforeConnect = func(ctx context.Context, fresh *pgx.ConnConfig) error {
		var err error
		fresh.User, fresh.Password, err = login(ctx)
		return err
	}
	return pgxpool.NewWithConfig(ctx, pool)
}

// closeBroken closes the socket of a connection that has failed. Left to itself the driver waits 15
// s for the last words of a server that is gone, and a place in the pool with it.
func closeBroken(connection *pgx.Conn) {
	if connection.IsClosed() {
		_ = connection.PgConn().Conn().Close() // nobody is left to tell
	}
}
