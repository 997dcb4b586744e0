package etl

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/stepfunctions"
	"diecast/internal/trainingset"
	"diecast/test/contracts"
)

// world is a deployment: a lake, a job whose runs a test writes, and a state machine.
type world struct {
	Target
	mutex   sync.Mutex
	objects map[string]string
	// jobRuns are JSON, the newest first.
	jobRuns []string
	// asked is called before an object is read or written.
	asked func(method, key string)
	// lost says that the answer to the next write of the pointer is lost, though it is written.
	lost bool
}

func start(t *testing.T, definition string) *world {
	t.Helper()
	w := &world{objects: map[string]string{}, asked: func(string, string) {}}
	server := httptest.NewServer(http.HandlerFunc(w.answer))
	t.Cleanup(server.Close)
	at := func(endpoint string) aws.Config {
		return aws.Config{Region: "eu-test-1", BaseEndpoint: &endpoint, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")}
	}
	host, err := stepfunctions.Start(t.Context(),
		stepfunctions.Options{Account: "000000000000", Region: "eu-test-1", AccessKeyID: "key"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, host.Stop(context.WithoutCancel(t.Context()))) })
	buckets := s3.NewFromConfig(at(server.URL), func(options *s3.Options) { options.UsePathStyle = true })
	machine, err := host.Add(stepfunctions.Machine{Name: "batch", Definition: definition,
		Clients: stepfunctions.Clients{S3: buckets}})
	require.NoError(t, err)
	w.Target = Target{Machines: sfn.NewFromConfig(at(host.Endpoint())), Jobs: glue.NewFromConfig(at(server.URL)),
		Buckets: buckets, Machine: machine, Job: "etl", Lake: "lake", Region: "eu-test-1", Pause: 5 * time.Millisecond}
	return w
}

