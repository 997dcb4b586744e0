// Package database makes private RDS instances: isolated subnets, encrypted
// storage, TLS forced, IAM logins, a master password that RDS itself keeps and
// rotates. It must not know the schema, nor who connects.
package database

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsrds"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/constructs/nag"
	"diecast/constructs/role"
)

// Props configures a database.
type Props struct {
	// Engine is what runs, such as PostgreSQL("18.6"). Required.
	Engine Engine
	// VPC and Subnets place the instance; the subnets must have no route to the internet.
	VPC     awsec2.IVpc
	Subnets *awsec2.SubnetSelection
	// Name is the database that is created with the instance. Required.
	Name string
	// MasterUser is the administrator's login name; only loaders use it. Required.
	MasterUser string
	// InstanceClass is the size, such as "db.t4g.micro". Required.
	InstanceClass string
	// StorageGiB is the disk's size, 20 to 16,384; it grows by itself to double.
	StorageGiB int
	// MultiAZ keeps a standby in the other zone. Default false: a failed zone
	// takes the database with it until it is restored.
	MultiAZ bool
	// BackupRetention is how far back automated backups reach, 0 to 35 days.
	// Default 0: no automated backups.
	BackupRetention time.Duration
	// Parameters are added to the engine's own. Default none.
	Parameters map[string]string
	// AutoMinorVersionUpgrade lets RDS take the engine to newer minor versions in the maintenance
	// window. Default false: only a change of Engine upgrades it, as long as RDS runs the version.
	AutoMinorVersionUpgrade bool
	// Generation is to be raised when another instance stands in the place of this one without
	// CloudFormation knowing of it, such as a restored one under the same identifier. It stands in
	// a tag, so that a change has CloudFormation read the instance's attributes again, and in each
	// login that AllowLogin allows. Default 0.
	Generation int
	// DeletionProtection refuses every deletion until it is turned off. Default false.
	DeletionProtection bool
	// Destroy deletes the instance with its backups. Default false: a final
	// snapshot is kept when the stack goes.
	Destroy bool
	// Logs are what the engine writes to CloudWatch Logs, such as "error" and "slowquery" of MySQL.
	// Default none: logs stay on the instance for some days.
	Logs []string
	// LogRetention is how long Logs are kept. Required with Logs.
	LogRetention awslogs.RetentionDays
	// MaxConnections is how many connections the class allows; the alarm stands
	// at 80 % of it. Required.
	MaxConnections int
	// ConnectionsAdvice ends the description of the alarm on taken connections: what to look at
	// first. Default: a larger class, or fewer clients.
	ConnectionsAdvice string
	// Reasons explain what cdk-nag finds in this database. Required where it finds something.
	Reasons Reasons
	// AlarmTopic hears of lack of memory, storage, CPU credit and connections. Default nil: only
	// the console shows them.
	AlarmTopic awssns.ITopic
}

// Reasons say why a finding does not apply to one database, to a reader who does not know the
// project.
type Reasons struct {
	// DefaultPort is why the engine's usual port is kept (RDS11).
	DefaultPort string
	// SingleZone is why an outage with its zone is accepted (RDS3); for a database without MultiAZ.
	SingleZone string
	// Deletable is why nothing protects it from deletion (RDS10); for one without
	// DeletionProtection.
	Deletable string
	// NoBackups is why nothing can be restored (RDS13); for one without BackupRetention.
	NoBackups string
}

// exceptions pairs what cdk-nag finds in this database with the reasons.
func (p Props) exceptions() []nag.Exception {
	exceptions := []nag.Exception{{Rule: "AwsSolutions-RDS11", Reason: p.Reasons.DefaultPort}}
	if !p.MultiAZ {
		exceptions = append(exceptions, nag.Exception{Rule: "AwsSolutions-RDS3", Reason: p.Reasons.SingleZone})
	}
	if !p.DeletionProtection {
		exceptions = append(exceptions, nag.Exception{Rule: "AwsSolutions-RDS10", Reason: p.Reasons.Deletable})
	}
	if p.BackupRetention == 0 {
		exceptions = append(exceptions, nag.Exception{Rule: "AwsSolutions-RDS13", Reason: p.Reasons.NoBackups})
	}
	return exceptions
}

