package gluejobs

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
)

// shell stands in for Python with Spark in it: scripts are then the shell's, and start in no time.
const shell = `#!/bin/sh
case $1 in
-I) printf 'pyspark=p\nboto3=b\njdk4py=/java\n' ;;
*) exec /bin/sh "$@" ;;
esac
`

// install pretends that everything is installed, and returns the folder of `make setup`.
func install(t *testing.T) string {
	t.Helper()
	cache := t.TempDir()
	write(t, filepath.Join(cache, jarsFolder, "jdbc", "driver.jar"), "", 0o600)
	write(t, filepath.Join(cache, jarsFolder, "s3a", "store.jar"), "", 0o600)
	write(t, filepath.Join(cache, "python-glue", "bin", "python"), shell, 0o700)
	t.Setenv("DIECAST_CACHE", cache)
	t.Setenv("DIECAST_GLUE_PYTHON", "")
	return cache
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), mode))
}

func options(t *testing.T) Options {
	return Options{
		Account: "000000000000", Region: "eu-test-1", Dir: t.TempDir(),
		Credentials: aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"},
		Environment: map[string]string{s3Endpoint: "http://127.0.0.1:1"},
	}
}

func start(t *testing.T, options Options) (*Host, *glue.Client) {
	t.Helper()
	host, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, stop(host)) })
	return host, glue.New(glue.Options{
		Region: "eu-test-1", BaseEndpoint: aws.String(host.Endpoint()),
		Credentials: credentials.StaticCredentialsProvider{Value: options.Credentials},
	})
}

func stop(host *Host) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return host.Stop(ctx)
}

// add makes a job of a script.
func add(t *testing.T, host *Host, script string, change func(*Job)) {
	t.Helper()
	made := Job{Name: "etl", Script: filepath.Join(t.TempDir(), "job.sh"), Timeout: time.Minute, MaxConcurrentRuns: 1}
	write(t, made.Script, script, 0o600)
	if change != nil {
		change(&made)
	}
	require.NoError(t, host.Add(made))
}

func begin(t *testing.T, client *glue.Client, arguments map[string]string) string {
	t.Helper()
	started, err := client.StartJobRun(t.Context(), &glue.StartJobRunInput{
		JobName: aws.String("etl"), Arguments: arguments,
	})
	require.NoError(t, err)
	return *started.JobRunId
}

// ended is a run once it has ended.
func ended(t *testing.T, host *Host, client *glue.Client, id string) *types.JobRun {
	t.Helper()
	host.mutex.Lock()
	for _, one := range host.jobs["etl"].runs {
		if one.id == id {
			defer func() { <-one.ended }()
		}
	}
	host.mutex.Unlock()
	for {
		told, err := client.GetJobRun(t.Context(), &glue.GetJobRunInput{JobName: aws.String("etl"), RunId: &id})
		require.NoError(t, err)
		if state := told.JobRun.JobRunState; state != types.JobRunStateStarting && state != types.JobRunStateRunning {
			return told.JobRun
		}
	}
}

func log(t *testing.T, host *Host, id string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(host.options.Dir, id, logName))
	require.NoError(t, err)
	return string(text)
}

