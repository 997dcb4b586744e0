// Package contracts holds the golden examples of every joint between two parts of the platform, and
// what tests of either side need to read them.
//
// Go and Python tests read the same files; README.md describes their form. Each case says what a
// document is and whether it is accepted; Check holds the code and the JSON Schema of the contract
// to it, and Agree holds the two to each other for any other document.
package contracts

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/docs/schemas"
	"diecast/internal/local/installed"
	"diecast/internal/local/server/servertest"
	"diecast/internal/strictjson"
)

//go:embed *.json rules/*.json
var files embed.FS

// Suite is one contract's file.
type Suite struct {
	// Contract says what the documents are.
	Contract string `json:"contract"`
	// Examples are whole documents by name, from which cases are made.
	Examples map[string]json.RawMessage `json:"examples"`
	Cases    []Case                     `json:"cases"`

	name   string
	schema *jsonschema.Schema
}

// Case is one document and the verdict on it.
type Case struct {
	Name string `json:"name"`
	// Example names the example to start from; Set, Remove and Repeat then change it, by JSON
	// Pointer.
	Example string `json:"example"`
	// Set replaces or adds values.
	Set map[string]json.RawMessage `json:"set"`
	// Remove removes members and elements.
	Remove []string `json:"remove"`
	// Repeat makes a string or an array as long as stated by repeating what it holds.
	Repeat map[string]int `json:"repeat"`
	// Text or Base64 is the document instead, where it is not JSON or its spelling matters.
	Text   string `json:"text"`
	Base64 string `json:"base64"`

	Accept bool `json:"accept"`
	// Field and Reason are those of one violation, Reason as a part of what it says is allowed.
	Field  string `json:"field"`
	Reason string `json:"reason"`
	// BeyondSchema says why the JSON Schema cannot state the broken rule, and so accepts the
	// document.
	BeyondSchema string `json:"beyond_schema"`

	suite *Suite
}

// Load reads the suite of this name and its schema.
func Load(t testing.TB, name string) *Suite {
	t.Helper()
	data, err := files.ReadFile(name + ".json")
	require.NoError(t, err)
	suite := &Suite{name: name}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(suite), name)
	require.NotEmpty(t, suite.Cases, name)
	for i := range suite.Cases {
		suite.Cases[i].suite = suite
	}
	text, err := schemas.Files.ReadFile(name + ".schema.json")
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource(name, document))
	suite.schema, err = compiler.Compile(name)
	require.NoError(t, err)
	return suite
}

// Check holds decode and the schema to every case of the suite.
func Check(t *testing.T, name string, decode func([]byte) error) {
	suite := Load(t, name)
	for _, test := range suite.Cases {
		t.Run(test.Name, func(t *testing.T) {
			input := test.Input(t)
			err := decode(input)
			if test.Accept {
				require.NoError(t, err)
				require.NoError(t, suite.SchemaError(input), "schema")
				return
			}
			var invalid *strictjson.Error
			require.ErrorAs(t, err, &invalid)
			assert.True(t, test.explains(invalid), "want field %q and reason %q, got: %v", test.Field, test.Reason, err)
			if test.BeyondSchema == "" {
				assert.Error(t, suite.SchemaError(input), "the schema accepts what the code refuses: %v", err)
			} else {
				assert.NoError(t, suite.SchemaError(input), "the schema can state this rule after all")
			}
		})
	}
}

// maxSeed leaves out the documents that break a limit of size: mutating megabytes finds nothing.
const maxSeed = 16 << 10

// Seed gives the cases' documents to a fuzz test.
func (s *Suite) Seed(f *testing.F) {
	for _, test := range s.Cases {
		if input := test.Input(f); len(input) <= maxSeed {
			f.Add(input)
		}
	}
}

// Agree fails the test where the code's verdict on a document and the schema's differ, other than
// by a rule for which a case says that the schema cannot state it.
func (s *Suite) Agree(t *testing.T, document []byte, err error) {
	t.Helper()
	schemaError := s.SchemaError(document)
	if err == nil {
		require.NoError(t, schemaError, "the code accepts what the schema refuses")
		return
	}
	if schemaError != nil {
		return
	}
	var invalid *strictjson.Error
	require.ErrorAs(t, err, &invalid)
	for _, violation := range invalid.Violations {
		require.True(t, s.beyondSchema(violation), "the schema accepts what the code refuses: %v", violation)
	}
}

