package balancer

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/environment"
)

const token = "QAZWSX"

// seen is what a target sees of a request.
func seen(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, strings.Join([]string{r.URL.RequestURI(), r.Header.Get("Authorization"),
		r.Header.Get("Cookie")}, "|"))
}

func TestWhoKnowsTheTokenIsServed(t *testing.T) {
	group := NewGroup(options())
	address := listening(t, Options{Token: token}, group)
	register(t, group, serve(t, "one", seen))
	base, err := url.Parse(address)
	require.NoError(t, err)
	get := func(client *http.Client, target string, headers map[string]string) (*http.Response, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(within(t), http.MethodGet, target, nil)
		require.NoError(t, err)
		for name, value := range headers {
			request.Header.Set(name, value)
		}
		request.Host = headers["Host"]
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response, string(body)
	}
	plain := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	t.Run("nobody else", func(t *testing.T) {
		for _, target := range []string{"/", "/sales", "/?token=", "/?token=other", "/healthz"} {
			response, body := get(plain, address+target, nil)
			assert.Equal(t, http.StatusForbidden, response.StatusCode, target)
			assert.Contains(t, body, "outputs.json", "what to do")
			assert.NotContains(t, body, token)
			assert.Empty(t, response.Header.Values("Set-Cookie"))
		}
		for _, headers := range []map[string]string{
			{"Cookie": "diecast-" + base.Port() + "=other"}, {"Cookie": "diecast-1=" + token},
			{"Authorization": "Basic b3RoZXI6b3RoZXI="}, {"Authorization": "Bearer " + token},
		} {
			response, _ := get(plain, address+"/", headers)
			assert.Equal(t, http.StatusForbidden, response.StatusCode, headers)
		}
	})
	t.Run("a browser, by the address", func(t *testing.T) {
		response, _ := get(plain, address+"/sales?period=all&token="+token, nil)
		assert.Equal(t, http.StatusSeeOther, response.StatusCode)
		assert.Equal(t, "/sales?period=all", response.Header.Get("Location"))
		cookies := response.Cookies()
		require.Len(t, cookies, 1)
		assert.True(t, cookies[0].HttpOnly)
		assert.Equal(t, http.SameSiteStrictMode, cookies[0].SameSite)
		response, _ = get(plain, address+"//example.com/?token="+token, nil)
		assert.Equal(t, "/example.com/", response.Header.Get("Location"), "no other host")

		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		browser := &http.Client{Jar: jar}
		response, body := get(browser, address+"/sales?token="+token, nil)
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, "/sales||", body, "the server sees nothing of it")
		_, body = get(browser, address+"/again", map[string]string{"Cookie": "own=1"})
		assert.Equal(t, "/again||own=1", body)
		response, _ = get(browser, address+"/again", map[string]string{"Origin": address})
		assert.Equal(t, http.StatusOK, response.StatusCode, "its own page")
		for header, value := range map[string]string{"Origin": "https://example.com", "Host": "example.com"} {
			response, _ := get(browser, address+"/again", map[string]string{header: value})
			assert.Equal(t, http.StatusForbidden, response.StatusCode, header)
		}
	})
	t.Run("a program, by a password", func(t *testing.T) {
		response, body := get(plain, "http://diecast:"+token+"@"+base.Host+"/sales", nil)
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, "/sales||", body)
	})
}

// A target knows by the key that a request came from its group, whatever a client says.
func TestTargetsAreToldTheKey(t *testing.T) {
	group := NewGroup(options())
	address := listening(t, Options{}, group)
	assert.NotEqual(t, NewGroup(options()).Key(), group.Key())
	keyed := serve(t, "one", nil)
	inner := keyed.Config.Handler
	keyed.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(environment.KeyHeader) != group.Key() || len(r.Header.Values(environment.KeyHeader)) != 1 {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, r)
	})
	register(t, group, keyed) // found healthy: checks tell it, too
	request, err := http.NewRequestWithContext(within(t), http.MethodGet, address, nil)
	require.NoError(t, err)
	request.Header.Set(environment.KeyHeader, "forged")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusOK, response.StatusCode)
}
