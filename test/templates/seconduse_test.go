package templates

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/constructs/alarmtopic"
	"diecast/constructs/database"
	"diecast/constructs/datalake"
	"diecast/constructs/dataload"
	"diecast/constructs/deliverystream"
	"diecast/constructs/eventstream"
	"diecast/constructs/golambda"
	"diecast/constructs/goserver"
	"diecast/constructs/handlerlog"
	"diecast/constructs/loadbalancer"
	"diecast/constructs/objectalarm"
	"diecast/constructs/privatenetwork"
	"diecast/constructs/recommendationtable"
	"diecast/constructs/regionrule"
	"diecast/constructs/role"
	"diecast/constructs/securebucket"
	"diecast/constructs/servicelinkedrole"
	"diecast/constructs/sparkjob"
	"diecast/constructs/statemachine"
	"diecast/constructs/streamconsumer"
	"diecast/constructs/webfleet"
)

// isolated is an empty stack, checked by cdk-nag, with what ends its synthesis and reads the
// templates.
func isolated(t *testing.T) (awscdk.Stack, func() assembly) {
	t.Helper()
	context := cdkContext(t)
	context["aws:cdk:bundling-stacks"] = []string{}
	dir := t.TempDir()
	app := awscdk.NewApp(&awscdk.AppProps{
		Context: &context, Outdir: jsii.String(dir), AnalyticsReporting: jsii.Bool(false),
	})
	stack := awscdk.NewStack(app, jsii.String("Test"), nil)
	awscdk.Aspects_Of(app).Add(cdknag.NewAwsSolutionsChecks(&cdknag.NagPackProps{Reports: jsii.Bool(false)}), nil)
	return stack, func() assembly {
		app.Synth(nil)
		return read(t, dir)
	}
}

