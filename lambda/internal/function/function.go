// Package function is what every Lambda of the platform starts with: structured logs and counts. It knows nothing of what a
// function does.
package function

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// Namespace of all metrics of the platform in CloudWatch. Their one dimension is FunctionDimension.
const (
	Namespace         = "Diecast"
	FunctionDimension = "function"
)

// The counts, in one place: alarms and dashboards use the same names, and a typo would fail silently.
const (
	// EventsIn are the events that arrived.
	EventsIn = "events_in"
	// Delivered are the events whose recommendation was handed on.
	Delivered = "delivered"
	// Dropped are the events that break the contract and were passed over.
	Dropped = "dropped"
	// Failed are the events that could not be served and went to the error output or will be retried.
	Failed = "failed"
	// Degraded are the delivered events that the most popular products answered.
	Degraded = "degraded"
)

// Counts by name.
type Counts map[string]int

// NewLogger writes JSON lines to the standard output, which Lambda collects.
func NewLogger() *slog.Logger { return slog.New(slog.NewJSONHandler(os.Stdout, nil)) }

// Metrics writes counts in CloudWatch's embedded metric format: a line of the log that CloudWatch turns into metrics, with no
// call to make.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type Metrics struct {
	// Function is the value of the dimension.
	Function string
	// Output takes the lines.
	Output io.Writer
	// Clock tells the time; default time.Now.
	Clock func() time.Time
}

// Emit writes one line with all counts.
func (m Metrics) Emit(counts Counts) error {
	clock := m.Clock
	if clock == nil {
		clock = time.Now
	}
	type metric struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	metrics := []metric{}
	line := map[string]any{FunctionDimension: m.Function}
	for _, name := range []string{EventsIn, Delivered, Dropped, Failed, Degraded} {
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
	if err := json.NewEncoder(m.Output).Encode(line); err != nil {
		return fmt.Errorf("write the counts: %w", err)
	}
	return nil
}
