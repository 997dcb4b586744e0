package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/aggregation/aggregationtest"
)

// hostileEvent is a record's bytes as nobody expects them.
type hostileEvent struct {
	name string
	data []byte
	// valid says that the contract takes it: it is archived and delivered as it is. Else it is in
	// the error output, byte for byte.
	valid bool
}

// plain is an event of the course; session stands where each event has its own.
const plain = `{"session_id":"session","customer_number":103,"city":"Nantes","country":"France",` +
	`"credit_limit":21000,"browse_history":[{"product_code":"S10_1678","quantity":1,"in_shopping_cart":true}]}`

// with is the plain event with one part replaced.
func with(old, replacement string) []byte {
	if !strings.Contains(plain, old) {
		panic("the plain event has no " + old)
	}
	return []byte(strings.Replace(plain, old, replacement, 1))
}

// more is the plain event with something before its closing brace.
func more(text string) []byte { return []byte(strings.TrimSuffix(plain, "}") + text + "}") }

func city(text string) []byte { return with("Nantes", text) }

// padded is the plain event, that many bytes long.
func padded(size int) []byte {
	const frame = `,"note":""`
	return more(strings.Replace(frame, `""`, `"`+strings.Repeat("x", size-len(plain)-len(frame))+`"`, 1))
}

func nested(depth int) []byte {
	return more(`,"note":` + strings.Repeat("[", depth) + strings.Repeat("]", depth))
}

func history(entries int) []byte {
	const entry = `{"product_code":"S10_1678","quantity":1,"in_shopping_cart":true}`
	return with(entry, strings.TrimSuffix(strings.Repeat(entry+",", entries), ","))
}

func compressed(to func(io.Writer) io.WriteCloser) []byte {
	var buffer bytes.Buffer
	writer := to(&buffer)
	_, err := writer.Write([]byte(plain))
	if err = errors.Join(err, writer.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return buffer.Bytes()
}

func utf16Text(text string) []byte {
	encoded := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		encoded = append(encoded, byte(unit), byte(unit>>8))
	}
	return encoded
}

