package demonstration

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
)

func TestPercentile_byNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	assert.EqualValues(t, 50, Percentile(hundred, 50))
	assert.EqualValues(t, 99, Percentile(hundred, 99))
	assert.EqualValues(t, 100, Percentile(hundred, 100))
	assert.EqualValues(t, 7, Percentile([]time.Duration{7}, 1))
	assert.Zero(t, Percentile(nil, 50))
	assert.EqualValues(t, 100, hundred[0], "the caller's order is kept")
}

func TestMissing_saysWhatIsNotAccountedFor(t *testing.T) {
	r := run{report: Report{Sent: 10, Broken: 2, Archived: 8, Delivered: 8, Refused: 2}}
	assert.NoError(t, r.missing())
	r.report.Delivered = 7
	assert.EqualError(t, r.missing(),
		"of 8 valid events 8 are archived and 7 delivered; of 2 broken ones 2 are in the error output")
}

func TestRun_refusesSenselessNumbers(t *testing.T) {
	for _, events := range []int{0, -1, 100_001} {
		_, err := Run(context.Background(), Target{}, Options{Events: events})
		assert.ErrorContains(t, err, "1 to 100,000 are allowed")
	}
}

// outputsOf writes a run's file of outputs with these endpoints and reads it.
func outputsOf(t *testing.T, names map[string]string, endpoints outputs.Endpoints) *deployment.Deployment {
	t.Helper()
	deployed, err := deployment.Read(written(t, map[string]map[string]string{"diecast-Streaming": names}, endpoints))
	require.NoError(t, err)
	return deployed
}

// written is a run's file of outputs.
func written(t *testing.T, stacks map[string]map[string]string, endpoints outputs.Endpoints) string {
	t.Helper()
	data, err := outputs.File{Stacks: stacks, Endpoints: endpoints}.Encode()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "outputs.json")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

func TestTargetOf_isTheDeploymentsStreamTableAndBucket(t *testing.T) {
	names := map[string]string{}
	for _, output := range outputs.All() {
		names[output.Name] = "the " + output.Name
	}
	endpoints := outputs.Endpoints{outputs.AccessKeyID: "a", outputs.SecretAccessKey: "s", outputs.Region: "us-east-1"}
	for _, service := range []string{kinesis.ServiceID, dynamodb.ServiceID, s3.ServiceID} {
		endpoints[outputs.EndpointOf(service)] = "http://127.0.0.1:1"
	}
	target, err := TargetOf(t.Context(), outputsOf(t, names, endpoints))
	require.NoError(t, err)
	assert.Equal(t, []string{"the " + outputs.StreamName.Name, "the " + outputs.RecommendationsTableName.Name,
		"the " + outputs.RecommendationsBucketName.Name},
		[]string{target.Stream, target.Table, target.Bucket})
	assert.Equal(t, []string{"recommendations/", "errors/"}, []string{target.ArchivePrefix, target.ErrorPrefix})
	assert.NotNil(t, target.Kinesis)
	assert.NotNil(t, target.DynamoDB)
	assert.NotNil(t, target.S3)
}

func TestTargetOf_namesAllThatIsMissing(t *testing.T) {
	_, err := TargetOf(t.Context(), outputsOf(t, nil, outputs.Endpoints{}))
	for _, missing := range []string{outputs.StreamName.Name, outputs.RecommendationsTableName.Name,
		outputs.RecommendationsBucketName.Name,
		"AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_S3"} {
		assert.ErrorContains(t, err, missing)
	}
}
