// Package platform runs the synthesized platform on this machine: every resource of the assembly that runs is created on
// the laptop's engines, in CloudFormation's order, with the properties that the template gives it. Nothing of the platform is
// described here a second time: what an engine does comes from the template alone.
//
// The package knows the engines and the assembly, not what flows through them.
package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbapi "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	kinesisapi "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"golang.org/x/sync/errgroup"

	"diecast/internal/assembly"
	"diecast/internal/deployment/outputs"
	cloud "diecast/internal/local/aws"
	"diecast/internal/local/dynamodb"
	"diecast/internal/local/kinesis"
	"diecast/internal/local/lambdahost"
	"diecast/internal/local/process"
)

// Options of a run.
type Options struct {
	// Assembly is the folder that cdk synth wrote. Required.
	Assembly string
	// Source is the root of the Go module whose functions are built. Required.
	Source string
	// Dir keeps everything of this run: data, logs, outputs. What an earlier run of the same folder left running is stopped
	// first. Required.
	Dir string
	// ShortenBuffers caps the delivery streams' buffer intervals, so that a demonstration does not wait for them. Default 0:
	// the template's intervals.
	ShortenBuffers time.Duration
	// Progress is told each step as it begins. Default: nobody.
	Progress func(step string)
}

// Platform is a running platform.
type Platform struct {
	options     Options
	plan        *assembly.Plan
	credentials aws.Credentials

	cloud     *cloud.Server
	streams   *kinesis.Server
	tables    *dynamodb.Server
	functions *lambdahost.Host

	databases   []*database
	definitions []Function
	consumers   []*Consumer
	delivery    []*Delivery
	// byARN finds what a property names by ARN.
	byARN map[string]*assembly.Resource
	names map[*assembly.Resource]string

	stopping sync.Once
	stopped  error
	// stops are undone in reverse order.
	stops []func(context.Context) error
}

// OutputsFile is the file in a run's folder with the stacks' outputs and the engines' endpoints.
const OutputsFile = "outputs.json"

// Start checks the whole assembly first, starts the engines it needs and creates its resources. The error of an assembly
// that cannot run is an assembly.Problems, and nothing was started. When Start fails, nothing is left running.
func Start(ctx context.Context, options Options) (_ *Platform, err error) {
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	// Children have working directories of their own.
	if options.Dir, err = filepath.Abs(options.Dir); err != nil {
		return nil, err
	}
	assembled, err := assembly.Read(options.Assembly)
	if err != nil {
		return nil, err
	}
	p := &Platform{options: options, byARN: map[string]*assembly.Resource{}, names: map[*assembly.Resource]string{}}
	p.plan, err = assembled.Plan(assembly.Environment{Region: region, AccountID: account})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("the run's folder: %w", err)
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			err = errors.Join(err, p.Stop(ctx))
		}
	}()
	if err := p.startEngines(ctx); err != nil {
		return nil, err
	}
	if err := p.createResources(ctx); err != nil {
		return nil, err
	}
	return p, p.writeOutputs()
}

const (
	region  = "us-east-1"
	account = "000000000000"
	// stopTimeout bounds an orderly end; what still runs then is killed.
	stopTimeout = 15 * time.Second
)

// onStop has the engine stopped with the platform.
func (p *Platform) onStop(stop func(context.Context) error) { p.stops = append(p.stops, stop) }

// Stop ends everything in reverse order of its start: consumers first, so that what is under way is finished. Stopping
// twice does nothing.
func (p *Platform) Stop(ctx context.Context) error {
	p.stopping.Do(func() {
		var failures []error
		for i := len(p.stops) - 1; i >= 0; i-- {
			failures = append(failures, p.stops[i](ctx))
		}
		p.stopped = errors.Join(failures...)
	})
	return p.stopped
}

