package provider

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"diecast/internal/assembly"
	"diecast/internal/deployment/outputs"
	"diecast/internal/local/engine"
	"diecast/internal/local/stepfunctions"
	"diecast/internal/local/stepfunctions/asl"
)

// State machines need moto whatever they call: topics and buckets are there. That the hosts of what
// they call run is checkStateMachines' affair.
var stateMachine = kind[assembly.StateMachine]{
	types: []string{"AWS::StepFunctions::StateMachine"}, needs: []engine.Engine{engine.StateMachineHost, engine.Moto},
	check: checkStateMachine, create: createStateMachine,
}

func checkStateMachine(
	_ context.Context, _ Options, resource *assembly.Resource, t *assembly.StateMachine,
) (problems assembly.Problems) {
	if t.Definition == "" {
		return nil // told when it was decoded
	}
	definition := complete(t)
	if left := placeSyntax.FindString(definition); left != "" {
		problems = append(problems, resource.Problem("Properties.DefinitionString",
			"has %s, and DefinitionSubstitutions has nothing for it", left))
	}
	var refused asl.Problems
	if err := stepfunctions.Check(definition); errors.As(err, &refused) {
		for _, one := range refused {
			problems = append(problems, resource.Problem("Properties.DefinitionString", "%s", one))
		}
	}
	return problems
}

// checkStateMachines refuses machines that call jobs or functions where a run has none: nothing
// would answer.
func checkStateMachines(plan *assembly.Plan) (problems assembly.Problems) {
	has := map[string]bool{s3.ServiceID: true, sns.ServiceID: true}
	for range rehearsed[assembly.Job](plan) {
		has[glue.ServiceID] = true
	}
	for range rehearsed[assembly.Function](plan) {
		has[lambda.ServiceID] = true
	}
	for resource, machine := range rehearsed[assembly.StateMachine](plan) {
		for _, service := range stepfunctions.Services(machine.Definition) {
			if !has[service] {
				problems = append(problems, resource.Problem("Properties.DefinitionString",
					"calls %s, and nothing in these templates is served by it", service))
			}
		}
	}
	return problems
}

// placeSyntax is a place of a definition that CloudFormation fills in.
var placeSyntax = regexp.MustCompile(`\$\{[A-Za-z0-9_]+\}`)

// complete is a definition with everything filled in, as CloudFormation does: in one pass over the
// text. What is not known yet has its name.
func complete(t *assembly.StateMachine) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(t.Substitutions)) {
		pairs = append(pairs, "${"+name+"}", cmp.Or(t.Substitutions[name], name))
	}
	return strings.NewReplacer(pairs...).Replace(t.Definition)
}

func createStateMachine(
	_ context.Context, run *Run, resource *assembly.Resource, t *assembly.StateMachine,
) (assembly.Creation, error) {
	host, name := engine.StateMachineHost.In(run.Engines), physicalName(resource, t.Name)
	if len(name) > maxMachineName {
		name = name[:maxMachineName-9] + "-" + randomText(4)
	}
	arn, err := host.Add(stepfunctions.Machine{
		Name: name, Definition: complete(t), Role: t.Role, Clients: calledBy(run.Engines.Endpoints()),
	})
	if err != nil {
		return assembly.Creation{}, err
	}
	// Its executions end first, while what they call still works: a run of a job can be stopped.
	run.onFlush(func(context.Context) error {
		host.Remove(arn)
		return nil
	})
	return assembly.Creation{Ref: arn, Attributes: map[string]any{"Arn": arn, "Name": name}}, nil
}

// maxMachineName is how many characters the name of a state machine has (Step Functions API
// reference, CreateStateMachine).
const maxMachineName = 80

// calledBy are clients of the run's engines, as far as they run.
func calledBy(endpoints outputs.Endpoints) stepfunctions.Clients {
	login := credentials.NewStaticCredentialsProvider(endpoints[outputs.AccessKeyID],
		endpoints[outputs.SecretAccessKey], "")
	at := func(service string) (aws.Config, bool) {
		endpoint, served := endpoints[outputs.EndpointOf(service)]
		return aws.Config{Region: endpoints[outputs.Region], Credentials: login, BaseEndpoint: &endpoint}, served
	}
	var clients stepfunctions.Clients
	if configuration, served := at(glue.ServiceID); served {
		clients.Glue = glue.NewFromConfig(configuration)
	}
	if configuration, served := at(lambda.ServiceID); served {
		clients.Lambda = lambda.NewFromConfig(configuration)
	}
	if configuration, served := at(s3.ServiceID); served {
		clients.S3 = s3.NewFromConfig(configuration, func(options *s3.Options) { options.UsePathStyle = true })
	}
	if configuration, served := at(sns.ServiceID); served {
		clients.SNS = sns.NewFromConfig(configuration)
	}
	return clients
}
