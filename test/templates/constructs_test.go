package templates

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/constructs/alarm"
	"diecast/constructs/alarmtopic"
	"diecast/constructs/database"
	"diecast/constructs/datalake"
	"diecast/constructs/dataload"
	"diecast/constructs/deliverystream"
	"diecast/constructs/eventstream"
	"diecast/constructs/gobuild"
	"diecast/constructs/golambda"
	"diecast/constructs/goserver"
	"diecast/constructs/loadbalancer"
	"diecast/constructs/nag"
	"diecast/constructs/objectalarm"
	"diecast/constructs/privatenetwork"
	"diecast/constructs/recommendationtable"
	"diecast/constructs/role"
	"diecast/constructs/securebucket"
	"diecast/constructs/servicelinkedrole"
	"diecast/constructs/sparkjob"
	"diecast/constructs/statemachine"
	"diecast/constructs/streamconsumer"
	"diecast/constructs/webfleet"
)

const (
	day  = 24 * time.Hour
	week = awslogs.RetentionDays_ONE_WEEK
)

// newStack makes an empty stack whose functions are not compiled.
func newStack() awscdk.Stack {
	app := awscdk.NewApp(&awscdk.AppProps{Context: &map[string]any{"aws:cdk:bundling-stacks": []string{}}})
	return awscdk.NewStack(app, jsii.String("Test"), nil)
}

// parts are the smallest valid props of each construct, over a shared network.
type parts struct {
	stack   awscdk.Stack
	network *privatenetwork.Network
	topic   *alarmtopic.Topic
}

func newParts() parts {
	stack := newStack()
	return parts{
		stack: stack,
		network: privatenetwork.New(stack, "Network", privatenetwork.Props{CIDR: netip.MustParsePrefix("10.0.0.0/16"),
			FlowLogRetention: week}),
		topic: alarmtopic.New(stack, "Alarms", alarmtopic.Props{}),
	}
}

func (p parts) function(id string) *golambda.Function {
	return golambda.New(p.stack, id, golambda.Props{Source: "lambda/transform", LogRetention: week,
		AlarmTopic: p.topic.Topic()})
}

func (p parts) database() database.Props {
	return database.Props{
		Engine: database.PostgreSQL("18.3"), VPC: p.network.VPC(), Subnets: p.network.DatabaseSubnets(),
		Name:       "vectors",
		MasterUser: "postgres", InstanceClass: "db.t4g.micro", StorageGiB: 20, MaxConnections: 80, BackupRetention: day,
		Reasons: database.Reasons{DefaultPort: "usual port", SingleZone: "one zone is enough",
			Deletable: "may be deleted"},
	}
}

func (p parts) delivery(id string) deliverystream.Props {
	return deliverystream.Props{
		Source:    eventstream.New(p.stack, id+"Source", eventstream.Props{Shards: 1}),
		Processor: p.function(id + "Processor"),
		Bucket:    securebucket.New(p.stack, id+"Bucket", unlogged),
		Prefix:    "records/", ErrorPrefix: "errors/",
		BufferSize: 5, BufferInterval: time.Minute, ProcessorBufferBytes: 1 << 19,
		ProcessorBufferInterval: time.Second,
		LogRetention:            week,
	}
}

func (p parts) consumer(id string) streamconsumer.Props {
	return streamconsumer.Props{
		Stream:    eventstream.New(p.stack, id+"Stream", eventstream.Props{Shards: 1}),
		Function:  p.function(id + "Function"),
		Failures:  securebucket.New(p.stack, id+"Failures", unlogged),
		BatchSize: 100, RetryAttempts: 5, MaxRecordAge: 15 * time.Minute,
	}
}

func (p parts) balancer() loadbalancer.Props {
	return loadbalancer.Props{
		VPC:        p.network.VPC(),
		Subnets:    &awsec2.SubnetSelection{SubnetGroupName: jsii.String(privatenetwork.Public)},
		TargetPort: 8080, HealthPath: "/healthz", UnloggedReason: "Nobody asks who came.",
	}
}

// demanding is a balancer that asks for a token.
func demanding(p loadbalancer.Props) loadbalancer.Props {
	p.CertificateARN = strings.TrimPrefix(aCertificate, "web.certificateArn=")
	p.Token = &loadbalancer.Token{Issuer: "https://i", JWKSEndpoint: "https://i/keys", Audience: "a", Prefix: "/api/"}
	return p
}

func (p parts) fleet(id string, behind *loadbalancer.Balancer) webfleet.Props {
	return webfleet.Props{
		Server: goserver.New(p.stack, id+"Server", goserver.Props{Source: "web", Architecture: "arm64"}),
		VPC:    p.network.VPC(), Subnets: p.network.ApplicationSubnets(),
		SecurityGroup: p.network.NewSecurityGroup(p.stack, id+"Group", "Server: to AWS", p.network.OpenHTTPS),
		InstanceType:  "t4g.nano", MemoryMiB: 512, Min: 1, Max: 2,
		Targets: behind.Targets(), RequestsPerMinute: 60, CPUPercent: 60, Warmup: time.Minute,
		Logs: securebucket.New(p.stack, id+"Logs", unlogged), LogPrefix: "logs/",
		FailedBy: behind.Errors(), AlarmTopic: p.topic.Topic(),
	}
}

// unlogged is the smallest bucket.
var unlogged = securebucket.Props{UnloggedReason: "Nobody asks who read it."}

// aLake is the smallest lake with two tables.
func aLake(name string) datalake.Props {
	columns := []datalake.Column{{Name: "customerNumber", Type: "int"}}
	return datalake.Props{
		Bucket: unlogged, Database: name, Workgroup: name, Format: datalake.Parquet, ScanLimitBytes: 10_000_000,
		Tables: []datalake.Table{
			{Name: "one", Folder: "lists/one", Columns: columns}, {Name: "two", Folder: "lists/two", Columns: columns},
		},
	}
}