func (s *Suite) beyondSchema(violation strictjson.Violation) bool {
	for _, test := range s.Cases {
		if test.BeyondSchema != "" && strings.Contains(violation.Allowed, test.Reason) {
			return true
		}
	}
	return false
}

// SchemaError is what the schema says of a document, numbers read as float64 and a byte order mark
// passed over, as most readers do.
func (s *Suite) SchemaError(document []byte) error {
	if !utf8.Valid(document) {
		return errors.New("not UTF-8")
	}
	var value any
	if err := json.Unmarshal(bytes.TrimPrefix(document, []byte("\ufeff")), &value); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return s.schema.Validate(value)
}

func (c Case) explains(invalid *strictjson.Error) bool {
	for _, violation := range invalid.Violations {
		if violation.Field == c.Field && c.Reason != "" && strings.Contains(violation.Allowed, c.Reason) {
			return true
		}
	}
	return false
}

// Example is a whole document of the suite.
func (s *Suite) Example(t testing.TB, name string) []byte {
	t.Helper()
	example, found := s.Examples[name]
	require.True(t, found, "%s has no example %q", s.name, name)
	return example
}

// Input is the case's document.
func (c Case) Input(t testing.TB) []byte {
	t.Helper()
	if c.Text != "" {
		return []byte(c.Text)
	}
	if c.Base64 != "" {
		data, err := base64.StdEncoding.DecodeString(c.Base64)
		require.NoError(t, err)
		return data
	}
	decoder := json.NewDecoder(bytes.NewReader(c.suite.Example(t, c.Example)))
	decoder.UseNumber()
	var document any
	require.NoError(t, decoder.Decode(&document))
	for pointer, length := range c.Repeat {
		document = change(t, document, pointer, func(old any) (any, bool) { return repeated(t, old, length), true })
	}
	for pointer, text := range c.Set {
		document = change(t, document, pointer, func(any) (any, bool) { return decodeNumbers(t, text), true })
	}
	for _, pointer := range c.Remove {
		document = change(t, document, pointer, func(any) (any, bool) { return nil, false })
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	require.NoError(t, encoder.Encode(document))
	return bytes.TrimRight(buffer.Bytes(), "\n")
}

func decodeNumbers(t testing.TB, text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	require.NoError(t, decoder.Decode(&value))
	_, err := decoder.Token()
	require.ErrorIs(t, err, io.EOF)
	return value
}

// change applies edit to the value at a JSON Pointer (RFC 6901) and returns the changed document;
// edit tells whether the value stays.
func change(t testing.TB, document any, pointer string, edit func(any) (any, bool)) any {
	if pointer == "" {
		edited, _ := edit(document)
		return edited
	}
	name, rest, nested := strings.Cut(pointer[1:], "/")
	name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	inner := func(old any) (any, bool) {
		if nested {
			return change(t, old, "/"+rest, edit), true
		}
		return edit(old)
	}
	switch container := document.(type) {
	case map[string]any:
		edited, stays := inner(container[name])
		if stays {
			container[name] = edited
		} else {
			delete(container, name)
		}
		return container
	case []any:
		index, err := strconv.Atoi(name)
		require.NoError(t, err)
		if index == len(container) {
			container = append(container, nil)
		}
		edited, stays := inner(container[index])
		if stays {
			container[index] = edited
			return container
		}
		return append(container[:index], container[index+1:]...)
	}
	require.Failf(t, "pointer leads nowhere", "%s", pointer)
	return nil
}

func repeated(t testing.TB, value any, length int) any {
	switch value := value.(type) {
	case string:
		runes := []rune(value)
		result := make([]rune, length)
		for i := range result {
			result[i] = runes[i%len(runes)]
		}
		return string(result)
	case []any:
		result := make([]any, length)
		for i := range result {
			result[i] = value[i%len(value)]
		}
		return result
	}
	require.Failf(t, "only strings and arrays can be repeated", "%v", value)
	return nil
}

// Python is the interpreter with the packages of requirements.txt: DIECAST_PYTHON, or the one that
// `make setup` installed.
func Python(t testing.TB) string {
	t.Helper()
	servertest.Needed(t, "Python")
	python, err := installed.Python()
	require.NoError(t, err)
	return python
}
