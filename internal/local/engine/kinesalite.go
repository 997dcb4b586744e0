package engine

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/kinesalite"
)

// Kinesalite serves streams.
var Kinesalite = &Kind[*kinesalite.Server]{
	name: "kinesalite", installed: kinesalite.Installed,
	endpoints: []string{outputs.EndpointOf(kinesis.ServiceID)},
	serve: func(ctx context.Context, options options) (*kinesalite.Server, error) {
		return kinesalite.Start(ctx, kinesalite.Options{
			Dir: options.dir, Account: Account, Region: Region, Credentials: options.credentials,
			Source: options.source,
		})
	},
}
