package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
	"diecast/internal/etl"
	"diecast/internal/local/stepfunctions"
	"diecast/internal/trainingset"
)

// batchPath is the file of outputs of a run on this machine with one state machine, an empty lake
// and a job without runs.
func batchPath(t *testing.T, definition string) (file string) {
	t.Helper()
	host, err := stepfunctions.Start(t.Context(),
		stepfunctions.Options{Account: "000000000000", Region: "r", AccessKeyID: "k"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, host.Stop(context.WithoutCancel(t.Context()))) })
	machine, err := host.Add(stepfunctions.Machine{Name: "batch", Definition: definition})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			fmt.Fprint(w, `{"JobRuns":[]}`)
		case r.URL.Query().Has("prefix"):
			fmt.Fprint(w, `<ListBucketResult></ListBucketResult>`)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `<Error><Code>NoSuchKey</Code></Error>`)
		}
	}))
	t.Cleanup(server.Close)
	data, err := outputs.File{
		Stacks: map[string]map[string]string{outputs.Batch.Name("shop"): {
			outputs.ETLJobName.Name: "etl", outputs.LakeBucketName.Name: "lake",
			outputs.ETLStateMachineARN.Name: machine,
		}},
		Endpoints: outputs.Endpoints{
			outputs.EndpointOf("SFN"): host.Endpoint(), outputs.EndpointOf("Glue"): server.URL,
			outputs.EndpointOf("S3"): server.URL, outputs.AccessKeyID: "k", outputs.SecretAccessKey: "s",
			outputs.Region: "r",
		},
	}.Encode()
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "outputs.json")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

func commanded(t *testing.T, arguments ...string) (code int, out, told string) {
	t.Helper()
	var written, errors bytes.Buffer
	code = run(t.Context(), arguments, &written, &errors)
	return code, written.String(), errors.String()
}

const succeeding = `{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`

func TestETL_runsToItsEnd(t *testing.T) {
	file := batchPath(t, succeeding)
	code, out, told := commanded(t, "etl", "--outputs", file, "--strategy", "latest")
	require.Zero(t, code, told)
	assert.Regexp(t, `^Run   20\d{6}T\d{6}Z-[0-9a-f]{8}, succeeded in `, out)
	assert.Contains(t, told, "platform shop on this machine", "it says first what it changes")
	assert.Regexp(t, `\nrun 20\d{6}T\d{6}Z-[0-9a-f]{8}\n`, told)

	code, out, told = commanded(t, "etl", "--outputs", file, "--json")
	require.Zero(t, code, told)
	var summary struct {
		RunID, Status string
		Elapsed       *float64 `json:"elapsed_seconds"`
	}
	require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(out, "run_id", "RunID")), &summary))
	assert.Equal(t, "SUCCEEDED", summary.Status)
	assert.NotEmpty(t, summary.RunID)
	assert.NotNil(t, summary.Elapsed)
}

func TestETL_saysWhyItFailed(t *testing.T) {
	file := batchPath(t, `{"StartAt":"A","States":{"A":{"Type":"Fail","Error":"AnotherRun","Cause":"jr_0 is `+
		`running"}}}`)
	code, out, told := commanded(t, "etl", "--outputs", file)
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "failed in")
	assert.Contains(t, told, "diecast etl: failed AnotherRun: jr_0 is running\n")

	code, out, told = commanded(t, "etl", "status", "--outputs", file)
	require.Zero(t, code, told)
	assert.Contains(t, out, "Published    nothing")
	assert.Contains(t, out, "jr_0 is running")
}

func TestETL_detaches(t *testing.T) {
	file := batchPath(t, `{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":1000,"End":true}}}`)
	code, out, told := commanded(t, "etl", "--outputs", file, "--detach", "--json")
	require.Zero(t, code, told)
	var started map[string]string
	require.NoError(t, json.Unmarshal([]byte(out), &started))
	assert.Contains(t, started["execution"], ":execution:batch:"+started["run_id"])
	code, out, _ = commanded(t, "etl", "status", "--outputs", file)
	require.Zero(t, code)
	assert.Contains(t, out, started["run_id"]+", running, begun")
}

func TestETL_interruptedLeavesTheExecutionAlone(t *testing.T) {
	file := batchPath(t, `{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":1000,"End":true}}}`)
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	told := &watcher{on: "\nrun ", do: cancel}
	assert.Equal(t, 1, run(ctx, []string{"etl", "--outputs", file}, &out, told))
	assert.Contains(t, told.String(), "goes on; `diecast etl status` tells of it")
	code, listed, _ := commanded(t, "etl", "status", "--outputs", file)
	require.Zero(t, code)
	assert.Contains(t, listed, ", running, begun")
}

// watcher calls back when a text was written.
type watcher struct {
	bytes.Buffer
	on string
	do func()
}

func (w *watcher) Write(text []byte) (int, error) {
	n, err := w.Buffer.Write(text)
	if strings.Contains("\n"+w.String(), w.on) {
		w.do()
	}
	return n, err
}

