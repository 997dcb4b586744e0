package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"diecast/internal/assembly"
	"diecast/internal/local/postgres"
	"diecast/internal/postgresclient"
)

var postgresServer = databaseServer{installed: postgres.Installed, start: startPostgres}

// postgresInstance is a cluster of its own.
type postgresInstance struct {
	*postgres.Cluster
	masterPassword string
	folder         *postgres.Folder
}

func startPostgres(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Database,
) (databaseInstance, error) {
	own, err := run.folder("postgres-" + resource.LogicalID)
	if err != nil {
		return nil, err
	}
	folder, err := postgres.Claim(own)
	if err != nil {
		return nil, err
	}
	// The other engines forget what an earlier run stored: this one does, too. The log stays with
	// the run.
	options := postgres.Options{Dir: folder.Path, Fresh: true}
	if folder.Apart {
		options.Log = own
	}
	cluster, err := postgres.Start(ctx, options)
	if err != nil {
		return nil, errors.Join(err, folder.Remove())
	}
	instance := postgresInstance{Cluster: cluster, masterPassword: randomText(16), folder: folder}
	if err := instance.prepare(ctx, t); err != nil {
		return nil, errors.Join(err, instance.Stop(context.WithoutCancel(ctx)))
	}
	return instance, nil
}

// Stop ends the cluster; nothing of it is left but in the run's folder, see RemoveLeft.
func (i postgresInstance) Stop(ctx context.Context) error {
	return errors.Join(i.Cluster.Stop(ctx), i.folder.Remove())
}

// prepare makes the administrator and the database that RDS makes with an instance. As there the
// administrator is no superuser (Amazon RDS User Guide, "Understanding the rds_superuser role").
func (i postgresInstance) prepare(ctx context.Context, t *assembly.Database) error {
	user := pgx.Identifier{t.MasterUser}.Sanitize()
	statements := []string{
		fmt.Sprintf("CREATE ROLE %s LOGIN CREATEDB CREATEROLE PASSWORD %s", user, quoted(i.masterPassword)),
		fmt.Sprintf("GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO %s WITH ADMIN OPTION", user),
		"REVOKE CONNECT ON DATABASE postgres FROM PUBLIC", // as all that the run does not need
		fmt.Sprintf("GRANT CONNECT ON DATABASE postgres TO %s", user),
	}
	if t.Name != "" {
		name := pgx.Identifier{t.Name}.Sanitize()
		statements = append(statements, fmt.Sprintf("CREATE DATABASE %s OWNER %s", name, user))
	}
	return i.execute(ctx, statements...)
}

func (i postgresInstance) execute(ctx context.Context, statements ...string) error {
	connection, err := postgresclient.Connect(ctx, i.DSN("postgres"))
	if err != nil {
		return err
	}
	defer connection.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := connection.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// MasterPassword is the administrator's.
func (i postgresInstance) MasterPassword() string { return i.masterPassword }

// SetPassword lets an existing user log in with a password.
func (i postgresInstance) SetPassword(ctx context.Context, user, password string) error {
	name := pgx.Identifier{user}.Sanitize()
	return i.execute(ctx, fmt.Sprintf("ALTER ROLE %s LOGIN PASSWORD %s", name, quoted(password)))
}

// quoted makes an SQL literal of generated hexadecimal digits, which need no escape.
func quoted(hexadecimal string) string { return "'" + hexadecimal + "'" }
