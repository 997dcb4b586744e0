package stepfunctions

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/stepfunctions/asl"
	"diecast/internal/vectorloader"
	"diecast/test/templates/snapshots"
)

// batchDefinition is the state machine of the stack Batch, as its template has it, with names in
// it.
func batchDefinition(t testing.TB) string {
	t.Helper()
	templates, err := snapshots.Read("lean")
	require.NoError(t, err)
	resources, _ := templates["Batch"]["Resources"].(map[string]any)
	for _, one := range resources {
		resource, _ := one.(map[string]any)
		if resource["Type"] != "AWS::StepFunctions::StateMachine" {
			continue
		}
		properties, _ := resource["Properties"].(map[string]any)
		definition, _ := properties["DefinitionString"].(string)
		substituted, _ := properties["DefinitionSubstitutions"].(map[string]any)
		require.Len(t, substituted, len(names))
		for name, value := range names {
			require.Contains(t, substituted, name)
			definition = strings.ReplaceAll(definition, "${"+name+"}", value)
		}
		require.NotContains(t, definition, "${", "something is not filled in")
		return definition
	}
	require.Fail(t, "the stack Batch has no state machine")
	return ""
}

// names that CloudFormation fills in.
var names = map[string]string{"JobName": "etl", "LakeBucket": "lake", "LogPrefix": "/aws-glue/etl",
	"TopicArn": "arn:aws:sns:eu-test-1:000000000000:runs", "VectorLoader": "loader"}

// What the resources of the batch path answer.
type reply struct {
	output any
	err    error
}

func refused(name, cause string) reply { return reply{err: &asl.Failure{Name: name, Cause: cause}} }

const (
	runJobState = "Run job"
	published   = `{"status":"published","stage":"prune","rows":{"published":{"ratings":2532}}}`
	refresh     = "Refresh the vector store"
	ratings     = `ratings: 40 of 2532 rows break a rule: range of productRating must be from 1 to 5`
)

func body(text string) reply { return reply{output: map[string]any{"Body": text}} }

func failedRun(state string) reply {
	return refused(asl.TaskFailed, `{"Id":"jr_1","JobRunState":"`+state+`","ErrorMessage":"JobError: settings"}`)
}

// thrown is an error of the loader's function, as Lambda hands it on.
func thrown(kind, message string) reply {
	return refused(kind, `{"errorMessage":"`+message+`","errorType":"`+kind+`"}`)
}

// hang is an answer that does not come.
var hang = reply{}

// scenario of the batch path: the answers by state, in turn, the last one again and again.
type scenario struct {
	input   string
	replies map[string][]reply
	// want ends the execution: an error by name, or none; words are those of the cause and of what
	// the topic is told, and told says whether it is.
	want  string
	words []string
	told  bool
	// least is how long the execution takes at least.
	least time.Duration
}

// well are the answers where all goes well.
func well() map[string][]reply {
	return map[string][]reply{
		runJobState:    {{output: map[string]any{"Id": "jr_1", "JobRunState": "SUCCEEDED"}}},
		"Read outcome": {body(published)},
		refresh: {{output: map[string]any{"Payload": map[string]any{"active_version": "0123456789ab",
			"figures": map[string]any{
				"items": json.Number("111"), "added": json.Number("2"), "vanished": json.Number("1")}}}}},
		"Tell of the run":     {{output: map[string]any{}}},
		"Read the failure":    {body(`{"status":"failed","stage":"quality","reason":"` + ratings + `"}`)},
		"Tell of the failure": {{output: map[string]any{}}},
		"Find the other run": {{output: map[string]any{"JobRuns": []any{map[string]any{
			"Id": "jr_0", "JobRunState": "RUNNING", "StartedOn": "2026-03-01T09:00:00Z"}}}}},
	}
}

const (
	serviceFails = "Glue.InternalServiceException"
	occupied     = "Glue.ConcurrentRunsExceededException"
	owner        = "nobody, until source.owner names somebody"
)

