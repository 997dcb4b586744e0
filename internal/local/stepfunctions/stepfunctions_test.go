package stepfunctions

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/gluejobs"
)

const region, account = "eu-test-1", "000000000000"

func at(endpoint string) aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &endpoint, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")}
}

// services are Lambda, S3 and SNS that answer what a test says; nil for Glue as long as no test
// brings a host.
type services struct {
	Clients
	mutex sync.Mutex
	// objects by bucket and key.
	objects map[string]string
	// told is what topics were told.
	told []string
	// function answers invocations; as long as no test brings one, as a refresh without a change.
	function func(payload string) (answer, failure string)
}

func serve(t testing.TB) *services {
	t.Helper()
	s := &services{objects: map[string]string{}, function: func(string) (string, string) {
		return `{"active_version":"0123456789ab","figures":{"items":110,"added":0,"vanished":0}}`, ""
	}}
	server := httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(server.Close)
	s.Lambda = lambda.NewFromConfig(at(server.URL))
	s.S3 = s3.NewFromConfig(at(server.URL), func(options *s3.Options) { options.UsePathStyle = true })
	s.SNS = sns.NewFromConfig(at(server.URL))
	s.Glue = glue.NewFromConfig(at(server.URL))
	return s
}

func (s *services) answer(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch {
	case strings.HasSuffix(r.URL.Path, "/invocations"):
		answer, failure := s.function(string(body))
		if failure != "" {
			w.Header().Set("X-Amz-Function-Error", failure)
		}
		fmt.Fprint(w, answer)
	case strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AWSGlue."): // a job that ends at once
		fmt.Fprint(w, `{"JobRunId":"jr_1","JobRun":{"Id":"jr_1","JobRunState":"SUCCEEDED","CompletedOn":1700000000.5}}`)
	case r.Method == http.MethodPost: // SNS
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		s.told = append(s.told, r.FormValue("Message"))
		fmt.Fprint(w, `<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
	default:
		content, found := s.objects[strings.TrimPrefix(r.URL.Path, "/")]
		if !found {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>`)
			return
		}
		fmt.Fprint(w, content)
	}
}

func start(t testing.TB) (*Host, *sfn.Client) {
	t.Helper()
	host, err := Start(t.Context(), Options{Account: account, Region: region, AccessKeyID: "key"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, host.Stop(context.WithoutCancel(t.Context()))) })
	return host, sfn.NewFromConfig(at(host.Endpoint()))
}

func add(t testing.TB, host *Host, name, definition string, clients Clients) string {
	t.Helper()
	arn, err := host.Add(Machine{Name: name, Definition: definition, Role: "arn:role", Clients: clients})
	require.NoError(t, err)
	return arn
}

// begin starts an execution and returns its ARN.
func begin(t testing.TB, client *sfn.Client, machine, name, input string) string {
	t.Helper()
	started, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name,
		Input: &input})
	require.NoError(t, err)
	return *started.ExecutionArn
}

// end is an execution once it has ended.
func end(t testing.TB, client *sfn.Client, arn string) *sfn.DescribeExecutionOutput {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		told, err := client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
		require.NoError(t, err)
		if told.Status != types.ExecutionStatusRunning {
			return told
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			require.Fail(t, "the execution does not end")
		}
	}
}

const (
	waiting  = `{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":1000,"End":true}}}`
	handsOn  = `{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Succeed"}}}`
	givingUp = `{"StartAt":"A","States":{"A":{"Type":"Fail","Error":"E","Cause":"C"}}}`
)

