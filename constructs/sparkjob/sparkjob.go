// Package sparkjob makes Glue jobs that run one PySpark script inside the VPC, with a role, a
// security group's inner rules and logs of their own, and tell a topic when a run fails. It must
// not know what the script does, nor what it reads and writes: callers allow that to the role and
// the group.
//
// The resources are CloudFormation's own: CDK's constructs of Glue let the role read the whole
// asset bucket and write every log group of Glue, and still lack what a job in a VPC needs.
package sparkjob

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsglue"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/gobuild"
	"diecast/constructs/golambda"
	"diecast/constructs/nag"
	"diecast/constructs/role"
)

const (
	// glueVersion is Spark 3.5, Python 3.11 and Java 17 (Glue's migration guide), as the tests have
	// them.
	glueVersion = "5.1"
	// worker and workers are the least that a Spark job can have: a driver and one executor's node.
	worker, workers = "G.1X", 2
)

// Network places a job in a VPC.
type Network struct {
	VPC awsec2.IVpc
	// Subnets are where it may run: it takes the first one, and is down while that zone is.
	Subnets *awsec2.SubnetSelection
	// SecurityGroup is the job's own. What it may reach is the caller's affair, S3 included; that
	// its members reach each other is added here.
	SecurityGroup awsec2.SecurityGroup
}

// Props configures a job.
type Props struct {
	// Source is the script, relative to the module's root: "glue-scripts/ratings_etl.py". Required.
	Source string
	// Description is what the Glue console shows. Default: what it runs.
	Description string
	// Arguments are given to every run, by the name that the script's parser has, dashes included.
	// They stand in the template in clear: no secrets. An empty value is left out, because Glue
	// would let the next argument's name be its value.
	Arguments map[string]*string
	// Files are uploaded beside the script; the argument of that name is the file's s3:// address.
	// Paths are absolute, or relative to the module's root.
	Files map[string]string
	// Jars are put before those that Glue has of its own. Paths are absolute.
	Jars []string
	// Flex runs on spare capacity, cheaper and with no promise of when. Default false.
	Flex bool
	// Timeout ends a run, in whole minutes. Required: Glue's default is eight hours.
	Timeout time.Duration
	Network Network
	// LogRetention is how long the runs' logs are kept. Required.
	LogRetention awslogs.RetentionDays
	// Metrics are taken from lines that the script prints. Default: none.
	Metrics Metrics
	// FailureTopic hears of every run that fails. Its policy must admit EventBridge for the rule
	// FailureRule. Default nil: only the console shows it.
	FailureTopic awssns.ITopic
	// FailureRule names the rule that tells it, unique in account and region. Required with
	// FailureTopic.
	FailureRule string
}

// Metrics are numbers that the script prints as one line of JSON, {"<Line>": {"<name>": 1.5}}. They
// are metrics of the namespace that has the stack's name, with no dimension: CloudWatch Logs makes
// them of the job's log, so that its network needs no way to CloudWatch. A line without one of the
// names is none for that metric.
type Metrics struct {
	Line  string
	Names []string
}

// Job is a Glue job.
type Job struct {
	job  awsglue.CfnJob
	role *role.Role
	logs *string
}

