package assembly

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// examples are one resource of every type that runs, and its typed form. Numbers are spelled both
// ways.
var examples = map[string]struct {
	properties string
	want       any
}{
	"AWS::Kinesis::Stream": {
		`{"Name":"events","ShardCount":"2","RetentionPeriodHours":48,"StreamModeDetails":{` +
			`"StreamMode":"PROVISIONED"},"StreamEncryption":{"EncryptionType":"KMS"},"Tags":[]}`,
		&Stream{Name: "events", Shards: 2, Retention: 48 * time.Hour},
	},
	"AWS::KinesisFirehose::DeliveryStream": {
		`{"DeliveryStreamType":"KinesisStreamAsSource",` +
			`"KinesisStreamSourceConfiguration":{"KinesisStreamARN":"arn:stream","RoleARN":"r"},
			"ExtendedS3DestinationConfiguration":{"BucketARN":"arn:bucket","RoleARN":"r","Prefix":"ok/",` +
			`"ErrorOutputPrefix":"errors/","FileExtension":".jsonl",
			"BufferingHints":{"SizeInMBs":"1","IntervalInSeconds":0},"CloudWatchLoggingOptions":{"Enabled":true,` +
			`"LogGroupName":"g","LogStreamName":"s"},
			"ProcessingConfiguration":{"Enabled":"true","Processors":[{"Type":"Lambda",` +
			`"Parameters":[{"ParameterName":"LambdaArn","ParameterValue":"arn:function"},
			{"ParameterName":"BufferSizeInMBs","ParameterValue":"0.5"},{"ParameterName":"BufferIntervalInSeconds",` +
			`"ParameterValue":"5"},{"ParameterName":"NumberOfRetries","ParameterValue":"2"},{` +
			`"ParameterName":"RoleArn","ParameterValue":"r"}]}]}}}`,
		&DeliveryStream{
			SourceARN: "arn:stream", BucketARN: "arn:bucket", Prefix: "ok/", ErrorOutputPrefix: "errors/",
			FileExtension: ".jsonl",
			BufferBytes:   1 << 20, BufferInterval: 0,
			Processor: &Processor{FunctionARN: "arn:function", BufferBytes: 1 << 19, BufferInterval: 5 * time.Second,
				Retries: 2},
		},
	},
	"AWS::Kinesis::StreamConsumer": {
		`{"ConsumerName":"deliver","StreamARN":"arn:stream","Tags":[{"Key":"k","Value":"v"}]}`,
		&StreamConsumer{Name: "deliver", StreamARN: "arn:stream"},
	},
	"AWS::Lambda::EventSourceMapping": {
		`{"EventSourceArn":"arn:stream","FunctionName":"deliver","StartingPosition":"TRIM_HORIZON","BatchSize":"200",` +
			`"MaximumBatchingWindowInSeconds":1,"ParallelizationFactor":2,
			"BisectBatchOnFunctionError":true,"FunctionResponseTypes":["ReportBatchItemFailures"],` +
			`"MaximumRetryAttempts":5,"MaximumRecordAgeInSeconds":900,` +
			`"DestinationConfig":{"OnFailure":{"Destination":"arn:bucket"}}}`,
		&EventSourceMapping{
			SourceARN: "arn:stream", Function: "deliver", Enabled: true, BatchSize: 200, BatchingWindow: time.Second,
			FromStart: true, ParallelizationFactor: 2,
			BisectOnError: true, ReportBatchItemFailures: true, MaximumRetries: 5, MaximumRecordAge: 15 * time.Minute,
			OnFailureARN: "arn:bucket",
		},
	},
	"AWS::Lambda::Function": {
		`{"FunctionName":"f","Code":{"S3Bucket":"assets","S3Key":"abc.zip"},"Handler":"bootstrap",` +
			`"Runtime":"provided.al2023","Role":"r","Architectures":["arm64"],"Timeout":"60","MemorySize":256,
			"EphemeralStorage":{"Size":1024},
			"Environment":{"Variables":{"PORT":5432,"TLS":true,"HOST":"db"}},"ReservedConcurrentExecutions":3,` +
			`"LoggingConfig":{"LogFormat":"JSON","LogGroup":"g","ApplicationLogLevel":"WARN"},` +
			`"VpcConfig":{"SubnetIds":["s"]},"Description":"d"}`,
		&Function{
			Name: "f", Source: "lambda/example", Environment: map[string]string{"PORT": "5432", "TLS": "true",
				"HOST": "db"},
			MemoryMB: 256, Timeout: time.Minute, ReservedConcurrency: 3,
		},
	},
	"AWS::Glue::Job": {
		`{"Name":"etl","GlueVersion":"5.1","Role":"r","Command":{"Name":"glueetl","PythonVersion":"3",` +
			`"ScriptLocation":"s3://assets/abc.zip"},
			"Timeout":"15","ExecutionClass":"FLEX","WorkerType":"G.1X","NumberOfWorkers":2,"MaxRetries":0,` +
			`"ExecutionProperty":{"MaxConcurrentRuns":"2"},
			"Connections":{"Connections":["c"]},"SecurityConfiguration":"s","Tags":{"a":"b"},"Description":"d",` +
			`"JobRunQueuingEnabled":false,
			"DefaultArguments":{"--job-language":"python","--job-bookmark-option":"job-bookmark-disable",` +
			`"--enable-metrics":"","--extra-jars":"s3://assets/j.jar",
			"--TempDir":"s3://t/","--enable-continuous-cloudwatch-log":"true","--lake-bucket":"lake",` +
			`"--source-port":3306,"--conf":"spark.a=1"}}`,
		&Job{
			Name: "etl", Source: "lambda/example", Timeout: 15 * time.Minute, MaxConcurrentRuns: 2,
			Arguments: map[string]string{"--lake-bucket": "lake", "--source-port": "3306", "--conf": "spark.a=1"},
		},
	},
	"AWS::SNS::Topic": {`{"TopicName":"runs","DisplayName":"d","Subscription":[],"FifoTopic":"false"}`,
		&Topic{Name: "runs"}},
	"AWS::StepFunctions::StateMachine": {
		`{"StateMachineName":"nightly","StateMachineType":"STANDARD","RoleArn":"r",` +
			`"DefinitionString":"{\"StartAt\":\"${First}\"}","DefinitionSubstitutions":{"First":"Run","Port":3306},` +
			`"LoggingConfiguration":{"Level":"ALL"},"TracingConfiguration":{"Enabled":true},"Tags":[]}`,
		&StateMachine{Name: "nightly", Role: "r", Definition: `{"StartAt":"${First}"}`,
			Substitutions: map[string]string{"First": "Run", "Port": "3306"}},
	},
	"AWS::Lambda::Url": {`{"AuthType":"AWS_IAM","TargetFunctionArn":"arn:function"}`,
		&FunctionURL{FunctionARN: "arn:function", RequiresIAM: true}},
	"AWS::S3::Bucket": {`{"BucketName":"b","VersioningConfiguration":{"Status":"Enabled"},` +
		`"LifecycleConfiguration":{"Rules":[]}}`, &Bucket{Name: "b", Versioned: true}},
	"AWS::RDS::DBInstance": {
		`{"Engine":"postgres","EngineVersion":"18.3","DBInstanceIdentifier":"shop-vectors","DBName":"vectors",` +
			`"Port":"5433","MasterUsername":"postgres","ManageMasterUserPassword":true,` +
			`"EnableIAMDatabaseAuthentication":true,"AllocatedStorage":"20","StorageEncrypted":true}`,
		&Database{Engine: "postgres", Identifier: "shop-vectors", Name: "vectors", MasterUser: "postgres"},
	},
	"AWS::SecretsManager::Secret": {
		`{"GenerateSecretString":{"SecretStringTemplate":"{\"username\":\"etl\"}","GenerateStringKey":"password",` +
			`"PasswordLength":40,"ExcludeCharacters":"\"@/","ExcludePunctuation":true}}`,
		&Secret{Template: `{"username":"etl"}`, Key: "password", Length: 40, Without: `"@/`, WithoutPunctuation: true,
			EachKind: true},
	},
	"AWS::DynamoDB::GlobalTable": {
		`{"TableName":"t","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id",` +
			`"AttributeType":"S"},{"AttributeName":"at","AttributeType":"N"}],
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"at","KeyType":"RANGE"}],
			"GlobalSecondaryIndexes":[{"IndexName":"i","KeySchema":[{"AttributeName":"at","KeyType":"HASH"}],` +
			`"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["x"]}}],
			"Replicas":[{"Region":{"Ref":"AWS::Region"},"GlobalSecondaryIndexes":[{"IndexName":"i"}],"Tags":[]}],` +
			`"TimeToLiveSpecification":{"AttributeName":"expires_at","Enabled":true}}`,
		&Table{
			Name: "t", AttributeTypes: map[string]string{"id": "S", "at": "N"}, Key: TableKey{"id", "at"},
			Indexes: []TableIndex{{"i", TableKey{PartitionKey: "at"}, "INCLUDE", []string{"x"}}},
		},
	},
	"AWS::AutoScaling::AutoScalingGroup": {
		`{"AutoScalingGroupName":"servers","MinSize":"2","MaxSize":"4","HealthCheckType":"ELB",` +
			`"HealthCheckGracePeriod":90,"VPCZoneIdentifier":["a","b"],"TargetGroupARNs":["arn:targets"],` +
			`"LaunchTemplate":{"LaunchTemplateId":"t","Version":"1"},"MetricsCollection":[],"Tags":[]}`,
		&ServerGroup{Name: "servers", Source: "web", Environment: map[string]string{"WEB_PORT": "8080", "HOST": "aws"},
			Size: 2, Zones: 2, Grace: 90 * time.Second, TargetGroupARN: "arn:targets"},
	},
	"AWS::ElasticLoadBalancingV2::LoadBalancer": {
		`{"Name":"pages","Type":"application","Scheme":"internet-facing","Subnets":["a","b"],` +
			`"LoadBalancerAttributes":[` +
			`{"Key":"idle_timeout.timeout_seconds","Value":"30"},{"Key":"client_keep_alive.seconds","Value":"600"},` +
			`{"Key":"routing.http.drop_invalid_header_fields.enabled","Value":"true"},` +
			`{"Key":"routing.http.xff_header_processing.mode","Value":"remove"},` +
			`{"Key":"access_logs.s3.enabled","Value":"false"}]}`,
		&LoadBalancer{Name: "pages", Idle: 30 * time.Second, KeepAlive: 10 * time.Minute, DropInvalidHeaders: true,
			ForwardedFor: "remove"},
	},
	"AWS::ElasticLoadBalancingV2::Listener": {
		`{"LoadBalancerArn":"arn:balancer","Port":"443","Protocol":"HTTPS","Certificates":[{"CertificateArn":"c"}],` +
			`"DefaultActions":[{"Type":"forward","TargetGroupArn":"arn:targets"}]}`,
		&Listener{LoadBalancerARN: "arn:balancer", Port: 443, Secure: true, TargetGroupARN: "arn:targets"},
	},
	"AWS::ElasticLoadBalancingV2::TargetGroup": {
		`{"Name":"servers","Port":8080,"Protocol":"HTTP","TargetType":"instance","HealthCheckPath":"/healthz",` +
			`"HealthCheckIntervalSeconds":"10","HealthCheckTimeoutSeconds":4,"HealthyThresholdCount":3,` +
			`"UnhealthyThresholdCount":4,"Matcher":{"HttpCode":"200-204"},"TargetGroupAttributes":[` +
			`{"Key":"deregistration_delay.timeout_seconds","Value":"30"},` +
			`{"Key":"stickiness.enabled","Value":"false"},` +
			`{"Key":"load_balancing.algorithm.type","Value":"least_outstanding_requests"},{"Key":` +
			`"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count","Value":"2"}]}`,
		&TargetGroup{Name: "servers", HealthPath: "/healthz", HealthyStatuses: "200-204",
			HealthInterval: 10 * time.Second, HealthTimeout: 4 * time.Second, HealthyThreshold: 3,
			UnhealthyThreshold:  4,
			DeregistrationDelay: 30 * time.Second, MinimumHealthy: 2, LeastOutstanding: true},
	},
}

