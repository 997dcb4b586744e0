package platform

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/archive"
	"diecast/internal/classicmodels"
	"diecast/internal/demand"
	"diecast/internal/deployment/outputs"
	"diecast/internal/erroroutput"
	"diecast/internal/latency"
	"diecast/internal/local/demonstration"
	"diecast/internal/local/ledger"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
	"diecast/test/queries"
)

// Events on the stream are found, complete and exact, in the bucket, compressed as in prod, and in
// the table; the archive's saved queries find in it what the contracts' own rules find; and the
// functions' logs have counted each event, and name none.
func TestEventsReachTheArchiveAndTheShop(t *testing.T) {
	folder := t.TempDir()
	running := startIn(t, changed(t, map[string]func(map[string]any){"Streaming": func(resources map[string]any) {
		stream := properties(t, resources, "AWS::KinesisFirehose::DeliveryStream", "")
		destination := stream["ExtendedS3DestinationConfiguration"].(map[string]any)
		destination["CompressionFormat"], destination["FileExtension"] = "GZIP", archive.GZIPExtension
	}}), folder)
	to := target(t, running, archive.Recommendations)
	report, err := demonstration.Run(t.Context(), to, demonstration.Options{Shop: shop(t), Events: 200,
		Activity: classicmodels.EventOptions{BrokenShare: 0.1}})
	require.NoError(t, err)

	require.Positive(t, report.Broken)
	valid := report.Sent - report.Broken
	assert.Equal(t, valid, report.Archived)
	assert.Equal(t, valid, report.Delivered)
	assert.Equal(t, report.Broken, report.Refused, "every broken event is in the error output")
	assert.Zero(t, report.Duplicates)
	assert.Zero(t, report.Degraded, "the model answered")
	require.Len(t, report.Records, valid)
	assert.Equal(t, map[string]int{"Lambda.ProcessingFailedStatus": report.Broken}, report.RefusedFor)
	counted(t, running.Account(t.Context()), report)

	model := output(t, running, outputs.ModelVersion)
	newest := map[string]recommendation.Record{}
	for _, record := range report.Records {
		assert.Equal(t, model, record.ModelVersion)
		assert.NotEmpty(t, record.Items)
		inCart := map[string]bool{}
		for _, code := range record.Event.Cart() {
			inCart[code] = true
		}
		for _, item := range record.Items {
			assert.False(t, inCart[item.ID], "%s is in the cart and was recommended", item.ID)
		}
		if kept, ok := newest[record.Event.SessionID]; !ok || record.Supersedes(kept) {
			newest[record.Event.SessionID] = record
		}
	}
	rows := rows(t, running)
	require.Len(t, rows, len(newest))
	for session, archived := range newest {
		delivered, err := row.ReadRecord(rows[session])
		require.NoError(t, err)
		differences, err := recommendation.Differences(archived, delivered)
		require.NoError(t, err)
		assert.Empty(t, differences, "archive and row of session %s", session)
	}
	queried(t, to, report)
	logged(t, folder, report)
	t.Run("each stage keeps its budget", func(t *testing.T) { withinBudget(t, running, to) })
}

// withinBudget sends small loads until each stage of one has kept its budget: another test may keep
// the machine busy for a while. Of inference and writing the deliver function tells the sum.
func withinBudget(t *testing.T, running started, to demonstration.Target) {
	t.Helper()
	const attempts, events = 20, 60
	median := func(durations []time.Duration) time.Duration { return demonstration.Percentile(durations, 50) }
	limits := map[string]time.Duration{}
	for _, stage := range latency.Stages {
		limits[stage.Name] = stage.Laptop
	}
	require.Len(t, running.Consumers(), 1)
	deliver := running.Consumers()[0]
	over := ""
	for attempt := range attempts {
		before, _, _ := deliver.Durations()
		report, err := demonstration.Run(t.Context(), to, demonstration.Options{Shop: shop(t), Events: events,
			Profile: demand.Steady(60, time.Second), Activity: classicmodels.EventOptions{Seed: uint64(attempt) + 2}})
		require.NoError(t, err)
		require.NotEmpty(t, report.Readable)
		invocations, _, _ := deliver.Durations()
		put, invocation, whole := median(report.Put), median(invocations[len(before):]), median(report.Readable)
		over = ""
		both := limits[latency.Inference] + limits[latency.Write]
		for stage, took := range map[string]struct{ took, limit time.Duration }{
			latency.Put: {put, limits[latency.Put]},
			latency.Inference + " and " + latency.Write: {invocation, both},
			latency.Wait: {whole - put - invocation, limits[latency.Wait]},
			"the whole":  {whole, latency.OnLaptop},
		} {
			if took.took > took.limit {
				over += fmt.Sprintf("%s took %s of %s; ", stage, took.took, took.limit)
			}
		}
		if over == "" {
			return
		}
	}
	assert.Empty(t, over, "the last of %d attempts", attempts)
}

