// Package lambda measures the functions of the stream together.
package lambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/classicmodels"
	"diecast/internal/embeddings"
	"diecast/internal/local/postgres/postgrestest"
	"diecast/internal/metrics"
	"diecast/internal/models"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/postgresclient"
	inference "diecast/lambda/inference/handler"
	"diecast/lambda/internal/recommender"
	transform "diecast/lambda/transform/handler"
	shipped "diecast/training/artifacts"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Run(m)) }

// path is the way of an event through transform and inference, in this process: what both are
// given and answer is JSON, as Lambda hands it on. PostgreSQL is real.
type path struct {
	inference inference.Handler
	transform transform.Handler
	version   string
}

// Invoke is the inference function.
func (p *path) Invoke(ctx context.Context, input *sdk.InvokeInput, _ ...func(*sdk.Options)) (*sdk.InvokeOutput, error) {
	payload, err := p.inference.Invoke(ctx, input.Payload)
	return &sdk.InvokeOutput{Payload: payload}, err
}

// newPath serves the shipped model, with so many more items beside its own in the vector store.
func newPath(b *testing.B, more int) *path {
	b.Helper()
	cluster, database := postgrestest.Cluster(b), postgrestest.Database(b)
	settings, err := postgresclient.Pool(cluster.DSN(database))
	require.NoError(b, err)
	pool, err := pgxpool.NewWithConfig(b.Context(), settings)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	folder, version, err := shipped.Model()
	require.NoError(b, err)
	model, err := artifacts.Verify(folder)
	require.NoError(b, err)
	objects := modelstoretest.New()
	objects.Put(b, folder, model.Manifest)
	var items strings.Builder
	items.WriteString("id,embedding\n")
	for _, item := range model.Items {
		fmt.Fprintf(&items, "%s,%q\n", item.ID, artifacts.FormatVector(item.Vector))
	}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range more {
		vector, length := make([]float32, models.Dimension), 0.0
		for d := range vector {
			vector[d] = float32(random.NormFloat64())
			length += float64(vector[d]) * float64(vector[d])
		}
		for d := range vector {
			vector[d] /= float32(math.Sqrt(length))
		}
		fmt.Fprintf(&items, "X_%06d,%q\n", i, artifacts.FormatVector(vector))
	}
	store := embeddings.NewStore(pool)
	_, err = store.Migrate(b.Context())
	require.NoError(b, err)
	_, err = store.Load(b.Context(), embeddings.Model{
		Version: version, Origin: embeddings.Trained, Towers: true, Items: strings.NewReader(items.String()),
		Users: strings.NewReader("id,embedding\n"), ItemCount: len(model.Items) + more,
	}, embeddings.Switch)
	require.NoError(b, err)
	p := &path{version: version, inference: inference.Handler{Engine: &inference.Engine{
		Store: store, Bucket: objects.Bucket(), Logger: slog.New(slog.DiscardHandler), MemoryMiB: 512,
		RungTime: time.Minute,
	}}}
	p.transform = transform.Handler{
		Recommender: recommender.Recommender{Invoker: p, Function: "inference", Clock: time.Now},
		Logger:      slog.New(slog.DiscardHandler), Metrics: metrics.Writer{Output: io.Discard},
	}
	return p
}

// batchEvents are those of one invocation: as many as transform asks inference for at a time.
const batchEvents = 200

// batch is what Firehose sends transform, with so many events of the shop from the first one on.
// A stranger's credit limit is nobody else's.
func batch(b *testing.B, payloads [][]byte, first int, strangers bool) []byte {
	b.Helper()
	type record map[string]any
	records := make([]record, batchEvents)
	arrived := time.Now().UnixMilli()
	for i := range records {
		payload := payloads[(first+i)%len(payloads)]
		if strangers {
			var event map[string]any
			require.NoError(b, json.Unmarshal(payload, &event))
			event["credit_limit"] = first + i
			var err error
			payload, err = json.Marshal(event)
			require.NoError(b, err)
		}
		records[i] = record{
			"recordId": strconv.Itoa(i), "approximateArrivalTimestamp": arrived,
			"data": base64.StdEncoding.EncodeToString(payload), "kinesisRecordMetadata": record{
				"sequenceNumber": strconv.Itoa(first + i), "subsequenceNumber": 0, "partitionKey": "p",
				"shardId": "shardId-000000000000", "approximateArrivalTimestamp": arrived,
			},
		}
	}
	request, err := json.Marshal(record{
		"invocationId": "i", "sourceKinesisStreamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
		"records": records,
	})
	require.NoError(b, err)
	return request
}

// answer is one invocation of transform.
func (p *path) answer(b *testing.B, request []byte) []byte {
	b.Helper()
	var read transform.Request
	require.NoError(b, json.Unmarshal(request, &read))
	response, err := p.transform.Handle(b.Context(), read)
	require.NoError(b, err)
	answer, err := json.Marshal(response)
	require.NoError(b, err)
	return answer
}

func shopEvents(b *testing.B, count int) (payloads [][]byte) {
	b.Helper()
	shop, err := classicmodels.New(classicmodels.DefaultOptions())
	require.NoError(b, err)
	events, err := shop.Events(classicmodels.EventOptions{Seed: 1, Clock: time.Now})
	require.NoError(b, err)
	for event := range events {
		if payloads = append(payloads, event.Payload); len(payloads) == count {
			break
		}
	}
	return payloads
}

// used is the processor time of this process, without PostgreSQL's.
func used(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkEvents is how many events go through transform and inference, one batch after the other:
// warm, when all was asked before; cold, when nobody's features were, which makes the share of
// users that are remembered 0.
func BenchmarkEvents(b *testing.B) {
	payloads := shopEvents(b, 10*batchEvents)
	for _, more := range []int{0, 100_000 - 110} {
		var p *path
		for _, cold := range []bool{false, true} {
			name := map[bool]string{false: "warm", true: "cold"}[cold]
			b.Run(fmt.Sprintf("%d-items/%s", 110+more, name), func(b *testing.B) {
				if p == nil {
					p = newPath(b, more)
				}
				for first := 0; first < len(payloads); first += batchEvents {
					p.answer(b, batch(b, payloads, first, false))
				}
				first := 1_000_000
				before := used(b)
				var spent time.Duration
				for b.Loop() {
					b.StopTimer()
					request := batch(b, payloads, first, cold)
					first += batchEvents
					before = used(b)
					b.StartTimer()
					p.answer(b, request)
					spent += used(b) - before
				}
				events := float64(batchEvents) * float64(b.N)
				b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(events/spent.Seconds(), "events/cpu-s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
