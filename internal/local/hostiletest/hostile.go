// Package hostiletest makes requests that no client of AWS sends, for tests of what answers them:
// valid ones with odd values, with bodies and headers that are none, cut off, or no HTTP at all.
// The same seed makes the same requests. It knows no API: a test gives the valid requests from
// which to start.
package hostiletest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Sample is a valid request.
type Sample struct {
	// Name of it in messages.
	Name string
	// Method and Path of the request's line. Default: POST and /.
	Method, Path string
	Headers      map[string]string
	// Body is a text of JSON, or of anything else.
	Body string
}

// Request is what is sent, byte by byte.
type Request struct {
	// Name says what is odd about it.
	Name string
	Text []byte
	// Unfinished is cut off by the client: it has no answer.
	Unfinished bool
	// Garbage is no HTTP, or not enough of it: the server may close instead of answering.
	Garbage bool

	patience time.Duration // for the answer; default answerTime
}

// oversized is more than an API of AWS takes in one request.
const oversized = 20 << 20

// Requests are as many as asked for, from a few valid ones, in an order that the seed decides. The
// first are each kind of oddity once.
func Requests(seed uint64, count int, samples []Sample) []Request {
	m := maker{random: rand.New(rand.NewPCG(seed, 0)), samples: samples}
	var all []Request
	for _, kind := range kinds {
		all = append(all, kind(&m)...)
	}
	for len(all) < count {
		if m.random.IntN(20) == 0 {
			all = append(all, pick(&m, pick(&m, kinds)(&m)))
			continue
		}
		all = append(all, m.values())
	}
	return all
}

type maker struct {
	random  *rand.Rand
	samples []Sample
}

func pick[T any](m *maker, from []T) T { return from[m.random.IntN(len(from))] }

// kinds of oddities beside odd values.
var kinds = []func(*maker) []Request{bodies, binary, headers, targets, lines, cut, garbage}

// Request is the sample as HTTP/1.1; its body's length is told. The name says what is odd about it.
func (s Sample) Request(name string) Request {
	var text bytes.Buffer
	method, path := s.Method, s.Path
	if method == "" {
		method = "POST"
	}
	if path == "" {
		path = "/"
	}
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\n", method, path)
	headers := map[string]string{"Host": Host, "Content-Length": strconv.Itoa(len(s.Body))}
	maps.Copy(headers, s.Headers)
	for _, key := range slices.Sorted(maps.Keys(headers)) {
		if headers[key] != absent {
			fmt.Fprintf(&text, "%s: %s\r\n", key, headers[key])
		}
	}
	text.WriteString("\r\n" + s.Body)
	return Request{Name: s.Name + ": " + name, Text: text.Bytes()}
}

// Host stands for the server's own name and port, which Send puts in its place.
const Host = "host-of-the-server"

// absent takes a header away.
const absent = "\x00"

func (s Sample) with(headers map[string]string) Sample {
	changed := maps.Clone(s.Headers)
	if changed == nil {
		changed = map[string]string{}
	}
	maps.Copy(changed, headers)
	s.Headers = changed
	return s
}

func (s Sample) saying(body string) Sample {
	s.Body = body
	return s
}

// values is a request with one to three odd values in its body, or in its path where it has none.
func (m *maker) values() Request {
	sample := pick(m, m.samples)
	var tree any
	if json.Unmarshal([]byte(sample.Body), &tree) != nil || tree == nil {
		odd := pick(m, texts)
		sample.Path += pick(m, []string{"?", "/", "?x=", "?versionId=", "?uploadId=", "?max-keys="}) + escaped(odd)
		return sample.Request("path with " + short(odd))
	}
	var names []string
	for range 1 + m.random.IntN(3) {
		var at string
		tree, at = m.changed(tree, "")
		names = append(names, at)
	}
	text, err := json.Marshal(tree)
	if err != nil { // an odd text that is no JSON: the odd value is all of the body
		text = []byte(pick(m, values))
	}
	return sample.saying(unquoted(string(text))).Request(strings.Join(names, ", "))
}

// raw is a text of JSON that json.Marshal would not write: it stands in a marked string until then.
type raw string

// mark keeps raw texts apart from others within quotes.
const mark = "\ufffe"

func (r raw) MarshalJSON() ([]byte, error) { return json.Marshal(mark + string(r) + mark) }

