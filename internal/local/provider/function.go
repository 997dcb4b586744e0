package provider

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/lambdahost"
)

// Functions need moto whatever else there is: it answers for the services that no engine serves, so
// that no call of theirs leaves the machine.
var function = kind[assembly.Function]{
	types: []string{"AWS::Lambda::Function"}, needs: []engine.Engine{engine.FunctionHost, engine.Moto},
	check: checkFunction, prepare: buildFunction, create: createFunction,
}

// Function is one that was made, as the function host knows it.
type Function struct {
	// Source is the Go package, such as lambda/transform.
	Source     string
	Definition lambdahost.Function

	resource *assembly.Resource
}

func checkFunction(
	_ context.Context, options Options, resource *assembly.Resource, t *assembly.Function,
) (problems assembly.Problems) {
	if folder := sourceFolder(options, t); t.Source != "" {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			problems = append(problems, resource.Problem("Metadata",
				"is built from %s, and there is no folder %s", t.Source, folder))
		} else if !holdsGo(folder) {
			problems = append(problems, resource.Problem("Metadata",
				"is built from %s, and the folder %s has no Go files", t.Source, folder))
		}
	}
	if t.ReservedConcurrency == 0 {
		problems = append(problems, resource.Problem("Properties.ReservedConcurrentExecutions",
			"got 0, want at least 1: the laptop has no function that may not run"))
	}
	if err := definition(resource, t).Validate(); err != nil {
		problems = append(problems, resource.Problem("Properties", "%v", err))
	}
	return problems
}

// holdsGo tells whether a folder has a Go file that is no test.
func holdsGo(folder string) bool {
	entries, err := os.ReadDir(folder)
	return err == nil && slices.ContainsFunc(entries, func(entry os.DirEntry) bool {
		name := entry.Name()
		return !entry.IsDir() && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
	})
}

// checkFunctions refuses functions that would meet in the host under one name.
func checkFunctions(plan *assembly.Plan) (problems assembly.Problems) {
	named := map[string]*assembly.Resource{}
	for resource, t := range rehearsed[assembly.Function](plan) {
		if first := named[t.Name]; first != nil {
			problems = append(problems, resource.Problem("Properties.FunctionName",
				"got %q, which is the name of %s, want another: the laptop is one account", t.Name, first))
		} else if t.Name != "" {
			named[t.Name] = resource
		}
	}
	return problems
}

func sourceFolder(options Options, t *assembly.Function) string {
	return filepath.Join(options.Source, filepath.FromSlash(t.Source))
}

// definition is a function for the host, but for its executable.
func definition(resource *assembly.Resource, t *assembly.Function) lambdahost.Function {
	name := t.Name
	if name == "" {
		// At most 64 characters (Lambda API reference, CreateFunction).
		name = fmt.Sprintf("%.52s-%s", resource.Stack.Name+"-"+resource.LogicalID, randomText(4))
	}
	return lambdahost.Function{
		Name: name, Environment: t.Environment, Timeout: t.Timeout, MemoryMiB: t.MemoryMB,
		Concurrency: max(t.ReservedConcurrency, 0),
	}
}

// buildFunction compiles ahead: that takes longer than all else.
func buildFunction(ctx context.Context, run *Run, _ *assembly.Resource, t *assembly.Function) error {
	_, err := engine.FunctionHost.In(run.Engines).Build(ctx, sourceFolder(run.Options, t))
	return err
}

func createFunction(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Function,
) (assembly.Creation, error) {
	host := engine.FunctionHost.In(run.Engines)
	made := Function{Source: t.Source, Definition: definition(resource, t), resource: resource}
	var err error
	if made.Definition.Executable, err = host.Build(ctx, sourceFolder(run.Options, t)); err != nil {
		return assembly.Creation{}, err
	}
	if made.Definition.Environment, err = databaseEnvironment(ctx, run, t.Environment); err != nil {
		return assembly.Creation{}, err
	}
	if err := host.Add(made.Definition); err != nil {
		return assembly.Creation{}, err
	}
	keep(run, made)
	name := made.Definition.Name
	return assembly.Creation{Ref: name, Attributes: map[string]any{"Arn": host.ARN(name)}}, nil
}
