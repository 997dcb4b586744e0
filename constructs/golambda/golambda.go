// Package golambda makes Lambda functions from Go commands of this module,
// compiled at synthesis on the machine that runs it, without Docker, each with a
// role and a log group of its own. It must not know what a function does.
package golambda

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/constructs/gobuild"
	"diecast/constructs/nag"
	"diecast/constructs/role"
)

// SourceMetadata is the key of the function resource's metadata that names its
// source package, relative to the module's root. The laptop run builds the same
// package for its own machine.
const SourceMetadata = "diecast:source"

const (
	// executable is the file name that the provided.al2023 runtime starts.
	executable = "bootstrap"
	// leastStorageMiB is what every function has of a disk.
	leastStorageMiB = 512
	// sources is the folder of the functions, one Go command in each folder of it.
	sources = "lambda"
)

// Target is every function, compiled at once: one run of the go command for all takes little more
// than one for each. The tag leaves out the net/rpc mode that only the retired go1.x runtime used.
var Target = gobuild.Target{Packages: "./" + sources + "/...", Architecture: "arm64", Tags: "lambda.norpc"}

// Network places a function in a VPC.
type Network struct {
	VPC     awsec2.IVpc
	Subnets *awsec2.SubnetSelection
	// SecurityGroup is the function's own; its rules belong to the caller.
	SecurityGroup awsec2.ISecurityGroup
}

// Props configures a function.
type Props struct {
	// Source is the folder of the function's Go command, directly below lambda: "lambda/transform".
	Source string
	// Description is what the Lambda console shows.
	Description string
	// MemoryMiB is 128 to 10,240; the CPU share follows it. Default 128.
	MemoryMiB int
	// StorageMiB is the size of /tmp, 512 to 10,240; what is beyond 512 is charged while it runs.
	// Default 512.
	StorageMiB int
	// Timeout ends an invocation, 1 s to 15 min. Default 10 s.
	Timeout time.Duration
	// Environment is visible to everyone who may read the function: no secrets.
	Environment map[string]*string
	// Files lie beside the executable, by their names; PathOf says where. Default none.
	Files map[string][]byte
	// LogRetention is how long the function's log is kept. Required.
	LogRetention awslogs.RetentionDays
	// ReservedConcurrency sets aside and caps parallel executions. Default 0: the
	// account's shared pool, without a cap of its own.
	ReservedConcurrency int
	// Network runs the function in a VPC. Default nil: outside, with internet access.
	Network *Network
	// ThrottlesAdvice ends the description of the alarm on refused concurrency: what to look at
	// first. Default: the account's and the function's limits.
	ThrottlesAdvice string
	// AlarmTopic hears of errors, throttles and slowness. Default nil: only the console shows them.
	AlarmTopic awssns.ITopic
}

// Function is a compiled Go function with its role, log group and alarms.
type Function struct {
	function awslambda.Function
	role     *role.Role
	logs     awslogs.LogGroup
	alarms   []awscloudwatch.Alarm
}