var scenarios = map[string]scenario{
	"published": {told: true, words: []string{"Run first is published. ",
		"s3://lake/ratings_ml_training/first/_outcome.json",
		"Vector store: 2 products in, 1 out: model 0123456789ab serves 111"}},
	"with arguments": {input: `{"arguments":{"--strategy":"latest","--run-id":"mine"}}`, told: true,
		words: []string{"Run first is published"}},
	"published after services failed": {told: true, words: []string{"Run first is published"},
		replies: map[string][]reply{
			runJobState: {refused(serviceFails, ""), refused("Glue.ThrottlingException", ""),
				well()[runJobState][0]},
			"Read outcome": {refused("S3.S3Exception", ""), body(published)},
			refresh: {refused("Lambda.TooManyRequestsException", ""), refused("Lambda.SdkClientException", ""),
				well()[refresh][0]},
			"Tell of the run": {refused("Sns.InternalErrorException", ""), {output: map[string]any{}}},
		}},
	"another run": {want: "AnotherRun", told: true, words: []string{"Run first did not begin", "the job etl takes one",
		"jr_0 of it is RUNNING since 2026-03-01T09:00:00Z"},
		replies: map[string][]reply{runJobState: {refused(occupied, "")}}},
	"another run after a start whose answer was lost": {want: "AnotherRun", told: true, words: []string{"jr_0"},
		replies: map[string][]reply{runJobState: {refused("Glue.SdkClientException", ""), refused(occupied, "")}}},
	"another run that is not listed": {want: "AnotherRun", told: true,
		words: []string{"could not be listed: Glue.GlueException: denied"},
		replies: map[string][]reply{runJobState: {refused(occupied, "")},
			"Find the other run": {refused("Glue.GlueException", "denied")}}},
	"another run that is gone": {want: "AnotherRun", told: true, words: []string{"could not be listed: " +
		asl.IntrinsicFailure}, replies: map[string][]reply{runJobState: {refused(occupied, "")},
		"Find the other run": {{output: map[string]any{"JobRuns": []any{}}}}}},
	"a job that waits too long": {want: "JobTimeout", told: true, least: 45 * time.Minute,
		words:   []string{"Run first did not end within 2700 seconds", "Its log: /aws-glue/etl/error"},
		replies: map[string][]reply{runJobState: {hang}}},
	"a job that is not there": {want: "JobNotStarted", told: true, words: []string{
		"the job etl could not be run: Glue.EntityNotFoundException: no such job"},
		replies: map[string][]reply{runJobState: {refused("Glue.EntityNotFoundException", "no such job")}}},
	"a service that stays away": {want: "JobNotStarted", told: true, words: []string{serviceFails},
		replies: map[string][]reply{runJobState: {refused(serviceFails, "")}}},
	"rules that are broken": {want: "RunFailed", told: true, words: []string{
		"Run first failed at quality and published nothing: " + ratings, "Of the source knows: " + owner,
		"Log: /aws-glue/etl/error, stream jr_1."},
		replies: map[string][]reply{runJobState: {failedRun("FAILED")}}},
	"a failure before the first stage": {want: "RunFailed", told: true, words: []string{
		"Run first ended as FAILED", "_outcome.json could not be read (S3.NoSuchKeyException)", "JobError: settings",
		owner,
		"stream jr_1"},
		replies: map[string][]reply{runJobState: {failedRun("FAILED")},
			"Read the failure": {refused("S3.NoSuchKeyException", "")}}},
	"a failure with too much to say": {want: "RunFailed", told: true, words: []string{asl.DataLimitExceeded, "jr_1"},
		replies: map[string][]reply{runJobState: {failedRun("FAILED")},
			"Read the failure": {body(strings.Repeat("x", asl.MaxData))}}},
	"a failure that does not answer": {want: "RunFailed", told: true, words: []string{asl.Timeout, "jr_1"},
		replies: map[string][]reply{runJobState: {failedRun("FAILED")}, "Read the failure": {hang}}},
	"killed": {want: "RunKilled", told: true, words: []string{"ended from outside, as TIMEOUT", owner, "stream jr_1"},
		replies: map[string][]reply{runJobState: {failedRun("TIMEOUT")},
			"Read the failure": {body(`{"status":"running","stage":"session"}`)}}},
	"failed after publishing": {want: "FailedAfterPublishing", told: true, words: []string{
		"Run first is published, and failed at publish after that: symlink.txt: AccessDenied", "stream jr_1"},
		replies: map[string][]reply{runJobState: {failedRun("FAILED")},
			"Read the failure": {body(`{"status":"published","stage":"publish","reason":"symlink.txt: ` +
				`AccessDenied"}`)}}},
	"an outcome that is forbidden": {want: "OutcomeNotRead", told: true,
		words:   []string{"The job ended well", "S3.S3Exception: denied", "stream jr_1"},
		replies: map[string][]reply{"Read outcome": {refused("S3.S3Exception", "denied")}}},
	"an outcome that is no JSON": {want: "OutcomeNotRead", told: true, words: []string{asl.IntrinsicFailure},
		replies: map[string][]reply{"Read outcome": {body("{")}}},
	"an outcome that is too large": {want: "OutcomeNotRead", told: true, words: []string{asl.DataLimitExceeded},
		replies: map[string][]reply{"Read outcome": {body(strings.Repeat("x", asl.MaxData))}}},
	"an outcome that tells of nothing": {want: "NothingPublished", told: true, words: []string{"stream jr_1"},
		replies: map[string][]reply{"Read outcome": {body(`{"status":"failed","stage":"write"}`)}}},
	"an outcome of another form": {want: "NothingPublished", told: true,
		replies: map[string][]reply{"Read outcome": {body(`[]`)}}},
	"a store that is empty": {told: true, words: []string{"Run first is published",
		"Vector store: nothing to refresh: no active model"},
		replies: map[string][]reply{refresh: {thrown(vectorloader.NothingToRefresh,
			"nothing to refresh: no active model")}}},
	"a refresh that breaks a limit": {want: "LimitsBroken", told: true, words: []string{
		"Run first is published, and the vector store does not follow it: stopped before the switch: too many have " +
			"vanished (vectors.maxVanished)"},
		replies: map[string][]reply{refresh: {thrown(vectorloader.LimitsBroken,
			"stopped before the switch: too many have vanished (vectors.maxVanished)")}}},
	"a refresh that fails": {want: "NotRefreshed", told: true, words: []string{
		"Run first is published, and the vector store could not follow it: wrapError: ", "row 112: id TWICE",
		"diecast vectors refresh"},
		replies: map[string][]reply{refresh: {thrown("wrapError", "row 112: id TWICE")}}},
	"a refresh that answers too late": {want: "NotRefreshed", told: true, least: 15 * time.Minute,
		words: []string{asl.Timeout}, replies: map[string][]reply{refresh: {hang}}},
	"a loader that is not there": {want: "NotRefreshed", told: true,
		words:   []string{"Lambda.ResourceNotFoundException: no such function"},
		replies: map[string][]reply{refresh: {refused("Lambda.ResourceNotFoundException", "no such function")}}},
	"a loader that answers something else": {want: "NotRefreshed", told: true,
		replies: map[string][]reply{refresh: {{output: map[string]any{"Payload": "well"}}}}},
	"a topic that refuses": {want: "NobodyTold", words: []string{"Run first is published, and the topic " +
		names["TopicArn"] + " could not be told: Sns.AuthorizationErrorException: no"},
		replies: map[string][]reply{"Tell of the run": {refused("Sns.AuthorizationErrorException", "no")}}},
	"a topic that refuses a failure": {want: "RunFailed", words: []string{ratings},
		replies: map[string][]reply{runJobState: {failedRun("FAILED")},
			"Tell of the failure": {refused("Sns.NotFoundException", "no")}}},
}