// logged reads what the functions have written.
func logged(t *testing.T, folder string, report demonstration.Report) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(folder, "engines", "lambda", "log", "*Streaming-*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 3, "of transform, deliver and inference")
	latencies, refused := 0, map[string]int{}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		require.NoError(t, err)
		for _, record := range report.Records {
			for _, personal := range []string{record.Event.SessionID, record.Event.ID.String()} {
				// Not by assert, which would show all of the log.
				require.False(t, bytes.Contains(text, []byte(personal)), "%s has %s", log, personal)
			}
		}
		for line := range bytes.Lines(text) {
			var counted struct {
				Function string
				Latency  []float64
				Refused  int
			}
			if json.Unmarshal(line, &counted) != nil {
				continue // a line of the host's, or a log's whose fields mean something else
			}
			latencies += len(counted.Latency)
			refused[counted.Function] += counted.Refused
		}
	}
	assert.GreaterOrEqual(t, latencies, report.Delivered, "a value for each event that was delivered")
	assert.GreaterOrEqual(t, refused["transform"], report.Broken)
	assert.GreaterOrEqual(t, refused["deliver"], report.Broken)
}

// queried runs the saved queries over a copy of the bucket.
func queried(t *testing.T, to demonstration.Target, report demonstration.Report) {
	t.Helper()
	folder := t.TempDir()
	pages := s3.NewListObjectsV2Paginator(to.S3, &s3.ListObjectsV2Input{Bucket: &to.Bucket})
	compressed, distinct := 0, map[string]bool{} // refused events
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, object := range page.Contents {
			found, err := to.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &to.Bucket, Key: object.Key})
			require.NoError(t, err)
			content, err := io.ReadAll(found.Body)
			require.NoError(t, errors.Join(err, found.Body.Close()))
			path := filepath.Join(folder, filepath.FromSlash(*object.Key))
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
			require.NoError(t, os.WriteFile(path, content, 0o600))
			if strings.HasSuffix(*object.Key, archive.GZIPExtension) {
				compressed++
			}
			if !strings.HasPrefix(*object.Key, archive.Errors) {
				continue
			}
			for entry, err := range erroroutput.Read(bytes.NewReader(content)) {
				require.NoError(t, err)
				distinct[fmt.Sprint(entry.ArrivedAt.UnixMilli(), string(entry.Payload))] = true
			}
		}
	}
	assert.Positive(t, compressed)
	lines, err := queries.ReadLines(folder)
	require.NoError(t, err)
	require.Len(t, lines, len(report.Records))
	customer := report.Records[0].Event.CustomerNumber
	found, err := queries.Run(t.Context(), folder, customer)
	require.NoError(t, err)
	assert.Equal(t, queries.RungsByHour(lines), found["rungs_by_hour"])
	rates := map[string]queries.Row{}
	for _, row := range found["hit_rate"] {
		rates[row["model_version"].(string)] = row
	}
	assert.Equal(t, queries.HitRate(lines), rates)
	longest := queries.LongestByHour(lines)
	require.Len(t, found["event_to_recommended"], len(longest))
	for i, row := range found["event_to_recommended"] {
		assert.Equal(t, longest[i]["longest"], row["longest"])
	}
	ofCustomer := 0
	for _, record := range report.Records {
		if record.Event.CustomerNumber == customer {
			ofCustomer++
		}
	}
	assert.Len(t, found["customer_recommendations"], ofCustomer)
	refused := 0.0
	for _, row := range found["refused_by_reason"] {
		assert.Equal(t, "Lambda.ProcessingFailedStatus", row["reason"])
		refused += row["events"].(float64)
	}
	assert.EqualValues(t, len(distinct), refused, "of %d", report.Broken)
}

