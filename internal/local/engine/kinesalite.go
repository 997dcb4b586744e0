package engine

import (
	"context"

	"diecast/internal/local/kinesalite"
)

// Kinesalite serves streams.
var Kinesalite = &Kind[*kinesalite.Server]{
	name: "kinesalite", endpoint: "AWS_ENDPOINT_URL_KINESIS", installed: kinesalite.Installed,
	serve: func(ctx context.Context, options options) (*kinesalite.Server, error) {
		return kinesalite.Start(ctx, kinesalite.Options{Dir: options.dir, Account: Account, Region: Region})
	},
}