// New makes a job at id in scope.
func New(scope constructs.Construct, id string, p Props) *Job {
	root, err := gobuild.ModuleRoot()
	if err != nil {
		panic(err)
	}
	p.validate(root)
	if p.Description == "" {
		p.Description = "Runs " + p.Source
	}
	this := constructs.NewConstruct(scope, jsii.String(id))
	stack := awscdk.Stack_Of(this)
	j := &Job{role: role.New(this, "Role", role.Props{Service: "glue.amazonaws.com", Description: "Runs " + p.Source})}

	asset := func(id, path string) awss3assets.Asset {
		uploaded := awss3assets.NewAsset(this, jsii.String(id), &awss3assets.AssetProps{Path: jsii.String(path)})
		j.role.Allow("ReadAsset", []string{"s3:GetObject"},
			uploaded.Bucket().ArnForObjects(uploaded.S3ObjectKey()))
		return uploaded
	}
	script := asset("Script", filepath.Join(root, p.Source))
	var output awslogs.LogGroup
	j.logs, output = j.addLogs(this, p)
	for _, name := range p.Metrics.Names {
		value := "$." + p.Metrics.Line + "." + name
		awslogs.NewCfnMetricFilter(this, jsii.String("Metric"+name), &awslogs.CfnMetricFilterProps{
			LogGroupName: output.LogGroupName(), FilterPattern: jsii.String("{ " + value + " = * }"),
			MetricTransformations: []any{&awslogs.CfnMetricFilter_MetricTransformationProperty{
				MetricName: jsii.String(name), MetricNamespace: awscdk.Aws_STACK_NAME(),
				MetricValue: jsii.String(value),
			}},
		})
	}
	arguments := map[string]*string{
		"--job-language":           jsii.String("python"),
		"--job-bookmark-option":    jsii.String("job-bookmark-disable"),
		"--custom-logGroup-prefix": j.logs,
	}
	var jars []string
	for i, path := range p.Jars {
		jars = append(jars, *asset(fmt.Sprint("Jar", i), path).S3ObjectUrl())
	}
	if len(jars) > 0 {
		arguments["--extra-jars"] = jsii.String(strings.Join(jars, ","))
		arguments["--user-jars-first"] = jsii.String("true")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		arguments[name] = asset("File"+name, at(root, p.Files[name])).S3ObjectUrl()
	}
	for name, value := range p.Arguments {
		if *value != "" {
			arguments[name] = value
		}
	}
	execution := "STANDARD"
	if p.Flex {
		execution = "FLEX"
	}
	j.job = awsglue.NewCfnJob(this, jsii.String("Job"), &awsglue.CfnJobProps{
		Command: &awsglue.CfnJob_JobCommandProperty{
			Name: jsii.String("glueetl"), PythonVersion: jsii.String("3"), ScriptLocation: script.S3ObjectUrl(),
		},
		Description:          jsii.String(p.Description),
		Role:                 j.role.Role().RoleArn(),
		GlueVersion:          jsii.String(glueVersion),
		WorkerType:           jsii.String(worker),
		NumberOfWorkers:      jsii.Number(workers),
		ExecutionClass:       jsii.String(execution),
		ExecutionProperty:    &awsglue.CfnJob_ExecutionPropertyProperty{MaxConcurrentRuns: jsii.Number(1)},
		JobRunQueuingEnabled: jsii.Bool(false),
		MaxRetries:           jsii.Number(0),
		Timeout:              jsii.Number(p.Timeout.Minutes()),
		Connections: &awsglue.CfnJob_ConnectionsListProperty{Connections: &[]*string{j.joinNetwork(this,
			p.Network)}},
		DefaultArguments:      arguments,
		SecurityConfiguration: securityConfiguration(this, *stack.StackName()+"-"+id),
	})
	j.job.AddMetadata(jsii.String(golambda.SourceMetadata), p.Source)
	// Glue takes a role for what it may do when a run starts: not before its policy is there.
	j.job.Node().AddDependency(j.role.Role())
	nag.Accept(j.job,
		nag.Exception{Rule: "AwsSolutions-GL1",
			Reason: "CloudWatch Logs encrypts every log group by itself; a key of one's own " +
				"would need a KMS endpoint in a VPC without internet, and the logs name no customer."},
		nag.Exception{Rule: "AwsSolutions-GL3",
			Reason: "The job uses no bookmarks: what a run reads follows from the source and from " +
				"what is published, so that there is nothing to encrypt."})
	if p.FailureTopic != nil {
		j.tellFailures(this, p)
	}
	return j
}

