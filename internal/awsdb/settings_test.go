package awsdb

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/awsdb/certificates"
	"diecast/internal/environment"
)

var database = environment.Database{
	Host: "db.example.rds.amazonaws.com", Port: "5432", Name: "vectors", Auth: IAM, User: "inference_reader",
	Region: "us-east-1",
}

func TestSettingsAreThoseOfTheEnvironment(t *testing.T) {
	settings, err := SettingsOf(database)
	require.NoError(t, err)
	assert.Equal(t, Settings{
		Host: "db.example.rds.amazonaws.com", Port: 5432, Name: "vectors", Auth: IAM, User: "inference_reader",
		Region: "us-east-1",
	}, settings)
	assert.Equal(t, "db.example.rds.amazonaws.com:5432", settings.Address())

	settings, err = SettingsOf(environment.Database{
		Host: "::1", Port: "1", Name: "vectors", Auth: Secret, SecretARN: "arn:s", TLS: environment.Off,
		CAFile: "ca.pem",
	})
	require.NoError(t, err)
	assert.Equal(t, Settings{Host: "::1", Port: 1, Name: "vectors", Auth: Secret, SecretARN: "arn:s", DisableTLS: true,
		CAFile: "ca.pem"}, settings)
	assert.Equal(t, "[::1]:1", settings.Address())
}

func TestSettingsAreRefusedWithTheEnvironment(t *testing.T) {
	broken := database
	broken.Port, broken.User = "postgres", ""
	_, err := SettingsOf(broken)
	require.ErrorContains(t, err, `DATABASE_PORT is "postgres"`)
	require.ErrorContains(t, err, "DATABASE_USER is not set")
}

func TestEmbeddedBundleHoldsOnlyCertificateAuthorities(t *testing.T) {
	rest, count := certificates.RDS, 0
	for block, next := pem.Decode(rest); block != nil; block, next = pem.Decode(next) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		assert.True(t, certificate.IsCA, certificate.Subject.CommonName)
		count++
	}
	assert.Equal(t, 81, count, "three key types for each of 27 regions")
}

func TestTLSAsksForTheHostsName(t *testing.T) {
	configuration, err := Settings{Host: "db.example.com"}.TLS()
	require.NoError(t, err)
	assert.Equal(t, "db.example.com", configuration.ServerName)
	assert.False(t, configuration.InsecureSkipVerify)
	assert.NotNil(t, configuration.RootCAs)
}

// PEM is found at the beginning of a line only: before the first one stands the mark.
func TestAByteOrderMarkHidesNoAuthority(t *testing.T) {
	file, _ := authority(t, "db.example.com")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append([]byte("\ufeff"), text...), 0o600))
	configuration, err := Settings{Host: "db.example.com", CAFile: file}.TLS()
	require.NoError(t, err)
	assert.NotNil(t, configuration.RootCAs)
}

func TestTLSRefuses(t *testing.T) {
	wide := filepath.Join(t.TempDir(), "wide.pem")
	require.NoError(t, os.WriteFile(wide, []byte("\xff\xfe-\x00"), 0o600))
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for name, test := range map[string]struct {
		settings Settings
		message  string
	}{
		"a missing file":         {Settings{Host: "h", CAFile: "does-not-exist.pem"}, "does-not-exist.pem"},
		"a file without any":     {Settings{Host: "h", CAFile: empty}, "no certificate"},
		"UTF-16":                 {Settings{Host: "h", CAFile: wide}, "wide.pem: it is UTF-16"},
		"plain text to far away": {Settings{Host: "h", DisableTLS: true}, "only a loopback host"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.settings.TLS()
			require.ErrorContains(t, err, test.message)
		})
	}
}