// one plans a single resource, with an asset abc.zip at hand.
func one(t *testing.T, kind, properties string) (*Plan, error) {
	t.Helper()
	files := fstest.MapFS{
		"asset.abc/bootstrap": &fstest.MapFile{},
		"Assets.assets.json": &fstest.MapFile{Data: []byte(`{"files":{"abc":{"source":{"path":"asset.abc"},` +
			`"destinations":{"x":{"bucketName":"assets","objectKey":"abc.zip"}}}}}`)},
	}
	template := fmt.Sprintf(`{"Resources":{"X":{"Type":%q,"Metadata":{"diecast:source":"lambda/example",`+
		`"diecast:server":{"package":"./web","environment":{"WEB_PORT":8080,"HOST":{"Ref":"AWS::Partition"}}}},`+
		`"Properties":%s}}}`, kind, properties)
	assembled, err := assemble(t, map[string]given{"A": {template: template}}, files)
	require.NoError(t, err)
	return assembled.Plan(Environment{})
}

func TestTypesThatRun(t *testing.T) {
	types := TypesThatRun()
	for name, example := range examples {
		assert.Equal(t, reflect.TypeOf(example.want).Elem(), types[name], name)
	}
	assert.Equal(t, reflect.TypeFor[CustomResource](), types["Custom::"])
	assert.NotContains(t, types, "AWS::IAM::Role", "it is only checked")
}

