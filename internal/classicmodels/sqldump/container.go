package sqldump

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// containers that hold no text, by their first bytes, with what to do about each.
var containers = []struct{ magic, what string }{
	{"PK\x03\x04", "a zip archive: unpack it"},
	{"BZh", "compressed by bzip2: unpack it, or compress it by gzip"},
	{"\xfd7zXZ\x00", "compressed by xz: unpack it, or compress it by gzip"},
	{"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it, or compress it by gzip"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"},
	{"\x00\x00\xfe\xff", "UTF-32: write it as UTF-8"},
	{"\xff\xfe\x00\x00", "UTF-32: write it as UTF-8"},
	{"PGDMP", "an archive of PostgreSQL's pg_dump, expected a dump of MySQL or MariaDB"},
	{"SQLite format 3\x00", "a database of SQLite, expected a dump of MySQL or MariaDB"},
	{"PAR1", "a Parquet file, expected a dump in SQL"},
	{"<", "XML or HTML, expected a dump in SQL (of a web page, download the raw file)"},
}

// text gives the dump's bytes in an encoding that keeps ASCII: it unpacks gzip, drops a byte order
// mark and narrows UTF-16. Any other container is refused by its name.
func text(file string, source io.Reader) (io.Reader, error) {
	reader := bufio.NewReaderSize(source, 64<<10)
	if head, _ := reader.Peek(2); string(head) == "\x1f\x8b" {
		unpacked, err := gzip.NewReader(reader)
		if err != nil {
			return nil, damaged(file, 1, err)
		}
		reader = bufio.NewReaderSize(&gzipReader{file: file, line: 1, source: unpacked}, 64<<10)
		if head, _ := reader.Peek(2); string(head) == "\x1f\x8b" {
			return nil, &Error{file, 1, "the file is compressed by gzip twice: unpack it once"}
		}
	}
	head, err := reader.Peek(16)
	if located := (*Error)(nil); errors.As(err, &located) {
		return nil, located // a gzip stream without a beginning
	}
	for _, container := range containers {
		if bytes.HasPrefix(head, []byte(container.magic)) {
			return nil, &Error{file, 1, "the file is " + container.what}
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err := reader.Discard(3)
		return reader, err
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		_, err := reader.Discard(2)
		return &utf16Reader{file: file, line: 1, source: reader, bigEndian: head[0] == 0xfe}, err
	case len(head) >= 4 && isWide(head):
		return nil, &Error{file, 1, "the file is UTF-16 without a byte order mark: write it as UTF-8"}
	}
	return reader, nil
}

// isWide tells of two characters whether each is ASCII in two bytes, in the same order.
func isWide(head []byte) bool {
	first, second := head[0] == 0, head[1] == 0
	return first != second && (head[2] == 0) == first && (head[3] == 0) == second
}

func damaged(file string, line int, err error) *Error {
	return &Error{file, line, fmt.Sprintf("the gzip stream is damaged or truncated: %v", err)}
}

// gzipReader names the line at which a stream breaks.
type gzipReader struct {
	file   string
	line   int
	source io.Reader
}

func (r *gzipReader) Read(b []byte) (int, error) {
	n, err := r.source.Read(b)
	r.line += bytes.Count(b[:n], []byte("\n"))
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = damaged(r.file, r.line, err)
	}
	return n, err
}

// utf16Reader narrows UTF-16 that holds nothing but ASCII. What goes beyond is refused: a shell
// that writes UTF-16 where `>` stands has usually read the dump's bytes in another character set
// before, and what it then wrote cannot be told from text.
type utf16Reader struct {
	file      string
	line      int
	source    *bufio.Reader
	bigEndian bool
}

func (r *utf16Reader) Read(b []byte) (int, error) {
	for n := range b {
		first, err := r.source.ReadByte()
		if err != nil {
			return n, err
		}
		second, err := r.source.ReadByte()
		if errors.Is(err, io.EOF) {
			return n, &Error{r.file, r.line, "the file is UTF-16 and ends within a character: it is truncated"}
		}
		if err != nil {
			return n, err
		}
		if r.bigEndian {
			first, second = second, first
		}
		if second != 0 || first >= 0x80 {
			return n, &Error{
				r.file,
				r.line,
				"the file is UTF-16 with characters beyond ASCII, which the shell that wrote it may have spoiled: " +
					"write the dump as UTF-8 (mysqldump --result-file=FILE)",
			}
		}
		if first == '\n' {
			r.line++
		}
		b[n] = first
	}
	return len(b), nil
}