// aRiver is a lake of a table whose objects others write by the hour, and one of objects anywhere.
func aRiver(name string) datalake.Props {
	columns := []datalake.Column{{Name: "session_id", Type: "string"}}
	return datalake.Props{
		Bucket: unlogged, Database: name, Workgroup: name, ScanLimitBytes: 10_000_000,
		Tables: []datalake.Table{
			{Name: "records", Folder: "records", Columns: columns, Lines: &datalake.Lines{
				Hours: &datalake.Hours{Column: "hour", Format: "yyyy/MM/dd/HH", Kept: 7 * day}}},
			{Name: "kept", Folder: "kept", Columns: columns, Lines: &datalake.Lines{AnyCase: true}},
		},
	}
}

// TestConstructs_refuseBadProps: one failed check is one line that names the
// construct, the rule, the value and the remedy.
func TestConstructs_refuseBadProps(t *testing.T) {
	p := newParts()
	stack := p.stack
	with := func(change func(*database.Props)) func() {
		props := p.database()
		change(&props)
		return func() { database.New(stack, "Bad", props) }
	}
	delivery, consumer := p.delivery("Good"), p.consumer("GoodConsumer")
	deliver := func(change func(*deliverystream.Props)) func() {
		props := delivery
		change(&props)
		return func() { deliverystream.New(stack, "Bad", props) }
	}
	consume := func(change func(*streamconsumer.Props)) func() {
		props := consumer
		change(&props)
		return func() { streamconsumer.New(stack, "Bad", props) }
	}
	lakeOf := func(change func(*datalake.Props)) func() {
		props := aLake("bad")
		change(&props)
		return func() { datalake.New(stack, "Bad", props) }
	}
	jobOf := func(change func(*sparkjob.Props)) func() {
		props := sparkjob.Props{Source: "glue-scripts/ratings_etl.py", Timeout: time.Minute, LogRetention: week}
		change(&props)
		return func() { sparkjob.New(stack, "Bad", props) }
	}
	machineOf := func(change func(*statemachine.Props)) func() {
		props := statemachine.Props{Definition: "{}", Description: "nothing", Advice: "look.", LogRetention: week}
		change(&props)
		return func() { statemachine.New(stack, "Bad", props) }
	}
	loader := p.function("Loader")
	balanced := loadbalancer.New(stack, "GoodBalancer", p.balancer())
	balance := func(change func(*loadbalancer.Props)) func() {
		props := p.balancer()
		change(&props)
		return func() { loadbalancer.New(stack, "Bad", props) }
	}
	fleet := p.fleet("GoodFleet", balanced)
	serve := func(change func(*webfleet.Props)) func() {
		props := fleet
		change(&props)
		return func() { webfleet.New(stack, "Bad", props) }
	}
	cases := map[string]struct {
		build func()
		want  string
	}{
		"alarm without description": {func() { alarm.New(stack, nil, alarm.Rule{ID: "Bad"}) },
			"alarm: Bad has no description"},
		"alarm that cannot breach": {func() {
			alarm.New(stack, nil, alarm.Rule{ID: "Bad", Description: "d", Periods: 1,
				Breaching: 2})
		},
			"alarm: Bad must breach within its periods, got 2 of 1; raise Periods"},
		"exception for a whole IAM rule": {func() {
			nag.Accept(p.topic.Topic(), nag.Exception{Rule: "AwsSolutions-IAM5",
				Reason: "r"})
		},
			"needs AppliesTo, got none; name each granular finding"},
		"bucket that expires by the hour": {func() {
			securebucket.New(stack, "Bad", securebucket.Props{UnloggedReason: "none",
				Expiries: []securebucket.Expiry{{After: time.Hour}}})
		},
			"securebucket: S3 expires objects by whole days, got 1h0m0s"},
		"bucket that expires at once": {func() {
			securebucket.New(stack, "Bad", securebucket.Props{UnloggedReason: "none",
				Expiries: []securebucket.Expiry{{Prefix: "x/"}}})
		},
			`securebucket: an expiry must be at least one day, got 0 for prefix "x/"`},
		"bucket without versions to expire": {func() {
			securebucket.New(stack, "Bad",
				securebucket.Props{UnloggedReason: "none", NoncurrentExpiry: day})
		},
			"securebucket: NoncurrentExpiry needs a versioned bucket, got 24h0m0s"},
		"bucket that moves too early": {func() {
			securebucket.New(stack, "Bad", securebucket.Props{UnloggedReason: "none",
				Expiries: []securebucket.Expiry{{Prefix: "x/", After: 90 * day, ColdAfter: 29 * day}}})
		}, "securebucket: ColdAfter must be 720h0m0s or more, and as much before After, got 696h0m0s and 2160h0m0s"},
		"bucket that moves too late": {func() {
			securebucket.New(stack, "Bad", securebucket.Props{UnloggedReason: "none",
				Expiries: []securebucket.Expiry{{After: 90 * day, ColdAfter: 61 * day}}})
		}, "securebucket: ColdAfter must be"},
		"bucket that moves by the hour": {func() {
			securebucket.New(stack, "Bad", securebucket.Props{UnloggedReason: "none",
				Expiries: []securebucket.Expiry{{After: 90 * day, ColdAfter: 30*day + time.Hour}}})
		}, "securebucket: S3 expires objects by whole days"},
		"object alarm on everything": {func() {
			objectalarm.New(stack, "Bad", objectalarm.Props{Bucket: securebucket.New(stack, "Watched", unlogged)})
		}, "objectalarm: Prefixes is required, got none for Bad"},
		"network too small": {func() {
			privatenetwork.New(stack, "Bad", privatenetwork.Props{CIDR: netip.MustParsePrefix("10.0.0.0/24"),
				FlowLogRetention: week})
		}, "privatenetwork: CIDR must be an IPv4 range from /16 to /22, got 10.0.0.0/24"},
		"network with three gateways": {func() {
			privatenetwork.New(stack, "Bad", privatenetwork.Props{CIDR: netip.MustParsePrefix("10.0.0.0/16"),
				NATGateways: 3, FlowLogRetention: week})
		}, "privatenetwork: NATGateways must be 1 to 2, got 3"},
		"network without retention": {func() {
			privatenetwork.New(stack, "Bad", privatenetwork.Props{CIDR: netip.MustParsePrefix("10.0.0.0/16")})
		},
			"privatenetwork: FlowLogRetention is required"},
		"network with a port named twice": {func() {
			privatenetwork.New(stack, "Bad", privatenetwork.Props{CIDR: netip.MustParsePrefix("10.0.0.0/16"),
				DatabasePorts: []int{3306, 3306}, FlowLogRetention: week})
		}, "privatenetwork: DatabasePorts must be different ports from 1 to 65535, got [3306 3306]"},
		"network with ten ports": {func() {
			privatenetwork.New(stack, "Bad", privatenetwork.Props{CIDR: netip.MustParsePrefix("10.0.0.0/16"),
				DatabasePorts: make([]int, 10), FlowLogRetention: week})
		}, "privatenetwork: DatabasePorts must be at most 9, got 10"},
		"role for nobody": {func() { role.New(stack, "Bad", role.Props{}) },
			"role: Service is required, got none for Bad"},
		"function without source": {func() { golambda.New(stack, "Bad", golambda.Props{LogRetention: week}) },
			`golambda: Source must be a folder directly below lambda, got ""`},
		"function without retention": {func() {
			golambda.New(stack, "Bad",
				golambda.Props{Source: "lambda/transform"})
		},
			"golambda: LogRetention is required"},
		"function with little memory": {func() {
			golambda.New(stack, "Bad", golambda.Props{Source: "lambda/transform", MemoryMiB: 64, LogRetention: week})
		},
			"golambda: MemoryMiB must be 128 to 10240, got 64"},
		"function with a little disk": {func() {
			golambda.New(stack, "Bad", golambda.Props{Source: "lambda/transform", StorageMiB: 256, LogRetention: week})
		},
			"golambda: StorageMiB must be 512 to 10240, got 256"},
		"function every minute": {func() { (&golambda.Function{}).Every(stack, "Bad", time.Minute, nil) },
			"golambda: Every takes whole hours, got 1m0s for Bad"},
		"function every hour of what is no JSON": {func() {
			(&golambda.Function{}).Every(stack, "Bad", time.Hour, func() {})
		}, "golambda: the payload of Bad is not JSON"},
		"function that runs an hour": {func() {
			golambda.New(stack, "Bad", golambda.Props{Source: "lambda/transform", Timeout: time.Hour,
				LogRetention: week})
		}, "golambda: Timeout must be whole seconds from 1s to 15m, got 1h0m0s"},
		"function with a password": {func() {
			golambda.New(stack, "Bad", golambda.Props{Source: "lambda/transform", LogRetention: week,
				Environment: map[string]*string{"DATABASE_PASSWORD": jsii.String("x")}})
		}, "golambda: no secret belongs in the environment, got DATABASE_PASSWORD"},
		"database without engine": {with(func(p *database.Props) { p.Engine = database.Engine{} }),
			"database: Engine is required"},
		"database of any version": {with(func(p *database.Props) { p.Engine = database.PostgreSQL("18") }),
			`database: a version of PostgreSQL must match ^(\d+)\.\d+$, got "18"`},
		"database of a major version": {with(func(p *database.Props) { p.Engine = database.MySQL("8.4") }),
			`database: a version of MySQL must match ^(\d+\.\d+)\.\d+$, got "8.4"`},
		"database without a reason": {with(func(p *database.Props) { p.Reasons.SingleZone = "" }),
			"database: Reasons must say why AwsSolutions-RDS3 is accepted for vectors, got none"},
		"database without name": {with(func(p *database.Props) { p.Name = "" }),
			"database: Name and MasterUser are required"},
		"database of no class": {with(func(p *database.Props) { p.InstanceClass = "t4g.micro" }),
			`database: InstanceClass must begin with db., got "t4g.micro"`},
		"database on a small disk": {with(func(p *database.Props) { p.StorageGiB = 5 }),
			"database: StorageGiB must be 20 to 16384, got 5"},
		"database with old backups": {with(func(p *database.Props) { p.BackupRetention = 36 * day }),
			"database: BackupRetention must be whole days from 0 to 35"},
		"database without connections": {with(func(p *database.Props) { p.MaxConnections = 0 }),
			"database: MaxConnections is required, got 0"},
		"database at odds with itself": {with(func(p *database.Props) { p.Destroy, p.DeletionProtection = true, true }),
			"database: Destroy and DeletionProtection exclude each other"},
		"database without TLS": {
			with(func(p *database.Props) { p.Parameters = map[string]string{"rds.force_ssl": "0"} }),
			"database: parameter rds.force_ssl belongs to the engine",
		},
		"MySQL without TLS": {with(func(p *database.Props) {
			p.Engine = database.MySQL("8.4.9")
			p.Parameters = map[string]string{"require_secure_transport": "OFF"}
		}), "database: parameter require_secure_transport belongs to the engine"},
		"database that logs for ever": {with(func(p *database.Props) { p.Logs = []string{"error"} }),
			"database: LogRetention is required with Logs, got none for error"},
		"lake with a quoted name": {lakeOf(func(p *datalake.Props) { p.Database = "my-lake" }),
			`datalake: Database must be lower-case letters, digits and underscores, got "my-lake"`},
		"lake without workgroup": {lakeOf(func(p *datalake.Props) { p.Workgroup = "" }),
			"datalake: Workgroup must be 1 to 128"},
		"lake of no format": {lakeOf(func(p *datalake.Props) { p.Format = "orc" }),
			`datalake: Format must be parquet or csv, got "orc"`},
		"lake that scans nothing": {lakeOf(func(p *datalake.Props) { p.ScanLimitBytes = 1 << 20 }),
			"datalake: ScanLimitBytes must be at least 10000000, got 1048576"},
		"lake with a shouting table": {lakeOf(func(p *datalake.Props) { p.Tables[0].Name = "Sales" }),
			"datalake: a table needs a lower-case Name"},
		"lake with a shared folder": {lakeOf(func(p *datalake.Props) { p.Tables[1].Folder = "lists/one" }),
			"datalake: tables need folders of their own, got lists/one for one and two"},
		"lake with one name twice": {lakeOf(func(p *datalake.Props) { p.Tables[1].Name = "one" }),
			"datalake: tables need names of their own, got [one]"},
		"lake whose hours have no name": {func() {
			props := aRiver("bad")
			props.Tables[0].Lines = &datalake.Lines{Hours: &datalake.Hours{Format: "yyyy", Kept: day}}
			datalake.New(stack, "Bad", props)
		}, "datalake: Hours need a Column"},
		"lake whose hours are a column": {func() {
			props := aRiver("bad")
			props.Tables[0].Lines.Hours.Column = "session_id"
			datalake.New(stack, "Bad", props)
		}, "datalake: Hours need a Column that is no other"},
		"lake whose hours are kept for none": {func() {
			props := aRiver("bad")
			props.Tables[0].Lines = &datalake.Lines{Hours: &datalake.Hours{Column: "hour", Format: "yyyy"}}
			datalake.New(stack, "Bad", props)
		}, "datalake: Hours need a Column"},
		"job without script": {jobOf(func(p *sparkjob.Props) { p.Source = "glue-scripts/none.py" }),
			`sparkjob: Source must be a Python file below the module's root, got "glue-scripts/none.py"`},
		"job without its jar": {jobOf(func(p *sparkjob.Props) { p.Jars = []string{"/nowhere/driver.jar"} }),
			"sparkjob: Jars must be there, got \"/nowhere/driver.jar\"; run `make setup`"},
		"job without its file": {jobOf(func(p *sparkjob.Props) { p.Files = map[string]string{"--ca": "none.pem"} }),
			`sparkjob: Files must exist, got "none.pem" for --ca`},
		"job with a bare argument": {
			jobOf(func(p *sparkjob.Props) { p.Arguments = map[string]*string{"format": jsii.String("csv")} }),
			`sparkjob: Arguments must begin with --`,
		},
		"job without end": {jobOf(func(p *sparkjob.Props) { p.Timeout = 0 }),
			"sparkjob: Timeout must be whole minutes, got 0s"},
		"job that logs for ever": {jobOf(func(p *sparkjob.Props) { p.LogRetention = "" }),
			"sparkjob: LogRetention is required"},
		"job that fails unheard": {jobOf(func(p *sparkjob.Props) { p.FailureRule = "rule" }),
			"sparkjob: FailureTopic and FailureRule belong together"},
		"machine without a definition": {machineOf(func(p *statemachine.Props) { p.Definition = "{" }),
			"statemachine: Definition must be JSON"},
		"machine without words": {machineOf(func(p *statemachine.Props) { p.Description = "" }),
			"statemachine: Description is required"},
		"machine whose alarm says nothing": {machineOf(func(p *statemachine.Props) { p.Advice = "" }),
			"statemachine: Advice is required"},
		"machine that logs for ever": {machineOf(func(p *statemachine.Props) { p.LogRetention = "" }),
			"statemachine: LogRetention is required"},
		"machine with an alarm that looks back too far": {machineOf(func(p *statemachine.Props) {
			p.Schedule = &statemachine.Schedule{Expression: "rate(7 days)", Quiet: 14 * day}
		}), `statemachine: Schedule must have an Expression and a Quiet of whole hours up to 168, got "rate(7 days)" ` +
			`and ` +
			"336h0m0s"},
		"machine with an alarm on nothing": {machineOf(func(p *statemachine.Props) {
			p.Schedule = &statemachine.Schedule{Expression: "rate(1 hour)"}
		}), "statemachine: Schedule must have"},
		"table without a reason": {func() {
			recommendationtable.New(stack, "Bad", recommendationtable.Props{})
		}, "recommendationtable: NoRecoveryReason must say why AwsSolutions-DDB3 is accepted, got none"},
		"bucket without a reason": {func() { securebucket.New(stack, "Bad", securebucket.Props{}) },
			"securebucket: UnloggedReason must say why AwsSolutions-S1 is accepted, got none"},
		"table at odds with itself": {func() {
			recommendationtable.New(stack, "Bad", recommendationtable.Props{Destroy: true, DeletionProtection: true})
		}, "recommendationtable: Destroy and DeletionProtection exclude each other"},
		"stream without shards": {func() { eventstream.New(stack, "Bad", eventstream.Props{}) },
			"eventstream: Shards must be at least 1, got 0; or choose OnDemand"},
		"on-demand stream with shards": {func() {
			eventstream.New(stack, "Bad", eventstream.Props{OnDemand: true,
				Shards: 2})
		}, "eventstream: an on-demand stream has no shard count, got 2"},
		"stream that forgets": {func() {
			eventstream.New(stack, "Bad", eventstream.Props{Shards: 1,
				Retention: time.Hour})
		}, "eventstream: Retention must be whole hours from 24h to 8760h, got 1h0m0s"},
		"delivery without a slash": {deliver(func(p *deliverystream.Props) { p.Prefix = "records" }),
			`deliverystream: a prefix must end in a slash and not begin with one, got "records"`},
		"delivery with a huge buffer": {deliver(func(p *deliverystream.Props) { p.BufferSize = 129 }),
			"deliverystream: the S3 buffer must be 1 to 128 MiB"},
		"delivery that overwhelms": {deliver(func(p *deliverystream.Props) { p.ProcessorBufferBytes = 4 << 20 }),
			"deliverystream: the processor's buffer must be 0.2 to 3 MiB"},
		"delivery whose extension lies": {
			deliver(func(p *deliverystream.Props) { p.GZIP, p.Extension = true, ".jsonl" }),
			"deliverystream: Extension must begin with a dot, and end in .gz with GZIP and without it not, got " +
				`".jsonl"`},
		"delivery that logs for ever": {deliver(func(p *deliverystream.Props) { p.LogRetention = "" }),
			"deliverystream: LogRetention is required"},
		"consumer of empty batches": {consume(func(p *streamconsumer.Props) { p.BatchSize = 0 }),
			"streamconsumer: BatchSize must be 1 to 10000, got 0"},
		"consumer that waits": {consume(func(p *streamconsumer.Props) { p.BatchWindow = time.Hour }),
			"streamconsumer: BatchWindow must be 0 to 300 whole seconds"},
		"consumer that is too parallel": {consume(func(p *streamconsumer.Props) { p.Parallelization = 11 }),
			"streamconsumer: Parallelization must be 1 to 10, got 11"},
		"consumer that never gives up": {consume(func(p *streamconsumer.Props) { p.RetryAttempts = -1 }),
			"streamconsumer: RetryAttempts must be 0 to 10000, got -1"},
		"consumer that never forgets": {consume(func(p *streamconsumer.Props) { p.MaxRecordAge = 0 }),
			"streamconsumer: MaxRecordAge must be 60s to 7 days"},
		"balancer of no port": {balance(func(p *loadbalancer.Props) { p.TargetPort = 0 }),
			"loadbalancer: TargetPort must be 1 to 65535, got 0"},
		"balancer that asks nothing": {balance(func(p *loadbalancer.Props) { p.HealthPath = "healthz" }),
			`loadbalancer: HealthPath must begin with /, got "healthz"`},
		"balancer that never lets go": {balance(func(p *loadbalancer.Props) { p.Drain = 2 * time.Hour }),
			"loadbalancer: Drain must be whole seconds up to 1h, got 2h0m0s"},
		"balancer of IPv6 clients": {balance(func(p *loadbalancer.Props) {
			p.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("::/0")}
		}), "loadbalancer: AllowedCIDRs must be IPv4 ranges, got ::/0"},
		"login in plain text": {balance(func(p *loadbalancer.Props) { p.Login = &loadbalancer.Login{} }),
			"loadbalancer: Login needs CertificateARN, got none"},
		"token in plain text": {balance(func(p *loadbalancer.Props) { p.Token = &loadbalancer.Token{Prefix: "/"} }),
			"loadbalancer: Token needs CertificateARN, got none"},
		"token for whoever asks": {balance(func(p *loadbalancer.Props) {
			*p = demanding(*p)
			p.Token.Audience = ""
		}), `loadbalancer: Token needs Issuer, JWKSEndpoint and Audience, got "https://i", "https://i/keys" and ""`},
		"token before a pattern": {balance(func(p *loadbalancer.Props) {
			*p = demanding(*p)
			p.Token.Prefix = "/api/*/"
		}), "loadbalancer: Prefix must begin and end with / and have up to 127 characters without * and ?, got " +
			`"/api/*/"`},
		"token before what only begins alike": {balance(func(p *loadbalancer.Props) {
			*p = demanding(*p)
			p.Token.Prefix = "/api"
		}), `loadbalancer: Prefix must begin and end with /`},
		"limit of tokens without a firewall": {balance(func(p *loadbalancer.Props) {
			*p = demanding(*p)
			p.Token.RequestsPerAddress = 100
		}), "loadbalancer: RequestsPerAddress of Token needs that of Props, got 100 and 0"},
		"limit of tokens that refuses everybody": {balance(func(p *loadbalancer.Props) {
			*p = demanding(*p)
			p.RequestsPerAddress, p.Token.RequestsPerAddress = 100, 1
		}), "loadbalancer: RequestsPerAddress must be 0 or 10 to 2000000000, got 1"},
		"half a second of slowness": {balance(func(p *loadbalancer.Props) { p.MedianSlowness = time.Second / 2 }),
			"loadbalancer: MedianSlowness must be whole seconds, got 500ms"},
		"balancer that refuses everybody": {balance(func(p *loadbalancer.Props) { p.RequestsPerAddress = 1 }),
			"loadbalancer: RequestsPerAddress must be 0 or 10 to 2000000000, got 1"},
		"balancer without a reason": {balance(func(p *loadbalancer.Props) { p.UnloggedReason = "" }),
			"loadbalancer: UnloggedReason must say why AwsSolutions-ELB2 is accepted, got none"},
		"server of no source": {func() { goserver.New(stack, "Bad", goserver.Props{Architecture: "arm64"}) },
			`goserver: Source must be a folder of the module, got ""`},
		"server of another place": {func() {
			goserver.New(stack, "Bad", goserver.Props{Source: "web/../web", Architecture: "arm64"})
		}, `goserver: Source must be a folder of the module, got "web/../web"`},
		"server of AWS's word": {func() {
			goserver.New(stack, "Bad", goserver.Props{Source: "web", Architecture: "x86_64"})
		}, `goserver: Architecture must be arm64 or amd64, got "x86_64"`},
		"fleet of nothing": {serve(func(p *webfleet.Props) { p.Server = nil }),
			"webfleet: Server, Targets, Logs, FailedBy and AlarmTopic are required"},
		"fleet without memory": {serve(func(p *webfleet.Props) { p.MemoryMiB = 0 }),
			"webfleet: MemoryMiB must be at least 512, got 0"},
		"fleet that shrinks as it grows": {serve(func(p *webfleet.Props) { p.Min = 3 }),
			"webfleet: Min must be at least 1 and Max at least Min, got 3 and 2"},
		"fleet that never grows": {serve(func(p *webfleet.Props) { p.CPUPercent = 100 }),
			"webfleet: RequestsPerMinute, CPUPercent (1 to 99) and Warmup are required, got 60, 100 and 1m0s"},
		"fleet of the other architecture": {serve(func(p *webfleet.Props) { p.InstanceType = "t3.nano" }),
			"webfleet: InstanceType t3.nano is amd64, and the server is built for arm64"},
		"fleet with a password": {serve(func(p *webfleet.Props) {
			p.Environment = map[string]*string{"DATABASE_PASSWORD": jsii.String("x")}
		}), "webfleet: no secret belongs in the environment, got DATABASE_PASSWORD"},
		"fleet with a shell's words": {serve(func(p *webfleet.Props) {
			p.Environment = map[string]*string{"A b": jsii.String("x")}
		}), `webfleet: a variable's name must be capitals, digits and underscores, got "A b"`},
		"fleet with a second line": {serve(func(p *webfleet.Props) {
			p.Environment = map[string]*string{"A": jsii.String("x\nB=y")}
		}), `webfleet: A must have no quote, backslash or line end, got "x\nB=y"`},
		"roles of no service": {func() {
			servicelinkedrole.New(stack, "Bad", servicelinkedrole.Props{LogRetention: week})
		}, "servicelinkedrole: Services are required, got none"},
		"role of half a service": {func() {
			servicelinkedrole.New(stack, "Bad", servicelinkedrole.Props{Services: []string{"autoscaling"},
				LogRetention: week})
		}, `servicelinkedrole: a service must end in .amazonaws.com, got "autoscaling"`},
		"roles whose log stays": {func() {
			servicelinkedrole.New(stack, "Bad",
				servicelinkedrole.Props{Services: []string{"autoscaling.amazonaws.com"}})
		}, "servicelinkedrole: LogRetention is required, got none"},
		"load without loader": {func() {
			dataload.New(stack, "Bad", dataload.Props{Timeout: time.Minute,
				LogRetention: week})
		}, "dataload: Loader is required"},
		"load without time": {func() {
			dataload.New(stack, "Bad", dataload.Props{Loader: loader,
				LogRetention: week})
		}, "dataload: Timeout must be whole seconds from 1s to 1h, got 0s"},
		"load that logs for ever": {func() {
			dataload.New(stack, "Bad", dataload.Props{Loader: loader,
				Timeout: time.Minute})
		}, "dataload: LogRetention is required"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			message := panicOf(c.build)
			assert.Contains(t, message, c.want)
			assert.NotContains(t, message, "\n")
		})
	}
}

