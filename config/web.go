package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"diecast/internal/environment"
	"diecast/internal/quotas"
)

// Web is the load balancer and the group of web servers behind it.
type Web struct {
	// AllowedCIDRs are the clients; empty admits nobody.
	AllowedCIDRs []netip.Prefix
	// CertificateARN turns HTTPS on; empty leaves HTTP.
	CertificateARN             string
	InstanceType               string
	MinInstances, MaxInstances int
	RequestsPerTargetPerMinute int
	SpotAboveMinimum           bool
	WAF                        bool
	RefreshMinutes             int
	FrameAncestors             string
	OIDC                       OIDC
	// Shop serves a page to everybody who is admitted, which writes its events into the stream.
	Shop bool
	// ShopOrigins are the sites whose scripts may ask the API, with one space between.
	ShopOrigins string
	JWT         JWT
	// RequestsPerSessionPerMinute and RequestsPerTokenPerMinute bound what each server answers.
	RequestsPerSessionPerMinute, RequestsPerTokenPerMinute int
}

// JWT is the token that the balancer demands of whoever asks the API. All of it is set, or nothing.
type JWT struct{ Issuer, JWKSEndpoint, Audience string }

// On says whether the API takes requests with a token only.
func (j JWT) On() bool { return j.Issuer != "" }

// OIDC is the login that the balancer asks for. All of it is set, or nothing.
type OIDC struct {
	Issuer, AuthorizationEndpoint, TokenEndpoint, UserInfoEndpoint string
	ClientID                                                       string
	// ClientSecretName is a secret of Secrets Manager that holds nothing but the client's secret.
	ClientSecretName string
}

// Provider is the origin where people log in, that of AuthorizationEndpoint.
func (o OIDC) Provider() string {
	endpoint, err := url.Parse(o.AuthorizationEndpoint)
	if err != nil {
		panic(fmt.Sprintf("config: web.oidc.authorizationEndpoint=%q passed its syntax: %v", o.AuthorizationEndpoint,
			err))
	}
	return endpoint.Scheme + "://" + endpoint.Host
}

// On says whether people log in.
func (o OIDC) On() bool { return o.Issuer != "" }

// instanceType is what is known of a type of EC2 instance.
type instanceType struct {
	architecture string // as Go calls it
	memoryMiB    int
}

// instanceTypes are those of the web servers (EC2 user guide, "Instance types").
var instanceTypes = map[string]instanceType{
	"t4g.nano": {"arm64", 512}, "t4g.micro": {"arm64", 1024}, "t4g.small": {"arm64", 2048},
	"t4g.medium": {"arm64", 4096}, "c7g.medium": {"arm64", 2048}, "c7g.large": {"arm64", 4096},
	"m7g.medium": {"arm64", 4096}, "m7g.large": {"arm64", 8192},
	"t3.nano": {"amd64", 512}, "t3.micro": {"amd64", 1024}, "t3.small": {"amd64", 2048},
	"t3.medium": {"amd64", 4096}, "c7i.large": {"amd64", 4096}, "m7i.large": {"amd64", 8192},
}

// Architecture is that of the instance type, as Go calls it: arm64 or amd64.
func (w Web) Architecture() string { return instanceTypes[w.InstanceType].architecture }

// MemoryMiB is that of the instance type.
func (w Web) MemoryMiB() int { return instanceTypes[w.InstanceType].memoryMiB }

var (
	certificateSyntax = regexp.MustCompile(`^$|^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[0-9a-f-]{36}$`)
	httpsSyntax       = regexp.MustCompile(`^$|^https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?$`)
	clientSyntax      = regexp.MustCompile(`^$|^[A-Za-z0-9._:/@-]{1,255}$`)
	secretSyntax      = regexp.MustCompile(`^$|^[A-Za-z0-9/_+=.@-]{1,512}$`)
	audienceSyntax    = regexp.MustCompile(`^$|^[A-Za-z0-9._:/@+=-]{1,256}$`)
	sitesSyntax       = regexp.MustCompile(
		`^$|^https://[a-z0-9.-]+(:\d{1,5})?( https://[a-z0-9.-]+(:\d{1,5})?)*$`)
	ancestorsSyntax = regexp.MustCompile(
		`^$|^https://(\*\.)?[A-Za-z0-9.-]+(:\d{1,5})?( https://(\*\.)?[A-Za-z0-9.-]+(:\d{1,5})?)*$`)
)