func tagOf(content string) string {
	sum := md5.Sum([]byte(content))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func (w *world) answer(response http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "AWSGlue.GetJobRuns" {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		fmt.Fprintf(response, `{"JobRuns":[%s]}`, strings.Join(w.jobRuns, ","))
		return
	}
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/lake"), "/")
	w.asked(r.Method, key)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	content, found := w.objects[key]
	refuse := func(status int, code string) {
		response.WriteHeader(status)
		fmt.Fprintf(response, `<Error><Code>%s</Code><Message>m</Message></Error>`, code)
	}
	switch {
	case r.Method == http.MethodGet && key == "":
		w.list(response, r.URL.Query().Get("prefix"), r.URL.Query().Get("delimiter"))
	case r.Method == http.MethodGet && !found:
		refuse(http.StatusNotFound, "NoSuchKey")
	case r.Method == http.MethodGet:
		response.Header().Set("ETag", tagOf(content))
		fmt.Fprint(response, content)
	case r.Header.Get("If-None-Match") == "*" && found,
		r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != tagOf(content):
		refuse(http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		body, _ := io.ReadAll(r.Body)
		w.objects[key] = string(body)
		if key == pointer && w.lost {
			w.lost = false
			refuse(http.StatusInternalServerError, "InternalError")
		}
	}
}

func (w *world) list(response io.Writer, prefix, delimiter string) {
	type content struct {
		Key  string
		Size int
	}
	type common struct{ Prefix string }
	answer := struct {
		XMLName        xml.Name  `xml:"ListBucketResult"`
		Contents       []content `xml:"Contents"`
		CommonPrefixes []common  `xml:"CommonPrefixes"`
	}{}
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		rest, below := strings.CutPrefix(key, prefix)
		if !below {
			continue
		}
		if at := strings.Index(rest, "/"); delimiter != "" && at >= 0 {
			if folder := (common{prefix + rest[:at+1]}); !slices.Contains(answer.CommonPrefixes, folder) {
				answer.CommonPrefixes = append(answer.CommonPrefixes, folder)
			}
			continue
		}
		answer.Contents = append(answer.Contents, content{key, len(w.objects[key])})
	}
	_ = xml.NewEncoder(response).Encode(answer)
}

// keep puts a complete run into the lake: the golden example of a manifest, with files of its
// sizes.
func (w *world) keep(t *testing.T, id string) trainingset.Manifest {
	t.Helper()
	text := contracts.Load(t, "training_set_manifest").Example(t, "job")
	var document map[string]any
	require.NoError(t, json.Unmarshal(text, &document))
	document["run_id"] = id
	text, err := json.Marshal(document)
	require.NoError(t, err)
	manifest, err := trainingset.Decode(text)
	require.NoError(t, err)
	w.objects[folder(id)+trainingset.ManifestName] = string(text)
	for _, table := range manifest.Tables.All() {
		for _, file := range table.Files {
			w.objects[folder(id)+file.Path] = strings.Repeat("x", int(file.Bytes))
		}
	}
	w.tell(t, id, "published")
	return manifest
}

// tell puts a run's outcome into the lake: a golden example.
func (w *world) tell(t *testing.T, id, example string) {
	t.Helper()
	text := string(contracts.Load(t, "training_set_outcome").Example(t, example))
	w.objects[folder(id)+trainingset.OutcomeName] = strings.ReplaceAll(text, "20260301T090000Z-0a1b2c3d", id)
}

// pointTo publishes a run as the job does.
func (w *world) pointTo(id string) {
	sum := sha256.Sum256([]byte(w.objects[folder(id)+trainingset.ManifestName]))
	w.objects[pointer] = fmt.Sprintf(`{"schema_version":1,"run_id":%q,"published_at":"2026-03-01T09:00:00Z",`+
		`"manifest_sha256":%q}`, id, hex.EncodeToString(sum[:]))
}

func (w *world) pointsTo(t *testing.T) string {
	t.Helper()
	published, err := trainingset.DecodePublished([]byte(w.objects[pointer]))
	require.NoError(t, err)
	return published.RunID
}

const (
	succeeds = `{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`
	fails    = `{"StartAt":"A","States":{"A":{"Type":"Fail","Error":"AnotherRun","Cause":"jr_0 is running"}}}`
	reads    = `{"StartAt":"Run job","States":{"Run job":{"Type":"Task",` +
		`"Resource":"arn:aws:states:::aws-sdk:s3:getObject",` +
		`"Parameters":{"Bucket":"lake","Key":"gate"},"End":true}}}`
)

func TestAnExecutionIsFollowedToItsEnd(t *testing.T) {
	w := start(t, reads)
	gate := make(chan struct{})
	w.objects["gate"] = "open"
	w.asked = func(_, key string) {
		if key == "gate" {
			<-gate
		}
	}
	execution, err := w.Start(t.Context(), Arguments(map[string]string{"strategy": "latest", "since": ""}))
	require.NoError(t, err)
	assert.Regexp(t, `^20\d{6}T\d{6}Z-[0-9a-f]{8}$`, execution.Run)
	told, err := w.Machines.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &execution.ARN})
	require.NoError(t, err)
	assert.JSONEq(t, `{"arguments":{"--strategy":"latest"}}`, *told.Input)
	assert.Equal(t, execution.Run, *told.Name, "the run has the execution's name")
	w.mutex.Lock()
	w.jobRuns = []string{
		`{"Id":"jr_2","JobRunState":"RUNNING","Arguments":{"--run-id":"another"}}`,
		`{"Id":"jr_1","JobRunState":"RUNNING","ExecutionTime":90,"MaxCapacity":2,"ExecutionClass":"FLEX",` +
			`"DPUSeconds":170,` +
			`"Arguments":{"--run-id":"` + execution.Run + `"}}`,
	}
	w.tell(t, execution.Run, "published")
	w.mutex.Unlock()
	var seen []Progress
	var once sync.Once
	report, err := w.Watch(t.Context(), execution, func(now Progress) {
		seen = append(seen, now)
		if now.State != "" {
			once.Do(func() { close(gate) })
		}
	})
	require.NoError(t, err)
	assert.Contains(t, seen, Progress{State: "Run job", Job: "RUNNING", Stage: "prune"})
	assert.True(t, report.Succeeded())
	assert.Equal(t, int64(2492), report.Outcome.Rows.Published["ratings"])
	assert.InDelta(t, 170./3600*0.29, report.Cost.USD, 1e-9)
	assert.Equal(t, &Cost{DPUSeconds: 170, USD: report.Cost.USD, Region: "us-east-1", Class: "FLEX"}, report.Cost)
}

