// Package vectorbackend opens what the functions of the vector store work on: its database and the
// bucket of models. It knows nothing of what they do there.
package vectorbackend

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/awsdb"
	"diecast/internal/embeddings"
	"diecast/internal/environment"
	"diecast/internal/models/modelstore"
)

// Backend lives as long as the process.
type Backend struct {
	Store  *embeddings.Store
	Models modelstore.Bucket
	// S3 is the client of Models, for who writes there or reads elsewhere.
	S3 *s3.Client
}

// Open makes the clients; it connects to nothing.
func Open(ctx context.Context, read environment.VectorStore) (Backend, error) {
	settings, err := awsdb.SettingsOf(read.Database)
	if err != nil {
		return Backend{}, err
	}
	configuration, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return Backend{}, err
	}
	pool, err := awsdb.OpenPostgres(ctx, settings, configuration)
	if err != nil {
		return Backend{}, err
	}
	client := s3.NewFromConfig(configuration, modelstore.Quietly)
	return Backend{
		Store:  embeddings.NewStore(pool),
		Models: modelstore.Bucket{Client: client, Name: read.ArtifactsBucket},
		S3:     client,
	}, nil
}