// https is an address that the balancer calls, or to which it sends people.
func https(name string, field func(*Config) *string, meaning string) Key {
	return addresses(name, httpsSyntax, "an address that begins with https://, without a query, or empty", field,
		meaning)
}

// addresses are URLs with one space between, whose ports a syntax cannot bound.
func addresses(name string, syntax *regexp.Regexp, allowed string, field func(*Config) *string, meaning string) Key {
	return newKey(name, allowed, every(""), field, meaning, func(s string) (string, error) {
		return s, addressProblem(s, syntax)
	})
}

func addressProblem(all string, syntax *regexp.Regexp) error {
	if !syntax.MatchString(all) {
		return errNotAllowed
	}
	for _, address := range strings.Fields(all) {
		parsed, err := url.Parse(address)
		if err != nil {
			return errNotAllowed
		}
		if port, err := strconv.Atoi(cmp.Or(parsed.Port(), "443")); err != nil || port < 1 || port > 65535 {
			return fmt.Errorf("%s is no port", parsed.Port())
		}
	}
	return nil
}

// sites are origins as browsers send them, which are compared letter by letter.
func sites(name string, field func(*Config) *string, meaning string) Key {
	const allowed = "origins in small letters such as https://shop.example.com with one space between, or empty"
	return newKey(name, allowed, every(""), field, meaning, func(s string) (string, error) {
		if err := addressProblem(s, sitesSyntax); err != nil {
			return "", err
		}
		for _, site := range strings.Fields(s) {
			if without, is := strings.CutSuffix(site, ":443"); is {
				return "", fmt.Errorf("browsers send %s without the port", without)
			}
		}
		return s, nil
	})
}

