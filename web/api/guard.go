package api

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"time"

	"diecast/internal/activity"
	"diecast/internal/environment"
	"diecast/web/guest"
)

// authenticate is nil where the request may go on: a token is verified by the balancer, and here it
// is only asked whether there is one, should the request not have come that way.
func (a *API) authenticate(w http.ResponseWriter, r *http.Request) *problem {
	switch a.options.Access {
	case environment.APIToken:
		if _, borne := bearer(r); !borne {
			w.Header().Set("WWW-Authenticate", "Bearer")
			return &problem{Status: http.StatusUnauthorized, Reason: "token_required",
				Detail: "A token is needed: Authorization: Bearer <token>."}
		}
	case environment.APILogin:
		if err := a.options.Login.Check(r); err != nil {
			a.refusals.Do(func() {
				a.options.Logger.Warn("a request to the API without a valid login", "reason", err.Error())
			})
			w.Header().Set("WWW-Authenticate", `Login realm="load balancer"`)
			return &problem{Status: http.StatusUnauthorized, Reason: "login_required",
				Detail: "The API is read through the load balancer, by who has logged in there."}
		}
	}
	return nil
}

// bearer is a request's only token.
func bearer(r *http.Request) (token string, borne bool) {
	all := r.Header.Values("Authorization")
	if len(all) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(all[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// withhold hides from the world what is not for it: sales, customers, and sessions whose id could
// be guessed. No store is asked, so that the answer tells nothing of what there is.
func (a *API) withhold(r *http.Request, route *route) *problem {
	if a.options.Access != environment.APIRandom {
		return nil
	}
	hidden := func(detail string) *problem {
		return &problem{Status: http.StatusNotFound, Reason: "not_served", Detail: detail +
			" This address is open to the whole internet, and nobody has to log in."}
	}
	switch {
	case route.sales:
		return hidden("Sales are not served here.")
	case slices.Contains(route.headers, customerHeader) && len(r.Header.Values(customerHeader)) > 0:
		return hidden("Customers are not served here.")
	}
	if slices.Contains(route.headers, sessionHeader) {
		for _, session := range r.Header.Values(sessionHeader) {
			if !guest.Unguessable(session) {
				return hidden("Only sessions whose id is a random UUID (version 4) in small letters are served here.")
			}
		}
	}
	return nil
}

// limit is how long to wait for the next request; 0 where this one may go on. With tokens each
// counts for itself; else sessions do, and the address of who names none. Where the world is
// admitted an address counts in any case: a session costs nothing there.
func (a *API) limit(r *http.Request, route *route) time.Duration {
	now := a.options.Now()
	if a.options.Access == environment.APIToken {
		token, _ := bearer(r)
		sum := sha256.Sum256([]byte(token)) // no token lies about in memory
		return a.tokens.Take(string(sum[:]), now)
	}
	session := ""
	if route != nil && slices.Contains(route.headers, sessionHeader) {
		if all := r.Header.Values(sessionHeader); len(all) == 1 && activity.CheckSessionID(all[0]) == nil {
			session = all[0]
		}
	}
	open := a.options.Access == environment.APIRandom
	if session == "" || open {
		if wait := a.addresses.Take(guest.Address(r), now); wait > 0 {
			return wait
		}
	}
	if session == "" || open && !guest.Unguessable(session) {
		return 0
	}
	return a.sessions.Take(session, now)
}

const (
	exposed = "ETag, Link, Retry-After"
	// preflightAge is for how many seconds a browser need not ask again.
	preflightAge = "600"
)

// allowOrigin lets a page of one of the shop's sites read the answer. Others are told nothing, and
// their browsers keep the answer from them.
func (a *API) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) != 1 || !slices.Contains(a.options.Origins, origins[0]) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origins[0])
	w.Header().Set("Access-Control-Expose-Headers", exposed)
	return true
}

// preflight is a browser's question before it lets a page's script ask. It bears neither token nor
// login.
func (a *API) preflight(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", allowed)
	w.Header().Set("Cache-Control", "no-store")
	if a.allowOrigin(w, r) {
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD")
		w.Header().Set("Access-Control-Allow-Headers", strings.Join([]string{"Authorization", "If-None-Match",
			sessionHeader, customerHeader, eventHeader, eventTimeHeader}, ", "))
		w.Header().Set("Access-Control-Max-Age", preflightAge)
	}
	w.WriteHeader(http.StatusNoContent)
}
