package engine

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/moto"
)

// Moto serves buckets, secrets and topics, and answers for every service that no other engine
// serves.
var Moto = &Kind[*moto.Server]{
	name: "moto", installed: anywhere(moto.Installed), endpoints: []string{
		outputs.AnyEndpoint, outputs.EndpointOf(s3.ServiceID), outputs.EndpointOf(secretsmanager.ServiceID),
		outputs.EndpointOf(sns.ServiceID),
	},
	serve: func(ctx context.Context, options options) (*moto.Server, error) {
		return moto.Start(ctx, moto.Options{
			Dir: options.dir, Account: Account, Region: Region, Credentials: options.credentials,
		})
	},
}
