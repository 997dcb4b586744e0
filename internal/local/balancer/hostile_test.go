package balancer

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"diecast/internal/local/hostiletest"
)

func TestNoRequestEndsTheBalancer(t *testing.T) {
	group := NewGroup(options())
	page := listening(t, Options{}, group)
	register(t, group, serve(t, "one", nil), serve(t, "two", nil))
	samples := []hostiletest.Sample{
		{Name: "page", Method: http.MethodGet, Path: "/a?b=c"}, {Name: "form", Path: "/a", Body: `{"a":"b"}`},
	}
	statuses := hostiletest.Fuzz(t, strings.TrimPrefix(page, "http://"), hostiletest.Requests(1, 800, samples), func() {
		status, body := ask(t, http.MethodGet, page)
		assert.Equal(t, http.StatusOK, status)
		assert.Contains(t, []string{"one", "two"}, body)
	})
	assert.Zero(t, statuses[http.StatusInternalServerError])
}