func TestAnExecutionThatFailsSaysWhy(t *testing.T) {
	w := start(t, fails)
	execution, err := w.Start(t.Context(), nil)
	require.NoError(t, err)
	told, err := w.Machines.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &execution.ARN})
	require.NoError(t, err)
	assert.JSONEq(t, `{"arguments":{}}`, *told.Input, "no arguments are none, not null")
	report, err := w.Watch(t.Context(), execution, func(Progress) {})
	require.NoError(t, err)
	assert.False(t, report.Succeeded())
	assert.Equal(t, []string{"FAILED", "AnotherRun", "jr_0 is running"},
		[]string{report.Status, report.Error, report.Cause})
	assert.Nil(t, report.Outcome, "the run has told nothing")
	assert.Nil(t, report.Cost, "no run of the job began")
}

func TestNobodyWaitsForEver(t *testing.T) {
	w := start(t, reads)
	gate := make(chan struct{})
	w.objects["gate"] = "open"
	w.asked = func(_, key string) {
		if key == "gate" {
			<-gate
		}
	}
	execution, err := w.Start(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = w.Watch(ctx, execution, func(Progress) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	told, err := w.Machines.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &execution.ARN})
	require.NoError(t, err)
	assert.EqualValues(t, "RUNNING", told.Status, "the execution goes on")
	close(gate)
	_, err = w.Watch(t.Context(), Execution{Run: "none", ARN: execution.ARN + "x"}, func(Progress) {})
	require.ErrorContains(t, err, "execution none: ")
}

func TestCost(t *testing.T) {
	run := func(class gluetypes.ExecutionClass, seconds int32, used *float64) *gluetypes.JobRun {
		return &gluetypes.JobRun{ExecutionClass: class, ExecutionTime: seconds, MaxCapacity: aws.Float64(2),
			DPUSeconds: used}
	}
	for name, c := range map[string]struct {
		run       *gluetypes.JobRun
		used, usd float64
	}{
		"five minutes, as documented": {run("STANDARD", 300, nil), 600, 0.0733333},
		"no class is the standard":    {run("", 3600, nil), 7200, 0.88},
		"Flex tells what it used":     {run("FLEX", 3600, aws.Float64(5000)), 5000, 0.4027778},
		"a minute at least":           {run("STANDARD", 10, nil), 20, 0.0146667},
		"nothing before it begins":    {run("FLEX", 0, nil), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cost := costOf(c.run, "eu-west-1")
			assert.InDelta(t, c.used, cost.DPUSeconds, 1e-6)
			assert.InDelta(t, c.usd, cost.USD, 1e-6)
			assert.Equal(t, "us-east-1", cost.Region, "whose price it is")
		})
	}
	assert.Equal(t, &Cost{}, costOf(run("FLEX", 300, nil), ""), "this machine is not paid for")
}