func TestExecutionsAreDescribedAndListed(t *testing.T) {
	host, client := start(t)
	machine := add(t, host, "m", handsOn, Clients{})
	assert.Equal(t, "arn:aws:states:eu-test-1:000000000000:stateMachine:m", machine)
	first := begin(t, client, machine, "first", `{"a":1}`)
	assert.Equal(t, "arn:aws:states:eu-test-1:000000000000:execution:m:first", first)
	told := end(t, client, first)
	assert.Equal(t, types.ExecutionStatusSucceeded, told.Status)
	assert.JSONEq(t, `{"a":1}`, *told.Output)
	assert.JSONEq(t, `{"a":1}`, *told.Input)
	assert.Equal(t, machine, *told.StateMachineArn)
	assert.Equal(t, "first", *told.Name)
	assert.False(t, told.StopDate.Before(*told.StartDate))
	assert.Nil(t, told.Error)

	started, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine})
	require.NoError(t, err)
	unnamed := end(t, client, *started.ExecutionArn)
	assert.Equal(t, "{}", *unnamed.Input)
	assert.Len(t, *unnamed.Name, 36)

	failing := add(t, host, "f", givingUp, Clients{})
	failed := end(t, client, begin(t, client, failing, "x", "{}"))
	assert.Equal(t, types.ExecutionStatusFailed, failed.Status)
	assert.Equal(t, []string{"E", "C"}, []string{*failed.Error, *failed.Cause})
	assert.Nil(t, failed.Output)

	listed, err := client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &machine,
		MaxResults: 1})
	require.NoError(t, err)
	require.Len(t, listed.Executions, 1)
	assert.Equal(t, *started.ExecutionArn, *listed.Executions[0].ExecutionArn, "the newest first")
	listed, err = client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &machine,
		NextToken: listed.NextToken})
	require.NoError(t, err)
	require.Len(t, listed.Executions, 1)
	assert.Equal(t, first, *listed.Executions[0].ExecutionArn)
	assert.Nil(t, listed.NextToken)
	listed, err = client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &machine,
		StatusFilter: types.ExecutionStatusFailed})
	require.NoError(t, err)
	assert.Empty(t, listed.Executions)

	described, err := client.DescribeStateMachine(t.Context(),
		&sfn.DescribeStateMachineInput{StateMachineArn: &machine})
	require.NoError(t, err)
	assert.JSONEq(t, handsOn, *described.Definition)
	assert.Equal(t, types.StateMachineTypeStandard, described.Type)
	machines, err := client.ListStateMachines(t.Context(), &sfn.ListStateMachinesInput{})
	require.NoError(t, err)
	assert.Len(t, machines.StateMachines, 2)
}

func TestHistory(t *testing.T) {
	s := serve(t)
	s.objects["b/k"] = "content"
	host, client := start(t)
	machine := add(t, host, "m", `{"StartAt":"Read","States":{"Read":{"Type":"Task","Resource":`+
		`"arn:aws:states:::aws-sdk:s3:getObject","Parameters":{"Bucket":"b","Key.$":"$.key"},"TimeoutSeconds":9,`+
		`"ResultSelector":{"text.$":"$.Body"},"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Lost"}],"End":true},`+
		`"Lost":{"Type":"Fail","Error":"Lost"}}}`, s.Clients)
	execution := begin(t, client, machine, "first", `{"key":"k"}`)
	assert.JSONEq(t, `{"text":"content"}`, *end(t, client, execution).Output)
	history, err := client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &execution})
	require.NoError(t, err)
	var seen []types.HistoryEventType
	for i, event := range history.Events {
		seen = append(seen, event.Type)
		assert.EqualValues(t, i+1, event.Id)
		assert.EqualValues(t, i, event.PreviousEventId)
	}
	assert.Equal(t, []types.HistoryEventType{"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted",
		"TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"}, seen)
	assert.JSONEq(t, `{"key":"k"}`, *history.Events[0].ExecutionStartedEventDetails.Input)
	assert.Equal(t, "Read", *history.Events[1].StateEnteredEventDetails.Name)
	scheduled := history.Events[2].TaskScheduledEventDetails
	assert.Equal(t, []string{"aws-sdk:s3", "getObject"}, []string{*scheduled.ResourceType, *scheduled.Resource})
	assert.JSONEq(t, `{"Bucket":"b","Key":"k"}`, *scheduled.Parameters)
	assert.EqualValues(t, 9, *scheduled.TimeoutInSeconds)
	assert.Contains(t, *history.Events[4].TaskSucceededEventDetails.Output, `"Body":"content"`)
	assert.JSONEq(t, `{"text":"content"}`, *history.Events[5].StateExitedEventDetails.Output)
	assert.JSONEq(t, `{"text":"content"}`, *history.Events[6].ExecutionSucceededEventDetails.Output)

	lost := begin(t, client, machine, "second", `{"key":"none"}`)
	assert.Equal(t, "Lost", *end(t, client, lost).Error)
	back, err := client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &lost,
		ReverseOrder: true, MaxResults: 4})
	require.NoError(t, err)
	require.Len(t, back.Events, 4)
	assert.Equal(t, "Lost", *back.Events[0].ExecutionFailedEventDetails.Error)
	assert.Equal(t, "Lost", *back.Events[1].StateEnteredEventDetails.Name)
	more, err := client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &lost,
		ReverseOrder: true, NextToken: back.NextToken})
	require.NoError(t, err)
	require.Len(t, more.Events, 4)
	assert.EqualValues(t, 4, more.Events[0].Id)
	failed := back.Events[3].TaskFailedEventDetails
	assert.Equal(t, "S3.NoSuchKeyException", *failed.Error)
	assert.Contains(t, *failed.Cause, "Service: S3")
	without, err := client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &lost,
		IncludeExecutionData: aws.Bool(false)})
	require.NoError(t, err)
	assert.Nil(t, without.Events[0].ExecutionStartedEventDetails.Input)
}

