package provider

import (
	"context"
	"net/url"
	"regexp"
	"strings"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/moto"
)

var bucket = kind[assembly.Bucket]{
	types: []string{"AWS::S3::Bucket"}, needs: []engine.Engine{engine.Moto}, check: checkBucket, create: createBucket,
}

// bucketName are S3's rules for names, but for reserved beginnings and ends (Amazon S3 user guide,
// "Bucket naming rules").
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func checkBucket(
	_ context.Context, _ Options, resource *assembly.Resource, t *assembly.Bucket,
) assembly.Problems {
	if t.Name != "" && !bucketName.MatchString(t.Name) {
		return assembly.Problems{resource.Problem("Properties.BucketName",
			"got %q, want 3 to 63 lower-case letters, digits, "+
				"dots and hyphens, beginning and ending with a letter or digit", t.Name)}
	}
	return nil
}

func createBucket(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Bucket,
) (assembly.Creation, error) {
	name := t.Name
	if name == "" {
		// CloudFormation makes names that S3 takes, too.
		name = strings.ToLower(physicalName(resource, ""))
		if len(name) > 63 {
			name = name[:54] + "-" + randomText(4)
		}
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
