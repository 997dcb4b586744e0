// Package webfleet makes an Auto Scaling group of instances that run one Go server behind a load
// balancer's target group: they boot without the internet, grow with the requests, and are replaced
// one after another whenever program or template change. It must not know what the server serves.
package webfleet

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	elb "github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/constructs/goserver"
	"diecast/constructs/nag"
	"diecast/constructs/role"
	"diecast/constructs/securebucket"
)

// ServerMetadata is the key of the group's metadata that says what its instances run: an object
// with the source package, as the go command takes it at the module's root, and the environment of
// the process. The laptop starts the same; a test holds it equal to what instances are told.
const ServerMetadata = "diecast:server"

const (
	// gracePeriod is how long a new instance may fail the balancer's health check. Boot, download
	// and start are thought to take a minute on the smallest types; one that is ended too early
	// would be replaced by another that is ended too early.
	gracePeriod = 3 * time.Minute
	// refreshWarmup must be longer than the grace period and the time that the balancer takes to
	// notice: before that, a replacement that never answers would pass for healthy, and the refresh
	// would go on.
	refreshWarmup = 4 * time.Minute
	// bakeTime is how long a finished refresh is watched: the alarm on errors takes five minutes.
	bakeTime = 6 * time.Minute
	// minHealthy and maxHealthy, in percent of the desired number, start each replacement before
	// what it replaces ends: two servers are three for a while.
	minHealthy, maxHealthy = 100, 150
	// diskGiB is the size of the Amazon Linux image's disk.
	diskGiB = 8
)

// Props configures a fleet.
type Props struct {
	// Server is what runs. Required; its architecture must be the instance type's.
	Server *goserver.Server
	// Description says what the server is, in systemd's words.
	Description string
	// Environment is that of the process, visible to everyone who may read the template: no
	// secrets.
	Environment map[string]*string
	// Files are fetched before the server starts, by their names; the values are their absolute
	// paths at synthesis, and PathOf says where the server finds them. Default none.
	Files map[string]string
	// VPC, Subnets and SecurityGroup place the instances. The targets' port is opened to the
	// balancer; what the server itself calls belongs to the caller.
	VPC           awsec2.IVpc
	Subnets       *awsec2.SubnetSelection
	SecurityGroup awsec2.SecurityGroup
	// InstanceType is an EC2 type, such as "t4g.nano". Required.
	InstanceType string
	// MemoryMiB is that of the type; the server may take half of it. Required.
	MemoryMiB int
	// Min and Max are the numbers of instances, from 1 on.
	Min, Max int
	// Targets is where the instances are registered, and whose health check decides. Required.
	Targets elb.ApplicationTargetGroup
	// RequestsPerMinute is how many requests each instance takes before another is added. Required.
	RequestsPerMinute int
	// CPUPercent is the second guard: the average CPU above which another is added. Required.
	CPUPercent int
	// Warmup is how long a new instance counts for nothing in the averages. Required.
	Warmup time.Duration
	// SpotAboveMin takes what is above Min from Spot. Default false: all on demand.
	SpotAboveMin bool
	// Drain is how long the server may take to end, as the target group's.
	Drain time.Duration
	// Shell leaves the Session Manager agent on, and lets it call its services; the network must
	// reach them. Default false: no shell on any instance.
	Shell bool
	// Logs receives what boot and server log, each minute, below LogPrefix. Required.
	Logs      *securebucket.Bucket
	LogPrefix string
	// FailedBy is the alarm by which a refresh has failed: CloudFormation then rolls the fleet
	// back. Required.
	FailedBy awscloudwatch.Alarm
	// AlarmTopic hears of overload, lack of instances, and launches that fail. Required.
	AlarmTopic awssns.ITopic
}

// Fleet is a group of servers.
type Fleet struct {
	group  awsautoscaling.AutoScalingGroup
	role   *role.Role
	alarms []awscloudwatch.Alarm
}

