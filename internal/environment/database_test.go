package environment

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func database(changes map[string]string) map[string]string {
	variables := map[string]string{
		"DATABASE_HOST": "db.example.rds.amazonaws.com", "DATABASE_PORT": "5432", "DATABASE_NAME": "vectors",
		"DATABASE_AUTH": "iam", "DATABASE_USER": "inference_reader", "AWS_REGION": "us-east-1",
	}
	for name, value := range changes {
		variables[name] = value
	}
	return variables
}

func TestDatabaseAccepts(t *testing.T) {
	tests := map[string]struct {
		changes map[string]string
		want    Database
	}{
		"IAM login, verified TLS by default": {nil, Database{
			Host: "db.example.rds.amazonaws.com", Port: "5432", Name: "vectors", Auth: IAM, User: "inference_reader",
			Region: "us-east-1",
		}},
		"secret": {map[string]string{"DATABASE_AUTH": "secret", "DATABASE_SECRET_ARN": "arn:s", "AWS_REGION": "",
			"DATABASE_USER": ""}, Database{
			Host: "db.example.rds.amazonaws.com", Port: "5432", Name: "vectors", Auth: Secret, SecretARN: "arn:s",
		}},
		"no TLS on loopback": {map[string]string{"DATABASE_HOST": "127.0.0.1", "DATABASE_TLS": "off"}, Database{
			Host: "127.0.0.1", Port: "5432", Name: "vectors", Auth: IAM, User: "inference_reader", Region: "us-east-1",
			TLS: Off,
		}},
		"the lowest port": {map[string]string{"DATABASE_PORT": "1"}, Database{
			Host: "db.example.rds.amazonaws.com", Port: "1", Name: "vectors", Auth: IAM, User: "inference_reader",
			Region: "us-east-1",
		}},
		"the highest port": {map[string]string{"DATABASE_PORT": "65535"}, Database{
			Host: "db.example.rds.amazonaws.com", Port: "65535", Name: "vectors", Auth: IAM, User: "inference_reader",
			Region: "us-east-1",
		}},
		"own certificate authorities": {map[string]string{"DATABASE_TLS": "verify-full", "DATABASE_CA_FILE": "ca.pem"},
			Database{
				Host: "db.example.rds.amazonaws.com", Port: "5432", Name: "vectors", Auth: IAM,
				User:   "inference_reader",
				Region: "us-east-1", TLS: VerifyFull, CAFile: "ca.pem",
			}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			settings, err := Read[Database](database(test.changes))
			require.NoError(t, err)
			assert.Equal(t, test.want, settings)
		})
	}
}

func TestDatabaseRefuses(t *testing.T) {
	tests := map[string]struct {
		changes map[string]string
		message string
	}{
		"no host":                 {map[string]string{"DATABASE_HOST": ""}, "DATABASE_HOST is not set"},
		"no name":                 {map[string]string{"DATABASE_NAME": ""}, "DATABASE_NAME is not set"},
		"no port":                 {map[string]string{"DATABASE_PORT": ""}, "DATABASE_PORT is not set"},
		"port in words":           {map[string]string{"DATABASE_PORT": "postgres"}, `DATABASE_PORT is "postgres"`},
		"port zero":               {map[string]string{"DATABASE_PORT": "0"}, `DATABASE_PORT is "0"`},
		"port too high":           {map[string]string{"DATABASE_PORT": "65536"}, `DATABASE_PORT is "65536"`},
		"unknown login":           {map[string]string{"DATABASE_AUTH": "password"}, `DATABASE_AUTH is "password"`},
		"no login":                {map[string]string{"DATABASE_AUTH": ""}, `DATABASE_AUTH is ""`},
		"IAM without user":        {map[string]string{"DATABASE_USER": ""}, "DATABASE_USER is not set"},
		"IAM without region":      {map[string]string{"AWS_REGION": ""}, "AWS_REGION is not set"},
		"secret without its name": {map[string]string{"DATABASE_AUTH": "secret"}, "DATABASE_SECRET_ARN is not set"},
		"unknown TLS mode":        {map[string]string{"DATABASE_TLS": "prefer"}, `DATABASE_TLS is "prefer"`},
		"no TLS over a network":   {map[string]string{"DATABASE_TLS": "off"}, "only a loopback host"},
		"no TLS to a private address": {
			map[string]string{"DATABASE_TLS": "off", "DATABASE_HOST": "10.0.0.1"}, "only a loopback host",
		},
		"no TLS to a name that looks local": {
			map[string]string{"DATABASE_TLS": "off", "DATABASE_HOST": "localhost.example.com"}, "only a loopback host",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Read[Database](database(test.changes))
			require.ErrorContains(t, err, test.message)
		})
	}
}

func TestDatabaseNamesAllProblemsAtOnce(t *testing.T) {
	_, err := Read[Database](nil)
	for _, name := range []string{"DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_AUTH"} {
		require.ErrorContains(t, err, name)
	}
}
