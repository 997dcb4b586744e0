package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
	"diecast/internal/embeddings"
	"diecast/internal/etl"
	"diecast/internal/inference"
	"diecast/internal/local/demonstration"
	"diecast/internal/local/platform"
	"diecast/internal/models/modelstore"
	"diecast/internal/models/ranking"
	"diecast/internal/recommendation"
	"diecast/internal/vectorloader"
	answers "diecast/internal/vectorloader/answer"
	shipped "diecast/training/artifacts"
)

// mostItems is the most that one answer has.
const mostItems = recommendation.MaxItems

// invoked calls one of the run's functions and decodes its answer.
func invoked(ctx context.Context, client *lambda.Client, function string, request, into any) error {
	told, err := answered(ctx, client, function, request)
	if err != nil {
		return err
	}
	return json.Unmarshal(told, into)
}

func answered(ctx context.Context, client *lambda.Client, function string, request any) ([]byte, error) {
	payload, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	told, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	if err == nil && told.FunctionError != nil {
		err = fmt.Errorf("%s: %s", function, told.Payload)
	}
	if err != nil {
		return nil, err
	}
	return told.Payload, nil
}

// inferred is inference's answer, read as its callers do.
func inferred(ctx context.Context, client *lambda.Client, function string, request inference.BatchRequest) (
	inference.BatchAnswer, error) {
	told, err := answered(ctx, client, function, request)
	if err != nil {
		return inference.BatchAnswer{}, err
	}
	return inference.DecodeBatchAnswer(told, request)
}

// asking is a batch of one event whose answer has as many items as there may be.
func asking(cart ...string) inference.BatchRequest {
	return inference.BatchRequest{Limit: mostItems, SimilarLimit: 1, Events: []inference.BatchEvent{{
		EventID: uuid.MustParse("00000000-0000-4000-8000-000000000001"), CustomerNumber: 103,
		City: "Nantes", Country: "France", CreditLimit: 21000, Cart: append([]string{}, cart...), Browsed: []string{},
	}}}
}

// recommended are the products that inference knows by a rung: what it recommends, and what it does
// so with all of that in the cart.
func recommended(t *testing.T, client *lambda.Client, function string, rung recommendation.Rung) (
	codes []string, told inference.BatchAnswer) {
	t.Helper()
	for range 2 {
		told = inferredBy(t, client, function, asking(codes...), rung)
		for _, item := range told.Results[0].Items {
			codes = append(codes, item.ID)
		}
	}
	return codes, told
}

// inferredBy is inference's answer to one event by a rung. A busy machine may keep the store
// waiting: it is asked again while the store and memory answer for each other, not where neither
// can answer.
func inferredBy(t *testing.T, client *lambda.Client, function string, request inference.BatchRequest,
	rung recommendation.Rung) (told inference.BatchAnswer) {
	t.Helper()
	var err error
	require.Eventually(t, func() bool {
		told, err = inferred(t.Context(), client, function, request)
		return err != nil || told.Results[0].Rung == rung || told.Results[0].Rung.Degraded()
	}, time.Minute, 10*time.Millisecond, "no answer of rung %s", rung)
	require.NoError(t, err)
	require.Equal(t, rung, told.Results[0].Rung)
	return told
}

// Products are added in the shop and another one is withdrawn: after a run of the state machine
// those are recommended and that is not, nor by the fallback; and a hundred switches under load
// leave no reader without an answer, and mix no two models.
func TestTheStoreFollowsTheCatalogue(t *testing.T) {
	folder := t.TempDir()
	running := startIn(t, synthesized, folder)
	client, err := running.deployed.Lambda(t.Context())
	require.NoError(t, err)
	inferring, loader := output(t, running, outputs.InferenceFunctionName), output(t, running,
		outputs.VectorsLoaderFunctionName)
	before, told := recommended(t, client, inferring, recommendation.Store)
	base := told.ModelVersion
	require.Len(t, before, 110)

	var advanced struct{}
	require.NoError(t, invoked(t.Context(), client, output(t, running, outputs.SourceLoaderFunctionName),
		map[string]any{"action": "advance", "days": 1}, &advanced))
	batch, err := etl.TargetOf(t.Context(), running.deployed)
	require.NoError(t, err)
	report, err := demonstration.RunBatch(t.Context(), batch, func(string) {})
	require.NoError(t, err)
	command := buildCommand(t)
	outputsFile := filepath.Join(folder, platform.OutputsFile)
	operate := func(into any, arguments ...string) {
		t.Helper()
		process := exec.CommandContext(t.Context(), command,
			append([]string{"vectors", "--json", "--outputs", outputsFile}, arguments...)...)
		var notes bytes.Buffer
		process.Stderr = &notes
		text, err := process.Output()
		require.NoError(t, err, "%s", notes.String())
		require.NoError(t, json.Unmarshal(text, into), "%s", text)
	}
	after, told := recommended(t, client, inferring, recommendation.Store)
	refreshed := told.ModelVersion
	assert.NotEqual(t, base, refreshed)
	assert.Equal(t, "2 products in, 1 out: model "+refreshed+" serves 111", report.VectorStore)
	added, withdrawn := without(after, before), without(before, after)
	require.Len(t, added, 2, "one that customers buy, and one that is to be withdrawn next")
	require.Len(t, withdrawn, 1)

	t.Run("the lower rungs, too", func(t *testing.T) {
		connection := administrator(t, running)
		lock, err := connection.Begin(t.Context())
		require.NoError(t, err)
		_, err = lock.Exec(t.Context(), "LOCK TABLE vectors.item_embeddings IN ACCESS EXCLUSIVE MODE")
		require.NoError(t, err)
		remembered, _ := recommended(t, client, inferring, recommendation.Memory)
		require.NoError(t, lock.Rollback(t.Context()))
		assert.Subset(t, remembered, added)
		assert.NotContains(t, remembered, withdrawn[0])

		buckets, err := running.deployed.S3(t.Context())
		require.NoError(t, err)
		bucket := modelstore.Bucket{Client: buckets, Name: output(t, running, outputs.ArtifactsBucketName)}
		manifest, err := bucket.Manifest(t.Context(), refreshed)
		require.NoError(t, err)
		popular, err := ranking.Read(t.Context(), bucket, manifest)
		require.NoError(t, err)
		var codes []string
		for _, item := range popular.Items {
			codes = append(codes, item.ID)
		}
		assert.Subset(t, codes, added)
		assert.NotContains(t, codes, withdrawn[0])
	})
	t.Run("status, and an unchanged catalogue", func(t *testing.T) {
		var again answers.Refreshed
		operate(&again, "refresh", "--training-run", report.Outcome.RunID)
		assert.True(t, again.Figures.Unchanged)
		var status answers.Status
		operate(&status, "status")
		assert.Len(t, status.Versions, 2)
		assert.Equal(t, []string{refreshed, base, report.Outcome.RunID}, []string{status.Active.Version,
			status.Active.Previous, status.Active.RunID})
		require.NotNil(t, status.RunAgeHours)
		assert.Zero(t, *status.RunAgeHours)
		assert.Equal(t, "the state machine", status.Moves[0].By)
		var active embeddings.Active
		for range 2 {
			operate(&active, "rollback")
		}
		operate(&status, "status")
		assert.Equal(t, refreshed, status.Active.Version)
		assert.Contains(t, status.Moves[0].By, "@")
	})
	t.Run("a hundred switches under load", func(t *testing.T) {
		codes := map[string][]string{base: before, refreshed: after}
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		var asked, mixed atomic.Int64
		var failed []error
		var mutex sync.Mutex
		for range 2 {
			group.Go(func() {
				for ctx.Err() == nil {
					told, err := inferred(context.WithoutCancel(ctx), client, inferring, asking())
					if err != nil {
						mutex.Lock()
						failed = append(failed, err)
						mutex.Unlock()
						continue
					}
					asked.Add(1)
					for _, item := range told.Results[0].Items {
						if !slices.Contains(codes[told.ModelVersion], item.ID) {
							mixed.Add(1)
						}
					}
				}
			})
		}
		for range 100 {
			var active struct{}
			err = errors.Join(err, invoked(t.Context(), client, loader, vectorloader.Request{Action: "rollback"},
				&active))
		}
		stop()
		group.Wait()
		require.NoError(t, err)
		assert.Empty(t, failed)
		assert.Zero(t, mixed.Load())
		assert.Positive(t, asked.Load())
	})
	t.Run("the course's CSV files alone", func(t *testing.T) {
		model, _, err := shipped.Model()
		require.NoError(t, err)
		files, err := fs.Sub(model, "embeddings")
		require.NoError(t, err)
		course := filepath.Join(t.TempDir(), "embeddings")
		require.NoError(t, os.CopyFS(course, files))
		var loaded embeddings.Loaded
		operate(&loaded, "load", course, "--activate")
		assert.Equal(t, loaded.Version, loaded.Active)
		for _, asked := range []struct {
			customer int
			rung     recommendation.Rung
		}{
			{104, recommendation.Store}, // first, so that memory has the new model, too
			{999_999, recommendation.Popular},
		} {
			request := asking()
			request.Events[0].CustomerNumber = asked.customer
			told := inferredBy(t, client, inferring, request, asked.rung)
			assert.Equal(t, loaded.Version, told.ModelVersion)
			assert.Len(t, told.Results[0].Items, mostItems)
		}
	})
}

// without are the texts of one list that the other has not.
func without(one, other []string) []string {
	return slices.DeleteFunc(slices.Clone(one), func(text string) bool { return slices.Contains(other, text) })
}

// administrator is a connection to the vector store by the login that RDS would keep.
func administrator(t *testing.T, running started) *pgx.Conn {
	t.Helper()
	return vectorsBy(t, running, output(t, running, outputs.VectorsDatabaseSecretARN))
}

// vectorsBy is a connection to the vector store by the login in a secret.
func vectorsBy(t *testing.T, running started, arn string) *pgx.Conn {
	t.Helper()
	secrets, err := running.deployed.SecretsManager(t.Context())
	require.NoError(t, err)
	secret, err := secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &arn})
	require.NoError(t, err)
	var login struct{ Username, Password string }
	require.NoError(t, json.Unmarshal([]byte(*secret.SecretString), &login))
	settings, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%s dbname=%s sslmode=disable",
		output(t, running, outputs.VectorsDatabaseHost), output(t, running, outputs.VectorsDatabasePort),
		output(t, running, outputs.VectorsDatabaseName)))
	require.NoError(t, err)
	settings.User, settings.Password, settings.ConnectTimeout = login.Username, login.Password, 10*time.Second
	connection, err := pgx.ConnectConfig(t.Context(), settings)
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close(context.WithoutCancel(t.Context())) })
	return connection
}
