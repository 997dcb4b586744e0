// Command inference recommends: to the stream's consumers in batches, and to the course's three HTTP routes through a
// function URL.
//
// Environment: DATABASE_*, see internal/awsdb; ARTIFACTS_BUCKET, the bucket that holds models/<model version>/.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	runtime "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/awsdb"
	"diecast/internal/embeddings"
	"diecast/lambda/internal/function"
	"diecast/lambda/internal/modelstore"
)

func main() {
	logger := function.NewLogger()
	engine, err := newEngine(context.Background(), os.Getenv, logger)
	if err != nil {
		logger.Error("cannot start", slog.Any("error", err))
		os.Exit(1)
	}
	runtime.Start(Handler{Engine: engine}.Handle)
}

// newEngine reads the environment and makes the clients; it connects to nothing.
func newEngine(ctx context.Context, getenv func(string) string, logger *slog.Logger) (*Engine, error) {
	settings, err := awsdb.FromEnvironment(getenv)
	bucket := getenv("ARTIFACTS_BUCKET")
	if bucket == "" {
		err = errors.Join(err, errors.New("ARTIFACTS_BUCKET is not set: the bucket that holds the models"))
	}
	if err != nil {
		return nil, err
	}
	configuration, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	pool, err := awsdb.OpenPostgres(ctx, settings, configuration)
	if err != nil {
		return nil, err
	}
	return &Engine{
		Store:  embeddings.NewStore(pool),
		Bucket: modelstore.Bucket{Client: s3.NewFromConfig(configuration), Name: bucket},
		Logger: logger,
	}, nil
}