func TestRunsAreListed(t *testing.T) {
	w := start(t, succeeds)
	runs, err := w.Runs(t.Context())
	require.NoError(t, err)
	assert.Empty(t, runs)

	manifest := w.keep(t, "one")
	w.keep(t, "two")
	w.pointTo("one")
	w.tell(t, "bad", "failed")
	w.tell(t, "killed", "running")
	w.objects[folder("odd")+trainingset.OutcomeName] = "{"
	w.objects[folder("two")+trainingset.OutcomeName] =
		strings.ReplaceAll(w.objects[folder("two")+trainingset.OutcomeName], "T09:", "T10:")
	runs, err = w.Runs(t.Context())
	require.NoError(t, err)
	var ids []string
	byID := map[string]Run{}
	for _, run := range runs {
		ids = append(ids, run.ID)
		byID[run.ID] = run
	}
	assert.Equal(t, []string{"two", "one", "killed", "bad", "odd"}, ids, "the newest first")
	assert.Equal(t, Run{ID: "one", Published: true, Complete: true, Status: trainingset.Succeeded, Stage: "prune",
		StartedAt: byID["one"].StartedAt, Strategy: manifest.Strategy, Ratings: manifest.Tables.Ratings.Rows},
		byID["one"])
	assert.False(t, byID["two"].Published)
	assert.Equal(t, trainingset.Failed, byID["bad"].Status)
	assert.False(t, byID["bad"].Complete)
	assert.Contains(t, byID["odd"].Problem, "s3://lake/ratings_ml_training/odd/_outcome.json")
}

func TestStatus(t *testing.T) {
	w := start(t, fails)
	status, err := w.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Status{}, status)
	execution, err := w.Start(t.Context(), nil)
	require.NoError(t, err)
	_, err = w.Watch(t.Context(), execution, func(Progress) {})
	require.NoError(t, err)
	w.keep(t, "one")
	w.pointTo("one")
	w.jobRuns = []string{`{"Id":"jr_1","JobRunState":"WAITING","StartedOn":1700000000,"Arguments":{"--run-id":"r"}}`}
	status, err = w.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "one", status.Published.RunID)
	assert.Equal(t, &JobRun{ID: "jr_1", Run: "r", State: "WAITING", Since: status.UnderWay.Since}, status.UnderWay)
	require.Len(t, status.Executions, 1)
	assert.Equal(t, []string{execution.Run, "FAILED", "jr_0 is running"},
		[]string{status.Executions[0].Run, status.Executions[0].Status, status.Executions[0].Cause})
	assert.NotNil(t, status.Executions[0].EndedAt)
}

func TestARunIsPublishedAgain(t *testing.T) {
	w := start(t, succeeds)
	manifest := w.keep(t, "old")
	w.keep(t, "new")
	w.pointTo("new")
	w.jobRuns = []string{`{"Id":"jr_1","JobRunState":"SUCCEEDED","StartedOn":1700000000}`}
	done, err := w.Publish(t.Context(), "old")
	require.NoError(t, err)
	assert.Equal(t, "old", w.pointsTo(t))
	assert.Equal(t, []string{"old", "new"}, []string{done.Run, done.Before})
	assert.Len(t, done.Tables, len(manifest.Tables.All()))
	assert.Contains(t, done.Tables, "ratings_ml_training")
	for name, table := range manifest.Tables.All() {
		var want strings.Builder
		for _, file := range table.Files {
			want.WriteString("s3://lake/ratings_ml_training/old/" + file.Path + "\n")
		}
		assert.Equal(t, want.String(), w.objects[trainingset.CatalogueFolder(name, manifest.Format)+"/symlink.txt"],
			name)
	}
	assert.Empty(t, w.objects["catalogue/ratings_ml_training_average/symlink.txt"], "these are no means")
	assert.Contains(t, w.objects, "catalogue/ratings_ml_training_average/symlink.txt")

	before := w.objects[pointer]
	delete(w.objects, "catalogue/ratings_ml_training/symlink.txt")
	done, err = w.Publish(t.Context(), "old")
	require.NoError(t, err)
	assert.Equal(t, "old", done.Before)
	assert.Equal(t, before, w.objects[pointer], "it names the run already")
	assert.Contains(t, w.objects, "catalogue/ratings_ml_training/symlink.txt", "the list is mended")

	delete(w.objects, pointer)
	done, err = w.Publish(t.Context(), "new")
	require.NoError(t, err)
	assert.Empty(t, done.Before)
	assert.Equal(t, "new", w.pointsTo(t))
}

