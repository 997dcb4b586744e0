package recommender

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/metrics"
	"diecast/internal/recommendation"
)

func TestEveryRungHasItsMetric(t *testing.T) {
	counts := NewCounts()
	for _, rung := range recommendation.Rungs() {
		name := "rung_" + rung.String()
		require.Contains(t, metrics.Names, name)
		require.Contains(t, counts, name, "written also when it is 0")
		CountDelivered(counts, recommendation.Record{Rung: rung})
		assert.Equal(t, 1, counts[name])
	}
	CountDelivered(counts, recommendation.Record{Truncated: true})
	assert.Equal(t, metrics.Counts{"events_in": 0, "failed": 0, "delivered": 4, "degraded": 1, "truncated": 1,
		"rung_store": 2, "rung_memory": 1, "rung_popular": 1}, counts)
}

func TestModelsAreCountedUntilASwitchIsOver(t *testing.T) {
	record := func(version string, after time.Duration) recommendation.Record {
		return recommendation.Record{ModelVersion: version, RecommendedAt: at.Add(after)}
	}
	var versions Versions
	for i, step := range []struct {
		records []recommendation.Record
		want    int
	}{
		{[]recommendation.Record{record("a", 0)}, 1},
		{[]recommendation.Record{record("a", time.Second), record("b", time.Second)}, 2},
		{[]recommendation.Record{record("b", time.Second+Remembered)}, 2},
		{[]recommendation.Record{record("b", 2*time.Second+Remembered)}, 1},
		{[]recommendation.Record{record("a", 3*time.Second+Remembered)}, 2},
	} {
		counts := metrics.Counts{}
		versions.Count(counts, step.records)
		assert.Equal(t, step.want, counts[metrics.ModelVersions], "step %d", i)
	}
	counts := metrics.Counts{}
	versions.Count(counts, nil)
	(*Versions)(nil).Count(counts, []recommendation.Record{record("a", 0)})
	assert.Empty(t, counts, "where nothing answered, nothing is told")
}

// Each reason is a metric that is charged, and shown to whoever may read metrics: they are few, and
// nothing that the shop sent is among them.
func TestReasonsAreFewAndOurOwn(t *testing.T) {
	place := source(func(*Source) {})
	reasons := append(slices.Clone(activity.Names), ReasonDocument, ReasonAggregate, ReasonEnvelope, ReasonSize)
	for payload, want := range map[string]string{
		`{`:   ReasonDocument,
		`[]`:  ReasonDocument,
		`"x"`: ReasonDocument,
		`{"session_id":"s","customer_number":"Jean King","city":5,"country":"F","credit_limit":1}`: "customer_number",
		`{"jean.king@example.com":1,"jean.king@example.com":2}`:                                    ReasonDocument,
		`{"session_id":"s","customer_number":1,"city":"N","country":"F","credit_limit":1,` +
			`"browse_history":[{"product_code":"p","quantity":-1,"in_shopping_cart":true}]}`: "browse_history",
		`{"session_id":"s","customer_number":1,"city":"N","country":"F","credit_limit":1,"degraded":true}`: "degraded",
		"\xf3\x89\x9a\xc2broken": ReasonAggregate,
	} {
		_, err := Decode([]byte(payload), place)
		require.Error(t, err, payload)
		assert.Equal(t, want, Reason(err), payload)
		assert.Contains(t, reasons, Reason(err))
	}
	_, err := Decode([]byte(accepted), source(func(s *Source) { s.ShardID = "" }))
	assert.Equal(t, ReasonEnvelope, Reason(err))
	assert.Equal(t, ReasonAggregate, Reason(BrokenAggregate(errors.New("it ends early"))))
	assert.Equal(t, ReasonEnvelope, Reason(fmt.Errorf("session jean.king")))
}
