package database

import (
	"fmt"
	"regexp"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsrds"
	"github.com/aws/jsii-runtime-go"
)

// Engine is a database engine at an exact minor version, which an instance is created with. A newer
// one upgrades it; RDS never goes back to an older one.
type Engine struct {
	name       string
	version    string
	syntax     *regexp.Regexp
	port       int
	parameters map[string]string
	make       func(version, major *string) awsrds.IInstanceEngine
}

var (
	// A major version of PostgreSQL is one number, one of MySQL is two; each minor adds one.
	postgresVersion = regexp.MustCompile(`^(\d+)\.\d+$`)
	mysqlVersion    = regexp.MustCompile(`^(\d+\.\d+)\.\d+$`)
)

// PostgreSQL is RDS for PostgreSQL at a version such as "18.3". It refuses connections without TLS.
func PostgreSQL(version string) Engine {
	return Engine{
		name: "PostgreSQL", version: version, syntax: postgresVersion, port: 5432,
		parameters: map[string]string{"rds.force_ssl": "1"},
		make: func(version, major *string) awsrds.IInstanceEngine {
			return awsrds.DatabaseInstanceEngine_Postgres(&awsrds.PostgresInstanceEngineProps{
				Version: awsrds.PostgresEngineVersion_Of(version, major, nil),
			})
		},
	}
}

// MySQL is RDS for MySQL at a version such as "8.4.9". It refuses connections without TLS.
func MySQL(version string) Engine {
	return Engine{
		name: "MySQL", version: version, syntax: mysqlVersion, port: 3306,
		parameters: map[string]string{"require_secure_transport": "ON"},
		make: func(version, major *string) awsrds.IInstanceEngine {
			return awsrds.DatabaseInstanceEngine_Mysql(&awsrds.MySqlInstanceEngineProps{
				Version: awsrds.MysqlEngineVersion_Of(version, major),
			})
		},
	}
}

// Port is where the engine's databases take connections.
func (e Engine) Port() int { return e.port }

func (e Engine) validate() {
	if e.make == nil {
		panic(`database: Engine is required, got none; use database.PostgreSQL("18.3")`)
	}
	if !e.syntax.MatchString(e.version) {
		panic(fmt.Sprintf("database: a version of %s must match %s, got %q; name the exact minor version",
			e.name, e.syntax, e.version))
	}
}

func (e Engine) create() awsrds.IInstanceEngine {
	major := e.syntax.FindStringSubmatch(e.version)[1]
	return e.make(jsii.String(e.version), jsii.String(major))
}
