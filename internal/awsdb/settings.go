// Package awsdb opens databases the way the platform does everywhere: TLS that is verified against
// the certificate authorities of RDS, and a login by IAM token or by a secret of Secrets Manager.
// On a laptop only the settings differ. It knows nothing of what the databases hold.
package awsdb

import (
	"fmt"
	"net"
	"strconv"

	"diecast/internal/environment"
)

// Auth is how the login's password is found.
type Auth = environment.Auth

// The two ways to log in.
const (
	IAM    = environment.IAM
	Secret = environment.Secret
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

// SettingsOf are those that an environment states. Its problems are the error.
func SettingsOf(database environment.Database) (Settings, error) {
	if err := database.Check(); err != nil {
		return Settings{}, err
	}
	port, err := strconv.Atoi(database.Port)
	if err != nil {
		return Settings{}, fmt.Errorf("the database's port: %w", err)
	}
	return Settings{
		Host: database.Host, Port: port, Name: database.Name, User: database.User, Auth: database.Auth,
		SecretARN: database.SecretARN, DisableTLS: database.TLS == environment.Off, CAFile: database.CAFile,
		Region: database.Region,
	}, nil
}

// Address is host:port.
func (s Settings) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }
