package database

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/nag"
	"diecast/constructs/role"
)

// logKeeperID names the role in the stack of the databases, which share it as they share the
// function that runs in it.
const logKeeperID = "DatabaseLogKeeper"

// logKeeper is the role of CDK's function that gives RDS's log groups their retention: RDS makes
// the groups itself, under the instance's generated name, so that a template cannot declare them.
// CDK's own role for it may change every log group of the account.
func logKeeper(scope constructs.Construct) awsiam.Role {
	stack := awscdk.Stack_Of(scope)
	if made, ok := stack.Node().TryFindChild(jsii.String(logKeeperID)).(awsiam.Role); ok {
		return made
	}
	keeper := role.New(stack, logKeeperID, role.Props{
		Service: "lambda.amazonaws.com", Description: "Gives the databases' log groups their retention",
	})
	group := func(name string) *string {
		return stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("logs"), Resource: jsii.String("log-group"), ResourceName: jsii.String(name),
			ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
		})
	}
	// The function keeps its own log, too, and gives it a day.
	keeper.Allow("KeepLogs", []string{"logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy"},
		group("/aws/rds/instance/*"), group("/aws/lambda/"+*stack.StackName()+"-LogRetention*"))
	keeper.Allow("WriteOwnLog", []string{"logs:CreateLogStream", "logs:PutLogEvents"},
		group("/aws/lambda/"+*stack.StackName()+"-LogRetention*"))
	nag.Accept(keeper.Role(), nag.Exception{
		Rule: "AwsSolutions-IAM5",
		Reason: "RDS names a log group after the instance's generated name and Lambda after the function's: " +
			"the statements are limited to RDS's groups and to those of this function.",
		Matching: []string{`^Resource::.+:log-group:/aws/rds/instance/\*$`,
			`^Resource::.+:log-group:/aws/lambda/.+-LogRetention\*$`},
	})
	return keeper.Role()
}
