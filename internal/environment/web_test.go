package environment

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func web(changes map[string]string) map[string]string {
	variables := database(map[string]string{
		"DATABASE_PORT": "3306", "DATABASE_NAME": "classicmodels", "DATABASE_USER": "web_reader", "WEB_PORT": "8080",
		"WEB_SALES": "served", "WEB_REFRESH_SECONDS": "300", "WEB_DRAIN_SECONDS": "30",
		"RECOMMENDATIONS_TABLE": "t", "ARTIFACTS_BUCKET": "b", "WEB_STREAM": "s",
		"VECTORS_DATABASE_HOST": "v.example.rds.amazonaws.com", "VECTORS_DATABASE_PORT": "5432",
		"VECTORS_DATABASE_NAME": "vectors", "VECTORS_DATABASE_AUTH": "iam", "VECTORS_DATABASE_USER": "web_reader",
		"WEB_API": "known", "WEB_REQUESTS_PER_SESSION": "120", "WEB_REQUESTS_PER_TOKEN": "6000",
	})
	for name, value := range changes {
		variables[name] = value
	}
	return variables
}

var login = map[string]string{
	"WEB_OIDC_ISSUER": "https://i", "WEB_OIDC_CLIENT_ID": "c", "WEB_OIDC_LOAD_BALANCER": "arn:lb",
	"WEB_OIDC_PROVIDER": "https://i:8443",
}

func TestWebIsReadAsItWasWritten(t *testing.T) {
	for name, changes := range map[string]map[string]string{
		"least": nil, "withheld": {"WEB_SALES": "withheld"}, "login": login,
		"all": {"WEB_TLS": "true", "WEB_FRAME_ANCESTORS": "https://a.example http://localhost:3000",
			"WEB_SHOP": "true", "WEB_SHOP_ORIGINS": "https://a.example:8443 http://localhost:3000", "WEB_API": "random",
			"VECTORS_DATABASE_CA_FILE": "ca.pem", "VECTORS_DATABASE_TLS": "verify-full",
			"VECTORS_DATABASE_GENERATION": "2"},
		"a token": {"WEB_API": "token"},
	} {
		t.Run(name, func(t *testing.T) {
			variables := web(changes)
			read, err := Read[Web](variables)
			require.NoError(t, err)
			assert.Equal(t, variables, Variables(read))
			assert.Equal(t, 5*time.Minute, time.Duration(read.Refresh))
			assert.Equal(t, name == "login", read.Required())
		})
	}
}

func TestTheStoreIsADatabaseBesideTheFirst(t *testing.T) {
	read, err := Read[Web](web(map[string]string{
		"VECTORS_DATABASE_HOST": "127.0.0.1", "VECTORS_DATABASE_PORT": "6000", "VECTORS_DATABASE_AUTH": "secret",
		"VECTORS_DATABASE_SECRET_ARN": "arn:s", "VECTORS_DATABASE_USER": "", "VECTORS_DATABASE_TLS": "off",
		"VECTORS_DATABASE_CA_FILE": "ca.pem", "VECTORS_DATABASE_GENERATION": "3",
	}))
	require.NoError(t, err)
	assert.Equal(t, Database{
		Host: "127.0.0.1", Port: "6000", Name: "vectors", Auth: Secret, SecretARN: "arn:s", TLS: Off, CAFile: "ca.pem",
		Generation: "3", Region: "us-east-1",
	}, read.StoreLogin.AsDatabase())
	assert.Equal(t, "db.example.rds.amazonaws.com", read.Database.Host)
	assert.Equal(t, IAM, read.Database.Auth)
}

func TestTheStoresProblemsNameItsVariables(t *testing.T) {
	_, err := Read[Web](web(map[string]string{"VECTORS_DATABASE_HOST": "", "VECTORS_DATABASE_USER": "",
		"VECTORS_DATABASE_PORT": "0", "VECTORS_DATABASE_TLS": "off"}))
	require.EqualError(t, err, `VECTORS_DATABASE_HOST is not set: the host name of the database
VECTORS_DATABASE_PORT is "0": a number from 1 to 65535 is allowed
VECTORS_DATABASE_USER is not set: the database user that logs in by IAM token`)

	_, err = Read[Web](web(map[string]string{"AWS_REGION": ""}))
	require.EqualError(t, err, "AWS_REGION is not set: an IAM token is valid in one region", "told once")
	_, err = Read[Web](web(map[string]string{"AWS_REGION": "", "DATABASE_AUTH": "secret",
		"DATABASE_SECRET_ARN": "arn:s"}))
	require.EqualError(t, err, "AWS_REGION is not set: an IAM token is valid in one region", "the store needs it alone")
}

func TestWebRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		changes map[string]string
		message string
	}{
		"no port":         {map[string]string{"WEB_PORT": ""}, "WEB_PORT is not set: the port to listen on"},
		"port in words":   {map[string]string{"WEB_PORT": "http"}, `WEB_PORT is "http"`},
		"port zero":       {map[string]string{"WEB_PORT": "0"}, `WEB_PORT is "0"`},
		"no access":       {map[string]string{"WEB_SALES": ""}, "WEB_SALES is not set"},
		"unknown access":  {map[string]string{"WEB_SALES": "open"}, `WEB_SALES is "open": served and withheld`},
		"hasty refresh":   {map[string]string{"WEB_REFRESH_SECONDS": "0"}, `WEB_REFRESH_SECONDS is "0"`},
		"rare refresh":    {map[string]string{"WEB_REFRESH_SECONDS": "3001"}, "WEB_REFRESH_SECONDS is 3001: 1 to 3000"},
		"refresh in text": {map[string]string{"WEB_REFRESH_SECONDS": "5m"}, `WEB_REFRESH_SECONDS is "5m"`},
		"long drain":      {map[string]string{"WEB_DRAIN_SECONDS": "3601"}, "WEB_DRAIN_SECONDS is 3601"},
		"unclear TLS":     {map[string]string{"WEB_TLS": "yes"}, `WEB_TLS is "yes": true and false are allowed`},
		"framed by a path": {map[string]string{"WEB_FRAME_ANCESTORS": "https://a.example/x"},
			`WEB_FRAME_ANCESTORS has "https://a.example/x"`},
		"framed by a directive": {map[string]string{"WEB_FRAME_ANCESTORS": "https://a.example;script-src"},
			`WEB_FRAME_ANCESTORS has`},
		"framed by all": {map[string]string{"WEB_FRAME_ANCESTORS": "*"}, `WEB_FRAME_ANCESTORS has "*"`},
		"framed by a port that is none": {map[string]string{"WEB_FRAME_ANCESTORS": "https://a.example:99999"},
			`WEB_FRAME_ANCESTORS has "https://a.example:99999"`},
		"framed by a port alone": {map[string]string{"WEB_FRAME_ANCESTORS": "https://:443"}, `has "https://:443"`},
		"a provider with a path": {map[string]string{"WEB_OIDC_PROVIDER": "https://i/authorize"},
			`WEB_OIDC_PROVIDER is "https://i/authorize": an origin`},
		"half a login": {map[string]string{"WEB_OIDC_ISSUER": "https://i"}, "WEB_OIDC_CLIENT_ID is not set"},
		"database":     {map[string]string{"DATABASE_HOST": ""}, "DATABASE_HOST is not set"},
		"no table":     {map[string]string{"RECOMMENDATIONS_TABLE": ""}, "RECOMMENDATIONS_TABLE is not set"},
		"no models":    {map[string]string{"ARTIFACTS_BUCKET": ""}, "ARTIFACTS_BUCKET is not set"},
		"no stream":    {map[string]string{"WEB_STREAM": ""}, "WEB_STREAM is not set: the name of the event stream"},
		"unclear shop": {map[string]string{"WEB_SHOP": "open"}, `WEB_SHOP is "open": true and false are allowed`},
		"no API":       {map[string]string{"WEB_API": ""}, "WEB_API is not set"},
		"an API for whoever asks": {map[string]string{"WEB_API": "open"},
			`WEB_API is "open": known, random, token and login are allowed`},
		"an API behind no login": {map[string]string{"WEB_API": "login"}, `WEB_API is "login": there is no login`},
		"a site by a pattern": {map[string]string{"WEB_SHOP_ORIGINS": "https://*.example.com"},
			`WEB_SHOP_ORIGINS has "https://*.example.com"`},
		"every site":       {map[string]string{"WEB_SHOP_ORIGINS": "*"}, `WEB_SHOP_ORIGINS has "*"`},
		"the origin null":  {map[string]string{"WEB_SHOP_ORIGINS": "null"}, `WEB_SHOP_ORIGINS has "null"`},
		"a site by a path": {map[string]string{"WEB_SHOP_ORIGINS": "https://a.example/"}, `has "https://a.example/"`},
		"a site in capitals": {map[string]string{"WEB_SHOP_ORIGINS": "https://a.example https://A.example"},
			`has "https://A.example"`},
		"a site by HTTPS's port": {map[string]string{"WEB_SHOP_ORIGINS": "https://a.example:443"},
			`has "https://a.example:443"`},
		"a site by HTTP's port": {map[string]string{"WEB_SHOP_ORIGINS": "http://a.example:80"},
			`has "http://a.example:80"`},
		"no rate of a session": {map[string]string{"WEB_REQUESTS_PER_SESSION": ""},
			"WEB_REQUESTS_PER_SESSION is not set"},
		"a session that may not ask": {map[string]string{"WEB_REQUESTS_PER_SESSION": "0"},
			`WEB_REQUESTS_PER_SESSION is "0": a whole number from 1 on`},
		"a token that asks in words": {map[string]string{"WEB_REQUESTS_PER_TOKEN": "many"},
			`WEB_REQUESTS_PER_TOKEN is "many": a whole number from 1 on`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read[Web](web(c.changes))
			require.ErrorContains(t, err, c.message)
		})
	}
}

func TestWebNamesAllProblemsAtOnce(t *testing.T) {
	_, err := Read[Web](nil)
	for _, name := range []string{"WEB_PORT", "WEB_SALES", "WEB_REFRESH_SECONDS", "WEB_DRAIN_SECONDS",
		"DATABASE_HOST", "VECTORS_DATABASE_HOST", "RECOMMENDATIONS_TABLE", "ARTIFACTS_BUCKET", "WEB_STREAM", "WEB_API",
		"WEB_REQUESTS_PER_SESSION", "WEB_REQUESTS_PER_TOKEN"} {
		require.ErrorContains(t, err, name)
	}
}
