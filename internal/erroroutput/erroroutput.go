// Package erroroutput reads what Firehose leaves under its error prefix: one JSON object a line for
// each record that could not be transformed or delivered.
//
// The documentation (Amazon Data Firehose Developer Guide, "Data transformation failure handling")
// spells lambdaArn and writes the numbers as strings; delivery streams really write lambdaARN and
// numbers. Both are read. The package must not know what the payload is, nor what becomes of it.
// The JSON Schema of a line is docs/schemas/error_output.schema.json; golden examples are in
// test/contracts/error_output.json.
package erroroutput

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"time"

	"diecast/internal/quotas"
	"diecast/internal/strictjson"
)

// The limits of a line.
const (
	// MaxBytes bounds a line: the largest payload, and as much again of reasons.
	MaxBytes = 2 << 20
	// MaxRawData bounds the payload in base64: that of the largest record of a stream.
	MaxRawData = (quotas.KinesisRecord + 2) / 3 * 4
	maxDepth   = 8
	maxMillis  = 9999999999999
)

var (
	millisPattern   = regexp.MustCompile(`^[0-9]{1,13}$`)
	attemptsPattern = regexp.MustCompile(`^[0-9]{1,3}$`)
	base64Pattern   = regexp.MustCompile(`^[A-Za-z0-9+/]*={0,2}$`)
)

// Entry is one failed record.
type Entry struct {
	// Payload is the record's data as it was put on the stream.
	Payload []byte
	// Code and Message are Firehose's reason.
	Code, Message string
	// Attempts is how often the transformation was tried.
	Attempts int
	// ArrivedAt is the record's approximate arrival time, to the millisecond, in UTC.
	ArrivedAt time.Time
	// LastAttemptAt is the zero time where the line does not tell.
	LastAttemptAt time.Time
	// LambdaARN is empty where no function was involved.
	LambdaARN string
}

// Decode reads one line. The error is a *strictjson.Error that names every violation; fields that
// are not known are ignored.
func Decode(line []byte) (Entry, error) {
	document, err := strictjson.Parse(line, strictjson.Limits{MaxBytes: MaxBytes, MaxDepth: maxDepth})
	if err != nil {
		return Entry{}, err
	}
	root := document.Root()
	if !root.Object() {
		return Entry{}, document.Err()
	}
	entry := Entry{
		Payload:   readPayload(root.Field("rawData")),
		Code:      root.Field("errorCode").Text(1, 128),
		ArrivedAt: time.UnixMilli(readNumber(root.Field("arrivalTimestamp"), maxMillis, millisPattern)).UTC(),
	}
	if field := root.Field("errorMessage"); !field.Missing() {
		entry.Message = field.Text(0, 8192)
	}
	if field := root.Field("attemptsMade"); !field.Missing() {
		entry.Attempts = int(readNumber(field, 999, attemptsPattern))
	}
	if field := root.Field("attemptEndingTimestamp"); !field.Missing() {
		entry.LastAttemptAt = time.UnixMilli(readNumber(field, maxMillis, millisPattern)).UTC()
	}
	for _, spelling := range []string{"lambdaARN", "lambdaArn"} {
		if field := root.Field(spelling); !field.Missing() {
			entry.LambdaARN = field.Text(0, 2048)
		}
	}
	if err := document.Err(); err != nil {
		return Entry{}, err
	}
	return entry, nil
}

// Read yields the entries of an object in the error output. A line that is refused comes as an
// error with its number and does not end the reading; an error of the reader does. Empty lines are
// skipped.
func Read(object io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		scanner := bufio.NewScanner(object)
		scanner.Buffer(make([]byte, 64<<10), MaxBytes+1)
		number := 0
		for scanner.Scan() {
			number++
			if strings.TrimSpace(scanner.Text()) == "" {
				continue
			}
			entry, err := Decode(scanner.Bytes())
			if err != nil {
				err = fmt.Errorf("line %d: %w", number, err)
			}
			if !yield(entry, err) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(Entry{}, fmt.Errorf("after line %d: %w", number, err))
		}
	}
}

func readPayload(field strictjson.Value) []byte {
	const allowed = "base64 with padding"
	text := field.Text(0, MaxRawData)
	payload, err := base64.StdEncoding.DecodeString(text)
	// The decoder skips line breaks, which no writer of one line puts there.
	if err != nil || !base64Pattern.MatchString(text) {
		field.Refuse(allowed)
	}
	return payload
}

func readNumber(field strictjson.Value, most int64, digits *regexp.Regexp) int64 {
	if !field.IsText() {
		return field.Integer(0, most)
	}
	number, _ := strconv.ParseInt(field.Pattern(digits,
		fmt.Sprintf("a whole number from 0 to %d, also as a string of digits", most)), 10, 64)
	return number
}