// hostileEvents are tried all.
func hostileEvents() []hostileEvent {
	repeat, number := strings.Repeat, func(text string) []byte { return with("21000", text) }
	customer := func(text string) []byte { return with("103", text) }
	quantity := func(text string) []byte { return with(`"quantity":1`, `"quantity":`+text) }
	product := func(text string) []byte { return with("S10_1678", text) }
	moment := func(text string) []byte { return more(`,"event_time":"` + text + `"`) }
	identified := func(text string) []byte { return more(`,"event_id":"` + text + `"`) }
	aggregate := func(payloads ...[]byte) []byte { return aggregationtest.Aggregate("session", payloads...) }
	recent := time.Now().UTC().Truncate(time.Second)
	return []hostileEvent{
		{"the largest event", padded(activity.MaxBytes), true},
		{"one byte larger", padded(activity.MaxBytes + 1), false},
		{"a megabyte", padded(1_000_000), false},
		{"an empty record", []byte{}, false},
		{"one blank", []byte(" "), false},
		{"NUL", []byte{0}, false},
		{"a thousand NULs", make([]byte, 1000), false},
		{"NUL behind the event", append([]byte(plain), 0), false},
		{"every byte once", everyByte(), false},
		{"gzip", compressed(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }), false},
		{"zlib", compressed(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }), false},
		{"base64", []byte(base64.StdEncoding.EncodeToString([]byte(plain))), false},
		{"UTF-16", utf16Text(plain), false},
		{"a byte order mark", []byte("\ufeff" + plain), true},

		{"null", []byte("null"), false},
		{"true", []byte("true"), false},
		{"a number", []byte("-1e5"), false},
		{"a text", []byte(`"event"`), false},
		{"an empty object", []byte("{}"), false},
		{"an array of the event", []byte("[" + plain + "]"), false},
		{"two events", []byte(plain + plain), false},
		{"two lines", []byte(plain + "\n" + plain), false},
		{"half an event", []byte(plain[:len(plain)/2]), false},
		{"a comma too many", more(","), false},
		{"a comment", []byte(plain + "// end"), false},
		{"single quotes", []byte(strings.ReplaceAll(plain, `"`, `'`)), false},
		{"a newline at the end", []byte(plain + "\n"), true},
		{"CRLF, tabs and blanks", []byte("\r\n\t " + strings.ReplaceAll(plain, ",", "\r\n\t, ")), true},
		{"a form feed between", []byte("\f" + plain), false},

		{"the deepest nesting", nested(activity.MaxDepth - 1), true},
		{"one deeper", nested(activity.MaxDepth), false},
		{"ten thousand brackets", []byte(repeat("[", 10_000)), false},
		{"the longest history", history(activity.MaxBrowseHistory), true},
		{"one entry more", history(activity.MaxBrowseHistory + 1), false},
		{"a history that is an object", []byte(strings.NewReplacer("[{", `{"0":{`, "}]", "}}").Replace(plain)), false},
		{"a thousand unknown fields", more(unknownFields(1000)), true},
		{"an unknown field without a name", more(`,"":0`), true},
		{"fields named like JavaScript's", more(`,"__proto__":{"a":1},"constructor":null`), true},
		{"a field of the record", more(`,"model_version":"0123456789ab"`), false},

		{"a name twice", more(`,"city":"Paris"`), false},
		{"a name twice, once escaped", more(`,"cit\u0079":"Paris"`), false},
		{"an unknown name twice", more(`,"note":1,"note":2`), false},
		{"a name twice within", with(`"quantity":1`, `"quantity":1,"quantity":2`), false},
		{"names in another case", []byte(strings.ReplaceAll(plain, "city", "City")), false},
		{"an escaped name", with(`"city"`, `"\u0063ity"`), true},

		{"a raw control character", city("Nan\x01tes"), false},
		{"an escaped NUL", city(`Nan\u0000tes`), true},
		{"a byte that is no UTF-8", city("Nan\xfftes"), false},
		{"an overlong NUL", city("Nan\xc0\x80tes"), false},
		{"a surrogate as UTF-8", city("Nan\xed\xa0\x80tes"), false},
		{"half a character", city("Nan\xe2\x82"), false},
		{"a lone surrogate, escaped", city(`\ud83d`), false},
		{"surrogates in the wrong order", city(`\ude00\ud83d`), false},
		{"a pair of surrogates, escaped", city(`\ud83d\ude00`), true},
		{"noncharacters", city("\ufffe\uffff\U0010ffff"), true},
		{"U+2028 and U+2029", city("Nan\u2028tes\u2029"), true},
		{"right to left", city("\u202eNantes\u202c"), true},
		{"zero width", city("\u200b\u200d\ufeff"), true},
		{"a heap of accents", city("e" + repeat("\u0301", 99)), true},
		{"a hundred emoji", city(repeat("\U0001f600", activity.MaxPlace)), true},
		{"a hundred and one", city(repeat("\U0001f600", activity.MaxPlace+1)), false},
		{"no city", city(""), true},
		{"blanks of all kinds", city("\u00a0\u2003\u3000\u0085"), true},
		{"dotted and dotless i", city("İIıi"), true},
		{"markup", city(`</script><!--\"'&lt;`), true},
		{"SQL", city(`'); DROP TABLE item_emb; --`), true},
		{"a formula", city(`=cmd|'/c calc'!A1`), true},

		{"the largest limit", number("1e9"), true},
		{"a limit above", number("1000000000.01"), false},
		{"a limit in powers", number("2.1E+4"), true},
		{"minus zero", number("-0"), true},
		{"three hundred digits", number("0." + repeat("3", 300)), true},
		{"next to nothing", number("5e-324"), true},
		{"beyond every number", number("1e400"), false},
		{"NaN", number("NaN"), false},
		{"Infinity", number("-Infinity"), false},
		{"hexadecimal", number("0x5208"), false},
		{"a leading zero", number("021000"), false},
		{"a plus", number("+21000"), false},
		{"no digit before the point", number(".5"), false},
		{"no digit after the point", number("5."), false},
		{"a limit as a text", number(`"21000"`), false},
		{"the largest customer", customer("2147483647"), true},
		{"a customer above", customer("2147483648"), false},
		{"a customer above every integer", customer("18446744073709551617"), false},
		{"half a customer", customer("103.5"), false},
		{"the most pieces", quantity("999999"), true},
		{"one piece more", quantity("1000000"), false},
		{"pieces as a text", quantity(`"007"`), true},
		{"pieces in Arabic digits", quantity(`"٣"`), false},
		{"a piece with a blank", quantity(`" 1"`), false},
		{"the longest product", product(repeat("~", activity.MaxProductCode)), true},
		{"a longer product", product(repeat("~", activity.MaxProductCode+1)), false},
		{"a product in Greek", product("Σ10"), false},
		{"a customer left out", with(`"customer_number":103,`, ""), false},

		{"the nil identity", identified(uuid.Nil.String()), true},
		{"an identity in capitals", identified(strings.ToUpper(uuid.NewString())), true},
		{"an identity in braces", identified("{" + uuid.NewString() + "}"), false},
		{"no identity", identified("none"), false},
		{"a time in the future", moment("2099-12-31T23:59:59Z"), true},
		{"a time of old", moment("1970-01-01T00:00:00Z"), false},
		{"nanoseconds, fourteen hours ahead", moment(recent.In(time.FixedZone("", 14*3600)).
			Format("2006-01-02T15:04:05.000000000-07:00")), true},
		{"a leap second", moment("2016-12-31T23:59:60Z"), false},
		{"the 30th of February", moment("2026-02-30T00:00:00Z"), false},
		{"a time in lower case", moment("2026-03-01t09:30:00z"), false},

		{"an aggregate of good and bad", aggregate([]byte(plain), []byte("{"), []byte(plain)), true},
		{"an aggregate of an empty record", aggregate([]byte{}), false},
		{"an aggregate within another", aggregate(aggregate([]byte(plain))), false},
		{"an aggregate with a wrong digest", append(aggregate([]byte(plain)), 0), false},
		{"an aggregate of nothing", aggregationtest.Seal(nil), false},
		{"the beginning of an aggregate", []byte{0xf3, 0x89, 0x9a, 0xc2}, false},
	}
}

func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func unknownFields(count int) string {
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, `,"f%d":%d`, i, i)
	}
	return text.String()
}

// putHostile puts each hostile event under a session of its own.
func (r *run) putHostile(ctx context.Context, seed uint64) error {
	l := &load{done: make(chan struct{})}
	close(l.done)
	var batch []types.PutRecordsRequestEntry
	for i, hostile := range hostileEvents() {
		session := fmt.Sprintf("hostile-%d-%d", seed, i)
		data := bytes.ReplaceAll(hostile.data, []byte(`"session_id":"session"`), []byte(`"session_id":"`+session+`"`))
		if data == nil {
			data = []byte{} // for the SDK, none is missing
		}
		batch = append(batch, types.PutRecordsRequestEntry{Data: data, PartitionKey: &session})
	}
	err := l.put(ctx, &r.view, batch)
	return errors.Join(err, l.wait(&r.view))
}
