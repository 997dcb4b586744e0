package provider

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/metrics"
)

func TestAFunctionsCountsAreThoseOfItsLogSinceItIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "function.log")
	line := func(dropped int) string {
		var text bytes.Buffer
		require.NoError(t, metrics.Writer{Function: "any", Output: &text}.Write(
			metrics.Counts{metrics.Dropped: dropped, metrics.Delivered: 100}))
		return text.String()
	}
	add := func(text string) {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, err = file.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, file.Close())
	}
	early, err := followLog(path)
	require.NoError(t, err)
	expect := func(log *functionLog, dropped int) {
		t.Helper()
		count, err := log.count(metrics.Dropped)
		require.NoError(t, err)
		assert.Equal(t, dropped, count)
	}
	expect(early, 0)
	add(line(1))
	log, err := followLog(path)
	require.NoError(t, err)
	expect(log, 0)
	add("text\n{\"_aws\":\n" + line(2) + `{"level":"INFO"}` + "\n" + line(4)[:20])
	expect(log, 2)
	expect(early, 3)
	add(line(4)[20:])
	expect(log, 6)
	expect(log, 6)
	expect(early, 7)
	_, err = followLog(filepath.Join(path, "of-a-file"))
	require.Error(t, err)
}
