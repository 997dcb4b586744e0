// Package strictjson reads JSON that comes from outside under stated limits: every rule that a
// document breaks is collected, so that its sender learns of all of them at once.
//
// It is stricter than encoding/json in what RFC 7493 (I-JSON) leaves no room for: UTF-8 only, no
// lone surrogates, no doubled names, no numbers beyond a float64, names compared exactly. It knows
// nothing about any particular document.
package strictjson

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"diecast/internal/plaintext"
)

// shownLength is how many characters of a refused value an error repeats. The values are customers'
// data: enough to find the mistake, no more.
const shownLength = 24

// Limits bound a document before any of its fields is looked at. The zero value bounds nothing.
type Limits struct {
	// MaxBytes is the largest document, in bytes.
	MaxBytes int
	// MaxDepth is how deep objects and arrays may lie inside each other; the document itself is
	// level 1.
	MaxDepth int
}

// Violation is one broken rule.
type Violation struct {
	// Field is the path of the value, such as browse_history[2].quantity; empty for the document as
	// a whole.
	Field string
	// Value is what was found, shortened; an object or array is only named as such.
	Value string
	// Allowed says what would have been accepted.
	Allowed string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: got %s, want %s", v.place(), v.Value, v.Allowed)
}

func (v Violation) rule() string { return v.place() + ": want " + v.Allowed }

func (v Violation) place() string { return cmp.Or(v.Field, "document") }

// Error holds every violation of one document, in the order of reading.
type Error struct {
	Violations []Violation
}

func (e *Error) Error() string {
	lines := make([]string, len(e.Violations))
	for i, violation := range e.Violations {
		lines[i] = violation.String()
	}
	return strings.Join(lines, "; ")
}

// WithoutValues is an error for logs: where err is an *Error, its fields and what they allow, but
// nothing that was found, which may be a person's. Another error, and none, stays as it is.
func WithoutValues(err error) error {
	var violations *Error
	if !errors.As(err, &violations) {
		return err
	}
	lines := make([]string, len(violations.Violations))
	for i, violation := range violations.Violations {
		lines[i] = violation.rule()
	}
	return errors.New(strings.Join(lines, "; "))
}

// Member is one name and value of an object; the value is compact JSON, its strings and numbers
// spelled as they came.
type Member struct {
	Name  string
	Value jsontext.Value
}

// Document is a parsed document and the violations found in it so far.
type Document struct {
	root       Value
	violations []Violation
}

// Value is one value of a document, or the absence of one.
type Value struct {
	document *Document
	node     *node
	// parent and name are where an absent value was looked for.
	parent *node
	name   string
}

type node struct {
	kind   jsontext.Kind
	raw    jsontext.Value
	text   string
	number float64
	// parent has this node as the member of this name or, where it is an array, the element at this
	// place. The path is only made of it where something is refused: nearly nothing is.
	parent *node
	name   string
	place  int
	// first of so many members or elements, each with its next.
	first, next *node
	count       int
	// byName are the members of an object that has many.
	byName map[string]*node
}

// manyMembers is from how many members on they are found by a map: below, comparing is faster than
// making one.
const manyMembers = 24

func (n *node) member(name string) *node {
	if n.count >= manyMembers {
		if n.byName == nil {
			n.byName = make(map[string]*node, n.count)
			for child := n.first; child != nil; child = child.next {
				n.byName[child.name] = child
			}
		}
		return n.byName[name]
	}
	child := n.first
	for child != nil && child.name != name {
		child = child.next
	}
	return child
}

// path is that of the node in its document; empty for the document itself.
func (n *node) path() string {
	if n == nil || n.parent == nil {
		return ""
	}
	if n.parent.kind == '[' {
		return fmt.Sprintf("%s[%d]", n.parent.path(), n.place)
	}
	return join(n.parent.path(), n.name)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// path is that of the value in its document, such as browse_history[2].quantity.
func (v Value) path() string {
	if v.node == nil {
		return join(v.parent.path(), v.name)
	}
	return v.node.path()
}

// Parse reads one JSON value; a byte order mark of UTF-8 before it is passed over, as RFC 8259
// allows. The error is an *Error with a single violation: what is not readable as a whole has no
// fields to judge.
func Parse(data []byte, limits Limits) (*Document, error) {
	if limits.MaxBytes > 0 && len(data) > limits.MaxBytes {
		return nil, refusal(fmt.Sprintf("%d bytes", len(data)), fmt.Sprintf("at most %d bytes", limits.MaxBytes))
	}
	text, err := plaintext.Trim(data)
	if err != nil {
		return nil, refusal("another container", oneValue+"; "+err.Error())
	}
	compact := jsontext.Value(bytes.Clone(text))
	if err := compact.Compact(jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false)); err != nil {
		return nil, refusal(shorten(cause(err)), oneValue)
	}
	document := &Document{}
	reader := reader{data: compact, spelt: string(compact), most: limits.MaxDepth, values: mostValues(compact)}
	root, err := reader.read(nil, 1)
	if err != nil {
		return nil, err
	}
	document.root = Value{document: document, node: root}
	return document, nil
}

// Root is the document's own value.
func (d *Document) Root() Value { return d.root }

// Err is nil, or the *Error with every violation recorded so far.
func (d *Document) Err() error {
	if len(d.violations) == 0 {
		return nil
	}
	return &Error{Violations: d.violations}
}

const oneValue = "one JSON value in UTF-8 without doubled names"

func refusal(value, allowed string) *Error {
	return &Error{Violations: []Violation{{Value: value, Allowed: allowed}}}
}

// cause is the syntax error without the package's name and without its position's prefix.
func cause(err error) string {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		if errors.As(err, &syntactic) {
			return "doubled name at " + string(syntactic.JSONPointer)
		}
		return "doubled name"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "an unfinished value"
	case errors.As(err, &syntactic):
		return fmt.Sprintf("a mistake after byte %d", syntactic.ByteOffset)
	}
	return "unreadable text"
}

// reader makes nodes of text that Compact has made and found right: it looks for nothing but where
// each value ends.
type reader struct {
	data []byte
	// spelt is data, of which texts are parts.
	spelt string
	at    int
	// most is the depth that is allowed; 0 allows any.
	most int
	// nodes are made some at a time, for at most so many values that are still to come.
	nodes  []node
	values int
}

// mostValues that a compact document has: before each but the first stands one of these signs,
// which elsewhere stand in texts alone.
func mostValues(data []byte) int {
	return 1 + bytes.Count(data, []byte(",")) + bytes.Count(data, []byte("[")) + bytes.Count(data, []byte("{"))
}

// mostNodes are made at a time: a text of commas is no reason for more.
const mostNodes = 256

func (r *reader) node() *node {
	if len(r.nodes) == 0 {
		r.nodes = make([]node, min(r.values, mostNodes))
		r.values -= len(r.nodes)
	}
	made := &r.nodes[0]
	r.nodes = r.nodes[1:]
	return made
}

func (r *reader) read(parent *node, depth int) (result *node, err error) {
	start := r.at
	result = r.node()
	result.kind, result.parent = jsontext.Value(r.data[r.at:r.at+1]).Kind(), parent
	switch result.kind {
	case '"':
		result.text, err = r.text()
	case '0':
		literal := r.literal()
		if result.number, err = strconv.ParseFloat(literal, 64); err != nil {
			err = refusal(shorten(literal), "numbers within the range of a float64")
		}
	case '[', '{':
		if r.most > 0 && depth > r.most {
			return nil, refusal("deeper nesting", fmt.Sprintf("at most %d levels", r.most))
		}
		err = r.children(result, depth)
	default:
		r.literal()
	}
	result.raw = r.data[start:r.at:r.at]
	return result, err
}

// children reads the elements of an array or the members of an object, with both its ends.
func (r *reader) children(of *node, depth int) error {
	r.at++
	var last *node
	for r.data[r.at] != ']' && r.data[r.at] != '}' {
		if r.data[r.at] == ',' {
			r.at++
		}
		name := ""
		if of.kind == '{' {
			var err error
			if name, err = r.text(); err != nil {
				return err
			}
			r.at++ // the colon
		}
		child, err := r.read(of, depth+1)
		if err != nil {
			return err
		}
		child.name, child.place = name, of.count
		if of.count++; last == nil {
			of.first = child
		} else {
			last.next = child
		}
		last = child
	}
	r.at++
	return nil
}

