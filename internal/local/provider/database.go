package provider

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/process"
)

// A database instance is a server of its own; moto keeps its administrator's password.
var database = kind[assembly.Database]{
	types: []string{"AWS::RDS::DBInstance"}, needs: []engine.Engine{engine.Moto},
	check: checkDatabase, create: createDatabase,
}

// databaseServers are the servers by RDS's name of the engine. Each has a file of its own.
var databaseServers = map[string]databaseServer{"mysql": mariadbServer, "postgres": postgresServer}

// databaseServer is a product that serves databases.
type databaseServer struct {
	// installed fails with the remedy where it is missing on this machine.
	installed func(context.Context) error
	// start runs a server for one instance, with the administrator and the database that RDS makes.
	start func(context.Context, *Run, *assembly.Resource, *assembly.Database) (databaseInstance, error)
}

// databaseInstance is a running server.
type databaseInstance interface {
	Port() int
	// MasterPassword is the administrator's.
	MasterPassword() string
	// SetPassword lets a user log in with a password.
	SetPassword(ctx context.Context, user, password string) error
	Stop(context.Context) error
	// Exited, Err and LogFile tell of the server's end, see package server.
	Exited() <-chan struct{}
	Err() error
	LogFile() string
}

func checkDatabase(
	ctx context.Context, _ Options, resource *assembly.Resource, t *assembly.Database,
) assembly.Problems {
	server, ok := databaseServers[t.Engine]
	switch {
	case t.Engine == "": // not known yet, or refused by the assembly
		return nil
	case !ok:
		known := strings.Join(slices.Sorted(maps.Keys(databaseServers)), " or ")
		return assembly.Problems{resource.Problem("Properties.Engine",
			"got %q, want %s: the laptop has no other database server", t.Engine, known)}
	}
	if err := server.installed(ctx); err != nil {
		return assembly.Problems{resource.Problem("", "%v", err)}
	}
	return nil
}

// runningDatabase is an instance, and what was given to the users who log in by IAM on AWS:
// secrets' ARNs by user.
type runningDatabase struct {
	databaseInstance
	secrets map[string]string
}

func createDatabase(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Database,
) (assembly.Creation, error) {
	instance, err := databaseServers[t.Engine].start(ctx, run, resource, t)
	if err != nil {
		return assembly.Creation{}, err
	}
	run.onStop(instance.Stop)
	run.Engines.Watch(t.Engine+" of "+resource.String(), instance.LogFile(), instance)
	identifier := cmp.Or(t.Identifier, "db-"+randomText(8))
	master := login(t.MasterUser, instance.MasterPassword())
	secret, err := engine.Moto.In(run.Engines).CreateSecret(ctx, "rds!"+identifier, master)
	if err != nil {
		return assembly.Creation{}, err
	}
	keep(run, &runningDatabase{databaseInstance: instance, secrets: map[string]string{}})
	return assembly.Creation{Ref: identifier, Attributes: map[string]any{
		"DBInstanceArn":              arn("rds", "db:%s", identifier),
		"DbiResourceId":              identifier,
		"Endpoint.Address":           process.Loopback,
		"Endpoint.Port":              strconv.Itoa(instance.Port()),
		"MasterUserSecret.SecretArn": secret,
	}}, nil
}

// login is the value of a secret with a login, in the form of RDS.
func login(user, password string) string {
	text, err := json.Marshal(map[string]string{"username": user, "password": password})
	if err != nil {
		panic(err) // two strings
	}
	return string(text)
}
