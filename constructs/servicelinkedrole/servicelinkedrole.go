// Package servicelinkedrole has the roles that AWS services run in made before anything needs them.
// A service makes its role itself at its first use in an account, and that first use then may fail,
// because the role is not there in time. AWS::IAM::ServiceLinkedRole fails where the role exists;
// the custom resource here takes that for done. The roles stay when the stack goes: they are the
// account's. The package must not know what the services are used for.
package servicelinkedrole

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/customresources"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/nag"
)

// ResourceType is the custom resource's type.
const ResourceType = "Custom::ServiceLinkedRole"

// Props configures the roles.
type Props struct {
	// Services are those whose roles must exist, such as "autoscaling.amazonaws.com". Required.
	Services []string
	// LogRetention is how long the log of the function that asks for the roles is kept. Required.
	LogRetention awslogs.RetentionDays
}

// New has the roles made at id in scope. One function of CDK's own asks for all roles of a stack;
// its log is that of the first use.
func New(scope constructs.Construct, id string, p Props) {
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	logs := awslogs.NewLogGroup(this, jsii.String("Log"), &awslogs.LogGroupProps{
		Retention: p.LogRetention, RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	stack := awscdk.Stack_Of(this)
	for _, service := range p.Services {
		name, _, _ := strings.Cut(service, ".")
		roles := stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("iam"), Region: jsii.String(""), Resource: jsii.String("role"),
			ResourceName: jsii.String("aws-service-role/" + service + "/*"),
		})
		made := customresources.NewAwsCustomResource(this, jsii.String(name), &customresources.AwsCustomResourceProps{
			ResourceType:        jsii.String(ResourceType),
			InstallLatestAwsSdk: jsii.Bool(false),
			LogGroup:            logs,
			Policy: customresources.AwsCustomResourcePolicy_FromStatements(&[]awsiam.PolicyStatement{
				awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
					Actions: jsii.Strings("iam:CreateServiceLinkedRole"), Resources: &[]*string{roles},
				}),
			}),
			OnCreate: &customresources.AwsSdkCall{
				Service: jsii.String("IAM"), Action: jsii.String("createServiceLinkedRole"),
				Parameters:         map[string]any{"AWSServiceName": service},
				PhysicalResourceId: customresources.PhysicalResourceId_Of(jsii.String(service)),
				// InvalidInput is how IAM says that the account has the role.
				IgnoreErrorCodesMatching: jsii.String("InvalidInput"),
			},
		})
		nag.Accept(made.Node().FindChild(jsii.String("CustomResourcePolicy")), nag.Exception{
			Rule: "AwsSolutions-IAM5",
			Reason: "IAM names a service-linked role itself; the statement is limited to the path of one " +
				"service's roles, and the action makes nothing but that role.",
			Matching: []string{`^Resource::.+:role/aws-service-role/.+/\*$`},
		})
	}
	acceptFunction(stack)
}

// function is the id of CDK's function for calls of the SDK, in the stack whose resources share it.
const function = "AWS679f53fac002430cb0da5b7982bd2287"

func acceptFunction(stack awscdk.Stack) {
	shared := stack.Node().FindChild(jsii.String(function))
	nag.Accept(shared, nag.Exception{
		Rule:   "AwsSolutions-L1",
		Reason: "The runtime of CDK's function for calls of the SDK is CDK's own choice and moves with its version.",
	})
	nag.Accept(shared.Node().FindChild(jsii.String("ServiceRole")), nag.Exception{
		Rule: "AwsSolutions-IAM4",
		Reason: "CDK gives its function for calls of the SDK the managed policy that writes logs; the function " +
			"does nothing but what the statements beside it allow.",
		Matching: []string{`^Policy::.+/AWSLambdaBasicExecutionRole$`},
	})
}

func (p Props) validate() {
	if len(p.Services) == 0 {
		panic("servicelinkedrole: Services are required, got none; name them like autoscaling.amazonaws.com")
	}
	for _, service := range p.Services {
		if !strings.HasSuffix(service, ".amazonaws.com") {
			panic(fmt.Sprintf("servicelinkedrole: a service must end in .amazonaws.com, got %q; name it like "+
				"autoscaling.amazonaws.com", service))
		}
	}
	if p.LogRetention == "" {
		panic("servicelinkedrole: LogRetention is required, got none; the log would be kept for ever")
	}
}