func TestRun_hasItsArgumentsAndEnvironmentAndNothingElse(t *testing.T) {
	install(t)
	t.Setenv("LEAKED", "yes")
	host, client := start(t, options(t))
	add(t, host, `echo "$@"; env; pwd; cat "$SPARK_CONF_DIR/spark-defaults.conf"`, func(j *Job) {
		j.Arguments = map[string]string{"--bucket": "lake", "--rows": "1",
			"--conf": "spark.a=b c --conf spark.driver.memory=2g --conf spark.sql.adaptive.enabled=true"}
		j.Environment = map[string]string{"DATABASE_TLS": "off", s3Endpoint: "http://elsewhere"}
	})
	id := begin(t, client, map[string]string{"--rows": "2", "--more": "two words"})
	run := ended(t, host, client, id)
	assert.Equal(t, types.JobRunStateSucceeded, run.JobRunState)
	assert.Equal(t, map[string]string{"--rows": "2", "--more": "two words"}, run.Arguments,
		"as Glue, what the run was given")
	text := log(t, host, id)
	assert.Contains(t, text,
		"--JOB_NAME etl --JOB_ID etl --JOB_RUN_ID "+id+" --bucket lake --more two words --rows 2\n")
	for _, line := range []string{
		"DATABASE_TLS=off", "AWS_ENDPOINT_URL_S3=http://127.0.0.1:1", "AWS_REGION=eu-test-1", "AWS_ACCESS_KEY_ID=key",
		"AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true", "SPARK_LOCAL_IP=127.0.0.1",
		"spark.a b c", "spark.driver.memory 2g", "spark.hadoop.fs.s3a.endpoint http://127.0.0.1:1",
		"spark.hadoop.fs.s3.impl org.apache.hadoop.fs.s3a.S3AFileSystem", "spark.sql.adaptive.enabled true",
		"spark.sql.shuffle.partitions 2",
	} {
		assert.Contains(t, text, line+"\n")
	}
	assert.Regexp(t, `spark.jars \S+/jdbc/driver.jar,\S+/s3a/store.jar\n`, text)
	assert.NotContains(t, text, "LEAKED")
	assert.NoDirExists(t, filepath.Join(host.options.Dir, id, "scratch"), "what is temporary goes with the run")
}

func TestRun_goesThroughItsStates(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	waiting := filepath.Join(t.TempDir(), "wait")
	require.NoError(t, syscall.Mkfifo(waiting, 0o600))
	add(t, host, "read line < "+waiting, nil)
	id := begin(t, client, nil)
	require.Eventually(t, func() bool {
		told, err := client.GetJobRun(t.Context(), &glue.GetJobRunInput{JobName: aws.String("etl"), RunId: &id})
		return err == nil && told.JobRun.JobRunState == types.JobRunStateRunning
	}, 10*time.Second, time.Millisecond)
	write(t, waiting, "go on\n", 0o600)
	run := ended(t, host, client, id)
	assert.Equal(t, types.JobRunStateSucceeded, run.JobRunState)
	assert.Equal(t, id, *run.Id)
	assert.Equal(t, "etl", *run.JobName)
	assert.EqualValues(t, 1, *run.Timeout, "in minutes")
	assert.Equal(t, "5.1", *run.GlueVersion)
	assert.Nil(t, run.ErrorMessage)
	assert.WithinDuration(t, time.Now(), *run.StartedOn, time.Minute)
	assert.False(t, run.CompletedOn.Before(*run.StartedOn))
	assert.GreaterOrEqual(t, run.ExecutionTime, int32(0))
}

func TestRun_thatFailsTellsItsException(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	add(t, host, `echo "$2" >&2; cat <<'END'
Traceback (most recent call last):
  File "job.py", line 1, in <module>
KeyError: 'first'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "job.py", line 2, in <module>
    fail()
__main__.JobError: ratings: 3 of 4 rows break a rule:
  ratings.productRating: range
END
exit 1`, nil)
	run := ended(t, host, client, begin(t, client, nil))
	assert.Equal(t, types.JobRunStateFailed, run.JobRunState)
	assert.Equal(t, "JobError: ratings: 3 of 4 rows break a rule:\n  ratings.productRating: range", *run.ErrorMessage)

	t.Run("or its exit and its log, where there is none", func(t *testing.T) {
		host.Remove("etl")
		add(t, host, "exit 3", nil)
		id := begin(t, client, nil)
		run := ended(t, host, client, id)
		assert.Equal(t, types.JobRunStateFailed, run.JobRunState)
		assert.Equal(t, "exit status 3; its log: "+filepath.Join(host.options.Dir, id, logName), *run.ErrorMessage)
	})
}

