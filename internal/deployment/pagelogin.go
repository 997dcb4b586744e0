package deployment

import (
	"fmt"
	"net/url"
)

// PageLogin is the address of a deployment's pages for a program. That of a run on this machine has
// a token, which lets in who opens it in a browser; here it is the password in the address, which
// every HTTP client sends.
func PageLogin(address string) (*url.URL, error) {
	page, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the page's address: %w", err)
	}
	const name = "token"
	query := page.Query()
	if token := query.Get(name); token != "" {
		page.User = url.UserPassword("diecast", token)
		query.Del(name)
		page.RawQuery = query.Encode()
		page.Path = ""
	}
	return page, nil
}
