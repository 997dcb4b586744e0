package provider

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/fleet"
)

// Groups need moto whatever else there is: their databases' secrets lie there, and no call of
// theirs may leave the machine.
var serverGroup = kind[assembly.ServerGroup]{
	types: []string{"AWS::AutoScaling::AutoScalingGroup"}, needs: []engine.Engine{engine.FleetHost, engine.Moto},
	check: checkServerGroup, prepare: buildServerGroup, create: createServerGroup,
}

const (
	// portVariable tells a server its port (environment.Web).
	portVariable = "WEB_PORT"
	// keyVariable tells a server the key of its load balancer (environment.Web).
	keyVariable = "WEB_KEY"
	// shopVariable has a server show the shop, whatever the configuration says of AWS: here every
	// server reaches the stream (environment.Web).
	shopVariable = "WEB_SHOP"
	// serverStopping is how long a server may take to end that has been drained.
	serverStopping = 10 * time.Second
)

func checkServerGroup(
	_ context.Context, options Options, resource *assembly.Resource, t *assembly.ServerGroup,
) (problems assembly.Problems) {
	if t.Source == "" { // refused by the assembly
		return nil
	}
	folder := filepath.Join(options.Source, filepath.FromSlash(t.Source))
	if info, err := os.Stat(folder); err != nil || !info.IsDir() || !holdsGo(folder) {
		problems = append(problems, resource.Problem("Metadata."+assembly.ServerMetadata+".package",
			"is %s, and there is no folder %s with Go files", t.Source, folder))
	}
	if err := serverGroupOf(options, resource, t).Validate(); err != nil {
		problems = append(problems, resource.Problem("Properties", "%v", err))
	}
	return problems
}

// serverGroupOf is a group for the host, but for its environment, targets and listener.
func serverGroupOf(options Options, resource *assembly.Resource, t *assembly.ServerGroup) fleet.Group {
	group := fleet.Group{
		Name: physicalName(resource, t.Name), Source: filepath.Join(options.Source, filepath.FromSlash(t.Source)),
		Environment: t.Environment, PortVariable: portVariable, KeyVariable: keyVariable,
		Size: t.Size, Grace: t.Grace, Stopping: serverStopping,
		Told: options.Told,
	}
	for n := range t.Zones {
		group.Zones = append(group.Zones, engine.Region+string(rune('a'+n)))
	}
	return group
}

// buildServerGroup compiles ahead: that takes longer than all else.
func buildServerGroup(ctx context.Context, run *Run, _ *assembly.Resource, t *assembly.ServerGroup) error {
	_, err := engine.FleetHost.In(run.Engines).Build(ctx, filepath.Join(run.Source, filepath.FromSlash(t.Source)))
	return err
}

func createServerGroup(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.ServerGroup,
) (assembly.Creation, error) {
	host := engine.FleetHost.In(run.Engines)
	group := serverGroupOf(run.Options, resource, t)
	var err error
	if group.Environment, err = databaseEnvironment(ctx, run, t.Environment); err != nil {
		return assembly.Creation{}, err
	}
	group.Environment[shopVariable] = "true"
	if group.Targets, err = targetGroupOf(run, t.TargetGroupARN); err != nil {
		return assembly.Creation{}, err
	}
	if err := host.Add(ctx, group); err != nil {
		return assembly.Creation{}, err
	}
	run.onFlush(func(ctx context.Context) error { return host.Remove(ctx, group.Name) })
	return assembly.Creation{Ref: group.Name}, nil
}