func TestNamesAreTakenOnce(t *testing.T) {
	host, client := start(t)
	machine := add(t, host, "m", waiting, Clients{})
	ask := func(name, input string) (*sfn.StartExecutionOutput, error) {
		return client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name,
			Input: &input})
	}
	first, err := ask("first", `{"a":1}`)
	require.NoError(t, err)
	again, err := ask("first", `{"a":1}`)
	require.NoError(t, err, "the same request while it runs is answered as before")
	assert.Equal(t, first.ExecutionArn, again.ExecutionArn)
	assert.Equal(t, first.StartDate, again.StartDate)
	var taken *types.ExecutionAlreadyExists
	_, err = ask("first", `{"a":2}`)
	require.ErrorAs(t, err, &taken)

	stopped, err := client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: first.ExecutionArn,
		Error: aws.String("Enough"), Cause: aws.String("of this")})
	require.NoError(t, err)
	told := end(t, client, *first.ExecutionArn)
	assert.Equal(t, types.ExecutionStatusAborted, told.Status)
	assert.Equal(t, []string{"Enough", "of this"}, []string{*told.Error, *told.Cause})
	assert.Equal(t, *stopped.StopDate, *told.StopDate)
	_, err = ask("first", `{"a":1}`)
	require.ErrorAs(t, err, &taken, "it has ended")
	again2, err := client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: first.ExecutionArn})
	require.NoError(t, err)
	assert.Equal(t, *told.StopDate, *again2.StopDate, "it stays as it ended")
}

func TestWhatIsWrongIsRefusedByName(t *testing.T) {
	host, client := start(t)
	machine := add(t, host, "m", handsOn, Clients{})
	begun := begin(t, client, machine, "x", "{}")
	startWith := func(arn, name, input string) func() error {
		return func() error {
			_, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &arn, Name: &name,
				Input: &input})
			return err
		}
	}
	for name, c := range map[string]struct {
		ask  func() error
		want any
	}{
		"no ARN":               {startWith("m", "a", "{}"), new(*types.InvalidArn)},
		"an execution's ARN":   {startWith(begun, "a", "{}"), new(*types.InvalidArn)},
		"an unknown machine":   {startWith(machine+"x", "a", "{}"), new(*types.StateMachineDoesNotExist)},
		"a name with a space":  {startWith(machine, "a b", "{}"), new(*types.InvalidName)},
		"a name with a slash":  {startWith(machine, "a/b", "{}"), new(*types.InvalidName)},
		"a name that is long":  {startWith(machine, strings.Repeat("a", 81), "{}"), new(*types.InvalidName)},
		"an input that is bad": {startWith(machine, "a", "{"), new(*types.InvalidExecutionInput)},
		"an input that is large": {startWith(machine, "a", `"`+strings.Repeat("x", 256<<10)+`"`),
			new(*types.InvalidExecutionInput)},
		"an unknown execution": {func() error {
			_, err := client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(begun +
				"y")})
			return err
		}, new(*types.ExecutionDoesNotExist)},
		"a token of nobody's": {func() error {
			_, err := client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &machine,
				NextToken: aws.String("x")})
			return err
		}, new(*types.InvalidToken)},
		"a status that is none": {func() error {
			_, err := client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &machine,
				StatusFilter: "DONE"})
			return err
		}, new(*types.ValidationException)},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorAs(t, c.ask(), c.want) })
	}
	_, err := host.Add(Machine{Name: "m", Definition: handsOn})
	require.ErrorContains(t, err, "it was added before")
	_, err = host.Add(Machine{Name: "p", Definition: `{"StartAt":"A","States":{"A":{"Type":"Parallel"}}}`})
	require.ErrorContains(t, err, `add state machine "p": state A.Type: got "Parallel"`)
}

