package load

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"diecast/internal/environment"
)

// Lookup finds the addresses of a host, such as (*net.Resolver).LookupHost.
type Lookup func(ctx context.Context, host string) ([]string, error)

// Own fails where an address is not that of a deployment's page by another name: load is for what
// one operates. A page of one's own domain leads to the load balancer's addresses, or to some of
// them; this machine is everybody's own.
func Own(ctx context.Context, address, page *url.URL, lookup Lookup) error {
	host := address.Hostname()
	if environment.Loopback(host) || strings.EqualFold(host, page.Hostname()) {
		return nil
	}
	wanted, err := lookup(ctx, page.Hostname())
	if err != nil {
		return fmt.Errorf("the deployment's page %s is not found: %w", page, err)
	}
	found, err := lookup(ctx, host)
	if err != nil {
		return fmt.Errorf("the host of %s is not found: %w", address, err)
	}
	if !slices.ContainsFunc(found, func(one string) bool { return slices.Contains(wanted, one) }) {
		return fmt.Errorf("%s is not the deployment's: %s leads to %s, the load balancer %s to %s; name a host that "+
			"leads there, or the outputs of the deployment that it belongs to", address, host,
			strings.Join(found, ", "), page.Hostname(), strings.Join(wanted, ", "))
	}
	return nil
}
