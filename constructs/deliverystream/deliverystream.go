// Package deliverystream makes the Firehose delivery stream that archives a
// Kinesis stream in S3 through a processor function, with prefixes by time of
// arrival and an error output. It must not know the records.
package deliverystream

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesisfirehose"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/constructs/eventstream"
	"diecast/constructs/golambda"
	"diecast/constructs/nag"
	"diecast/constructs/securebucket"
)

// byHour is the part of every object's prefix that names the hour of arrival, in
// UTC, in the form that Athena and Glue take for partitions.
const byHour = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"

// HourFormat is the same folder, without its closing slash, as a pattern of Java's
// DateTimeFormatter, in which text stands in quotes: so Athena's partition projection takes it.
const HourFormat = "'year='yyyy'/month='MM'/day='dd'/hour='HH"

// mebibyte is the unit of Firehose's buffer hints.
const mebibyte = 1 << 20

// Props configures a delivery stream.
type Props struct {
	// Source is the stream that is archived. Required.
	Source *eventstream.Stream
	// Processor transforms each batch, by the Firehose data transformation contract. Required.
	Processor *golambda.Function
	// Bucket receives the objects. Required.
	Bucket *securebucket.Bucket
	// Prefix begins the keys of processed records, ErrorPrefix those of refused
	// ones; both end in a slash. Required.
	Prefix, ErrorPrefix string
	// GZIP compresses processed records. Default: they are written as they are.
	GZIP bool
	// Extension ends the keys of processed records; Athena knows gzip by .gz. Default none.
	Extension string
	// BufferSize (whole MiB, 1 to 128) and BufferInterval (whole seconds, 0 to
	// 900) end an object, whichever comes first: longer makes fewer, larger, later
	// objects.
	BufferSize     int
	BufferInterval time.Duration
	// ProcessorBufferBytes (0.2 to 3 MiB) and ProcessorBufferInterval (whole
	// seconds, 0 to 900) end a batch for the processor, whichever comes first.
	ProcessorBufferBytes    int
	ProcessorBufferInterval time.Duration
	// LogRetention is how long delivery errors are kept. Required.
	LogRetention awslogs.RetentionDays
	// ProcessorFailsAdvice ends the description of the alarm on a failing processor: what to look
	// at first. Default: at its log.
	ProcessorFailsAdvice string
	// AlarmTopic hears of late or failing delivery. Default nil: only the console shows them.
	AlarmTopic awssns.ITopic
}

// DeliveryStream is a Firehose delivery stream.
type DeliveryStream struct {
	stream awskinesisfirehose.DeliveryStream
	logs   awslogs.LogGroup
	alarms []awscloudwatch.Alarm
}