// unquoted puts the raw texts in their places.
func unquoted(text string) string {
	parts := strings.Split(text, mark)
	for n := 1; n < len(parts); n += 2 {
		var inner string
		_ = json.Unmarshal([]byte(`"`+parts[n]+`"`), &inner) // it was marshalled above
		parts[n] = inner
		parts[n-1] = strings.TrimSuffix(parts[n-1], `"`)
		if n+1 < len(parts) {
			parts[n+1] = strings.TrimPrefix(parts[n+1], `"`)
		}
	}
	return strings.Join(parts, "")
}

// changed is a tree with one odd value, and where that is.
func (m *maker) changed(tree any, at string) (any, string) {
	odd := pick(m, values)
	switch node := tree.(type) {
	case map[string]any:
		if len(node) == 0 || m.random.IntN(8) == 0 {
			name := pick(m, keys)
			node[name] = raw(odd)
			return node, at + "." + short(name) + " = " + short(odd)
		}
		name := pick(m, slices.Sorted(maps.Keys(node)))
		if m.random.IntN(8) == 0 {
			delete(node, name)
			return node, at + "." + name + " absent"
		}
		node[name], at = m.changed(node[name], at+"."+name)
		return node, at
	case []any:
		if len(node) > 0 && m.random.IntN(3) > 0 {
			n := m.random.IntN(len(node))
			node[n], at = m.changed(node[n], at+"["+strconv.Itoa(n)+"]")
			return node, at
		}
		return append(node, raw(odd)), at + "[] = " + short(odd)
	case string:
		if m.random.IntN(4) == 0 && len(node) > 0 { // almost right
			n := m.random.IntN(len(node))
			almost := node[:n] + pick(m, texts) + node[n+m.random.IntN(len(node)-n):]
			return almost, at + " = " + short(almost)
		}
		text := pick(m, texts)
		if m.random.IntN(2) == 0 {
			return text, at + " = " + short(text)
		}
	}
	return raw(odd), at + " = " + short(odd)
}

// texts are odd strings: names of what every object of JavaScript and Python has, numbers that are
// none, keys and time stamps beyond all limits, parts of paths and of expressions.
var texts = []string{
	"", " ", "\x00", "\n", "length", "push", "constructor", "__proto__", "toString", "hasOwnProperty", "prototype",
	"__class__", "__init__", "0", "-1", "1e5", "0x10", "NaN", "Infinity", "undefined", "null", "true", "..", "../..",
	"/",
	"//", "%", "%00", "%zz", "{}", "[]", "a b", "é", "\u2028", "🚂", "'", `"`, "\\", "$", "`", "<a>", "&", ";", "=",
	"====",
	"AAA", "AAAA", "AAAAAAAAAAE=", "not base64!", strings.Repeat("9", 40), strings.Repeat("9", 400), "-" +
		strings.Repeat("9", 60),
	"1e999999999", "0." + strings.Repeat("0", 500) + "1", strings.Repeat("a", 300), strings.Repeat("x", 70_000),
	"shardId-", "shardId--1", "shardId-99999999999999999999", "shardId-000000000001", "2147483648",
	"49590338271490256608559692538361571095921575989136588898", "arn:aws:kinesis:us-east-1:000000000000:stream/length",
	"a = ", "((((((((((((((((((((((((((((((a", strings.Repeat("(", 400), "#a = :a AND", "SET a = a + ", "size(", "a[0]",
	"a[99999999999]", strings.Repeat("a.", 200) + "a", strings.Repeat("NOT ", 300) + "a = :a", ":a", "#",
	"contains(a,:a",
	"2000-01-01T00:00:00Z", "!{timestamp:", "aws-chunked", "*", "bytes=0-", "bytes=9-1", "\ufeff",
}

// values are odd texts of JSON, some of them none.
var values = []string{
	`null`, `true`, `false`, `0`, `-0`, `-1`, `0.5`, `1e400`, `-1e400`, `1e308`, `9007199254740993`,
	`18446744073709551616`,
	strings.Repeat("9", 400), `2147483647`, `2147483648`, `1e-400`, `""`, `"\u0000"`, `"\ud800"`, `"length"`,
	`"__proto__"`, `[]`,
	`{}`, `[null]`, `[[]]`, `[{}]`, `[null,null]`, `[0]`, `[""]`, `{"":null}`, `{"a":null}`, `{"__proto__":{}}`,
	`{"__proto__":null}`, `{"length":1e9}`, `{"length":-1}`, `{"toString":1}`, `{"toJSON":1}`, `{"S":null}`,
	`{"S":1}`, `{"N":"a"}`,
	`{"N":"1e999"}`, `{"M":null}`, `{"L":[null]}`, `{"L":[{}]}`, `{"B":"?"}`, `{"NS":[]}`, `{"SS":["a","a"]}`,
	`{"NULL":false}`,
	`{"S":"a","N":"1"}`, `{"type":"Buffer","data":[1]}`,
	strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000), strings.Repeat(`{"L":[`, 3000) + strings.Repeat(`]}`, 3000),
	strings.Repeat(`{"M":{"a":`, 3000) + `{"S":"a"}` + strings.Repeat(`}}`, 3000), `"` + strings.Repeat("a",
		300_000) + `"`,
	`[` + strings.Repeat(`null,`, 600) + `null]`, `[` + strings.Repeat(`{},`, 600) + `{}]`, `{"a":1,"a":2}`, `nul`,
	`[1,`, `"`, `{]`,
	`NaN`,
}

