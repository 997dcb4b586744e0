package config

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aLogin is a whole configuration of a login.
func aLogin() map[string]any {
	return map[string]any{
		"profile": Standard,
		"web.certificateArn": "arn:aws:acm:us-east-1:111122223333:certificate/" +
			"12345678-1234-1234-1234-123456789012",
		"web.oidc.issuer":                "https://id.example.com",
		"web.oidc.clientId":              "diecast",
		"web.oidc.clientSecretName":      "diecast/oidc",
		"web.oidc.tokenEndpoint":         "https://id.example.com/token",
		"web.oidc.userInfoEndpoint":      "https://id.example.com/user",
		"web.oidc.authorizationEndpoint": "https://id.example.com/authorize",
	}
}

func TestLoginNeedsAllOfItACertificateAndNAT(t *testing.T) {
	c, err := Load(aLogin())
	require.NoError(t, err)
	assert.True(t, c.Web.OIDC.On())
	assert.Equal(t, "https://id.example.com", c.Web.OIDC.Provider())

	for name := range aLogin() {
		if !strings.HasPrefix(name, "web.oidc.") {
			continue
		}
		t.Run("without "+name, func(t *testing.T) {
			context := aLogin()
			delete(context, name)
			problems := problemsOf(t, context)
			require.Len(t, problems, 1)
			assert.Equal(t, name, problems[0].Key)
		})
	}
	t.Run("without certificate", func(t *testing.T) {
		context := aLogin()
		delete(context, "web.certificateArn")
		problems := problemsOf(t, context)
		require.Len(t, problems, 1)
		assert.Contains(t, problems[0].String(), "web.oidc.issuer=https://id.example.com: must be empty without "+
			"web.certificateArn")
	})
	for _, profile := range []string{Lean, Course} {
		t.Run("without NAT, "+profile, func(t *testing.T) {
			context := aLogin()
			context["profile"] = profile
			problems := problemsOf(t, context)
			require.Len(t, problems, 1)
			assert.Contains(t, problems[0].Allowed, "must be empty with network.nat=none")
			context["network.nat"] = NATInstance
			_, err := Load(context)
			assert.NoError(t, err)
		})
	}
}

func TestAddressesHavePortsThatThereAre(t *testing.T) {
	for key, values := range map[string][]string{
		"web.frameAncestors": {"https://a.example:99999", "https://a.example:8443 https://b.example:65536",
			"https://a.example:0"},
		"web.oidc.tokenEndpoint": {"https://a.example:99999/token"},
	} {
		for _, value := range values {
			problems := problemsOf(t, map[string]any{key: value})
			assert.Contains(t, problems[0].String(), key+"="+value)
			assert.Contains(t, problems[0].String(), "is no port")
		}
	}
	c, err := Load(map[string]any{"web.frameAncestors": "https://a.example:65535 https://*.b.example:1"})
	require.NoError(t, err)
	assert.Equal(t, "https://a.example:65535 https://*.b.example:1", c.Web.FrameAncestors)
}

// A range takes a rule of the balancer's group for each listener.
func TestClientsAreAsManyAsASecurityGroupTakes(t *testing.T) {
	ranges := func(count int) string {
		var all []string
		for i := range count {
			all = append(all, fmt.Sprintf("198.51.100.%d/32", i))
		}
		return strings.Join(all, ",")
	}
	for name, c := range map[string]struct {
		certificate bool
		most        int
		want        string
	}{
		"one listener":  {false, 60, "must be at most 60 ranges on port 80 of the 60 rules"},
		"two listeners": {true, 30, "must be at most 30 ranges on ports 80 and 443, which web.certificateArn opens,"},
	} {
		t.Run(name, func(t *testing.T) {
			context := map[string]any{"web.allowedCidrs": ranges(c.most)}
			if c.certificate {
				context["web.certificateArn"] = aLogin()["web.certificateArn"]
			}
			_, err := Load(context)
			require.NoError(t, err)
			context["web.allowedCidrs"] = ranges(c.most + 1)
			problems := problemsOf(t, context)
			require.Len(t, problems, 1)
			assert.Equal(t, "web.allowedCidrs", problems[0].Key)
			assert.Contains(t, problems[0].Allowed, c.want)
			assert.Contains(t, problems[0].Allowed, fmt.Sprintf("got %d", c.most+1))
		})
	}
}

