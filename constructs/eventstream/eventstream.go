// Package eventstream makes the Kinesis data stream that takes events in, with
// the alarms that tell when producers are refused. It must not know the events.
package eventstream

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
)

// Props configures a stream.
type Props struct {
	// OnDemand lets Kinesis choose the shards, for 29.20 USD a month before any
	// traffic. Default false: Shards are provisioned at 10.95 each.
	OnDemand bool
	// Shards is the provisioned number; each takes 1,000 records or 1 MB a second.
	// Required without OnDemand, 0 with it.
	Shards int
	// Retention is how long a record can be read and replayed, 24 h to 365 days, in
	// whole hours. Default 24 h; more costs by shard and hour.
	Retention time.Duration
	// Destroy deletes the stream with what it holds. Default false: it is retained and billed.
	Destroy bool
	// WritesRefusedAdvice ends the description of the alarm on refused writes: what to look at
	// first. Default: the number of shards, and the spread of partition keys.
	WritesRefusedAdvice string
	// AlarmTopic hears of refused writes. Default nil: only the console shows them.
	AlarmTopic awssns.ITopic
}

// Stream is an encrypted Kinesis data stream.
type Stream struct {
	stream awskinesis.Stream
	alarms []awscloudwatch.Alarm
}

// New makes a stream at id in scope.
func New(scope constructs.Construct, id string, p Props) *Stream {
	if p.Retention == 0 {
		p.Retention = 24 * time.Hour
	}
	if p.WritesRefusedAdvice == "" {
		p.WritesRefusedAdvice = "add shards, and look for one partition key that has it all."
	}
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	props := &awskinesis.StreamProps{
		Encryption:      awskinesis.StreamEncryption_MANAGED,
		RetentionPeriod: awscdk.Duration_Hours(jsii.Number(p.Retention.Hours())),
		StreamMode:      awskinesis.StreamMode_PROVISIONED,
		RemovalPolicy:   awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE,
	}
	if p.OnDemand {
		props.StreamMode = awskinesis.StreamMode_ON_DEMAND
	} else {
		props.ShardCount = jsii.Number(p.Shards)
	}
	if p.Destroy {
		props.RemovalPolicy = awscdk.RemovalPolicy_DESTROY
	}
	s := &Stream{stream: awskinesis.NewStream(this, jsii.String("Stream"), props)}
	s.alarms = alarm.New(this, p.AlarmTopic, s.rules(p)...)
	return s
}

func (p Props) validate() {
	if p.OnDemand && p.Shards != 0 {
		panic(fmt.Sprintf("eventstream: an on-demand stream has no shard count, got %d; set one or the other",
			p.Shards))
	}
	if !p.OnDemand && p.Shards < 1 {
		panic(fmt.Sprintf("eventstream: Shards must be at least 1, got %d; or choose OnDemand", p.Shards))
	}
	if p.Retention < 24*time.Hour || p.Retention > 365*24*time.Hour || p.Retention%time.Hour != 0 {
		panic(fmt.Sprintf("eventstream: Retention must be whole hours from 24h to 8760h, got %s; "+
			"see the Kinesis quotas", p.Retention))
	}
}

func (s *Stream) rules(p Props) []alarm.Rule {
	minute := &awscloudwatch.MetricOptions{Period: awscdk.Duration_Minutes(jsii.Number(1)),
		Statistic: jsii.String("Sum")}
	return []alarm.Rule{{
		ID:          "WritesRefused",
		Description: "Producers write more than the shards take: " + p.WritesRefusedAdvice,
		Metric:      s.stream.MetricWriteProvisionedThroughputExceeded(minute),
		Threshold:   0, Periods: 5, Breaching: 3,
	}}
}

// Stream is the CDK stream, for sources, mappings and grants.
func (s *Stream) Stream() awskinesis.Stream { return s.stream }

// Alarms are the stream's alarms, for a dashboard.
func (s *Stream) Alarms() []awscloudwatch.Alarm { return s.alarms }
