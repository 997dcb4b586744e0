package plaintext_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/plaintext"
)

// wide is a text in UTF-16, its mark included where there is one.
func wide(text string, low, high int) string {
	var written []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		pair := [2]byte{}
		pair[low], pair[high] = byte(unit), byte(unit>>8)
		written = append(written, pair[:]...)
	}
	return string(written)
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	_, err := writer.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	return buffer.String()
}

// both reads a text in both ways, which agree.
func both(t *testing.T, text string) (string, error) {
	t.Helper()
	whole, err := plaintext.Trim([]byte(text))
	reader, readerErr := plaintext.Reader(iotest.OneByteReader(strings.NewReader(text)))
	require.Equal(t, err, readerErr)
	if err != nil {
		return "", err
	}
	read, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.Equal(t, string(whole), string(read))
	return string(read), nil
}

func TestTextComesAsItIsWithoutItsMark(t *testing.T) {
	for _, text := range []string{"", "{", "{}", "id", "id,embedding\n", "Ærø", "0", "BZ", "\x00", "\x00a"} {
		for _, mark := range []string{"", "\ufeff"} {
			read, err := both(t, mark+text)
			require.NoError(t, err)
			assert.Equal(t, text, read)
		}
	}
	read, err := both(t, "\ufeff\ufeff{}")
	require.NoError(t, err)
	assert.Equal(t, "\ufeff{}", read, "one mark is a mark, the second is text")
}

func TestOtherContainersAreNamed(t *testing.T) {
	for what, texts := range map[string][]string{
		"UTF-16": {
			wide("\ufeff{}", 0, 1), wide("\ufeff{}", 1, 0), wide("{}", 0, 1), wide("{}", 1, 0),
			wide("\ufeffÆ", 0, 1), wide("\ufeff", 1, 0),
		},
		"UTF-32": {
			"\xff\xfe\x00\x00{\x00\x00\x00", "\x00\x00\xfe\xff\x00\x00\x00{", "{\x00\x00\x00", "\x00\x00\x00{",
		},
		"lz4":   {"\x04\x22\x4d\x18\x64"},
		"7-Zip": {"7z\xbc\xaf\x27\x1c"},
		"gzip":  {zipped(t, "{}"), zipped(t, "")},
		"zip":   {"PK\x03\x04..."},
	} {
		for _, text := range texts {
			_, err := both(t, text)
			var container plaintext.Container
			require.ErrorAs(t, err, &container, "%q", text)
			assert.Contains(t, err.Error(), what)
		}
	}
}

func TestAReadersErrorIsHandedOn(t *testing.T) {
	_, err := plaintext.Reader(iotest.ErrReader(errors.New("lost")))
	require.ErrorContains(t, err, "lost")
}