func TestDecode(t *testing.T) {
	for name, entry := range registry {
		if entry.fate == Run && !entry.open {
			assert.Contains(t, examples, name, "a type that runs has an example here")
		}
	}
	for name, example := range examples {
		t.Run(name, func(t *testing.T) {
			plan, err := one(t, name, example.properties)
			require.NoError(t, err)
			typed, err := plan.Decode(find(t, plan, "A/X"))
			require.NoError(t, err)
			assert.Equal(t, example.want, typed)
		})
	}
}

// processed is a delivery stream whose processor has a buffer of so many MB, processing its typed
// form, in bytes.
func processed(megabytes string) string {
	return `{"DeliveryStreamType":"KinesisStreamAsSource","KinesisStreamSourceConfiguration":{` +
		`"KinesisStreamARN":"s"},"ExtendedS3DestinationConfiguration":{"BucketARN":"b",
		"ProcessingConfiguration":{"Enabled":true,
		"Processors":[{"Type":"Lambda","Parameters":[{"ParameterName":"LambdaArn","ParameterValue":"f"},` +
		`{"ParameterName":"BufferSizeInMBs","ParameterValue":"` + megabytes + `"}]}]}}}`
}

func processing(bytes int) *DeliveryStream {
	return &DeliveryStream{
		SourceARN: "s", BucketARN: "b", BufferBytes: 5 << 20, BufferInterval: 5 * time.Minute,
		Processor: &Processor{FunctionARN: "f", BufferBytes: bytes, BufferInterval: time.Minute, Retries: 3},
	}
}

