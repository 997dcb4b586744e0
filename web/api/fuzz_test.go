package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"diecast/internal/environment"
)

// FuzzRequest sends whatever a client can. No answer is a 500 or breaks the contract, whoever may
// ask; and where the world is admitted none has what is somebody's.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][7]string{
		{"GET", "recommendations", "", unguessed, "", "", ""}, {"GET", "recommendations", "", "", "8", "", ""},
		{"HEAD", "recommendations/wait", "", guessable, "", another, "2000-01-01T00:00:00Z"},
		{"GET", "recommendations/wait", "", another, "", "x", "2026-02-30T00:00:00Z"},
		{"GET", "popular", "limit=3&after=P4", "", "", "", ""},
		{"GET", "products/P%2F1/similar", "limit=20", "", "", "", ""},
		{"GET", "products/%zz/similar", "limit=%zz", "", "", "", ""}, {"OPTIONS", "popular", "", "", "", "", ""},
		{"GET", "sales/course", "from=0001-01-01&to=9999-12-31", "", "", "", ""},
		{"GET", "sales/products", "line=Cars&country=USA&limit=1&after=C1&period=all", "", "", "", ""},
		{"GET", "sales/countries", "after=France&limit=100", "", "", "", ""},
		{"POST", "openapi.json", "", "", "", "", ""},
		{"GET", "sales/spikes", "period=30d", "ä\x80", "-0", "", ""},
		{"GET", "../../sales", "%00=%00", "\x00", "", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], seed[6])
	}
	accesses := map[environment.APIAccess]fixture{}
	for _, access := range []environment.APIAccess{environment.APIKnown, environment.APIRandom} {
		accesses[access] = newFixture(f, func(o *Options) { o.Access = access })
		accesses[access].Drain() // nobody waits
	}
	f.Fuzz(func(t *testing.T, method, below, query, session, customer, event, at string) {
		address, err := url.Parse("https://web.example.com" + Prefix + below + "?" + query)
		if err != nil || !token(method) {
			return // a server would be given none such
		}
		for access, api := range accesses {
			request := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(t.Context())
			request.Method, request.URL, request.RequestURI = method, address, address.RequestURI()
			for name, value := range map[string]string{sessionHeader: session, customerHeader: customer,
				eventHeader: event, eventTimeHeader: at} {
				if value != "" {
					request.Header.Set(name, value)
				}
			}
			recorder := httptest.NewRecorder()
			api.ServeHTTP(recorder, request)
			require.NotEqual(t, http.StatusInternalServerError, recorder.Code, recorder.Body)
			if route, _ := api.find(request); route != nil {
				require.NoError(t, violation(request, recorder.Result(), recorder.Body.Bytes()), recorder.Body)
			}
			if access == environment.APIRandom && session != unguessed {
				require.NotContains(t, recorder.Body.String(), "SECRET")
			}
		}
	})
}

// token says whether net/http would take a method.
func token(method string) bool {
	return method != "" && !strings.ContainsFunc(method, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}