// New makes a delivery stream at id in scope.
func New(scope constructs.Construct, id string, p Props) *DeliveryStream {
	p.validate()
	if p.ProcessorFailsAdvice == "" {
		p.ProcessorFailsAdvice = "read its log."
	}
	this := constructs.NewConstruct(scope, jsii.String(id))
	logs := awslogs.NewLogGroup(this, jsii.String("Log"), &awslogs.LogGroupProps{
		Retention:     p.LogRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	destination := awskinesisfirehose.NewS3Bucket(p.Bucket.Bucket(), &awskinesisfirehose.S3BucketProps{
		DataOutputPrefix:  jsii.String(p.Prefix + byHour),
		ErrorOutputPrefix: jsii.String(p.ErrorPrefix + "!{firehose:error-output-type}/" + byHour),
		BufferingInterval: awscdk.Duration_Seconds(jsii.Number(p.BufferInterval.Seconds())),
		BufferingSize:     awscdk.Size_Mebibytes(jsii.Number(p.BufferSize)),
		FileExtension:     optional(p.Extension),
		Compression:       p.compression(),
		LoggingConfig:     awskinesisfirehose.NewEnableLogging(logs),
		Processors: &[]awskinesisfirehose.IDataProcessor{
			awskinesisfirehose.NewLambdaFunctionProcessor(p.Processor.Function(),
				&awskinesisfirehose.DataProcessorProps{
					// Whole MiB is all the L2 construct takes; the exact size is set below.
					BufferSize:     awscdk.Size_Mebibytes(jsii.Number(1)),
					BufferInterval: awscdk.Duration_Seconds(jsii.Number(p.ProcessorBufferInterval.Seconds())),
					Retries:        jsii.Number(3),
				}),
		},
	})
	stream := awskinesisfirehose.NewDeliveryStream(this, jsii.String("DeliveryStream"),
		&awskinesisfirehose.DeliveryStreamProps{
			Source:      awskinesisfirehose.NewKinesisStreamSource(p.Source.Stream()),
			Destination: destination,
		})
	setProcessorBuffer(stream, p.ProcessorBufferBytes)
	// CDK makes the log's stream as one that stays; the group that it is in goes.
	logs.Node().FindChild(jsii.String("S3Destination")).(awslogs.LogStream).ApplyRemovalPolicy(
		awscdk.RemovalPolicy_DESTROY)
	// A bucket that is emptied at removal must be emptied after the last delivery.
	stream.Node().AddDependency(p.Bucket.Bucket())
	acceptGrants(stream)
	// CDK adds the address ranges of Firehose to every stack with a delivery
	// stream; only destinations in a VPC use them.
	awscdk.Validations_Of(awscdk.Stack_Of(this)).Acknowledge(&awscdk.Acknowledgment{
		Id:     jsii.String("CloudFormation-Validate::W7001"),
		Reason: jsii.String("The mapping of Firehose's address ranges is CDK's; a delivery to S3 does not use it."),
	})

	d := &DeliveryStream{stream: stream, logs: logs}
	d.alarms = alarm.New(this, p.AlarmTopic, d.rules(p)...)
	return d
}

func (p Props) validate() {
	for _, prefix := range []string{p.Prefix, p.ErrorPrefix} {
		if !strings.HasSuffix(prefix, "/") || strings.HasPrefix(prefix, "/") {
			panic(fmt.Sprintf("deliverystream: a prefix must end in a slash and not begin with one, got %q; for "+
				"example events/", prefix))
		}
	}
	if p.BufferSize < 1 || p.BufferSize > 128 || !wholeSeconds(p.BufferInterval) {
		panic(fmt.Sprintf("deliverystream: the S3 buffer must be 1 to 128 MiB and 0 to 900 whole seconds, got %d "+
			"MiB and %s; see the Firehose buffering hints", p.BufferSize, p.BufferInterval))
	}
	if p.ProcessorBufferBytes < mebibyte/5 || p.ProcessorBufferBytes > 3*mebibyte ||
		!wholeSeconds(p.ProcessorBufferInterval) {
		panic(fmt.Sprintf("deliverystream: the processor's buffer must be 0.2 to 3 MiB and 0 to 900 whole seconds, "+
			"got %d bytes and %s; see the Firehose buffering hints", p.ProcessorBufferBytes, p.ProcessorBufferInterval))
	}
	if p.Extension != "" && (!strings.HasPrefix(p.Extension, ".") || p.GZIP != strings.HasSuffix(p.Extension, ".gz")) {
		panic(fmt.Sprintf("deliverystream: Extension must begin with a dot, and end in .gz with GZIP and without it "+
			"not, got %q with GZIP %t; readers open an object by it", p.Extension, p.GZIP))
	}
	if p.LogRetention == "" {
		panic("deliverystream: LogRetention is required, got none; the log would be kept for ever")
	}
}

// compression is nil for none, which is Firehose's default.
func (p Props) compression() awskinesisfirehose.Compression {
	if p.GZIP {
		return awskinesisfirehose.Compression_GZIP()
	}
	return nil
}

// optional is nil for nothing: Firehose refuses an empty extension.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return jsii.String(text)
}

func wholeSeconds(d time.Duration) bool {
	return d >= 0 && d <= 900*time.Second && d%time.Second == 0
}

// setProcessorBuffer writes the fractional buffer size that Firehose takes and
// the L2 construct refuses.
func setProcessorBuffer(stream awskinesisfirehose.DeliveryStream, bytes int) {
	cfn := stream.Node().DefaultChild().(awskinesisfirehose.CfnDeliveryStream)
	const parameters = "ExtendedS3DestinationConfiguration.ProcessingConfiguration.Processors.0.Parameters"
	cfn.AddPropertyOverride(jsii.String(parameters+".3.ParameterName"), "BufferSizeInMBs")
	cfn.AddPropertyOverride(jsii.String(parameters+".3.ParameterValue"), fmt.Sprintf("%.3g", float64(bytes)/mebibyte))
}

func acceptGrants(stream awskinesisfirehose.DeliveryStream) {
	nag.Accept(stream.Node().FindChild(jsii.String("S3 Destination Role")), nag.Exception{
		Rule: "AwsSolutions-IAM5",
		Reason: "CDK's grant for a Firehose destination: reads, writes and aborted uploads in the one bucket, whose " +
			"keys Firehose chooses.",
		AppliesTo: []string{"Action::s3:Abort*", "Action::s3:DeleteObject*", "Action::s3:GetBucket*",
			"Action::s3:GetObject*", "Action::s3:List*"},
		Matching: []string{`^Resource::.+/\*$`},
	}, nag.Exception{
		Rule:     "AwsSolutions-IAM5",
		Reason:   "Firehose invokes the processor by its unqualified ARN and its versions.",
		Matching: []string{`^Resource::.+:\*$`},
	})
	nag.Accept(stream, nag.Exception{
		Rule: "AwsSolutions-KDF1",
		Reason: "Server-side encryption cannot be set on a delivery stream with a Kinesis source: the source stream " +
			"is encrypted and Firehose keeps its buffers encrypted with it.",
	})
}

func (d *DeliveryStream) rules(p Props) []alarm.Rule {
	fiveMinutes := func(statistic string) *awscloudwatch.MetricOptions {
		return &awscloudwatch.MetricOptions{Period: awscdk.Duration_Minutes(jsii.Number(5)),
			Statistic: jsii.String(statistic)}
	}
	return []alarm.Rule{{
		ID: "Late",
		Description: "The archive is late by more than its buffers explain: read the delivery log, then the " +
			"processor's.",
		Metric:    d.stream.Metric(jsii.String("DeliveryToS3.DataFreshness"), fiveMinutes("Maximum")),
		Threshold: 2*(p.BufferInterval+p.ProcessorBufferInterval).Seconds() + 300, Periods: 3,
	}, {
		ID:          "DeliveryFails",
		Description: "Firehose cannot write to the bucket: read the delivery log.",
		Metric:      d.stream.Metric(jsii.String("DeliveryToS3.Success"), fiveMinutes("Minimum")),
		Threshold:   1, Breach: alarm.Below, Periods: 3,
	}, {
		ID:          "ProcessorFails",
		Description: "Batches reach the error output because the processor fails: " + p.ProcessorFailsAdvice,
		Metric:      d.stream.Metric(jsii.String("ExecuteProcessing.Success"), fiveMinutes("Minimum")),
		Threshold:   1, Breach: alarm.Below, Periods: 3,
	}, {
		ID:          "SourceThrottled",
		Description: "Firehose is throttled by the stream: another consumer reads too much, or shards lack.",
		Metric:      d.stream.Metric(jsii.String("ThrottledGetRecords"), fiveMinutes("Sum")),
		Threshold:   10, Periods: 3,
	}}
}

// Name is the generated delivery stream name, known at deployment.
func (d *DeliveryStream) Name() *string { return d.stream.DeliveryStreamName() }

// DeliveryStream is the CDK delivery stream, for its metrics.
func (d *DeliveryStream) DeliveryStream() awskinesisfirehose.DeliveryStream { return d.stream }

// LogGroup receives delivery errors.
func (d *DeliveryStream) LogGroup() awslogs.LogGroup { return d.logs }

// Alarms are the delivery stream's alarms, for a dashboard.
func (d *DeliveryStream) Alarms() []awscloudwatch.Alarm { return d.alarms }
