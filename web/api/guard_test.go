package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/environment"
)

// callers are who asks: their headers, beside what a route needs.
var callers = map[string][]string{
	"a session that nobody guesses":      {sessionHeader, unguessed},
	"such a session without a row":       {sessionHeader, another},
	"a session that is guessed":          {sessionHeader, guessable},
	"a customer":                         {customerHeader, "8"},
	"an unknown customer":                {customerHeader, "9"},
	"a customer and a session":           {sessionHeader, unguessed, customerHeader, "8"},
	"nobody":                             {},
	"a page of the shop":                 {sessionHeader, unguessed, "Origin", "https://shop.example.com"},
	"a page of another site":             {sessionHeader, guessable, "Origin", "https://evil.example.com"},
	"a page of the shop, for a customer": {customerHeader, "8", "Origin", "https://shop.example.com"},
}

// asWritten is a path of a route's pattern.
func asWritten(pattern string) string { return strings.Replace(pattern, "{code}", "P1", 1) }

// want is what the rules say a caller gets of a route: a status, and the reason where it is no 200.
func want(access environment.APIAccess, route *route, caller []string, proven bool) (int, string) {
	if (access == environment.APIToken) && !proven {
		return http.StatusUnauthorized, "token_required"
	}
	if access == environment.APILogin && !proven {
		return http.StatusUnauthorized, "login_required"
	}
	named := map[string]string{}
	for i := 0; i < len(caller); i += 2 {
		named[caller[i]] = caller[i+1]
	}
	session, customer := named[sessionHeader], named[customerHeader]
	personal := strings.HasPrefix(route.pattern, "recommendations")
	if access == environment.APIRandom {
		switch {
		case strings.HasPrefix(route.pattern, "sales/"),
			route.pattern == "recommendations" && customer != "",
			personal && session == guessable:
			return http.StatusNotFound, "not_served"
		}
	}
	switch {
	case route.pattern == "recommendations" && (session == "") == (customer == ""),
		route.pattern == "recommendations/wait" && session == "":
		return http.StatusBadRequest, "invalid_request"
	}
	return http.StatusOK, ""
}

// Each access, each route, each caller, with and without what proves that they may.
func TestWhoMayWhat(t *testing.T) {
	for _, access := range []environment.APIAccess{environment.APIKnown, environment.APIRandom, environment.APIToken,
		environment.APILogin} {
		for who, caller := range callers {
			for proof, proven := range map[string]bool{"": false, "token": access == environment.APIToken,
				"wrong scheme": false, "two tokens": false, "login": access == environment.APILogin,
				"wrong login": false} {
				t.Run(fmt.Sprint(access, "/", who, "/", proof), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						mayWhat(t, access, caller, proof, proven)
					})
				})
			}
		}
	}
}

func mayWhat(t *testing.T, access environment.APIAccess, caller []string, proof string, proven bool) {
	f := newFixture(t, func(o *Options) { o.Access = access })
	headers := slices.Clone(caller)
	switch proof {
	case "token":
		headers = append(headers, "Authorization", "Bearer e30.e30.x")
	case "wrong scheme":
		headers = append(headers, "Authorization", "Basic e30")
	case "two tokens":
		headers = append(headers, "Authorization", "Bearer e30", "Authorization", "Bearer e31")
	case "login":
		headers = append(headers, "X-Amzn-Oidc-Data", "valid")
	case "wrong login":
		headers = append(headers, "X-Amzn-Oidc-Data", "forged")
	}
	for _, route := range f.routes {
		asked := headers
		if route.waits { // for an event that is long over
			asked = append(slices.Clone(headers), eventHeader, uuid.Nil.String(), eventTimeHeader,
				"2000-01-01T00:00:00Z")
		}
		before := f.table.asked
		answer := get(t, f, asWritten(route.pattern), asked...)
		status, reason := want(access, route, caller, proven)
		assert.Equal(t, status, answer.StatusCode, "%s: %s", route.pattern, answer.text)
		if status != http.StatusOK {
			assert.Equal(t, reason, answer.reason(t), route.pattern)
			assert.Equal(t, before, f.table.asked, "%s: no store is asked", route.pattern)
		}
		challenge := map[string]string{"token_required": "Bearer",
			"login_required": `Login realm="load balancer"`}[reason]
		assert.Equal(t, challenge, answer.Header.Get("WWW-Authenticate"))
		ofShop := slices.Contains(caller, "https://shop.example.com")
		origin := map[bool]string{true: "https://shop.example.com"}[ofShop]
		assert.Equal(t, origin, answer.Header.Get("Access-Control-Allow-Origin"), route.pattern)
		if access == environment.APIRandom {
			assert.NotContains(t, answer.text, "SECRET2", "%s: somebody's history", route.pattern)
			assert.NotContains(t, answer.text, "Coupé", "%s: what was sold", route.pattern)
		}
	}
	assert.NotContains(t, f.log.String(), guessable)
	assert.NotContains(t, f.log.String(), unguessed)
}

