package balancer

import (
	"net"
	"net/http"
	"net/url"

	"diecast/internal/local/admission"
)

// tokenParameter is the query's parameter that people's first request has.
const tokenParameter = "token"

// admitted lets in who knows the token, as a notebook does: every user of this machine, and every
// page in a browser, reaches the port. People open an address with the token in its query; they get
// a cookie for it, and the address without. Programs send it as the password of Basic
// authentication. The servers behind see nothing of it.
//
// Cookies know no ports, so that its name has the balancer's: other servers on this machine get it,
// too, when the browser that has it opens their pages.
func (b *Balancer) admitted(next http.Handler) http.Handler {
	token := b.options.Token
	if token == "" {
		return next
	}
	_, port, _ := net.SplitHostPort(b.Address()) // always host:port on TCP
	name := "diecast-" + port
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := strangerTo(r); why != "" {
			refuse(w, http.StatusForbidden, why)
			return
		}
		query, reads := r.URL.Query(), r.Method == http.MethodGet || r.Method == http.MethodHead
		if reads && admission.Same(query.Get(tokenParameter), token) {
			http.SetCookie(w, &http.Cookie{
				Name: name, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
				Secure: r.TLS != nil,
			})
			query.Del(tokenParameter)
			// A path of two slashes would lead to another host.
			to := url.URL{Path: "/" + trimSlashes(r.URL.Path), RawQuery: query.Encode()}
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Referrer-Policy", "no-referrer")
			http.Redirect(w, r, to.String(), http.StatusSeeOther)
			return
		}
		inner := r.Clone(r.Context())
		knows := false
		if _, password, ok := r.BasicAuth(); ok && admission.Same(password, token) {
			knows = true
			inner.Header.Del("Authorization")
		}
		inner.Header.Del("Cookie")
		for _, cookie := range r.Cookies() {
			if cookie.Name == name {
				knows = knows || admission.Same(cookie.Value, token)
				continue
			}
			inner.AddCookie(cookie)
		}
		if !knows {
			refuse(w, http.StatusForbidden, "open the address that `diecast local up` printed, which has a "+
				"token: it is the output PageAddress in the run's outputs.json")
			return
		}
		next.ServeHTTP(w, inner)
	})
}

// strangerTo is admission.Stranger, but for the pages that the balancer itself serves.
func strangerTo(r *http.Request) string {
	own := "http://" + r.Host
	if r.TLS != nil {
		own = "https://" + r.Host
	}
	if origins := r.Header.Values("Origin"); len(origins) == 1 && origins[0] == own {
		without := r.Clone(r.Context())
		without.Header.Del("Origin")
		return admission.Stranger(without)
	}
	return admission.Stranger(r)
}

func trimSlashes(path string) string {
	for len(path) > 0 && (path[0] == '/' || path[0] == '\\') {
		path = path[1:]
	}
	return path
}
