package environment

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Web is the environment of the web servers.
type Web struct {
	Database
	// Port is text, as the database's is.
	Port  string      `env:"WEB_PORT,notEmpty" help:"the port to listen on"`
	Sales SalesAccess `env:"WEB_SALES,notEmpty" help:"served, or withheld where anybody can reach the balancer"`
	// Refresh is how often the database is asked for sales.
	Refresh Seconds `env:"WEB_REFRESH_SECONDS,notEmpty" help:"how often sales are read from the database"`
	// Drain is the deregistration delay of the target group.
	Drain Seconds `env:"WEB_DRAIN_SECONDS,notEmpty" help:"how long the server goes on after it was told to end"`
	// Key is what KeyHeader must say of every request, on a machine where others reach the port as
	// well. Empty: the network lets the load balancer alone reach it, as on AWS.
	Key string `env:"WEB_KEY"`
	// HTTPS tells that clients reach the balancer by it only.
	HTTPS Switch `env:"WEB_TLS"`
	// FrameAncestors are the origins whose pages may frame these, with spaces between. Empty: none.
	FrameAncestors string `env:"WEB_FRAME_ANCESTORS"`
	OIDC
}

// KeyHeader is the header in which a load balancer tells Web.Key.
const KeyHeader = "X-Diecast-Key"

// OIDC is the login that the balancer asks for: all of it or nothing.
type OIDC struct {
	Issuer   string `env:"WEB_OIDC_ISSUER"`
	ClientID string `env:"WEB_OIDC_CLIENT_ID"`
	// LoadBalancer is the ARN of the balancer that signs who has logged in.
	LoadBalancer string `env:"WEB_OIDC_LOAD_BALANCER"`
	// Provider is the origin to which the balancer sends people to log in.
	Provider string `env:"WEB_OIDC_PROVIDER"`
}

// SalesAccess says who may read sales.
type SalesAccess string

const (
	// Served to everybody who reaches the server, or, with OIDC, to who has logged in.
	Served SalesAccess = "served"
	// Withheld from everybody: there is no login, and the world is admitted.
	Withheld SalesAccess = "withheld"
)

// Switch is "true" or, where it is off, "false" or nothing.
type Switch bool

// UnmarshalText reads it.
func (s *Switch) UnmarshalText(text []byte) error {
	switch string(text) {
	case "true":
		*s = true
	case "false", "":
		*s = false
	default:
		return errors.New("true and false are allowed")
	}
	return nil
}

// MarshalText writes nothing where it is off.
func (s Switch) MarshalText() ([]byte, error) {
	if s {
		return []byte("true"), nil
	}
	return nil, nil
}

const (
	// longestRefresh leaves time for a reading before pages call their figures old, after an hour.
	longestRefresh = 50 * time.Minute
	// longestDrain is that of a target group.
	longestDrain = time.Hour
)

// Check names everything with which the server cannot serve.
func (w Web) Check() error {
	problems := []error{w.Database.Check()}
	problem := func(format string, arguments ...any) {
		problems = append(problems, fmt.Errorf(format, arguments...))
	}
	if port, err := strconv.Atoi(w.Port); w.Port != "" && (err != nil || port < 1 || port > 65535) {
		problem("WEB_PORT is %q: a number from 1 to 65535 is allowed", w.Port)
	}
	if w.Sales != "" && w.Sales != Served && w.Sales != Withheld {
		problem("WEB_SALES is %q: %s and %s are allowed", w.Sales, Served, Withheld)
	}
	if refresh := time.Duration(w.Refresh); refresh > longestRefresh {
		problem("WEB_REFRESH_SECONDS is %d: 1 to 3000 are allowed", refresh/time.Second)
	}
	if drain := time.Duration(w.Drain); drain > longestDrain {
		problem("WEB_DRAIN_SECONDS is %d: 1 to 3600 are allowed", drain/time.Second)
	}
	for _, origin := range strings.Fields(w.FrameAncestors) {
		if !isOrigin(origin) {
			problem("WEB_FRAME_ANCESTORS has %q: origins such as https://intranet.example.com are allowed,"+
				" with spaces between them", origin)
		}
	}
	problems = append(problems, w.OIDC.check())
	return errors.Join(problems...)
}

// isOrigin says whether a text is scheme and host, and nothing that could end the directive.
func isOrigin(text string) bool {
	origin, err := url.Parse(text)
	if err != nil || origin.Scheme != "https" && origin.Scheme != "http" || origin.Hostname() == "" ||
		text != origin.Scheme+"://"+origin.Host || strings.ContainsAny(text, ";,'\"") {
		return false
	}
	port, err := strconv.Atoi(cmp.Or(origin.Port(), "443"))
	return err == nil && port >= 1 && port <= 65535
}

// Required says whether a login is asked for.
func (o OIDC) Required() bool { return o != OIDC{} }

func (o OIDC) check() error {
	if !o.Required() {
		return nil
	}
	var problems []error
	for _, one := range []struct{ variable, value, why string }{
		{"WEB_OIDC_ISSUER", o.Issuer, "who issues the logins"},
		{"WEB_OIDC_CLIENT_ID", o.ClientID, "the balancer's client at the issuer"},
		{"WEB_OIDC_LOAD_BALANCER", o.LoadBalancer, "the ARN of the balancer that signs them"},
		{"WEB_OIDC_PROVIDER", o.Provider, "the origin where people log in"},
	} {
		if one.value == "" {
			problems = append(problems, fmt.Errorf("%s is not set: %s; all four of WEB_OIDC_* are, or none",
				one.variable, one.why))
		}
	}
	if o.Provider != "" && !isOrigin(o.Provider) {
		problems = append(problems, fmt.Errorf("WEB_OIDC_PROVIDER is %q: an origin such as https://id.example.com"+
			" is allowed", o.Provider))
	}
	return errors.Join(problems...)
}