// Database is a private RDS instance.
type Database struct {
	instance awsrds.DatabaseInstance
	group    awsec2.SecurityGroup
	port     int
	name     string
	// generation is that of the props.
	generation int
	alarms     []awscloudwatch.Alarm
}

// New makes a database at id in scope.
func New(scope constructs.Construct, id string, p Props) *Database {
	p.validate()
	engine := p.Engine.create()
	if p.ConnectionsAdvice == "" {
		p.ConnectionsAdvice = "a larger class, or fewer clients."
	}
	this := constructs.NewConstruct(scope, jsii.String(id))
	group := awsec2.NewSecurityGroup(this, jsii.String("SecurityGroup"), &awsec2.SecurityGroupProps{
		Vpc:              p.VPC,
		Description:      jsii.String("Database " + p.Name + ": queries from the groups of its clients"),
		AllowAllOutbound: jsii.Bool(false),
	})
	parameters := map[string]*string{}
	for name, value := range p.Engine.parameters {
		parameters[name] = jsii.String(value)
	}
	for name, value := range p.Parameters {
		parameters[name] = jsii.String(value)
	}
	removal := awscdk.RemovalPolicy_SNAPSHOT
	if p.Destroy {
		removal = awscdk.RemovalPolicy_DESTROY
	}
	props := &awsrds.DatabaseInstanceProps{
		Engine:                   engine,
		InstanceType:             awsec2.NewInstanceType(jsii.String(strings.TrimPrefix(p.InstanceClass, "db."))),
		Vpc:                      p.VPC,
		VpcSubnets:               p.Subnets,
		SecurityGroups:           &[]awsec2.ISecurityGroup{group},
		PubliclyAccessible:       jsii.Bool(false),
		Port:                     jsii.Number(p.Engine.port),
		DatabaseName:             jsii.String(p.Name),
		Credentials:              awsrds.Credentials_FromUsername(jsii.String(p.MasterUser), nil),
		ManageMasterUserPassword: jsii.Bool(true),
		IamAuthentication:        jsii.Bool(true),
		CaCertificate:            awsrds.CaCertificate_RDS_CA_RSA2048_G1(),
		StorageEncrypted:         jsii.Bool(true),
		StorageType:              awsrds.StorageType_GP3,
		AllocatedStorage:         jsii.Number(p.StorageGiB),
		MaxAllocatedStorage:      jsii.Number(2 * p.StorageGiB),
		MultiAz:                  jsii.Bool(p.MultiAZ),
		BackupRetention:          awscdk.Duration_Days(jsii.Number(p.BackupRetention.Hours() / 24)),
		DeleteAutomatedBackups:   jsii.Bool(p.Destroy),
		CopyTagsToSnapshot:       jsii.Bool(true),
		AutoMinorVersionUpgrade:  jsii.Bool(p.AutoMinorVersionUpgrade),
		// RDS's default runs an engine past its end of life, at a surcharge many times the price of
		// a small instance. Disabled, such a version cannot be created.
		EngineLifecycleSupport: awsrds.EngineLifecycleSupport_OPEN_SOURCE_RDS_EXTENDED_SUPPORT_DISABLED,
		DeletionProtection:     jsii.Bool(p.DeletionProtection),
		RemovalPolicy:          removal,
		ParameterGroup: awsrds.NewParameterGroup(this, jsii.String("Parameters"), &awsrds.ParameterGroupProps{
			Engine: engine, Parameters: &parameters, Description: jsii.String("Database " + p.Name),
		}),
	}
	if len(p.Logs) > 0 {
		props.CloudwatchLogsExports = jsii.Strings(p.Logs...)
		props.CloudwatchLogsRetention = p.LogRetention
	}
	instance := newInstance(this, props)
	// A strong reference would export the endpoint, and CloudFormation would then
	// refuse to replace or restore the instance while another stack imports it.
	instance.ApplyCrossStackReferenceStrength(awscdk.ReferenceStrength_WEAK)
	awscdk.Tags_Of(instance).Add(jsii.String("generation"), jsii.String(strconv.Itoa(p.Generation)), &awscdk.TagProps{
		IncludeResourceTypes: jsii.Strings("AWS::RDS::DBInstance"),
	})
	nag.Accept(instance, p.exceptions()...)

	d := &Database{instance: instance, group: group, port: p.Engine.port, name: p.Name, generation: p.Generation}
	d.alarms = alarm.New(this, p.AlarmTopic, d.rules(p)...)
	return d
}