// New makes a function at id in scope.
func New(scope constructs.Construct, id string, p Props) *Function {
	p = p.withDefaults()
	root, err := gobuild.ModuleRoot()
	if err != nil {
		panic(err)
	}
	p.validate(root)

	this := constructs.NewConstruct(scope, jsii.String(id))
	logs := awslogs.NewLogGroup(this, jsii.String("Log"), &awslogs.LogGroupProps{
		Retention:     p.LogRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	runner := role.New(this, "Role", role.Props{Service: "lambda.amazonaws.com", Description: "Runs " + p.Source})
	runner.AllowLog(logs.LogGroupArn())
	build := gobuild.NewBundler(Target, path.Base(p.Source), executable)
	build.LayBeside(p.Files)
	props := &awslambda.FunctionProps{
		Code: awslambda.Code_FromAsset(jsii.String(filepath.Join(root, p.Source)), &awss3assets.AssetOptions{
			AssetHashType: awscdk.AssetHashType_OUTPUT,
			DisplayName:   jsii.String(p.Source),
			Bundling:      build.Options(awscdk.BundlingOutput_AUTO_DISCOVER),
		}),
		Handler:       jsii.String(executable),
		Runtime:       awslambda.Runtime_PROVIDED_AL2023(),
		Architecture:  awslambda.Architecture_ARM_64(),
		Description:   jsii.String(p.Description),
		MemorySize:    jsii.Number(p.MemoryMiB),
		Timeout:       awscdk.Duration_Millis(jsii.Number(p.Timeout.Milliseconds())),
		Environment:   &p.Environment,
		Role:          runner.Role(),
		LogGroup:      logs,
		LoggingFormat: awslambda.LoggingFormat_JSON,
	}
	if p.StorageMiB > leastStorageMiB {
		props.EphemeralStorageSize = awscdk.Size_Mebibytes(jsii.Number(p.StorageMiB))
	}
	if p.ReservedConcurrency > 0 {
		props.ReservedConcurrentExecutions = jsii.Number(p.ReservedConcurrency)
	}
	if p.Network != nil {
		joinNetwork(runner, props, p.Network)
	}
	function := awslambda.NewFunction(this, jsii.String("Function"), props)
	if err := build.Err(); err != nil {
		panic(err)
	}
	function.Node().DefaultChild().(awslambda.CfnFunction).AddMetadata(jsii.String(SourceMetadata), p.Source)

	f := &Function{function: function, role: runner, logs: logs}
	f.alarms = alarm.New(this, p.AlarmTopic, f.rules(p)...)
	return f
}

// PathOf is where a function finds one of its Files (Lambda developer guide, "Defined runtime
// environment variables": LAMBDA_TASK_ROOT).
func PathOf(file string) string { return path.Join("/var/task", file) }

// joinNetwork grants what the Lambda service needs to attach the function to
// the VPC. EC2 checks these actions without a resource, so the statement cannot
// name one.
func joinNetwork(runner *role.Role, props *awslambda.FunctionProps, n *Network) {
	runner.Allow("AttachToVpc", []string{
		"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
		"ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
	}, jsii.String("*"))
	nag.Accept(runner.Role(), nag.Exception{
		Rule:      "AwsSolutions-IAM5",
		Reason:    "Lambda attaches a function to its VPC with EC2 network-interface actions that accept no resource.",
		AppliesTo: []string{"Resource::*"},
	})
	props.Vpc = n.VPC
	props.VpcSubnets = n.Subnets
	props.SecurityGroups = &[]awsec2.ISecurityGroup{n.SecurityGroup}
}

func (p Props) withDefaults() Props {
	if p.MemoryMiB == 0 {
		p.MemoryMiB = 128
	}
	if p.StorageMiB == 0 {
		p.StorageMiB = leastStorageMiB
	}
	if p.Timeout == 0 {
		p.Timeout = 10 * time.Second
	}
	if p.ThrottlesAdvice == "" {
		p.ThrottlesAdvice = "compare it with the account's and the function's limits."
	}
	if p.Environment == nil {
		p.Environment = map[string]*string{}
	}
	return p
}

func (p Props) validate(root string) {
	info, err := os.Stat(filepath.Join(root, p.Source))
	if path.Dir(p.Source) != sources || err != nil || !info.IsDir() {
		panic(fmt.Sprintf("golambda: Source must be a folder directly below %s, got %q; name it like %[1]s/transform",
			sources, p.Source))
	}
	if p.MemoryMiB < 128 || p.MemoryMiB > 10240 {
		panic(fmt.Sprintf("golambda: MemoryMiB must be 128 to 10240, got %d; see the Lambda quotas", p.MemoryMiB))
	}
	if p.StorageMiB < leastStorageMiB || p.StorageMiB > 10240 {
		panic(fmt.Sprintf("golambda: StorageMiB must be %d to 10240, got %d; see the Lambda quotas", leastStorageMiB,
			p.StorageMiB))
	}
	if p.Timeout < time.Second || p.Timeout > 15*time.Minute || p.Timeout%time.Second != 0 {
		panic(fmt.Sprintf("golambda: Timeout must be whole seconds from 1s to 15m, got %s; see the Lambda quotas",
			p.Timeout))
	}
	if p.LogRetention == "" {
		panic(fmt.Sprintf("golambda: LogRetention is required, got none for %s; logs would be kept for ever", p.Source))
	}
	for name := range p.Files {
		if name == executable || name != path.Base(name) {
			panic(fmt.Sprintf("golambda: Files must have plain names other than %s, got %q; they lie in one folder",
				executable, name))
		}
	}
	for name := range p.Environment {
		if strings.Contains(name, "PASSWORD") || strings.HasSuffix(name, "_SECRET") {
			panic(fmt.Sprintf("golambda: no secret belongs in the environment, got %s; pass the secret's ARN and "+
				"read it at start", name))
		}
	}
}

func (f *Function) rules(p Props) []alarm.Rule {
	fiveMinutes := awscdk.Duration_Minutes(jsii.Number(5))
	return []alarm.Rule{{
		ID:          "ErrorRate",
		Description: p.Source + " fails in more than 1 % of its invocations: read its log first.",
		Metric: awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
			Expression: jsii.String("100 * errors / MAX([errors, invocations])"),
			Label:      jsii.String("Errors, % of invocations"),
			Period:     fiveMinutes,
			UsingMetrics: &map[string]awscloudwatch.IMetric{
				"errors":      f.function.MetricErrors(&awscloudwatch.MetricOptions{Period: fiveMinutes}),
				"invocations": f.function.MetricInvocations(&awscloudwatch.MetricOptions{Period: fiveMinutes}),
			},
		}),
		Threshold: 1, Periods: 3, Breaching: 2,
	}, {
		ID:          "Throttles",
		Description: p.Source + " is refused concurrency: " + p.ThrottlesAdvice,
		Metric:      f.function.MetricThrottles(&awscloudwatch.MetricOptions{Period: fiveMinutes}),
		Threshold:   0, Periods: 3, Breaching: 2,
	}, {
		ID:          "Slow",
		Description: p.Source + " comes close to its time-out: 99th percentile over 80 % of it.",
		Metric: f.function.MetricDuration(&awscloudwatch.MetricOptions{
			Period: fiveMinutes, Statistic: jsii.String("p99"),
		}),
		Threshold: 0.8 * float64(p.Timeout.Milliseconds()), Periods: 3, Breaching: 2,
	}}
}

