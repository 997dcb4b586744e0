package stacks

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/internal/latency"
	"diecast/internal/metrics"
)

// ofDeliver is a metric of the platform's own that the deliver function writes.
func ofDeliver(name, statistic string, period time.Duration) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: jsii.String(metrics.Namespace), MetricName: jsii.String(name),
		DimensionsMap: &map[string]*string{metrics.FunctionDimension: jsii.String(metrics.Deliver)},
		Statistic:     jsii.String(statistic), Period: awscdk.Duration_Seconds(jsii.Number(period.Seconds())),
	})
}

// answerRules tell of answers that come late, from a lower rung, or from two models. They are about
// what the shop reads: the archive has no hurry, and the same function answers it.
func answerRules() []alarm.Rule {
	const period = 5 * time.Minute
	return []alarm.Rule{{
		ID: "AnswersLate",
		Description: "Events take more than 2 s to be readable by the shop, at the 99th percentile: look at the " +
			"iterator age, then at the deliver function's duration, then at inference's.",
		Metric:    ofDeliver(metrics.Latency, "p99", time.Minute),
		Threshold: float64(latency.OnAWS.Milliseconds()), Periods: 5, Breaching: 3,
	}, {
		ID: "LowerRungs",
		Description: "More than 1 % of the answers come from below the first rung: look at the vector store, then " +
			"at inference's log, which says why it was not asked.",
		Metric: awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
			// Without events it has no value, which is fine.
			Expression: jsii.String("100 * (memory + popular) / delivered"),
			Label:      jsii.String("Answers below the first rung, %"),
			Period:     awscdk.Duration_Minutes(jsii.Number(period.Minutes())),
			UsingMetrics: &map[string]awscloudwatch.IMetric{
				"memory":    ofDeliver(metrics.RungMemory, "Sum", period),
				"popular":   ofDeliver(metrics.RungPopular, "Sum", period),
				"delivered": ofDeliver(metrics.Delivered, "Sum", period),
			},
		}),
		Threshold: 1, Periods: 3, Breaching: 2,
	}, {
		ID: "TwoModels",
		Description: "Two models have answered for a quarter of an hour, longer than a switch takes: an instance of " +
			"inference cannot load the active model; read its log.",
		Metric:    ofDeliver(metrics.ModelVersions, "Maximum", period),
		Threshold: 1, Periods: 3,
	}}
}