func TestETL_refusals(t *testing.T) {
	file := batchPath(t, succeeding)
	for name, c := range map[string]struct {
		arguments []string
		want      string
	}{
		"both places":   {[]string{"etl", "--outputs", file, "--run", "default"}, "none of the others can be"},
		"no file":       {[]string{"etl", "--outputs", "none.json"}, "there is no file of outputs none.json"},
		"no run":        {[]string{"etl", "publish", "--outputs", file}, "accepts 1 arg(s)"},
		"unknown run":   {[]string{"etl", "publish", "--outputs", file, "x"}, "run x has no manifest"},
		"a stray word":  {[]string{"etl", "--outputs", file, "now"}, "unknown command"},
		"a run's name":  {[]string{"etl", "publish", "--outputs", file, "a/b"}, "is no run"},
		"odd run names": {[]string{"etl", "--run", "../x"}, "../x"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, told := commanded(t, c.arguments...)
			assert.Equal(t, 1, code)
			assert.Contains(t, told, c.want)
		})
	}
	code, out, told := commanded(t, "etl", "runs", "--outputs", file)
	require.Zero(t, code, told)
	assert.Equal(t, "The lake keeps no run: `diecast etl` makes one\n", out)
}

func shown(show func(io.Writer)) string {
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	show(table)
	_ = table.Flush() // a buffer takes all
	return text.String()
}

func TestETL_tellsRowsRulesAndCost(t *testing.T) {
	report := etl.Report{Run: "r", Status: "SUCCEEDED", Elapsed: 95300 * time.Millisecond,
		Outcome: &trainingset.Outcome{
			Rows: trainingset.Rows{Published: map[string]int64{"ratings": 2492, "products": 110},
				Quarantined: map[string]int64{"ratings": 40}},
			Rules: []trainingset.Rule{
				{Table: "ratings", Rule: "unique", Column: "productCode", Expected: "unique", Passed: true},
				{Table: "ratings", Rule: "range", Column: "productRating", Expected: "from 1 to 5", Found: "6",
					Rows:   40,
					Passed: true},
				{Table: "ratings", Rule: "drift", Column: "productRating", Expected: "within 0.2", Rows: 0},
			},
		},
		VectorStore: "2 products in, 1 out: model 0123456789ab serves 111",
		Cost:        &etl.Cost{DPUSeconds: 170, USD: 0.01369, Region: "us-east-1", Class: "FLEX"},
	}
	assert.Equal(t, strings.TrimPrefix(`
Run          r, succeeded in 1m35.3s
  products   110 rows published
  ratings    2,492 rows published, 40 quarantined
Rules        2 of 3 passed
  ratings    range: productRating must be from 1 to 5, broken by 40 rows, such as 6, which is few enough
  ratings    drift: productRating must be within 0.2, broken by 0 rows
Vectors      2 products in, 1 out: model 0123456789ab serves 111
Cost         170 DPU-seconds, 0.0137 USD at the price of us-east-1 (flex)
`, "\n"), shown(func(to io.Writer) { showETL(to, report) }))
	report.Outcome, report.Cost, report.VectorStore = nil, &etl.Cost{}, ""
	assert.Contains(t, shown(func(to io.Writer) { showETL(to, report) }), "Cost   nothing: it ran on this machine\n")
}

func TestETL_progress(t *testing.T) {
	for want, now := range map[string]etl.Progress{
		"starting, 2s": {}, "Run job, 2s": {State: "Run job"},
		"Run job, job waiting, 2s":          {State: "Run job", Job: "WAITING"},
		"Run job, job running, at read, 2s": {State: "Run job", Job: "RUNNING", Stage: "read"},
	} {
		assert.Equal(t, want, etlProgress(now, 2100*time.Millisecond))
	}
}

func TestETL_listsRuns(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	assert.Equal(t, strings.TrimPrefix(`
            Run   Begun                  Strategy   Ratings   Status
            c     2026-03-01T09:00:00Z   latest     2,492     kept
published   b     2026-03-01T09:00:00Z   replace    2,532     published
            a     2026-03-01T09:00:00Z                        failed at quality
            x     at an unknown time                          it is damaged
`, "\n"), shown(func(to io.Writer) {
		showETLRuns(to, []etl.Run{
			{ID: "c", Complete: true, Status: trainingset.Succeeded, StartedAt: at, Strategy: "latest", Ratings: 2492},
			{ID: "b", Published: true, Complete: true, Status: trainingset.Succeeded, StartedAt: at,
				Strategy: "replace",
				Ratings:  2532},
			{ID: "a", Status: trainingset.Failed, Stage: "quality", StartedAt: at},
			{ID: "x", Problem: "it is damaged"},
		})
	}))
}

func TestETL_status(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	later := at.Add(90 * time.Second)
	assert.Equal(t, strings.TrimPrefix(`
Published    b at 2026-03-01T09:00:00Z
Under way    jr_1, running since 2026-03-01T09:00:00Z
Executions   c, running, begun 2026-03-01T09:00:00Z
             b, failed, begun 2026-03-01T09:00:00Z, took 1m30s
               ratings: too many
               ask Ada
`, "\n"), shown(func(to io.Writer) {
		showETLStatus(to, etl.Status{
			Published: &trainingset.Published{RunID: "b", PublishedAt: at},
			UnderWay:  &etl.JobRun{ID: "jr_1", State: "RUNNING", Since: at},
			Executions: []etl.Ended{{Run: "c", Status: "RUNNING", StartedAt: at},
				{Run: "b", Status: "FAILED", StartedAt: at, EndedAt: &later, Cause: "ratings: too many\nask Ada"}},
		})
	}))
}