func rows(t *testing.T, running started) map[string]map[string]types.AttributeValue {
	t.Helper()
	table := output(t, running, outputs.RecommendationsTableName)
	all := map[string]map[string]types.AttributeValue{}
	pages := dynamodb.NewScanPaginator(target(t, running, "").DynamoDB, &dynamodb.ScanInput{TableName: &table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, item := range page.Items {
			session, _, err := row.ReadPosition(item)
			require.NoError(t, err)
			all[session] = item
		}
	}
	return all
}

// The course's three routes answer signed callers and no others.
func TestTheCoursesRoutes(t *testing.T) {
	running := start(t, synthesized)
	base := output(t, running, outputs.InferenceURL)

	status, _ := call(t, running, http.MethodGet, base+"items_from_item?item_id=S10_1001&limit=5", nil, false)
	assert.Equal(t, http.StatusForbidden, status, "an unsigned request")

	status, answer := call(t, running, http.MethodPost, base+"user_embeddings",
		[]byte(`[{"city":"Paris","country":"France","creditlimit":81200}]`), true)
	require.Equal(t, http.StatusOK, status, "%s", answer)
	var vectors []json.RawMessage
	require.NoError(t, json.Unmarshal(answer, &vectors))
	require.Len(t, vectors, 1)

	status, answer = call(t, running, http.MethodPost, base+"items_from_user?limit=5", vectors[0], true)
	require.Equal(t, http.StatusOK, status, "%s", answer)
	var items []struct {
		ID    string
		Score float64
	}
	require.NoError(t, json.Unmarshal(answer, &items))
	require.Len(t, items, 5)
	assert.GreaterOrEqual(t, items[0].Score, items[4].Score)

	status, answer = call(t, running, http.MethodGet, base+"items_from_item?item_id="+items[0].ID+"&limit=5", nil, true)
	require.Equal(t, http.StatusOK, status, "%s", answer)
	var neighbours []struct {
		ID       string
		Distance float64
	}
	require.NoError(t, json.Unmarshal(answer, &neighbours))
	require.Len(t, neighbours, 5)
	assert.NotEqual(t, items[0].ID, neighbours[0].ID)
	assert.LessOrEqual(t, neighbours[0].Distance, neighbours[4].Distance)
}

func call(t *testing.T, running started, method, address string, body []byte, signed bool) (int, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	if signed {
		endpoints := running.Endpoints()
		credentials := aws.Credentials{AccessKeyID: endpoints["AWS_ACCESS_KEY_ID"],
			SecretAccessKey: endpoints["AWS_SECRET_ACCESS_KEY"]}
		sum := sha256.Sum256(body)
		require.NoError(t, signer.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "lambda",
			endpoints["AWS_REGION"], time.Now()))
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, answer
}

// counted holds the run's own account to what the shop has seen.
func counted(t *testing.T, account ledger.Account, report demonstration.Report) {
	t.Helper()
	valid := report.Sent - report.Broken
	assert.Empty(t, account.Problems())
	require.Len(t, account.Consumers, 2)
	for _, consumer := range account.Consumers {
		assert.Equal(t, report.Sent, consumer.Accepted, consumer.Name)
		assert.Zero(t, consumer.Pending, consumer.Name)
		assert.Zero(t, consumer.GivenUp, consumer.Name)
		if consumer.Archived > 0 {
			assert.Equal(t, valid, consumer.Archived)
			assert.Equal(t, report.RefusedFor, consumer.InError)
		} else {
			assert.Equal(t, valid, consumer.Delivered)
			assert.Equal(t, report.Broken, consumer.Dropped)
			assert.Empty(t, consumer.Discarded)
		}
	}
	require.Len(t, account.Engines, 3)
	for _, engine := range account.Engines {
		assert.Positive(t, engine.Memory, engine.Name)
		assert.Less(t, engine.Memory, engine.Limit, engine.Name)
	}
}