func TestDecode_defaults(t *testing.T) {
	tests := map[string]struct {
		kind, properties string
		want             any
	}{
		"on-demand stream": {"AWS::Kinesis::Stream", `{"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`,
			&Stream{Shards: 4, Retention: 24 * time.Hour}},
		"delivery stream": {
			"AWS::KinesisFirehose::DeliveryStream",
			`{"DeliveryStreamType":"KinesisStreamAsSource","KinesisStreamSourceConfiguration":{` +
				`"KinesisStreamARN":"s"},"ExtendedS3DestinationConfiguration":{"BucketARN":"b",
		"ProcessingConfiguration":{"Enabled":true,
				"Processors":[{"Type":"Lambda","Parameters":[{"ParameterName":"LambdaArn","ParameterValue":"f"}]}]}}}`,
			&DeliveryStream{SourceARN: "s", BucketARN: "b", BufferBytes: 5 << 20, BufferInterval: 5 * time.Minute,
				Processor: &Processor{FunctionARN: "f", BufferBytes: 1 << 20, BufferInterval: time.Minute, Retries: 3}},
		},
		"job": {
			"AWS::Glue::Job", `{"GlueVersion":"5.1","Role":"r","Command":{"Name":"glueetl",` +
				`"ScriptLocation":"s3://assets/abc.zip"}}`,
			&Job{Source: "lambda/example", Arguments: map[string]string{}, Timeout: 8 * time.Hour,
				MaxConcurrentRuns: 1},
		},
		"mapping": {
			"AWS::Lambda::EventSourceMapping", `{"EventSourceArn":"s","FunctionName":"f","StartingPosition":"LATEST"}`,
			&EventSourceMapping{SourceARN: "s", Function: "f", Enabled: true, BatchSize: 100, ParallelizationFactor: 1,
				MaximumRetries: -1, MaximumRecordAge: -1},
		},
		"function": {
			"AWS::Lambda::Function",
			`{"Code":{"S3Bucket":"assets","S3Key":"abc.zip"},"Handler":"h","Runtime":"provided.al2","Role":"r"}`,
			&Function{Source: "lambda/example", Environment: map[string]string{}, MemoryMB: 128,
				Timeout: 3 * time.Second, ReservedConcurrency: -1},
		},
		"mapping that says so": {
			"AWS::Lambda::EventSourceMapping",
			`{"EventSourceArn":"s","FunctionName":"f","StartingPosition":"LATEST","Enabled":"false",` +
				`"BisectBatchOnFunctionError":false,"MaximumRecordAgeInSeconds":60}`,
			&EventSourceMapping{SourceARN: "s", Function: "f", BatchSize: 100, ParallelizationFactor: 1,
				MaximumRetries: -1, MaximumRecordAge: time.Minute},
		},
		"smallest processor buffer": {"AWS::KinesisFirehose::DeliveryStream", processed("0.2"),
			processing(1 << 20 / 5)},
		"largest processor buffer": {"AWS::KinesisFirehose::DeliveryStream", processed("3"), processing(3 << 20)},
		"open function URL": {"AWS::Lambda::Url", `{"AuthType":"NONE","TargetFunctionArn":"f"}`,
			&FunctionURL{FunctionARN: "f"}},
		"bucket": {"AWS::S3::Bucket", `{}`, &Bucket{}},
		"database": {"AWS::RDS::DBInstance",
			`{"Engine":"mysql","MasterUsername":"admin","ManageMasterUserPassword":"true"}`,
			&Database{Engine: "mysql", MasterUser: "admin"}},
		"load balancer": {"AWS::ElasticLoadBalancingV2::LoadBalancer", `{}`,
			&LoadBalancer{Idle: time.Minute, KeepAlive: time.Hour, ForwardedFor: "append"}},
		"target group": {"AWS::ElasticLoadBalancingV2::TargetGroup", `{}`,
			&TargetGroup{HealthPath: "/", HealthyStatuses: "200", HealthInterval: 30 * time.Second,
				HealthTimeout: 5 * time.Second, HealthyThreshold: 5, UnhealthyThreshold: 2,
				DeregistrationDelay: 5 * time.Minute, MinimumHealthy: 1}},
		"redirecting listener": {"AWS::ElasticLoadBalancingV2::Listener",
			`{"LoadBalancerArn":"b","Port":80,"Protocol":"HTTP","DefaultActions":[{"Type":"redirect",` +
				`"RedirectConfig":{"StatusCode":"HTTP_301","Protocol":"HTTPS","Port":"443"}}]}`,
			&Listener{LoadBalancerARN: "b", Port: 80, Redirect: &Redirect{Permanent: true, Protocol: "HTTPS",
				Host: "#{host}", Port: "443", Path: "/#{path}", Query: "#{query}"}}},
		"group of servers": {"AWS::AutoScaling::AutoScalingGroup",
			`{"MinSize":1,"VPCZoneIdentifier":["a"],"TargetGroupARNs":["t"],"HealthCheckType":"ELB"}`,
			&ServerGroup{Source: "web", Environment: map[string]string{"WEB_PORT": "8080", "HOST": "aws"},
				Size: 1, Zones: 1,
				Grace: 5 * time.Minute, TargetGroupARN: "t"}},
		"secret": {"AWS::SecretsManager::Secret", `{"GenerateSecretString":{}}`,
			&Secret{Length: 32, EachKind: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan, err := one(t, test.kind, test.properties)
			require.NoError(t, err)
			typed, err := plan.Decode(find(t, plan, "A/X"))
			require.NoError(t, err)
			assert.Equal(t, test.want, typed)
		})
	}
}

// change is an example's properties with some replaced; "" removes one.
func change(t *testing.T, kind string, changes map[string]string) string {
	t.Helper()
	properties := map[string]json.RawMessage{}
	require.NoError(t, json.Unmarshal([]byte(examples[kind].properties), &properties))
	for name, value := range changes {
		if value == "" {
			delete(properties, name)
		} else {
			properties[name] = json.RawMessage(value)
		}
	}
	return string(encode(t, properties))
}