// panicOf is what build panics with, or "".
func panicOf(build func()) (message string) {
	defer func() {
		if failure := recover(); failure != nil {
			message, _ = failure.(string)
		}
	}()
	build()
	return ""
}

// TestAlarms_withoutTopicShowInTheConsoleOnly covers what a nil topic promises.
func TestAlarms_withoutTopicShowInTheConsoleOnly(t *testing.T) {
	stack := newStack()
	stream := eventstream.New(stack, "Stream", eventstream.Props{Shards: 1})
	require.Len(t, stream.Alarms(), 1)
	assertions.Template_FromStack(stack, nil).HasResourceProperties(jsii.String("AWS::CloudWatch::Alarm"),
		map[string]any{"AlarmActions": assertions.Match_Absent()})
}

// TestAlarms_missingData: an alarm may tell of what has stopped.
func TestAlarms_missingData(t *testing.T) {
	stack := newStack()
	metric := awscloudwatch.NewMetric(&awscloudwatch.MetricProps{Namespace: jsii.String("Test"),
		MetricName: jsii.String("Runs")})
	for id, missing := range map[string]alarm.MissingData{"Fine": alarm.MissingIsFine,
		"Breaches": alarm.MissingBreaches, "Keeps": alarm.MissingKeepsState} {
		alarm.New(stack, nil, alarm.Rule{ID: id, Description: id, Metric: metric, Missing: missing})
	}
	template := assertions.Template_FromStack(stack, nil)
	for id, treatment := range map[string]string{"Fine": "notBreaching", "Breaches": "breaching", "Keeps": "ignore"} {
		template.HasResourceProperties(jsii.String("AWS::CloudWatch::Alarm"),
			map[string]any{"AlarmDescription": id, "TreatMissingData": treatment})
	}
}

