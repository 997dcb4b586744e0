// Package recommendationtable makes the DynamoDB table of the latest
// recommendations, one item for each session, that the shop reads. The item's
// attributes are the contract of internal/recommendation/row.
package recommendationtable

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/constructs/nag"
	"diecast/internal/recommendation/row"
)

// Props configures the table.
type Props struct {
	// PointInTimeRecovery allows a restore to any second of the last 35 days.
	// Default false: what is lost must come from elsewhere.
	PointInTimeRecovery bool
	// NoRecoveryReason is why nothing can be restored (DDB3). Required without PointInTimeRecovery.
	NoRecoveryReason string
	// WritesRefusedAdvice ends the description of the alarm on refused writes: what to look at
	// first. Default: at what writes it all, or a limit on the table.
	WritesRefusedAdvice string
	// DeletionProtection refuses every deletion until it is turned off. Default false.
	DeletionProtection bool
	// Destroy deletes the table with its stack. Default false: it is retained.
	Destroy bool
	// AlarmTopic hears of refused writes. Default nil: only the console shows them.
	AlarmTopic awssns.ITopic
}

// Table is an encrypted on-demand table with expiry.
type Table struct {
	table  awsdynamodb.TableV2
	alarms []awscloudwatch.Alarm
}

// New makes the table at id in scope.
func New(scope constructs.Construct, id string, p Props) *Table {
	if p.Destroy && p.DeletionProtection {
		panic("recommendationtable: Destroy and DeletionProtection exclude each other, got both; turn one off")
	}
	if !p.PointInTimeRecovery && p.NoRecoveryReason == "" {
		panic("recommendationtable: NoRecoveryReason must say why AwsSolutions-DDB3 is accepted, got none; " +
			"or set PointInTimeRecovery")
	}
	if p.WritesRefusedAdvice == "" {
		p.WritesRefusedAdvice = "look for what writes it all, or a limit on the table."
	}
	this := constructs.NewConstruct(scope, jsii.String(id))
	removal := awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE
	if p.Destroy {
		removal = awscdk.RemovalPolicy_DESTROY
	}
	attribute := func(name string, kind awsdynamodb.AttributeType) *awsdynamodb.Attribute {
		return &awsdynamodb.Attribute{Name: jsii.String(name), Type: kind}
	}
	t := &Table{}
	t.table = awsdynamodb.NewTableV2(this, jsii.String("Table"), &awsdynamodb.TablePropsV2{
		PartitionKey: attribute(row.SessionID, awsdynamodb.AttributeType_STRING),
		GlobalSecondaryIndexes: &[]*awsdynamodb.GlobalSecondaryIndexPropsV2{{
			IndexName:    jsii.String(row.CustomerIndex),
			PartitionKey: attribute(row.CustomerNumber, awsdynamodb.AttributeType_NUMBER),
			SortKey:      attribute(row.EventTime, awsdynamodb.AttributeType_STRING),
			// Sessions are then read by key: an index that repeats the record would
			// double the price of every write.
			ProjectionType: awsdynamodb.ProjectionType_KEYS_ONLY,
		}},
		Billing:             awsdynamodb.Billing_OnDemand(nil),
		Encryption:          awsdynamodb.TableEncryptionV2_AwsManagedKey(),
		TimeToLiveAttribute: jsii.String(row.ExpiresAt),
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(p.PointInTimeRecovery),
		},
		DeletionProtection: jsii.Bool(p.DeletionProtection),
		RemovalPolicy:      removal,
	})
	p.acceptFindings(t.table)
	t.alarms = alarm.New(this, p.AlarmTopic, t.rules(p)...)
	return t
}

func (p Props) acceptFindings(table awsdynamodb.TableV2) {
	if !p.PointInTimeRecovery {
		nag.Accept(table, nag.Exception{Rule: "AwsSolutions-DDB3", Reason: p.NoRecoveryReason})
	}
}

func (t *Table) rules(p Props) []alarm.Rule {
	return []alarm.Rule{{
		ID:          "WritesThrottled",
		Description: "DynamoDB refuses writes of recommendations: " + p.WritesRefusedAdvice,
		Metric: t.table.Metric(jsii.String("WriteThrottleEvents"), &awscloudwatch.MetricOptions{
			Period: awscdk.Duration_Minutes(jsii.Number(1)), Statistic: jsii.String("Sum"),
		}),
		Threshold: 0, Periods: 5, Breaching: 3,
	}}
}

// Table is the CDK table, for grants.
func (t *Table) Table() awsdynamodb.TableV2 { return t.table }

// Name is the generated table name, known at deployment.
func (t *Table) Name() *string { return t.table.TableName() }

// Alarms are the table's alarms, for a dashboard.
func (t *Table) Alarms() []awscloudwatch.Alarm { return t.alarms }