// play runs a scenario in time that passes by itself.
func play(t *testing.T, machine *asl.Machine, s scenario) (last asl.Event, history []asl.Event, took time.Duration) {
	t.Helper()
	replies := well()
	for state, given := range s.replies {
		replies[state] = given
	}
	told := ""
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		input := s.input
		if input == "" {
			input = "{}"
		}
		last = machine.Run(t.Context(), asl.Execution{
			Name: "first", Input: input, Told: func(event asl.Event) { history = append(history, event) },
			Invoke: func(ctx context.Context, task asl.Task) (any, error) {
				given := replies[task.State]
				require.NotEmpty(t, given, task.State)
				now := given[0]
				if len(given) > 1 {
					replies[task.State] = given[1:]
				}
				if now == hang {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				parameters, _ := task.Parameters.(map[string]any)
				switch {
				case task.Resource == "aws-sdk:sns:publish" && now.err == nil:
					told, _ = parameters["Message"].(string)
					assert.Equal(t, names["TopicArn"], parameters["TopicArn"])
				case task.Resource == "aws-sdk:s3:getObject":
					assert.Equal(t, map[string]any{"Bucket": "lake", "Key": "ratings_ml_training/first/_outcome.json"},
						parameters)
				case task.State == refresh:
					assert.Equal(t, map[string]any{"FunctionName": "loader", "Payload": map[string]any{
						"action": vectorloader.Refresh, "run": "first", "lake": "lake", "by": "the state machine"}},
						parameters)
				case task.State == runJobState:
					arguments, _ := parameters["Arguments"].(map[string]any)
					assert.Equal(t, "first", arguments["--run-id"], "the run has the execution's name")
					if s.input != "" {
						assert.Equal(t, "latest", arguments["--strategy"])
					}
				}
				return now.output, now.err
			},
		})
		took = time.Since(begun)
	})
	assert.Equal(t, s.want, last.Error)
	assert.Equal(t, s.told, told != "")
	for _, words := range s.words {
		if s.want != "" {
			assert.Contains(t, last.Cause, words)
		}
		if s.told {
			assert.Contains(t, told, words)
		}
	}
	return last, history, took
}

