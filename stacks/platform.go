// Package stacks wires the constructs into the platform's CloudFormation stacks,
// one file each. Dependencies point one way: a stack takes the exported values
// of those before it. Nothing here decides how a resource is built; that is the
// constructs' affair.
package stacks

import (
	"fmt"
	"log/slog"
	"maps"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/config"
	"diecast/constructs/handlerlog"
	"diecast/internal/deployment/outputs"
	"diecast/internal/environment"
)

// throttlesAdvice is where a person looks first when a function is refused concurrency.
const throttlesAdvice = "compare the account's and the function's limits with capacity.eventsPerSecond."

// Platform is every stack of the app.
type Platform struct {
	Network     *Network
	Vectors     *Vectors
	VectorsData *VectorsData
	Batch       *Batch
	BatchData   *BatchData
	Streaming   *Streaming
	Web         *Web
}

// New adds the platform's stacks to app.
func New(app awscdk.App, cfg config.Config) *Platform {
	network := NewNetwork(app, cfg)
	vectors := NewVectors(app, cfg, network)
	vectorsData := NewVectorsData(app, cfg, vectors)
	// After Vectors, whose loader its state machine invokes. A store that is empty has nothing to
	// refresh.
	batch := NewBatch(app, cfg, network, vectors)
	batchData := NewBatchData(app, cfg, batch)
	streaming := NewStreaming(app, cfg, network, vectors)
	// Inference needs the schema, not only the database.
	streaming.Stack.AddStackDependency(vectorsData.Stack, nil)
	web := NewWeb(app, cfg, network, vectors, batch, streaming)
	// The servers need the schemas and their users, not only the databases.
	web.Stack.AddStackDependency(batchData.Stack, nil)
	web.Stack.AddStackDependency(vectorsData.Stack, nil)
	for _, stack := range []awscdk.Stack{
		network.Stack, vectors.Stack, vectorsData.Stack, batch.Stack, batchData.Stack, streaming.Stack, web.Stack,
	} {
		handlerlog.New(stack, "HandlerLogs", handlerlog.Props{
			LogRetention: logRetention(cfg.Functions.LogRetentionDays),
		})
	}
	return &Platform{
		Network: network, Vectors: vectors, VectorsData: vectorsData, Batch: batch, BatchData: batchData,
		Streaming: streaming, Web: web,
	}
}

// newStack makes one of the platform's stacks, named <name>-<id>, deployable to
// whatever account and region the CLI is logged in to.
func newStack(app constructs.Construct, cfg config.Config, id outputs.Stack, description string) awscdk.Stack {
	stack := awscdk.NewStack(app, jsii.String(string(id)), &awscdk.StackProps{
		StackName:   jsii.String(id.Name(cfg.Name)),
		Description: jsii.String(description),
		// All of them or none: a destruction that is refused must be refused at its first stack.
		TerminationProtection: jsii.Bool(cfg.ProtectsStacks()),
	})
	for key, value := range map[string]string{"project": "diecast", "platform": cfg.Name, "profile": cfg.Profile} {
		awscdk.Tags_Of(stack).Add(jsii.String(key), jsii.String(value), nil)
	}
	return stack
}

// output publishes a value that a person or a command needs after deployment.
func output(stack awscdk.Stack, declared outputs.Output, value *string) {
	if id := *stack.Node().Id(); id != string(declared.Stack) {
		panic(fmt.Sprintf("stacks: output %s is declared for another stack than %s", declared, id))
	}
	awscdk.NewCfnOutput(stack, jsii.String(declared.Name), &awscdk.CfnOutputProps{Value: value,
		Description: jsii.String(declared.Meaning)})
}

// variables are an environment of internal/environment as a program takes it.
func variables(declared any) map[string]*string {
	all := map[string]*string{}
	for name, value := range environment.Variables(declared) {
		all[name] = jsii.String(value)
	}
	return all
}

// functionVariables are those of a function, with the level of its log.
func functionVariables(cfg config.Config, declared any) map[string]*string {
	all := variables(declared)
	maps.Copy(all, variables(environment.Log{Level: logLevel(cfg)}))
	return all
}

func logLevel(cfg config.Config) (level slog.Level) {
	if err := level.UnmarshalText([]byte(cfg.Functions.LogLevel)); err != nil {
		panic(fmt.Sprintf("stacks: config admits a functions.logLevel that log/slog does not know: %v", err))
	}
	return level
}