func TestDecode_refused(t *testing.T) {
	const (
		stream, delivery, mapping = "AWS::Kinesis::Stream", "AWS::KinesisFirehose::DeliveryStream",
			"AWS::Lambda::EventSourceMapping"
		function, url, table = "AWS::Lambda::Function", "AWS::Lambda::Url", "AWS::DynamoDB::GlobalTable"
		database, secret     = "AWS::RDS::DBInstance", "AWS::SecretsManager::Secret"
		job                  = "AWS::Glue::Job"
		group                = "AWS::AutoScaling::AutoScalingGroup"
		balancer             = "AWS::ElasticLoadBalancingV2::LoadBalancer"
		listener             = "AWS::ElasticLoadBalancingV2::Listener"
		targets              = "AWS::ElasticLoadBalancingV2::TargetGroup"
		machine, topic       = "AWS::StepFunctions::StateMachine", "AWS::SNS::Topic"
	)
	tests := map[string]struct {
		kind    string
		changes map[string]string
		want    string
	}{
		"machine of the other type": {machine, map[string]string{"StateMachineType": `"EXPRESS"`},
			`got "EXPRESS", want STANDARD`},
		"machine whose definition is elsewhere": {machine,
			map[string]string{"DefinitionString": "", "DefinitionS3Location": `{"Bucket":"b","Key":"k"}`},
			"Properties.DefinitionString: got nothing, want"},
		"machine whose definition is empty": {machine, map[string]string{"DefinitionString": `""`},
			`Properties.DefinitionString: got "", want a text that refers to nothing`},
		"topic in order": {topic, map[string]string{"FifoTopic": `true`}, "got true, want false"},
		"topic that keeps": {topic, map[string]string{"ArchivePolicy": `{}`},
			"ArchivePolicy: the laptop's SNS::Topic neither"},
		"stream without shards": {stream, map[string]string{"ShardCount": ""},
			"Properties.ShardCount: got nothing, want a value"},
		"stream with half a shard": {stream, map[string]string{"ShardCount": `"1.5"`},
			`got "1.5", want a whole number from 1 to 10000`},
		"on-demand stream with shards": {stream,
			map[string]string{"StreamModeDetails": `{"StreamMode":"ON_DEMAND"}`},
			"no shard count beside StreamMode ON_DEMAND"},
		"stream in another mode": {stream, map[string]string{"StreamModeDetails": `{"StreamMode":"X"}`},
			`got "X", want PROVISIONED or ON_DEMAND`},
		"stream mode of a string": {stream, map[string]string{"StreamModeDetails": `"X"`},
			`Properties.StreamModeDetails: got "X", want an object`},
		"unknown property within": {stream, map[string]string{"StreamModeDetails": `{"Colour":"X"}`},
			"Properties.StreamModeDetails.Colour: the laptop's Kinesis::Stream neither honours nor knowingly " +
				"ignores this property"},
		"stream name of a list": {stream, map[string]string{"Name": `[]`}, "got a list of 0, want a string"},
		"direct put": {delivery, map[string]string{"DeliveryStreamType": `"DirectPut"`},
			`got "DirectPut", want KinesisStreamAsSource`},
		"delivery without destination": {delivery, map[string]string{"ExtendedS3DestinationConfiguration": ""},
			"ExtendedS3DestinationConfiguration: got nothing, want a value"},
		"delivery compressed": {delivery,
			map[string]string{"ExtendedS3DestinationConfiguration": `{"BucketARN":"b","CompressionFormat":"ZIP"}`},
			`CompressionFormat: got "ZIP", want UNCOMPRESSED or GZIP`},
		"delivery as Parquet": {delivery,
			map[string]string{"ExtendedS3DestinationConfiguration": `{"BucketARN":"b",` +
				`"DataFormatConversionConfiguration":{}}`},
			"DataFormatConversionConfiguration: the laptop's KinesisFirehose::DeliveryStream neither"},
		"two processors": {delivery,
			map[string]string{"ExtendedS3DestinationConfiguration": `{"BucketARN":"b",` +
				`"ProcessingConfiguration":{"Enabled":true,"Processors":[{"Type":"Lambda"},{"Type":"Lambda"}]}}`},
			"got a list of 2, want one processor of type Lambda"},
		"another processor": {delivery,
			map[string]string{"ExtendedS3DestinationConfiguration": `{"BucketARN":"b",` +
				`"ProcessingConfiguration":{"Enabled":true,"Processors":[{"Type":"Decompression"}]}}`},
			`Processors[0].Type: got "Decompression", want Lambda`},
		"a parameter twice": {delivery,
			map[string]string{"ExtendedS3DestinationConfiguration": `{"BucketARN":"b",` +
				`"ProcessingConfiguration":{"Enabled":true,"Processors":[{"Type":"Lambda",` +
				`"Parameters":[{"ParameterName":"LambdaArn","ParameterValue":"f"},{"ParameterName":"LambdaArn",` +
				`"ParameterValue":"g"}]}]}}`}, "want every name once"},
		"processor buffer too large": {delivery,
			map[string]string{"ExtendedS3DestinationConfiguration": `{"BucketARN":"b",` +
				`"ProcessingConfiguration":{"Enabled":true,"Processors":[{"Type":"Lambda",` +
				`"Parameters":[{"ParameterName":"LambdaArn","ParameterValue":"f"},{"ParameterName":"BufferSizeInMBs",` +
				`"ParameterValue":"3.5"}]}]}}`}, `got "3.5", want a number from 0.2 to 3`},
		"a processor of a string": {delivery,
			map[string]string{"ExtendedS3DestinationConfiguration": `{"BucketARN":"b",` +
				`"ProcessingConfiguration":{"Enabled":true,"Processors":["x"]}}`},
			`Processors[0]: got "x", want an object`},
		"mapping from a time": {mapping, map[string]string{"StartingPosition": `"AT_TIMESTAMP"`},
			"want LATEST or TRIM_HORIZON"},
		"mapping with a short age": {mapping, map[string]string{"MaximumRecordAgeInSeconds": `30`},
			"got 30, want -1, or 60 to 604800"},
		"mapping with a filter": {mapping, map[string]string{"FilterCriteria": `{}`},
			"FilterCriteria: the laptop's Lambda::EventSourceMapping neither"},
		"mapping with another answer": {mapping, map[string]string{"FunctionResponseTypes": `["X"]`},
			`FunctionResponseTypes[0]: got "X", want ReportBatchItemFailures`},
		"mapping bisecting maybe": {mapping, map[string]string{"BisectBatchOnFunctionError": `"maybe"`},
			`got "maybe", want true or false`},
		"mapping bisecting once": {mapping, map[string]string{"BisectBatchOnFunctionError": `1`},
			`got 1, want true or false`},
		"mapping answers of a string": {mapping, map[string]string{"FunctionResponseTypes": `"X"`},
			`got "X", want a list`},
		"mapping answers of lists": {mapping, map[string]string{"FunctionResponseTypes": `[[]]`},
			"FunctionResponseTypes[0]: got a list of 0, want a string"},
		"function without asset": {function,
			map[string]string{"Code": `{"S3Bucket":"assets","S3Key":"other.zip"}`},
			"Properties.Code: no asset of the assembly becomes s3://assets/other.zip"},
		"function in a container": {function, map[string]string{"Code": `{"ImageUri":"x"}`,
			"PackageType": `"Image"`}, "Properties.PackageType: the laptop's Lambda::Function neither"},
		"function of a secret reference": {function,
			map[string]string{"Environment": `{"Variables":{"P":"{{resolve:secretsmanager:x}}"}}`},
			"Properties.Environment.Variables.P: dynamic references are resolved in AWS only"},
		"function of a substituted secret": {function,
			map[string]string{
				"Environment": `{"Variables":{"P":{"Fn::Sub":"{{resolve:secretsmanager:${AWS::Region}}}"}}}`,
			},
			"dynamic references are resolved in AWS only"},
		"URL for another identity": {url, map[string]string{"AuthType": `"OIDC"`}, "want AWS_IAM or NONE"},
		"URL that streams": {url, map[string]string{"InvokeMode": `"RESPONSE_STREAM"`},
			"want BUFFERED"},
		"table elsewhere": {table, map[string]string{"Replicas": `[{"Region":"mars-1"}]`},
			`Replicas[0].Region: got "mars-1", want the stack's own region, us-east-1`},
		"table in two regions": {table,
			map[string]string{"Replicas": `[{"Region":"us-east-1"},{"Region":"us-east-1"}]`}, "want one replica"},
		"table of another index": {table,
			map[string]string{"Replicas": `[{"Region":"us-east-1","GlobalSecondaryIndexes":[{"IndexName":"j"}]}]`},
			`got "j", want an index of the table`},
		"table with an undefined key": {table,
			map[string]string{"KeySchema": `[{"AttributeName":"x","KeyType":"HASH"}]`},
			"want an attribute of AttributeDefinitions"},
		"table without key": {table, map[string]string{"KeySchema": `[]`}, "want a key of type HASH"},
		"table provisioned": {table, map[string]string{"BillingMode": `"PROVISIONED"`},
			"want PAY_PER_REQUEST"},
		"database with a password": {database, map[string]string{"MasterUserPassword": `"x"`,
			"ManageMasterUserPassword": `false`}, "want true: no password stands in a template"},
		"function for another runtime": {function, map[string]string{"Runtime": `"python3.13"`},
			`got "python3.13", want provided.al2023 or provided.al2`},
		"database without an engine": {database, map[string]string{"Engine": ""},
			"Properties.Engine: got nothing, want a value"},
		"database from a snapshot": {database, map[string]string{"DBSnapshotIdentifier": `"x"`},
			"DBSnapshotIdentifier: the laptop's RDS::DBInstance neither"},
		"job of another Glue": {job, map[string]string{"GlueVersion": `"6.0"`},
			`Properties.GlueVersion: got "6.0", want 5.1`},
		"job of any Glue": {job, map[string]string{"GlueVersion": ""},
			"Properties.GlueVersion: got nothing, want a value"},
		"job of a shell": {job,
			map[string]string{"Command": `{"Name":"pythonshell","ScriptLocation":"s3://assets/abc.zip"}`},
			`Command.Name: got "pythonshell", want glueetl`},
		"job without its script": {job,
			map[string]string{"Command": `{"Name":"glueetl","ScriptLocation":"s3://assets/other.py"}`},
			"Properties.Command.ScriptLocation: no asset of the assembly becomes s3://assets/other.py"},
		"job that is tried again": {job, map[string]string{"MaxRetries": `1`},
			"Properties.MaxRetries: got 1, want a whole number from 0 to 0"},
		"job that queues": {job, map[string]string{"JobRunQueuingEnabled": `true`},
			"want false: the laptop refuses a run that is one too many"},
		"job with bookmarks": {job,
			map[string]string{"DefaultArguments": `{"--job-bookmark-option":"job-bookmark-enable"}`},
			"want job-bookmark-disable"},
		"job with modules of its own": {job,
			map[string]string{"DefaultArguments": `{"--additional-python-modules":"pandas"}`},
			`--additional-python-modules: got "pandas", want nothing`},
		"job that takes no time": {job, map[string]string{"Timeout": `0`},
			"Properties.Timeout: got 0, want a whole number from 1 to 10080"},
		"job with a usage profile": {job, map[string]string{"SourceControlDetails": `{}`},
			"SourceControlDetails: the laptop's Glue::Job neither"},
		"group that ignores the balancer": {group, map[string]string{"HealthCheckType": `"EC2"`},
			`HealthCheckType: got "EC2", want ELB`},
		"group of nobody": {group, map[string]string{"MinSize": `"0"`}, "want a whole number from 1 to 100"},
		"group of two target groups": {group, map[string]string{"TargetGroupARNs": `["a","b"]`},
			"got a list of 2, want one target group"},
		"group with an image of its own": {group, map[string]string{"LaunchConfigurationName": `"x"`},
			"LaunchConfigurationName: the laptop's AutoScaling::AutoScalingGroup neither"},
		"network balancer": {balancer, map[string]string{"Type": `"network"`}, `got "network", want application`},
		"balancer with an unknown attribute": {balancer,
			map[string]string{"LoadBalancerAttributes": `[{"Key":"routing.http.colour","Value":"red"}]`},
			"LoadBalancerAttributes.routing.http.colour: the laptop's ElasticLoadBalancingV2::LoadBalancer neither"},
		"an attribute twice": {balancer,
			map[string]string{"LoadBalancerAttributes": `[{"Key":"a","Value":"1"},{"Key":"a","Value":"2"}]`},
			"want every name once"},
		"listener of TCP": {listener, map[string]string{"Protocol": `"TCP"`}, `got "TCP", want HTTP or HTTPS`},
		"listener with a login": {listener,
			map[string]string{"DefaultActions": `[{"Type":"authenticate-oidc"},` +
				`{"Type":"forward","TargetGroupArn":"t"}]`},
			"got a list of 2, want one action: a laptop has nobody who logs people in"},
		"listener with its own answer": {listener, map[string]string{"DefaultActions": `[{"Type":"fixed-response"}]`},
			`DefaultActions[0].Type: got "fixed-response", want forward or redirect`},
		"sticky targets": {targets,
			map[string]string{"TargetGroupAttributes": `[{"Key":"stickiness.enabled","Value":"true"}]`},
			"TargetGroupAttributes.stickiness.enabled: got \"true\", want false"},
		"targets by weight": {targets,
			map[string]string{"TargetGroupAttributes": `[{"Key":"load_balancing.algorithm.type",` +
				`"Value":"weighted_random"}]`},
			`got "weighted_random", want round_robin or least_outstanding_requests`},
		"functions as targets": {targets, map[string]string{"TargetType": `"lambda"`}, `got "lambda", want instance`},
		"targets checked too often": {targets, map[string]string{"HealthCheckIntervalSeconds": `1`},
			"want a whole number from 5 to 300"},
		"secret in the template": {secret, map[string]string{"GenerateSecretString": "",
			"SecretString": `"x"`}, "Properties.SecretString: the laptop's SecretsManager::Secret neither"},
		"secret with half a template": {secret,
			map[string]string{"GenerateSecretString": `{"GenerateStringKey":"password"}`},
			"both SecretStringTemplate and GenerateStringKey, or neither"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := one(t, test.kind, change(t, test.kind, test.changes))
			require.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, "A/X Properties.")
		})
	}
}