func TestNoRangeStandsTwice(t *testing.T) {
	for _, key := range []string{"web.allowedCidrs", "network.reservedCidrs"} {
		problems := problemsOf(t, map[string]any{key: "10.1.0.0/16,192.168.0.0/24, 10.1.0.0/16"})
		require.Len(t, problems, 1)
		assert.Contains(t, problems[0].String(), "10.1.0.0/16 stands there twice")
	}
}

func TestWebServersAreAtMostNoFewerThanAtLeast(t *testing.T) {
	problems := problemsOf(t, map[string]any{"web.minInstances": 5.0, "web.maxInstances": 4.0})
	require.Len(t, problems, 1)
	assert.Equal(t, "web.maxInstances=4: must be at least web.minInstances=5", problems[0].String())
	_, err := Load(map[string]any{"web.minInstances": 4.0, "web.maxInstances": 4.0})
	assert.NoError(t, err)
}

// halves cuts a range into the ranges of a length.
func halves(prefix string, bits int) []netip.Prefix {
	all := []netip.Prefix{netip.MustParsePrefix(prefix)}
	for all[0].Bits() < bits {
		var next []netip.Prefix
		for _, one := range all {
			lower := netip.PrefixFrom(one.Addr(), one.Bits()+1)
			bytes := one.Addr().As4()
			bytes[one.Bits()/8] |= 0x80 >> (one.Bits() % 8)
			next = append(next, lower, netip.PrefixFrom(netip.AddrFrom4(bytes), one.Bits()+1))
		}
		all = next
	}
	return all
}

func TestTheWorldIsKnownHoweverItIsCut(t *testing.T) {
	for name, test := range map[string]struct {
		allowed string
		world   bool
	}{
		"nobody":                       {"", false},
		"one address":                  {"203.0.113.7/32", false},
		"a /8":                         {"73.0.0.0/8", false},
		"private ranges":               {"10.0.0.0/8,172.16.0.0/12,192.168.0.0/16", false},
		"private ranges and an office": {"10.0.0.0/8,203.0.113.0/24", false},
		"everybody":                    {"0.0.0.0/0", true},
		"everybody in two halves":      {"0.0.0.0/1,128.0.0.0/1", true},
		"a /7":                         {"72.0.0.0/7", true},
		"a /8 and one more":            {"73.0.0.0/8,203.0.113.7/32", true},
		"more than private":            {"10.0.0.0/7", true},
		"everybody beside an office":   {"203.0.113.7/32,0.0.0.0/0", true},
		"everybody in 16 pieces":       {written(halves("0.0.0.0/0", 4)), true},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Load(map[string]any{"web.allowedCidrs": test.allowed})
			require.NoError(t, err)
			assert.Equal(t, test.world, c.Web.AdmitsWorld())
			assert.Equal(t, !test.world, c.Web.ServesSales())

			context := aLogin()
			context["web.allowedCidrs"] = test.allowed
			c, err = Load(context)
			require.NoError(t, err)
			assert.True(t, c.Web.ServesSales(), "whoever logs in is served")
		})
	}
}

func TestNoticesSayWhatToSet(t *testing.T) {
	const closed, plain, withheld = "will admit nobody: set web.allowedCidrs", "plain text on port 80",
		"sales pages are withheld"
	office := map[string]any{"web.allowedCidrs": "203.0.113.0/24"}
	everybody := map[string]any{"web.allowedCidrs": "0.0.0.0/0"}
	login := aLogin()
	maps.Copy(login, everybody)
	for name, test := range map[string]struct {
		context map[string]any
		want    []string
	}{
		"nothing set":   {nil, []string{closed}},
		"an office":     {office, []string{plain}},
		"everybody":     {everybody, []string{withheld, plain}},
		"people log in": {login, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Load(test.context)
			require.NoError(t, err)
			notices := c.Notices()
			require.Len(t, notices, len(test.want))
			for i, want := range test.want {
				assert.Contains(t, notices[i], want)
			}
		})
	}
}

func TestInstanceTypesAreKnownWhole(t *testing.T) {
	for name, known := range instanceTypes {
		graviton := strings.Contains(strings.Split(name, ".")[0], "g")
		assert.Equal(t, map[bool]string{true: "arm64", false: "amd64"}[graviton], known.architecture, name)
		assert.GreaterOrEqual(t, known.memoryMiB, 512, name)
	}
}
