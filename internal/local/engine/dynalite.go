package engine

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/dynalite"
)

// Dynalite serves tables.
var Dynalite = &Kind[*dynalite.Server]{
	name: "dynalite", installed: dynalite.Installed,
	endpoints: []string{outputs.EndpointOf(dynamodb.ServiceID)},
	serve: func(ctx context.Context, options options) (*dynalite.Server, error) {
		return dynalite.Start(ctx, dynalite.Options{
			Dir: options.dir, Account: Account, Region: Region, Credentials: options.credentials,
			Source: options.source,
		})
	},
}