// The client asks once more, and the condition refuses what it has written itself.
func TestARunIsPublishedThoughTheAnswerIsLost(t *testing.T) {
	w := start(t, succeeds)
	w.keep(t, "old")
	w.keep(t, "new")
	w.pointTo("new")
	options := w.Buckets.Options()
	options.RetryMaxAttempts = 2
	options.Retryer = retry.NewStandard(func(options *retry.StandardOptions) { options.MaxBackoff = time.Millisecond })
	w.Buckets = s3.New(options)
	w.lost = true
	done, err := w.Publish(t.Context(), "old")
	require.NoError(t, err)
	assert.False(t, w.lost)
	assert.Equal(t, []string{"old", "new"}, []string{done.Run, done.Before})
	assert.Equal(t, "old", w.pointsTo(t))
}

func TestWhatCannotBePublishedIsRefused(t *testing.T) {
	var manifest trainingset.Manifest
	for name, c := range map[string]struct {
		run   string
		spoil func(t *testing.T, w *world)
		want  string
	}{
		"no name of a run":  {"../x", func(*testing.T, *world) {}, "is no run"},
		"a run that is not": {"none", func(*testing.T, *world) {}, "run none has no manifest"},
		"a run that failed": {"bad", func(t *testing.T, w *world) { w.tell(t, "bad", "failed") },
			"run bad has no manifest"},
		"a file that is gone": {"old", func(_ *testing.T, w *world) {
			delete(w.objects, folder("old")+manifest.Tables.Ratings.Files[0].Path)
		}, "is gone or another"},
		"a file that is another": {"old", func(_ *testing.T, w *world) {
			w.objects[folder("old")+manifest.Tables.Ratings.Files[0].Path] += "x"
		}, "is gone or another"},
		"a manifest of another run": {"old", func(_ *testing.T, w *world) {
			w.objects[folder("old")+"manifest.json"] = w.objects[folder("new")+"manifest.json"]
		}, "is that of the run new"},
		"a manifest that is none": {"old", func(_ *testing.T,
			w *world) {
			w.objects[folder("old")+"manifest.json"] = "{"
		},
			"s3://lake/ratings_ml_training/old/manifest.json"},
		"a pointer that is none": {"old", func(_ *testing.T, w *world) { w.objects[pointer] = "{}" }, "published.json"},
		"a run under way": {"old", func(_ *testing.T, w *world) {
			w.jobRuns = []string{`{"Id":"jr_1","JobRunState":"WAITING","StartedOn":1700000000}`}
		}, "run jr_1 of the job is WAITING since 2023-11-14T22:13:20Z"},
		"another one at this moment": {"old", func(_ *testing.T, w *world) {
			w.asked = func(method, key string) {
				if method == http.MethodPut && key == pointer {
					w.mutex.Lock()
					defer w.mutex.Unlock()
					w.pointTo("newest")
				}
			}
		}, "another run was published at this moment"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, succeeds)
			manifest = w.keep(t, "old")
			w.keep(t, "new")
			w.keep(t, "newest")
			w.pointTo("new")
			c.spoil(t, w)
			_, err := w.Publish(t.Context(), c.run)
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, w.objects[pointer], `"old"`, "nothing is published")
			assert.NotContains(t, w.objects, "catalogue/ratings_ml_training/symlink.txt")
		})
	}
}

// A run of the job that comes in between writes lists, too: who was overtaken says so.
func TestARunThatIsOvertakenSaysSo(t *testing.T) {
	w := start(t, succeeds)
	w.keep(t, "old")
	w.keep(t, "new")
	w.asked = func(method, key string) {
		if method == http.MethodPut && strings.HasPrefix(key, "catalogue/") {
			w.mutex.Lock()
			defer w.mutex.Unlock()
			w.pointTo("new")
		}
	}
	_, err := w.Publish(t.Context(), "old")
	require.ErrorContains(t, err, "run new was published meanwhile: publish that one again")
}
