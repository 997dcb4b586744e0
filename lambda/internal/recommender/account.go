package recommender

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"diecast/internal/activity"
	"diecast/internal/metrics"
	"diecast/internal/recommendation"
)

// NewCounts are those that every consumer of the stream writes, each 0.
func NewCounts() metrics.Counts {
	counts := metrics.Counts{metrics.EventsIn: 0, metrics.Delivered: 0, metrics.Failed: 0, metrics.Degraded: 0,
		metrics.Truncated: 0}
	for _, name := range rungs {
		counts[name] = 0
	}
	return counts
}

// rungs are the metrics of the rungs.
var rungs = map[recommendation.Rung]string{
	recommendation.Store: metrics.RungStore, recommendation.Memory: metrics.RungMemory,
	recommendation.Popular: metrics.RungPopular,
}

// CountDelivered counts a record that was handed on.
func CountDelivered(counts metrics.Counts, record recommendation.Record) {
	counts[metrics.Delivered]++
	counts[rungs[record.Rung]]++
	if record.Rung.Degraded() {
		counts[metrics.Degraded]++
	}
	if record.Truncated {
		counts[metrics.Truncated]++
	}
}

// Remembered is how long Versions counts a model after its last answer. A switch of models, in
// which both answer, is over sooner.
const Remembered = 5 * time.Minute

// Versions remembers which models answered lately. The zero value remembers nothing yet; nil never
// does.
type Versions struct {
	mutex sync.Mutex
	last  map[string]time.Time
}

// Count notes the models of records and adds how many answered lately to counts. Without records it
// does nothing.
func (v *Versions) Count(counts metrics.Counts, records []recommendation.Record) {
	if v == nil || len(records) == 0 {
		return
	}
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if v.last == nil {
		v.last = map[string]time.Time{}
	}
	latest := records[0].RecommendedAt
	for _, record := range records {
		v.last[record.ModelVersion] = record.RecommendedAt
		if record.RecommendedAt.After(latest) {
			latest = record.RecommendedAt
		}
	}
	for version, at := range v.last {
		if latest.Sub(at) > Remembered {
			delete(v.last, version)
		}
	}
	counts[metrics.ModelVersions] = len(v.last)
}

// The reasons for which an event is refused, beside the field that breaks a rule.
const (
	// ReasonDocument is that of what is no event as a whole.
	ReasonDocument = "document"
	// ReasonAggregate is that of an aggregate which cannot be split.
	ReasonAggregate = "aggregate"
	// ReasonEnvelope is that of a record which the service that invokes has handed on without what
	// belongs to it.
	ReasonEnvelope = "envelope"
	// ReasonSize is that of an event for whose record there is no room.
	ReasonSize = "size"
)

// Reason is why an event is refused, in one of few words: the field of the first broken rule, or
// one of the reasons above. It never has anything that the shop has sent.
func Reason(err error) string {
	var violations *activity.Error
	switch {
	case errors.As(err, &violations) && len(violations.Violations) > 0:
		return topField(violations.Violations[0].Field)
	case errors.Is(err, errAggregate):
		return ReasonAggregate
	default:
		return ReasonEnvelope
	}
}

// topField is the field of an event that a path begins with; ReasonDocument where the contract does
// not know it, as its name is the shop's.
func topField(path string) string {
	if end := strings.IndexAny(path, ".["); end >= 0 {
		path = path[:end]
	}
	if slices.Contains(activity.Names, path) {
		return path
	}
	return ReasonDocument
}
