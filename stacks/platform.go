// Package stacks wires the constructs into the platform's CloudFormation stacks,
// one file each. Dependencies point one way: a stack takes the exported values
// of those before it. Nothing here decides how a resource is built; that is the
// constructs' affair.
package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/config"
)

// throttlesAdvice is where a person looks first when a function is refused concurrency.
const throttlesAdvice = "compare the account's and the function's limits with capacity.eventsPerSecond."

// Platform is every stack of the app.
type Platform struct {
	Network     *Network
	Vectors     *Vectors
	VectorsData *VectorsData
	Streaming   *Streaming
}

// New adds the platform's stacks to app.
func New(app awscdk.App, cfg config.Config) *Platform {
	network := NewNetwork(app, cfg)
	vectors := NewVectors(app, cfg, network)
	vectorsData := NewVectorsData(app, cfg, vectors)
	streaming := NewStreaming(app, cfg, network, vectors)
	// Inference needs the schema, not only the database.
	streaming.Stack.AddStackDependency(vectorsData.Stack, nil)
	return &Platform{Network: network, Vectors: vectors, VectorsData: vectorsData, Streaming: streaming}
}

// newStack makes one of the platform's stacks, named <name>-<id>, deployable to
// whatever account and region the CLI is logged in to.
func newStack(app constructs.Construct, cfg config.Config, id, description string) awscdk.Stack {
	stack := awscdk.NewStack(app, jsii.String(id), &awscdk.StackProps{
		StackName:   jsii.String(cfg.Name + "-" + id),
		Description: jsii.String(description),
	})
	for key, value := range map[string]string{"project": "diecast", "platform": cfg.Name, "profile": cfg.Profile} {
		awscdk.Tags_Of(stack).Add(jsii.String(key), jsii.String(value), nil)
	}
	return stack
}

// output documents a value that a person or a command needs after deployment.
func output(stack awscdk.Stack, name string, value *string, description string) {
	awscdk.NewCfnOutput(stack, jsii.String(name), &awscdk.CfnOutputProps{Value: value, Description: jsii.String(description)})
}
