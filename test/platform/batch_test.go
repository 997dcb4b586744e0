package platform

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
	"diecast/internal/etl"
	"diecast/internal/local/demonstration"
	"diecast/internal/source"
	"diecast/internal/sqlquery"
	"diecast/internal/trainingset"
)

// ask is a query through a loader.
func ask(t *testing.T, deployed *deployment.Deployment, loader outputs.Output, statement string) (sqlquery.Table,
	string) {
	t.Helper()
	client, err := deployed.Lambda(t.Context())
	require.NoError(t, err)
	function, err := deployed.Value(loader)
	require.NoError(t, err)
	request, err := json.Marshal(map[string]string{"action": "query", "statement": statement})
	require.NoError(t, err)
	answer, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &function, Payload: request})
	require.NoError(t, err)
	if answer.FunctionError != nil {
		return sqlquery.Table{}, string(answer.Payload)
	}
	var table sqlquery.Table
	require.NoError(t, json.Unmarshal(answer.Payload, &table))
	return table, ""
}

func cell(t *testing.T, table sqlquery.Table, column int) string {
	t.Helper()
	require.NotEmpty(t, table.Rows)
	require.NotNil(t, table.Rows[0][column])
	return *table.Rows[0][column]
}

// The job reads what the loader made, publishes it, and its sales mart tells what the source does,
// to the cent.
func TestBatchPath(t *testing.T) {
	deployed := start(t, synthesized).deployed
	target, err := etl.TargetOf(t.Context(), deployed)
	require.NoError(t, err)
	var refused error
	report, err := demonstration.RunBatch(t.Context(), target, func(state string) {
		if refused == nil && strings.HasSuffix(state, ", job RUNNING") {
			_, refused = target.Jobs.StartJobRun(t.Context(), &glue.StartJobRunInput{JobName: &target.Job})
		}
	})
	require.NoError(t, err)
	var tooMany *gluetypes.ConcurrentRunsExceededException
	require.ErrorAs(t, refused, &tooMany, "the template allows one run at a time")
	assert.Regexp(t, `^0 products in, 0 out: model [0-9a-f]{12} serves 110$`, report.VectorStore)

	assert.Equal(t, trainingset.Succeeded, report.Outcome.Status)
	assert.Equal(t, len(report.Outcome.Rules), report.RulesPassed())
	assert.Positive(t, report.RulesPassed())
	assert.Len(t, report.Sample, 3)
	assert.Equal(t, trainingset.Parquet, report.Format)
	assert.Equal(t, slices.Sorted(slices.Values(trainingset.TableNames())),
		slices.Sorted(maps.Keys(report.Outcome.Rows.Published)))
	for source, published := range map[string]string{"ratings": "ratings", "orderdetails": "sales",
		"customers": "customers"} {
		assert.Equal(t, report.Outcome.Rows.Read[source], report.Outcome.Rows.Published[published], source)
	}
	best, failure := ask(t, deployed, outputs.SourceLoaderFunctionName,
		`SELECT productLine, SUM(quantityOrdered * priceEach) AS revenue
		FROM orderdetails JOIN orders USING (orderNumber) JOIN products USING (productCode)
		WHERE status <> 'Cancelled' GROUP BY productLine ORDER BY revenue DESC LIMIT 1`)
	require.Empty(t, failure)
	assert.Equal(t, report.BestLine, cell(t, best, 0))
	assert.Equal(t, report.BestRevenue, cell(t, best, 1))

	t.Run("queries read as the reader, and change nothing", func(t *testing.T) {
		who, failure := ask(t, deployed, outputs.SourceLoaderFunctionName, "SELECT CURRENT_USER()")
		require.Empty(t, failure)
		assert.Equal(t, "etl_reader@%", cell(t, who, 0))
		_, failure = ask(t, deployed, outputs.SourceLoaderFunctionName, "SELECT * FROM payments")
		assert.Contains(t, failure, "denied")
		models, failure := ask(t, deployed, outputs.VectorsLoaderFunctionName, "SELECT count(*) FROM versions")
		require.Empty(t, failure)
		assert.Equal(t, "1", cell(t, models, 0))
		_, failure = ask(t, deployed, outputs.VectorsLoaderFunctionName,
			"WITH x AS (DELETE FROM schema_version RETURNING 1) SELECT * FROM x")
		assert.Contains(t, failure, "read-only")
	})
	t.Run("a generated shop lives on", func(t *testing.T) {
		orders := func() int {
			table, failure := ask(t, deployed, outputs.SourceLoaderFunctionName, "SELECT count(*) FROM orders")
			require.Empty(t, failure)
			count, err := strconv.Atoi(cell(t, table, 0))
			require.NoError(t, err)
			return count
		}
		before := orders()
		client, err := deployed.Lambda(t.Context())
		require.NoError(t, err)
		function, err := deployed.Value(outputs.SourceLoaderFunctionName)
		require.NoError(t, err)
		answer, err := client.Invoke(t.Context(), &lambda.InvokeInput{
			FunctionName: &function, Payload: []byte(`{"action":"advance","days":14}`),
		})
		require.NoError(t, err)
		require.Nil(t, answer.FunctionError, "%s", answer.Payload)
		var advanced source.Advanced
		require.NoError(t, json.Unmarshal(answer.Payload, &advanced))
		assert.Equal(t, []int{14, 14}, []int{advanced.Days, advanced.Since})
		assert.Positive(t, advanced.Added["orders"])
		assert.Equal(t, before+advanced.Added["orders"], orders())
	})
	t.Run("a run that fails tells it in the script's own words", func(t *testing.T) {
		failed := executed(t, target, map[string]string{"--max-quarantined": "2"})
		assert.Equal(t, "RunFailed", failed.Error)
		assert.Contains(t, failed.Cause, "--max-quarantined is '2'")
		assert.Regexp(t, `Log: /aws-glue/diecast-Batch/Etl/error, stream jr_[0-9a-f]+\.$`, failed.Cause)
	})
	t.Run("the state machine runs what came meanwhile, and the run before can be gone back to", func(t *testing.T) {
		done := executed(t, target, nil)
		require.True(t, done.Succeeded(), "%s: %s", done.Error, done.Cause)
		require.NotNil(t, done.Outcome)
		assert.Greater(t, done.Outcome.Rows.Published["sales"], report.Outcome.Rows.Published["sales"])
		assert.Equal(t, &etl.Cost{}, done.Cost, "it costs nothing here")
		assert.Regexp(t, `^[1-9] products in, [1-9] out: model `, done.VectorStore)
		runs, err := target.Runs(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(runs), 2)
		assert.Equal(t, []any{done.Run, true}, []any{runs[0].ID, runs[0].Published})
		before := report.Outcome.RunID
		back, err := target.Publish(t.Context(), before)
		require.NoError(t, err)
		assert.Equal(t, []string{before, done.Run}, []string{back.Run, back.Before})
		status, err := target.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, before, status.Published.RunID)
		assert.Nil(t, status.UnderWay)
		list, err := target.Buckets.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &target.Lake,
			Key: aws.String("catalogue/ratings_ml_training/symlink.txt")})
		require.NoError(t, err)
		defer list.Body.Close()
		text, err := io.ReadAll(list.Body)
		require.NoError(t, err)
		assert.Contains(t, string(text), "/"+before+"/ratings/", "the job's list and the command's are alike")
	})
}

