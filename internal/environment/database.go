package environment

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Auth is how the password of a database login is found.
type Auth string

const (
	// IAM signs a token that serves as the password. The database user must be one that logs in so.
	IAM Auth = "iam"
	// Secret reads user name and password from Secrets Manager, at every new connection: RDS
	// rotates the secret by itself.
	Secret Auth = "secret"
)

// TLS is what a database connection demands of the server.
type TLS string

const (
	// VerifyFull wants a certificate of a trusted authority that bears the host's name; the
	// default.
	VerifyFull TLS = "verify-full"
	// Off speaks plain text; allowed for loopback hosts only.
	Off TLS = "off"
)

// Database says where a database is and how to log in. It holds no secret.
type Database struct {
	Host string `env:"DATABASE_HOST"`
	// Port is text, because a stack knows only a placeholder of it.
	Port string `env:"DATABASE_PORT"`
	Name string `env:"DATABASE_NAME"`
	// User of an IAM login; with Secret the user is the one in the secret.
	User string `env:"DATABASE_USER"`
	Auth Auth   `env:"DATABASE_AUTH"`
	// SecretARN names the secret, a JSON object with username and password.
	SecretARN string `env:"DATABASE_SECRET_ARN"`
	TLS       TLS    `env:"DATABASE_TLS"`
	// CAFile is a PEM file of the certificate authorities to trust instead of those of RDS.
	CAFile string `env:"DATABASE_CA_FILE"`
	// Generation changes when another database stands in the place of the one that was there. No
	// program reads it: a changed environment is what makes those that run start anew.
	Generation string `env:"DATABASE_GENERATION"`
	// Region where an IAM token is valid. Lambda sets it.
	Region string `env:"AWS_REGION"`
}

// Check names everything with which no connection can be opened.
func (d Database) Check() error {
	var problems []error
	problem := func(format string, arguments ...any) {
		problems = append(problems, fmt.Errorf(format, arguments...))
	}
	required := func(variable, value, why string) {
		if value == "" {
			problem("%s is not set: %s", variable, why)
		}
	}
	required("DATABASE_HOST", d.Host, "the host name of the database")
	required("DATABASE_NAME", d.Name, "the name of the database")
	required("DATABASE_PORT", d.Port, "the port of the database")
	if port, err := strconv.Atoi(d.Port); d.Port != "" && (err != nil || port < 1 || port > 65535) {
		problem("DATABASE_PORT is %q: a number from 1 to 65535 is allowed", d.Port)
	}
	switch d.Auth {
	case IAM:
		required("DATABASE_USER", d.User, "the database user that logs in by IAM token")
		required("AWS_REGION", d.Region, "an IAM token is valid in one region")
	case Secret:
		required("DATABASE_SECRET_ARN", d.SecretARN, "the secret that holds user name and password")
	default:
		problem("DATABASE_AUTH is %q: %q and %q are allowed", d.Auth, IAM, Secret)
	}
	switch d.TLS {
	case "", VerifyFull:
	case Off:
		if d.Host != "" && !Loopback(d.Host) {
			problem("DATABASE_TLS is off for %s: only a loopback host may be reached without TLS;"+
				" set it to verify-full", d.Host)
		}
	default:
		problem("DATABASE_TLS is %q: verify-full and, for loopback hosts, off are allowed", d.TLS)
	}
	return errors.Join(problems...)
}

// Loopback says whether a host is this machine by its very name.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address := net.ParseIP(host)
	return address != nil && address.IsLoopback()
}