// TestNetwork_openHTTPSReachesEndpointsOnly: a group opened for AWS can be
// reached by nobody because of it.
func TestNetwork_openHTTPSReachesEndpointsOnly(t *testing.T) {
	p := newParts()
	p.network.NewSecurityGroup(p.stack, "Client", "Client: to AWS", p.network.OpenHTTPS)
	template := assertions.Template_FromStack(p.stack, nil)
	template.ResourceCountIs(jsii.String("AWS::EC2::SecurityGroupIngress"), jsii.Number(1))
	template.HasResourceProperties(jsii.String("AWS::EC2::SecurityGroupIngress"), map[string]any{"FromPort": 443,
		"ToPort": 443})
}

// TestBuild_isReproducible compiles the functions for two users, in two directories and two shells,
// and compares the bytes: an asset's hash must not depend on who built it, where and when, nor on
// what was kept of earlier builds.
func TestBuild_isReproducible(t *testing.T) {
	root, err := gobuild.ModuleRoot()
	require.NoError(t, err)
	first, err := gobuild.Build(t.Context(), root, golambda.Target)
	require.NoError(t, err)

	elsewhere := filepath.Join(t.TempDir(), "a folder with spaces, and a name that is rather long for what it holds")
	require.NoError(t, os.Mkdir(elsewhere, 0o755))
	for _, name := range []string{"go.mod", "go.sum", "internal", "sql", "training", "lambda"} {
		copyTree(t, filepath.Join(root, name), filepath.Join(elsewhere, name))
	}
	anothersCheckout(t, elsewhere)
	anothersShell(t, elsewhere)
	second, err := gobuild.Build(t.Context(), elsewhere, golambda.Target)
	require.NoError(t, err)

	require.NotEmpty(t, first)
	assert.ElementsMatch(t, slices.Collect(maps.Keys(first)), slices.Collect(maps.Keys(second)))
	for name, one := range first {
		assert.True(t, bytes.Equal(one, second[name]), "%s built twice differs: %d and %d bytes", name, len(one),
			len(second[name]))
		executable, err := elf.NewFile(bytes.NewReader(one))
		require.NoError(t, err)
		assert.Equal(t, elf.EM_AARCH64, executable.Machine)
		libraries, err := executable.ImportedLibraries()
		require.NoError(t, err)
		assert.Empty(t, libraries, "provided.al2023 promises no libraries")
	}
}

