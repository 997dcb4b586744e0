package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5/pgxpool"

	"diecast/internal/awsdb"
	"diecast/internal/embeddings"
	"diecast/internal/environment"
	"diecast/internal/models/modelstore"
	"diecast/internal/models/ranking"
	"diecast/internal/models/similar"
	"diecast/internal/recommendation/reading"
)

const (
	// callTimeout bounds one call of an AWS service.
	callTimeout = 5 * time.Second
	// keptConnections to a service are enough for what a server does at a time.
	keptConnections = 64
)

// stores are where recommendations are read. Each is reached when it is first asked: the server
// serves without them.
type stores struct {
	recommendations *reading.Reader
	popular         *ranking.Active
	similar         *similar.Products
	vectors         *pgxpool.Pool
}

func openStores(ctx context.Context, settings environment.Web, configuration aws.Config) (*stores, error) {
	address, err := awsdb.SettingsOf(settings.StoreLogin.AsDatabase())
	if err != nil {
		return nil, err
	}
	vectors, err := awsdb.OpenPostgres(ctx, address, configuration)
	if err != nil {
		return nil, err
	}
	store := embeddings.NewStore(vectors)
	popular := &ranking.Active{Store: store, Bucket: modelstore.Bucket{
		Client: s3.NewFromConfig(configuration, modelstore.Quietly), Name: settings.ArtifactsBucket}}
	return &stores{
		recommendations: &reading.Reader{Table: dynamodb.NewFromConfig(configuration), Name: settings.Table,
			Popular: popular.Ranking},
		popular: popular, similar: similar.New(store), vectors: vectors,
	}, nil
}

// recorder is the part of the Kinesis client that is used.
type recorder interface {
	PutRecord(context.Context, *kinesis.PutRecordInput, ...func(*kinesis.Options)) (*kinesis.PutRecordOutput, error)
}

// putOn puts events on a stream, those of a session one after the other.
func putOn(client recorder, stream string) func(context.Context, string, []byte) error {
	return func(ctx context.Context, session string, event []byte) error {
		_, err := client.PutRecord(ctx,
			&kinesis.PutRecordInput{StreamName: &stream, PartitionKey: &session, Data: event})
		if err != nil {
			return fmt.Errorf("put an event on stream %s: %w", stream, err)
		}
		return nil
	}
}

func (s *stores) close() { s.vectors.Close() }
