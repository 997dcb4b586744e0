// Package kinesalite runs kinesalite on this machine in the place of Kinesis Data Streams, on 127.0.0.1 and in memory: what is
// stored is gone when the server ends. kinesalite knows streams by name, not by ARN alone, and has no enhanced fan-out.
//
// kinesalite is an npm package that `make setup` installs. The package knows nothing of the records.
package kinesalite

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"diecast/internal/local/awsapi"
)

// MaxShards bounds the shards of all streams of a server.
const MaxShards = 1000

// activeWithin bounds the wait for a stream; kinesalite is told to need no time.
const activeWithin = 30 * time.Second

// Options of a server.
type Options = awsapi.Options

// Server is a running kinesalite.
type Server struct{ *awsapi.Server }

// Start starts kinesalite and returns once it listens. It fails with installed.ErrNotInstalled where the package is missing. The
// context bounds the start only.
func Start(ctx context.Context, options Options) (*Server, error) {
	server, err := awsapi.Start(ctx, options, func(options Options) (awsapi.Program, error) {
		settings := map[string]any{"createStreamMs": 0, "deleteStreamMs": 0, "updateStreamMs": 0, "shardLimit": MaxShards}
		return awsapi.Node("kinesalite", settings, "AWS_ACCOUNT_ID="+options.Account, "AWS_REGION="+options.Region)
	})
	if err != nil {
		return nil, err
	}
	return &Server{server}, nil
}

// Client of the server.
func (s *Server) Client() *kinesis.Client { return kinesis.NewFromConfig(s.Config()) }

// CreateStream makes a stream with so many shards, waits until it is ACTIVE and returns its ARN. A stream of that name must
// not be there.
func (s *Server) CreateStream(ctx context.Context, name string, shards int) (arn string, err error) {
	client := s.Client()
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String(name), ShardCount: aws.Int32(int32(shards))}); err != nil {
		return "", fmt.Errorf("create stream %s: %w", name, err)
	}
	waiter := kinesis.NewStreamExistsWaiter(client, func(options *kinesis.StreamExistsWaiterOptions) {
		options.MinDelay, options.MaxDelay = 10*time.Millisecond, time.Second
	})
	output, err := waiter.WaitForOutput(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String(name)}, activeWithin)
	if err != nil {
		return "", fmt.Errorf("wait for stream %s: %w", name, err)
	}
	return aws.ToString(output.StreamDescription.StreamARN), nil
}