// anothersCheckout makes a folder the working copy of somebody else, whose version control state
// git refuses to tell.
func anothersCheckout(t *testing.T, folder string) {
	t.Helper()
	require.NoError(t, exec.Command("git", "init", "--quiet", folder).Run())
	if os.Geteuid() != 0 {
		return // only root can give a folder away
	}
	for _, path := range []string{folder, filepath.Join(folder, ".git")} {
		require.NoError(t, os.Chown(path, 65534, 65534))
	}
}

// anothersShell says in every way that the go command listens to how it should compile.
func anothersShell(t *testing.T, folder string) {
	t.Helper()
	settings := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(settings, []byte("GOFLAGS=-tags=other\nGOARM64=v9.0\nCGO_ENABLED=1\n"+
		"GOEXPERIMENT=none-such\nGO111MODULE=off\nCC=/nowhere\nGOAMD64=v4\nGOROOT=/nowhere\n"), 0o600))
	above := filepath.Join(filepath.Dir(folder), "go.work")
	require.NoError(t, os.WriteFile(above, []byte("go 1.26.0\n\nuse ./elsewhere\n"), 0o600))
	for name, value := range map[string]string{
		"GOENV": settings, "GOFLAGS": "-race -mod=mod", "GOWORK": "", "GOEXPERIMENT": "rangefunc,jsonv2",
		"GOARM64": "v9.0,lse", "GOAMD64": "v3", "GOOS": "windows", "GOARCH": "386", "CGO_ENABLED": "1",
		"GOFIPS140": "latest",
		"GODEBUG":   "panicnil=1", "GOTOOLCHAIN": "go1.99.0", "GOROOT": "/nowhere", "TMPDIR": "/nowhere",
		"LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu", "HTTPS_PROXY": "http://127.0.0.1:1",
		"HTTP_PROXY": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	inherited := syscall.Umask(0o077)
	t.Cleanup(func() { syscall.Umask(inherited) })
}