func TestServerGroup_needsToSayWhatItRuns(t *testing.T) {
	template := func(metadata string) string {
		return `{"Resources":{"X":{"Type":"AWS::AutoScaling::AutoScalingGroup",` + metadata + `"Properties":` +
			examples["AWS::AutoScaling::AutoScalingGroup"].properties + `}}}`
	}
	for metadata, want := range map[string]string{
		"": "A/X Metadata.diecast:server: got nothing, want package and environment",
		`"Metadata":{"diecast:server":{"package":"./web"}},`: "A/X Metadata.diecast:server.environment: got nothing",
		`"Metadata":{"diecast:server":{"package":"./web","environment":{},"port":1}},`: "A/X " +
			"Metadata.diecast:server.port: the laptop's AutoScaling::AutoScalingGroup neither",
		`"Metadata":{"diecast:server":{"package":"./web","environment":{"A":{"Ref":"Nobody"}}}},`: "A/X " +
			"Metadata.diecast:server.environment.A",
	} {
		assembled, err := assemble(t, map[string]given{"A": {template: template(metadata)}}, nil)
		require.NoError(t, err)
		_, err = assembled.Plan(Environment{})
		assert.ErrorContains(t, err, want)
	}
}

func TestIgnored_isListedWithReason(t *testing.T) {
	plan, err := one(t, "AWS::DynamoDB::GlobalTable", examples["AWS::DynamoDB::GlobalTable"].properties)
	require.NoError(t, err)
	assert.Equal(t, []Ignored{
		{Property: "TimeToLiveSpecification",
			Reason: "the laptop's tables never remove an item; AWS does so within days, so that readers look at its " +
				"time anyway"},
		{Property: "Replicas[0].Tags", Reason: noTags},
	}, plan.Ignored(find(t, plan, "A/X")))
}

