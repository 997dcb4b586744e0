package platform

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/engine"
)

// Endpoints are the engines' addresses, and the login that they take.
func (p *Platform) Endpoints() outputs.Endpoints { return p.engines.Endpoints() }

// Kinesis is a client of the run's streams. Like the other clients it is there where the assembly
// has what it is for.
func (p *Platform) Kinesis() *kinesis.Client { return engine.Kinesalite.In(p.engines).Client() }

// DynamoDB is a client of the run's tables.
func (p *Platform) DynamoDB() *dynamodb.Client { return engine.Dynalite.In(p.engines).Client() }

// S3 is a client of the run's buckets.
func (p *Platform) S3() *s3.Client { return engine.Moto.In(p.engines).S3() }

// Secret reads a secret's value.
func (p *Platform) Secret(ctx context.Context, arn string) (string, error) {
	client := engine.Moto.In(p.engines).SecretsManager()
	secret, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return "", err
	}
	return *secret.SecretString, nil
}
