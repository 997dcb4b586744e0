package awsdb

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"diecast/internal/postgresclient"
)

const (
	// A Lambda serves one request at a time; the second connection is for a new one while an old
	// one is being closed.
	poolSize       = 2
	connectTimeout = 5 * time.Second
	idleTimeout    = 10 * time.Minute
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
	connection.ConnectTimeout = connectTimeout
	// Statements are described once and kept unnamed, so that the planner sees the parameters: it
	// prunes partitions by them.
	connection.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	connection.RuntimeParams = map[string]string{"application_name": "diecast"}
	pool.MaxConns, pool.MaxConnIdleTime = poolSize, idleTimeout

	login := settings.Login(configuration)
	pool.BeforeConnect = func(ctx context.Context, fresh *pgx.ConnConfig) error {
		var err error
		fresh.User, fresh.Password, err = login(ctx)
		return err
	}
	return pgxpool.NewWithConfig(ctx, pool)
}
