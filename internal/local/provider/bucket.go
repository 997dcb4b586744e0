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
	types: []string{"AWS::S3::Bucket"}, needs: []engine.Engine{engine.Moto},
	check: checkBucket, create: createBucket,
}

// bucketNames are those that S3 takes (Amazon S3 user guide, "Bucket naming rules"), at most
// longestBucketName characters long.
var bucketNames = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

const longestBucketName = 63

func checkBucket(_ context.Context, _ Options, resource *assembly.Resource, t *assembly.Bucket) assembly.Problems {
	if t.Name == "" || bucketNames.MatchString(t.Name) {
		return nil
	}
	return assembly.Problems{resource.Problem("Properties.BucketName",
		"got %q, want 3 to %d lower-case letters, digits, dots and hyphens, with a letter or digit at both ends",
		t.Name, longestBucketName)}
}

// bucketName is the template's, as it is, or one made to S3's rules.
func bucketName(resource *assembly.Resource, wanted string) string {
	if wanted != "" {
		return wanted
	}
	name := strings.ToLower(physicalName(resource, ""))
	if len(name) > longestBucketName {
		name = name[:54] + "-" + randomText(4)
	}
	return name
}

func createBucket(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Bucket,
) (assembly.Creation, error) {
	name := bucketName(resource, t.Name)
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
