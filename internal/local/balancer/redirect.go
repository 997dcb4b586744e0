package balancer

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Redirect sends clients elsewhere. Each part may hold #{protocol}, #{host}, #{port}, #{path} and
// #{query}, which stand for the request's own (ELB user guide, "Listener rules", redirect actions).
type Redirect struct {
	// Status is 301 or 302.
	Status int
	// Protocol is HTTP, HTTPS or #{protocol}; Path begins with a slash; Query has no question mark.
	Protocol, Host, Port, Path, Query string
}

// location of a request's redirect. The function says where a port of AWS leads.
func (r Redirect) location(request *http.Request, port func(string) string) string {
	protocol := "http"
	if request.TLS != nil {
		protocol = "https"
	}
	host, own, err := net.SplitHostPort(request.Host)
	if err != nil {
		host, own = request.Host, ""
	}
	parts := strings.NewReplacer("#{protocol}", protocol, "#{host}", host, "#{port}", own,
		"#{path}", strings.TrimPrefix(request.URL.EscapedPath(), "/"), "#{query}", request.URL.RawQuery)
	to := url.URL{Scheme: strings.ToLower(parts.Replace(r.Protocol)), Host: parts.Replace(r.Host)}
	if number := port(parts.Replace(r.Port)); number != "" {
		to.Host = net.JoinHostPort(to.Host, number)
	}
	location := to.String() + parts.Replace(r.Path)
	if query := parts.Replace(r.Query); query != "" {
		location += "?" + query
	}
	return location
}