// newInstance makes the instance and, where it has logs, what gives them their retention.
func newInstance(scope constructs.Construct, props *awsrds.DatabaseInstanceProps) awsrds.DatabaseInstance {
	if props.CloudwatchLogsExports == nil {
		return awsrds.NewDatabaseInstance(scope, jsii.String("Instance"), props)
	}
	keeper := logKeeper(scope)
	// CDK would add every log group of the account to what the role may change.
	props.CloudwatchLogsRetentionRole = keeper.WithoutPolicyUpdates(nil)
	instance := awsrds.NewDatabaseInstance(scope, jsii.String("Instance"), props)
	instance.Node().AddDependency(keeper)
	return instance
}

func (p Props) validate() {
	p.Engine.validate()
	if p.Name == "" || p.MasterUser == "" {
		panic(fmt.Sprintf("database: Name and MasterUser are required, got %q and %q; RDS cannot change them later",
			p.Name, p.MasterUser))
	}
	if !strings.HasPrefix(p.InstanceClass, "db.") {
		panic(fmt.Sprintf("database: InstanceClass must begin with db., got %q; for example db.t4g.micro",
			p.InstanceClass))
	}
	if p.StorageGiB < 20 || p.StorageGiB > 16384 {
		panic(fmt.Sprintf("database: StorageGiB must be 20 to 16384, got %d; gp3 starts at 20", p.StorageGiB))
	}
	if p.BackupRetention < 0 || p.BackupRetention > 35*24*time.Hour || p.BackupRetention%(24*time.Hour) != 0 {
		panic(fmt.Sprintf("database: BackupRetention must be whole days from 0 to 35, got %s; RDS keeps no longer",
			p.BackupRetention))
	}
	if p.MaxConnections < 1 {
		panic(fmt.Sprintf("database: MaxConnections is required, got %d; take the instance class's", p.MaxConnections))
	}
	if p.Destroy && p.DeletionProtection {
		panic("database: Destroy and DeletionProtection exclude each other, got both; turn one off")
	}
	if len(p.Logs) > 0 && p.LogRetention == "" {
		panic(fmt.Sprintf("database: LogRetention is required with Logs, got none for %s; RDS would keep them for ever",
			strings.Join(p.Logs, " and ")))
	}
	for _, exception := range p.exceptions() {
		if exception.Reason == "" {
			panic(fmt.Sprintf("database: Reasons must say why %s is accepted for %s, got none; see Reasons",
				exception.Rule, p.Name))
		}
	}
	for name := range maps.Keys(p.Parameters) {
		if _, own := p.Engine.parameters[name]; own {
			panic(fmt.Sprintf("database: parameter %s belongs to the engine, got %q; leave it out", name,
				p.Parameters[name]))
		}
	}
}

