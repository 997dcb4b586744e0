package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"diecast/internal/assembly"
	"diecast/internal/environment"
	"diecast/internal/local/postgres"
	"diecast/internal/local/process"
)

// database is one RDS instance of the template, run as a cluster of its own.
type database struct {
	cluster *postgres.Cluster
	// passwords of the users that log in by IAM on AWS, as secrets' ARNs by user.
	secrets map[string]string
}

func (p *Platform) createDatabase(ctx context.Context, resource *assembly.Resource, t *assembly.Database) (string, map[string]any, error) {
	if t.Engine != "postgres" {
		return "", nil, fmt.Errorf("engine %s: the laptop runs postgres", t.Engine)
	}
	options := postgres.Options{}
	if os.Geteuid() != 0 {
		// As root the server runs as another user, who may not reach the run's folder: it then makes one that it can.
		folder, err := p.freshFolder("postgres-" + resource.LogicalID)
		if err != nil {
			return "", nil, err
		}
		options.Dir = folder
	}
	cluster, err := postgres.Start(ctx, options)
	if err != nil {
		return "", nil, err
	}
	p.onStop(cluster.Stop)
	password := cluster.Password
	if t.MasterUser != cluster.User {
		password = randomText(16)
	}
	if err := prepare(ctx, cluster, t, password); err != nil {
		return "", nil, err
	}
	identifier := "db-" + randomText(8)
	secret, err := p.cloud.CreateSecret(ctx, "rds!"+identifier, login(t.MasterUser, password))
	if err != nil {
		return "", nil, err
	}
	p.databases = append(p.databases, &database{cluster: cluster, secrets: map[string]string{}})
	return identifier, map[string]any{
		"DBInstanceArn":              fmt.Sprintf("arn:aws:rds:%s:%s:db:%s", region, account, identifier),
		"DbiResourceId":              identifier,
		"Endpoint.Address":           process.Loopback,
		"Endpoint.Port":              strconv.Itoa(cluster.Port),
		"MasterUserSecret.SecretArn": secret,
	}, nil
}

// prepare makes the administrator and the database that RDS makes with an instance.
func prepare(ctx context.Context, cluster *postgres.Cluster, t *assembly.Database, password string) error {
	connection, err := pgx.Connect(ctx, cluster.DSN("postgres"))
	if err != nil {
		return err
	}
	defer connection.Close(context.WithoutCancel(ctx))
	user := pgx.Identifier{t.MasterUser}.Sanitize()
	var statements []string
	if t.MasterUser != cluster.User {
		statements = append(statements, fmt.Sprintf("CREATE ROLE %s SUPERUSER LOGIN PASSWORD %s", user, quoted(password)))
	}
	if t.Name != "" {
		statements = append(statements, fmt.Sprintf("CREATE DATABASE %s OWNER %s", pgx.Identifier{t.Name}.Sanitize(), user))
	}
	for _, statement := range statements {
		if _, err := connection.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// databaseSettings turns a function's database variables into the laptop's: there is no TLS on loopback, and no IAM, so that
// its user gets a password in a secret.
func (p *Platform) databaseSettings(ctx context.Context, variables map[string]string) (map[string]string, error) {
	// The function checks its variables by itself; AWS_REGION it gets from its host.
	settings, _ := environment.Read[environment.Database](variables)
	if settings.Host == "" {
		return variables, nil
	}
	settings.TLS = environment.Off
	if settings.Auth == environment.IAM {
		db, err := p.databaseAt(settings.Port)
		if err != nil {
			return nil, err
		}
		if settings.SecretARN, err = p.userSecret(ctx, db, settings.User); err != nil {
			return nil, err
		}
		settings.Auth = environment.Secret
	}
	changed := maps.Clone(variables)
	maps.Copy(changed, environment.Variables(settings))
	return changed, nil
}

func (p *Platform) databaseAt(port string) (*database, error) {
	for _, db := range p.databases {
		if strconv.Itoa(db.cluster.Port) == port {
			return db, nil
		}
	}
	return nil, fmt.Errorf("a function's database port is %s: no database of the template listens there", port)
}

// userSecret gives a user whom the loader created a password, once.
func (p *Platform) userSecret(ctx context.Context, db *database, user string) (string, error) {
	if arn, done := db.secrets[user]; done {
		return arn, nil
	}
	connection, err := pgx.Connect(ctx, db.cluster.DSN("postgres"))
	if err != nil {
		return "", err
	}
	defer connection.Close(context.WithoutCancel(ctx))
	password := randomText(16)
	if _, err := connection.Exec(ctx, fmt.Sprintf("ALTER ROLE %s LOGIN PASSWORD %s", pgx.Identifier{user}.Sanitize(), quoted(password))); err != nil {
		return "", fmt.Errorf("the database user %s, whom the loader should have created: %w", user, err)
	}
	arn, err := p.cloud.CreateSecret(ctx, "local/"+user+"-"+randomText(4), login(user, password))
	if err != nil {
		return "", err
	}
	db.secrets[user] = arn
	return arn, nil
}

// login is the value of a secret with a login, in the form of RDS.
func login(user, password string) string {
	text, err := json.Marshal(map[string]string{"username": user, "password": password})
	if err != nil {
		panic(err) // two strings
	}
	return string(text)
}

// quoted makes an SQL literal of generated hexadecimal digits, which need no escape.
func quoted(hexadecimal string) string { return "'" + hexadecimal + "'" }

// Secret reads a secret's value.
func (p *Platform) Secret(ctx context.Context, arn string) (string, error) {
	secret, err := p.cloud.SecretsManager().GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return "", err
	}
	return *secret.SecretString, nil
}
