package environment

import "errors"

// Web is the environment of web: the source database by its reader's login, and how the pages are
// served.
type Web struct {
	Database
	// ListenPort is where requests come in.
	ListenPort string `env:"WEB_PORT,notEmpty" help:"the port to listen on"`
	Sales      Sales  `env:"WEB_SALES"`
	// Refresh is how often figures are asked of the database.
	Refresh Seconds `env:"WEB_REFRESH_SECONDS,notEmpty" help:"how often figures are asked of the database"`
	// Drain is how long requests may take to end after SIGTERM.
	Drain Seconds `env:"WEB_DRAIN_SECONDS,notEmpty" help:"how long requests may take to end"`
	// HTTPS is "true" where clients reach the balancer by HTTPS.
	HTTPS string `env:"WEB_TLS"`
	// FrameAncestors are the origins that may embed pages, with spaces between.
	FrameAncestors string `env:"WEB_FRAME_ANCESTORS"`
	// OIDCIssuer, OIDCClientID and OIDCLoadBalancer are by whom, for whom and where people log in.
	OIDCIssuer       string `env:"WEB_OIDC_ISSUER"`
	OIDCClientID     string `env:"WEB_OIDC_CLIENT_ID"`
	OIDCLoadBalancer string `env:"WEB_OIDC_LOAD_BALANCER"`
}

// Sales says whether pages with sales are served.
type Sales string

// Values of WEB_SALES.
const (
	Served   Sales = "served"
	Withheld Sales = "withheld"
)

// Check names everything with which no page can be served.
func (w Web) Check() error {
	problems := []error{w.Database.Check()}
	if w.Sales != Served && w.Sales != Withheld {
		problems = append(problems, errors.New("WEB_SALES must be served or withheld"))
	}
	return errors.Join(problems...)
}
