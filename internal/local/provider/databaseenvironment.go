package provider

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"diecast/internal/local/engine"
)

// Environment variables of a function that logs in to a database (lambda/internal, internal/awsdb).
const (
	databaseHost      = "DATABASE_HOST"
	databasePort      = "DATABASE_PORT"
	databaseUser      = "DATABASE_USER"
	databaseAuth      = "DATABASE_AUTH"
	databaseTLS       = "DATABASE_TLS"
	databaseSecretARN = "DATABASE_SECRET_ARN"

	authByIAM    = "iam"
	authBySecret = "secret"
	withoutTLS   = "off"
)

// databaseEnvironment turns a function's database variables into the laptop's: there is no TLS on
// loopback, and no IAM, so that its user gets a password in a secret.
func databaseEnvironment(ctx context.Context, run *Run, environment map[string]string) (map[string]string, error) {
	if environment[databaseHost] == "" {
		return environment, nil
	}
	changed := maps.Clone(environment)
	changed[databaseTLS] = withoutTLS
	if changed[databaseAuth] != authByIAM {
		return changed, nil
	}
	for _, running := range Made[*runningDatabase](run) {
		if strconv.Itoa(running.Port()) != changed[databasePort] {
			continue
		}
		secret, err := userSecret(ctx, run, running, changed[databaseUser])
		if err != nil {
			return nil, err
		}
		changed[databaseAuth], changed[databaseSecretARN] = authBySecret, secret
		return changed, nil
	}
	return nil, fmt.Errorf("%s is %s: no database of the template listens there", databasePort, changed[databasePort])
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