// executed is an execution of the state machine once it has ended.
func executed(t *testing.T, path etl.Target, arguments map[string]string) etl.Report {
	t.Helper()
	execution, err := path.Start(t.Context(), arguments)
	require.NoError(t, err)
	report, err := path.Watch(t.Context(), execution, func(etl.Progress) {})
	require.NoError(t, err)
	return report
}

// What the templates say of database, load and job, the laptop does.
func TestTemplatesRule_batch(t *testing.T) {
	edited := changed(t, map[string]func(map[string]any){
		"Batch": func(resources map[string]any) {
			database := properties(t, resources, "AWS::RDS::DBInstance", "Source")
			database["MasterUsername"], database["DBInstanceIdentifier"] = "keeper", "shop"
			job := properties(t, resources, "AWS::Glue::Job", "Etl")
			job["Name"] = "nightly"
			job["DefaultArguments"].(map[string]any)["--format"] = "csv"
		},
		"BatchData": func(resources map[string]any) {
			properties(t, resources, "Custom::SourceLoad", "Load")["Scale"] = "0.1"
		},
	})
	deployed := start(t, edited).deployed
	for output, want := range map[outputs.Output]string{outputs.ETLJobName: "nightly",
		outputs.SourceDatabaseIdentifier: "shop"} {
		value, err := deployed.Value(output)
		require.NoError(t, err)
		assert.Equal(t, want, value)
	}
	secrets, err := deployed.SecretsManager(t.Context())
	require.NoError(t, err)
	arn, err := deployed.Value(outputs.SourceDatabaseSecretARN)
	require.NoError(t, err)
	secret, err := secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &arn})
	require.NoError(t, err)
	assert.Contains(t, *secret.SecretString, `"username":"keeper"`)
	target, err := etl.TargetOf(t.Context(), deployed)
	require.NoError(t, err)
	report, err := demonstration.RunBatch(t.Context(), target, func(string) {})
	require.NoError(t, err)
	assert.Equal(t, trainingset.CSV, report.Format)
	assert.Len(t, report.Sample, 3)
	assert.Less(t, report.Outcome.Rows.Read["ratings"], int64(1000), "a tenth of the shop")
	assert.NotEmpty(t, report.BestLine)
	listed, err := target.Buckets.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
		Bucket: &target.Lake, Prefix: aws.String(trainingset.Prefix),
	})
	require.NoError(t, err)
	for _, object := range listed.Contents {
		assert.NotContains(t, *object.Key, ".parquet")
	}
}

// A job ends with its run, however that ends.
func TestKilledRunTakesItsJobAlong(t *testing.T) {
	command := buildCommand(t)
	source, err := filepath.Abs(root)
	require.NoError(t, err)
	folder := t.TempDir()
	run := exec.Command(command, "local", "run", "--assembly", synthesized, "--source", source, "--events", "1")
	run.Dir = folder
	require.NoError(t, run.Start())
	t.Cleanup(func() { _ = run.Process.Kill() })
	exited := make(chan error, 1)
	go func() { exited <- run.Wait() }()
	var started []int
	require.Eventually(t, func() bool {
		started = descendants(t, run.Process.Pid)
		return slices.ContainsFunc(started, func(pid int) bool {
			name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
			return err == nil && strings.TrimSpace(string(name)) == "java"
		})
	}, 3*time.Minute, 50*time.Millisecond, "the job's Java")
	require.NoError(t, run.Process.Kill())
	<-exited
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, pid := range started {
		require.NoError(t, untilGone(ctx, pid), "process %d outlived its run", pid)
	}
}