func TestRun_thatTakesTooLongIsKilledWithWhatItStarted(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	add(t, host, "sleep 3600 & echo $!; wait", func(j *Job) { j.Timeout = 200 * time.Millisecond })
	id := begin(t, client, nil)
	run := ended(t, host, client, id)
	assert.Equal(t, types.JobRunStateTimeout, run.JobRunState)
	assert.Contains(t, *run.ErrorMessage, "longer than its time-out of 200ms")
	assertGone(t, log(t, host, id))
}

// assertGone wants the process whose number was written to be gone: nobody waits for it but init.
func assertGone(t *testing.T, text string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	require.NoError(t, err)
	assert.Eventually(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, 10*time.Second, time.Millisecond)
}

func TestStop_leavesNothingRunning(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	add(t, host, "sleep 3600 & echo $!; wait", nil)
	id := begin(t, client, nil)
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(filepath.Join(host.options.Dir, id, logName))
		return err == nil && strings.HasSuffix(string(text), "\n")
	}, 10*time.Second, time.Millisecond)
	one := host.jobs["etl"].runs[0]
	require.NoError(t, stop(host))
	assert.Equal(t, stopped, one.state)
	assertGone(t, log(t, host, id))
	_, err := net.DialTimeout("tcp", strings.TrimPrefix(host.Endpoint(), "http://"), time.Second)
	require.Error(t, err, "nobody listens")
	require.NoError(t, stop(host), "stopping twice does nothing")
	<-host.Exited()
	require.NoError(t, host.Err(), "it was asked to end")
}

func TestRemove_endsAJobsRunsAndForgetsIt(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	add(t, host, "sleep 3600", nil)
	begin(t, client, nil)
	one := host.jobs["etl"].runs[0]
	host.Remove("etl")
	assert.False(t, one.underWay())
	assert.Equal(t, stopped, one.state)
	_, err := client.StartJobRun(t.Context(), &glue.StartJobRunInput{JobName: aws.String("etl")})
	var gone *types.EntityNotFoundException
	require.ErrorAs(t, err, &gone)
	host.Remove("etl")
}

func TestStart_endsWhatAKilledHostLeft(t *testing.T) {
	install(t)
	options := options(t)
	host, client := start(t, options)
	add(t, host, "exec sleep 3600", nil)
	id := begin(t, client, nil)
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(filepath.Join(options.Dir, id, "job.pid"))
		return err == nil && strings.Count(string(text), "\n") > 0
	}, 10*time.Second, time.Millisecond)
	one := host.jobs["etl"].runs[0]
	start(t, options)
	<-one.ended
	assert.Equal(t, failed, one.state)
	assert.NoDirExists(t, filepath.Join(options.Dir, id, "conf"))
}

func TestBatchStopJobRun(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	add(t, host, "sleep 3600", nil)
	id := begin(t, client, nil)
	answer, err := client.BatchStopJobRun(t.Context(), &glue.BatchStopJobRunInput{
		JobName: aws.String("etl"), JobRunIds: []string{id, "jr_none"},
	})
	require.NoError(t, err)
	require.Len(t, answer.SuccessfulSubmissions, 1)
	assert.Equal(t, id, *answer.SuccessfulSubmissions[0].JobRunId)
	require.Len(t, answer.Errors, 1)
	assert.Equal(t, "EntityNotFoundException", *answer.Errors[0].ErrorDetail.ErrorCode)
	assert.Equal(t, types.JobRunStateStopped, ended(t, host, client, id).JobRunState)
}