// at is where a path leads from the module's root.
func at(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

// addLogs makes the two log groups that Glue 5 derives from a prefix, so that they have a
// retention; Glue would keep its own for ever. It returns the prefix, and the group of what the
// script prints.
func (j *Job) addLogs(scope constructs.Construct, p Props) (prefixed *string, output awslogs.LogGroup) {
	prefix := fmt.Sprintf("/aws-glue/%s/%s", *awscdk.Aws_STACK_NAME(), *scope.Node().Id())
	var groups []*string
	for _, stream := range []string{"error", "output"} {
		group := awslogs.NewLogGroup(scope, jsii.String("Log_"+stream), &awslogs.LogGroupProps{
			LogGroupName: jsii.String(prefix + "/" + stream), Retention: p.LogRetention,
			RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
		})
		j.role.AllowLog(group.LogGroupArn())
		groups, output = append(groups, group.LogGroupArn()), group
	}
	// Glue asks for the groups again at each start, though they are there.
	j.role.Allow("OpenOwnLog", []string{"logs:CreateLogGroup"}, groups...)
	return jsii.String(prefix), output
}

// joinNetwork makes the connection that puts the job's workers into the VPC. Its type NETWORK has
// no address and no login: the script opens its own connections. It returns the connection's name.
func (j *Job) joinNetwork(scope constructs.Construct, n Network) *string {
	stack := awscdk.Stack_Of(scope)
	subnet := (*n.VPC.SelectSubnets(n.Subnets).Subnets)[0]
	group := n.SecurityGroup.SecurityGroupId()
	// Spark's driver and executors talk on ports that they choose.
	n.SecurityGroup.Connections().AllowInternally(awsec2.Port_AllTcp(), jsii.String("Spark's driver and executors"))
	connection := awsglue.NewCfnConnection(scope, jsii.String("Network"), &awsglue.CfnConnectionProps{
		CatalogId: stack.Account(),
		ConnectionInput: &awsglue.CfnConnection_ConnectionInputProperty{
			ConnectionType: jsii.String("NETWORK"),
			Description:    jsii.String("Puts the job's workers into the VPC; it holds no login"),
			PhysicalConnectionRequirements: &awsglue.CfnConnection_PhysicalConnectionRequirementsProperty{
				// Asked of the subnet: the list of an account's zones may change, a subnet's zone
				// does not.
				AvailabilityZone: zoneOf(subnet), SubnetId: subnet.SubnetId(),
				SecurityGroupIdList: &[]*string{group},
			},
		},
	})
	arn := func(service, resource, name string) *string {
		return stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String(service), Resource: jsii.String(resource), ResourceName: jsii.String(name),
		})
	}
	catalogue := stack.FormatArn(&awscdk.ArnComponents{Service: jsii.String("glue"), Resource: jsii.String("catalog")})
	interfaces := arn("ec2", "network-interface", "*")
	j.role.Allow("FindConnection", []string{"glue:GetConnection"}, catalogue,
		arn("glue", "connection", *connection.Ref()))
	j.role.Allow("LookAtVpc", []string{
		"ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
		"ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints",
	}, jsii.String("*"))
	j.role.Allow("AttachToVpc", []string{"ec2:CreateNetworkInterface"},
		interfaces, arn("ec2", "subnet", *subnet.SubnetId()), arn("ec2", "security-group", *group))
	j.role.Allow("DetachFromVpc", []string{"ec2:DeleteNetworkInterface", "ec2:CreateTags", "ec2:DeleteTags"},
		interfaces)
	nag.Accept(j.role.Role(), nag.Exception{
		Rule: "AwsSolutions-IAM5",
		Reason: "Glue attaches its workers to the VPC by network interfaces that it makes and tags itself; " +
			"EC2's Describe actions accept no resource.",
		AppliesTo: []string{"Resource::*"},
		Matching:  []string{`^Resource::arn:.+:ec2:.+:network-interface/\*$`},
	})
	return connection.Ref()
}

// zoneOf is the zone that the subnet itself names.
func zoneOf(subnet awsec2.ISubnet) *string {
	if made, ok := subnet.Node().DefaultChild().(awsec2.CfnSubnet); ok {
		return made.AttrAvailabilityZone()
	}
	return subnet.AvailabilityZone()
}

// securityConfiguration has Glue encrypt what it writes to S3 in its own name. It returns its name.
func securityConfiguration(scope constructs.Construct, name string) *string {
	return awsglue.NewCfnSecurityConfiguration(scope, jsii.String("Encryption"), &awsglue.CfnSecurityConfigurationProps{
		Name: jsii.String(name),
		EncryptionConfiguration: &awsglue.CfnSecurityConfiguration_EncryptionConfigurationProperty{
			S3Encryptions: []any{&awsglue.CfnSecurityConfiguration_S3EncryptionProperty{
				S3EncryptionMode: jsii.String("SSE-S3"),
			}},
			// With a key, Glue would also name its log groups otherwise than addLogs does.
			CloudWatchEncryption: &awsglue.CfnSecurityConfiguration_CloudWatchEncryptionProperty{
				CloudWatchEncryptionMode: jsii.String("DISABLED"),
			},
			JobBookmarksEncryption: &awsglue.CfnSecurityConfiguration_JobBookmarksEncryptionProperty{
				JobBookmarksEncryptionMode: jsii.String("DISABLED"),
			},
		},
	}).Ref()
}