// startEngines starts the servers that do not depend on the template, side by side.
func (p *Platform) startEngines(ctx context.Context) error {
	p.options.Progress("starting the engines")
	p.credentials = aws.Credentials{AccessKeyID: "AKIADIECASTLOCALRUN0", SecretAccessKey: "for-engines-on-this-machine-only"}
	folder := func(name string) string { return filepath.Join(p.options.Dir, "engines", name) }
	for _, name := range []string{"aws", "kinesis", "dynamodb"} {
		if _, err := process.CleanUp(folder(name)); err != nil {
			return fmt.Errorf("stopping what an earlier run left: %w", err)
		}
	}
	var mutex sync.Mutex
	stopWith := func(stop func(context.Context) error) {
		mutex.Lock()
		defer mutex.Unlock()
		p.onStop(stop)
	}
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		p.cloud, err = cloud.Start(starting, cloud.Options{Dir: folder("aws"), Account: account, Region: region})
		if err == nil {
			stopWith(p.cloud.Stop)
		}
		return err
	})
	group.Go(func() (err error) {
		p.streams, err = kinesis.Start(starting, kinesis.Options{Dir: folder("kinesis"), Account: account, Region: region})
		if err == nil {
			stopWith(p.streams.Stop)
		}
		return err
	})
	group.Go(func() (err error) {
		p.tables, err = dynamodb.Start(starting, dynamodb.Options{Dir: folder("dynamodb"), Account: account, Region: region})
		if err == nil {
			stopWith(p.tables.Stop)
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	options := p.HostOptions()
	options.Dir = folder("lambda")
	var err error
	p.functions, err = lambdahost.Start(ctx, options)
	if err != nil {
		return err
	}
	p.onStop(p.functions.Stop)
	return nil
}

// createResources walks the plan in CloudFormation's order.
func (p *Platform) createResources(ctx context.Context) error {
	if err := p.buildFunctions(ctx); err != nil {
		return err
	}
	for _, resource := range p.plan.Resources() {
		typed, err := p.plan.Decode(resource)
		if err != nil {
			return err
		}
		if typed == nil {
			continue
		}
		p.options.Progress("creating " + resource.String())
		ref, attributes, err := p.create(ctx, resource, typed)
		if err != nil {
			return fmt.Errorf("%s (%s): %w", resource, resource.Type, err)
		}
		if err := p.plan.Created(resource, ref, attributes); err != nil {
			return err
		}
		p.names[resource] = ref
		if arn, ok := attributes["Arn"].(string); ok {
			p.byARN[arn] = resource
		}
	}
	return nil
}

// Function is one of the platform's, as the run's Lambda host knows it.
type Function struct {
	// Source is the Go package, such as lambda/transform.
	Source     string
	Definition lambdahost.Function
}

// Functions are all that run, in the order of their creation.
func (p *Platform) Functions() []Function { return p.definitions }

// HostOptions are those of the run's Lambda host, for another host of the same functions: Dir is to be set.
func (p *Platform) HostOptions() lambdahost.Options {
	return lambdahost.Options{
		Account: account, Region: region, Credentials: p.credentials,
		Environment: map[string]string{
			outputs.AnyEndpoint:                       p.cloud.Endpoint(),
			outputs.EndpointOf(kinesisapi.ServiceID):  p.streams.Endpoint(),
			outputs.EndpointOf(dynamodbapi.ServiceID): p.tables.Endpoint(),
		},
	}
}

// Count is how many resources have each fate.
func (p *Platform) Count() (run, checked int) {
	for _, resource := range p.plan.Resources() {
		if resource.Fate == assembly.Run {
			run++
		} else {
			checked++
		}
	}
	return run, checked
}

// Resources are all resources of the assembly in the order of their creation.
func (p *Platform) Resources() []*assembly.Resource { return p.plan.Resources() }

// Outputs are the stacks' outputs by stack name, as cdk deploy writes them.
func (p *Platform) Outputs() (map[string]map[string]string, error) { return p.plan.Outputs() }

// Endpoints are the engines' addresses, and the login that they take.
func (p *Platform) Endpoints() outputs.Endpoints {
	return outputs.Endpoints{
		outputs.AnyEndpoint:                          p.cloud.Endpoint(),
		outputs.EndpointOf(s3.ServiceID):             p.cloud.Endpoint(),
		outputs.EndpointOf(secretsmanager.ServiceID): p.cloud.Endpoint(),
		outputs.EndpointOf(kinesisapi.ServiceID):     p.streams.Endpoint(),
		outputs.EndpointOf(dynamodbapi.ServiceID):    p.tables.Endpoint(),
		outputs.EndpointOf(lambda.ServiceID):         p.functions.Endpoint(),
		outputs.AccessKeyID:                          p.credentials.AccessKeyID,
		outputs.SecretAccessKey:                      p.credentials.SecretAccessKey,
		outputs.Region:                               region,
	}
}

func (p *Platform) writeOutputs() error {
	stacks, err := p.Outputs()
	if err != nil {
		return err
	}
	data, err := outputs.File{Stacks: stacks, Endpoints: p.Endpoints()}.Encode()
	if err != nil {
		return err
	}
	file := filepath.Join(p.options.Dir, OutputsFile)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	// Endpoints on which nobody answers, or somebody else, are worse than none.
	p.onStop(func(context.Context) error { return os.Remove(file) })
	return nil
}

// Kinesis is a client of the run's streams.
func (p *Platform) Kinesis() *kinesisapi.Client { return p.streams.Client() }

// DynamoDB is a client of the run's tables.
func (p *Platform) DynamoDB() *dynamodbapi.Client { return p.tables.Client() }

// S3 is a client of the run's buckets.
func (p *Platform) S3() *s3.Client { return p.cloud.S3() }
