// Package statemachine makes Step Functions state machines of the type STANDARD from a definition,
// with a role and a log of their own, an alarm for executions that fail, and, if wanted, a schedule
// that starts them with an alarm for when none has succeeded for too long. It must not know what
// the definition does: callers allow that to the role.
//
// The resources are CloudFormation's own: the definition stays a text, into which CloudFormation
// puts names, so that whoever reads a template has all of it.
package statemachine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsscheduler"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/constructs/nag"
	"diecast/constructs/role"
)

// Schedule starts executions by the clock.
type Schedule struct {
	// Expression is EventBridge Scheduler's, in UTC. Required.
	Expression string
	// Quiet is after how long without a successful execution the alarm tells, in whole hours, at
	// most CloudWatch's seven days. Required.
	Quiet time.Duration
}

// Props configures a state machine.
type Props struct {
	// Definition is Amazon States Language, with ${Name} for each of Substitutions. Required.
	Definition    string
	Substitutions map[string]*string
	// Description says, in the role's description, what the machine does. Required.
	Description string
	// LogRetention is how long its log is kept. Required.
	LogRetention awslogs.RetentionDays
	// Schedule starts executions. Default nil: nothing does.
	Schedule *Schedule
	// Advice ends the alarms' descriptions: what to look at first. Required.
	Advice string
	// AlarmTopic hears of executions that fail, and of those that are missing. Default nil: only
	// the console shows it.
	AlarmTopic awssns.ITopic
}

// Machine is a state machine.
type Machine struct {
	machine awsstepfunctions.CfnStateMachine
	role    *role.Role
	alarms  []awscloudwatch.Alarm
}

// logPrefix begins the names of the log groups that Step Functions delivers to without adding to
// the account's one policy of log groups, which has little room (AWS Step Functions Developer
// Guide, "Logging to CloudWatch Logs").
const logPrefix = "/aws/vendedlogs/states/"

// New makes a state machine at id in scope.
func New(scope constructs.Construct, id string, p Props) *Machine {
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	m := &Machine{role: role.New(this, "Role", role.Props{Service: "states.amazonaws.com", Description: p.Description})}
	logs := awslogs.NewLogGroup(this, jsii.String("Log"), &awslogs.LogGroupProps{
		LogGroupName: jsii.String(logPrefix + *awscdk.Aws_STACK_NAME() + "/" + id), Retention: p.LogRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	m.role.Allow("DeliverLog", []string{
		"logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
		"logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
	}, jsii.String("*"))
	nag.Accept(m.role.Role(), nag.Exception{Rule: "AwsSolutions-IAM5",
		Reason:    "CloudWatch Logs' actions for log deliveries accept no resource.",
		AppliesTo: []string{"Resource::*"}})
	var substitutions any // none is not an empty object: CloudFormation refuses that
	if len(p.Substitutions) > 0 {
		substitutions = p.Substitutions
	}
	m.machine = awsstepfunctions.NewCfnStateMachine(this, jsii.String("Machine"),
		&awsstepfunctions.CfnStateMachineProps{
			DefinitionString:        jsii.String(p.Definition),
			DefinitionSubstitutions: substitutions,
			RoleArn:                 m.role.Role().RoleArn(),
			StateMachineType:        jsii.String("STANDARD"),
			LoggingConfiguration: &awsstepfunctions.CfnStateMachine_LoggingConfigurationProperty{
				Level: jsii.String("ALL"),
				// Data stay in the executions' histories.
				IncludeExecutionData: jsii.Bool(false),
				Destinations: []any{&awsstepfunctions.CfnStateMachine_LogDestinationProperty{
					CloudWatchLogsLogGroup: &awsstepfunctions.CfnStateMachine_CloudWatchLogsLogGroupProperty{
						LogGroupArn: logs.LogGroupArn(),
					},
				}},
			},
		})
	// Step Functions tries at once whether the role may deliver the log.
	m.machine.Node().AddDependency(m.role.Role())
	nag.Accept(m.machine, nag.Exception{Rule: "AwsSolutions-SF2",
		Reason: "The history of an execution has the time of each state; nothing that the machine calls is traced, " +
			"so that a trace would tell no more."})
	m.alarms = alarm.New(this, p.AlarmTopic, m.rules(p)...)
	if p.Schedule != nil {
		m.schedule(this, p)
	}
	return m
}

// metric of the machine's executions.
func (m *Machine) metric(name string, period awscdk.Duration) awscloudwatch.IMetric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace: jsii.String("AWS/States"), MetricName: jsii.String(name), Statistic: jsii.String("Sum"),
		Period:        period,
		DimensionsMap: &map[string]*string{"StateMachineArn": m.machine.Ref()},
	})
}

