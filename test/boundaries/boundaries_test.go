// Package boundaries holds the test of who may import whom. It reads the import graph with go list
// and knows nothing of what the packages do.
package boundaries

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rule forbids dependencies, direct or through other packages. Patterns are import paths; one that
// ends in /... takes in the path itself and all below it.
type rule struct {
	packages []string
	// but are packages that the rule leaves alone.
	but []string
	// not are the dependencies that are forbidden, save some.
	not, save []string
	reason    string
}

const (
	cdk = "github.com/aws/jsii-runtime-go"
	sdk = "github.com/aws/aws-sdk-go-v2/..."
)

var rules = []rule{{
	packages: []string{"diecast/..."},
	but:      []string{"diecast", "diecast/stacks", "diecast/constructs/..."},
	not:      []string{cdk},
	reason:   "CDK is a million lines and a Node process: without it a package builds and tests in seconds",
}, {
	packages: []string{"diecast/internal/...", "diecast/config", "diecast/sql", "diecast/docs/...",
		"diecast/training/..."},
	not: []string{"diecast/cmd/...", "diecast/lambda/...", "diecast/web/...", "diecast/stacks",
		"diecast/constructs/...", "diecast/test/..."},
	reason: "dependencies point one way: programs and stacks use what is shared, never back",
}, {
	packages: []string{"diecast/lambda/..."},
	not:      []string{"diecast/cmd/...", "diecast/stacks", "diecast/constructs/...", "diecast/config"},
	reason:   "a function learns all that it needs from its environment",
}, {
	packages: []string{"diecast/lambda/..."},
	not:      []string{"diecast/internal/local/...", "diecast/internal/assembly", "github.com/spf13/cobra"},
	reason:   "what runs the laptop and the command line does not travel to AWS in every function",
}, {
	packages: []string{"diecast/web/..."},
	not: []string{"diecast/cmd/...", "diecast/lambda/...", "diecast/stacks", "diecast/constructs/...",
		"diecast/config", "diecast/internal/local/...", "diecast/internal/assembly", "github.com/spf13/cobra"},
	reason: "a web server learns all that it needs from its environment, and starts on half a gigabyte",
}, {
	packages: []string{"diecast/web/server", "diecast/web/chart", "diecast/internal/sales"},
	not:      []string{sdk},
	reason:   "pages and figures are made without a cloud: only the program's main knows it",
}, {
	packages: []string{"diecast/constructs/..."},
	not:      []string{"diecast/config", "diecast/stacks"},
	reason:   "a construct takes Props: with the platform's configuration in it, it could not be used a second time",
}, {
	packages: []string{"diecast/config"},
	not:      []string{sdk, "github.com/jackc/...", "github.com/spf13/..."},
	reason:   "configuration is checked before anything is there to ask",
}, {
	packages: []string{"diecast", "diecast/stacks", "diecast/constructs/..."},
	not: []string{"github.com/aws/aws-sdk-go-v2/service/...", "github.com/jackc/...",
		"github.com/go-sql-driver/..."},
	save: []string{
		"github.com/aws/aws-sdk-go-v2/service/dynamodb/types", "github.com/aws/aws-sdk-go-v2/service/dynamodb/schemas",
	},
	reason: "synthesis writes templates and calls nobody: a client would only make it build slowly",
}, {
	packages: []string{
		"diecast/internal/deployment/outputs", "diecast/internal/environment", "diecast/internal/metrics",
		"diecast/internal/models", "diecast/internal/quotas", "diecast/internal/archive", "diecast/internal/schedule",
		"diecast/internal/sqlquery", "diecast/internal/vectorloader", "diecast/internal/vectorsize",
	},
	not:    []string{sdk, "github.com/jackc/..."},
	reason: "stacks, functions and commands all share it: what it imports, they all link",
}, {
	packages: []string{"diecast/internal/wait"},
	not:      []string{sdk, "github.com/jackc/...", "github.com/go-sql-driver/..."},
	reason:   "whoever waits, for whatever, links it; who knows a product's answers has a package of its own",
}, {
	packages: []string{"diecast/internal/demand", "diecast/internal/latency"},
	not:      []string{sdk, "diecast/internal/..."},
	reason:   "arithmetic of time knows neither events nor who sends or measures them",
}, {
	packages: []string{"diecast/internal/producer"},
	not: []string{"diecast/internal/activity", "diecast/internal/classicmodels", "diecast/internal/recorded",
		"diecast/internal/deployment"},
	reason: "who puts bytes on a stream when they are due knows neither what they say nor who made them",
}, {
	packages: []string{"diecast/internal/onnx"},
	not:      []string{"diecast/internal/artifacts", "diecast/internal/tower", "diecast/internal/models", sdk},
	reason:   "an evaluator of graphs does not know what they are for",
}, {
	packages: []string{"diecast/internal/local/stepfunctions/asl"},
	not:      []string{sdk, "diecast/internal/..."},
	save:     []string{"diecast/internal/local/stepfunctions/asl"},
	reason:   "an interpreter of the language knows neither a service nor what its machines are for",
}, {
	packages: []string{"diecast/internal/assembly"},
	not:      []string{"diecast/internal/local/...", sdk},
	reason:   "it reads what CloudFormation would do and starts nothing",
}, {
	packages: []string{"diecast/internal/..."},
	but:      []string{"diecast/internal/local/..."},
	not:      []string{"diecast/internal/local/...", "diecast/internal/assembly"},
	reason:   "what runs on AWS does not know the laptop",
}, {
	packages: []string{"diecast/internal/local/..."},
	but:      []string{"diecast/internal/local/demonstration"},
	not:      []string{"diecast/internal/activity", "diecast/internal/recommendation", "diecast/internal/inference"},
	reason:   "the laptop's engines know the templates, not what flows through them",
}, {
	packages: []string{"diecast/..."},
	but: []string{
		"diecast/internal/awsdb/awsdbtest", "diecast/internal/load/loadtest", "diecast/internal/local/hostiletest",
		"diecast/internal/local/mariadb/mariadbtest", "diecast/internal/local/postgres/postgrestest",
		"diecast/internal/local/server/servertest", "diecast/internal/models/modelstore/modelstoretest",
		"diecast/internal/recommendation/row/rowtest", "diecast/internal/trainingset/publishedrun/publishedruntest",
		"diecast/test/...",
	},
	not:    []string{"testing", "github.com/stretchr/testify/..."},
	reason: "a test's helper does not belong into a program",
}}

