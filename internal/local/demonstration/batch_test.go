package demonstration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
	"diecast/internal/etl"
	"diecast/internal/trainingset"
)

// lake answers for Step Functions, Glue and S3: its state machine writes a run, as CSV, and goes
// through states of its job to an end.
type lake struct {
	states []string
	// failure is the error that the execution ends with; empty where it succeeds.
	failure string
	// publish is the name of the run that the pointer names; %s stands for the one that was asked
	// for.
	publish string
	objects map[string]string
	run     string
}

func (l *lake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch operation {
	case "StartExecution":
		var request struct{ Name string }
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &request)
		l.run = request.Name
		l.write(l.run)
		_, _ = io.WriteString(w, `{"executionArn":"arn:execution","startDate":1.0}`)
	case "DescribeExecution":
		told := map[string]any{"executionArn": "arn:execution", "stateMachineArn": "arn:machine", "status": "RUNNING",
			"startDate": 1.0}
		if len(l.states) == 0 {
			told["stopDate"], told["status"] = 13.5, "SUCCEEDED"
			told["output"] = `{"store":{"text":"2 products in, 1 out"}}`
			if l.failure != "" {
				told["status"], told["error"], told["cause"] = "FAILED", l.failure, "no ratings"
			}
		}
		_ = json.NewEncoder(w).Encode(told)
	case "GetExecutionHistory":
		_, _ = io.WriteString(w, `{"events":[{"id":1,"timestamp":1.0,"type":"TaskStateEntered",
			"stateEnteredEventDetails":{"name":"Run job"}}]}`)
	case "GetJobRuns":
		state := ""
		if len(l.states) > 0 {
			state, l.states = l.states[0], l.states[1:]
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"JobRuns": []any{map[string]any{"Id": "jr_1", "JobRunState": state,
			"Arguments": map[string]string{"--run-id": l.run}}}})
	default:
		content, ok := l.objects[strings.TrimPrefix(r.URL.Path, "/lake/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
			return
		}
		_, _ = io.WriteString(w, content)
	}
}

const outcome = `{"schema_version":1,"run_id":"%s","status":"published","stage":"prune",` +
	`"started_at":"2026-11-28T15:00:00Z",
	"finished_at":"2026-11-28T15:00:01Z","rules":[
	{"table":"ratings","rule":"unique","column":"c","expected":"unique","found":"","rows":0,"passed":true},
	{"table":"ratings","rule":"range","column":"r","expected":"1 to 5","found":"6","rows":9,"passed":false}],
	"rows":{"read":{"ratings":4},"published":{"ratings":4},"quarantined":{"ratings":0},"deleted_meanwhile":{}},
	"quarantine":[],"additions":[],"seconds":{"read":0.5}}`

// write makes the run: two lines, of which the second sells more though it sells less often.
func (l *lake) write(run string) {
	rows := map[string][]string{
		"ratings":   {"1,a,b,c,d,1.00,P1,Ships,1:10,5,1.00,2.00,4,2026-01-01T00:00:00Z,1", "2", "3", "4"},
		"products":  {"P1,Boat,Ships,1:10,V,5,1.00,2.00", "P2,Car,Cars,1:10,V,5,1.00,2.00"},
		"customers": {"1,a,b,c,d,1.00"},
		"sales": {
			"1,1,2026-01-01,Shipped,1,P1,1,10.00,10.10", "1,2,2026-01-01,Shipped,1,P1,1,10.00,9.00",
			"2,1,2026-01-01,Shipped,1,P2,1,20.00,19.11",
		},
	}
	for i := 1; i < 4; i++ {
		rows["ratings"][i] = rows["ratings"][i] + strings.TrimPrefix(rows["ratings"][0], "1")
	}
	folder := trainingset.Prefix + "/" + run + "/"
	table := func(name string) trainingset.Table {
		described := trainingset.Table{Rows: int64(len(rows[name])), Columns: trainingset.Columns(name)}
		var header []string
		for _, column := range described.Columns {
			header = append(header, column.Name)
		}
		file := trainingset.File{Path: name + "/part-0.csv", SHA256: strings.Repeat("0", 64)}
		l.objects[folder+file.Path] = strings.Join(header, ",") + "\n" + strings.Join(rows[name], "\n") + "\n"
		described.Files = []trainingset.File{file}
		return described
	}
	sales := table("sales")
	manifest, _ := trainingset.Manifest{
		SchemaVersion: 1, RunID: run, CreatedAt: time.Date(2026, 11, 28, 15, 0, 0, 0, time.UTC),
		Strategy: trainingset.Replace, Format: trainingset.CSV,
		Tables: trainingset.Tables{Ratings: table("ratings"), Products: table("products"),
			Customers: table("customers"), Sales: &sales},
		Source: trainingset.Source{Kind: "generated"},
	}.Encode()
	l.objects[folder+trainingset.ManifestName] = string(manifest)
	l.objects[folder+trainingset.OutcomeName] = fmt.Sprintf(outcome, run)
	l.objects[trainingset.Prefix+"/"+trainingset.PublishedName] = fmt.Sprintf(
		`{"schema_version":1,"run_id":"%s","published_at":"2026-11-28T15:00:01Z","manifest_sha256":"%s"}`,
		strings.ReplaceAll(l.publish, "%s", run), strings.Repeat("0", 64))
}

