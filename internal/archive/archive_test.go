package archive_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/archive"
)

func compressed(t *testing.T, text string) string {
	t.Helper()
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	_, err := io.WriteString(writer, text)
	require.NoError(t, errors.Join(err, writer.Close()))
	return buffer.String()
}

func TestAnObjectIsReadWhetherItIsCompressedOrNot(t *testing.T) {
	lines := strings.Repeat(`{"session_id":"s"}`+"\n", 5000)
	for name, content := range map[string]string{
		lines: lines, "": "", "x": "x", // what is shorter than gzip's mark
		lines + lines: compressed(t, lines) + compressed(t, lines), // as gzip's own files are put together
		" ":           compressed(t, " "),
	} {
		opened, err := archive.Open(iotest.OneByteReader(strings.NewReader(content)))
		require.NoError(t, err)
		read, err := io.ReadAll(opened)
		require.NoError(t, err)
		assert.Equal(t, name, string(read))
	}
}

func TestAnObjectThatWasCutOffIsAnError(t *testing.T) {
	whole := compressed(t, "a line\n")
	for cut := 3; cut < len(whole); cut++ {
		opened, err := archive.Open(strings.NewReader(whole[:cut]))
		if err == nil {
			_, err = io.ReadAll(opened)
		}
		require.Error(t, err, "cut off after %d bytes", cut)
	}
	_, err := archive.Open(iotest.ErrReader(errors.New("the connection is gone")))
	require.ErrorContains(t, err, "the connection is gone")
}