func TestAMachineTakesSoManyExecutions(t *testing.T) {
	host, client := start(t)
	machine := add(t, host, "m", waiting, Clients{})
	for i := range maxUnderWay {
		begin(t, client, machine, fmt.Sprint(i), "{}")
	}
	_, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine})
	var tooMany *types.ExecutionLimitExceeded
	require.ErrorAs(t, err, &tooMany)
	host.Remove(machine)
	_, err = client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine})
	var unknown *types.StateMachineDoesNotExist
	require.ErrorAs(t, err, &unknown)
}

func TestStopEndsWhatRuns(t *testing.T) {
	host, err := Start(t.Context(), Options{Account: account, Region: region, AccessKeyID: "key"})
	require.NoError(t, err)
	client := sfn.NewFromConfig(at(host.Endpoint()))
	machine := add(t, host, "m", waiting, Clients{})
	begin(t, client, machine, "x", "{}")
	require.NoError(t, host.Stop(t.Context()))
	require.NoError(t, host.Stop(t.Context()))
	<-host.machines[machine].executions[0].ended
	<-host.Exited()
	require.NoError(t, host.Err())
}

func TestFunctionsAreInvoked(t *testing.T) {
	s := serve(t)
	host, client := start(t)
	machine := add(t, host, "m", `{"StartAt":"A","States":{"A":{"Type":"Task",`+
		`"Resource":"arn:aws:states:::lambda:invoke",`+
		`"Parameters":{"FunctionName":"refresh","Payload.$":"$"},"ResultSelector":{"answer.$":"$.Payload.version"},`+
		`"End":true}}}`,
		s.Clients)
	s.function = func(payload string) (string, string) {
		assert.JSONEq(t, `{"run":"r"}`, payload)
		return `{"version":12345678901234567890}`, ""
	}
	assert.JSONEq(t, `{"answer":12345678901234567890}`, *end(t, client, begin(t, client, machine, "a",
		`{"run":"r"}`)).Output)
	s.function = func(string) (string, string) {
		return `{"errorMessage":"no model","errorType":"RefusedError"}`, "Unhandled"
	}
	failed := end(t, client, begin(t, client, machine, "b", `{"run":"r"}`))
	assert.Equal(t, "RefusedError", *failed.Error)
	assert.Contains(t, *failed.Cause, "no model")
	nobody := add(t, host, "n", `{"StartAt":"A","States":{"A":{"Type":"Task",`+
		`"Resource":"arn:aws:states:::lambda:invoke",`+
		`"Parameters":{"FunctionName":"refresh"},"End":true}}}`, Clients{})
	failed = end(t, client, begin(t, client, nobody, "b", `{}`))
	assert.Equal(t, "Lambda.SdkClientException", *failed.Error)
	assert.Equal(t, []string{"Lambda"}, Services(host.machines[nobody].Definition))
	assert.Equal(t, []string{"Glue", "Lambda", "S3", "SNS"}, Services(batchDefinition(t)))
}

