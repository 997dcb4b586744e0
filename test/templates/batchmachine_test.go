package templates

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/local/stepfunctions"
)

// scheduled is the batch path by the clock, with an owner whose name has all that a definition
// could trip over.
var scheduled = []string{"profile=lean", "etl.schedule=cron(0 3 ? * MON-FRI *)", "etl.timeoutMinutes=40",
	`source.owner=Ada "x" '{}' ${JobName} \\ <ada@example.com>`}

// stateMachine is the one of the stack Batch, its definition filled in with names.
func stateMachine(t *testing.T, settings ...string) (machine resource, definition string) {
	t.Helper()
	machine = one(t, synth(t, settings...).templates["Batch"], "AWS::StepFunctions::StateMachine")
	definition, _ = machine.Properties["DefinitionString"].(string)
	names, _ := machine.Properties["DefinitionSubstitutions"].(map[string]any)
	require.ElementsMatch(t, []string{"JobName", "LakeBucket", "LogPrefix", "TopicArn", "VectorLoader"},
		slices.Collect(maps.Keys(names)))
	values := map[string]string{"TopicArn": "arn:aws:sns:eu-west-1:123456789012:runs"}
	for name := range names {
		value, given := values[name]
		if !given {
			value = name
		}
		require.Contains(t, definition, "${"+name+"}", "nothing is filled in for it")
		definition = strings.ReplaceAll(definition, "${"+name+"}", value)
	}
	require.NotContains(t, definition, "${", "a name that CloudFormation does not know")
	return machine, definition
}

// aslProblems are what npm's asl-validator finds.
func aslProblems(t *testing.T, definition string) string {
	t.Helper()
	folder, err := installed.NodePackage("asl-validator", "")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "definition.asl.json")
	require.NoError(t, os.WriteFile(file, []byte(definition), 0o600))
	told, err := exec.CommandContext(t.Context(), "node", filepath.Join(folder, "dist", "bin", "asl-validator.js"),
		"--json-path", file).CombinedOutput()
	if err == nil {
		return ""
	}
	return string(told)
}

// TestBatchMachine_definitionHoldsEverywhere: what the laptop runs is what AWS takes.
func TestBatchMachine_definitionHoldsEverywhere(t *testing.T) {
	for _, settings := range [][]string{{"profile=lean"}, {"profile=prod"}, scheduled} {
		_, definition := stateMachine(t, settings...)
		assert.Empty(t, aslProblems(t, definition), settings)
		assert.NoError(t, stepfunctions.Check(definition), settings)
	}
	_, definition := stateMachine(t, "profile=lean")
	assert.Contains(t, aslProblems(t, strings.Replace(definition, `"Next":"Published?"`, `"Next":"Elsewhere"`, 1)),
		"Elsewhere")
	assert.Contains(t, aslProblems(t, strings.Replace(definition, `"$.error.Error"`, `"$.error["`, 1)), "asl_ref_path")
}

func TestBatchMachine_followsTheConfiguration(t *testing.T) {
	type states struct {
		TimeoutSeconds int
		States         map[string]struct {
			TimeoutSeconds int
			Parameters     map[string]any
		}
	}
	for _, c := range []struct {
		settings    []string
		job, whole  int
		owner, text string
	}{
		{[]string{"profile=lean"}, 45 * 60, 80 * 60, "nobody, until source.owner names somebody", "2700 seconds"},
		{scheduled, 70 * 60, 105 * 60, strings.TrimPrefix(scheduled[3], "source.owner="), "4200 seconds"},
	} {
		_, definition := stateMachine(t, c.settings...)
		var read states
		require.NoError(t, json.Unmarshal([]byte(definition), &read))
		assert.Equal(t, c.whole, read.TimeoutSeconds)
		assert.Equal(t, c.job, read.States["Run job"].TimeoutSeconds)
		assert.Equal(t, 15*60, read.States["Refresh the vector store"].TimeoutSeconds)
		assert.Equal(t, c.owner, read.States["Name the run"].Parameters["owner"])
		assert.Contains(t, definition, c.text)
	}
}

