package engine

import (
	"context"

	"diecast/internal/local/dynalite"
)

// Dynalite serves tables.
var Dynalite = &Kind[*dynalite.Server]{
	name: "dynalite", endpoint: "AWS_ENDPOINT_URL_DYNAMODB", installed: dynalite.Installed,
	serve: func(ctx context.Context, options options) (*dynalite.Server, error) {
		return dynalite.Start(ctx, dynalite.Options{Dir: options.dir, Account: Account, Region: Region})
	},
}