func TestStartJobRun_oneTooMany(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	waiting := filepath.Join(t.TempDir(), "wait")
	require.NoError(t, syscall.Mkfifo(waiting, 0o600))
	add(t, host, "read line < "+waiting, func(j *Job) { j.MaxConcurrentRuns = 2 })
	first, second := begin(t, client, nil), begin(t, client, nil)
	_, err := client.StartJobRun(t.Context(), &glue.StartJobRunInput{JobName: aws.String("etl")})
	var refused *types.ConcurrentRunsExceededException
	require.ErrorAs(t, err, &refused)
	assert.Contains(t, *refused.Message, "2 under way, 2 allowed")
	_, err = client.BatchStopJobRun(t.Context(), &glue.BatchStopJobRunInput{
		JobName: aws.String("etl"), JobRunIds: []string{first},
	})
	require.NoError(t, err)
	ended(t, host, client, first)
	begin(t, client, nil)
	_, err = client.BatchStopJobRun(t.Context(), &glue.BatchStopJobRunInput{
		JobName: aws.String("etl"), JobRunIds: []string{second},
	})
	require.NoError(t, err)
}

func TestAPI_refuses(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	add(t, host, "exit 0", nil)
	etl := aws.String("etl")
	code := func(err error) string {
		var answered interface{ ErrorCode() string }
		require.ErrorAs(t, err, &answered)
		return answered.ErrorCode()
	}
	tests := map[string]struct {
		want string
		call func() error
	}{
		"a job that is not there": {"EntityNotFoundException", func() error {
			_, err := client.StartJobRun(t.Context(), &glue.StartJobRunInput{JobName: aws.String("other")})
			return err
		}},
		"a run that is not there": {"EntityNotFoundException", func() error {
			_, err := client.GetJobRun(t.Context(), &glue.GetJobRunInput{JobName: etl, RunId: aws.String("jr_0")})
			return err
		}},
		"runs of a job that is not there": {"EntityNotFoundException", func() error {
			_, err := client.GetJobRuns(t.Context(), &glue.GetJobRunsInput{JobName: aws.String("other")})
			return err
		}},
		"no time": {"InvalidInputException", func() error {
			_, err := client.StartJobRun(t.Context(), &glue.StartJobRunInput{JobName: etl, Timeout: aws.Int32(0)})
			return err
		}},
		"more time than there is": {"InvalidInputException", func() error {
			_, err := client.StartJobRun(t.Context(), &glue.StartJobRunInput{JobName: etl, Timeout: aws.Int32(10_081)})
			return err
		}},
		"a Spark setting that is none": {"InvalidInputException", func() error {
			_, err := client.StartJobRun(t.Context(), &glue.StartJobRunInput{
				JobName: etl, Arguments: map[string]string{"--conf": "x"},
			})
			return err
		}},
		"a place in a queue": {"InvalidInputException", func() error {
			_, err := client.StartJobRun(t.Context(), &glue.StartJobRunInput{
				JobName: etl, JobRunQueuingEnabled: aws.Bool(true),
			})
			return err
		}},
		"what would not be honoured": {"InvalidInputException", func() error {
			_, err := client.StartJobRun(t.Context(), &glue.StartJobRunInput{
				JobName: etl, JobRunId: aws.String("jr_0"),
			})
			return err
		}},
		"too many results": {"InvalidInputException", func() error {
			_, err := client.GetJobRuns(t.Context(), &glue.GetJobRunsInput{JobName: etl, MaxResults: aws.Int32(201)})
			return err
		}},
		"a token of somebody else": {"InvalidInputException", func() error {
			_, err := client.GetJobRuns(t.Context(), &glue.GetJobRunsInput{JobName: etl, NextToken: aws.String("9")})
			return err
		}},
		"an operation that is not there": {"UnknownOperationException", func() error {
			_, err := client.GetJobs(t.Context(), &glue.GetJobsInput{})
			return err
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.call()
			require.Error(t, err)
			assert.Equal(t, test.want, code(err))
		})
	}
	assert.Empty(t, host.jobs["etl"].runs, "nothing was started")
}