// TestBatchMachine_alarmsWhenItsScheduleIsMissed: twice the 72 hours from Friday to Monday.
func TestBatchMachine_alarmsWhenItsScheduleIsMissed(t *testing.T) {
	batch := synth(t, scheduled...).templates["Batch"]
	schedule := one(t, batch, "AWS::Scheduler::Schedule")
	assert.Equal(t, "cron(0 3 ? * MON-FRI *)", schedule.Properties["ScheduleExpression"])
	assert.Equal(t, "UTC", schedule.Properties["ScheduleExpressionTimezone"])
	watching := func(template template) (found []resource) {
		for _, r := range template.Resources {
			if r.Type == "AWS::CloudWatch::Alarm" &&
				slices.Contains(metricsOf(r), "AWS/States/ExecutionsSucceeded") {
				found = append(found, r)
			}
		}
		return found
	}
	quiet := watching(batch)
	require.Len(t, quiet, 1)
	for property, want := range map[string]any{
		"Period": 3600., "EvaluationPeriods": 144., "DatapointsToAlarm": 144., "Statistic": "Sum", "Threshold": 1.,
		"ComparisonOperator": "LessThanThreshold", "TreatMissingData": "breaching",
	} {
		assert.Equal(t, want, quiet[0].Properties[property], property)
	}
	assert.NotEmpty(t, quiet[0].Properties["AlarmActions"])

	for _, profile := range profiles {
		batch := synth(t, "profile="+profile).templates["Batch"]
		assert.Empty(t, watching(batch), "%s: nothing starts by the clock, and nothing is missed", profile)
		for _, r := range batch.Resources {
			assert.NotEqual(t, "AWS::Scheduler::Schedule", r.Type, profile)
		}
	}
}

// TestBatchMachine_mayDoNoMoreThanItsStates: each action is one that a state's resource needs, and
// those of a .sync task are the job's alone: Glue is asked, no rule of EventBridge is made.
func TestBatchMachine_mayDoNoMoreThanItsStates(t *testing.T) {
	batch := synth(t, "profile=lean").templates["Batch"]
	machine, _ := stateMachine(t, "profile=lean")
	allowed := map[string]string{}
	for _, r := range batch.Resources {
		if r.Type != "AWS::IAM::Policy" || !strings.Contains(fmt.Sprint(r.Properties["Roles"]), "BatchPathRole") {
			continue
		}
		document, _ := r.Properties["PolicyDocument"].(map[string]any)
		for _, entry := range document["Statement"].([]any) {
			statement := entry.(map[string]any)
			actions, several := statement["Action"].([]any)
			if !several {
				actions = []any{statement["Action"]}
			}
			for _, action := range actions {
				written, err := json.Marshal(statement["Resource"])
				require.NoError(t, err)
				allowed[action.(string)] = string(written)
			}
		}
	}
	assert.Contains(t, fmt.Sprint(machine.Properties["RoleArn"]), "BatchPathRole")
	assert.ElementsMatch(t, []string{
		"glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun", "s3:GetObject",
		"s3:ListBucket",
		"sns:Publish", "lambda:InvokeFunction",
		"logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
		"logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
	}, slices.Collect(maps.Keys(allowed)))
	for action, on := range allowed {
		switch service, _, _ := strings.Cut(action, ":"); service {
		case "logs":
			assert.Equal(t, `"*"`, on, action)
		case "glue":
			assert.Contains(t, on, ":job/", action)
			assert.NotContains(t, on, "*", action)
		default:
			assert.NotEqual(t, `"*"`, on, action)
		}
	}
	assert.Contains(t, allowed["s3:GetObject"], "/ratings_ml_training/*/_outcome.json")
}
