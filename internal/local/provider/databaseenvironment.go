package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"diecast/internal/environment"
	"diecast/internal/local/engine"
)

// databaseEnvironment turns a program's database variables into the laptop's: there is no TLS on
// loopback, and no IAM, so that its user gets a password in a secret. Variables behind a prefix,
// such as READER_DATABASE_USER, are a second login to the same database.
func databaseEnvironment(ctx context.Context, run *Run, variables map[string]string) (map[string]string, error) {
	changed := maps.Clone(variables)
	for _, prefix := range loginPrefixes(variables) {
		stated := maps.Clone(changed)
		for name, value := range variables {
			if own, ok := strings.CutPrefix(name, prefix); ok {
				stated[own] = value
			}
		}
		// The program checks its variables by itself; AWS_REGION it gets from its host.
		settings, _ := environment.Read[environment.Database](stated)
		if settings.Host == "" {
			continue
		}
		settings.TLS = environment.Off
		// Authorities that a deployment ships lie beside its programs there, and vouch for nobody
		// here.
		settings.CAFile = ""
		delete(changed, prefix+"DATABASE_CA_FILE")
		if settings.Auth == environment.IAM {
			database, err := databaseAt(run, settings.Port)
			if err != nil {
				return nil, err
			}
			if settings.SecretARN, err = userSecret(ctx, run, database, settings.User); err != nil {
				return nil, err
			}
			settings.Auth = environment.Secret
		}
		for name, value := range environment.Variables(settings) {
			if _, own := variables[prefix+name]; own || changed[name] != value {
				changed[prefix+name] = value
			}
		}
	}
	return changed, nil
}

// loginPrefixes are what stands before the variables of each login, the shortest first: nothing
// stands before those of the first.
func loginPrefixes(variables map[string]string) []string {
	login := environment.Variables(environment.Database{Auth: environment.IAM})
	var prefixes []string
	for name := range variables {
		for variable := range login {
			if prefix, ok := strings.CutSuffix(name, variable); ok && (prefix == "" || strings.HasSuffix(prefix, "_")) {
				prefixes = append(prefixes, prefix)
			}
		}
	}
	slices.Sort(prefixes)
	return prefixes
}

func databaseAt(run *Run, port string) (*runningDatabase, error) {
	for _, running := range Made[*runningDatabase](run) {
		if strconv.Itoa(running.Port()) == port {
			return running, nil
		}
	}
	return nil, fmt.Errorf("a program's database port is %s: no database of the template listens there", port)
}

// userSecret gives a user a password, once.
func userSecret(ctx context.Context, run *Run, running *runningDatabase, user string) (string, error) {
	if arn, done := running.secrets[user]; done {
		return arn, nil
	}
	password := randomText(16)
	if err := running.SetPassword(ctx, user, password); err != nil {
		return "", fmt.Errorf("the database user %s, whom the loader should have created: %w", user, err)
	}
	arn, err := engine.Moto.In(run.Engines).CreateSecret(ctx, "local/"+user+"-"+randomText(4), login(user, password))
	if err != nil {
		return "", err
	}
	running.secrets[user] = arn
	return arn, nil
}