// Function is the CDK function, for event sources and grants.
func (f *Function) Function() awslambda.Function { return f.function }

// Role is what the function may do.
func (f *Function) Role() *role.Role { return f.role }

// LogGroup keeps what the function logs.
func (f *Function) LogGroup() awslogs.LogGroup { return f.logs }

// Name is the generated function name, known at deployment.
func (f *Function) Name() *string { return f.function.FunctionName() }

// ARN names the function in policies, known at deployment.
func (f *Function) ARN() *string { return f.function.FunctionArn() }

// AddURL gives the function an HTTPS address, known at deployment, for callers with IAM
// credentials. A function has at most one.
func (f *Function) AddURL() *string {
	return f.function.AddFunctionUrl(&awslambda.FunctionUrlOptions{
		AuthType: awslambda.FunctionUrlAuthType_AWS_IAM,
	}).Url()
}

// Every invokes the function again and again with the same payload, by a rule in scope. The period
// is whole hours.
func (f *Function) Every(scope constructs.Construct, id string, period time.Duration, payload any) {
	if period < time.Hour || period%time.Hour != 0 {
		panic(fmt.Sprintf("golambda: Every takes whole hours, got %s for %s; EventBridge counts in whole units", period,
			id))
	}
	input, err := json.Marshal(payload)
	if err != nil {
		panic(fmt.Sprintf("golambda: the payload of %s is not JSON: %v", id, err))
	}
	rate := awsevents.Schedule_Rate(awscdk.Duration_Hours(jsii.Number(period.Hours())))
	this := constructs.NewConstruct(scope, jsii.String(id))
	rule := awsevents.NewCfnRule(this, jsii.String("Rule"), &awsevents.CfnRuleProps{
		ScheduleExpression: rate.ExpressionString(),
		Targets: []any{&awsevents.CfnRule_TargetProperty{
			Id: jsii.String("Function"), Arn: f.ARN(), Input: jsii.String(string(input)),
		}},
	})
	awslambda.NewCfnPermission(this, jsii.String("Permission"), &awslambda.CfnPermissionProps{
		Action: jsii.String("lambda:InvokeFunction"), FunctionName: f.ARN(),
		Principal: jsii.String("events.amazonaws.com"), SourceArn: rule.AttrArn(),
	})
}

// Alarms are the function's alarms, for a dashboard.
func (f *Function) Alarms() []awscloudwatch.Alarm { return f.alarms }
