package load

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnlyTheDeploymentsOwnAddressesAreLoaded(t *testing.T) {
	page := parse(t, "http://balancer.elb.example")
	lookup := func(_ context.Context, host string) ([]string, error) {
		known := map[string][]string{
			"balancer.elb.example": {"198.51.100.1", "198.51.100.2"}, "sales.shop.example": {"198.51.100.2"},
			"other.example": {"203.0.113.5"},
		}
		if known[host] == nil {
			return nil, errors.New("no such host")
		}
		return known[host], nil
	}
	for _, own := range []string{"http://balancer.elb.example/sales", "https://Balancer.elb.example",
		"https://sales.shop.example/", "http://127.0.0.1:8080", "http://localhost"} {
		require.NoError(t, Own(t.Context(), parse(t, own), page, lookup), own)
	}
	for address, want := range map[string]string{
		"http://other.example/": "other.example leads to 203.0.113.5, the load balancer " +
			"balancer.elb.example to 198.51.100.1",
		"http://nowhere/": "the host of http://nowhere/ is not found: no such host",
	} {
		assert.ErrorContains(t, Own(t.Context(), parse(t, address), page, lookup), want)
	}
	assert.ErrorContains(t, Own(t.Context(), parse(t, "http://other.example"), parse(t, "http://gone"), lookup),
		"the deployment's page http://gone is not found")
}
