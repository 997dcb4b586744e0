package config

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/environment"
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

// aToken is a whole configuration of a token.
func aToken() map[string]any {
	return map[string]any{
		"web.certificateArn":   aLogin()["web.certificateArn"],
		"web.jwt.issuer":       "https://id.example.com/",
		"web.jwt.jwksEndpoint": "https://id.example.com/keys",
		"web.jwt.audience":     "api://diecast",
	}
}

func TestATokenNeedsAllOfItAndACertificate(t *testing.T) {
	c, err := Load(aToken())
	require.NoError(t, err, "also without NAT: the balancer fetches the keys")
	assert.Equal(t, NATNone, c.Network.NAT)
	assert.True(t, c.Web.JWT.On())

	for _, name := range []string{"web.jwt.issuer", "web.jwt.jwksEndpoint", "web.jwt.audience"} {
		t.Run("without "+name, func(t *testing.T) {
			context := aToken()
			delete(context, name)
			problems := problemsOf(t, context)
			require.Len(t, problems, 1)
			assert.Equal(t, name, problems[0].Key)
			assert.Contains(t, problems[0].Allowed, "must be set where another web.jwt.* key is")
		})
	}
	t.Run("without certificate", func(t *testing.T) {
		context := aToken()
		delete(context, "web.certificateArn")
		problems := problemsOf(t, context)
		require.Len(t, problems, 1)
		assert.Contains(t, problems[0].String(), "web.jwt.issuer=https://id.example.com/: must be empty without "+
			"web.certificateArn")
	})
	for _, name := range []string{"web.jwt.issuer", "web.jwt.jwksEndpoint"} {
		t.Run("a long "+name, func(t *testing.T) {
			context, address := aToken(), "https://id.example.com/"
			context[name] = address + strings.Repeat("a", 256-len(address))
			_, err := Load(context)
			require.NoError(t, err)
			context[name] = address + strings.Repeat("a", 257-len(address))
			problems := problemsOf(t, context)
			require.Len(t, problems, 1)
			assert.Equal(t, name, problems[0].Key)
			assert.Contains(t, problems[0].Allowed, "at most 256 characters long, got 257")
		})
	}
}

func TestAShopNeedsAWayToTheStream(t *testing.T) {
	for _, profile := range Profiles() {
		t.Run(profile, func(t *testing.T) {
			context := map[string]any{"profile": profile}
			c, err := Load(context)
			require.NoError(t, err)
			assert.False(t, c.Web.Shop, "nobody writes into the stream unless it is asked for")
			context["web.shop"] = true
			if c.Network.NAT == NATNone {
				problems := problemsOf(t, context)
				require.Len(t, problems, 1)
				assert.Contains(t, problems[0].String(), "web.shop=true: must be false with network.nat=none")
				assert.Contains(t, problems[0].Allowed, "set network.nat=instance or gateway")
				context["network.nat"] = NATInstance
			}
			c, err = Load(context)
			require.NoError(t, err)
			assert.True(t, c.Web.Shop)
		})
	}
}

func TestOriginsAreWrittenAsBrowsersSendThem(t *testing.T) {
	c, err := Load(map[string]any{"web.shopOrigins": "https://shop.example.com https://shop-2.example.com:8443"})
	require.NoError(t, err)
	assert.Equal(t, "https://shop.example.com https://shop-2.example.com:8443", c.Web.ShopOrigins)
	problems := problemsOf(t, map[string]any{"web.shopOrigins": "https://a.example https://b.example:443"})
	assert.Contains(t, problems[0].String(), "browsers send https://b.example without the port")
}

func TestScriptsOfOtherSitesDoNotLogIn(t *testing.T) {
	context := aLogin()
	context["web.shopOrigins"] = "https://shop.example.com"
	problems := problemsOf(t, context)
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].String(), "web.shopOrigins=https://shop.example.com: must be empty where web.oidc.*")
	maps.Copy(context, aToken())
	_, err := Load(context)
	require.NoError(t, err)
}

// Who may ask the API: what the servers do with each is theirs to hold.
func TestTheAPIIsAsOpenAsWhatStandsBeforeIt(t *testing.T) {
	everybody := map[string]any{"web.allowedCidrs": "0.0.0.0/1,128.0.0.0/1"}
	office := map[string]any{"web.allowedCidrs": "203.0.113.0/24"}
	for name, test := range map[string]struct {
		settings []map[string]any
		want     environment.APIAccess
	}{
		"nobody":                        {nil, environment.APIKnown},
		"an office":                     {[]map[string]any{office}, environment.APIKnown},
		"everybody":                     {[]map[string]any{everybody}, environment.APIRandom},
		"everybody who logs in":         {[]map[string]any{aLogin(), everybody}, environment.APILogin},
		"an office that logs in":        {[]map[string]any{aLogin(), office}, environment.APILogin},
		"everybody with a token":        {[]map[string]any{aToken(), everybody}, environment.APIToken},
		"an office with a token":        {[]map[string]any{aToken(), office}, environment.APIToken},
		"people log in, shops by token": {[]map[string]any{aLogin(), aToken(), everybody}, environment.APIToken},
	} {
		t.Run(name, func(t *testing.T) {
			context := map[string]any{}
			for _, settings := range test.settings {
				maps.Copy(context, settings)
			}
			c, err := Load(context)
			require.NoError(t, err)
			assert.Equal(t, test.want, c.Web.API())
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
	const (
		closed, plain = "will admit nobody: set web.allowedCidrs", "plain text on port 80"
		withheld      = "pages on sales and customers are withheld"
		random        = "the API answers for sessions whose id is random"
	)
	office := map[string]any{"web.allowedCidrs": "203.0.113.0/24"}
	everybody := map[string]any{"web.allowedCidrs": "0.0.0.0/0"}
	login := aLogin()
	maps.Copy(login, everybody)
	token := aToken()
	maps.Copy(token, everybody)
	for name, test := range map[string]struct {
		context map[string]any
		want    []string
	}{
		"nothing set":        {nil, []string{closed}},
		"an office":          {office, []string{plain}},
		"everybody":          {everybody, []string{withheld, random, plain}},
		"people log in":      {login, nil},
		"shops bear a token": {token, []string{withheld}},
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
