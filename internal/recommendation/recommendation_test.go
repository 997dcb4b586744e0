package recommendation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/recommendation"
)

var at = time.Date(2026, 3, 1, 9, 30, 1, 7e6, time.UTC)

func event(t *testing.T, sequence string, extra string) activity.Event {
	decoded, err := activity.Decode([]byte(`{"session_id":"s","customer_number":1,"city":"K\u00f8benhavn ",` +
		`"country":"<Norway>","credit_limit":2.50,` +
		`"browse_history":[{"product_code":"A","quantity":"1","in_shopping_cart":true},{"product_code":"B",` +
		`"quantity":1,"in_shopping_cart":false}]` + extra + `}`))
	require.NoError(t, err)
	return decoded.Identify(activity.FromStream(
		activity.Place{Stream: "activity", Shard: "shardId-000000000000", SequenceNumber: sequence},
		at.Add(-time.Second),
	))
}

func record(t *testing.T) recommendation.Record {
	return recommendation.Record{
		Event: event(t, "1", ""),
		Items: []recommendation.Item{{ID: "C", Score: 0.5}, {ID: "D", Score: 0.25}},
		Similar: []recommendation.Similar{
			{ProductCode: "A", Items: []recommendation.Neighbour{{ID: "C", Distance: 0.1}}},
			{ProductCode: "B", Items: []recommendation.Neighbour{}},
		},
		ModelVersion:  "0123456789ab",
		RecommendedAt: at,
	}
}

func TestEncodeWritesOneLineThatKeepsTheEventsSpelling(t *testing.T) {
	original := record(t)
	line := original.Encode()
	assert.Equal(t, 1, bytes.Count(line, []byte("\n")))
	assert.True(t, bytes.HasSuffix(line, []byte("}\n")))
	assert.True(t, strings.HasPrefix(string(line),
		`{"session_id":"s","customer_number":1,"city":"K\u00f8benhavn ","country":"<Norway>","credit_limit":2.50,`+
			`"browse_history":[{"product_code":"A","quantity":"1","in_shopping_cart":true},`), "%s", line)
	decoded, err := recommendation.Decode(line)
	require.NoError(t, err)
	assert.Equal(t, original, decoded)
}

func TestRungsAreWrittenReadAndCounted(t *testing.T) {
	var records []recommendation.Record
	for rung, written := range map[recommendation.Rung]string{
		recommendation.Store:   `"rung":"store","degraded":false`,
		recommendation.Memory:  `"rung":"memory","degraded":false`,
		recommendation.Popular: `"rung":"popular","degraded":true`,
	} {
		answered := record(t)
		answered.Rung = rung
		line := answered.Encode()
		assert.Contains(t, string(line), written)
		decoded, err := recommendation.Decode(line)
		require.NoError(t, err)
		assert.Equal(t, answered, decoded)
		for range int(rung) {
			records = append(records, decoded)
		}
		older := strings.Replace(string(line), fmt.Sprintf(`"rung":%q,`, rung), "", 1)
		decoded, err = recommendation.Decode([]byte(older))
		require.NoError(t, err, "a record from before there were rungs")
		assert.Equal(t, rung.Degraded(), decoded.Rung == recommendation.Popular)
		assert.Equal(t, !rung.Degraded(), decoded.Rung == recommendation.Store)
	}
	assert.Equal(t, recommendation.RungCounts{recommendation.Memory: 1, recommendation.Popular: 2},
		recommendation.CountRungs(records))
}

