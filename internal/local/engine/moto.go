package engine

import (
	"context"

	"diecast/internal/local/moto"
)

// Moto serves buckets and secrets, and answers for every service that no other engine serves.
var Moto = &Kind[*moto.Server]{
	name: "moto", endpoint: "AWS_ENDPOINT_URL", installed: moto.Installed,
	serve: func(ctx context.Context, options options) (*moto.Server, error) {
		return moto.Start(ctx, moto.Options{Dir: options.dir, Account: Account, Region: Region})
	},
}