// keys are odd names of fields.
var keys = []string{"", "__proto__", "constructor", "length", "toString", "toJSON", "statusCode", "StreamName",
	"StreamARN",
	"Limit", "ExclusiveStartShardId", "ExclusiveStartKey", "NextToken", "Expected", "ConditionExpression",
	"KeyConditions",
	"FilterExpression", "AttributeUpdates", "ExpressionAttributeNames", "ExpressionAttributeValues", "ReturnValues",
	"x" + strings.Repeat("y", 10_000)}

func short(text string) string {
	const most = 40
	if len(text) > most {
		text = fmt.Sprintf("%s… of %d bytes", text[:most], len(text))
	}
	return strconv.QuoteToASCII(text)
}

func escaped(text string) string {
	var path strings.Builder
	for _, b := range []byte(text) {
		if b <= ' ' || b >= 0x7f {
			fmt.Fprintf(&path, "%%%02X", b)
			continue
		}
		path.WriteByte(b)
	}
	return path.String()
}

// bodies are odd as a whole.
func bodies(m *maker) (all []Request) {
	sample := pick(m, m.samples)
	for _, body := range []string{
		"", "null", "[]", "[null]", "0", `"a"`, "{", "}", "{}", "\x00", "\ufeff{}", "\xff\xfe{\x00}\x00",
		`{"a":1}{"a":1}`, "{'a':1}",
		strings.Repeat("[", 200_000), strings.Repeat(`{"a":`, 100_000), strings.Repeat("[", 100_000) +
			strings.Repeat("]", 100_000),
		"\x1f\x8b\x08\x00\x00\x00\x00\x00", "<xml/>", "<!DOCTYPE a [<!ENTITY b \"b\">]><a>&b;</a>", "a=b&c=d",
		sample.Body[:len(sample.Body)/2],
		sample.Body + sample.Body, `{"__proto__":{"StreamName":"a"}}`, string(m.bytes(1000)),
	} {
		all = append(all, sample.saying(body).Request("body "+short(body)))
	}
	return append(all, sample.saying(strings.Repeat("a", oversized)).Request("body of 20 MB"),
		sample.saying(`{"StreamName":"`+strings.Repeat("a", 6<<20)+`"}`).Request("name of 6 MB"))
}

func (m *maker) bytes(count int) []byte {
	all := make([]byte, count)
	for n := range all {
		all[n] = byte(m.random.Uint32())
	}
	return all
}

// binary are bodies of CBOR: what a sample says, with bytes that are changed, and numbers that
// promise more than there is.
func binary(m *maker) (all []Request) {
	sample := pick(m, m.samples).with(map[string]string{"Content-Type": "application/x-amz-cbor-1.1"})
	var tree any
	_ = json.Unmarshal([]byte(sample.Body), &tree) // what is no JSON becomes null
	valid := inCBOR(tree)
	all = append(all, sample.saying(string(valid)).Request("CBOR"))
	for range 40 {
		body := slices.Clone(valid)
		at := m.random.IntN(len(body))
		body[at] = byte(m.random.Uint32())
		all = append(all, sample.saying(string(body)).Request(fmt.Sprintf("CBOR, byte %d is %#x", at, body[at])))
	}
	for _, body := range []string{
		"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "\xbb\x00\x00\x00\x00\xff\xff\xff\xff",
		"\x5b\x00\x00\x00\x00\x7f\xff\xff\xff",
		"\x7b\xff\xff\xff\xff\xff\xff\xff\xff", "\x9a\x7f\xff\xff\xff", "\xba\x7f\xff\xff\xff", "\xbf", "\x9f",
		"\x5f", "\xff", "\xf6", "\xf7",
		"\xc2\x58\x20" + strings.Repeat("\xff", 32), "\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",
		"\xa1\xf6\xf6", "\xa1\x01\x02",
		"\xa1\x80\x80", "\xa1jStreamName\xc1\xf9\x7c\x00", "\xa1jStreamName\xf7", "\xa1jStreamName\x5fA\x61\xff",
		strings.Repeat("\x81", 100_000), strings.Repeat("\xc1", 100_000) + "\x01", "\xd8\x23\x63(((", "\xd8\x20\x61x",
	} {
		all = append(all, sample.saying(body).Request("CBOR "+short(body)))
	}
	return all
}

