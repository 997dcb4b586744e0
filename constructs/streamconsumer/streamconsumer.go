// Package streamconsumer feeds a Kinesis stream to a function in batches, with
// bounded retries and with S3 for what could not be handled, so that one bad
// record never blocks a shard. It must not know the records.
package streamconsumer

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdaeventsources"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/constructs/eventstream"
	"diecast/constructs/golambda"
	"diecast/constructs/securebucket"
	"diecast/internal/archive"
)

// Props configures a consumer.
type Props struct {
	// Stream is read from its oldest record on. Required.
	Stream *eventstream.Stream
	// Function handles a batch and reports the failed items. Required.
	Function *golambda.Function
	// Failures receives the invocation records of batches that were given up, below
	// archive.Failures. Required.
	Failures *securebucket.Bucket
	// BatchSize is the most records in an invocation, 1 to 10,000.
	BatchSize int
	// BatchWindow is how long a batch waits to fill, 0 to 300 whole seconds.
	// Default 0: a batch is what has arrived.
	BatchWindow time.Duration
	// Parallelization is how many batches of one shard are handled at a time, 1 to
	// 10; order is kept for each partition key. Default 1.
	Parallelization int
	// EnhancedFanOut has Kinesis push records as they come, within about 0.1 s, with 2 MB a second
	// and shard for this consumer alone. Default false: Lambda asks every second and shares the
	// shard's 2 MB with its other readers. A change makes another mapping beside the old one, which
	// goes once the new one reads: each reads from the stream's oldest record on.
	EnhancedFanOut bool
	// RetryAttempts is how often a failing batch is tried again, 0 to 10,000.
	RetryAttempts int
	// MaxRecordAge gives a record up, 60 s to 7 days.
	MaxRecordAge time.Duration
	// LateAfter is the iterator age that alarms. Default 1 min.
	LateAfter time.Duration
	// Dropped counts the records that the function could not use and passed over, as a sum over a
	// period; one of them alarms. Default nil: no such alarm.
	Dropped awscloudwatch.IMetric
	// DroppedAdvice ends the description of that alarm: what to look at first. Default: the
	// function's log.
	DroppedAdvice string
	// AlarmTopic hears of a consumer that falls behind or drops records. Default nil: only the
	// console shows it.
	AlarmTopic awssns.ITopic
}

// longestName of a consumer (Kinesis API reference, RegisterStreamConsumer).
const longestName = 128

// Consumer is an event source mapping.
type Consumer struct {
	alarms []awscloudwatch.Alarm
}

// New makes a consumer; its mapping belongs to the function, its alarms stand at
// id in scope.
func New(scope constructs.Construct, id string, p Props) *Consumer {
	p = p.withDefaults()
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	mapping := &awslambdaeventsources.KinesisEventSourceProps{
		// What arrived before the mapping existed is not lost.
		StartingPosition:        awslambda.StartingPosition_TRIM_HORIZON,
		BatchSize:               jsii.Number(p.BatchSize),
		MaxBatchingWindow:       awscdk.Duration_Seconds(jsii.Number(p.BatchWindow.Seconds())),
		ParallelizationFactor:   jsii.Number(p.Parallelization),
		BisectBatchOnError:      jsii.Bool(true),
		ReportBatchItemFailures: jsii.Bool(true),
		RetryAttempts:           jsii.Number(p.RetryAttempts),
		MaxRecordAge:            awscdk.Duration_Seconds(jsii.Number(p.MaxRecordAge.Seconds())),
		OnFailure:               &failureBucket{bucket: p.Failures},
	}
	if p.EnhancedFanOut {
		consumer := awskinesis.NewStreamConsumer(this, jsii.String("FanOut"), &awskinesis.StreamConsumerProps{
			Stream: p.Stream.Stream(),
			// CloudFormation demands a name; it counts within the stream alone.
			StreamConsumerName: awscdk.Names_UniqueResourceName(this, &awscdk.UniqueResourceNameOptions{
				MaxLength: jsii.Number(longestName),
			}),
		})
		p.Function.Function().AddEventSource(awslambdaeventsources.NewKinesisConsumerEventSource(consumer, mapping))
	} else {
		p.Function.Function().AddEventSource(awslambdaeventsources.NewKinesisEventSource(p.Stream.Stream(), mapping))
	}
	// What Lambda's guide asks of the role for an S3 destination, and no more: CDK's
	// own destination grants reading and deleting the whole bucket.
	p.Function.Role().AllowObjects("KeepFailures", []string{"s3:PutObject"}, p.Failures.ARN(), archive.Failures)
	p.Function.Role().Allow("FindFailures", []string{"s3:ListBucket"}, p.Failures.ARN())
	return &Consumer{alarms: alarm.New(this, p.AlarmTopic, p.rules()...)}
}