// New makes a fleet at id in scope.
func New(scope constructs.Construct, id string, p Props) *Fleet {
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	f := &Fleet{role: newRole(this, p)}
	template := newTemplate(this, p, f.role, bootFiles(this, p, f.role))
	refreshAlarms := []interfacesawscloudwatch.IAlarmRef{p.FailedBy}
	props := &awsautoscaling.AutoScalingGroupProps{
		Vpc: p.VPC, VpcSubnets: p.Subnets,
		// Without a desired number: it is the scaling's, and a deployment would set it back.
		MinCapacity: jsii.Number(p.Min), MaxCapacity: jsii.Number(p.Max),
		DefaultInstanceWarmup: secondsOf(p.Warmup),
		HealthChecks: awsautoscaling.HealthChecks_WithAdditionalChecks(&awsautoscaling.AdditionalHealthChecksOptions{
			AdditionalTypes: &[]awsautoscaling.AdditionalHealthCheckType{awsautoscaling.AdditionalHealthCheckType_ELB},
			GracePeriod:     secondsOf(gracePeriod),
		}),
		GroupMetrics: &[]awsautoscaling.GroupMetrics{awsautoscaling.GroupMetrics_All()},
		Notifications: &[]*awsautoscaling.NotificationConfiguration{
			{Topic: p.AlarmTopic, ScalingEvents: awsautoscaling.ScalingEvents_ERRORS()},
		},
		UpdatePolicy: awsautoscaling.UpdatePolicy_InstanceRefresh(&awsautoscaling.InstanceRefreshOptions{
			Strategy:             awsautoscaling.InstanceRefreshStrategy_ROLLING,
			MinHealthyPercentage: jsii.Number(minHealthy),
			MaxHealthyPercentage: jsii.Number(maxHealthy),
			InstanceWarmup:       secondsOf(refreshWarmup),
			BakeTime:             secondsOf(bakeTime),
			Alarms:               &refreshAlarms,
			SkipMatching:         jsii.Bool(true),
		}),
	}
	if p.SpotAboveMin {
		props.MixedInstancesPolicy = &awsautoscaling.MixedInstancesPolicy{
			LaunchTemplate: template,
			InstancesDistribution: &awsautoscaling.InstancesDistribution{
				OnDemandBaseCapacity:                jsii.Number(p.Min),
				OnDemandPercentageAboveBaseCapacity: jsii.Number(0),
				SpotAllocationStrategy:              awsautoscaling.SpotAllocationStrategy_PRICE_CAPACITY_OPTIMIZED,
			},
		}
		props.CapacityRebalance = jsii.Bool(true)
	} else {
		props.LaunchTemplate = template
	}
	f.group = awsautoscaling.NewAutoScalingGroup(this, jsii.String("Group"), props)
	// An instance fetches its program with what the role allows.
	f.group.Node().AddDependency(f.role.Role())
	// A target group without a listener checks nobody's health.
	f.group.Node().AddDependency(p.Targets.LoadBalancerAttached())
	nag.Accept(f.group, nag.Exception{Rule: "AwsSolutions-AS3",
		Reason: "The alarm topic hears of launches and terminations that fail; those that succeed are what " +
			"scaling is for, stand in the group's activity, and would bury the alarms."})
	if p.SpotAboveMin {
		nag.Accept(f.group, nag.Exception{Rule: "CdkNagValidationFailure",
			Reason: "AwsSolutions-EC26 cannot read a mixed instances policy; the disk of its launch template, which " +
				"is the only one, is encrypted."})
	}
	f.describe(p)
	f.scale(p)
	f.alarms = alarm.New(this, p.AlarmTopic, f.rules(p)...)
	return f
}

func (p Props) validate() {
	if p.Server == nil || p.Targets == nil || p.Logs == nil || p.FailedBy == nil || p.AlarmTopic == nil {
		panic("webfleet: Server, Targets, Logs, FailedBy and AlarmTopic are required, got less; see Props")
	}
	if p.MemoryMiB < 512 {
		panic(fmt.Sprintf("webfleet: MemoryMiB must be at least 512, got %d; take the instance type's", p.MemoryMiB))
	}
	if p.Min < 1 || p.Max < p.Min {
		panic(fmt.Sprintf("webfleet: Min must be at least 1 and Max at least Min, got %d and %d; two survive the loss "+
			"of a zone", p.Min, p.Max))
	}
	if p.RequestsPerMinute < 1 || p.CPUPercent < 1 || p.CPUPercent > 99 || p.Warmup < time.Second {
		panic(fmt.Sprintf("webfleet: RequestsPerMinute, CPUPercent (1 to 99) and Warmup are required, got %d, %d "+
			"and %s; measure what an instance holds", p.RequestsPerMinute, p.CPUPercent, p.Warmup))
	}
	checkEnvironment(p.Environment)
	machine := map[awsec2.InstanceArchitecture]string{
		awsec2.InstanceArchitecture_ARM_64: "arm64", awsec2.InstanceArchitecture_X86_64: "amd64",
	}[awsec2.NewInstanceType(jsii.String(p.InstanceType)).Architecture()]
	if machine != p.Server.Architecture() {
		panic(fmt.Sprintf("webfleet: InstanceType %s is %s, and the server is built for %s; build it for the type",
			p.InstanceType, machine, p.Server.Architecture()))
	}
}

func newRole(scope constructs.Construct, p Props) *role.Role {
	runner := role.New(scope, "Role", role.Props{
		Service: "ec2.amazonaws.com", Description: "Runs " + p.Server.Package(),
	})
	p.Server.AllowRead(runner)
	runner.AllowObjects("SendLogs", []string{"s3:PutObject"}, p.Logs.ARN(), p.LogPrefix)
	if p.Shell {
		runner.Allow("SessionManager", []string{
			"ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
			"ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
		}, jsii.String("*"))
		nag.Accept(runner.Role(), nag.Exception{
			Rule:      "AwsSolutions-IAM5",
			Reason:    "The Session Manager agent opens its channels with actions that accept no resource.",
			AppliesTo: []string{"Resource::*"},
		})
	}
	return runner
}