// provider is a template with a custom resource behind CDK's provider framework.
const provider = `{"Resources":{
	"User":{"Type":"AWS::Lambda::Function","Metadata":{"diecast:source":"lambda/loader"},` +
	`"Properties":{"Code":{"S3Bucket":"assets","S3Key":"abc.zip"},"Handler":"bootstrap","Runtime":"provided.al2023",` +
	`"Role":"r"}},
	"Framework":{"Type":"AWS::Lambda::Function","Properties":{"Handler":"framework.onEvent","Runtime":"nodejs24.x",` +
	`"Environment":{"Variables":{"USER_ON_EVENT_FUNCTION_ARN":{"Fn::GetAtt":["User","Arn"]}%s}}}},
	"CustomS3AutoDeleteObjectsCustomResourceProviderHandler9D90184F":{"Type":"AWS::Lambda::Function",` +
	`"Properties":{"Handler":"index.handler","Runtime":"nodejs24.x"}},
	"LogRetentionaae0aa3c5b4d4f87b02d85b201efdd8aFD4BFC8A":{"Type":"AWS::Lambda::Function",` +
	`"Properties":{"Handler":"index.handler","Runtime":"nodejs24.x"}},
	"Keep":{"Type":"Custom::LogRetention",` +
	`"Properties":{"ServiceToken":{"Fn::GetAtt":["LogRetentionaae0aa3c5b4d4f87b02d85b201efdd8aFD4BFC8A","Arn"]}}},
	"Empty":{"Type":"Custom::S3AutoDeleteObjects",` +
	`"Properties":{"ServiceToken":{"Fn::GetAtt":["CustomS3AutoDeleteObjectsCustomResourceProviderHandler9D90184F",` +
	`"Arn"]}}},
	"Load":{"Type":"Custom::Load","Properties":{"ServiceToken":%s,"ServiceTimeout":"360","Rows":5,` +
	`"Deep":[{"On":true}]}}}}`

