// Package tolerant reads the records of an invocation one by one, so that one that cannot be read
// does not fail its neighbours. It must not know any record.
package tolerant

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Value is a value of a document, and what could not be read of it. Reading the document never
// fails because of it. A value that has its own UnmarshalJSON stands in a Value of its own where
// what follows it is to be read whatever it is: its error would end the reading.
type Value[T any] struct {
	// Read is as much as could be read: the fields of a struct that are right are there beside one
	// that is wrong.
	Read T
	// Err is nil, or the first thing that could not be read.
	Err error
}

// UnmarshalJSON keeps the error; its own is always nil. The error repeats no value.
func (v *Value[T]) UnmarshalJSON(text []byte) error {
	*v = Value[T]{}
	err := json.Unmarshal(text, &v.Read)
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch) && mismatch.Field == "":
		v.Err = fmt.Errorf("it has another type than %s", mismatch.Type)
	case errors.As(err, &mismatch):
		v.Err = fmt.Errorf("its field %q has another type than %s", mismatch.Field, mismatch.Type)
	case err != nil:
		v.Err = errors.New("one of its fields cannot be read")
	}
	return nil
}

// MarshalJSON writes what was read.
func (v Value[T]) MarshalJSON() ([]byte, error) { return json.Marshal(v.Read) }

// Text is a text; it is empty where the document has something else. Reading it never fails.
type Text string

// UnmarshalJSON reads the text.
func (t *Text) UnmarshalJSON(text []byte) error {
	var read string
	if json.Unmarshal(text, &read) != nil {
		read = ""
	}
	*t = Text(read)
	return nil
}

// Whole is a whole number, 0 or more, as a number, as a text of digits, or 0 where it is null or an
// empty text: one field has all of these in samples that AWS publishes.
type Whole uint64

// UnmarshalJSON reads the number.
func (w *Whole) UnmarshalJSON(text []byte) error {
	digits := string(text)
	if digits == "null" {
		digits = ""
	} else if text[0] == '"' {
		if err := json.Unmarshal(text, &digits); err != nil {
			return err
		}
	}
	*w = 0
	if digits == "" {
		return nil
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || strconv.FormatUint(number, 10) != digits { // such as 007
		return errors.New("not a whole number")
	}
	*w = Whole(number)
	return nil
}
