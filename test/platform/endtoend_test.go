package platform

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/archive"
	"diecast/internal/classicmodels"
	"diecast/internal/demand"
	"diecast/internal/deployment/outputs"
	"diecast/internal/latency"
	"diecast/internal/local/demonstration"
	"diecast/internal/local/ledger"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
)

// Events on the stream are found, complete and exact, in the bucket and in the table.
func TestEventsReachTheArchiveAndTheShop(t *testing.T) {
	running := start(t, synthesized)
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
