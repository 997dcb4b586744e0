// Package plaintext looks at what a text from outside comes in before anybody reads the text: some
// editors and shells put a byte order mark before UTF-8, or write UTF-16, and a file may have been
// compressed. It does not know what the text is about.
//
// Dumps of databases, which travel farther, are unpacked and narrowed besides: see
// internal/classicmodels/sqldump.
package plaintext

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// mark is the byte order mark in UTF-8, which means nothing there (RFC 3629, section 6).
const mark = "\xef\xbb\xbf"

// longest is how many bytes tell what a text comes in.
const longest = 4

// others are what a text can come in besides UTF-8, by the first bytes. A longer beginning stands
// before a shorter one that it begins with.
var others = []struct {
	begins string
	is     Container
}{
	{"\xff\xfe\x00\x00", "UTF-32: write it as UTF-8"},
	{"\x00\x00\xfe\xff", "UTF-32: write it as UTF-8"},
	{"\xff\xfe", "UTF-16: write it as UTF-8"},
	{"\xfe\xff", "UTF-16: write it as UTF-8"},
	{"\x1f\x8b", "compressed by gzip: unpack it"},
	{"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"},
	{"BZh", "compressed by bzip2: unpack it"},
	{"\xfd7zX", "compressed by xz: unpack it"},
	{"\x04\x22\x4d\x18", "compressed by lz4: unpack it"},
	{"7z\xbc\xaf", "a 7-Zip archive: unpack it"},
	{"PK\x03\x04", "a zip archive: unpack it"},
}

// Container is the error of a text that comes in something else than UTF-8: what it is, and what to
// do about it.
type Container string

func (c Container) Error() string { return "it is " + string(c) }

// Trim gives the text without its byte order mark. The error is a Container; what begins otherwise
// is not looked at.
func Trim(text []byte) ([]byte, error) {
	for _, other := range others {
		if bytes.HasPrefix(text, []byte(other.begins)) {
			return nil, other.is
		}
	}
	if wide := wide(text); wide != "" {
		return nil, Container(wide + " without a byte order mark: write it as UTF-8")
	}
	return bytes.TrimPrefix(text, []byte(mark)), nil
}

// wide names the encoding of a text whose first characters are ASCII in two bytes each, in the same
// order, or whose first is in four. No text has a character of zeros.
func wide(text []byte) string {
	if len(text) < longest {
		return ""
	}
	var zeros [longest]bool
	for i := range zeros {
		zeros[i] = text[i] == 0
	}
	switch zeros {
	case [longest]bool{false, true, false, true}, [longest]bool{true, false, true, false}:
		return "UTF-16"
	case [longest]bool{false, true, true, true}, [longest]bool{true, true, true, false}:
		return "UTF-32"
	}
	return ""
}

// Reader reads what Trim gives of all that a reader holds.
func Reader(from io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(from)
	head, err := buffered.Peek(longest)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	trimmed, err := Trim(head)
	if err != nil {
		return nil, err
	}
	_, err = buffered.Discard(len(head) - len(trimmed))
	return buffered, err
}
