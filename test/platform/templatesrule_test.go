package platform

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/archive"
	"diecast/internal/assembly"
	"diecast/internal/deployment/outputs"
	"diecast/internal/local/demonstration"
	"diecast/internal/local/platform"
	"diecast/internal/recommendation/row"
)

// For each type that runs, one property is changed in the template alone, and the behaviour changes
// with it.
func TestTemplatesRule(t *testing.T) {
	const keep = 7777
	edited := changed(t, map[string]func(map[string]any){
		"Vectors": func(resources map[string]any) {
			properties(t, resources, "AWS::RDS::DBInstance", "Database")["MasterUsername"] = "keeper"
		},
		"VectorsData": func(resources map[string]any) {
			delete(properties(t, resources, "Custom::VectorLoad", "Load"), "SchemaHash")
		},
		"Streaming": func(resources map[string]any) {
			archive := properties(t, resources, "AWS::S3::Bucket", "Archive")
			archive["BucketName"] = "an-archive-of-another-name"
			archive["VersioningConfiguration"] = map[string]any{"Status": "Enabled"}
			events := properties(t, resources, "AWS::Kinesis::Stream", "Events")
			events["ShardCount"], events["RetentionPeriodHours"] = 3, 72
			table := properties(t, resources, "AWS::DynamoDB::GlobalTable", "Recommendations")
			for _, holder := range []any{table, table["Replicas"].([]any)[0]} {
				index := holder.(map[string]any)["GlobalSecondaryIndexes"].([]any)[0].(map[string]any)
				index["IndexName"] = "by-customer"
			}
			properties(t, resources, "AWS::Lambda::Url", "Inference")["AuthType"] = "NONE"
			properties(t, resources, "AWS::Lambda::EventSourceMapping", "Deliver")["BatchSize"] = 1
			deliver := properties(t, resources, "AWS::Lambda::Function", "Deliver")
			variables := deliver["Environment"].(map[string]any)["Variables"].(map[string]any)
			variables["RECOMMENDATION_TTL_SECONDS"] = strconv.Itoa(keep)
			delivery := properties(t, resources, "AWS::KinesisFirehose::DeliveryStream", "Delivery")
			delivery["ExtendedS3DestinationConfiguration"].(map[string]any)["Prefix"] = "elsewhere/!{timestamp:yyyy}/"
		},
	})
	running := start(t, edited)
	to := target(t, running, "elsewhere/")
	const events = 30
	report, err := demonstration.Run(t.Context(), to, demonstration.Options{Shop: shop(t), Events: events})
	require.NoError(t, err, "the events are below the other prefix")

	t.Run("bucket", func(t *testing.T) {
		assert.Equal(t, "an-archive-of-another-name", to.Bucket)
		versioning, err := to.S3.GetBucketVersioning(t.Context(),
			&s3.GetBucketVersioningInput{Bucket: &to.Bucket})
		require.NoError(t, err)
		assert.Equal(t, s3types.BucketVersioningStatusEnabled, versioning.Status)
	})
	t.Run("delivery stream", func(t *testing.T) { assert.Equal(t, events, report.Archived) })
	t.Run("stream", func(t *testing.T) {
		stream, err := to.Kinesis.DescribeStreamSummary(t.Context(),
			&kinesis.DescribeStreamSummaryInput{StreamName: &to.Stream})
		require.NoError(t, err)
		assert.EqualValues(t, 3, *stream.StreamDescriptionSummary.OpenShardCount)
		assert.EqualValues(t, 72, *stream.StreamDescriptionSummary.RetentionPeriodHours)
	})
	t.Run("table", func(t *testing.T) {
		table, err := to.DynamoDB.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &to.Table})
		require.NoError(t, err)
		assert.Equal(t, "by-customer", *table.Table.GlobalSecondaryIndexes[0].IndexName)
	})
	t.Run("function", func(t *testing.T) {
		for _, record := range report.Records {
			item := rows(t, running)[record.Event.SessionID]
			expires, err := strconv.ParseInt(item[row.ExpiresAt].(*types.AttributeValueMemberN).Value, 10, 64)
			require.NoError(t, err)
			assert.InDelta(t, record.RecommendedAt.Unix()+keep, expires, 120)
		}
	})
	t.Run("event source mapping", func(t *testing.T) {
		warm, cold, _ := running.Consumers()[0].Durations()
		assert.GreaterOrEqual(t, len(warm)+len(cold), events, "an invocation for each event")
	})
	t.Run("function URL", func(t *testing.T) {
		code := report.Records[0].Items[0].ID
		status, answer := call(t, running, http.MethodGet,
			output(t, running, outputs.InferenceURL)+"items_from_item?item_id="+code+"&limit=1", nil, false)
		assert.Equal(t, http.StatusOK, status, "%s", answer)
	})
	t.Run("database", func(t *testing.T) {
		arn := output(t, running, outputs.VectorsDatabaseSecretARN)
		secrets, err := running.deployed.SecretsManager(t.Context())
		require.NoError(t, err)
		secret, err := secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &arn})
		require.NoError(t, err)
		assert.Contains(t, *secret.SecretString, `"username":"keeper"`)
	})
}

