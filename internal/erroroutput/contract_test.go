package erroroutput_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/erroroutput"
	"diecast/test/contracts"
)

func TestContract(t *testing.T) {
	contracts.Check(t, "error_output", func(data []byte) error {
		_, err := erroroutput.Decode(data)
		return err
	})
}

func FuzzDecode(f *testing.F) {
	suite := contracts.Load(f, "error_output")
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := erroroutput.Decode(data)
		suite.Agree(t, data, err)
	})
}

func TestBothSpellingsSayTheSame(t *testing.T) {
	suite := contracts.Load(t, "error_output")
	seen, err := erroroutput.Decode(suite.Example(t, "seen"))
	require.NoError(t, err)
	documented, err := erroroutput.Decode(suite.Example(t, "documented"))
	require.NoError(t, err)
	documented.Code, documented.Message = seen.Code, seen.Message
	assert.Equal(t, seen, documented)
	assert.Equal(t, "2026-03-01T09:30:00.25Z", seen.ArrivedAt.Format("2006-01-02T15:04:05.999Z07:00"))
	assert.Equal(t, 4, seen.Attempts)
	assert.Contains(t, string(seen.Payload), `"session_id"`)
}

func TestReadGoesOnAfterARefusedLine(t *testing.T) {
	good := `{"rawData":"YQ==","errorCode":"x","arrivalTimestamp":1}`
	object := good + "\n\n" + `{"rawData":"YQ=="}` + "\n" + good
	var payloads, refusals []string
	for entry, err := range erroroutput.Read(strings.NewReader(object)) {
		if err != nil {
			refusals = append(refusals, err.Error())
			continue
		}
		payloads = append(payloads, string(entry.Payload))
	}
	assert.Equal(t, []string{"a", "a"}, payloads)
	require.Len(t, refusals, 1)
	assert.Contains(t, refusals[0], "line 3: errorCode")
}

func TestReadSaysWhereALineIsTooLong(t *testing.T) {
	var failures []error
	for _, err := range erroroutput.Read(strings.NewReader("\n" + strings.Repeat("x", erroroutput.MaxBytes+2))) {
		failures = append(failures, err)
	}
	require.Len(t, failures, 1)
	assert.ErrorContains(t, failures[0], "after line 1")
}
