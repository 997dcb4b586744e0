package provider

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"diecast/internal/assembly"
	"diecast/internal/local/mariadb"
	"diecast/internal/local/process"
)

var mariadbServer = databaseServer{installed: mariadb.Installed, start: startMariaDB}

// mariadbInstance is a server of its own.
type mariadbInstance struct {
	*mariadb.Server
	masterPassword string
}

func startMariaDB(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Database,
) (databaseInstance, error) {
	folder, err := run.folder("mariadb-" + resource.LogicalID)
	if err != nil {
		return nil, err
	}
	// The other engines forget what an earlier run stored: this one does, too.
	server, err := mariadb.Start(ctx, mariadb.Options{Dir: folder, Fresh: true, Disposable: true})
	if err != nil {
		return nil, err
	}
	instance := mariadbInstance{Server: server, masterPassword: randomText(16)}
	if err := instance.prepare(ctx, t); err != nil {
		return nil, errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
	}
	return instance, nil
}

// The privileges of RDS's administrator, who is no superuser (Amazon RDS User Guide, "Master user
// account privileges", MySQL; what MariaDB does not know is left out): of the server, and of every
// database. Of the one that says who may do what, RDS does not let it write; MariaDB grants that
// with the privileges of all databases, but those of one database go before those of its pattern.
const (
	serverPrivileges   = `RELOAD, PROCESS, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT, CREATE USER`
	databasePrivileges = `SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER,
	CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER`
)

// prepare makes the administrator and the database that RDS makes with an instance. It leaves no
// superuser: who may make users may give any of them another password here, so that there must be
// none who may do more.
func (i mariadbInstance) prepare(ctx context.Context, t *assembly.Database) error {
	user := account(t.MasterUser)
	statements := []string{
		fmt.Sprintf("CREATE USER %s IDENTIFIED BY %s", user, quoted(i.masterPassword)),
		fmt.Sprintf("GRANT %s ON *.* TO %s WITH GRANT OPTION", serverPrivileges, user),
		fmt.Sprintf("GRANT %s ON `%%`.* TO %s WITH GRANT OPTION", databasePrivileges, user),
		fmt.Sprintf("GRANT SELECT ON mysql.* TO %s", user),
	}
	if t.Name != "" {
		statements = append(statements, "CREATE DATABASE `"+strings.ReplaceAll(t.Name, "`", "``")+"`")
	}
	// The connection that takes its own rights away keeps them to its end.
	own := "'" + i.User + "'@'" + process.Loopback + "'"
	statements = append(statements, "DELETE FROM mysql.proxies_priv", "FLUSH PRIVILEGES",
		"REVOKE ALL PRIVILEGES, GRANT OPTION FROM "+own, "GRANT CREATE USER ON *.* TO "+own)
	return i.execute(ctx, statements...)
}

func (i mariadbInstance) execute(ctx context.Context, statements ...string) error {
	configuration, err := mysql.ParseDSN(i.DSN(""))
	if err != nil {
		return err
	}
	connector, err := mysql.NewConnector(configuration)
	if err != nil {
		return err
	}
	pool := sql.OpenDB(connector)
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	for _, statement := range statements {
		if _, err := pool.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// MasterPassword is the administrator's.
func (i mariadbInstance) MasterPassword() string { return i.masterPassword }

// SetPassword lets a user log in with a password. The loader makes users locked where there is no
// IAM, and leaves those alone that are there: one who is told of before the loader ran is made
// here, without rights.
func (i mariadbInstance) SetPassword(ctx context.Context, user, password string) error {
	name := account(user)
	return i.execute(ctx, "CREATE USER IF NOT EXISTS "+name,
		fmt.Sprintf("ALTER USER %s IDENTIFIED BY %s ACCOUNT UNLOCK", name, quoted(password)))
}

// account is a user from anywhere, as SQL names it.
func account(user string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(user) + "'@'%'"
}