func (p Props) rules() []alarm.Rule {
	rules := []alarm.Rule{{
		ID: "FallsBehind",
		Description: fmt.Sprintf("The consumer is more than %g s behind the stream: read its function's log; a "+
			"batch may be failing again and again.",
			p.LateAfter.Seconds()),
		Metric: p.Function.Function().Metric(jsii.String("IteratorAge"), &awscloudwatch.MetricOptions{
			Period: awscdk.Duration_Minutes(jsii.Number(1)), Statistic: jsii.String("Maximum"),
		}),
		Threshold: float64(p.LateAfter.Milliseconds()), Periods: 5, Breaching: 3,
	}}
	if p.Dropped != nil {
		rules = append(rules, alarm.Rule{
			ID: "Dropped", Description: "The consumer passes over records that it cannot use: " + p.DroppedAdvice,
			Metric: p.Dropped, Threshold: 0,
		})
	}
	return rules
}

func (p Props) withDefaults() Props {
	if p.Parallelization == 0 {
		p.Parallelization = 1
	}
	if p.LateAfter == 0 {
		p.LateAfter = time.Minute
	}
	if p.DroppedAdvice == "" {
		p.DroppedAdvice = "read its function's log."
	}
	return p
}

func (p Props) validate() {
	if p.BatchSize < 1 || p.BatchSize > 10000 {
		panic(fmt.Sprintf("streamconsumer: BatchSize must be 1 to 10000, got %d; see the Lambda quotas", p.BatchSize))
	}
	if p.BatchWindow < 0 || p.BatchWindow > 300*time.Second || p.BatchWindow%time.Second != 0 {
		panic(fmt.Sprintf("streamconsumer: BatchWindow must be 0 to 300 whole seconds, got %s; see the Lambda quotas",
			p.BatchWindow))
	}
	if p.Parallelization < 1 || p.Parallelization > 10 {
		panic(fmt.Sprintf("streamconsumer: Parallelization must be 1 to 10, got %d; see the Lambda quotas",
			p.Parallelization))
	}
	if p.RetryAttempts < 0 || p.RetryAttempts > 10000 {
		panic(fmt.Sprintf("streamconsumer: RetryAttempts must be 0 to 10000, got %d; endless retries block a shard",
			p.RetryAttempts))
	}
	if p.MaxRecordAge < time.Minute || p.MaxRecordAge > 7*24*time.Hour {
		panic(fmt.Sprintf("streamconsumer: MaxRecordAge must be 60s to 7 days, got %s; an endless age blocks a shard",
			p.MaxRecordAge))
	}
}

// Alarms are the consumer's alarms, for a dashboard.
func (c *Consumer) Alarms() []awscloudwatch.Alarm { return c.alarms }

// failureBucket is an S3 on-failure destination that grants nothing by itself.
// Its field is unexported, or jsii would serialise it.
type failureBucket struct {
	bucket *securebucket.Bucket
}

// Bind names the destination to the mapping.
func (f *failureBucket) Bind(_ awslambda.IEventSourceMapping, _ awslambda.IFunction) *awslambda.DlqDestinationConfig {
	return &awslambda.DlqDestinationConfig{Destination: f.bucket.Bucket().BucketArn()}
}