// The custom resource's property decides which model is loaded: without one there is none, and
// events wait as long as the template's retries allow, and are then where a person finds them.
func TestTemplatesRule_customResourceAndRetries(t *testing.T) {
	edited := changed(t, map[string]func(map[string]any){
		"VectorsData": func(resources map[string]any) {
			delete(properties(t, resources, "Custom::VectorLoad", "Load"), "ModelVersion")
		},
		"Streaming": func(resources map[string]any) {
			mapping := properties(t, resources, "AWS::Lambda::EventSourceMapping", "Deliver")
			mapping["MaximumRetryAttempts"] = 0
			mapping["BisectBatchOnFunctionError"] = false
			delivery := properties(t, resources, "AWS::KinesisFirehose::DeliveryStream", "Delivery")
			destination := delivery["ExtendedS3DestinationConfiguration"].(map[string]any)
			processors := destination["ProcessingConfiguration"].(map[string]any)["Processors"].([]any)
			for _, one := range processors[0].(map[string]any)["Parameters"].([]any) {
				if parameter := one.(map[string]any); parameter["ParameterName"] == "NumberOfRetries" {
					parameter["ParameterValue"] = "1"
				}
			}
		},
	})
	running := start(t, edited)
	assert.Empty(t, output(t, running, outputs.ModelVersion))
	to := target(t, running, archive.Recommendations)
	report, err := demonstration.Run(t.Context(), to, demonstration.Options{Shop: shop(t), Events: 20,
		Patience: waitForErrors})
	require.Error(t, err, "nothing can be recommended without a model")
	assert.Zero(t, report.Archived)
	assert.Equal(t, 20, report.Refused, "every event is in the error output after its one retry: nothing is lost")
	assert.NotEmpty(t, keys(t, to, archive.Failures), "the consumer's batches are kept, too")
}

func keys(t *testing.T, in demonstration.Target, prefix string) []string {
	t.Helper()
	page, err := in.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &in.Bucket, Prefix: &prefix})
	require.NoError(t, err)
	var all []string
	for _, object := range page.Contents {
		all = append(all, *object.Key)
	}
	return all
}

// What the laptop cannot run is named, all of it, before anything starts: what the assembly knows,
// and what only the engines' side does.
func TestUnknownResourcesStopTheRunBeforeItStarts(t *testing.T) {
	edited := changed(t, map[string]func(map[string]any){
		"Vectors": func(resources map[string]any) {
			properties(t, resources, "AWS::RDS::DBInstance", "Database")["Engine"] = "oracle-ee"
		},
		"Streaming": func(resources map[string]any) {
			resources["Satellite"] = map[string]any{"Type": "AWS::GroundStation::Config",
				"Properties": map[string]any{}}
			properties(t, resources, "AWS::Kinesis::Stream", "Events")["ShardCount"] = map[string]any{"Fn::Guess": "3"}
		},
	})
	folder := t.TempDir() + "/run"
	_, err := platform.Start(t.Context(), platform.Options{Assembly: edited, Source: root, Dir: folder})
	var problems assembly.Problems
	require.ErrorAs(t, err, &problems)
	assert.Contains(t, err.Error(), "AWS::GroundStation::Config")
	assert.Contains(t, err.Error(), "Fn::Guess")
	assert.Contains(t, err.Error(), "Satellite")
	assert.Contains(t, err.Error(), `Properties.Engine: got "oracle-ee"`)
	assert.Len(t, problems, 3)
	assert.NoDirExists(t, folder, "nothing was started")
}

// A run starts the engines that its templates need.
func TestEnginesStartOnDemand(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"manifest.json": `{"version":"54.0.0","artifacts":{"A":{"type":"aws:cloudformation:stack",
			"environment":"aws://unknown-account/unknown-region",
			"properties":{"templateFile":"A.json","stackName":"alone-Streaming"}}}}`,
		"A.json": `{"Resources":{"S":{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":2}}},
			"Outputs":{"StreamName":{"Value":{"Ref":"S"}}}}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	running := start(t, folder)
	name := output(t, running, outputs.StreamName)
	streams, err := running.deployed.Kinesis(t.Context())
	require.NoError(t, err)
	stream, err := streams.DescribeStreamSummary(t.Context(),
		&kinesis.DescribeStreamSummaryInput{StreamName: &name})
	require.NoError(t, err)
	assert.EqualValues(t, 2, *stream.StreamDescriptionSummary.OpenShardCount)
	endpoints := running.Endpoints()
	apart := outputs.Apart(endpoints[outputs.Region])
	maps.DeleteFunc(endpoints, func(name, value string) bool { return apart[name] == value })
	assert.ElementsMatch(t, []string{"AWS_ENDPOINT_URL_KINESIS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"AWS_REGION"}, slices.Collect(maps.Keys(endpoints)))
	assert.Len(t, descendants(t, os.Getpid()), 2, "kinesalite, and the ps that looks")
}
