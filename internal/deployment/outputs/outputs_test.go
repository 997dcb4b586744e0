package outputs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root of the module.
const root = "../../.."

// docs/outputs.md is compared with the templates, both ways, by the tests of the templates: what
// agrees with it agrees with every profile's stacks.
func TestEveryOutputIsDeclared(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "outputs.md"))
	require.NoError(t, err)
	var documented, declared []string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| ") && strings.Contains(line, "`") {
			documented = append(documented, strings.TrimSpace(line))
		}
	}
	for _, output := range All() {
		declared = append(declared, fmt.Sprintf("| %s | `%s` | %s |", output.Stack, output.Name, output.Meaning))
		assert.Contains(t, Stacks, output.Stack)
	}
	assert.ElementsMatch(t, documented, declared)
}

// otherMeanings are the places where the text of an output's name is something else.
var otherMeanings = map[string][]string{
	// A property of CloudFormation's delivery stream.
	"DeliveryStreamName": {"internal/assembly/", "internal/local/", "test/templates/"},
	// What the loaders' custom resources take and answer.
	"ModelVersion":  {"stacks/vectorsdata.go", "lambda/vectorloader/", "test/platform/"},
	"SchemaVersion": {"stacks/vectorsdata.go", "stacks/batchdata.go", "lambda/vectorloader/", "lambda/sourceloader/"},
	// Properties and attributes of CloudFormation's stream and function.
	"StreamName": {"internal/assembly/", "internal/local/"},
	// A property of CloudFormation's network resources.
	"VpcId": {"internal/assembly/", "test/templates/"},
}

func TestOutputsAreNamedHereOnly(t *testing.T) {
	literals, err := stringLiterals(os.DirFS(root))
	require.NoError(t, err)
	require.NotEmpty(t, literals["internal/deployment/outputs/outputs.go"], "the search finds this package's own")
	assert.Empty(t, strays(literals))
}

func TestAnOutputNamedElsewhereIsFound(t *testing.T) {
	assert.Equal(t, []string{`cmd/diecast/local.go: "StreamName" is Streaming.StreamName: use the constant`},
		strays(map[string][]string{
			"cmd/diecast/local.go":                   {"StreamName", "stream"},
			"internal/assembly/streaming.go":         {"DeliveryStreamName"},
			"internal/deployment/outputs/outputs.go": {"StreamName"},
		}))
}

// strays are the literals by file that name an output and are not its declaration.
func strays(literals map[string][]string) []string {
	var found []string
	for file, texts := range literals {
		if strings.HasPrefix(file, "internal/deployment/outputs/") {
			continue
		}
		for _, output := range All() {
			isPlace := func(prefix string) bool { return strings.HasPrefix(file, prefix) }
			if slices.Contains(texts, output.Name) && !slices.ContainsFunc(otherMeanings[output.Name], isPlace) {
				found = append(found, fmt.Sprintf("%s: %q is %s: use the constant", file, output.Name, output))
			}
		}
	}
	slices.Sort(found)
	return found
}

// stringLiterals of the module's Go files, by file.
func stringLiterals(module fs.FS) (map[string][]string, error) {
	found := map[string][]string{}
	files := token.NewFileSet()
	err := fs.WalkDir(module, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name != "." && (strings.HasPrefix(name, ".") || name == "node_modules" ||
				name == "cdk.out") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		source, err := fs.ReadFile(module, path)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				if err == nil {
					found[path] = append(found[path], text)
				}
			}
			return true
		})
		return nil
	})
	return found, err
}

func TestStackIsNamedAfterItsPlatform(t *testing.T) {
	assert.Equal(t, "diecast-VectorsData", VectorsData.Name("diecast"))
	assert.Equal(t, "Streaming.StreamName", StreamName.String())
}

func TestFileIsReadBack(t *testing.T) {
	for name, file := range map[string]File{
		"AWS": {Stacks: map[string]map[string]string{"diecast-Network": {"VpcId": "vpc-1"}}},
		"this machine": {Stacks: map[string]map[string]string{"diecast-Network": {}},
			Endpoints: Endpoints{Region: "us-east-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := file.Encode()
			require.NoError(t, err)
			assert.True(t, strings.HasSuffix(string(data), "}\n"))
			read, err := Decode(data)
			require.NoError(t, err)
			assert.Equal(t, file, read)
		})
	}
	data, err := File{Stacks: map[string]map[string]string{"a-Network": {"VpcId": "v"}},
		Endpoints: Endpoints{Region: "r"}}.Encode()
	require.NoError(t, err)
	assert.JSONEq(t, `{"a-Network":{"VpcId":"v"},"endpoints":{"AWS_REGION":"r"}}`, string(data))
}

func TestEndpointsWithoutContentAreStillNotAWS(t *testing.T) {
	for _, text := range []string{`{"endpoints":{}}`, `{"endpoints":null}`} {
		file, err := Decode([]byte(text))
		require.NoError(t, err)
		assert.NotNil(t, file.Endpoints, text)
		assert.Empty(t, file.Stacks)
	}
	file, err := Decode([]byte(`{}`))
	require.NoError(t, err)
	assert.Nil(t, file.Endpoints)
}

func TestAFileThatPassedThroughAnEditorOrShell(t *testing.T) {
	file, err := Decode([]byte("\ufeff{\"diecast-Network\":{\"A\":\"b\"}}"))
	require.NoError(t, err)
	assert.Equal(t, "b", file.Stacks["diecast-Network"]["A"])
	_, err = Decode([]byte("\xff\xfe{\x00}\x00"))
	require.ErrorContains(t, err, "it is UTF-16: write it as UTF-8")
}

func TestOtherTextsAreNoFile(t *testing.T) {
	for _, text := range []string{``, `[]`, `{"diecast-Network":"vpc-1"}`, `{"endpoints":["http://127.0.0.1:1"]}`} {
		_, err := Decode([]byte(text))
		assert.ErrorContains(t, err, "not an object of outputs for each stack", text)
	}
}

func TestApartIsForTheRunsOwnRegion(t *testing.T) {
	apart := Apart("eu-west-1")
	assert.Equal(t, "eu-west-1", apart["AWS_DEFAULT_REGION"])
	for name, value := range apart {
		assert.NotEmpty(t, value, "%s: a shell that exports nothing keeps its own", name)
	}
	assert.Equal(t, apart["NO_PROXY"], apart["no_proxy"], "some read the one, some the other")
}

func TestEndpointsHaveTheNamesThatSDKsRead(t *testing.T) {
	assert.Equal(t, "AWS_ENDPOINT_URL_KINESIS", EndpointOf("Kinesis"))
	assert.Equal(t, "AWS_ENDPOINT_URL_SECRETS_MANAGER", EndpointOf("Secrets Manager"))
}
