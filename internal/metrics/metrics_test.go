package metrics

import (
	"bytes"
	"encoding/json"
	"errors"
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
