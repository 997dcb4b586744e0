// Package awsdb opens databases the way the platform does everywhere: TLS that is verified against the certificate
// authorities of RDS, and a login by IAM token or by a secret of Secrets Manager. On a laptop only the settings differ. It
// knows nothing of what the databases hold.
package awsdb

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Auth is how the login's password is found.
type Auth string

const (
	// IAM signs a token that serves as the password. The database user must be one that logs in so.
	IAM Auth = "iam"
	// Secret reads user name and password from Secrets Manager, at every new connection: RDS rotates the secret by itself.
	Secret Auth = "secret"
)

// Settings say which database to open and how. They hold no secret.
type Settings struct {
	// Host, Port and Name of the database.
	Host string
	Port int
	Name string
	// User of an IAM login; with Secret the user is the one in the secret.
	User string
	Auth Auth
	// SecretARN names the secret, a JSON object with username and password.
	SecretARN string
	// DisableTLS speaks plain text; allowed for loopback hosts only.
	DisableTLS bool
	// CAFile is a PEM file of the certificate authorities to trust instead of those of RDS.
	CAFile string
	// Region where an IAM token is valid.
	Region string
}

// FromEnvironment reads DATABASE_HOST, DATABASE_PORT, DATABASE_NAME, DATABASE_USER, DATABASE_AUTH (iam or secret),
// DATABASE_SECRET_ARN, DATABASE_TLS (verify-full, the default, or off), DATABASE_CA_FILE and AWS_REGION. The error names
// every problem at once.
func FromEnvironment(getenv func(string) string) (Settings, error) {
	var problems []error
	problem := func(format string, arguments ...any) { problems = append(problems, fmt.Errorf(format, arguments...)) }
	required := func(name, why string) string {
		value := getenv(name)
		if value == "" {
			problem("%s is not set: %s", name, why)
		}
		return value
	}

	settings := Settings{
		Host: required("DATABASE_HOST", "the host name of the database"), Name: required("DATABASE_NAME", "the name of the database"),
		Auth: Auth(getenv("DATABASE_AUTH")), CAFile: getenv("DATABASE_CA_FILE"), Region: getenv("AWS_REGION"),
	}
	if port := required("DATABASE_PORT", "the port of the database"); port != "" {
		number, err := strconv.Atoi(port)
		if err != nil || number < 1 || number > 65535 {
			problem("DATABASE_PORT is %q: a number from 1 to 65535 is allowed", port)
		}
		settings.Port = number
	}
	switch settings.Auth {
	case IAM:
		settings.User = required("DATABASE_USER", "the database user that logs in by IAM token")
		if settings.Region == "" {
			problem("AWS_REGION is not set: an IAM token is valid in one region")
		}
	case Secret:
		settings.SecretARN = required("DATABASE_SECRET_ARN", "the secret that holds user name and password")
	default:
		problem("DATABASE_AUTH is %q: %q and %q are allowed", string(settings.Auth), IAM, Secret)
	}
	switch mode := getenv("DATABASE_TLS"); mode {
	case "", "verify-full":
	case "off":
		settings.DisableTLS = true
		if settings.Host != "" && !loopback(settings.Host) {
			problem("DATABASE_TLS is off for %s: only a loopback host may be reached without TLS; set it to verify-full", settings.Host)
		}
	default:
		problem("DATABASE_TLS is %q: verify-full and, for loopback hosts, off are allowed", mode)
	}
	if len(problems) > 0 {
		return Settings{}, errors.Join(problems...)
	}
	return settings, nil
}

// Address is host:port.
func (s Settings) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address := net.ParseIP(host)
	return address != nil && address.IsLoopback()
}
