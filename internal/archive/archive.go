// Package archive is the contract of the bucket of archived recommendations: where things lie in
// it, how an object is opened, and as which tables a catalogue shows them. The stack that makes the
// bucket and every reader of it share it. It asks no bucket for anything, and what a record or a
// refusal means is other packages' to know.
package archive

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// The folders of the bucket.
const (
	// Recommendations holds recommendation records, one line of JSON each.
	Recommendations = "recommendations/"
	// Errors holds the records that were refused, as Firehose writes them; internal/erroroutput
	// reads them.
	Errors = "errors/"
	// Refused is the one folder below Errors: that of records which the processor did not
	// transform (developer guide of Amazon Data Firehose, "Understand custom prefixes for Amazon
	// S3 objects").
	Refused = Errors + "processing-failed/"
	// Failures holds the invocation records of batches that a consumer gave up. Lambda chooses it:
	// it begins every key at an S3 on-failure destination (developer guide, "Retain discarded
	// batches").
	Failures = "aws/lambda/"
)

// The ends of the keys of recommendations, by which Athena and Spark know how to open them.
const (
	Extension     = ".jsonl"
	GZIPExtension = ".jsonl.gz"
)

// gzipMark begins whatever gzip has compressed (RFC 1952, section 2.3.1); no line of JSON does.
const gzipMark = "\x1f\x8b"

// Open reads an object of the bucket, compressed or not, whatever its key: one bucket holds both
// after streaming.archiveCompression was changed, and Firehose's guide does not say whether what it
// refuses is compressed. An error of the reader, such as that of an object which was cut off, is
// one of gzip's or the object's own.
func Open(object io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(object)
	mark, err := buffered.Peek(len(gzipMark))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(mark) != gzipMark {
		return buffered, nil
	}
	content, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, fmt.Errorf("it begins as gzip does and is none: %w", err)
	}
	return content, nil
}