func (m *Machine) rules(p Props) []alarm.Rule {
	minutes := awscdk.Duration_Minutes(jsii.Number(5))
	rules := []alarm.Rule{{
		ID:          "Failed",
		Description: "An execution of the state machine failed or took too long: " + p.Advice,
		Metric: awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
			Expression: jsii.String("FILL(failed, 0) + FILL(late, 0)"), Period: minutes,
			UsingMetrics: &map[string]awscloudwatch.IMetric{
				"failed": m.metric("ExecutionsFailed", minutes), "late": m.metric("ExecutionsTimedOut", minutes),
			},
		}),
	}}
	if p.Schedule == nil {
		return rules
	}
	return append(rules, alarm.Rule{
		ID: "Quiet",
		Description: fmt.Sprintf("No execution has succeeded for %.0f hours, twice as long as its schedule has "+
			"between two: %s", p.Schedule.Quiet.Hours(), p.Advice),
		Metric:    m.metric("ExecutionsSucceeded", awscdk.Duration_Hours(jsii.Number(1))),
		Threshold: 1, Breach: alarm.Below, Periods: int(p.Schedule.Quiet.Hours()), Missing: alarm.MissingBreaches,
	})
}

// attempts are those of a start that fails: until the next one comes, or the alarm tells.
const attempts = 5

// schedule starts executions, which EventBridge names.
func (m *Machine) schedule(scope constructs.Construct, p Props) {
	stack := awscdk.Stack_Of(scope)
	starter := awsiam.NewRole(scope, jsii.String("Starter"), &awsiam.RoleProps{
		Description: jsii.String("Starts by the clock: " + p.Description),
		// The service acts for any account that names the role, unless it is held to this one.
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("scheduler.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": stack.Account()}},
		}),
	})
	starter.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: jsii.String("Start"), Actions: jsii.Strings("states:StartExecution"),
		Resources: &[]*string{m.machine.Ref()},
	}))
	schedule := awsscheduler.NewCfnSchedule(scope, jsii.String("Schedule"), &awsscheduler.CfnScheduleProps{
		Description:        jsii.String("Starts " + p.Description),
		ScheduleExpression: jsii.String(p.Schedule.Expression), ScheduleExpressionTimezone: jsii.String("UTC"),
		FlexibleTimeWindow: &awsscheduler.CfnSchedule_FlexibleTimeWindowProperty{Mode: jsii.String("OFF")},
		Target: &awsscheduler.CfnSchedule_TargetProperty{
			Arn: m.machine.Ref(), RoleArn: starter.RoleArn(), Input: jsii.String("{}"),
			RetryPolicy: &awsscheduler.CfnSchedule_RetryPolicyProperty{
				MaximumRetryAttempts: jsii.Number(attempts), MaximumEventAgeInSeconds: jsii.Number(3600),
			},
		},
	})
	schedule.Node().AddDependency(starter)
}

// longestQuiet is the most that an alarm with periods of an hour looks back (CloudWatch API
// reference, PutMetricAlarm).
const longestQuiet = 7 * 24 * time.Hour

func (p Props) validate() {
	if !json.Valid([]byte(p.Definition)) {
		panic(fmt.Sprintf("statemachine: Definition must be JSON, got %d characters that are not; "+
			"write it in Amazon States Language", len(p.Definition)))
	}
	for name, value := range map[string]string{"Description": p.Description, "Advice": p.Advice} {
		if value == "" {
			panic(fmt.Sprintf("statemachine: %s is required, got none; say it in a few words", name))
		}
	}
	if p.LogRetention == "" {
		panic(fmt.Sprintf("statemachine: LogRetention is required, got none for %s; the log would be kept for ever",
			p.Description))
	}
	if s := p.Schedule; s != nil && (s.Expression == "" || s.Quiet < time.Hour || s.Quiet > longestQuiet ||
		s.Quiet%time.Hour != 0) {
		panic(fmt.Sprintf("statemachine: Schedule must have an Expression and a Quiet of whole hours up to %.0f, got "+
			"%q "+
			"and %s; an alarm looks back no longer", longestQuiet.Hours(), s.Expression, s.Quiet))
	}
}

// ARN of the state machine, with its generated name.
func (m *Machine) ARN() *string { return m.machine.Ref() }

// Role is what the machine may do.
func (m *Machine) Role() *role.Role { return m.role }

// Alarms are the rules that a person should hear of.
func (m *Machine) Alarms() []awscloudwatch.Alarm { return m.alarms }
