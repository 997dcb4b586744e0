// Package login verifies the header in which an Application Load Balancer says who has logged in. A
// request that did not pass the balancer's login has none, or one that somebody else signed.
//
// Contract: "Authenticate users using an Application Load Balancer", Elastic Load Balancing's
// guide: x-amzn-oidc-data is a JSON web token, ES256, its parts in base64 with padding. Its header,
// not its claims, has the balancer's ARN (signer), iss, client and exp. The key of a kid is at
// https://public-keys.auth.elb.<region>.amazonaws.com/<kid>.
package login

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"
)

const (
	header       = "X-Amzn-Oidc-Data"
	keyTimeout   = 5 * time.Second
	longestKey   = 4 << 10
	longestToken = 12 << 10
	// mostKeys that are kept: the balancer changes its key now and then.
	mostKeys = 16
	// leeway for clocks that do not agree.
	leeway = 10 * time.Second
)

// MaxHeader is what line and headers of a request with a login may have together, in bytes: what a
// load balancer takes (its user guide, "Quotas", 64 K). Beside the header with the claims there are
// one with the provider's access token and the balancer's cookies of up to 16 K.
const MaxHeader = 64 << 10

// Options of a verifier. All but Client and Now are needed.
type Options struct {
	// Issuer and ClientID are those of the listener's OIDC action.
	Issuer, ClientID string
	// LoadBalancer is the balancer's ARN.
	LoadBalancer string
	// Keys is the address under which keys lie. Default: that of the balancer's region.
	Keys string
	// Client fetches keys. Default: one with a time-out.
	Client *http.Client
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Verifier checks requests. Its methods may be used concurrently.
type Verifier struct {
	options Options
	parser  *jwt.Parser
	fetch   singleflight.Group
	lock    sync.Mutex
	keys    map[string]*ecdsa.PublicKey
}

// New verifier. The error tells that the balancer's ARN has no region.
func New(options Options) (*Verifier, error) {
	if options.Keys == "" {
		parts := strings.Split(options.LoadBalancer, ":")
		if len(parts) < 6 || parts[0] != "arn" || parts[3] == "" {
			return nil, fmt.Errorf("WEB_OIDC_LOAD_BALANCER is %q: the ARN of a load balancer is allowed",
				options.LoadBalancer)
		}
		options.Keys = "https://public-keys.auth.elb." + parts[3] + ".amazonaws.com/"
	}
	if options.Client == nil {
		options.Client = &http.Client{Timeout: keyTimeout}
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Verifier{
		options: options,
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}), jwt.WithPaddingAllowed(),
			jwt.WithTimeFunc(options.Now), jwt.WithLeeway(leeway)),
		keys: map[string]*ecdsa.PublicKey{},
	}, nil
}

// Check is nil where the balancer says that somebody has logged in, and how it does not otherwise.
func (v *Verifier) Check(r *http.Request) error {
	tokens := r.Header.Values(header)
	if len(tokens) != 1 || tokens[0] == "" {
		return fmt.Errorf("there are %d headers %s: one is allowed", len(tokens), header)
	}
	if len(tokens[0]) > longestToken {
		return fmt.Errorf("the header %s is too long", header)
	}
	_, err := v.parser.Parse(tokens[0], func(token *jwt.Token) (any, error) {
		// What is wrong in plain sight does not make this server fetch a key.
		if err := v.checkHeader(token.Header); err != nil {
			return nil, err
		}
		return v.key(r.Context(), token.Header["kid"])
	})
	return err
}

func (v *Verifier) checkHeader(fields map[string]any) error {
	for _, field := range []struct{ name, want string }{
		{"signer", v.options.LoadBalancer}, {"iss", v.options.Issuer}, {"client", v.options.ClientID},
	} {
		if fields[field.name] != field.want {
			return fmt.Errorf("%s of the login is %.200q, not %q", field.name, fmt.Sprint(fields[field.name]),
				field.want)
		}
	}
	expires, ok := fields["exp"].(float64)
	if !ok {
		return errors.New("exp of the login is missing")
	}
	if end := time.Unix(int64(expires), 0); !v.options.Now().Before(end.Add(leeway)) {
		return fmt.Errorf("the login expired at %s: %w", end.UTC().Format(time.RFC3339), jwt.ErrTokenExpired)
	}
	return nil
}

// key by its id: kept, or fetched once for all who wait for it.
func (v *Verifier) key(ctx context.Context, id any) (*ecdsa.PublicKey, error) {
	text, _ := id.(string)
	parsed, err := uuid.Parse(text)
	if err != nil || parsed.String() != text {
		return nil, fmt.Errorf("kid of the login is %.100q: a UUID is allowed", fmt.Sprint(id))
	}
	if key := v.kept(text); key != nil {
		return key, nil
	}
	// The first who asks may leave; the others still want the key.
	fetched, err, _ := v.fetch.Do(text, func() (any, error) {
		if key := v.kept(text); key != nil {
			return key, nil // another fetched it between the look above and now
		}
		key, err := v.fetchKey(context.WithoutCancel(ctx), text)
		if err == nil {
			v.keep(text, key)
		}
		return key, err
	})
	if err != nil {
		return nil, fmt.Errorf("fetch the load balancer's key %s: %w", text, err)
	}
	return fetched.(*ecdsa.PublicKey), nil
}

func (v *Verifier) kept(id string) *ecdsa.PublicKey {
	v.lock.Lock()
	defer v.lock.Unlock()
	return v.keys[id]
}

func (v *Verifier) keep(id string, key *ecdsa.PublicKey) {
	v.lock.Lock()
	defer v.lock.Unlock()
	if len(v.keys) >= mostKeys {
		clear(v.keys)
	}
	v.keys[id] = key
}

func (v *Verifier) fetchKey(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.options.Keys+id, nil)
	if err != nil {
		return nil, err
	}
	answer, err := v.options.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, longestKey))
	if err != nil {
		return nil, err
	}
	return jwt.ParseECPublicKeyFromPEM(text)
}
