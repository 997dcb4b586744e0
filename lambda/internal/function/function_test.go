package function

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEmitWritesOneEmbeddedMetricLine(t *testing.T) {
	var output bytes.Buffer
	metrics := Metrics{Function: "transform", Output: &output, Clock: func() time.Time { return time.UnixMilli(1700000000123) }}
	require.NoError(t, metrics.Emit(Counts{EventsIn: 3, Failed: 0}))
	assert.JSONEq(t, `{"function":"transform","events_in":3,"failed":0,"_aws":{"Timestamp":1700000000123,"CloudWatchMetrics":[
		{"Namespace":"Diecast","Dimensions":[["function"]],"Metrics":[{"Name":"events_in","Unit":"Count"},{"Name":"failed","Unit":"Count"}]}]}}`,
		output.String())
	assert.Equal(t, 1, bytes.Count(output.Bytes(), []byte("\n")))
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("the pipe is closed") }

func TestEmitReportsALostLine(t *testing.T) {
	require.ErrorContains(t, Metrics{Output: brokenWriter{}}.Emit(Counts{EventsIn: 1}), "the pipe is closed")
}