// text reads a string.
func (r *reader) text() (string, error) {
	start, escaped := r.at, false
	for r.at++; r.data[r.at] != '"'; r.at++ {
		if r.data[r.at] == '\\' {
			escaped = true
			r.at++
		}
	}
	r.at++
	if !escaped {
		return r.spelt[start+1 : r.at-1], nil
	}
	text, err := jsontext.AppendUnquote(nil, r.data[start:r.at])
	if err != nil {
		return "", refusal(shorten(cause(err)), oneValue)
	}
	return string(text), nil
}

// literal reads a number or a word.
func (r *reader) literal() string {
	start := r.at
	for r.at < len(r.data) && r.data[r.at] != ',' && r.data[r.at] != ']' && r.data[r.at] != '}' {
		r.at++
	}
	return r.spelt[start:r.at]
}

// Missing says that the value is absent or null.
func (v Value) Missing() bool { return v.node == nil || v.node.kind == 'n' }

// Raw is the value as compact JSON; nil where absent.
func (v Value) Raw() jsontext.Value {
	if v.node == nil {
		return nil
	}
	return v.node.raw
}

// Refuse records a violation of this value.
func (v Value) Refuse(allowed string) {
	found := Violation{Field: v.path(), Value: v.shown(), Allowed: allowed}
	v.document.violations = append(v.document.violations, found)
}

func (v Value) shown() string {
	if v.node == nil {
		return "nothing"
	}
	switch v.node.kind {
	case '{':
		return "an object"
	case '[':
		return fmt.Sprintf("an array of %d", v.node.count)
	}
	return shorten(string(v.node.raw))
}

func shorten(text string) string {
	if utf8.RuneCountInString(text) <= shownLength {
		return text
	}
	return string([]rune(text)[:shownLength]) + "..."
}

// Field is the object's member of this name, whether present or not. On anything but an object it
// records a violation only through the caller's Object.
func (v Value) Field(name string) Value {
	field := Value{document: v.document, parent: v.node, name: name}
	if v.node == nil { // a member of what is absent itself
		field.parent = &node{kind: '{', parent: v.parent, name: v.name}
	} else if v.node.kind == '{' {
		field.node = v.node.member(name)
	}
	return field
}

// Object requires an object and says whether it is one.
func (v Value) Object() bool {
	if v.node == nil || v.node.kind != '{' {
		v.Refuse("an object")
		return false
	}
	return true
}

// Members are the object's members in their order.
func (v Value) Members() []Member {
	if v.node == nil {
		return nil
	}
	if v.node.kind != '{' {
		return []Member{}
	}
	members := make([]Member, 0, v.node.count)
	for child := v.node.first; child != nil; child = child.next {
		members = append(members, Member{Name: child.name, Value: child.raw})
	}
	return members
}

// Elements requires an array of least to most values.
func (v Value) Elements(least, most int) []Value {
	if v.node == nil || v.node.kind != '[' || v.node.count < least || v.node.count > most {
		v.Refuse(fmt.Sprintf("an array of %d to %d values", least, most))
		return nil
	}
	elements := make([]Value, 0, v.node.count)
	for element := v.node.first; element != nil; element = element.next {
		elements = append(elements, Value{document: v.document, node: element})
	}
	return elements
}

// Text requires a string of least to most characters (Unicode code points).
func (v Value) Text(least, most int) string {
	if v.node == nil || v.node.kind != '"' {
		v.Refuse(fmt.Sprintf("a string of %d to %d characters", least, most))
		return ""
	}
	if length := utf8.RuneCountInString(v.node.text); length < least || length > most {
		v.Refuse(fmt.Sprintf("a string of %d to %d characters (this one has %d)", least, most, length))
		return ""
	}
	return v.node.text
}

// Pattern requires a string that the expression matches; allowed describes the expression to
// people.
func (v Value) Pattern(expression *regexp.Regexp, allowed string) string {
	if v.node == nil || v.node.kind != '"' || !expression.MatchString(v.node.text) {
		v.Refuse(allowed)
		return ""
	}
	return v.node.text
}

// IsText says whether the value is a string, without requiring it.
func (v Value) IsText() bool { return v.node != nil && v.node.kind == '"' }

// Number requires a number from least to most.
func (v Value) Number(least, most float64) float64 {
	if v.node == nil || v.node.kind != '0' || v.node.number < least || v.node.number > most {
		v.Refuse(fmt.Sprintf("a number from %g to %g", least, most))
		return 0
	}
	return v.node.number
}

