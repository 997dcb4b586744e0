package engine

import (
	"context"

	moto "diecast/internal/local/aws"
)

// Moto serves buckets and secrets, and answers for every service that no other engine serves.
var Moto = &Kind[*moto.Server]{
	name: "moto", endpoint: "AWS_ENDPOINT_URL", installed: pythonModule("moto"),
	serve: func(ctx context.Context, options options) (*moto.Server, error) {
		return moto.Start(ctx, moto.Options{Dir: options.dir, Account: Account, Region: Region})
	},
}
