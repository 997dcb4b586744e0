// Package alarm turns a rule about a metric into a CloudWatch alarm that tells
// the platform's alarm topic. The construct that owns a resource declares the
// rules; this package must not know any resource.
package alarm

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Comparison says on which side of the threshold a rule is breached.
type Comparison int

const (
	// Above is breached by a value greater than the threshold.
	Above Comparison = iota
	// Below is breached by a value less than the threshold.
	Below
)

// MissingData says what a period without a value means.
type MissingData int

const (
	// MissingIsFine takes silence for health: most metrics are sent only where something happens.
	MissingIsFine MissingData = iota
	// MissingBreaches takes silence for a breach: for what must go on happening.
	MissingBreaches
	// MissingKeepsState leaves the alarm as it is: for what is reported now and then.
	MissingKeepsState
)

var treatment = map[MissingData]awscloudwatch.TreatMissingData{
	MissingIsFine:     awscloudwatch.TreatMissingData_NOT_BREACHING,
	MissingBreaches:   awscloudwatch.TreatMissingData_BREACHING,
	MissingKeepsState: awscloudwatch.TreatMissingData_IGNORE,
}

// Rule is one condition that a person should hear of.
type Rule struct {
	// ID is the construct id, unique in its scope. Changing it replaces the alarm.
	ID string
	// Description says what is wrong and what to look at first.
	Description string
	// Metric is watched over its own period and statistic.
	Metric awscloudwatch.IMetric
	// Threshold is in the metric's unit.
	Threshold float64
	// Breach is the side of the threshold that alarms. Default Above.
	Breach Comparison
	// Periods is how many of the latest periods are looked at. Default 1.
	Periods int
	// Breaching is how many of them must breach. Default Periods.
	Breaching int
	// Missing is what a period without a value means. Default MissingIsFine.
	Missing MissingData
}

// New makes one alarm for each rule, in scope, telling topic of both the breach
// and the recovery. A nil topic makes alarms that only the console shows.
func New(scope constructs.Construct, topic awssns.ITopic, rules ...Rule) []awscloudwatch.Alarm {
	alarms := make([]awscloudwatch.Alarm, 0, len(rules))
	for _, rule := range rules {
		alarms = append(alarms, rule.create(scope, topic))
	}
	return alarms
}

func (r Rule) create(scope constructs.Construct, topic awssns.ITopic) awscloudwatch.Alarm {
	if r.Description == "" {
		panic(fmt.Sprintf("alarm: %s has no description, got %q; say what is wrong and what to look at first", r.ID,
			r.Description))
	}
	periods := max(r.Periods, 1)
	breaching := r.Breaching
	if breaching == 0 {
		breaching = periods
	}
	if breaching > periods {
		panic(fmt.Sprintf("alarm: %s must breach within its periods, got %d of %d; raise Periods", r.ID, breaching,
			periods))
	}
	comparison := awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD
	if r.Breach == Below {
		comparison = awscloudwatch.ComparisonOperator_LESS_THAN_THRESHOLD
	}
	created := awscloudwatch.NewAlarm(scope, jsii.String(r.ID), &awscloudwatch.AlarmProps{
		Metric:             r.Metric,
		Threshold:          jsii.Number(r.Threshold),
		ComparisonOperator: comparison,
		EvaluationPeriods:  jsii.Number(periods),
		DatapointsToAlarm:  jsii.Number(breaching),
		TreatMissingData:   treatment[r.Missing],
		AlarmDescription:   jsii.String(r.Description),
	})
	if topic != nil {
		action := awscloudwatchactions.NewSnsAction(topic)
		created.AddAlarmAction(action)
		created.AddOkAction(action)
	}
	return created
}