// TestBuild_refusesWhatNobodyAskedFor: a release of Go that is not the module's own makes other
// bytes, so it makes none.
func TestBuild_refusesWhatNobodyAskedFor(t *testing.T) {
	root := module(t, `println("words")`)
	file := filepath.Join(root, "go.mod")
	require.NoError(t, os.WriteFile(file, []byte("module one\n\ngo 1.26\n\ntoolchain go1.98.7\n"), 0o600))
	t.Setenv("GOPROXY", "off")
	_, err := gobuild.Build(t.Context(), root, golambda.Target)
	require.ErrorContains(t, err, "go1.98.7")
	require.ErrorContains(t, err, "gobuild: compiling ./lambda/... for linux/arm64 failed")

	// A go command that does as it likes is found out by what it made.
	goCommand, err := exec.LookPath("go")
	require.NoError(t, err)
	willful := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(willful, "go"),
		[]byte("#!/bin/sh\nexec env CGO_ENABLED=1 "+goCommand+" \"$@\"\n"), 0o755))
	t.Setenv("PATH", willful+":"+os.Getenv("PATH"))
	_, err = gobuild.Build(t.Context(), module(t, `println("words")`), golambda.Target)
	require.ErrorContains(t, err, "it was compiled with CGO_ENABLED=1, which nobody asked for")

	own, err := gobuild.ModuleRoot()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(own, "go.mod"))
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^toolchain go1\.\d+\.\d+$`, string(text), "which release makes the bytes")
}

// module writes a module whose one function has the given body.
func module(t *testing.T, body string) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "lambda", "one"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module one\n\ngo 1.26\n"), 0o600))
	writeFunction(t, root, body)
	return root
}

func writeFunction(t *testing.T, root, body string) {
	t.Helper()
	source := "package main\n\nfunc main() { " + body + " }\n"
	require.NoError(t, os.WriteFile(filepath.Join(root, "lambda", "one", "main.go"), []byte(source), 0o600))
}

// TestBuild_isUpToDate: what was kept saves time and never stands in for what the source says.
func TestBuild_isUpToDate(t *testing.T) {
	root := module(t, `println("first words")`)
	first, err := gobuild.Build(t.Context(), root, golambda.Target)
	require.NoError(t, err)
	kept := filepath.Join(root, "bin", "linux-arm64", "one")
	before, err := os.Stat(kept)
	require.NoError(t, err)

	again, err := gobuild.Build(t.Context(), root, golambda.Target)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(first["one"], again["one"]))
	after, err := os.Stat(kept)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "what is up to date is not kept anew")

	reader := filepath.Join(t.TempDir(), "reader")
	require.NoError(t, os.Link(kept, reader))
	writeFunction(t, root, `println("second words")`)
	changed, err := gobuild.Build(t.Context(), root, golambda.Target)
	require.NoError(t, err)
	assert.True(t, bytes.Contains(changed["one"], []byte("second words")))
	assert.False(t, bytes.Contains(changed["one"], []byte("first words")))
	held, err := os.ReadFile(reader)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(first["one"], held), "what another build is reading was written into")
	held, err = os.ReadFile(kept)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(changed["one"], held))

	other := filepath.Join(root, "lambda", "other")
	require.NoError(t, os.Rename(filepath.Join(root, "lambda", "one"), other))
	renamed, err := gobuild.Build(t.Context(), root, golambda.Target)
	require.NoError(t, err)
	assert.Equal(t, []string{"other"}, slices.Collect(maps.Keys(renamed)), "a folder that is no more has no executable")
}

func TestBuild_leavesNothingButWhatIsKept(t *testing.T) {
	root := module(t, "")
	_, err := gobuild.Build(t.Context(), root, golambda.Target)
	require.NoError(t, err)
	entries, err := os.ReadDir(filepath.Join(root, "bin"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, "linux-arm64", entries[0].Name())
}

// TestBuild_severalAtATime: each has a whole executable, whoever keeps the last.
func TestBuild_severalAtATime(t *testing.T) {
	root := module(t, `println("over here")`)
	results := make(chan string)
	for range 4 {
		go func() {
			built, err := gobuild.Build(t.Context(), root, golambda.Target)
			if err != nil {
				results <- err.Error()
				return
			}
			results <- string(built["one"])
		}()
	}
	first := <-results
	require.True(t, strings.Contains(first, "over here"))
	for range 3 {
		assert.True(t, first == <-results, "builds at the same time differ")
	}
}

// TestBuild_whereNothingCanBeKept has a file where the folder of what is kept would be.
func TestBuild_whereNothingCanBeKept(t *testing.T) {
	root := module(t, `println("over here")`)
	require.NoError(t, os.WriteFile(filepath.Join(root, "bin"), nil, 0o600))
	for range 2 {
		built, err := gobuild.Build(t.Context(), root, golambda.Target)
		require.NoError(t, err)
		assert.True(t, bytes.Contains(built["one"], []byte("over here")))
	}
}

func TestBuild_reportsTheCompilersMessage(t *testing.T) {
	_, err := gobuild.Build(t.Context(), module(t, "undefinedName()"), golambda.Target)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "gobuild: compiling ./lambda/... for linux/arm64 failed")
	assert.Contains(t, err.Error(), "undefined: undefinedName")
}

func TestBuild_endsWithItsContext(t *testing.T) {
	root := module(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := gobuild.Build(ctx, root, golambda.Target)
	require.ErrorIs(t, err, context.Canceled)
	entries, err := os.ReadDir(filepath.Join(root, "bin"))
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// TestMetrics_areThoseOfTheServices: what no alarm watches is still shown, and a typo fails
// silently.
func TestMetrics_areThoseOfTheServices(t *testing.T) {
	p := newParts()
	balancer := loadbalancer.New(p.stack, "Balancer", p.balancer())
	fleet := webfleet.New(p.stack, "Fleet", p.fleet("Fleet1", balancer))
	shown, serving := balancer.Metrics(), fleet.Metrics()
	dimensions := map[string]string{}
	for _, metric := range []awscloudwatch.IMetric{
		shown.Requests, shown.RequestsPerTarget, shown.Slowest, shown.Healthy, shown.Unhealthy,
		serving.CPU, serving.NetworkIn, serving.NetworkOut, serving.InService,
	} {
		one := metric.(awscloudwatch.Metric)
		name := *one.Namespace() + "/" + *one.MetricName()
		assert.Contains(t, knownMetrics, name)
		assert.Equal(t, 60.0, *one.Period().ToSeconds(nil), name)
		dimensions[name] = strings.Join(slices.Sorted(maps.Keys(*one.Dimensions())), " ")
	}
	assert.Equal(t, map[string]string{
		"AWS/ApplicationELB/RequestCount":          "LoadBalancer",
		"AWS/ApplicationELB/RequestCountPerTarget": "LoadBalancer TargetGroup",
		"AWS/ApplicationELB/TargetResponseTime":    "LoadBalancer TargetGroup",
		"AWS/ApplicationELB/HealthyHostCount":      "LoadBalancer TargetGroup",
		"AWS/ApplicationELB/UnHealthyHostCount":    "LoadBalancer TargetGroup",
		"AWS/EC2/CPUUtilization":                   "AutoScalingGroupName",
		"AWS/EC2/NetworkIn":                        "AutoScalingGroupName",
		"AWS/EC2/NetworkOut":                       "AutoScalingGroupName",
		"AWS/AutoScaling/GroupInServiceInstances":  "AutoScalingGroupName",
	}, dimensions)
}

// TestServer_isOneFileForItsArchitectureWithItsChecksum bundles as a deployment does.
func TestServer_isOneFileForItsArchitectureWithItsChecksum(t *testing.T) {
	for architecture, machine := range map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64} {
		t.Run(architecture, func(t *testing.T) {
			dir := t.TempDir()
			app := awscdk.NewApp(&awscdk.AppProps{Outdir: jsii.String(dir), AnalyticsReporting: jsii.Bool(false)})
			stack := awscdk.NewStack(app, jsii.String("Test"), nil)
			server := goserver.New(stack, "Server", goserver.Props{Source: "web", Architecture: architecture})
			app.Synth(nil)
			assert.Equal(t, "./web", server.Package())
			assert.Equal(t, "web", server.Name())

			files, err := filepath.Glob(filepath.Join(dir, "asset.*.bin"))
			require.NoError(t, err)
			require.Len(t, files, 1)
			program, err := os.ReadFile(files[0])
			require.NoError(t, err)
			sum := sha256.Sum256(program)
			assert.Equal(t, hex.EncodeToString(sum[:]), server.SHA256())
			executable, err := elf.NewFile(bytes.NewReader(program))
			require.NoError(t, err)
			assert.Equal(t, machine, executable.Machine)
			libraries, err := executable.ImportedLibraries()
			require.NoError(t, err)
			assert.Empty(t, libraries)
		})
	}
}

// What is not bundled has no checksum that a file could have, so that nothing unbuilt starts.
func TestServer_unbuiltIsTheChecksumOfNothing(t *testing.T) {
	server := goserver.New(newStack(), "Server", goserver.Props{Source: "web", Architecture: "arm64"})
	assert.Equal(t, strings.Repeat("0", 64), server.SHA256())
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	require.NoError(t, err)
	if info.IsDir() {
		require.NoError(t, os.CopyFS(to, os.DirFS(from)))
		return
	}
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, data, 0o600))
}