// Integer requires a whole number from least to most, both at most 2^53 in size. As in JSON Schema,
// 2.0 and 2e0 are whole.
func (v Value) Integer(least, most int64) int64 {
	if v.node == nil || v.node.kind != '0' || math.Trunc(v.node.number) != v.node.number ||
		v.node.number < float64(least) || v.node.number > float64(most) {
		v.Refuse(fmt.Sprintf("a whole number from %d to %d", least, most))
		return 0
	}
	return int64(v.node.number)
}

// Bool requires true or false.
func (v Value) Bool() bool {
	if v.node == nil || (v.node.kind != 't' && v.node.kind != 'f') {
		v.Refuse("true or false")
		return false
	}
	return v.node.kind == 't'
}

// Absent requires that the value is not there at all, for reserved and misspelt names.
func (v Value) Absent(reason string) {
	if v.node != nil {
		v.Refuse("no such field: " + reason)
	}
}

// Where requires a string for which a test holds, which allowed describes to people.
func (v Value) Where(test func(string) bool, allowed string) string {
	if v.node == nil || v.node.kind != '"' || !test(v.node.text) {
		v.Refuse(allowed)
		return ""
	}
	return v.node.text
}

// Only requires that the object has no members but the named ones.
func (v Value) Only(names ...string) {
	if v.node == nil {
		return
	}
	allowed := map[string]bool{}
	for _, name := range names {
		allowed[name] = true
	}
	for _, member := range v.Members() {
		if !allowed[member.Name] {
			v.Field(member.Name).Refuse("no such field: known are " + strings.Join(names, ", "))
		}
	}
}

// Object writes members, in their order, as one compact object. Their values must be valid JSON.
func Object(members []Member) []byte {
	size := 2
	for _, member := range members {
		size += len(member.Name) + len(member.Value) + len(`"":,`)
	}
	buffer := append(make([]byte, 0, size+1), '{')
	for i, member := range members {
		if i > 0 {
			buffer = append(buffer, ',')
		}
		buffer = AppendString(buffer, member.Name)
		buffer = append(buffer, ':')
		buffer = append(buffer, member.Value...)
	}
	return append(buffer, '}')
}

// String is text as a JSON string.
func String(text string) jsontext.Value { return AppendString(nil, text) }

// AppendString appends text as a JSON string. Text that came from a parsed document or from our own
// code is valid UTF-8, the only condition.
func AppendString(buffer []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			buffer, _ = jsontext.AppendQuote(buffer, text)
			return buffer
		}
	}
	buffer = append(buffer, '"')
	buffer = append(buffer, text...)
	return append(buffer, '"')
}

// Index is the array's element at this position, which must be one of those that Elements returned.
func (v Value) Index(i int) Value {
	element := v.node.first
	for range i {
		element = element.next
	}
	return Value{document: v.document, node: element}
}

// Shown is a text from outside JSON, such as a query's, as a Violation shows it.
func Shown(text string, present bool) string {
	if !present {
		return "nothing"
	}
	return shorten(strconv.Quote(text))
}

// OneOf requires one of the named strings.
func (v Value) OneOf(allowed ...string) string {
	if v.node != nil && v.node.kind == '"' && slices.Contains(allowed, v.node.text) {
		return v.node.text
	}
	v.Refuse(strings.Join(allowed, " or "))
	return ""
}

// timePattern admits the years 2000 to 2099: a clock outside them is broken, and none of them
// leaves the four-digit years when it is converted to UTC.
var timePattern = regexp.MustCompile(`^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)

// Time requires an RFC 3339 time in the years 2000 to 2099, and returns it in UTC.
func (v Value) Time() time.Time {
	const allowed = "an RFC 3339 time such as 2026-03-01T09:30:00.250Z, in the years 2000 to 2099"
	text := v.Pattern(timePattern, allowed)
	if text == "" {
		return time.Time{}
	}
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil { // a day that the month does not have
		v.Refuse(allowed)
	}
	return parsed.UTC()
}

// exampleUUID has the length of those that are read: others, in braces or without dashes, are not.
const exampleUUID = "1f2e3d4c-5b6a-4789-8abc-0123456789ab"

// UUID requires a UUID of five groups of hexadecimal digits.
func (v Value) UUID() (id uuid.UUID) {
	v.Where(func(text string) bool {
		if len(text) != len(exampleUUID) {
			return false
		}
		var err error
		id, err = uuid.Parse(text)
		return err == nil
	}, "a UUID such as "+exampleUUID)
	return id
}
