// Command vectorloader creates the vector store and loads models into it: at deployment, as a custom resource, and on
// demand, for operators and the state machine.
//
// Environment: DATABASE_*, see internal/awsdb; ARTIFACTS_BUCKET, the bucket that holds models/<model version>/.
package main

import (
	"context"
	"errors"
	"os"
	"sync"

	runtime "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/awsdb"
	"diecast/internal/embeddings"
	"diecast/lambda/internal/function"
	"diecast/lambda/internal/modelstore"
	shipped "diecast/training/artifacts"
)

func main() {
	logger := function.NewLogger()
	// Opened by the first event that needs it: deleting the stack must succeed whatever is wrong here.
	connect := sync.OnceValues(func() (Backend, error) { return open(os.Getenv) })
	runtime.Start(Handler{
		Open:    func(context.Context) (Backend, error) { return connect() },
		Shipped: shipped.Model,
		Logger:  logger,
	}.Handle)
}

// open returns clients that live as long as the process.
func open(getenv func(string) string) (Backend, error) {
	settings, err := awsdb.FromEnvironment(getenv)
	bucket := getenv("ARTIFACTS_BUCKET")
	if bucket == "" {
		err = errors.Join(err, errors.New("ARTIFACTS_BUCKET is not set: the bucket that holds the models"))
	}
	if err != nil {
		return Backend{}, err
	}
	ctx := context.Background()
	configuration, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return Backend{}, err
	}
	pool, err := awsdb.OpenPostgres(ctx, settings, configuration)
	if err != nil {
		return Backend{}, err
	}
	client := s3.NewFromConfig(configuration)
	return Backend{
		Store:  embeddings.NewStore(pool),
		Bucket: modelstore.Bucket{Client: client, Name: bucket},
		Upload: client,
	}, nil
}