func newTemplate(scope constructs.Construct, p Props, runner *role.Role, files []bootFile) awsec2.LaunchTemplate {
	cpu := awsec2.AmazonLinuxCpuType_X86_64
	if p.Server.Architecture() == "arm64" {
		cpu = awsec2.AmazonLinuxCpuType_ARM_64
	}
	return awsec2.NewLaunchTemplate(scope, jsii.String("Template"), &awsec2.LaunchTemplateProps{
		InstanceType: awsec2.NewInstanceType(jsii.String(p.InstanceType)),
		// Resolved at each deployment, which so patches the fleet: a new image rolls it, too.
		MachineImage: awsec2.MachineImage_LatestAmazonLinux2023(&awsec2.AmazonLinux2023ImageSsmParameterProps{
			CpuType: cpu,
		}),
		Role: runner.Role(), SecurityGroup: p.SecurityGroup,
		UserData:                awsec2.UserData_Custom(jsii.String(bootScript(scope, p, files))),
		RequireImdsv2:           jsii.Bool(true),
		HttpPutResponseHopLimit: jsii.Number(1),
		DetailedMonitoring:      jsii.Bool(true),
		BlockDevices: &[]*awsec2.BlockDevice{{
			DeviceName: jsii.String("/dev/xvda"),
			Volume: awsec2.BlockDeviceVolume_Ebs(jsii.Number(diskGiB), &awsec2.EbsDeviceOptions{
				Encrypted: jsii.Bool(true), VolumeType: awsec2.EbsDeviceVolumeType_GP3,
				DeleteOnTermination: jsii.Bool(true),
			}),
		}},
	})
}

// describe tells the laptop what the instances run.
func (f *Fleet) describe(p Props) {
	environment := map[string]any{}
	for name, value := range p.Environment {
		environment[name] = value
	}
	f.group.Node().DefaultChild().(awsautoscaling.CfnAutoScalingGroup).AddMetadata(jsii.String(ServerMetadata),
		map[string]any{"package": p.Server.Package(), "environment": environment})
}

func (f *Fleet) scale(p Props) {
	f.group.AttachToApplicationTargetGroup(p.Targets)
	f.group.ScaleOnRequestCount(jsii.String("Requests"), &awsautoscaling.RequestCountScalingProps{
		TargetRequestsPerMinute: jsii.Number(p.RequestsPerMinute),
	})
	f.group.ScaleOnCpuUtilization(jsii.String("Cpu"), &awsautoscaling.CpuUtilizationScalingProps{
		TargetUtilizationPercent: jsii.Number(p.CPUPercent),
	})
}

// Metrics are what a dashboard shows of a fleet.
type Metrics struct {
	// CPU is the instances' average, in percent.
	CPU awscloudwatch.IMetric
	// NetworkIn and NetworkOut are bytes in a minute, of all instances.
	NetworkIn, NetworkOut awscloudwatch.IMetric
	// InService is the number of instances that serve.
	InService awscloudwatch.IMetric
}

// Metrics are the fleet's, each minute.
func (f *Fleet) Metrics() Metrics {
	of := func(namespace, name, statistic string) awscloudwatch.IMetric {
		return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace: jsii.String(namespace), MetricName: jsii.String(name), Statistic: jsii.String(statistic),
			Period:        awscdk.Duration_Minutes(jsii.Number(1)),
			DimensionsMap: &map[string]*string{"AutoScalingGroupName": f.group.AutoScalingGroupName()},
		})
	}
	return Metrics{
		CPU:        of("AWS/EC2", "CPUUtilization", "Average"),
		NetworkIn:  of("AWS/EC2", "NetworkIn", "Sum"),
		NetworkOut: of("AWS/EC2", "NetworkOut", "Sum"),
		InService:  of("AWS/AutoScaling", "GroupInServiceInstances", "Minimum"),
	}
}

func (f *Fleet) rules(p Props) []alarm.Rule {
	m := f.Metrics()
	return []alarm.Rule{{
		ID: "Cpu",
		Description: "The servers' CPU stays above what scaling aims at: the group is at its largest, or cannot " +
			"launch; look at its activity.",
		Metric: m.CPU, Threshold: float64(min(p.CPUPercent+20, 95)), Periods: 15, Breaching: 15,
	}, {
		ID: "InService",
		Description: "Fewer servers than the least number are in service: look at the group's activity, then at the " +
			"boot log.",
		// Half of the minutes: a replacement counts as in service until its grace period is over.
		Metric: m.InService, Threshold: float64(p.Min), Breach: alarm.Below, Periods: 10, Breaching: 5,
		Missing: alarm.MissingBreaches,
	}}
}

func secondsOf(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}

// Name is the group's generated name, known at deployment.
func (f *Fleet) Name() *string { return f.group.AutoScalingGroupName() }

// Role is what the servers may do.
func (f *Fleet) Role() *role.Role { return f.role }

// Alarms are the fleet's alarms, for a dashboard.
func (f *Fleet) Alarms() []awscloudwatch.Alarm { return f.alarms }
