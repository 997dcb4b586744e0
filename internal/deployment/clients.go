package deployment

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"diecast/internal/deployment/outputs"
	"diecast/internal/environment"
)

// Kinesis is a client of the deployment's streams.
func (d *Deployment) Kinesis(ctx context.Context) (*kinesis.Client, error) {
	return client(ctx, d, kinesis.ServiceID, kinesis.NewFromConfig)
}

// DynamoDB is a client of the deployment's tables.
func (d *Deployment) DynamoDB(ctx context.Context) (*dynamodb.Client, error) {
	return client(ctx, d, dynamodb.ServiceID, dynamodb.NewFromConfig)
}

// Glue is a client of the deployment's jobs.
func (d *Deployment) Glue(ctx context.Context) (*glue.Client, error) {
	return client(ctx, d, glue.ServiceID, glue.NewFromConfig)
}

// AutoScaling is a client of the deployment's groups of servers.
func (d *Deployment) AutoScaling(ctx context.Context) (*autoscaling.Client, error) {
	return client(ctx, d, autoscaling.ServiceID, autoscaling.NewFromConfig)
}

// S3 is a client of the deployment's buckets. On this machine buckets are in the path: an address
// has no subdomains.
func (d *Deployment) S3(ctx context.Context) (*s3.Client, error) {
	return client(ctx, d, s3.ServiceID, s3.NewFromConfig, func(options *s3.Options) {
		options.UsePathStyle = d.contents.Endpoints != nil
	})
}

// Lambda is a client of the deployment's functions.
func (d *Deployment) Lambda(ctx context.Context) (*lambda.Client, error) {
	return client(ctx, d, lambda.ServiceID, lambda.NewFromConfig)
}

// SecretsManager is a client of the deployment's secrets.
func (d *Deployment) SecretsManager(ctx context.Context) (*secretsmanager.Client, error) {
	return client(ctx, d, secretsmanager.ServiceID, secretsmanager.NewFromConfig)
}

// StepFunctions is a client of the deployment's state machines.
func (d *Deployment) StepFunctions(ctx context.Context) (*sfn.Client, error) {
	return client(ctx, d, sfn.ServiceID, sfn.NewFromConfig)
}

// client of a service, made from the deployment's configuration for it.
func client[Client, Option any](
	ctx context.Context, d *Deployment, service string, create func(aws.Config, ...Option) Client, options ...Option,
) (Client, error) {
	configuration, err := d.configuration(ctx, service)
	if err != nil {
		var none Client
		return none, fmt.Errorf("file of outputs %s: %w", d.file, err)
	}
	return create(configuration, options...), nil
}

// configuration of a service's client. For a run on this machine it is the file's alone: a value in
// the environment or in a profile could send a request to AWS.
func (d *Deployment) configuration(ctx context.Context, service string) (aws.Config, error) {
	if d.contents.Endpoints == nil {
		return d.fromChain(ctx)
	}
	var problems []error
	value := func(name string) string {
		if d.contents.Endpoints[name] == "" {
			problems = append(problems,
				fmt.Errorf("its endpoints lack %s, so that %s cannot be reached on this machine", name, service))
		}
		return d.contents.Endpoints[name]
	}
	endpoint, region := value(outputs.EndpointOf(service)), value(outputs.Region)
	key, secret := value(outputs.AccessKeyID), value(outputs.SecretAccessKey)
	address, err := url.Parse(endpoint)
	if endpoint != "" && (err != nil || !environment.Loopback(address.Hostname())) {
		problems = append(problems,
			fmt.Errorf("%s is %q: the address of a run is on this machine, such as http://127.0.0.1:4566",
				outputs.EndpointOf(service), endpoint))
	}
	if err := errors.Join(problems...); err != nil {
		return aws.Config{}, err
	}
	return aws.Config{
		Region: region, BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
	}, nil
}

// fromChain is AWS's default configuration, for the region that the platform is deployed to.
func (d *Deployment) fromChain(ctx context.Context) (aws.Config, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.cloud != nil {
		return *d.cloud, nil
	}
	var options []func(*config.LoadOptions) error
	if place, known := d.place(); known {
		options = append(options, config.WithRegion(place.Region))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf(
			"the AWS configuration cannot be loaded; `aws sts get-caller-identity` must work: %w", err)
	}
	d.cloud = &loaded
	return loaded, nil
}