// Where the world is admitted, whatever an anonymous caller tries leads to no row but those of
// sessions that nobody guesses, and what is refused looks the same whether or not there is a row.
func TestTheWorldReadsNobodysHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Access = environment.APIRandom })
		old := "6f1c9b7e-2d4a-1c8e-9b13-5a7d2e8f4c60" // a UUID of version 1: of a clock
		foreign := "6f1c9b7e-2d4a-4c8e-cb13-5a7d2e8f4c60"
		for i, session := range []string{old, foreign, strings.ToUpper(unguessed), "{" + unguessed + "}",
			strings.ReplaceAll(unguessed, "-", ""), "urn:uuid:" + unguessed, unguessed + " ", uuid.Nil.String(),
			uuid.Max.String(), "1", "admin"} {
			f.table.put(record(t, strings.TrimSpace(session), 8, 2, record(t, guessable, 8, i, noon).Event.Time))
			for _, below := range []string{"recommendations", "recommendations/wait", "recommendations?x=1"} {
				before := f.table.asked
				answer := get(t, f, below, sessionHeader, session, eventHeader, another)
				assert.Equal(t, http.StatusNotFound, answer.StatusCode, session)
				absent := get(t, f, below, sessionHeader, "absent", eventHeader, another)
				assert.Equal(t, absent.text, answer.text)
				assert.Equal(t, absent.Header, answer.Header)
				assert.Equal(t, before, f.table.asked)
			}
		}
		for _, headers := range [][]string{
			{sessionHeader, unguessed, sessionHeader, guessable}, {sessionHeader, guessable, sessionHeader, unguessed},
			{sessionHeader, unguessed, customerHeader, "8"}, {customerHeader, "8"}, {customerHeader, "x"},
			{customerHeader, ""}, {customerHeader, "7", customerHeader, "8"},
		} {
			answer := get(t, f, "recommendations", headers...)
			assert.Equal(t, http.StatusNotFound, answer.StatusCode, headers)
			assert.NotContains(t, answer.text, "SECRET")
		}
	})
}

// The same by what only a connection can bring: how lines are folded, spelt and sent twice, and
// other methods, versions and addresses.
func TestTheWorldReadsNobodysHistoryByAnyLetters(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Access = environment.APIRandom })
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	const of, end = "GET /api/v1/recommendations HTTP/1.1\r\nHost: web\r\n", "\r\n\r\n"
	address := func(below string) string { return strings.Replace(of, "/recommendations", below, 1) }
	customer := sessionHeader + ": " + another + "\r\n" + customerHeader + ": 8" + end
	for request, status := range map[string]int{
		of + sessionHeader + ": " + unguessed + "\r\n session-1" + end:    http.StatusNotFound,
		of + sessionHeader + " : session-1" + end:                         http.StatusBadRequest,
		of + "diecast_session: session-1" + end:                           http.StatusBadRequest,
		of + "DIECAST-SESSION: session-1" + end:                           http.StatusNotFound,
		of + "dIECAST-cUSTOMER: 8" + end:                                  http.StatusNotFound,
		of + "Range: bytes=0-3\r\n" + sessionHeader + ": session-1" + end: http.StatusNotFound,
		of + "If-None-Match: *\r\n" + sessionHeader + ": session-1" + end: http.StatusNotFound,
		of + "If-None-Match: *\r\n" + customer:                            http.StatusNotFound,
		of + "X-HTTP-Method-Override: GET\r\n" + customer:                 http.StatusNotFound,
		of + "X-Original-URL: /api/v1/sales/totals\r\n" + customer:        http.StatusNotFound,
		of + "Transfer-Encoding: chunked\r\nTrailer: " + customerHeader + "\r\n" + sessionHeader + ": " + another +
			end + "0\r\n" + customerHeader + ": 8" + end: http.StatusOK, // a stranger's
		strings.Replace(of, "GET", "HEAD", 1) + customer:                           http.StatusNotFound,
		strings.Replace(of, "GET", "OPTIONS", 1) + customer:                        http.StatusNoContent,
		strings.Replace(of, "GET", "POST", 1) + "Content-Length: 0\r\n" + customer: http.StatusMethodNotAllowed,
		strings.Replace(of, "GET", "get", 1) + customer:                            http.StatusMethodNotAllowed,
		strings.Replace(of, "1.1", "1.0", 1) + customer:                            http.StatusNotFound,
		strings.Replace(of, "/api", "http://web/api", 1) + customer:                http.StatusNotFound,
		address("/%72ecommendations") + customer:                                   http.StatusNotFound,
		address("/recommendations;x") + customer:                                   http.StatusNotFound,
		address("//recommendations") + customer:                                    http.StatusNotFound,
		address("/./recommendations") + customer:                                   http.StatusNotFound,
		address("/recommendations%2Fwait") + customer:                              http.StatusNotFound,
		address("/sales/totals") + "Accept: */*" + end:                             http.StatusNotFound,
		address("/sales%2Ftotals") + "Accept: */*" + end:                           http.StatusNotFound,
	} {
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		_, err = fmt.Fprint(connection, request)
		require.NoError(t, err)
		asked, _, _ := strings.Cut(request, " ")
		answer, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: asked})
		require.NoError(t, err, "%q", request)
		content, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		assert.Equal(t, status, answer.StatusCode, "%q: %s", request, content)
		assert.NotContains(t, string(content), "SECRET", "%q", request)
		require.NoError(t, connection.Close())
	}
	assert.NotContains(t, f.log.String(), guessable)
}

