// Package moto runs moto on this machine in the place of S3, Secrets Manager, STS, SSM, SNS and
// SQS, on 127.0.0.1 and in memory: what is stored is gone when the server ends. Kinesis, DynamoDB,
// Lambda and Firehose are served elsewhere, because moto loses records, is slow or does less than
// AWS there.
//
// moto is a Python package that `make setup` installs. The package knows nothing of what is stored.
package moto

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"diecast/internal/local/awsapi"
	"diecast/internal/local/installed"
	"diecast/internal/local/process"
)

//go:embed serve.py
var serve string

// silentFor is how long a connection may be silent, within a request or between two, before it is
// closed. A test shortens it.
var silentFor = 30 * time.Second

// Options of a server.
type Options = awsapi.Options

// Server is a running moto.
type Server struct{ *awsapi.Server }

// Installed is the error, an installed.ErrNotInstalled, of a machine without moto or its Python;
// nil where both are there.
func Installed(ctx context.Context) error {
	python, err := installed.Python()
	if err != nil {
		return err
	}
	err = process.Run(ctx, process.Command{
		Path: python,
		Arguments: []string{"-I", "-c",
			"import importlib.util, sys; sys.exit(importlib.util.find_spec('moto') is None)"},
	})
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return installed.Missing("the Python package moto", "looked in that of "+python)
	}
	return err
}

// Start starts moto and returns once it listens. It fails with installed.ErrNotInstalled where
// Python or moto is missing. The context bounds the start only.
func Start(ctx context.Context, options Options) (*Server, error) {
	server, err := awsapi.Start(ctx, options, func(options Options) (awsapi.Program, error) {
		python, err := installed.Python()
		return awsapi.Program{
			Name: "moto", Path: python,
			// Isolated: neither variables nor packages of the user's change what runs.
			Arguments: []string{"-I", "-c", serve},
			Environment: map[string]string{
				"MOTO_ACCOUNT_ID":        options.Account,
				"DIECAST_SILENT_SECONDS": strconv.FormatFloat(silentFor.Seconds(), 'f', -1, 64),
			},
		}, err
	})
	if err != nil && strings.Contains(err.Error(), "No module named 'moto") {
		return nil, errors.Join(installed.Missing("the Python package moto", "moto did not start"), err)
	}
	if err != nil {
		return nil, err
	}
	return &Server{server}, nil
}

// S3 is a client of the server. Buckets are in the path: an address has no subdomains.
func (s *Server) S3() *s3.Client {
	return s3.NewFromConfig(s.Config(), func(options *s3.Options) { options.UsePathStyle = true })
}

// SecretsManager is a client of the server.
func (s *Server) SecretsManager() *secretsmanager.Client {
	return secretsmanager.NewFromConfig(s.Config())
}

// Bucket is what to create.
type Bucket struct {
	Name string
	// Versioned keeps what is written over or deleted.
	Versioned bool
}

// CreateBucket makes an empty bucket. One that is there already keeps what is in it.
func (s *Server) CreateBucket(ctx context.Context, bucket Bucket) error {
	name := bucket.Name
	input := &s3.CreateBucketInput{Bucket: aws.String(name)}
	if region := s.Config().Region; region != awsapi.DefaultRegion { // the one region that may not be named
		input.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{
			LocationConstraint: s3types.BucketLocationConstraint(region),
		}
	}
	_, err := s.S3().CreateBucket(ctx, input)
	var owned *s3types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &owned) {
		return fmt.Errorf("create bucket %s: %w", name, err)
	}
	if !bucket.Versioned {
		return nil
	}
	_, err = s.S3().PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket:                  aws.String(name),
		VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		return fmt.Errorf("keep the versions of bucket %s: %w", name, err)
	}
	return nil
}

// CreateSecret makes a secret and returns its ARN. A secret of that name must not be there.
func (s *Server) CreateSecret(ctx context.Context, name, value string) (arn string, err error) {
	output, err := s.SecretsManager().CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(name),
		SecretString: aws.String(value)})
	if err != nil {
		return "", fmt.Errorf("create secret %s: %w", name, err)
	}
	return aws.ToString(output.ARN), nil
}

// SNS is a client of the server.
func (s *Server) SNS() *sns.Client { return sns.NewFromConfig(s.Config()) }

// CreateTopic makes a topic and returns its ARN. One that is there already stays as it is.
func (s *Server) CreateTopic(ctx context.Context, name string) (arn string, err error) {
	output, err := s.SNS().CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(name)})
	if err != nil {
		return "", fmt.Errorf("create topic %s: %w", name, err)
	}
	return aws.ToString(output.TopicArn), nil
}
