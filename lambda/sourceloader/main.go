// Command sourceloader creates the source database and fills it: at deployment, as a custom
// resource, and on demand it tells its state, lets a generated shop live on, and answers queries,
// for operators. Its environment is environment.Source.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/awsdb"
	"diecast/internal/environment"
	"diecast/internal/source"
	"diecast/lambda/internal/function"
	"diecast/lambda/sourceloader/handler"
)

func main() {
	function.Start(func(ctx context.Context, logger *slog.Logger) (any, error) {
		// Opened by the first event that needs it: deleting the stack must succeed whatever is
		// wrong here.
		connect := sync.OnceValues(func() (handler.Backend, error) { return open(ctx, environment.OfProcess()) })
		return handler.Handler{
			Open:   func(context.Context) (handler.Backend, error) { return connect() },
			Logger: logger,
		}.Handle, nil
	})
}

// open returns clients that live as long as the process; it connects to nothing.
func open(ctx context.Context, variables map[string]string) (handler.Backend, error) {
	read, err := environment.Read[environment.Source](variables)
	if err != nil {
		return handler.Backend{}, err
	}
	administrator, err := awsdb.SettingsOf(read.Database)
	if err != nil {
		return handler.Backend{}, err
	}
	reader, err := awsdb.SettingsOf(read.AsReader())
	if err != nil {
		return handler.Backend{}, fmt.Errorf("the queries' login (READER_DATABASE_*): %w", err)
	}
	configuration, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return handler.Backend{}, err
	}
	pool, err := awsdb.OpenMySQL(administrator, configuration)
	if err != nil {
		return handler.Backend{}, err
	}
	readers, err := awsdb.OpenMySQL(reader, configuration)
	if err != nil {
		return handler.Backend{}, err
	}
	return handler.Backend{Source: source.New(pool), Reader: readers, Dumps: s3.NewFromConfig(configuration)}, nil
}