// listed is what go list tells of a package.
type listed struct {
	ImportPath                string
	Imports, Deps             []string
	TestGoFiles, XTestGoFiles []string
	TestImports, XTestImports []string
}

// under says whether a pattern takes in the path.
func under(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		above, all := strings.CutSuffix(pattern, "/...")
		return path == above || all && strings.HasPrefix(path, above+"/")
	})
}

// breaches names the packages that depend on what a rule forbids them, and by which import.
func breaches(packages []listed, rules []rule) []string {
	depends := map[string][]string{}
	for _, p := range packages {
		depends[p.ImportPath] = append([]string{p.ImportPath}, p.Deps...)
	}
	var found []string
	for _, p := range packages {
		for _, r := range rules {
			if !under(p.ImportPath, r.packages) || under(p.ImportPath, r.but) {
				continue
			}
			for _, imported := range p.Imports {
				behind := depends[imported]
				if behind == nil {
					behind = []string{imported}
				}
				at := slices.IndexFunc(behind, func(path string) bool {
					return under(path, r.not) && !under(path, r.save)
				})
				if at < 0 {
					continue
				}
				message := p.ImportPath + " imports " + imported
				if behind[at] != imported {
					message += ", which depends on " + behind[at]
				}
				found = append(found, message+": "+r.reason)
			}
		}
	}
	return found
}

// list asks go list. It looks at every file itself before, so that go test knows what its cached
// result depends on.
func list(t *testing.T) []listed {
	t.Helper()
	require.NoError(t, filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", ".local", "bin", "cdk.out", "node_modules"},
			entry.Name()) {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	}))
	command := exec.Command("go", "list",
		"-json=ImportPath,Imports,Deps,TestGoFiles,XTestGoFiles,TestImports,XTestImports", "diecast/...")
	command.Dir = "../.."
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	require.NoError(t, err, "%s", stderr.String())
	var packages []listed
	decoder := json.NewDecoder(bytes.NewReader(output))
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		packages = append(packages, p)
	}
	require.NotEmpty(t, packages)
	return packages
}

func TestDependenciesPointOneWay(t *testing.T) {
	packages := list(t)
	assert.Empty(t, breaches(packages, rules))
	for _, r := range rules {
		for _, pattern := range slices.Concat(r.packages, r.but) {
			assert.True(t, slices.ContainsFunc(packages,
				func(p listed) bool { return under(p.ImportPath, []string{pattern}) }),
				"%s is in a rule and not in the module", pattern)
		}
	}
}

func TestEveryRuleCatchesItsBreach(t *testing.T) {
	example := func(pattern string) string { return strings.TrimSuffix(pattern, "/...") }
	for _, r := range rules {
		for _, forbidden := range r.not {
			culprit := example(r.packages[0])
			if under(culprit, r.but) {
				culprit += "/new"
			}
			direct := listed{ImportPath: culprit, Imports: []string{example(forbidden)}}
			assert.Len(t, breaches([]listed{direct}, []rule{r}), 1, "%s importing %s", culprit, forbidden)

			middle := listed{ImportPath: "other/middle", Imports: []string{example(forbidden)},
				Deps: []string{example(forbidden)}}
			indirect := listed{ImportPath: culprit, Imports: []string{"other/middle"}, Deps: []string{"other/middle",
				example(forbidden)}}
			assert.Equal(t,
				[]string{culprit + " imports other/middle, which depends on " + example(forbidden) + ": " + r.reason},
				breaches([]listed{middle, indirect}, []rule{r}))
		}
		for _, allowed := range r.save {
			innocent := listed{ImportPath: example(r.packages[0]) + "/new", Imports: []string{allowed}}
			assert.Empty(t, breaches([]listed{innocent}, []rule{r}), allowed)
		}
		for _, allowed := range r.but {
			innocent := listed{ImportPath: example(allowed), Imports: []string{example(r.not[0])}}
			assert.Empty(t, breaches([]listed{innocent}, []rule{r}), allowed)
		}
	}
	assert.False(t, under("diecast/internals", []string{"diecast/internal/..."}), "a path is not its neighbour's")
}

// Each test binary with CDK links a hundred megabytes and starts a Node process.
func TestFewTestBinariesLinkCDK(t *testing.T) {
	packages := list(t)
	depends := map[string]bool{}
	for _, p := range packages {
		depends[p.ImportPath] = slices.Contains(p.Deps, cdk)
	}
	var linking []string
	for _, p := range packages {
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue
		}
		imports := slices.Concat([]string{p.ImportPath}, p.TestImports, p.XTestImports)
		if slices.ContainsFunc(imports, func(path string) bool { return depends[path] || path == cdk }) {
			linking = append(linking, p.ImportPath)
		}
	}
	assert.LessOrEqual(t, len(linking), 3, "%s", linking)
	assert.Contains(t, linking, "diecast/test/templates")
}