// twoOfEach builds every construct twice in one stack, each time for another use.
func twoOfEach(stack awscdk.Stack) {
	topic := alarmtopic.New(stack, "Alarms", alarmtopic.Props{}).Topic()
	pager := alarmtopic.New(stack, "Pager", alarmtopic.Props{
		Email: "someone@example.com", Rules: []string{"nightly-failures", "hourly-failures"},
	}).Topic()

	postgres, mysql := database.PostgreSQL("18.3"), database.MySQL("8.4.9")
	network := privatenetwork.New(stack, "Network", privatenetwork.Props{
		CIDR:             netip.MustParsePrefix("10.0.0.0/16"),
		DatabasePorts:    []int{postgres.Port(), mysql.Port()},
		FlowLogRetention: week,
	})
	privatenetwork.New(stack, "Outpost", privatenetwork.Props{
		CIDR: netip.MustParsePrefix("10.1.0.0/22"), NAT: privatenetwork.NATInstance, FlowLogRetention: week,
	})

	vectors := database.New(stack, "Vectors", database.Props{
		Engine: postgres, VPC: network.VPC(), Subnets: network.DatabaseSubnets(),
		Name: "vectors", MasterUser: "postgres",
		InstanceClass: "db.t4g.micro", StorageGiB: 20, MaxConnections: 80, AlarmTopic: topic,
		ConnectionsAdvice: "fewer events.", Logs: []string{"postgresql"}, LogRetention: week,
		Reasons: database.Reasons{
			DefaultPort: "Queries come on PostgreSQL's port.", SingleZone: "The store is rebuilt from artifacts.",
			Deletable: "The store is rebuilt when it is gone.", NoBackups: "The store is a copy of artifacts.",
		},
	})
	source := database.New(stack, "Source", database.Props{
		Engine: mysql, VPC: network.VPC(), Subnets: network.DatabaseSubnets(),
		Name: "shop", MasterUser: "admin",
		InstanceClass: "db.m7g.large", StorageGiB: 50, MaxConnections: 600, AlarmTopic: topic,
		MultiAZ: true, BackupRetention: 7 * day, DeletionProtection: true, Logs: []string{"error"}, LogRetention: week,
		Parameters: map[string]string{"max_allowed_packet": "67108864"},
		Reasons:    database.Reasons{DefaultPort: "Queries come on MySQL's port."},
	})

	function := func(id, name string, place *golambda.Network) *golambda.Function {
		return golambda.New(stack, id, golambda.Props{
			Source: "lambda/" + name, LogRetention: week, Network: place, AlarmTopic: topic,
		})
	}
	for _, use := range []struct {
		id, function, kind string
		db                 *database.Database
	}{
		{"VectorLoad", "vectorloader", "Custom::VectorLoad", vectors},
		{"SourceLoad", "transform", "Custom::SourceLoad", source},
	} {
		loader := function(use.id+"er", use.function, &golambda.Network{
			VPC: network.VPC(), Subnets: network.ApplicationSubnets(),
			SecurityGroup: network.NewSecurityGroup(stack, use.id+"Group", "Loader: to its database",
				network.OpenHTTPS, use.db.Admit),
		})
		dataload.New(stack, use.id, dataload.Props{
			ResourceType: use.kind, Loader: loader, Timeout: time.Minute, LogRetention: week,
			Properties: map[string]string{"Of": use.db.Name()},
		})
	}

	logs := securebucket.New(stack, "Logs", securebucket.Props{ReceivesAccessLogs: true})
	archive := securebucket.New(stack, "Archive", securebucket.Props{AccessLogs: logs.Bucket()})
	models := securebucket.New(stack, "Models", securebucket.Props{
		Versioned: true, Destroy: true, UnloggedReason: "Models are read by one function.",
	})
	events := eventstream.New(stack, "Events", eventstream.Props{Shards: 1, AlarmTopic: topic})
	ratings := eventstream.New(stack, "Ratings", eventstream.Props{
		OnDemand: true, AlarmTopic: topic, WritesRefusedAdvice: "ask the rating service.",
	})
	transform, score := function("Transform", "transform", nil), function("Score", "inference", nil)
	// Two deliveries of one stream to one bucket.
	for id, processor := range []*golambda.Function{transform, score} {
		deliverystream.New(stack, fmt.Sprint("Delivery", id), deliverystream.Props{
			Source: events, Processor: processor, Bucket: archive,
			Prefix: fmt.Sprintf("%d/", id), ErrorPrefix: fmt.Sprintf("errors/%d/", id),
			BufferSize: 5, BufferInterval: time.Minute,
			ProcessorBufferBytes: 1 << 19, ProcessorBufferInterval: time.Second,
			LogRetention: week, AlarmTopic: topic, ProcessorFailsAdvice: []string{"", "call the shop."}[id],
		})
		processor.AddURL()
	}
	// One function on two streams, which keeps what it gives up in two buckets.
	deliver := function("Deliver", "deliver", nil)
	streamconsumer.New(stack, "EventConsumer", streamconsumer.Props{
		Stream: events, Function: deliver, Failures: archive, AlarmTopic: topic,
		BatchSize: 100, RetryAttempts: 5, MaxRecordAge: time.Hour,
	})
	streamconsumer.New(stack, "RatingConsumer", streamconsumer.Props{
		Stream: ratings, Function: deliver, Failures: models, AlarmTopic: topic,
		BatchSize: 10, MaxRecordAge: 2 * time.Hour, LateAfter: time.Hour,
		Dropped: awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace: jsii.String("Diecast"), MetricName: jsii.String("dropped"), Statistic: jsii.String("Sum"),
		}),
		DroppedAdvice: "ask the rating service.",
	})
	recommendationtable.New(stack, "Latest", recommendationtable.Props{
		AlarmTopic: topic, Destroy: true, NoRecoveryReason: "The latest are made anew within a day.",
		WritesRefusedAdvice: "ask the shop.",
	})
	recommendationtable.New(stack, "Kept", recommendationtable.Props{
		AlarmTopic: topic, PointInTimeRecovery: true, DeletionProtection: true,
	})

	// Two lakes, one of text, and two jobs with one script.
	lake := datalake.New(stack, "Lake", aLake("one"))
	text := aLake("two")
	text.Format, text.Queries = datalake.CSV, []datalake.Query{{Name: "all", SQL: "SELECT 1"}}
	datalake.New(stack, "Pond", text)
	// A lake over a bucket that is there, beside one that lists files.
	river := aRiver("three")
	river.Over = archive
	datalake.New(stack, "River", river)
	objectalarm.New(stack, "Lost", objectalarm.Props{
		Bucket: archive, Prefixes: []string{"errors/", "aws/lambda/"}, Description: "Something was lost.",
		AlarmTopic: topic,
	})
	objectalarm.New(stack, "Refused", objectalarm.Props{
		Bucket: models, Prefixes: []string{"refused/"}, Description: "A model was refused.",
		AlarmTopic: pager,
	})
	for id, flex := range map[string]bool{"Nightly": true, "Hourly": false} {
		started := sparkjob.New(stack, id, sparkjob.Props{
			Source: "glue-scripts/ratings_etl.py", Flex: flex, Timeout: time.Hour, LogRetention: week,
			Arguments: map[string]*string{"--source-owner": jsii.String("")},
			Network: sparkjob.Network{VPC: network.VPC(), Subnets: network.ApplicationSubnets(),
				SecurityGroup: network.NewSecurityGroup(stack, id+"Group", "Job: to S3", network.OpenS3)},
			FailureTopic: pager, FailureRule: strings.ToLower(id) + "-failures",
		})
		started.Role().AllowObjects("Publish", []string{"s3:PutObject"}, lake.Bucket().ARN(), "tables/")
	}

	// Two state machines: one by the clock, one that tells nobody.
	const definition = `{"StartAt":"End","States":{"End":{"Type":"Succeed"}}}`
	statemachine.New(stack, "ByTheClock", statemachine.Props{
		Definition: definition, Description: "the nightly end", Advice: "wake up.", LogRetention: week,
		Schedule: &statemachine.Schedule{Expression: "rate(1 day)", Quiet: 2 * day}, AlarmTopic: topic,
	})
	statemachine.New(stack, "OnDemand", statemachine.Props{
		Definition: definition, Description: "an end", Advice: "read its history.", LogRetention: week,
		AlarmTopic: topic,
	})

	// Two balancers with a fleet each: one that nobody reaches, one for everybody who logs in.
	servicelinkedrole.New(stack, "BalancerRoles", servicelinkedrole.Props{
		Services: []string{"elasticloadbalancing.amazonaws.com"}, LogRetention: week,
	})
	servicelinkedrole.New(stack, "DatabaseRoles", servicelinkedrole.Props{
		Services: []string{"rds.amazonaws.com"}, LogRetention: week,
	})
	public := &awsec2.SubnetSelection{SubnetGroupName: jsii.String(privatenetwork.Public)}
	inner := loadbalancer.New(stack, "Inner", loadbalancer.Props{
		VPC: network.VPC(), Subnets: public, TargetPort: 9000, HealthPath: "/alive",
		UnloggedReason: "Nobody comes here by chance.", AlarmTopic: topic,
	})
	outer := loadbalancer.New(stack, "Outer", loadbalancer.Props{
		VPC: network.VPC(), Subnets: public, TargetPort: 9001, HealthPath: "/healthz", Drain: time.Minute,
		AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		CertificateARN: *stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("acm"), Resource: jsii.String("certificate"), ResourceName: jsii.String("mine"),
		}),
		RequestsPerAddress: 100, MedianSlowness: 4 * time.Second,
		Token: &loadbalancer.Token{
			Issuer: "https://tokens.example.com", JWKSEndpoint: "https://tokens.example.com/jwks", Audience: "outer",
			Prefix: "/machines/", RequestsPerAddress: 1000,
		},
		Login: &loadbalancer.Login{
			Issuer: "https://id.example.com", AuthorizationEndpoint: "https://id.example.com/authorize",
			TokenEndpoint: "https://id.example.com/token", UserInfoEndpoint: "https://id.example.com/user",
			ClientID: "outer", ClientSecret: awscdk.SecretValue_SecretsManager(jsii.String("outer"), nil),
		},
		AccessLogs: logs.Bucket(), AlarmTopic: pager,
	})
	for _, use := range []struct {
		id, architecture, instance string
		behind                     *loadbalancer.Balancer
		spot                       bool
	}{{"Pages", "arm64", "t4g.nano", inner, false}, {"Reports", "amd64", "m7i.large", outer, true}} {
		served := webfleet.New(stack, use.id, webfleet.Props{
			Server: goserver.New(stack, use.id+"Server",
				goserver.Props{Source: "web", Architecture: use.architecture}),
			Description: use.id, Environment: map[string]*string{"USE": jsii.String(use.id)},
			VPC: network.VPC(), Subnets: network.ApplicationSubnets(),
			SecurityGroup: network.NewSecurityGroup(stack, use.id+"Group", "Server: to its source",
				network.OpenHTTPS, source.Admit),
			InstanceType: use.instance, MemoryMiB: 512, Min: 1, Max: 3,
			Targets: use.behind.Targets(), RequestsPerMinute: 60, CPUPercent: 50, Warmup: time.Minute,
			SpotAboveMin: use.spot, Shell: use.spot, Logs: archive, LogPrefix: use.id + "/",
			FailedBy: use.behind.Errors(), AlarmTopic: topic,
		})
		source.AllowLogin(served.Role(), "reader")
	}

	// Roles that no function runs in.
	job := role.New(stack, "Job", role.Props{Service: "glue.amazonaws.com", Description: "Runs a job"})
	job.AllowObjects("ReadModels", []string{"s3:GetObject"}, models.ARN(), "models/")
	job.AllowObjects("WriteTables", []string{"s3:PutObject"}, archive.ARN(), "tables/")
	source.AllowLogin(job, "reader")
	network.NewSecurityGroup(stack, "JobGroup", "Job: to the source", network.OpenS3, source.Admit)
	steps := role.New(stack, "Steps", role.Props{Service: "states.amazonaws.com"})
	steps.AllowInvoke(transform.ARN())
	steps.AllowInvoke(score.ARN())
	vectors.AllowLogin(steps, "reader")
	source.AllowLogin(steps, "writer")

	regionrule.New(stack, "Near", regionrule.Props{Regions: []string{"eu-west-1"}, Otherwise: "It is far from here."})
	regionrule.New(stack, "Large", regionrule.Props{
		Regions: []string{"eu-west-1", "us-east-1"}, Otherwise: "It has too few zones.",
	})
	handlerlog.New(stack, "HandlerLogs", handlerlog.Props{LogRetention: week})
}

