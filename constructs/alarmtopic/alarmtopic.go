// Package alarmtopic makes the SNS topic that every alarm tells. It must not
// know the alarms, nor what the rules that tell it watch.
package alarmtopic

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/aws/aws-cdk-go/awscdk/v2"
)

// Props configures the topic.
type Props struct {
	// Email is subscribed and must confirm by the link in SNS's first message.
	// Default "": nobody is told, alarms show in the console only.
	Email string
	// Rules are the names of the EventBridge rules that may publish. They need not be there yet.
	// Default none.
	Rules []string
}

// Topic is an SNS topic that the account's alarms, and the rules that are named, may publish to.
type Topic struct {
	topic awssns.Topic
}

// New makes the topic at id in scope.
func New(scope constructs.Construct, id string, p Props) *Topic {
	this := constructs.NewConstruct(scope, jsii.String(id))
	topic := awssns.NewTopic(this, jsii.String("Topic"), &awssns.TopicProps{EnforceSSL: jsii.Bool(true)})
	// A topic with a policy of its own loses SNS's default one, which lets the
	// account's alarms publish.
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("AlarmsOfThisAccount"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"),
		Resources:  &[]*string{topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{
			"aws:SourceAccount": awscdk.Stack_Of(this).Account(),
		}},
	}))
	if len(p.Rules) > 0 {
		rules := make([]*string, 0, len(p.Rules))
		for _, name := range p.Rules {
			rules = append(rules, awscdk.Stack_Of(this).FormatArn(&awscdk.ArnComponents{
				Service: jsii.String("events"), Resource: jsii.String("rule"), ResourceName: jsii.String(name),
			}))
		}
		topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid:        jsii.String("RulesOfThisPlatform"),
			Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("events.amazonaws.com"), nil)},
			Actions:    jsii.Strings("sns:Publish"),
			Resources:  &[]*string{topic.TopicArn()},
			Conditions: &map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": rules}},
		}))
	}
	if p.Email != "" {
		topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(p.Email), nil))
	}
	return &Topic{topic: topic}
}

// Topic is the CDK topic, for alarms.
func (t *Topic) Topic() awssns.Topic { return t.topic }
