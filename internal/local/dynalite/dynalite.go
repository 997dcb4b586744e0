// Package dynalite runs dynalite on this machine in the place of DynamoDB, on 127.0.0.1 and in
// memory: what is stored is gone when the server ends. dynalite has no transactions, and it never
// removes an item whose time to live is over.
//
// dynalite is an npm package that `make setup` installs. The package knows nothing of the items.
package dynalite

import (
	"context"
	_ "embed"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"diecast/internal/local/awsapi"
)

// activeWithin bounds the wait for a table; dynalite is told to need no time.
const activeWithin = 30 * time.Second

// npmPackage is the name.
const npmPackage = "dynalite"

//go:embed mend.js
var mend string

// Options of a server.
type Options = awsapi.Options

// Server is a running dynalite.
type Server struct{ *awsapi.Server }

// Installed is the error, an installed.ErrNotInstalled, of a machine without dynalite or Node.js;
// nil where both are there.
func Installed(_ context.Context, source string) error {
	return awsapi.NodeInstalled(npmPackage, source)
}

// Start starts dynalite and returns once it listens. It fails with installed.ErrNotInstalled where
// the package or Node.js is missing. The context bounds the start only.
func Start(ctx context.Context, options Options) (*Server, error) {
	server, err := awsapi.Start(ctx, options, func(options Options) (awsapi.Program, error) {
		return awsapi.Node(npmPackage, awsapi.Package{
			Prelude:     mend,
			Settings:    map[string]any{"createTableMs": 0, "deleteTableMs": 0, "updateTableMs": 0},
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
func (s *Server) Client() *dynamodb.Client { return dynamodb.NewFromConfig(s.Config()) }
