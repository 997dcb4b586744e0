package provider

import (
	"cmp"
	"context"
	"maps"
	"os"
	"path/filepath"

	"diecast/internal/assembly"
	"diecast/internal/environment"
	"diecast/internal/local/engine"
	"diecast/internal/local/gluejobs"
	"diecast/sql"
)

// Jobs need moto whatever else there is: their buckets and secrets lie there.
var job = kind[assembly.Job]{
	types: []string{"AWS::Glue::Job"}, needs: []engine.Engine{engine.JobHost, engine.Moto},
	check: checkJob, create: createJob,
}

func checkJob(
	_ context.Context, options Options, resource *assembly.Resource, t *assembly.Job,
) (problems assembly.Problems) {
	made := jobDefinition(options, resource, t)
	if info, err := os.Stat(made.Script); t.Source != "" && (err != nil || !info.Mode().IsRegular()) {
		problems = append(problems, resource.Problem("Metadata",
			"runs %s, and there is no file %s", t.Source, made.Script))
	}
	if err := made.Validate(); err != nil {
		problems = append(problems, resource.Problem("Properties", "%v", err))
	}
	return problems
}

// jobDefinition is a job for the host, but for its environment.
func jobDefinition(options Options, resource *assembly.Resource, t *assembly.Job) gluejobs.Job {
	return gluejobs.Job{
		Name: physicalName(resource, t.Name), Script: filepath.Join(options.Source, filepath.FromSlash(t.Source)),
		Arguments: t.Arguments, Timeout: t.Timeout, MaxConcurrentRuns: t.MaxConcurrentRuns,
	}
}

func createJob(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Job,
) (assembly.Creation, error) {
	host := engine.JobHost.In(run.Engines)
	made := jobDefinition(run.Options, resource, t)
	var err error
	if made.Environment, err = jobEnvironment(ctx, run, t.Arguments); err != nil {
		return assembly.Creation{}, err
	}
	if err := host.Add(made); err != nil {
		return assembly.Creation{}, err
	}
	run.onFlush(func(context.Context) error {
		host.Remove(made.Name)
		return nil
	})
	return assembly.Creation{Ref: made.Name}, nil
}

// The arguments by which glue-scripts/ratings_etl.py hears of its database.
const (
	sourceHost     = "--source-host"
	sourcePort     = "--source-port"
	sourceDatabase = "--source-database"
	sourceUser     = "--source-user"
)

// jobEnvironment is how the laptop's job logs in. On AWS a job has no variables: its script then
// takes an IAM token and verifies the server.
func jobEnvironment(ctx context.Context, run *Run, arguments map[string]string) (map[string]string, error) {
	template := environment.Database{
		Host: arguments[sourceHost], Port: arguments[sourcePort], Name: arguments[sourceDatabase],
		User: cmp.Or(arguments[sourceUser], sql.ETLReader), Auth: environment.IAM,
	}
	if template.Host == "" {
		return nil, nil
	}
	on := environment.Variables(template)
	changed, err := databaseEnvironment(ctx, run, on)
	maps.DeleteFunc(changed, func(name, value string) bool { return on[name] == value })
	return changed, err
}
