// Package kinesalite runs kinesalite on this machine in the place of Kinesis Data Streams, on
// 127.0.0.1 and in memory: what is stored is gone when the server ends. kinesalite knows streams by
// name, not by ARN alone, and has no enhanced fan-out.
//
// kinesalite is an npm package that `make setup` installs. The package knows nothing of the
// records.
package kinesalite

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"diecast/internal/local/awsapi"
)

const (
	// MaxShards bounds the shards of all streams of a server.
	MaxShards = 1000
	// DefaultRetention is that of a stream for which nothing else is asked, and the shortest;
	// MaxRetention is the longest (Kinesis API Reference, IncreaseStreamRetentionPeriod).
	DefaultRetention = 24 * time.Hour
	MaxRetention     = 8760 * time.Hour

	npmPackage = "kinesalite"
	// activeWithin bounds the wait for a stream; kinesalite is told to need no time.
	activeWithin = 30 * time.Second
)

//go:embed mend.js
var mend string

// Options of a server.
type Options = awsapi.Options

// Server is a running kinesalite.
type Server struct{ *awsapi.Server }

// Installed is the error, an installed.ErrNotInstalled, of a machine without kinesalite or Node.js;
// nil where both are there.
func Installed(_ context.Context, source string) error {
	return awsapi.NodeInstalled(npmPackage, source)
}

// Start starts kinesalite and returns once it listens. It fails with installed.ErrNotInstalled
// where the package or Node.js is missing. The context bounds the start only.
func Start(ctx context.Context, options Options) (*Server, error) {
	server, err := awsapi.Start(ctx, options, func(options Options) (awsapi.Program, error) {
		return awsapi.Node(npmPackage, awsapi.Package{
			Prelude: mend,
			Settings: map[string]any{"createStreamMs": 0, "deleteStreamMs": 0, "updateStreamMs": 0,
				"shardLimit": MaxShards},
			Environment: map[string]string{"AWS_ACCOUNT_ID": options.Account, "AWS_REGION": options.Region},
			Source:      options.Source,
		})
	})
	if err != nil {
		return nil, err
	}
	return &Server{server}, nil
}

// Client of the server.
func (s *Server) Client() *kinesis.Client { return kinesis.NewFromConfig(s.Config()) }

// Accepted is how many records a stream has accepted so far. An aggregate counts as the one record
// that it is.
func (s *Server) Accepted(ctx context.Context, stream string) (int, error) {
	told, err := s.Client().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &stream})
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	response, ok := middleware.GetRawResponse(told.ResultMetadata).(*smithyhttp.Response)
	if !ok {
		return 0, fmt.Errorf("stream %s: the answer has no headers", stream)
	}
	accepted, err := strconv.Atoi(response.Header.Get("X-Diecast-Accepted"))
	if err != nil {
		return 0, fmt.Errorf("stream %s: the records that it has accepted: %w", stream, err)
	}
	return accepted, nil
}

// Stream is what to create.
type Stream struct {
	Name   string
	Shards int
	// Retention is how long records are kept, in whole hours from DefaultRetention to MaxRetention.
	// Default DefaultRetention. No read gives a record that is older; the read that comes upon one
	// deletes it.
	Retention time.Duration
}

// CreateStream makes a stream, waits until it is ACTIVE and returns its ARN. A stream of that name
// must not be there.
func (s *Server) CreateStream(ctx context.Context, stream Stream) (arn string, err error) {
	if stream.Retention == 0 {
		stream.Retention = DefaultRetention
	}
	if stream.Retention < DefaultRetention || stream.Retention > MaxRetention || stream.Retention%time.Hour != 0 {
		return "", fmt.Errorf("create stream %s: retention %s: whole hours from %s to %s are allowed",
			stream.Name, stream.Retention, DefaultRetention, MaxRetention)
	}
	client, name := s.Client(), aws.String(stream.Name)
	input := &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(int32(stream.Shards))}
	if _, err := client.CreateStream(ctx, input); err != nil {
		return "", fmt.Errorf("create stream %s: %w", stream.Name, err)
	}
	waiter := kinesis.NewStreamExistsWaiter(client, func(options *kinesis.StreamExistsWaiterOptions) {
		options.MinDelay, options.MaxDelay = 10*time.Millisecond, time.Second
	})
	output, err := waiter.WaitForOutput(ctx, &kinesis.DescribeStreamInput{StreamName: name}, activeWithin)
	if err != nil {
		return "", fmt.Errorf("wait for stream %s: %w", stream.Name, err)
	}
	if stream.Retention > DefaultRetention {
		_, err := client.IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{
			StreamName: name, RetentionPeriodHours: aws.Int32(int32(stream.Retention / time.Hour)),
		})
		if err != nil {
			return "", fmt.Errorf("keep the records of stream %s for %s: %w", stream.Name, stream.Retention, err)
		}
	}
	return aws.ToString(output.StreamDescription.StreamARN), nil
}