func TestMeasuresHaveSevenSignificantDigits(t *testing.T) {
	for value, written := range map[float64]string{
		0.123456789: "0.1234568", 0.12345674: "0.1234567", 1 - 0.9: "0.1", -0.98765432109: "-0.9876543", 0: "0",
		1 - 0.99999988079071: "1.192093e-7", 12345678: "12345680", 93: "93", 1: "1",
		math.MaxFloat64: "1.797693e+308", math.SmallestNonzeroFloat64: "5e-324",
	} {
		wanted := record(t)
		wanted.Items = []recommendation.Item{{ID: "C", Score: value}}
		wanted.Similar = []recommendation.Similar{{ProductCode: "A",
			Items: []recommendation.Neighbour{{ID: "C", Distance: value}}}}
		line := string(wanted.Encode())
		item, neighbour := `{"id":"C","score":`+written+`}`, `{"id":"C","distance":`+written+`}`
		assert.Contains(t, line, item)
		assert.Contains(t, line, neighbour)
		for _, alone := range []struct {
			value any
			text  string
		}{{wanted.Items[0], item}, {wanted.Similar[0].Items[0], neighbour}} {
			text, err := json.Marshal(alone.value)
			require.NoError(t, err)
			assert.Equal(t, alone.text, string(text))
		}
		decoded, err := recommendation.Decode([]byte(line))
		require.NoError(t, err)
		assert.Equal(t, line, string(decoded.Encode()))
	}
	_, err := json.Marshal(recommendation.Item{ID: "C", Score: math.NaN()})
	require.ErrorContains(t, err, "the score of product C is NaN")
}

func TestMeasuresThatWereWrittenWithMoreDigitsAreRounded(t *testing.T) {
	line := strings.Replace(string(record(t).Encode()), `"score":0.5`, `"score":0.50000001234`, 1)
	decoded, err := recommendation.Decode([]byte(line))
	require.NoError(t, err)
	assert.Equal(t, record(t), decoded)
}

func TestMostPopularLeavesOutTheCart(t *testing.T) {
	ranking := recommendation.Ranking{ModelVersion: "0123456789ab",
		Items: []recommendation.Item{{ID: "A", Score: 9}, {ID: "B", Score: 8}, {ID: "C", Score: 7},
			{ID: "D", Score: 6}}}
	fallback := recommendation.MostPopular(event(t, "1", ""), ranking, 2, at)
	assert.Equal(t, []recommendation.Item{{ID: "B", Score: 8}, {ID: "C", Score: 7}}, fallback.Items,
		"what was only browsed can be recommended")
	assert.Equal(t, recommendation.Popular, fallback.Rung)
	decoded, err := recommendation.Decode(fallback.Encode())
	require.NoError(t, err)
	assert.Equal(t, "0123456789ab", decoded.ModelVersion)
	assert.Empty(t, recommendation.MostPopular(event(t, "1", ""), recommendation.Ranking{ModelVersion: "0123456789ab"},
		5, at).Items)
}

func TestFitShedsSimilarItemsFromTheEnd(t *testing.T) {
	whole := record(t)
	whole.Similar = nil
	for product := range activity.MaxProducts {
		neighbours := []recommendation.Neighbour{}
		for i := range 50 {
			neighbours = append(neighbours, recommendation.Neighbour{ID: fmt.Sprintf("N%d", i),
				Distance: float64(i) / 64})
		}
		whole.Similar = append(whole.Similar, recommendation.Similar{ProductCode: fmt.Sprintf("P%d", product),
			Items: neighbours})
	}
	size := len(whole.Encode())
	for name, test := range map[string]struct {
		most      int
		truncated bool
	}{
		"all fits":       {size, false},
		"a byte too few": {size - 1, true},
		"half":           {size / 2, true},
		"nothing fits":   {1, true},
	} {
		t.Run(name, func(t *testing.T) {
			fitted := whole.Fit(test.most)
			assert.Equal(t, test.truncated, fitted.Truncated)
			assert.Equal(t, whole.Similar[:len(fitted.Similar)], fitted.Similar, "the first products' are kept")
			assert.Equal(t, whole.Items, fitted.Items, "recommended items are never shed")
			if len(fitted.Similar) > 0 {
				assert.LessOrEqual(t, len(fitted.Encode()), test.most)
			}
		})
	}
	assert.Len(t, whole.Fit(size-1).Similar, activity.MaxProducts-1, "no more is shed than needed")
	assert.Len(t, whole.Similar, activity.MaxProducts, "the record itself is left alone")
	assert.False(t, whole.Truncated)
}

