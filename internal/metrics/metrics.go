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

// Namespace of all metrics of the platform in CloudWatch. Their one dimension is FunctionDimension.
const (
	Namespace         = "Diecast"
	FunctionDimension = "function"
)

// The functions that count: values of FunctionDimension.
const (
	Transform    = "transform"
	Deliver      = "deliver"
	VectorLoader = "vectorloader"
)

// The counts. Each is of events but for UnindexedItems and RunAgeHours, and each function writes
// those that it knows, also when they are 0.
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
	// UnindexedItems are the items of the active model that every query compares with one by one,
	// because they have no index. The loader counts them whenever it has worked.
	UnindexedItems = "unindexed_items"
	// RunAgeHours is how long ago the run of training data was made whose catalogue the active
	// model has. The loader counts it whenever it has worked, for every model but the shipped one
	// that no run was compared with.
	RunAgeHours = "run_age_hours"
)

// Names are all counts, in the order in which they are written.
var Names = []string{EventsIn, Delivered, Dropped, Failed, Degraded, UnindexedItems, RunAgeHours}

// Counts by name, one of Names.
type Counts map[string]int

// Writer writes counts in CloudWatch's embedded metric format: a line of the log that CloudWatch
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

// Write writes one line with all counts. It refuses a name that is none of Names: nobody would
// look for it.
func (w Writer) Write(counts Counts) error {
	clock := w.Clock
	if clock == nil {
		clock = time.Now
	}
	type metric struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if !slices.Contains(Names, name) {
			return fmt.Errorf("count %q is none of %q", name, Names)
		}
	}
	metrics := []metric{}
	line := map[string]any{FunctionDimension: w.Function}
	for _, name := range Names {
		if value, counted := counts[name]; counted {
			metrics = append(metrics, metric{name, "Count"})
			line[name] = value
		}
	}
	line["_aws"] = map[string]any{
		"Timestamp": clock().UnixMilli(),
		"CloudWatchMetrics": []directive{
			{Namespace: Namespace, Dimensions: [][]string{{FunctionDimension}}, Metrics: metrics},
		},
	}
	if err := json.NewEncoder(w.Output).Encode(line); err != nil {
		return fmt.Errorf("write the counts: %w", err)
	}
	return nil
}
