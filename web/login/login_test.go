package login

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	balancer = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188"
	issuer   = "https://login.example.com"
	client   = "diecast"
	kid      = "f0b1c2d3-0000-4000-8000-000000000001"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// signer is a load balancer that has logged somebody in.
type signer struct {
	key    *ecdsa.PrivateKey
	header map[string]any
	claims map[string]any
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &signer{key: key,
		header: map[string]any{"typ": "JWT", "kid": kid, "alg": "ES256", "iss": issuer, "client": client,
			"signer": balancer, "exp": noon.Add(time.Minute).Unix()},
		claims: map[string]any{"sub": "1", "email": "a@example.com", "iss": issuer,
			"exp": noon.Add(time.Minute).Unix()}}
}

// token as the balancer writes it: base64 with padding, and the padding signed.
func (s *signer) token(t *testing.T) string {
	t.Helper()
	part := func(content map[string]any) string {
		text, err := json.Marshal(content)
		require.NoError(t, err)
		return base64.URLEncoding.EncodeToString(text)
	}
	signed := part(s.header) + "." + part(s.claims)
	signature, err := jwt.SigningMethodES256.Sign(signed, s.key)
	require.NoError(t, err)
	return signed + "." + base64.URLEncoding.EncodeToString(signature)
}

// keys serves a balancer's public keys and counts how often it is asked.
func keys(t *testing.T, of *ecdsa.PrivateKey, asked *atomic.Int64) string {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(&of.PublicKey)
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path != "/"+kid {
			http.NotFound(w, r)
			return
		}
		_ = pem.Encode(w, &pem.Block{Type: "PUBLIC KEY", Bytes: public})
	}))
	t.Cleanup(server.Close)
	return server.URL + "/"
}

func verifier(t *testing.T, address string) *Verifier {
	t.Helper()
	made, err := New(Options{Issuer: issuer, ClientID: client, LoadBalancer: balancer, Keys: address,
		Now: func() time.Time { return noon }})
	require.NoError(t, err)
	return made
}

func request(tokens ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/sales", nil)
	for _, token := range tokens {
		r.Header.Add(header, token)
	}
	return r
}

func TestALoginOfTheBalancerIsAccepted(t *testing.T) {
	var asked atomic.Int64
	s := newSigner(t)
	v := verifier(t, keys(t, s.key, &asked))
	token := s.token(t)
	assert.Contains(t, token, "=", "it is padded")
	for range 3 {
		require.NoError(t, v.Check(request(token)))
	}
	assert.EqualValues(t, 1, asked.Load(), "a key is fetched once")
}

func TestALoginWithoutAnExpiryAmongItsClaimsIsHeldToThatOfItsHeader(t *testing.T) {
	var asked atomic.Int64
	s := newSigner(t)
	delete(s.claims, "exp")
	v := verifier(t, keys(t, s.key, &asked))
	require.NoError(t, v.Check(request(s.token(t))))
	s.header["exp"] = noon.Add(-time.Minute).Unix()
	require.ErrorIs(t, v.Check(request(s.token(t))), jwt.ErrTokenExpired)
}

func TestOtherLoginsAreRefused(t *testing.T) {
	var asked atomic.Int64
	honest := newSigner(t)
	address := keys(t, honest.key, &asked)
	for name, c := range map[string]struct {
		change  func(*signer)
		message string
	}{
		"another balancer": {func(s *signer) { s.header["signer"] = balancer + "x" }, "signer of the login"},
		"no signer":        {func(s *signer) { delete(s.header, "signer") }, "signer of the login"},
		"another issuer":   {func(s *signer) { s.header["iss"] = "https://evil.example.com" }, "iss of the login"},
		"another client":   {func(s *signer) { s.header["client"] = "other" }, "client of the login"},
		"expired":          {func(s *signer) { s.header["exp"] = noon.Add(-time.Minute).Unix() }, "expired"},
		"expired claims":   {func(s *signer) { s.claims["exp"] = noon.Add(-time.Minute).Unix() }, "expired"},
		"no expiry":        {func(s *signer) { delete(s.header, "exp") }, "exp of the login is missing"},
		"expiry in words":  {func(s *signer) { s.header["exp"] = "never" }, "exp of the login is missing"},
		"no algorithm":     {func(s *signer) { s.header["alg"] = "none" }, "signing method none is invalid"},
		"shared secret":    {func(s *signer) { s.header["alg"] = "HS256" }, "signing method HS256 is invalid"},
		"another key":      {func(s *signer) { s.key = newSigner(t).key }, "signature is invalid"},
		"unknown key": {func(s *signer) { s.header["kid"] = strings.Replace(kid, "f0", "f1", 1) },
			"fetch the load balancer's key"},
		"a path for a key": {func(s *signer) { s.header["kid"] = "../" + kid }, "a UUID is allowed"},
		"no key":           {func(s *signer) { delete(s.header, "kid") }, "a UUID is allowed"},
		"a number for key": {func(s *signer) { s.header["kid"] = 7 }, "a UUID is allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSigner(t)
			s.key = honest.key
			c.change(s)
			require.ErrorContains(t, verifier(t, address).Check(request(s.token(t))), c.message)
		})
	}
}

