package platform

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"diecast/internal/archive"
	"diecast/internal/classicmodels"
	"diecast/internal/demand"
	"diecast/internal/local/demonstration"
	"diecast/internal/local/lambdahost"
	"diecast/internal/local/platform"
)

// BenchmarkUp is the time from nothing to a platform that takes events, with the functions built
// before.
func BenchmarkUp(b *testing.B) {
	start(b, synthesized) // builds the functions
	for b.Loop() {
		running, err := platform.Start(b.Context(), platform.Options{Assembly: synthesized, Source: root,
			Dir: b.TempDir()})
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, running.Stop(context.Background()))
		b.StartTimer()
	}
}

// BenchmarkPutToReadable is an event's time from put to readable by the shop, at 100 events a
// second.
func BenchmarkPutToReadable(b *testing.B) {
	running := start(b, synthesized)
	to := target(b, running, archive.Recommendations)
	var readable []time.Duration
	for b.Loop() {
		report, err := demonstration.Run(b.Context(), to, demonstration.Options{Shop: shop(b), Events: 300,
			Profile: demand.Steady(100, time.Second)})
		require.NoError(b, err)
		readable = append(readable, report.Readable...)
	}
	b.ReportMetric(float64(demonstration.Percentile(readable, 50).Milliseconds()), "p50-ms")
	b.ReportMetric(float64(demonstration.Percentile(readable, 99).Milliseconds()), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkProcessStart is the median time of 20 from the start of a function's process to its
// first answer: one that needs nothing, and one that needs S3, SQL or inference. What transform and
// deliver wait for inference's own start is in the second and not in the third.
func BenchmarkProcessStart(b *testing.B) {
	running := start(b, synthesized)
	valid := payloads(b, 1)[0]
	functions := definitions(running)
	inference := functions[inferenceSource].Name
	for _, source := range slices.Sorted(maps.Keys(functions)) {
		function := functions[source]
		measure := func(kind, event string, before func(*lambdahost.Host)) {
			b.Run(strings.TrimPrefix(source, "lambda/")+"/"+kind, func(b *testing.B) {
				benchmarkStart(b, running, function.Name, event, before)
			})
		}
		measure("alone", firstCall(source, []byte(`{}`)), nil)
		measure("with-S3-and-SQL", firstCall(source, valid), nil)
		if source == transformSource || source == deliverSource {
			measure("with-inference-started", firstCall(source, valid), func(host *lambdahost.Host) {
				_, err := host.Invoke(b.Context(), inference, []byte(firstCall(inferenceSource, valid)))
				require.NoError(b, err)
			})
		}
	}
}

// definitions of the run's functions, by their folders.
func definitions(running started) map[string]lambdahost.Function {
	functions := map[string]lambdahost.Function{}
	for _, function := range running.Functions() {
		functions[function.Source] = function.Definition
	}
	return functions
}

func benchmarkStart(b *testing.B, running started, function, event string, before func(*lambdahost.Host)) {
	const starts = 20
	var cold []time.Duration
	for b.Loop() {
		for range starts {
			host := another(b, running)
			if before != nil {
				before(host)
			}
			result, err := host.Invoke(b.Context(), function, []byte(event))
			require.NoError(b, err)
			cold = append(cold, result.ColdStart)
			require.NoError(b, host.Stop(context.Background()))
		}
	}
	b.ReportMetric(float64(demonstration.Percentile(cold, 50).Microseconds())/1000, "median-ms")
	b.ReportMetric(0, "ns/op")
}

// Folders of the functions that have an event of their own to begin with.
const (
	transformSource = "lambda/transform"
	deliverSource   = "lambda/deliver"
	inferenceSource = "lambda/inference"
)

// another host of the run's functions, all of them cold.
func another(b *testing.B, running started) *lambdahost.Host {
	b.Helper()
	options := running.HostOptions()
	options.Dir = b.TempDir()
	host, err := lambdahost.Start(b.Context(), options)
	require.NoError(b, err)
	for _, definition := range definitions(running) {
		require.NoError(b, host.Add(definition))
	}
	return host
}

// firstCall is a function's event that carries one payload.
func firstCall(source string, payload []byte) string {
	valid := string(payload) != `{}`
	switch source {
	case transformSource:
		return transformEvent([][]byte{payload})
	case deliverSource:
		return fmt.Sprintf(`{"Records":[{"eventID":"shardId-000000000000:1",`+
			`"eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s",
			"kinesis":{"data":%q,"sequenceNumber":"1","partitionKey":"p","approximateArrivalTimestamp":%d}}]}`,
			base64.StdEncoding.EncodeToString(payload), time.Now().Unix())
	case inferenceSource:
		if valid {
			return `{"limit":5,"events":[{"event_id":"1a7ad36a-6763-4608-9c7f-014231043a8c","customer_number":103,` +
				`"city":"Nantes","country":"France","credit_limit":21000,"cart":[],"browsed":[]}]}`
		}
		return `{"limit":0,"events":[]}`
	}
	if valid {
		return `{"action":"status"}`
	}
	return `{"RequestType":"Delete"}`
}

func transformEvent(payloads [][]byte) string {
	type record struct {
		ID       string         `json:"recordId"`
		Arrived  int64          `json:"approximateArrivalTimestamp"`
		Data     []byte         `json:"data"`
		Metadata map[string]any `json:"kinesisRecordMetadata"`
	}
	records := make([]record, 0, len(payloads))
	for i, payload := range payloads {
		now := time.Now().UnixMilli()
		records = append(records, record{ID: fmt.Sprint(i), Arrived: now, Data: payload, Metadata: map[string]any{
			"shardId": "shardId-000000000000", "partitionKey": "p", "sequenceNumber": fmt.Sprint(i),
			"subsequenceNumber": 0, "approximateArrivalTimestamp": now,
		}})
	}
	event, err := json.Marshal(map[string]any{
		"invocationId": "i", "deliveryStreamArn": "arn:aws:firehose:us-east-1:000000000000:deliverystream/d",
		"sourceKinesisStreamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s", "region": "us-east-1",
		"records": records,
	})
	if err != nil {
		panic(err) // maps and texts
	}
	return string(event)
}

// payloads of valid events.
func payloads(b *testing.B, count int) [][]byte {
	b.Helper()
	events, err := shop(b).Events(classicmodels.EventOptions{Seed: 1, Clock: time.Now})
	require.NoError(b, err)
	var all [][]byte
	for event := range events {
		if all = append(all, event.Payload); len(all) == count {
			break
		}
	}
	return all
}

// BenchmarkTransform is how many events a second go through transform and inference, one batch
// after the other, with PostgreSQL behind them.
func BenchmarkTransform(b *testing.B) {
	const batch = 200
	running := start(b, synthesized)
	host := another(b, running)
	b.Cleanup(func() { require.NoError(b, host.Stop(context.Background())) })
	event := transformEvent(payloads(b, batch))
	name := definitions(running)[transformSource].Name
	for b.Loop() {
		result, err := host.Invoke(b.Context(), name, []byte(event))
		require.NoError(b, err)
		require.Empty(b, result.FunctionError, "%s", result.Payload)
	}
	b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
