package provider

import (
	"context"
	"net/url"
	"strings"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/moto"
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
	server := engine.Moto.In(run.Engines)
	if err := server.CreateBucket(ctx, moto.Bucket{Name: name, Versioned: t.Versioned}); err != nil {
		return assembly.Creation{}, err
	}
	address, err := url.Parse(server.Endpoint())
	if err != nil {
		return assembly.Creation{}, err
	}
	domain := name + "." + address.Host
	return assembly.Creation{Ref: name, Attributes: map[string]any{
		"Arn": "arn:aws:s3:::" + name, "DomainName": domain, "RegionalDomainName": domain,
	}}, nil
}