func (r reply) String() string { return fmt.Sprint(r.output, r.err) }

// Every state is entered and every Catch is taken by one of the scenarios, and each ends as it
// says.
func TestBatchPath_everyCatchIsReached(t *testing.T) {
	definition := batchDefinition(t)
	machine, err := asl.Parse(definition, integrations())
	require.NoError(t, err)
	var written struct {
		States map[string]struct {
			Type  string
			Catch []struct {
				ErrorEquals      []string
				ResultPath, Next string
			}
			Retry []struct{ ErrorEquals []string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(definition), &written))
	entered, caught := map[string]bool{}, map[string]bool{}
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			_, history, took := play(t, machine, s)
			assert.GreaterOrEqual(t, took, s.least)
			assert.Less(t, took, 80*time.Minute, "the whole has no more")
			for i, event := range history {
				if !strings.HasSuffix(event.Type, "StateEntered") {
					continue
				}
				entered[event.State] = true
				if i == 0 || history[i-1].Type != "TaskStateExited" {
					continue
				}
				from := history[i-1]
				var after map[string]any
				require.NoError(t, json.Unmarshal([]byte(from.Data), &after))
				for at, one := range written.States[from.State].Catch {
					told, _ := after[strings.TrimPrefix(one.ResultPath, "$.")].(map[string]any)
					name, _ := told["Error"].(string)
					if one.Next == event.State && name != "" &&
						(slices.Contains(one.ErrorEquals, name) || one.ErrorEquals[0] == asl.All &&
							name != asl.DataLimitExceeded) {
						caught[fmt.Sprint(from.State, at)] = true
						break
					}
				}
			}
		})
	}
	tasks := 0
	for name, state := range written.States {
		assert.True(t, entered[name], "no scenario enters %s", name)
		if state.Type != "Task" {
			continue
		}
		tasks++
		require.NotEmpty(t, state.Catch, "%s catches nothing", name)
		assert.Equal(t, []string{asl.All}, state.Catch[len(state.Catch)-1].ErrorEquals, "%s catches not all", name)
		for at, one := range state.Catch {
			assert.True(t, caught[fmt.Sprint(name, at)], "no scenario takes the Catch of %s for %s", name,
				one.ErrorEquals)
		}
		for _, retry := range state.Retry {
			for _, error := range retry.ErrorEquals {
				assert.Regexp(t, `^(Glue|S3|Sns|Lambda)\.(InternalService|OperationTimeout|Throttling|`+
					`SdkClient|S3|InternalError|Throttled|Service|AWSLambda|TooManyRequests)Exception$`,
					error, "%s tries again what no service is to blame for", name)
			}
		}
	}
	assert.Equal(t, 7, tasks)
}
