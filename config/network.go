package config

import (
	"fmt"
	"net/netip"
)

// Network is the VPC.
type Network struct {
	CIDR                 netip.Prefix
	ReservedCIDRs        []netip.Prefix
	NAT                  string
	NATGateways          int
	SessionManager       bool
	EndpointPerZone      bool
	FlowLogRetentionDays int
}

// Values of network.nat.
const (
	NATNone     = "none"
	NATInstance = "instance"
	NATGateway  = "gateway"
)

var networkKeys = []Key{
	cidr("network.cidr", every(netip.MustParsePrefix("10.42.0.0/16")),
		func(c *Config) *netip.Prefix { return &c.Network.CIDR },
		"The VPC's range; it is cut into eighths, six of them used as subnets. "+
			"It cannot be changed after the first deployment."),
	cidrs("network.reservedCidrs", func(c *Config) *[]netip.Prefix { return &c.Network.ReservedCIDRs },
		"Ranges that the VPC must not overlap, such as those of networks it will be peered with."),
	choice("network.nat", []string{NATNone, NATInstance, NATGateway},
		values[string]{lean: NATNone, standard: NATGateway, prod: NATGateway, course: NATNone},
		func(c *Config) *string { return &c.Network.NAT },
		"How the application subnets reach the internet: none costs nothing and needs interface endpoints, "+
			"instance is one small EC2 instance, gateway is managed at 32.85 USD a month each."),
	integer("network.natGateways", 1, 2, values[int]{lean: 1, standard: 1, prod: 2, course: 1},
		func(c *Config) *int { return &c.Network.NATGateways },
		"How many gateways serve network.nat=gateway: 2 survive the loss of a zone."),
	boolean("network.sessionManager", every(false), func(c *Config) *bool { return &c.Network.SessionManager },
		"Adds the interface endpoints of Session Manager where there is no NAT, 21.90 USD a month and zone."),
	boolean("network.endpointPerZone", values[bool]{lean: false, standard: false, prod: true, course: false},
		func(c *Config) *bool { return &c.Network.EndpointPerZone },
		"Puts interface endpoints in both zones, at twice the price, so that the loss of a zone leaves them."),
	oneOf("network.flowLogRetentionDays", logRetentionDays, values[int]{lean: 7, standard: 30, prod: 365, course: 7},
		func(c *Config) *int { return &c.Network.FlowLogRetentionDays },
		"How long the log of refused traffic is kept."),
}

var networkRules = []rule{
	{[]string{"network.cidr", "network.reservedCidrs"}, Config.networkProblems},
}

func (c Config) networkProblems() []Problem {
	var problems []Problem
	for _, reserved := range c.Network.ReservedCIDRs {
		if reserved.Overlaps(c.Network.CIDR) {
			problems = append(problems, Problem{Key: "network.cidr", Value: c.Network.CIDR.String(),
				Allowed: fmt.Sprintf("must be a range that does not overlap %s of network.reservedCidrs: "+
					"peered networks cannot route to the same addresses", reserved)})
		}
	}
	return problems
}