func customResource(t *testing.T, more, token string) (*Plan, error) {
	t.Helper()
	files := fstest.MapFS{
		"asset.abc/bootstrap": &fstest.MapFile{},
		"Assets.assets.json": &fstest.MapFile{Data: []byte(`{"files":{"abc":{"source":{"path":"asset.abc"},` +
			`"destinations":{"x":{"bucketName":"assets","objectKey":"abc.zip"}}}}}`)},
	}
	assembled, err := assemble(t, map[string]given{"A": {template: fmt.Sprintf(provider, more, token)}}, files)
	require.NoError(t, err)
	return assembled.Plan(Environment{})
}

func TestCustomResource(t *testing.T) {
	plan, err := customResource(t, "", `{"Fn::GetAtt":["Framework","Arn"]}`)
	require.NoError(t, err)
	load := find(t, plan, "A/Load")
	typed, err := plan.Decode(load)
	require.NoError(t, err)
	assert.Equal(t, &CustomResource{Handler: find(t, plan, "A/User"), Type: "Custom::Load", Timeout: 6 * time.Minute,
		Properties: map[string]any{
			"ServiceToken": "arn:aws:lambda:us-east-1:000000000000:checked/A/Framework", "ServiceTimeout": "360",
			"Rows": "5", "Deep": []any{map[string]any{"On": "true"}},
		}}, typed)

	fates := map[string]Fate{}
	for _, resource := range plan.Resources() {
		fates[resource.LogicalID] = resource.Fate
	}
	assert.Equal(t, map[string]Fate{
		"User": Run, "Load": Run, "Framework": Checked, "Empty": Checked, "Keep": Checked,
		"LogRetentionaae0aa3c5b4d4f87b02d85b201efdd8aFD4BFC8A":           Checked,
		"CustomS3AutoDeleteObjectsCustomResourceProviderHandler9D90184F": Checked,
	}, fates)
}

func TestCustomResource_refused(t *testing.T) {
	tests := map[string]struct{ more, token, want string }{
		"without framework": {"", `{"Fn::GetAtt":["User","Arn"]}`,
			"A/Load Properties.ServiceToken: leads to no function of CDK's provider framework"},
		"a fixed token": {"", `"arn:aws:lambda:us-east-1:1:function:x"`,
			"leads to no function of CDK's provider framework"},
		"a framework that waits": {`,"USER_IS_COMPLETE_FUNCTION_ARN":"x"`, `{"Fn::GetAtt":["Framework","Arn"]}`,
			"leads to no function of CDK's provider framework"},
		"without token": {"", `{"Ref":"AWS::NoValue"}`, "Properties.ServiceToken: got nothing, want a value"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := customResource(t, test.more, test.token)
			assert.ErrorContains(t, err, test.want)
		})
	}
}