func TestAClaimThatWasChangedAfterSigningIsRefused(t *testing.T) {
	var asked atomic.Int64
	s := newSigner(t)
	v := verifier(t, keys(t, s.key, &asked))
	parts := strings.Split(s.token(t), ".")
	parts[1] = base64.URLEncoding.EncodeToString([]byte(`{"sub":"admin"}`))
	require.ErrorContains(t, v.Check(request(strings.Join(parts, "."))), "signature is invalid")
}

func TestRequestsWithoutOneLoginAreRefused(t *testing.T) {
	var asked atomic.Int64
	s := newSigner(t)
	v := verifier(t, keys(t, s.key, &asked))
	for _, r := range []*http.Request{request(), request(""), request("x"), request(s.token(t), s.token(t)),
		request(strings.Repeat("a", longestToken+1))} {
		require.Error(t, v.Check(r))
	}
	assert.Zero(t, asked.Load(), "no key is fetched for them")
}

// A login that is signed well is refused where it is longer than a balancer writes it.
func TestALoginIsAsLongAsABalancerWritesIt(t *testing.T) {
	var asked atomic.Int64
	s := newSigner(t)
	v := verifier(t, keys(t, s.key, &asked))
	for size, accepted := range map[int]bool{8 << 10: true, 12 << 10: false} {
		s.claims["profile"] = strings.Repeat("a", size) // base64 adds a third
		token := s.token(t)
		assert.Equal(t, accepted, len(token) <= longestToken, "the example is one")
		if err := v.Check(request(token)); accepted {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, "too long")
		}
	}
}

// Keys are kept, and not without bound: whoever could name many would fill the memory.
func TestKeysAreBounded(t *testing.T) {
	var asked atomic.Int64
	s := newSigner(t)
	public, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_ = pem.Encode(w, &pem.Block{Type: "PUBLIC KEY", Bytes: public})
	}))
	t.Cleanup(server.Close)
	v := verifier(t, server.URL+"/")
	for range 2 * mostKeys {
		s.header["kid"] = uuid.NewString()
		token := s.token(t)
		require.NoError(t, v.Check(request(token)))
		require.NoError(t, v.Check(request(token)), "it is kept")
		assert.LessOrEqual(t, len(v.keys), mostKeys)
	}
	assert.EqualValues(t, 2*mostKeys, asked.Load())
}

func TestManyRequestsWaitForOneKey(t *testing.T) {
	var asked atomic.Int64
	s := newSigner(t)
	v := verifier(t, keys(t, s.key, &asked))
	token := s.token(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { assert.NoError(t, v.Check(request(token))) })
	}
	all.Wait()
	assert.EqualValues(t, 1, asked.Load())
}

func TestKeysAreThoseOfTheBalancersRegion(t *testing.T) {
	v, err := New(Options{LoadBalancer: balancer})
	require.NoError(t, err)
	assert.Equal(t, "https://public-keys.auth.elb.eu-west-1.amazonaws.com/", v.options.Keys)
	_, err = New(Options{LoadBalancer: "web"})
	require.ErrorContains(t, err, `WEB_OIDC_LOAD_BALANCER is "web"`)
}