func TestPreflights(t *testing.T) {
	for _, access := range []environment.APIAccess{environment.APIKnown, environment.APIRandom, environment.APIToken,
		environment.APILogin} {
		f := newFixture(t, func(o *Options) { o.Access, o.SessionRate, o.TokenRate = access, 1, 1 })
		for range 3 { // they count for nothing
			answer := ask(t, f, http.MethodOptions, Prefix+"recommendations", "Origin", "https://shop.example.com",
				"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "diecast-session")
			assert.Equal(t, http.StatusNoContent, answer.StatusCode, "it bears no token and no login")
			assert.Equal(t, "https://shop.example.com", answer.Header.Get("Access-Control-Allow-Origin"))
			assert.Equal(t, "GET, HEAD", answer.Header.Get("Access-Control-Allow-Methods"))
			assert.Equal(t, "Authorization, If-None-Match, Diecast-Session, Diecast-Customer, Diecast-Event, "+
				"Diecast-Event-Time", answer.Header.Get("Access-Control-Allow-Headers"))
			assert.Equal(t, "600", answer.Header.Get("Access-Control-Max-Age"))
			assert.Empty(t, answer.Header.Values("Access-Control-Allow-Credentials"))
			assert.Contains(t, answer.Header.Get("Vary"), "Origin")
		}
		for _, origins := range [][]string{nil, {"https://evil.example.com"}, {"null"}, {""},
			{"https://shop.example.com.evil.example.com"}, {"http://shop.example.com"},
			{"https://shop.example.com", "https://evil.example.com"}} {
			headers := []string{"Access-Control-Request-Method", "GET"}
			for _, origin := range origins {
				headers = append(headers, "Origin", origin)
			}
			answer := ask(t, f, http.MethodOptions, Prefix+"popular", headers...)
			assert.Equal(t, http.StatusNoContent, answer.StatusCode)
			assert.Equal(t, "GET, HEAD, OPTIONS", answer.Header.Get("Allow"))
			for name := range answer.Header {
				assert.False(t, strings.HasPrefix(name, "Access-Control"), "%s for %q", name, origins)
			}
		}
	}
	f := newFixture(t, nil)
	answer := get(t, f, "popular", "Origin", "https://shop.example.com")
	assert.Equal(t, "ETag, Link, Retry-After", answer.Header.Get("Access-Control-Expose-Headers"))
	assert.Equal(t, "https://shop.example.com", get(t, f, "nothing", "Origin",
		"https://shop.example.com").Header.Get("Access-Control-Allow-Origin"), "a page may read its problems")
	closed := newFixture(t, func(o *Options) { o.Origins = nil })
	assert.NotContains(t, get(t, closed, "popular").Header.Get("Vary"), "Origin")
}
