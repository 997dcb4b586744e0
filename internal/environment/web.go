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
	Recommendations
	StoreLogin
	API
}

// KeyHeader is the header in which a load balancer tells Web.Key.
const KeyHeader = "X-Diecast-Key"

// APIPrefix begins the addresses of the JSON API, and of nothing else. A balancer that demands a
// token does so for what begins with exactly these letters: with APIToken a server must answer
// nothing of the API to a request whose target, as it was sent, begins otherwise.
const APIPrefix = "/api/v1/"

// OIDC is the login that the balancer asks for: all of it or nothing.
type OIDC struct {
	Issuer   string `env:"WEB_OIDC_ISSUER"`
	ClientID string `env:"WEB_OIDC_CLIENT_ID"`
	// LoadBalancer is the ARN of the balancer that signs who has logged in.
	LoadBalancer string `env:"WEB_OIDC_LOAD_BALANCER"`
	// Provider is the origin to which the balancer sends people to log in.
	Provider string `env:"WEB_OIDC_PROVIDER"`
}

// Recommendations says where the servers find recommendations, and what the shop that they show
// puts its events into.
type Recommendations struct {
	Table           string `env:"RECOMMENDATIONS_TABLE,notEmpty" help:"the name of the table that the shop reads"`
	ArtifactsBucket string `env:"ARTIFACTS_BUCKET,notEmpty" help:"the bucket that holds the models"`
	// Stream is told always, and used where there is a Shop.
	Stream string `env:"WEB_STREAM,notEmpty" help:"the name of the event stream"`
	// Shop serves the page that puts events into Stream.
	Shop Switch `env:"WEB_SHOP"`
}

// StoreLogin is the login of who only reads items at the vector store, a second Database beside the
// first.
type StoreLogin struct {
	Host string `env:"VECTORS_DATABASE_HOST"`
	// Port is text, as the first database's is.
	Port       string `env:"VECTORS_DATABASE_PORT"`
	Name       string `env:"VECTORS_DATABASE_NAME"`
	User       string `env:"VECTORS_DATABASE_USER"`
	Auth       Auth   `env:"VECTORS_DATABASE_AUTH"`
	SecretARN  string `env:"VECTORS_DATABASE_SECRET_ARN"`
	TLS        TLS    `env:"VECTORS_DATABASE_TLS"`
	CAFile     string `env:"VECTORS_DATABASE_CA_FILE"`
	Generation string `env:"VECTORS_DATABASE_GENERATION"`
	// Region is the first database's: a server is in one.
	Region string `env:"AWS_REGION"`
}

// AsDatabase is the vector store by this login.
func (s StoreLogin) AsDatabase() Database { return Database(s) }

// API says who may ask what of the JSON API, and how often.
type API struct {
	Access APIAccess `env:"WEB_API,notEmpty" help:"known, random, token or login: who may ask the API"`
	// Origins are the sites whose scripts may ask, with spaces between. Empty: none.
	Origins string `env:"WEB_SHOP_ORIGINS"`
	// SessionRate and TokenRate bound one session, and the holder of one token.
	SessionRate PerMinute `env:"WEB_REQUESTS_PER_SESSION,notEmpty" help:"requests of one session a minute"`
	TokenRate   PerMinute `env:"WEB_REQUESTS_PER_TOKEN,notEmpty" help:"requests by one token a minute"`
}

// APIAccess says who may ask what of the JSON API.
type APIAccess string

const (
	// APIKnown answers everything: only known networks reach the balancer.
	APIKnown APIAccess = "known"
	// APIRandom answers for sessions whose id nobody can guess, and tells no history of a customer
	// and no sales: the world is admitted.
	APIRandom APIAccess = "random"
	// APIToken answers everything to requests that bear a token; the balancer has verified it.
	APIToken APIAccess = "token"
	// APILogin answers everything to who has logged in at the balancer, as the pages do.
	APILogin APIAccess = "login"
)

// PerMinute is a number of requests in one minute, from 1 on.
type PerMinute int

// UnmarshalText reads a decimal number.
func (p *PerMinute) UnmarshalText(text []byte) error {
	number, err := strconv.Atoi(string(text))
	if err != nil || number < 1 {
		return errors.New("a whole number from 1 on is allowed")
	}
	*p = PerMinute(number)
	return nil
}

// MarshalText writes the number that UnmarshalText reads; nothing of zero, which it refuses.
func (p PerMinute) MarshalText() ([]byte, error) {
	if p == 0 {
		return nil, nil
	}
	return strconv.AppendInt(nil, int64(p), 10), nil
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
	problems = append(problems, w.OIDC.check(), w.API.check(w.OIDC.Required()), w.checkStore())
	return errors.Join(problems...)
}

func (w Web) checkStore() error {
	store := w.StoreLogin.AsDatabase()
	if w.Database.Auth == IAM {
		store.Region = cmp.Or(store.Region, "told with the first database")
	}
	return prefixed("VECTORS_", store.Check())
}

func (a API) check(login bool) error {
	var problems []error
	problem := func(format string, arguments ...any) {
		problems = append(problems, fmt.Errorf(format, arguments...))
	}
	switch a.Access {
	case "", APIKnown, APIRandom, APIToken:
	case APILogin:
		if !login {
			problem("WEB_API is %q: there is no login; set WEB_OIDC_*, or another access", a.Access)
		}
	default:
		problem("WEB_API is %q: %s, %s, %s and %s are allowed", a.Access, APIKnown, APIRandom, APIToken, APILogin)
	}
	for _, origin := range strings.Fields(a.Origins) {
		if !isSentOrigin(origin) {
			problem("WEB_SHOP_ORIGINS has %q: origins as browsers send them, such as https://shop.example.com, are"+
				" allowed, with spaces between them", origin)
		}
	}
	return errors.Join(problems...)
}

// isSentOrigin says whether a browser can send a text as Origin: it names one site, in small
// letters, and no port that its scheme has anyway.
func isSentOrigin(text string) bool {
	return isOrigin(text) && text == strings.ToLower(text) && !strings.Contains(text, "*") &&
		!(strings.HasPrefix(text, "https:") && strings.HasSuffix(text, ":443")) &&
		!(strings.HasPrefix(text, "http:") && strings.HasSuffix(text, ":80"))
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
