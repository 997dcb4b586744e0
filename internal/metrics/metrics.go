// Package metrics names the platform's own metrics and writes them. Functions write them; whoever
// watches them in CloudWatch finds them under the same names. It knows nothing of what is counted,
// or by whom.
package metrics

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Namespace of all metrics of the platform in CloudWatch. Their dimension is FunctionDimension;
// Refused has ReasonDimension beside it.
const (
	Namespace         = "Diecast"
	FunctionDimension = "function"
	ReasonDimension   = "reason"
)

// The functions that count: values of FunctionDimension.
const (
	Transform    = "transform"
	Deliver      = "deliver"
	VectorLoader = "vectorloader"
)

// The counts. Each is of events but for ModelVersions, UnindexedItems and RunAgeHours, and each
// function writes those that it knows, also when they are 0.
const (
	// EventsIn are the events that arrived.
	EventsIn = "events_in"
	// Delivered are the events whose recommendation was handed on.
	Delivered = "delivered"
	// Dropped are the events that break the contract and were passed over.
	Dropped = "dropped"
	// Failed are the events that could not be served and went to the error output or will be
	// retried.
	Failed = "failed"
	// Degraded are the delivered events that the most popular products answered.
	Degraded = "degraded"
	// RungStore, RungMemory and RungPopular are the delivered events by the rung that answered,
	// from the highest down.
	RungStore   = "rung_store"
	RungMemory  = "rung_memory"
	RungPopular = "rung_popular"
	// Truncated are the delivered events whose record has shed similar items for its size.
	Truncated = "truncated"
	// ModelVersions are the models that answered within the last minutes, as far as one process of
	// the function saw. More than one is a switch of models; for long, it is one that is not done.
	ModelVersions = "model_versions"
	// UnindexedItems are the items of the active model that every query compares with one by one,
	// because they have no index. The loader counts them whenever it has worked.
	UnindexedItems = "unindexed_items"
	// RunAgeHours is how long ago the run of training data was made whose catalogue the active
	// model has. The loader counts it whenever it has worked, for every model but the shipped one
	// that no run was compared with.
	RunAgeHours = "run_age_hours"
)

// Counts of one kind that are written by themselves.
const (
	// Latency is how long an event took from its arrival in the stream until its recommendation was
	// readable by the shop, in milliseconds: a value for each event, so that CloudWatch knows
	// percentiles.
	Latency = "latency"
	// Refused are the events that break the contract or found no room, by the reason: one for each
	// event, so that the reasons add up.
	Refused = "refused"
)

// counts are all of Counts, in the order in which they are written.
var counts = []string{EventsIn, Delivered, Dropped, Failed, Degraded, RungStore, RungMemory, RungPopular, Truncated,
	ModelVersions, UnindexedItems, RunAgeHours}

// Names are all metrics.
var Names = append(slices.Clone(counts), Latency, Refused)

// Counts by name: those that are not written by themselves.
type Counts map[string]int

// Writer writes metrics in CloudWatch's embedded metric format: a line of the log that CloudWatch
// turns into metrics, with no call to make.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type Writer struct {
	// Function is the value of the dimension.
	Function string
	// Output takes the lines.
	Output io.Writer
	// Clock tells the time; default time.Now.
	Clock func() time.Time
}

// metric is one of a line.
type metric struct{ Name, Unit string }

// Units of CloudWatch (API reference, MetricDatum).
const (
	count        = "Count"
	milliseconds = "Milliseconds"
)

// Write writes one line with all counts. It refuses a name that is no count's: nobody would look
// for it.
func (w Writer) Write(counted Counts) error {
	for _, name := range slices.Sorted(maps.Keys(counted)) {
		if !slices.Contains(counts, name) {
			return fmt.Errorf("count %q is none of %q", name, counts)
		}
	}
	metrics := []metric{}
	line := map[string]any{}
	for _, name := range counts {
		if value, ok := counted[name]; ok {
			metrics = append(metrics, metric{name, count})
			line[name] = value
		}
	}
	return w.write(line, metrics)
}

// maxValues bounds the values of a metric in one line (the format's specification).
const maxValues = 100

// WriteLatencies writes the Latency of each event, to the millisecond; a negative one, which only
// clocks make, as 0. Without events it writes nothing.
func (w Writer) WriteLatencies(latencies []time.Duration) error {
	for chunk := range slices.Chunk(latencies, maxValues) {
		values := make([]int64, len(chunk))
		for i, latency := range chunk {
			values[i] = max(0, latency.Milliseconds())
		}
		if err := w.write(map[string]any{Latency: values}, []metric{{Latency, milliseconds}}); err != nil {
			return err
		}
	}
	return nil
}

// WriteRefused writes how many events were Refused for each reason; nothing for none. Every reason
// is a metric, which is charged: they must be few, and none may come from an event.
func (w Writer) WriteRefused(reasons map[string]int) error {
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		line := map[string]any{ReasonDimension: reason, Refused: reasons[reason]}
		if err := w.write(line, []metric{{Refused, count}}, ReasonDimension); err != nil {
			return err
		}
	}
	return nil
}

// write completes a line with its time and what CloudWatch makes of it.
func (w Writer) write(line map[string]any, metrics []metric, dimensions ...string) error {
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	clock := w.Clock
	if clock == nil {
		clock = time.Now
	}
	line[FunctionDimension] = w.Function
	line["_aws"] = map[string]any{
		"Timestamp": clock().UnixMilli(),
		"CloudWatchMetrics": []directive{{
			Namespace: Namespace, Dimensions: [][]string{append([]string{FunctionDimension}, dimensions...)},
			Metrics: metrics,
		}},
	}
	if err := json.NewEncoder(w.Output).Encode(line); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}
