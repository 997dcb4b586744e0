// Package lambda measures the functions of the stream together.
package lambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/classicmodels"
	"diecast/internal/embeddings"
	"diecast/internal/local/installed"
	"diecast/internal/local/postgres/postgrestest"
	"diecast/internal/metrics"
	"diecast/internal/models"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/postgresclient"
	inference "diecast/lambda/inference/handler"
	"diecast/lambda/internal/function"
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
}

// Invoke is the inference function.
func (p *path) Invoke(ctx context.Context, input *sdk.InvokeInput, _ ...func(*sdk.Options)) (*sdk.InvokeOutput, error) {
	payload, err := p.inference.Invoke(ctx, input.Payload)
	return &sdk.InvokeOutput{Payload: payload}, err
}

// functionMiB is the memory of each of the functions.
const functionMiB = 512

// newPath serves the shipped model, with so many more items beside its own.
func newPath(b *testing.B, more int) *path {
	b.Helper()
	cluster, database := postgrestest.Cluster(b), postgrestest.Database(b)
	settings, err := postgresclient.Pool(cluster.DSN(database))
	require.NoError(b, err)
	pool, err := pgxpool.NewWithConfig(b.Context(), settings)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	objects := modelstoretest.New()
	manifest, items := larger(b, objects, more)
	store := embeddings.NewStore(pool)
	_, err = store.Migrate(b.Context())
	require.NoError(b, err)
	_, err = store.Load(b.Context(), embeddings.Model{
		Version: manifest.ModelVersion, Origin: embeddings.Trained, Towers: true, Items: strings.NewReader(items),
		Users: strings.NewReader("id,embedding\n"), ItemCount: int(manifest.Items.Rows),
	}, embeddings.Switch)
	require.NoError(b, err)
	function.Collect(functionMiB)
	p := &path{inference: inference.Handler{Engine: &inference.Engine{
		Store: store, Bucket: objects.Bucket(), Logger: slog.New(slog.DiscardHandler), MemoryMiB: functionMiB,
	}}}
	p.transform = transform.Handler{
		Recommender: recommender.Recommender{Invoker: p, Function: "inference", Clock: time.Now},
		Logger:      slog.New(slog.DiscardHandler), Metrics: metrics.Writer{Output: io.Discard},
	}
	return p
}

// larger puts the shipped model with more items into the bucket, and returns its manifest and its
// items' file.
func larger(b *testing.B, objects *modelstoretest.Objects, more int) (artifacts.Manifest, string) {
	b.Helper()
	folder, _, err := shipped.Model()
	require.NoError(b, err)
	model, err := artifacts.Verify(folder)
	require.NoError(b, err)
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
	files, manifest := fstest.MapFS{}, model.Manifest
	for name := range manifest.Files {
		content, err := fs.ReadFile(folder, name)
		require.NoError(b, err)
		files[name] = &fstest.MapFile{Data: content}
	}
	files[artifacts.ItemEmbeddings].Data = []byte(items.String())
	manifest.Files[artifacts.ItemEmbeddings], err = artifacts.Describe(files, artifacts.ItemEmbeddings)
	require.NoError(b, err)
	manifest.Items.Rows += int64(more)
	manifest.ModelVersion = artifacts.Version(manifest.Files)
	objects.Put(b, files, manifest)
	return manifest, items.String()
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
	answer, err := p.transform.Invoke(b.Context(), request)
	require.NoError(b, err)
	return answer
}

// fromStore counts the records that the vector store answered.
func fromStore(b *testing.B, answer []byte) (count int) {
	b.Helper()
	var response struct {
		Records []struct {
			Line []byte `json:"data"`
		} `json:"records"`
	}
	require.NoError(b, json.Unmarshal(answer, &response))
	for _, answered := range response.Records {
		if bytes.Contains(answered.Line, []byte(`"rung":"store"`)) {
			count++
		}
	}
	return count
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
		b.Run(fmt.Sprintf("%d-items", 110+more), func(b *testing.B) {
			p := newPath(b, more)
			for first := 0; first < len(payloads); first += batchEvents {
				p.answer(b, batch(b, payloads, first, false))
			}
			b.Run("warm", func(b *testing.B) { p.measure(b, payloads, false) })
			b.Run("cold", func(b *testing.B) { p.measure(b, payloads, true) })
		})
	}
}

// measure reports events by the clock and by this process's time on a processor, and the share that
// the vector store answered: where a batch takes it longer than a rung has, memory does.
func (p *path) measure(b *testing.B, payloads [][]byte, strangers bool) {
	first, stored := 1_000_000, 0
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		request := batch(b, payloads, first, strangers)
		first += batchEvents
		before := used(b)
		b.StartTimer()
		answer := p.answer(b, request)
		b.StopTimer()
		spent += used(b) - before
		stored += fromStore(b, answer)
		b.StartTimer()
	}
	events := float64(batchEvents) * float64(b.N)
	b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(events/spent.Seconds(), "events/cpu-s")
	b.ReportMetric(100*float64(stored)/events, "%store")
	b.ReportMetric(0, "ns/op")
}

// ServeHTTP is the function URL of inference.
func (p *path) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // whoever asked has gone
	}
	asked := events.LambdaFunctionURLRequest{RawPath: request.URL.Path, Body: string(body),
		QueryStringParameters: map[string]string{}}
	for name := range request.URL.Query() {
		asked.QueryStringParameters[name] = request.URL.Query().Get(name)
	}
	asked.RequestContext.HTTP.Method = request.Method
	payload, err := json.Marshal(asked)
	var answer events.LambdaFunctionURLResponse
	if err == nil {
		payload, err = p.inference.Invoke(request.Context(), payload)
	}
	if err == nil {
		err = json.Unmarshal(payload, &answer)
	}
	if err != nil {
		http.Error(writer, err.Error(), http.StatusInternalServerError)
		return
	}
	writer.WriteHeader(answer.StatusCode)
	_, _ = io.WriteString(writer, answer.Body)
}

// BenchmarkPerRecord is how many events go through a transform function that is written in Python
// and asks the same inference three times for each event: test/bench/per_record.py.
func BenchmarkPerRecord(b *testing.B) {
	p := newPath(b, 0)
	server := httptest.NewServer(p)
	b.Cleanup(server.Close)
	python, err := installed.Python()
	require.NoError(b, err)
	request := batch(b, shopEvents(b, batchEvents), 1_000_000, false)
	var counted struct{ Events, Seconds float64 }
	answered, seconds := 0.0, 0.0
	for b.Loop() {
		process := exec.CommandContext(b.Context(), python, "../test/bench/per_record.py", server.URL)
		process.Stdin, process.Stderr = bytes.NewReader(request), os.Stderr
		output, err := process.Output()
		require.NoError(b, err)
		require.NoError(b, json.Unmarshal(output, &counted))
		answered, seconds = answered+counted.Events, seconds+counted.Seconds
	}
	b.ReportMetric(answered/seconds, "events/s")
	b.ReportMetric(0, "ns/op")
}
