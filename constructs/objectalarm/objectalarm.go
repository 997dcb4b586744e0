// Package objectalarm tells of every object that is written where none should be: below prefixes of
// a bucket that only failures reach. S3 publishes each to a topic of the construct's own, whose
// count of messages, which costs nothing, is watched. It must not know what the objects hold.
package objectalarm

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/constructs/securebucket"
)

// Props configures the alarm.
type Props struct {
	// Bucket is watched. A bucket has one such alarm at most. Required.
	Bucket *securebucket.Bucket
	// Prefixes begin the keys of what is told of; none begins another. Required.
	Prefixes []string
	// Description says what an object means, and what to look at first. Required.
	Description string
	// AlarmTopic hears of the first object, and when none was written for five minutes. Default
	// nil: only the console shows it.
	AlarmTopic awssns.ITopic
}

// Alarm is an alarm on objects.
type Alarm struct {
	topic  awssns.Topic
	alarms []awscloudwatch.Alarm
}

// New makes an alarm at id in scope.
func New(scope constructs.Construct, id string, p Props) *Alarm {
	if len(p.Prefixes) == 0 {
		panic(fmt.Sprintf("objectalarm: Prefixes is required, got none for %s; every object would alarm", id))
	}
	this := constructs.NewConstruct(scope, jsii.String(id))
	topic := awssns.NewTopic(this, jsii.String("Topic"), &awssns.TopicProps{EnforceSSL: jsii.Bool(true)})
	// The bucket, which must find the policy when it is told to publish, cannot be named in it.
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("BucketsOfThisAccount"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("s3.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"),
		Resources:  &[]*string{topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{
			"aws:SourceAccount": awscdk.Stack_Of(this).Account(),
		}},
	}))
	tell(p.Bucket, topic, p.Prefixes)
	a := &Alarm{topic: topic}
	a.alarms = alarm.New(this, p.AlarmTopic, alarm.Rule{
		ID: "Written", Description: p.Description,
		Metric: topic.MetricNumberOfMessagesPublished(&awscloudwatch.MetricOptions{
			Period: awscdk.Duration_Minutes(jsii.Number(5)), Statistic: jsii.String("Sum"),
		}),
		Threshold: 0,
	})
	return a
}

// tell has the bucket publish below the L2 construct, which would do so by a function at
// deployment.
func tell(bucket *securebucket.Bucket, topic awssns.Topic, prefixes []string) {
	configurations := make([]any, 0, len(prefixes))
	for _, prefix := range prefixes {
		configurations = append(configurations, &awss3.CfnBucket_TopicConfigurationProperty{
			Event: jsii.String("s3:ObjectCreated:*"), Topic: topic.TopicArn(),
			Filter: &awss3.CfnBucket_NotificationFilterProperty{S3Key: &awss3.CfnBucket_S3KeyFilterProperty{
				Rules: []any{&awss3.CfnBucket_FilterRuleProperty{
					Name: jsii.String("prefix"), Value: jsii.String(prefix),
				}},
			}},
		})
	}
	resource := bucket.Bucket().Node().DefaultChild().(awss3.CfnBucket)
	resource.SetNotificationConfiguration(&awss3.CfnBucket_NotificationConfigurationProperty{
		TopicConfigurations: configurations,
	})
	policy := topic.Node().FindChild(jsii.String("Policy")).Node().DefaultChild().(awssns.CfnTopicPolicy)
	resource.AddResourceDependency(policy, nil)
}

// Topic hears of each object, for whoever wants to know which.
func (a *Alarm) Topic() awssns.Topic { return a.topic }

// Alarms are the construct's alarms, for a dashboard.
func (a *Alarm) Alarms() []awscloudwatch.Alarm { return a.alarms }