// The protocol, as a program without the SDK sees it.
func TestAPI_speaksJSON11(t *testing.T) {
	install(t)
	host, _ := start(t, options(t))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, host.Endpoint(),
		strings.NewReader(`{"JobName":"none"}`))
	require.NoError(t, err)
	request.Header.Set("X-Amz-Target", "AWSGlue.StartJobRun")
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+host.options.Credentials.AccessKeyID+"/1")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadRequest, answer.StatusCode)
	assert.Equal(t, "application/x-amz-json-1.1", answer.Header.Get("Content-Type"))
	var told map[string]string
	require.NoError(t, json.Unmarshal(body, &told))
	assert.Equal(t, "EntityNotFoundException", told["__type"])
	assert.Contains(t, told["Message"], `no job is called "none"`)
}

func TestGetJobRuns_newestFirstAndPageByPage(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	add(t, host, "exit 0", nil)
	var begun []string
	for range 3 {
		id := begin(t, client, nil)
		ended(t, host, client, id)
		begun = append([]string{id}, begun...)
	}
	var told []string
	pages := glue.NewGetJobRunsPaginator(client, &glue.GetJobRunsInput{
		JobName: aws.String("etl"), MaxResults: aws.Int32(2),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, one := range page.JobRuns {
			told = append(told, *one.Id)
		}
	}
	assert.Equal(t, begun, told)
}

func TestAdd_namesEveryProblem(t *testing.T) {
	install(t)
	host, _ := start(t, options(t))
	err := host.Add(Job{Script: "nowhere.py", Arguments: map[string]string{"--conf": "master=local"}})
	for _, want := range []string{
		"a name of 0 characters", "time-out 0s", "0 concurrent runs", `argument --conf has "master=local"`,
		"there is no script nowhere.py",
	} {
		require.ErrorContains(t, err, want)
	}
	add(t, host, "exit 0", nil)
	again := Job{Name: "etl", Script: host.jobs["etl"].Script, Timeout: time.Minute, MaxConcurrentRuns: 1}
	require.ErrorContains(t, host.Add(again), "it was added before")
}

func TestInstalled_namesWhatIsMissing(t *testing.T) {
	cache := install(t)
	require.NoError(t, Installed(t.Context()))

	write(t, filepath.Join(cache, "python-glue", "bin", "python"), "#!/bin/sh\necho boto3=b\n", 0o700)
	require.NoError(t, os.RemoveAll(filepath.Join(cache, jarsFolder, "s3a")))
	err := Installed(t.Context())
	require.ErrorIs(t, err, installed.ErrNotInstalled)
	require.ErrorContains(t, err, "the jars of the jobs' Spark is not installed: run `make setup`")
	require.ErrorContains(t, err, "the Python package pyspark is not installed: run `make setup`")
	assert.NotContains(t, err.Error(), "boto3 is")

	require.NoError(t, os.RemoveAll(filepath.Join(cache, "python-glue")))
	require.ErrorContains(t, Installed(t.Context()),
		"the Python environment of the jobs is not installed: run `make setup`")
}

func TestJava_isTheMachinesOwnOrTheOneThatWasBrought(t *testing.T) {
	cache := install(t)
	t.Setenv("PATH", "/nowhere")
	t.Setenv("JAVA_HOME", t.TempDir())
	machine := func(version, java string) {
		write(t, filepath.Join(os.Getenv("JAVA_HOME"), "release"), "JAVA_VERSION=\""+version+"\"\n", 0o600)
		found, err := find(t.Context())
		require.NoError(t, err)
		assert.Equal(t, java, found.java, version)
	}
	machine("17.0.9", os.Getenv("JAVA_HOME"))
	machine("21.0.1", "/java/java-runtime")
	write(t, filepath.Join(cache, "python-glue", "bin", "python"), "#!/bin/sh\nprintf 'pyspark=p\\nboto3=b\\n'\n",
		0o700)
	require.ErrorContains(t, Installed(t.Context()), "Java 17 is not installed: run `make setup`")
}