// failures are all ends of a run but success and that a person stopped it.
var failures = []string{"FAILED", "TIMEOUT", "ERROR", "EXPIRED"}

// tellFailures makes the rule from Glue's event to the topic, in words that a person reads. Glue's
// own message is left out: a quote in it could spoil the text that EventBridge makes, and the
// failure would be told to nobody.
func (j *Job) tellFailures(scope constructs.Construct, p Props) {
	awsevents.NewCfnRule(scope, jsii.String("Failures"), &awsevents.CfnRuleProps{
		Name:        jsii.String(p.FailureRule),
		Description: jsii.String("Tells the alarm topic of each run of " + p.Source + " that fails"),
		EventPattern: map[string]any{
			"source":      []string{"aws.glue"},
			"detail-type": []string{"Glue Job State Change"},
			"detail":      map[string]any{"jobName": []any{j.job.Ref()}, "state": failures},
		},
		Targets: []any{&awsevents.CfnRule_TargetProperty{
			Id: jsii.String("Topic"), Arn: p.FailureTopic.TopicArn(),
			InputTransformer: &awsevents.CfnRule_InputTransformerProperty{
				InputPathsMap: map[string]*string{
					"job": jsii.String("$.detail.jobName"), "run": jsii.String("$.detail.jobRunId"),
					"state": jsii.String("$.detail.state"),
				},
				InputTemplate: jsii.String(`"Job <job>, run <run>, ended as <state>. ` +
					`What is published is whole: what was before, or this run where it ended after publishing. ` +
					`Read its error (aws glue get-job-run), the run's outcome in the lake, and its log."`),
			},
		}},
	})
}

func (p Props) validate(root string) {
	file := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Mode().IsRegular()
	}
	if !strings.HasSuffix(p.Source, ".py") || !file(filepath.Join(root, p.Source)) {
		panic(fmt.Sprintf("sparkjob: Source must be a Python file below the module's root, got %q; name it like "+
			"glue-scripts/job.py", p.Source))
	}
	for _, jar := range p.Jars {
		if !file(jar) {
			panic(fmt.Sprintf("sparkjob: Jars must be there, got %q; run `make setup`", jar))
		}
	}
	for name, path := range p.Files {
		if !file(at(root, path)) {
			panic(fmt.Sprintf("sparkjob: Files must exist, got %q for %s; name a file, by its path from the "+
				"module's root or an absolute one", path, name))
		}
	}
	for name := range p.Arguments {
		if _, both := p.Files[name]; both || !strings.HasPrefix(name, "--") {
			panic(fmt.Sprintf("sparkjob: Arguments must begin with -- and be in one of Arguments and Files, got %q; "+
				"name it as the script's parser does", name))
		}
	}
	if p.Timeout < time.Minute || p.Timeout%time.Minute != 0 {
		panic(fmt.Sprintf("sparkjob: Timeout must be whole minutes, got %s; "+
			"Glue's default of eight hours costs as much", p.Timeout))
	}
	if (p.Metrics.Line == "") != (len(p.Metrics.Names) == 0) {
		panic(fmt.Sprintf("sparkjob: Metrics must have both Line and Names or neither, got line %q and names %q for %s",
			p.Metrics.Line, p.Metrics.Names, p.Source))
	}
	if p.LogRetention == "" {
		panic(fmt.Sprintf("sparkjob: LogRetention is required, got none for %s; logs would be kept for ever", p.Source))
	}
	if (p.FailureTopic == nil) != (p.FailureRule == "") {
		panic(fmt.Sprintf("sparkjob: FailureTopic and FailureRule belong together, got only one for %s; give both",
			p.Source))
	}
}

// Name is the generated job name, known at deployment.
func (j *Job) Name() *string { return j.job.Ref() }

// Role is what the job may do.
func (j *Job) Role() *role.Role { return j.role }

// LogPrefix begins the names of the log groups: the prefix and /error, and the prefix and /output,
// each with a stream for each run.
func (j *Job) LogPrefix() *string { return j.logs }