func (d *Database) rules(p Props) []alarm.Rule {
	options := &awscloudwatch.MetricOptions{Period: awscdk.Duration_Minutes(jsii.Number(5)),
		Statistic: jsii.String("Average")}
	const mebibyte, gibibyte = 1 << 20, 1 << 30
	rules := []alarm.Rule{{
		ID: "FreeableMemory",
		Description: "Database " + p.Name +
			" has less than 64 MiB of memory to free: a larger class, or fewer connections.",
		Metric: d.instance.MetricFreeableMemory(options), Threshold: 64 * mebibyte, Breach: alarm.Below,
		Periods: 3,
	}, {
		ID: "FreeStorage",
		Description: "Database " + p.Name +
			" has less than 2 GiB of free storage: look for what grows before autoscaling ends.",
		Metric: d.instance.MetricFreeStorageSpace(options), Threshold: 2 * gibibyte, Breach: alarm.Below,
		Periods: 3,
	}, {
		ID:          "Connections",
		Description: "Database " + p.Name + " has over 80 % of its connections taken: " + p.ConnectionsAdvice,
		Metric: d.instance.MetricDatabaseConnections(&awscloudwatch.MetricOptions{
			Period: awscdk.Duration_Minutes(jsii.Number(1)), Statistic: jsii.String("Maximum"),
		}),
		Threshold: 0.8 * float64(p.MaxConnections), Periods: 5, Breaching: 3,
	}}
	if strings.HasPrefix(p.InstanceClass, "db.t") {
		rules = append(rules, alarm.Rule{
			// RDS runs t3 and t4g in unlimited mode: without credits they are charged for, not
			// slowed down (RDS user guide, "DB instance class types").
			ID: "CpuCredit",
			Description: "Database " + p.Name + " works beyond its CPU credits, " +
				"and each vCPU-hour of that is charged: a larger or non-burstable class.",
			Metric: d.instance.Metric(jsii.String("CPUSurplusCreditsCharged"), &awscloudwatch.MetricOptions{
				Period: awscdk.Duration_Minutes(jsii.Number(5)), Statistic: jsii.String("Maximum"),
			}),
			Threshold: 0, Periods: 3,
		})
	}
	return rules
}

// Admit lets a client's group connect to the database. The rules land in the
// stack of group.
func (d *Database) Admit(group awsec2.SecurityGroup) {
	group.Connections().AllowTo(d.group, awsec2.Port_Tcp(jsii.Number(d.port)), jsii.String("Queries to "+d.name))
}

// AllowLogin lets whoever runs in the role log in as user with an IAM token. The statement is named
// by the generation: CloudFormation resolves a weak reference anew where the policy changes.
func (d *Database) AllowLogin(r *role.Role, user string) {
	r.Allow(fmt.Sprintf("LogInGeneration%d", d.generation), []string{"rds-db:connect"},
		awscdk.Stack_Of(d.instance).FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("rds-db"), Resource: jsii.String("dbuser"),
			ResourceName: jsii.String(*d.instance.InstanceResourceId() + "/" + user),
			ArnFormat:    awscdk.ArnFormat_COLON_RESOURCE_NAME,
		}))
}

// MasterSecret is the secret that RDS manages: user name and password only.
func (d *Database) MasterSecret() awssecretsmanager.ISecret { return d.instance.Secret() }

// Identifier is the generated name that `aws rds describe-db-instances` takes, known at deployment.
func (d *Database) Identifier() *string { return d.instance.InstanceIdentifier() }

// Host is the endpoint's name, known at deployment.
func (d *Database) Host() *string { return d.instance.DbInstanceEndpointAddress() }

// Port is the endpoint's port as text, known at deployment.
func (d *Database) Port() *string { return d.instance.DbInstanceEndpointPort() }

// Name is the database created with the instance.
func (d *Database) Name() string { return d.name }

// Instance is the CDK instance, for its metrics.
func (d *Database) Instance() awsrds.DatabaseInstance { return d.instance }

// Alarms are the database's alarms, for a dashboard.
func (d *Database) Alarms() []awscloudwatch.Alarm { return d.alarms }
