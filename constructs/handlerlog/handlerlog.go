// Package handlerlog gives the functions that CDK adds to a stack by itself, behind its custom
// resources, a log group with a retention, which goes with the stack. Lambda would make one at the
// first line that is logged, keep it for ever, and leave it when the stack goes. The package must
// not know what the functions do.
package handlerlog

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Props configures the logs.
type Props struct {
	// LogRetention is how long they are kept. Required.
	LogRetention awslogs.RetentionDays
}

// provider ends the id of CDK's constructs that hold such a function, below the stack itself;
// handler is the function's own.
const provider, handler = "CustomResourceProvider", "Handler"

// New makes the log groups at id in a stack, for the functions that are there: it comes last.
func New(stack awscdk.Stack, id string, p Props) {
	if p.LogRetention == "" {
		panic("handlerlog: LogRetention is required, got none; the logs would be kept for ever")
	}
	this := constructs.NewConstruct(stack, jsii.String(id))
	for _, child := range *stack.Node().Children() {
		name := *child.Node().Id()
		function, ok := child.Node().TryFindChild(jsii.String(handler)).(awscdk.CfnResource)
		if !ok || !strings.HasSuffix(name, provider) {
			continue
		}
		logs := awslogs.NewLogGroup(this, jsii.String(name), &awslogs.LogGroupProps{
			Retention: p.LogRetention, RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
		})
		function.AddPropertyOverride(jsii.String("LoggingConfig"), map[string]any{"LogGroup": logs.LogGroupName()})
	}
}