func batchTarget(t *testing.T, l *lake) etl.Target {
	t.Helper()
	l.objects = map[string]string{}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	file := written(t, map[string]map[string]string{outputs.Batch.Name("diecast"): {
		outputs.ETLJobName.Name: "etl", outputs.LakeBucketName.Name: "lake",
		outputs.ETLStateMachineARN.Name: "arn:machine",
	}}, outputs.Endpoints{
		outputs.EndpointOf("Glue"): server.URL, outputs.EndpointOf("S3"): server.URL,
		outputs.EndpointOf(sfn.ServiceID): server.URL,
		outputs.AccessKeyID:               "k", outputs.SecretAccessKey: "s", outputs.Region: "us-east-1",
	})
	deployed, err := deployment.Read(file)
	require.NoError(t, err)
	target, err := etl.TargetOf(t.Context(), deployed)
	require.NoError(t, err)
	target.Pause = time.Millisecond
	return target
}

func TestRunBatch_readsWhatTheRunPublished(t *testing.T) {
	l := &lake{states: []string{"STARTING", "RUNNING", "RUNNING", "SUCCEEDED"}, publish: "%s"}
	var told []string
	report, err := RunBatch(t.Context(), batchTarget(t, l), func(state string) { told = append(told, state) })
	require.NoError(t, err)
	assert.Equal(t, []string{"Run job, job STARTING", "Run job, job RUNNING", "Run job, job SUCCEEDED"}, told,
		"each change once")
	run := l.run
	assert.Equal(t, "2 products in, 1 out", report.VectorStore)
	assert.Equal(t, 12500*time.Millisecond, report.Elapsed)
	assert.Equal(t, "s3://lake/ratings_ml_training/"+run+"/", report.Folder)
	assert.Equal(t, run, report.Outcome.RunID)
	assert.Equal(t, 1, report.RulesPassed())
	assert.Len(t, report.Sample, 3)
	assert.Equal(t, "P1", report.Sample[2][6])
	assert.Equal(t, "2026-01-01 00:00:00", report.Sample[0][13])
	assert.Equal(t, "Cars", report.BestLine)
	assert.Equal(t, "19.11", report.BestRevenue)
}

func TestRunBatch_tellsHowARunFailed(t *testing.T) {
	_, err := RunBatch(t.Context(), batchTarget(t, &lake{failure: "LimitsBroken"}), func(string) {})
	require.ErrorContains(t, err, ": FAILED: LimitsBroken: no ratings")
	_, err = RunBatch(t.Context(), batchTarget(t, &lake{publish: "another"}), func(string) {})
	require.ErrorContains(t, err, "published.json names the run another")
}

func TestRunBatch_endsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := RunBatch(ctx, batchTarget(t, &lake{states: []string{"RUNNING", "RUNNING"}}),
		func(string) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
}
