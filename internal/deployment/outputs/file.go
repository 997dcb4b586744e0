package outputs

import (
	"encoding/json"
	"fmt"
	"strings"

	"diecast/internal/plaintext"
)

// File is what `cdk deploy --outputs-file` writes: an object of outputs for each stack. The
// laptop's run writes its Endpoints beside them, so that nobody can take it for a deployment on
// AWS.
type File struct {
	// Stacks holds the outputs by name, by the stack's name in CloudFormation.
	Stacks map[string]map[string]string
	// Endpoints is nil in a file of AWS.
	Endpoints Endpoints
}

// Endpoints of a laptop's run: the addresses of its engines and the login that they take, by the
// names of the environment variables that AWS's SDKs and command line read, so that a shell can
// export them as they are.
type Endpoints map[string]string

// The names in Endpoints beside those of EndpointOf.
const (
	// AnyEndpoint is for programs that are told of no single service; a Deployment never uses it.
	AnyEndpoint     = "AWS_ENDPOINT_URL"
	AccessKeyID     = "AWS_ACCESS_KEY_ID"
	SecretAccessKey = "AWS_SECRET_ACCESS_KEY"
	Region          = "AWS_REGION"
)

// Apart is what Endpoints have besides, for a shell that exports them: AWS's command line of
// version 1 reads another name for the region; what the user's files say of profiles, addresses and
// logins is not for a run, nor are an instance's login and the network's proxy. Variables that a
// shell must not have at all it has to unset itself (docs/local.md). A Deployment uses none of
// them.
func Apart(region string) Endpoints {
	const loopback = "127.0.0.1,localhost,::1"
	return Endpoints{
		"AWS_DEFAULT_REGION": region, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": loopback, "no_proxy": loopback,
	}
}

// EndpointOf is the name in Endpoints of a service's address. The service is the SDK's ServiceID,
// such as Secrets Manager.
// https://docs.aws.amazon.com/sdkref/latest/guide/ss-endpoints-env.html
func EndpointOf(service string) string {
	return AnyEndpoint + "_" + strings.ToUpper(strings.ReplaceAll(service, " ", "_"))
}

// endpointsKey stands beside the stacks. No stack can have this name: theirs have a hyphen.
const endpointsKey = "endpoints"

// Encode writes the file.
func (f File) Encode() ([]byte, error) {
	written := map[string]any{}
	for stack, outputs := range f.Stacks {
		written[stack] = outputs
	}
	if f.Endpoints != nil {
		written[endpointsKey] = f.Endpoints
	}
	data, err := json.MarshalIndent(written, "", "  ")
	return append(data, '\n'), err
}

// Decode reads the file.
func Decode(data []byte) (File, error) {
	text, err := plaintext.Trim(data)
	if err != nil {
		return File{}, err
	}
	var members map[string]map[string]string
	if err := json.Unmarshal(text, &members); err != nil {
		return File{}, fmt.Errorf("it is not an object of outputs for each stack: %w", err)
	}
	file := File{Stacks: map[string]map[string]string{}}
	for name, values := range members {
		if name != endpointsKey {
			file.Stacks[name] = values
			continue
		}
		file.Endpoints = Endpoints(values)
		if file.Endpoints == nil { // null: still not AWS
			file.Endpoints = Endpoints{}
		}
	}
	return file, nil
}
