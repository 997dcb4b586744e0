// Package templates holds the tests of the synthesized CloudFormation templates:
// snapshots, invariants over all resources, pinned ids, documented outputs and
// policy packs. They read templates as plain JSON; only synth builds with CDK.
package templates

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
	"github.com/stretchr/testify/require"

	"diecast/config"
	"diecast/internal/kernel"
	"diecast/stacks"
)

// profiles are all that a user can choose.
var profiles = config.Profiles()

// outputs is where the assemblies of this run lie; synth's results are shared
// between tests and so outlive each of them.
var outputs string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	flag.Parse()
	if testing.Short() {
		fmt.Println("templates: every test here synthesizes the app, which takes minutes: left out by -short")
		return 0
	}
	dir, err := os.MkdirTemp("", "diecast-templates-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "templates:", err)
		return 1
	}
	outputs = dir
	defer os.RemoveAll(dir)
	// Once for the binary: jsii cannot be started again.
	defer kernel.Close(jsii.Close)
	return m.Run()
}

// template is one stack's CloudFormation template as plain JSON.
type template struct {
	Stack     string
	Resources map[string]resource
	Outputs   map[string]output
	// raw is what snapshots keep.
	raw map[string]any
}

type resource struct {
	Type           string
	Properties     map[string]any
	Metadata       map[string]any
	DependsOn      any
	DeletionPolicy string
	UpdateReplace  string `json:"UpdateReplacePolicy"`
}

type output struct {
	Description string
	Value       any
	Export      any
}

// assembly is what one synthesis wrote.
type assembly struct {
	dir       string
	templates map[string]template
	// dependencies are the stacks that each stack waits for.
	dependencies map[string][]string
	// settings are those of the configuration, key=value.
	settings []string
	// findings are cdk-nag's, unsuppressed, one line each, where it has inspected the app.
	findings  []string
	inspected bool
}

// synthesized keeps plain JSON, never CDK objects, between tests.
var synthesized = map[string]assembly{}

// synth builds the platform as cdk synth does, with the context of cdk.json and
// the settings given (key=value) over it, without compiling the functions, and has
// cdk-nag look at it where it is one of everyConfiguration: nobody reads what it says of others.
func synth(t *testing.T, settings ...string) assembly {
	t.Helper()
	key := strings.Join(settings, " ")
	if done, ok := synthesized[key]; ok {
		return done
	}
	inspected := slices.ContainsFunc(everyConfiguration(), func(one []string) bool {
		return slices.Equal(one, settings)
	})
	done := build(t, settings, func(app awscdk.App) {
		if inspected {
			checks := cdknag.NewAwsSolutionsChecks(&cdknag.NagPackProps{Reports: jsii.Bool(false)})
			awscdk.Aspects_Of(app).Add(checks, nil)
		}
	})
	done.inspected = inspected
	synthesized[key] = done
	return done
}

// build is synth without cdk-nag, which a configuration that is legal but not
// advised would not pass.
func build(t *testing.T, settings []string, look func(awscdk.App)) assembly {
	t.Helper()
	context := cdkContext(t)
	for _, setting := range settings {
		name, value, ok := strings.Cut(setting, "=")
		require.True(t, ok, "setting %q", setting)
		context[name] = value
	}
	context["aws:cdk:bundling-stacks"] = []string{}
	cfg, err := config.Load(context)
	require.NoError(t, err)
	dir, err := os.MkdirTemp(outputs, "")
	require.NoError(t, err)
	app := awscdk.NewApp(&awscdk.AppProps{
		Context: &context, Outdir: jsii.String(dir), AnalyticsReporting: jsii.Bool(false),
	})
	stacks.New(app, cfg)
	look(app)
	app.Synth(nil)
	done := read(t, dir)
	done.settings = settings
	return done
}

func cdkContext(t *testing.T) map[string]any {
	t.Helper()
	data, err := os.ReadFile("../../cdk.json")
	require.NoError(t, err)
	var settings struct{ Context map[string]any }
	require.NoError(t, json.Unmarshal(data, &settings))
	return settings.Context
}

// uploaded are the names of plain files of this repository, which follow their content. Snapshots
// leave the content out: it is reviewed where it stands.
var uploaded = regexp.MustCompile(`\b[0-9a-f]{64}(\.(?:py|jar|pem))\b`)

func read(t *testing.T, dir string) assembly {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.template.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	done := assembly{dir: dir, templates: map[string]template{}}
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		one := template{Stack: strings.TrimSuffix(filepath.Base(file), ".template.json")}
		require.NoError(t, json.Unmarshal(data, &one))
		require.NoError(t, json.Unmarshal(uploaded.ReplaceAll(data, []byte("sha256$1")), &one.raw))
		done.templates[one.Stack] = one
		done.findings = append(done.findings, findings(t, filepath.Join(dir, one.Stack+".metadata.json"))...)
	}
	slices.Sort(done.findings)
	done.dependencies = dependencies(t, dir)
	return done
}

// dependencies reads from the assembly's manifest which stacks wait for which.
func dependencies(t *testing.T, dir string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	require.NoError(t, err)
	var manifest struct {
		Artifacts map[string]struct {
			Type         string
			Dependencies []string
		}
	}
	require.NoError(t, json.Unmarshal(data, &manifest))
	all := map[string][]string{}
	for name, artifact := range manifest.Artifacts {
		if artifact.Type != "aws:cloudformation:stack" {
			continue
		}
		all[name] = nil
		for _, other := range artifact.Dependencies {
			if manifest.Artifacts[other].Type == artifact.Type {
				all[name] = append(all[name], other)
			}
		}
		slices.Sort(all[name])
	}
	return all
}

// findings reads the errors and warnings that aspects left in a stack's metadata.
func findings(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var metadata map[string][]struct {
		Type string
		Data any
	}
	require.NoError(t, json.Unmarshal(data, &metadata))
	var all []string
	for path, entries := range metadata {
		for _, entry := range entries {
			if entry.Type == "aws:cdk:error" || entry.Type == "aws:cdk:warning" {
				text, _ := entry.Data.(string)
				all = append(all, path+": "+strings.TrimSpace(text))
			}
		}
	}
	return all
}

// all yields every resource of every stack in a stable order.
func (a assembly) all(yield func(id string, r resource) bool) {
	for _, stack := range slices.Sorted(maps.Keys(a.templates)) {
		resources := a.templates[stack].Resources
		for _, id := range slices.Sorted(maps.Keys(resources)) {
			if !yield(stack+"/"+id, resources[id]) {
				return
			}
		}
	}
}
