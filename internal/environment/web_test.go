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
		"all": {"WEB_TLS": "true", "WEB_FRAME_ANCESTORS": "https://a.example http://localhost:3000"},
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
		"DATABASE_HOST"} {
		require.ErrorContains(t, err, name)
	}
}