var webKeys = []Key{
	cidrs("web.allowedCidrs", func(c *Config) *[]netip.Prefix { return &c.Web.AllowedCIDRs },
		"The clients that the load balancer admits; empty admits nobody. With more than a /8 of public addresses "+
			"it counts as the world: pages on sales and customers are withheld unless web.oidc.* is set, and the API "+
			"answers for sessions with a random id only unless web.oidc.* or web.jwt.* is."),
	text("web.certificateArn", certificateSyntax, "the ARN of an ACM certificate, or empty", every(""),
		func(c *Config) *string { return &c.Web.CertificateARN },
		"The certificate with which the balancer speaks HTTPS on 443 and redirects from 80; "+
			"empty leaves plain HTTP on 80."),
	choice("web.instanceType", slices.Sorted(maps.Keys(instanceTypes)),
		values[string]{lean: "t4g.nano", standard: "t4g.micro", prod: "t4g.small", course: "t3.micro"},
		func(c *Config) *string { return &c.Web.InstanceType },
		"The web servers' size; the program is built for its architecture."),
	integer("web.minInstances", 2, 100, every(2), func(c *Config) *int { return &c.Web.MinInstances },
		"Web servers that run at least, spread over both zones."),
	integer("web.maxInstances", 2, 200, values[int]{lean: 4, standard: 4, prod: 8, course: 4},
		func(c *Config) *int { return &c.Web.MaxInstances },
		"Web servers that run at most; it bounds what a rush costs."),
	integer("web.requestsPerTargetPerMinute", 1, 1_000_000,
		values[int]{lean: 3000, standard: 6000, prod: 12000, course: 60},
		func(c *Config) *int { return &c.Web.RequestsPerTargetPerMinute },
		"Requests that each server takes in one minute before another is added; docs/web.md shows the arithmetic."),
	boolean("web.spotAboveMinimum", every(false), func(c *Config) *bool { return &c.Web.SpotAboveMinimum },
		"Takes the servers above web.minInstances from Spot, which AWS may take back with two minutes' notice."),
	boolean("web.waf", values[bool]{lean: false, standard: false, prod: true, course: false},
		func(c *Config) *bool { return &c.Web.WAF },
		"Puts AWS WAF before the balancer: common rules and a limit of requests for each address; 7 USD a month "+
			"and 0.60 USD a million requests."),
	integer("web.refreshMinutes", 1, 50, every(5), func(c *Config) *int { return &c.Web.RefreshMinutes },
		"How often the servers ask the source database for the figures of their pages, which call figures of more "+
			"than an hour old."),
	addresses("web.frameAncestors", ancestorsSyntax, "origins such as https://intranet.example.com with one space "+
		"between, or empty", func(c *Config) *string { return &c.Web.FrameAncestors },
		"Sites that may embed the pages; empty allows none."),
	https("web.oidc.issuer", func(c *Config) *string { return &c.Web.OIDC.Issuer },
		"The OpenID Connect provider with which the balancer logs people in before any page; "+
			"needs web.certificateArn and NAT."),
	https("web.oidc.authorizationEndpoint", func(c *Config) *string { return &c.Web.OIDC.AuthorizationEndpoint },
		"The provider's authorization endpoint."),
	https("web.oidc.tokenEndpoint", func(c *Config) *string { return &c.Web.OIDC.TokenEndpoint },
		"The provider's token endpoint, which the balancer must reach over the internet."),
	https("web.oidc.userInfoEndpoint", func(c *Config) *string { return &c.Web.OIDC.UserInfoEndpoint },
		"The provider's user info endpoint, which the balancer must reach over the internet."),
	text("web.oidc.clientId", clientSyntax, "up to 255 letters, digits and ._:/@-, or empty", every(""),
		func(c *Config) *string { return &c.Web.OIDC.ClientID }, "The client's id at the provider."),
	text("web.oidc.clientSecretName", secretSyntax, "the name of a secret in Secrets Manager, or empty", every(""),
		func(c *Config) *string { return &c.Web.OIDC.ClientSecretName },
		"The secret that holds the client's secret, as its whole text; the template only refers to it."),
	boolean("web.shop", every(false), func(c *Config) *bool { return &c.Web.Shop },
		"Serves a small shop to everybody who is admitted, whose clicks become events of the stream; needs NAT."),
	sites("web.shopOrigins", func(c *Config) *string { return &c.Web.ShopOrigins },
		"Sites whose scripts may ask the API from a browser; empty allows none. A backend needs no origin."),
	https("web.jwt.issuer", func(c *Config) *string { return &c.Web.JWT.Issuer },
		"Who issues the tokens (RS256) without which the balancer lets nobody ask the API; needs web.certificateArn."),
	https("web.jwt.jwksEndpoint", func(c *Config) *string { return &c.Web.JWT.JWKSEndpoint },
		"Where the issuer publishes its keys, at most 10, which the balancer fetches over the internet by itself."),
	text("web.jwt.audience", audienceSyntax, "up to 256 letters, digits and ._:/@+=-, or empty", every(""),
		func(c *Config) *string { return &c.Web.JWT.Audience },
		"The one audience (aud) for which a token must have been issued."),
	integer("web.requestsPerSessionPerMinute", 1, 1_000_000, every(120),
		func(c *Config) *int { return &c.Web.RequestsPerSessionPerMinute },
		"Requests of one session that each server answers in one minute; those beyond are told when to come back."),
	integer("web.requestsPerTokenPerMinute", 1, 1_000_000, every(6000),
		func(c *Config) *int { return &c.Web.RequestsPerTokenPerMinute },
		"Requests by one token, as of a shop's backend, that each server answers in one minute."),
}

var webRules = []rule{
	{[]string{"web.minInstances", "web.maxInstances"}, Config.webSizeProblems},
	{[]string{"web.allowedCidrs", "web.certificateArn"}, Config.webClientsProblems},
	{[]string{"web.oidc.issuer", "web.oidc.authorizationEndpoint", "web.oidc.tokenEndpoint",
		"web.oidc.userInfoEndpoint", "web.oidc.clientId", "web.oidc.clientSecretName"}, Config.oidcProblems},
	{[]string{"web.oidc.issuer", "web.certificateArn", "network.nat"}, Config.oidcNeedsProblems},
	{[]string{"web.jwt.issuer", "web.jwt.jwksEndpoint", "web.jwt.audience"}, Config.jwtProblems},
	{[]string{"web.jwt.issuer", "web.certificateArn"}, Config.jwtNeedsProblems},
	{[]string{"web.shop", "network.nat"}, Config.shopProblems},
	{[]string{"web.shopOrigins", "web.oidc.issuer", "web.jwt.issuer"}, Config.shopOriginsProblems},
}

