// Package recorded reads a shop's own activity events from a file, one JSON object a line as
// `diecast generate --format events` writes them, and names each line and field that breaks the
// contract. It knows the contract, not what becomes of the events.
package recorded

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"diecast/internal/activity"
	"diecast/internal/plaintext"
	"diecast/internal/quotas"
)

// MaxLine bounds a line in bytes: no stream takes a longer record.
const MaxLine = quotas.KinesisRecord

// Line is one event of a file.
type Line struct {
	// Number counts the lines from 1, empty ones among them.
	Number int
	// Event as it was decoded; Text is what the file has.
	Event activity.Event
	Text  []byte
}

// Problem is a line that breaks the contract.
type Problem struct {
	Line int
	// Violations are all of the line.
	Violations []activity.Violation
}

func (p *Problem) Error() string {
	return fmt.Sprintf("line %d: %v", p.Line, &activity.Error{Violations: p.Violations})
}

// Read yields the events of a file. A line that breaks the contract comes as a *Problem and does
// not end the reading; any other error does: the file cannot be read, or is no text in UTF-8. Empty
// lines are skipped.
func Read(file io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		lines := bufio.NewReaderSize(file, 64<<10)
		for number := 1; ; number++ {
			text, whole, err := readLine(lines)
			if err == nil && number == 1 {
				text, err = plaintext.Trim(text)
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Line{}, fmt.Errorf("line %d: %w", number, err))
				return
			}
			if len(bytes.TrimSpace(text)) == 0 && whole {
				continue
			}
			line := Line{Number: number, Text: text}
			broken := &activity.Error{Violations: []activity.Violation{{Value: "a longer line",
				Allowed: fmt.Sprintf("at most %d bytes", MaxLine)}}}
			if whole {
				line.Event, err = activity.Decode(text)
			}
			if !whole || errors.As(err, &broken) {
				err = &Problem{Line: number, Violations: broken.Violations}
			}
			if !yield(line, err) {
				return
			}
		}
	}
}

// readLine gives a line without its end. Of one that is longer than MaxLine, which is not whole, it
// gives the beginning.
func readLine(lines *bufio.Reader) (text []byte, whole bool, err error) {
	whole = true
	for begun := false; ; begun = true {
		part, err := lines.ReadSlice('\n')
		if len(text)+len(part) > MaxLine+2 {
			whole = false
		} else {
			text = append(text, part...)
		}
		switch {
		case err == nil:
			text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
			return text, whole && len(text) <= MaxLine, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (begun || len(part) > 0):
			return text, whole && len(text) <= MaxLine, nil
		default:
			return nil, false, err
		}
	}
}