// jobs is a host of jobs in whose place of Python is a shell: each run does what the script says.
func jobs(t *testing.T, script string) *glue.Client {
	t.Helper()
	cache := t.TempDir()
	write := func(path, text string, mode os.FileMode) string {
		path = filepath.Join(cache, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	write("glue-jars-1/jdbc/driver.jar", "", 0o600)
	write("glue-jars-1/s3a/store.jar", "", 0o600)
	write("python-glue/bin/python", "#!/bin/sh\ncase $1 in\n-I) printf 'pyspark=p\\nboto3=b\\njdk4py=/java\\n' ;;\n"+
		"*) exec /bin/sh \"$@\" ;;\nesac\n", 0o700)
	t.Setenv("DIECAST_CACHE", cache)
	t.Setenv("DIECAST_GLUE_PYTHON", "")
	host, err := gluejobs.Start(t.Context(), gluejobs.Options{Account: account, Region: region, Dir: t.TempDir(),
		Credentials: aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, host.Stop(context.WithoutCancel(t.Context()))) })
	require.NoError(t, host.Add(gluejobs.Job{Name: "etl", Script: write("job.sh", script, 0o600), Timeout: time.Minute,
		MaxConcurrentRuns: 1}))
	return glue.NewFromConfig(at(host.Endpoint()))
}

func underWay(t *testing.T, client *glue.Client) string {
	t.Helper()
	var id string
	require.Eventually(t, func() bool {
		runs, err := client.GetJobRuns(t.Context(), &glue.GetJobRunsInput{JobName: aws.String("etl")})
		if err != nil || len(runs.JobRuns) == 0 || runs.JobRuns[0].JobRunState != gluetypes.JobRunStateRunning {
			return false
		}
		id = *runs.JobRuns[0].Id
		return true
	}, 10*time.Second, 5*time.Millisecond)
	return id
}

// The job's concurrency is the mutex: whoever comes second hears of the first, and fails.
func TestBatchPath_runsOneAtATime(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	s := serve(t)
	s.Glue = jobs(t, "while [ ! -e "+gate+" ]; do sleep 0.02; done\n")
	host, client := start(t)
	machine := add(t, host, "batch", batchDefinition(t), s.Clients)
	outcome := func(run string) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.objects["lake/ratings_ml_training/"+run+"/_outcome.json"] = published
	}
	outcome("first")
	first := begin(t, client, machine, "first", "{}")
	run := underWay(t, s.Glue)
	second := end(t, client, begin(t, client, machine, "second", "{}"))
	assert.Equal(t, types.ExecutionStatusFailed, second.Status)
	assert.Equal(t, "AnotherRun", *second.Error)
	assert.Contains(t, *second.Cause, "Run second did not begin")
	assert.Contains(t, *second.Cause, run+" of it is RUNNING since 20")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	assert.Equal(t, types.ExecutionStatusSucceeded, end(t, client, first).Status, "the second one did no harm")

	require.NoError(t, os.Remove(gate))
	_, err := s.Glue.StartJobRun(t.Context(), &glue.StartJobRunInput{JobName: aws.String("etl")})
	require.NoError(t, err)
	alone := underWay(t, s.Glue)
	third := end(t, client, begin(t, client, machine, "third", "{}"))
	assert.Equal(t, "AnotherRun", *third.Error)
	assert.Contains(t, *third.Cause, alone+" of it is RUNNING")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	s.mutex.Lock()
	defer s.mutex.Unlock()
	require.Len(t, s.told, 3)
	assert.Contains(t, s.told[1], "Run first is published. ")
}

// A run that nobody waits for any more is stopped.
func TestAnExecutionThatIsStoppedStopsItsRun(t *testing.T) {
	s := serve(t)
	s.Glue = jobs(t, "while :; do sleep 0.02; done\n")
	host, client := start(t)
	machine := add(t, host, "batch", batchDefinition(t), s.Clients)
	execution := begin(t, client, machine, "first", "{}")
	run := underWay(t, s.Glue)
	_, err := client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &execution})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		told, err := s.Glue.GetJobRun(t.Context(), &glue.GetJobRunInput{JobName: aws.String("etl"), RunId: &run})
		return err == nil && told.JobRun.JobRunState == gluetypes.JobRunStateStopped
	}, 10*time.Second, 5*time.Millisecond)
}

func TestAJobThatFailsTellsItsRun(t *testing.T) {
	s := serve(t)
	s.Glue = jobs(t, "echo 'Traceback (most recent call last):'; echo 'JobError: wrong'; exit 1\n")
	host, client := start(t)
	machine := add(t, host, "batch", batchDefinition(t), s.Clients)
	s.objects["lake/ratings_ml_training/first/_outcome.json"] =
		`{"status":"failed","stage":"quality","reason":"` + ratings + `"}`
	failed := end(t, client, begin(t, client, machine, "first", "{}"))
	assert.Equal(t, "RunFailed", *failed.Error)
	assert.Contains(t, *failed.Cause, ratings)
	assert.Regexp(t, `stream jr_[0-9a-f]+\.$`, *failed.Cause)
	failed = end(t, client, begin(t, client, machine, "second", "{}"))
	assert.Equal(t, "RunFailed", *failed.Error)
	assert.Contains(t, *failed.Cause, "could not be read (S3.NoSuchKeyException)")
	assert.Contains(t, *failed.Cause, "JobError: wrong")
}

// What the state machine costs beside the job: a job that ends at once, from the request to start
// until the end is known.
func BenchmarkBatchPathWithoutItsJob(b *testing.B) {
	s := serve(b)
	host, client := start(b)
	machine := add(b, host, "batch", batchDefinition(b), s.Clients)
	count := 0
	for b.Loop() {
		count++
		name := fmt.Sprint("run", count)
		s.mutex.Lock()
		s.objects["lake/ratings_ml_training/"+name+"/_outcome.json"] = published
		s.mutex.Unlock()
		told := end(b, client, begin(b, client, machine, name, "{}"))
		require.Equal(b, types.ExecutionStatusSucceeded, told.Status, "%s", aws.ToString(told.Cause))
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/execution")
}