func (c Config) webSizeProblems() []Problem {
	if c.Web.MaxInstances >= c.Web.MinInstances {
		return nil
	}
	return []Problem{{Key: "web.maxInstances", Value: strconv.Itoa(c.Web.MaxInstances),
		Allowed: fmt.Sprintf("must be at least web.minInstances=%d", c.Web.MinInstances)}}
}

// webClientsProblems refuses more clients than the balancer's security group has rules for: each
// range takes one for each listener.
func (c Config) webClientsProblems() []Problem {
	listeners, why := 1, "on port 80"
	if c.Web.CertificateARN != "" {
		listeners, why = 2, "on ports 80 and 443, which web.certificateArn opens,"
	}
	ranges, most := len(c.Web.AllowedCIDRs), quotas.SecurityGroupRules/listeners
	if ranges <= most {
		return nil
	}
	return []Problem{{Key: "web.allowedCidrs", Value: shown(written(c.Web.AllowedCIDRs)),
		Allowed: fmt.Sprintf("must be at most %d ranges %s of the %d rules that a security group takes, got %d; "+
			"join neighbours into larger ranges", most, why, quotas.SecurityGroupRules, ranges)}}
}

// ServersWhileRolling is how many servers there are at most: a roll starts replacements before what
// they replace ends, for half of the servers.
func (w Web) ServersWhileRolling() int { return w.MaxInstances + (w.MaxInstances+1)/2 }

// oidcProblems names what is missing of a login that is partly set.
func (c Config) oidcProblems() []Problem {
	o := c.Web.OIDC
	return allOrNone("web.oidc.*", []part{
		{"web.oidc.issuer", o.Issuer}, {"web.oidc.authorizationEndpoint", o.AuthorizationEndpoint},
		{"web.oidc.tokenEndpoint", o.TokenEndpoint}, {"web.oidc.userInfoEndpoint", o.UserInfoEndpoint},
		{"web.oidc.clientId", o.ClientID}, {"web.oidc.clientSecretName", o.ClientSecretName},
	})
}

// part is one key of several that are set together.
type part struct{ key, value string }

func allOrNone(together string, parts []part) []Problem {
	var problems []Problem
	for _, part := range parts {
		if part.value == "" {
			problems = append(problems, Problem{Key: part.key, Value: "", Allowed: fmt.Sprintf(
				"must be set where another %s key is: the balancer needs all of them", together)})
		}
	}
	if len(problems) == len(parts) {
		return nil
	}
	return problems
}

// longestJWTAddress is Elastic Load Balancing's (API reference, JwtValidationActionConfig).
const longestJWTAddress = 256

func (c Config) jwtProblems() []Problem {
	j := c.Web.JWT
	problems := allOrNone("web.jwt.*", []part{
		{"web.jwt.issuer", j.Issuer}, {"web.jwt.jwksEndpoint", j.JWKSEndpoint}, {"web.jwt.audience", j.Audience},
	})
	for _, address := range []part{{"web.jwt.issuer", j.Issuer}, {"web.jwt.jwksEndpoint", j.JWKSEndpoint}} {
		if len(address.value) > longestJWTAddress {
			problems = append(problems, Problem{Key: address.key, Value: shown(address.value),
				Allowed: fmt.Sprintf("must be at most %d characters long, got %d", longestJWTAddress,
					len(address.value))})
		}
	}
	return problems
}

func (c Config) jwtNeedsProblems() []Problem {
	if !c.Web.JWT.On() || c.Web.CertificateARN != "" {
		return nil
	}
	return []Problem{{Key: "web.jwt.issuer", Value: shown(c.Web.JWT.Issuer),
		Allowed: "must be empty without web.certificateArn: the balancer takes tokens over HTTPS only"}}
}

