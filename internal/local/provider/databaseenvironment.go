package provider

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"diecast/internal/environment"
	"diecast/internal/local/engine"
)

// databaseEnvironment turns a function's database variables into the laptop's: there is no TLS on
// loopback, and no IAM, so that its user gets a password in a secret.
func databaseEnvironment(ctx context.Context, run *Run, variables map[string]string) (map[string]string, error) {
	// The function checks its variables by itself; AWS_REGION it gets from its host.
	settings, _ := environment.Read[environment.Database](variables)
	if settings.Host == "" {
		return variables, nil
	}
	settings.TLS = environment.Off
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
	changed := maps.Clone(variables)
	maps.Copy(changed, environment.Variables(settings))
	return changed, nil
}

func databaseAt(run *Run, port string) (*runningDatabase, error) {
	for _, running := range Made[*runningDatabase](run) {
		if strconv.Itoa(running.Port()) == port {
			return running, nil
		}
	}
	return nil, fmt.Errorf("a function's database port is %s: no database of the template listens there", port)
}

// userSecret gives a user whom the loader created a password, once.
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
