// Package dataload runs a loader function as a custom resource, whenever what it
// loads has changed, through CDK's provider framework. It lives in a stack of its
// own, so that a failing load never rolls a database back. It must not know what
// is loaded.
package dataload

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/customresources"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/golambda"
	"diecast/constructs/nag"
	"diecast/constructs/role"
)

// Props configures a load.
type Props struct {
	// ResourceType is the custom resource's type, "Custom::" and a name. Changing it loads anew.
	ResourceType string
	// Loader answers Create, Update and Delete; it must be idempotent.
	Loader *golambda.Function
	// Properties are passed to the loader; a change of any runs it again. They
	// stand in the template in clear: no secrets.
	Properties map[string]string
	// Timeout is how long CloudFormation waits for the loader, in whole seconds up
	// to an hour. Required; more than the loader's own time-out, so that its
	// message arrives.
	Timeout time.Duration
	// LogRetention is how long the framework's log is kept. Required.
	LogRetention awslogs.RetentionDays
}

// Load is a load that CloudFormation runs.
type Load struct {
	resource awscdk.CustomResource
}

// New makes a load at id in scope.
func New(scope constructs.Construct, id string, p Props) *Load {
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	logs := awslogs.NewLogGroup(this, jsii.String("FrameworkLog"), &awslogs.LogGroupProps{
		Retention:     p.LogRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	runner := role.New(this, "FrameworkRole", role.Props{
		Service: "lambda.amazonaws.com", Description: "Runs the custom-resource framework",
	})
	runner.AllowLog(logs.LogGroupArn())
	provider := customresources.NewProvider(this, jsii.String("Provider"), &customresources.ProviderProps{
		OnEventHandler:       p.Loader.Function(),
		FrameworkOnEventRole: runner.Role(),
		LogGroup:             logs,
		// The default logs each request and answer; the loader's own log has what matters.
		FrameworkLambdaLoggingLevel: awslambda.ApplicationLogLevel_WARN,
	})
	acceptFramework(provider, runner)

	properties := map[string]any{}
	for name, value := range p.Properties {
		properties[name] = value
	}
	return &Load{resource: awscdk.NewCustomResource(this, jsii.String("Resource"), &awscdk.CustomResourceProps{
		ServiceToken:   provider.ServiceToken(),
		ResourceType:   jsii.String(p.ResourceType),
		Properties:     &properties,
		ServiceTimeout: awscdk.Duration_Seconds(jsii.Number(p.Timeout.Seconds())),
	})}
}

func (p Props) validate() {
	if p.Loader == nil {
		panic("dataload: Loader is required, got none; pass the function that loads")
	}
	if p.Timeout < time.Second || p.Timeout > time.Hour || p.Timeout%time.Second != 0 {
		panic(fmt.Sprintf("dataload: Timeout must be whole seconds from 1s to 1h, got %s; CloudFormation waits no "+
			"longer", p.Timeout))
	}
	if p.LogRetention == "" {
		panic("dataload: LogRetention is required, got none; the log would be kept for ever")
	}
}

func acceptFramework(provider customresources.Provider, runner *role.Role) {
	nag.Accept(runner.Role(), nag.Exception{
		Rule:     "AwsSolutions-IAM5",
		Reason:   "The provider framework invokes the loader by its unqualified ARN and its versions.",
		Matching: []string{`^Resource::.+:\*$`},
	})
	nag.Accept(provider.Node().FindChild(jsii.String("framework-onEvent")), nag.Exception{
		Rule:   "AwsSolutions-L1",
		Reason: "The runtime of the provider framework is CDK's own choice and moves with its version.",
	})
}

// Attribute is a value that the loader answered in Data.
func (l *Load) Attribute(name string) *string { return l.resource.GetAttString(jsii.String(name)) }