func (c Config) shopProblems() []Problem {
	if !c.Web.Shop || c.Network.NAT != NATNone {
		return nil
	}
	return []Problem{{Key: "web.shop", Value: "true",
		Allowed: "must be false with network.nat=none: the servers could not reach Kinesis, where the shop's events " +
			"go; set network.nat=instance or gateway"}}
}

func (c Config) oidcNeedsProblems() []Problem {
	if !c.Web.OIDC.On() {
		return nil
	}
	var problems []Problem
	if c.Web.CertificateARN == "" {
		problems = append(problems, Problem{Key: "web.oidc.issuer", Value: shown(c.Web.OIDC.Issuer),
			Allowed: "must be empty without web.certificateArn: the balancer logs people in over HTTPS only"})
	}
	if c.Network.NAT == NATNone {
		problems = append(problems, Problem{Key: "web.oidc.issuer", Value: shown(c.Web.OIDC.Issuer),
			Allowed: "must be empty with network.nat=none: the servers could not fetch the keys that verify who " +
				"logged in; set network.nat=instance or gateway"})
	}
	return problems
}

// shopOriginsProblems refuses sites whose scripts would find a login in their way: a browser asks
// before it sends anything, and shows no login when it asks.
func (c Config) shopOriginsProblems() []Problem {
	if c.Web.ShopOrigins == "" || !c.Web.OIDC.On() || c.Web.JWT.On() {
		return nil
	}
	return []Problem{{Key: "web.shopOrigins", Value: shown(c.Web.ShopOrigins),
		Allowed: "must be empty where web.oidc.* is set and web.jwt.* is not: scripts of other sites cannot log in; " +
			"set web.jwt.*, so that they show a token"}}
}

// aSlashEight is how many addresses a /8 has.
const aSlashEight = 1 << 24

// privateRanges are those of RFC 1918, which the internet does not route.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

// AdmitsWorld says whether the clients are so many that no page may be served for their address
// alone: together more public addresses than a /8 has, however they are cut. Nobody's own network
// is larger (docs/decisions/0031-world.md).
func (w Web) AdmitsWorld() bool {
	addresses := 0
	for _, prefix := range w.AllowedCIDRs {
		private := slices.ContainsFunc(privateRanges, func(r netip.Prefix) bool {
			return r.Bits() <= prefix.Bits() && r.Contains(prefix.Addr())
		})
		if !private {
			addresses += 1 << (32 - prefix.Bits())
		}
	}
	return addresses > aSlashEight
}

// ServesSales says whether sales pages may be served: not to the world, unless it logs in.
func (w Web) ServesSales() bool { return !w.AdmitsWorld() || w.OIDC.On() }

// API says who may ask what of the JSON API. A token counts for more than a login: the balancer
// asks for it in the login's place.
func (w Web) API() environment.APIAccess {
	switch {
	case w.JWT.On():
		return environment.APIToken
	case w.OIDC.On():
		return environment.APILogin
	case w.AdmitsWorld():
		return environment.APIRandom
	}
	return environment.APIKnown
}

// Notices tell what a deployment would be surprised by, one line each, with what to set.
func (c Config) Notices() []string {
	notices := c.authorityNotices()
	if len(c.Web.AllowedCIDRs) == 0 {
		return append(notices, "the load balancer will admit nobody: set web.allowedCidrs to your own addresses, "+
			"as in -c web.allowedCidrs=198.51.100.7/32")
	}
	if !c.Web.ServesSales() {
		notices = append(notices, fmt.Sprintf("web.allowedCidrs=%s admits the world: pages on sales and customers are "+
			"withheld; narrow it, or set web.oidc.* so that people log in", written(c.Web.AllowedCIDRs)))
	}
	if c.Web.API() == environment.APIRandom {
		notices = append(notices, fmt.Sprintf("web.allowedCidrs=%s admits the world: the API answers for sessions "+
			"whose id is random, and tells no customer's history and no sales; narrow it, or set web.jwt.* so that a "+
			"shop's backend shows a token", written(c.Web.AllowedCIDRs)))
	}
	if c.Web.CertificateARN == "" {
		notices = append(notices, "the pages will be served in plain text on port 80: set web.certificateArn to "+
			"serve them over HTTPS")
	}
	return notices
}