// Not built here by themselves: every construct that raises an alarm, has something to say to
// cdk-nag, or runs a Go command, uses them.
var usedWithin = []string{"alarm", "gobuild", "nag"}

// TestConstructs_eachHasASecondUse finds a construct that twoOfEach does not know.
func TestConstructs_eachHasASecondUse(t *testing.T) {
	source, err := os.ReadFile("seconduse_test.go")
	require.NoError(t, err)
	folders, err := os.ReadDir("../../constructs")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	for _, folder := range folders {
		name := folder.Name()
		used := regexp.MustCompile(`\b` + name + `\.New\(`).Match(source)
		assert.NotEqual(t, slices.Contains(usedWithin, name), used, "constructs/%s in twoOfEach", name)
	}
}

// TestConstructs_secondUse: nothing that a construct says or opens is its first user's. Ids collide
// with nothing, each database has its engine's port and parameters, reasons and advice are the
// use's.
func TestConstructs_secondUse(t *testing.T) {
	stack, done := isolated(t)
	twoOfEach(stack)
	built := done()
	assert.Empty(t, built.findings)
	assert.Empty(t, built.cutOffDatabases())
	for kind, count := range map[string]int{
		"AWS::SNS::Topic": 4, "AWS::EC2::VPC": 2, "AWS::RDS::DBInstance": 2, "AWS::Kinesis::Stream": 2,
		"Custom::VectorLoad": 1, "Custom::SourceLoad": 1, "AWS::KinesisFirehose::DeliveryStream": 2,
		"AWS::Lambda::EventSourceMapping": 2, "AWS::DynamoDB::GlobalTable": 2, "AWS::Glue::Job": 2,
		"AWS::Glue::Connection": 2, "AWS::Events::Rule": 2, "AWS::Glue::Table": 6, "AWS::Athena::WorkGroup": 3,
		"Custom::LogRetention": 2, "AWS::ElasticLoadBalancingV2::LoadBalancer": 2,
		"AWS::AutoScaling::AutoScalingGroup": 2, "AWS::WAFv2::WebACL": 1, "Custom::ServiceLinkedRole": 2,
	} {
		assert.Equal(t, count, built.count(kind), kind)
	}
	for _, rule := range invariants {
		if slices.Contains([]string{"what can be tagged is tagged", "alarms watch metrics that exist"}, rule.name) {
			continue // tags are the stacks', and metrics the constructs' whatever their use
		}
		for id, r := range built.all {
			assert.Empty(t, rule.breach(built, id, r), "%s: %s", rule.name, id)
		}
	}

	t.Run("databases", func(t *testing.T) {
		want := map[any]struct {
			engine, port, parameter string
			reasons                 []string
		}{
			"vectors": {"postgres 18.3", "5432", `"rds.force_ssl":"1"`, []string{
				"Queries come on PostgreSQL's port.", "The store is rebuilt from artifacts.",
				"The store is rebuilt when it is gone.", "The store is a copy of artifacts.",
			}},
			"shop": {"mysql 8.4.9", "3306", `"require_secure_transport":"ON"`,
				[]string{"Queries come on MySQL's port."}},
		}
		for id, r := range built.all {
			if r.Type != "AWS::RDS::DBInstance" {
				continue
			}
			one := want[r.Properties["DBName"]]
			assert.Equal(t, one.engine, fmt.Sprint(r.Properties["Engine"], " ", r.Properties["EngineVersion"]), id)
			assert.Equal(t, one.port, r.Properties["Port"], id)
			_, parameters := built.find(built.target("Test", r.Properties["DBParameterGroupName"]))
			assert.Contains(t, string(compact(parameters.Properties)), one.parameter, id)
			var reasons []string
			for _, accepted := range acceptedIn(t, r) {
				reasons = append(reasons, accepted.Reason)
			}
			assert.Equal(t, one.reasons, reasons, id)
		}
	})

	t.Run("alarms", func(t *testing.T) {
		var descriptions []string
		for _, r := range built.all {
			if r.Type == "AWS::CloudWatch::Alarm" {
				descriptions = append(descriptions, fmt.Sprint(r.Properties["AlarmDescription"]))
			}
		}
		all := strings.Join(descriptions, "\n")
		for _, want := range []string{
			"Database vectors has over 80 % of its connections taken: fewer events.",
			"Database shop has over 80 % of its connections taken: a larger class, or fewer clients.",
			"Producers write more than the shards take: add shards, and look for one partition key that has it all.",
			"Producers write more than the shards take: ask the rating service.",
		} {
			assert.Contains(t, all, want)
		}
		assert.NotRegexp(t, `\b(network|vectors|streaming|inference|functions|capacity|data|alarms)\.[a-z]`, all,
			"a construct knows no key")
	})

	t.Run("grants", func(t *testing.T) {
		assert.Equal(t, []string{
			"ReadModels s3:GetObject Models", "WriteTables s3:PutObject Archive",
			"LogInGeneration0 rds-db:connect Source",
		}, granted(built, "Job"))
		assert.Equal(t, []string{
			"InvokeFunction lambda:InvokeFunction Transform", "InvokeFunction2 lambda:InvokeFunction Score",
			"LogInGeneration0 rds-db:connect Vectors", "LogInGeneration02 rds-db:connect Source",
		}, granted(built, "Steps"))
		assert.Subset(t, granted(built, "Deliver"), []string{
			"KeepFailures s3:PutObject Archive", "FindFailures s3:ListBucket Archive",
			"KeepFailures2 s3:PutObject Models", "FindFailures2 s3:ListBucket Models",
		})
	})

	t.Run("fleets", func(t *testing.T) {
		for id, r := range built.all {
			if r.Type != "AWS::AutoScaling::AutoScalingGroup" {
				continue
			}
			use := map[bool]string{true: "Pages", false: "Reports"}[strings.HasPrefix(id, "Test/Pages")]
			assert.Contains(t, string(compact(r.Metadata["diecast:server"])), `{"USE":"`+use+`"}`)
			balancer := map[string]string{"Pages": "Inner", "Reports": "Outer"}[use]
			assert.Contains(t, string(compact(r.Properties["TargetGroupARNs"])), `"`+balancer)
		}
		assert.Contains(t, granted(built, "Pages"), "SendLogs s3:PutObject Archive")
	})

	t.Run("cfn-lint", func(t *testing.T) {
		output, err := cfnLint(filepath.Join(built.dir, "Test.template.json"))
		assert.NoError(t, err, "%s", output)
	})
}

// granted lists the statements of the policies whose id begins with prefix: name, actions, and the
// constructs that they are about.
func granted(a assembly, prefix string) []string {
	var all []string
	for id, r := range a.all {
		if r.Type != "AWS::IAM::Policy" || !strings.HasPrefix(id, "Test/"+prefix) {
			continue
		}
		for _, s := range policiesOf(r) {
			name, _ := s["Sid"].(string)
			words := append([]string{name}, list(s["Action"])...)
			for _, one := range []string{"Models", "Archive", "Vectors", "Source", "Transform", "Score"} {
				if strings.Contains(string(compact(s["Resource"])), `"`+one) {
					words = append(words, one)
				}
			}
			all = append(all, strings.TrimSpace(strings.Join(words, " ")))
		}
	}
	return all
}
