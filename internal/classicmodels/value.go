package classicmodels

import (
	"database/sql/driver"
	"strconv"
	"time"
)

// Value of one column in one row. The zero Value is null.
type Value struct {
	kind   Kind
	set    bool
	number int64 // an integer, hundredths, or seconds since 1970
	text   string
}

// Null is the missing value.
var Null = Value{}

// IntegerValue of an int or smallint column.
func IntegerValue(n int) Value { return Value{kind: Integer, set: true, number: int64(n)} }

// DecimalValue of a decimal(10,2) column, in hundredths.
func DecimalValue(hundredths int64) Value { return Value{kind: Decimal, set: true, number: hundredths} }

// TextValue of a character column.
func TextValue(s string) Value { return Value{kind: Text, set: true, text: s} }

// BytesValue of a blob.
func BytesValue(b []byte) Value { return Value{kind: Bytes, set: true, text: string(b)} }

// DateValue is the UTC day of t.
func DateValue(t time.Time) Value {
	seconds := t.Unix()
	return Value{kind: Date, set: true, number: seconds - ((seconds%secondsPerDay)+secondsPerDay)%secondsPerDay}
}

// TimestampValue is t to the second.
func TimestampValue(t time.Time) Value { return Value{kind: Timestamp, set: true, number: t.Unix()} }

// Value makes a Value an argument of database/sql: a number, a text (decimals, dates and timestamps
// are texts, too) or bytes.
func (v Value) Value() (driver.Value, error) {
	switch {
	case !v.set:
		return nil, nil
	case v.kind == Integer:
		return v.number, nil
	case v.kind == Bytes:
		return []byte(v.text), nil
	default:
		return v.String(), nil
	}
}

// Bytes is about how much memory the value takes.
func (v Value) Bytes() int { return 16 + len(v.text) }

func optionalText(s string) Value {
	if s == "" {
		return Null
	}
	return TextValue(s)
}

// IsNull tells whether the value is missing.
func (v Value) IsNull() bool { return !v.set }

// Int is an integer column's value; a decimal's in hundredths.
func (v Value) Int() int64 { return v.number }

// Time of a date or timestamp column, UTC.
func (v Value) Time() time.Time { return time.Unix(v.number, 0).UTC() }

// String is the value as text: an integer in decimal, 12.30, 2005-05-31, 2005-05-31 16:04:05; empty
// for null.
func (v Value) String() string {
	if v.kind == Text || v.kind == Bytes {
		return v.text
	}
	return string(v.append(nil, time.DateTime))
}

func (v Value) append(to []byte, timestampLayout string) []byte {
	if !v.set {
		return to
	}
	switch v.kind {
	case Integer:
		return strconv.AppendInt(to, v.number, 10)
	case Decimal:
		n := v.number
		if n < 0 {
			to, n = append(to, '-'), -n
		}
		to = strconv.AppendInt(to, n/100, 10)
		return append(to, '.', byte('0'+n/10%10), byte('0'+n%10))
	case Date:
		return v.Time().AppendFormat(to, time.DateOnly)
	case Timestamp:
		return v.Time().AppendFormat(to, timestampLayout)
	default:
		return append(to, v.text...)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