// inCBOR encodes a tree, objects in the order of their names: the library's is another each time.
func inCBOR(tree any) (text []byte) {
	const list, object = 0x98, 0xb8 // each with its length in the next byte
	switch node := tree.(type) {
	case map[string]any:
		text = append(text, object, byte(len(node)))
		for _, key := range slices.Sorted(maps.Keys(node)) {
			text = append(append(text, inCBOR(key)...), inCBOR(node[key])...)
		}
		return text
	case []any:
		text = append(text, list, byte(len(node)))
		for _, value := range node {
			text = append(text, inCBOR(value)...)
		}
		return text
	case string:
		return cbor.Encode(cbor.String(node))
	case float64:
		return cbor.Encode(cbor.Float64(node))
	case bool:
		return cbor.Encode(cbor.Bool(node))
	}
	return cbor.Encode(&cbor.Nil{})
}

// headers that a client would not send, or lacks.
func headers(m *maker) (all []Request) {
	sample := pick(m, m.samples)
	many := map[string]string{}
	for n := range 150 {
		many["X-Header-"+strconv.Itoa(n)] = "a"
	}
	for name, changed := range map[string]map[string]string{
		"no content type": {"Content-Type": absent}, "text": {"Content-Type": "text/plain"},
		"plain JSON": {"Content-Type": "application/json"}, "JSON 1.0": {"Content-Type": "application/x-amz-json-1.0"},
		"JSON 1.1": {"Content-Type": "application/x-amz-json-1.1"}, "odd content type": {"Content-Type": ";;;=\x80"},
		"form":                   {"Content-Type": "application/x-www-form-urlencoded"},
		"parts":                  {"Content-Type": "multipart/form-data; boundary=a"},
		"parts without boundary": {"Content-Type": "multipart/form-data"}, "no login": {"Authorization": absent},
		"odd login":   {"Authorization": "AWS4-HMAC-SHA256 ,,,==,= __proto__=a,Credential"},
		"empty login": {"Authorization": ""},
		"basic login": {"Authorization": "Basic ====\x80"}, "login of 12 KB": {"Authorization": strings.Repeat("a,=",
			4000)},
		"no date": {"X-Amz-Date": absent, "Date": absent}, "odd date": {"X-Amz-Date": "yesterday"},
		"odd hash":             {"X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
		"chunks that are none": {"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": "-1"},
		"odd encoding":         {"Content-Encoding": "gzip"},
		"odd length of chunks": {"X-Amz-Decoded-Content-Length": "abc"},
		"odd checksum":         {"X-Amz-Checksum-Crc32": "AAAAAA==", "X-Amz-Sdk-Checksum-Algorithm": "MD6"},
		"odd MD5":              {"Content-Md5": "?"},
		"another's page":       {"Origin": "http://example.com"}, "range": {"Range": "bytes=99-1"},
		"waits":                  {"Expect": "100-continue"},
		"expects the impossible": {"Expect": "the-impossible"}, "another's host": {"Host": "example.com"},
		"copy of nothing": {"X-Amz-Copy-Source": "%zz/\x80"}, "odd tags": {"X-Amz-Tagging": "&&&=%zz"},
		"odd lock":       {"X-Amz-Object-Lock-Retain-Until-Date": "never", "X-Amz-Object-Lock-Mode": "NONE"},
		"odd condition":  {"If-Modified-Since": "never", "If-None-Match": "\"", "If-Match": "*"},
		"odd invocation": {"X-Amz-Invocation-Type": "Odd", "X-Amz-Client-Context": "not base64"},
		"upgrade":        {"Connection": "Upgrade", "Upgrade": "websocket"}, "150 headers": many,
		"header of 200 KB": {"X-Long": strings.Repeat("a", 200<<10)},
	} {
		all = append(all, sample.with(changed).Request(name))
	}
	slices.SortFunc(all, func(a, b Request) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// targets are operations that are none.
func targets(m *maker) (all []Request) {
	sample := pick(m, m.samples)
	service, operation, _ := strings.Cut(sample.Headers["X-Amz-Target"], ".")
	for _, target := range []string{
		absent, "", ".", service, service + ".", "." + operation, service + ".Nothing", service + ".constructor",
		service + ".__proto__", service + ".toString", "Odd." + operation, service + "." + operation + ".",
		service + "." + strings.ToLower(operation), service + "." + operation + "\x80", strings.Repeat("a.", 5000),
	} {
		all = append(all, sample.with(map[string]string{"X-Amz-Target": target}).Request("target "+short(target)))
	}
	return all
}

// lines are odd methods and paths.
func lines(m *maker) (all []Request) {
	sample := pick(m, m.samples)
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"} {
		odd := sample
		odd.Method = method
		all = append(all, odd.Request(method))
	}
	for _, path := range []string{
		"/?", "/?X-Amz-Algorithm=a", "/?X-Amz-Algorithm=a&X-Amz-Algorithm=b&X-Amz-Credential", "/?%zz=%", "/%00",
		"/%zz", "//", "//[", "//[?a",
		"/../../etc/passwd", "/a/b/c/d?X-Amz-Credential=%ff%fe", "http://[::1?a", "http://[?a=b", "http://a:b@c:d/?e",
		"*", "/?list-type=2&max-keys=-1",
		"/?max-keys=9999999999999999999999", "/?continuation-token=%ff", "/?uploads", "/?partNumber=-1&uploadId=a",
		"/?acl", "/?delete",
		"/2015-03-31/functions/%00/invocations", "/2015-03-31/functions//invocations",
		"/2018-06-01/runtime/invocation//response",
		"/2018-06-01/runtime/invocation/a/response", "/2018-06-01/runtime/invocation/next/", "/" +
			strings.Repeat("a/", 3000), "/?" + strings.Repeat("a&", 3000),
	} {
		odd := sample
		odd.Path = path
		request := odd.Request("path " + short(path))
		request.Garbage = !strings.HasPrefix(path, "/")
		all = append(all, request)
	}
	return all
}

// cut are requests whose client is gone in their midst.
func cut(m *maker) (all []Request) {
	for range 5 {
		whole := pick(m, m.samples).Request("")
		at := 1 + m.random.IntN(len(whole.Text)-1)
		all = append(all, Request{Name: fmt.Sprintf("%scut off at byte %d", whole.Name, at), Text: whole.Text[:at],
			Unfinished: true})
	}
	large := pick(m, m.samples).saying(strings.Repeat("a", 3<<20)).Request("")
	return append(all, Request{Name: large.Name + "cut off after 2 MB", Text: large.Text[:2<<20], Unfinished: true})
}

// garbage is no HTTP, or almost.
func garbage(m *maker) (all []Request) {
	valid := pick(m, m.samples)
	twice := append(valid.Request("").Text, valid.Request("").Text...)
	chunked := valid.with(map[string]string{"Content-Length": absent, "Transfer-Encoding": "chunked"})
	for name, text := range map[string][]byte{
		"no HTTP": m.bytes(500), "TLS": []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
		"HTTP/0.9": []byte("GET /\r\n\r\n"),
		"HTTP/2":   []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "HTTP/9": []byte("POST / HTTP/9.9\r\n\r\n"),
		"no name":         []byte("POST / HTTP/1.1\r\n: a\r\n\r\n"),
		"CONNECT":         []byte("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"),
		"negative length": []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
		"two lengths":     []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\naa"),
		"length and chunks": []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunk" +
			"ed\r\n\r\n0\r\n\r\n"),
		"chunk that is none": chunked.saying("zz\r\nab\r\n").Request("").Text,
		"negative chunk":     chunked.saying("-1\r\nab\r\n0\r\n\r\n").Request("").Text,
		"chunk of 16 EB":     chunked.saying("ffffffffffffffff\r\nab\r\n").Request("").Text, "pipelined": twice,
		"lines only": bytes.Repeat([]byte("\r\n"), 1000),
		"folded":     []byte("POST / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n"),
		"bare":       []byte("POST / HTTP/1.1\rHost: a\r\r"),
	} {
		all = append(all, Request{Name: name, Text: text, Garbage: true})
	}
	slices.SortFunc(all, func(a, b Request) int { return strings.Compare(a.Name, b.Name) })
	return all
}
