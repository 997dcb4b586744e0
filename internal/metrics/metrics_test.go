package metrics

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCountsAreOneEmbeddedMetricLine(t *testing.T) {
	var output bytes.Buffer
	writer := Writer{Function: "transform", Output: &output,
		Clock: func() time.Time { return time.UnixMilli(1700000000123) }}
	require.NoError(t, writer.Write(Counts{EventsIn: 3, Failed: 0}))
	assert.JSONEq(t, `{"function":"transform","events_in":3,"failed":0,"_aws":{"Timestamp":1700000000123,`+
		`"CloudWatchMetrics":[
		{"Namespace":"Diecast","Dimensions":[["function"]],"Metrics":[{"Name":"events_in","Unit":"Count"},`+
		`{"Name":"failed","Unit":"Count"}]}]}}`,
		output.String())
	assert.Equal(t, 1, bytes.Count(output.Bytes(), []byte("\n")))
}

func TestTimeIsThatOfTheClock(t *testing.T) {
	var output bytes.Buffer
	before := time.Now().UnixMilli()
	require.NoError(t, Writer{Output: &output}.Write(Counts{}))
	var line struct {
		AWS struct{ Timestamp int64 } `json:"_aws"`
	}
	require.NoError(t, json.Unmarshal(output.Bytes(), &line))
	assert.GreaterOrEqual(t, line.AWS.Timestamp, before)
	assert.LessOrEqual(t, line.AWS.Timestamp, time.Now().UnixMilli())
}

func TestACountThatNoAlarmKnowsIsRefused(t *testing.T) {
	var output bytes.Buffer
	require.ErrorContains(t, Writer{Output: &output}.Write(Counts{EventsIn: 1, "events": 1}),
		`count "events" is none of`)
	assert.Empty(t, output.String())
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("the pipe is closed") }

func TestALostLineIsReported(t *testing.T) {
	require.ErrorContains(t, Writer{Output: brokenWriter{}}.Write(Counts{EventsIn: 1}), "the pipe is closed")
}

// written are the lines of an output.
func written(t *testing.T, output string) (lines []map[string]any) {
	t.Helper()
	for text := range strings.Lines(output) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		lines = append(lines, line)
	}
	return lines
}

// CloudWatch takes a hundred values a metric and line.
func TestLatenciesAreValues(t *testing.T) {
	var output bytes.Buffer
	writer := Writer{Function: "deliver", Output: &output, Clock: func() time.Time { return time.UnixMilli(1) }}
	latencies := []time.Duration{-time.Second, 1999 * time.Microsecond}
	for len(latencies) < 201 {
		latencies = append(latencies, time.Minute)
	}
	require.NoError(t, writer.WriteLatencies(latencies))
	lines := written(t, output.String())
	require.Len(t, lines, 3)
	assert.Len(t, lines[0]["latency"], 100)
	assert.Equal(t, []any{0.0, 1.0, 60000.0}, lines[0]["latency"].([]any)[:3])
	assert.JSONEq(t, `{"function":"deliver","latency":[60000],"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":`+
		`"Diecast","Dimensions":[["function"]],"Metrics":[{"Name":"latency","Unit":"Milliseconds"}]}]}}`,
		strings.Split(output.String(), "\n")[2])

	output.Reset()
	require.NoError(t, writer.WriteLatencies(nil))
	assert.Empty(t, output.String())
}

func TestRefusedAreCountedByReason(t *testing.T) {
	var output bytes.Buffer
	writer := Writer{Function: "transform", Output: &output, Clock: func() time.Time { return time.UnixMilli(1) }}
	require.NoError(t, writer.WriteRefused(map[string]int{"size": 1, "document": 3}))
	lines := written(t, output.String())
	require.Len(t, lines, 2)
	assert.Equal(t, []any{"document", 3.0, "size", 1.0},
		[]any{lines[0]["reason"], lines[0]["refused"], lines[1]["reason"], lines[1]["refused"]})
	assert.Contains(t, output.String(),
		`"Dimensions":[["function","reason"]],"Metrics":[{"Name":"refused","Unit":"Count"}]`)

	output.Reset()
	require.NoError(t, writer.WriteRefused(nil))
	assert.Empty(t, output.String())
	writer.Output = brokenWriter{}
	require.ErrorContains(t, writer.WriteRefused(map[string]int{"size": 1}), "the pipe is closed")
	require.ErrorContains(t, writer.WriteLatencies([]time.Duration{1}), "the pipe is closed")
}

func TestWhatIsWrittenByItselfIsNoCount(t *testing.T) {
	for _, name := range []string{Latency, Refused} {
		require.ErrorContains(t, Writer{Output: &bytes.Buffer{}}.Write(Counts{name: 1}), "is none of")
		assert.Contains(t, Names, name)
	}
}