func TestLargestEventFitsWithoutSimilarItems(t *testing.T) {
	largest := record(t)
	largest.Event = event(t, "1", `,"note":"`+strings.Repeat("n", activity.MaxBytes-500)+`"`)
	for i := range recommendation.MaxItems {
		largest.Items = append(largest.Items[:i], recommendation.Item{ID: fmt.Sprintf("%064d", i),
			Score: -1.2345678901234567e-300})
	}
	largest.Similar = nil
	assert.Less(t, len(largest.Encode()), recommendation.MaxBytes)
}

func TestSupersedes(t *testing.T) {
	early, late := record(t), record(t)
	late.Event = event(t, "2", "")
	late.Event.Time = early.Event.Time.Add(time.Millisecond)
	assert.True(t, late.Supersedes(early))
	assert.False(t, early.Supersedes(late), "the row never goes back in event time")

	tie := late
	tie.Event.Time = early.Event.Time
	assert.NotEqual(t, tie.Supersedes(early), early.Supersedes(tie), "every order of arrival ends with the same row")

	degraded := early
	degraded.Rung = recommendation.Popular
	memory := early
	memory.Rung = recommendation.Memory
	assert.False(t, early.Supersedes(memory) || memory.Supersedes(early), "the model answered either way")
	assert.True(t, memory.Supersedes(degraded))
	assert.True(t, early.Supersedes(degraded), "the model's answer to the same event replaces the fallback")
	assert.False(t, degraded.Supersedes(early))
	assert.False(t, early.Supersedes(early), "a redelivery changes nothing")
}

func TestUniqueCountsAnEventOnce(t *testing.T) {
	first, second := record(t), record(t)
	second.Event = event(t, "2", "")
	degraded := first
	degraded.Rung = recommendation.Popular
	unique, duplicates := recommendation.Unique([]recommendation.Record{degraded, second, first, second})
	assert.Equal(t, []recommendation.Record{first, second}, unique)
	assert.Equal(t, 2, duplicates)
}

func TestDifferences(t *testing.T) {
	for name, test := range map[string]struct {
		change     func(*recommendation.Record)
		comparable bool
		want       []string
	}{
		"equal": {func(*recommendation.Record) {}, true, nil},
		"recommended later": {func(r *recommendation.Record) { r.RecommendedAt = at.Add(time.Second) },
			true, nil},
		"truncated": {func(r *recommendation.Record) { r.Similar, r.Truncated = nil, true }, true,
			nil},
		"similar items, not truncated": {func(r *recommendation.Record) { r.Similar = nil }, true,
			[]string{"similar_items"}},
		"truncated and other items": {func(r *recommendation.Record) { r.Items, r.Truncated = nil, true }, true,
			[]string{"recommended_items"}},
		"another score": {func(r *recommendation.Record) {
			r.Items = []recommendation.Item{{ID: "C",
				Score: 0.4}}
		}, true, []string{"recommended_items"}},
		"a field of the event is absent": {func(r *recommendation.Record) { r.Event = event(t, "1", `,"x":1`) }, true,
			[]string{"x"}},
		"another model": {func(r *recommendation.Record) { r.ModelVersion = "ffffffffffff" }, false,
			[]string{"model_version"}},
		"the fallback": {func(r *recommendation.Record) { r.Rung = recommendation.Popular }, false,
			[]string{"degraded", "rung"}},
		"another rung": {func(r *recommendation.Record) { r.Rung = recommendation.Memory }, false,
			[]string{"rung"}},
		"another event": {func(r *recommendation.Record) { r.Event = event(t, "2", "") }, false,
			[]string{"event_id"}},
	} {
		t.Run(name, func(t *testing.T) {
			archived, delivered := record(t), record(t)
			test.change(&delivered)
			assert.Equal(t, test.comparable, recommendation.Comparable(archived, delivered))
			for range 2 { // either way round
				differences, err := recommendation.Differences(archived, delivered)
				require.NoError(t, err)
				assert.Equal(t, test.want, differences)
				archived, delivered = delivered, archived
			}
		})
	}
}
