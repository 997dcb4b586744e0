package provider

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
)

var bucket = kind[assembly.Bucket]{
	types: []string{"AWS::S3::Bucket"}, needs: []engine.Engine{engine.Moto}, create: createBucket,
}

func createBucket(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Bucket,
) (assembly.Creation, error) {
	// Bucket names are lower-case and at most 63 characters long (Amazon S3 user guide, "Bucket
	// naming rules").
	name := strings.ToLower(physicalName(resource, t.Name))
	if len(name) > 63 {
		name = name[:54] + "-" + randomText(4)
	}
	moto := engine.Moto.In(run.Engines)
	if err := moto.CreateBucket(ctx, name); err != nil {
		return assembly.Creation{}, err
	}
	if t.Versioned {
		_, err := moto.S3().PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket:                  &name,
			VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		})
		if err != nil {
			return assembly.Creation{}, fmt.Errorf("keep versions in bucket %s: %w", name, err)
		}
	}
	address, err := url.Parse(moto.Endpoint())
	if err != nil {
		return assembly.Creation{}, err
	}
	domain := name + "." + address.Host
	return assembly.Creation{Ref: name, Attributes: map[string]any{
		"Arn": "arn:aws:s3:::" + name, "DomainName": domain, "RegionalDomainName": domain,
	}}, nil
}
