package templates

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// admitsTheWorld says which rule of a group admits so many addresses that it is the world's, or "".
// One is let through: a balancer's group, on exactly the port of one of its listeners, where the
// configuration writes the range out.
func (a assembly) admitsTheWorld(id string, r resource) string {
	stack, logical, _ := strings.Cut(id, "/")
	group, rules := "", []any(nil)
	switch r.Type {
	case "AWS::EC2::SecurityGroup":
		group = stack + "/" + logical
		rules, _ = r.Properties["SecurityGroupIngress"].([]any)
	case "AWS::EC2::SecurityGroupIngress":
		group, rules = a.target(stack, r.Properties["GroupId"]), []any{r.Properties}
	}
	for _, one := range rules {
		rule, _ := one.(map[string]any)
		if clients := worldly(rule); clients != "" && !a.isListenersRule(group, rule, clients) {
			return "admits " + string(compact(rule))
		}
	}
	return ""
}

// worldly is the range of a rule that is the world's, or "".
func worldly(rule map[string]any) string {
	for property, least := range map[string]int{"CidrIp": 8, "CidrIpv6": 16} {
		text, _ := rule[property].(string)
		if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Bits() < least {
			return text
		}
	}
	return ""
}

func (a assembly) isListenersRule(group string, rule map[string]any, clients string) bool {
	ports, ok := a.listeners()[group]
	_, allowed, _ := strings.Cut(a.setting("web.allowedCidrs="), "=")
	return ok && slices.Contains(strings.Split(allowed, ","), clients) && rule["IpProtocol"] == "tcp" &&
		slices.ContainsFunc(ports, func(port int) bool { return exactly(rule, port) })
}

func (a assembly) setting(prefix string) string {
	for _, setting := range a.settings {
		if strings.HasPrefix(setting, prefix) {
			return setting
		}
	}
	return ""
}

// listeners are the ports on which load balancers listen, by their security groups.
func (a assembly) listeners() map[string][]int {
	ports := map[string][]int{}
	for id, r := range a.all {
		if r.Type != "AWS::ElasticLoadBalancingV2::Listener" {
			continue
		}
		stack, _, _ := strings.Cut(id, "/")
		_, balancer := a.find(a.target(stack, r.Properties["LoadBalancerArn"]))
		groups, _ := balancer.Properties["SecurityGroups"].([]any)
		port, _ := r.Properties["Port"].(float64)
		for _, group := range groups {
			ports[a.target(stack, group)] = append(ports[a.target(stack, group)], int(port))
		}
	}
	for _, all := range ports {
		slices.Sort(all)
	}
	return ports
}

// opened lists what a group admits, one line each: who, protocol and ports.
func (a assembly) opened(group string) []string {
	var all []string
	add := func(stack string, rule map[string]any) {
		source := fmt.Sprint(rule["CidrIp"], rule["CidrIpv6"])
		source = strings.ReplaceAll(source, "<nil>", "")
		if from := a.target(stack, rule["SourceSecurityGroupId"]); from != "" {
			source = from
		}
		all = append(all, fmt.Sprintf("%s %v %v-%v", source, rule["IpProtocol"], rule["FromPort"], rule["ToPort"]))
	}
	stack, r := a.find(group)
	inline, _ := r.Properties["SecurityGroupIngress"].([]any)
	for _, rule := range inline {
		add(stack, rule.(map[string]any))
	}
	for id, other := range a.all {
		from, _, _ := strings.Cut(id, "/")
		if other.Type == "AWS::EC2::SecurityGroupIngress" && a.target(from, other.Properties["GroupId"]) == group {
			add(from, other.Properties)
		}
	}
	slices.Sort(all)
	return all
}

// secondPorts says what of the web tier is reached on another way than the listeners' ports by the
// admitted clients, and then the servers' port by the balancer. It is the course's fault: a port
// beside the page's, open to all.
func (a assembly) secondPorts() []string {
	var problems []string
	_, text, _ := strings.Cut(a.setting("web.allowedCidrs="), "=")
	allowed := strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
	listeners := a.listeners()
	for group, ports := range listeners {
		want := []string{}
		for _, port := range ports {
			if port != 80 && port != 443 {
				problems = append(problems, fmt.Sprintf("%s listens on %d", group, port))
			}
			for _, clients := range allowed {
				want = append(want, fmt.Sprintf("%s tcp %d-%d", clients, port, port))
			}
		}
		slices.Sort(want)
		if got := a.opened(group); !slices.Equal(got, want) && len(got)+len(want) > 0 {
			problems = append(problems, fmt.Sprintf("%s is open to %q, not to %q", group, got, want))
		}
	}
	for id, r := range a.all {
		if r.Type != "AWS::EC2::LaunchTemplate" {
			continue
		}
		stack, _, _ := strings.Cut(id, "/")
		data := r.Properties["LaunchTemplateData"].(map[string]any)
		groups, _ := data["SecurityGroupIds"].([]any)
		targets := a.targetPort(stack)
		if targets == nil {
			continue // no server: the NAT instance of CDK
		}
		balancers := slices.Collect(maps.Keys(listeners))
		if len(groups) != 1 || len(balancers) != 1 {
			problems = append(problems, fmt.Sprintf("%s has %d groups and %d balancers' groups", id, len(groups),
				len(balancers)))
			continue
		}
		want := []string{fmt.Sprintf("%s tcp %v-%v", balancers[0], targets, targets)}
		if got := a.opened(a.target(stack, groups[0])); !slices.Equal(got, want) {
			problems = append(problems, fmt.Sprintf("%s is open to %q, not to %q", id, got, want))
		}
	}
	return problems
}

// targetPort is that of a stack's target group; nil where it has none.
func (a assembly) targetPort(stack string) any {
	for _, r := range a.templates[stack].Resources {
		if r.Type == "AWS::ElasticLoadBalancingV2::TargetGroup" {
			return r.Properties["Port"]
		}
	}
	return nil
}

func TestWeb_onlyListenersAreOpenAndOnlyToTheAdmitted(t *testing.T) {
	for _, settings := range everyConfiguration() {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			built := synth(t, settings...)
			assert.Len(t, built.listeners(), 1)
			assert.Empty(t, built.secondPorts())
			for id, r := range built.all {
				assert.Empty(t, built.admitsTheWorld(id, r), id)
			}
		})
	}
}

// The course's fault, and its relatives, planted in the real templates.
func TestWeb_secondPortIsCaught(t *testing.T) {
	isBalancers := func(id string, r resource) bool {
		return r.Type == "AWS::EC2::SecurityGroup" && strings.HasPrefix(id, "Web/LoadBalancer")
	}
	open := func(rule map[string]any) func(string, resource) {
		return func(id string, r resource) {
			if isBalancers(id, r) {
				rules, _ := r.Properties["SecurityGroupIngress"].([]any)
				r.Properties["SecurityGroupIngress"] = append(rules, rule)
			}
		}
	}
	const everybody = "0.0.0.0/0"
	for name, plant := range map[string]struct {
		settings []string
		change   func(id string, r resource)
		// worldly says that the invariant on the world must catch it, too.
		worldly bool
	}{
		"all TCP to all": {openToAll, open(map[string]any{"CidrIp": everybody, "IpProtocol": "tcp", "FromPort": 0.0,
			"ToPort": 65535.0}), true},
		"everything to all": {openToAll, open(map[string]any{"CidrIp": everybody, "IpProtocol": "-1"}), true},
		"the course's port": {openToAll, open(map[string]any{"CidrIp": everybody, "IpProtocol": "tcp", "FromPort": 90.0,
			"ToPort": 90.0}), true},
		"a range that takes the listener's in": {openToAll, open(map[string]any{"CidrIp": everybody,
			"IpProtocol": "tcp", "FromPort": 80.0, "ToPort": 90.0}), true},
		"the listener's port, not written out": {[]string{"profile=lean"}, open(map[string]any{"CidrIp": everybody,
			"IpProtocol": "tcp", "FromPort": 80.0, "ToPort": 80.0}), true},
		"half of the world, not written out": {openToAll, open(map[string]any{"CidrIp": "128.0.0.0/1",
			"IpProtocol": "tcp", "FromPort": 80.0, "ToPort": 80.0}), true},
		"the world by IPv6": {openToAll, open(map[string]any{"CidrIpv6": "::/0", "IpProtocol": "tcp",
			"FromPort": 80.0, "ToPort": 80.0}), true},
		"an office that nobody admitted": {openToAll, open(map[string]any{"CidrIp": "198.51.100.0/24",
			"IpProtocol": "tcp", "FromPort": 80.0, "ToPort": 80.0}), false},
		"UDP": {certified, open(map[string]any{"CidrIp": "198.51.100.0/24", "IpProtocol": "udp", "FromPort": 443.0,
			"ToPort": 443.0}), false},
		"a listener for private data": {openToAll, func(_ string, r resource) {
			if r.Type == "AWS::ElasticLoadBalancingV2::Listener" {
				r.Properties["Port"] = 90.0
			}
		}, true},
		"a server reached past the balancer": {openToAll, func(id string, r resource) {
			if r.Type == "AWS::EC2::SecurityGroup" && strings.HasPrefix(id, "Web/Server") {
				r.Properties["SecurityGroupIngress"] = []any{map[string]any{"CidrIp": "10.0.0.0/8",
					"IpProtocol": "tcp", "FromPort": 8080.0, "ToPort": 8080.0}}
			}
		}, false},
		"every port of a server": {openToAll, func(id string, r resource) {
			if r.Type == "AWS::EC2::SecurityGroupIngress" && strings.HasPrefix(id, "Web/ServerSecurityGroupfrom") {
				r.Properties["FromPort"], r.Properties["ToPort"] = 0.0, 65535.0
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			built := synth(t, plant.settings...)
			require.Empty(t, built.secondPorts())
			broken := changed(t, built, plant.change)
			broken.settings = built.settings
			assert.NotEmpty(t, broken.secondPorts())
			found := false
			for id, r := range broken.all {
				found = found || broken.admitsTheWorld(id, r) != ""
			}
			assert.Equal(t, plant.worldly, found)
		})
	}
}

// web is the stack Web of a configuration.
func web(t *testing.T, settings ...string) template {
	t.Helper()
	return synth(t, settings...).templates["Web"]
}

func attributes(r resource, property string) map[string]string {
	found := map[string]string{}
	all, _ := r.Properties[property].([]any)
	for _, one := range all {
		entry := one.(map[string]any)
		found[fmt.Sprint(entry["Key"])] = rendered(entry["Value"])
	}
	return found
}

func TestWeb_balancerIsStrictAndLogsWhereTheProfileDoes(t *testing.T) {
	for _, settings := range everyConfiguration() {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			built := synth(t, settings...)
			balancer := one(t, built.templates["Web"], "AWS::ElasticLoadBalancingV2::LoadBalancer")
			set := attributes(balancer, "LoadBalancerAttributes")
			assert.Equal(t, "true", set["routing.http.drop_invalid_header_fields.enabled"])
			assert.Equal(t, "strictest", set["routing.http.desync_mitigation_mode"])
			assert.Equal(t, "60", set["idle_timeout.timeout_seconds"])
			subnets := balancer.Properties["Subnets"].([]any)
			require.Len(t, subnets, 2)
			for _, subnet := range subnets {
				assert.Contains(t, built.target("Web", subnet), "PublicSubnet")
			}

			logged := slices.ContainsFunc(settings, func(s string) bool {
				return slices.Contains([]string{"data.accessLogs=true", "profile=standard", "profile=prod"}, s)
			})
			for _, log := range []string{"access_logs.s3", "health_check_logs.s3"} {
				assert.Equal(t, fmt.Sprint(logged), set[log+".enabled"], log)
				assert.Equal(t, logged, set[log+".bucket"] != "", log)
			}
			logs := built.templates["Network"].Resources
			admitted := slices.ContainsFunc(slices.Collect(maps.Values(logs)), func(r resource) bool {
				return r.Type == "AWS::S3::BucketPolicy" &&
					strings.Contains(string(compact(r.Properties)), "logdelivery.elasticloadbalancing.amazonaws.com")
			})
			assert.True(t, admitted, "the bucket of access logs is ready before a balancer asks for it")
		})
	}
}

func TestWeb_certificateBringsHTTPSAndARedirect(t *testing.T) {
	listeners := func(t *testing.T, settings []string) map[float64]resource {
		found := map[float64]resource{}
		for _, r := range web(t, settings...).Resources {
			if r.Type == "AWS::ElasticLoadBalancingV2::Listener" {
				found[r.Properties["Port"].(float64)] = r
			}
		}
		return found
	}
	plain := listeners(t, openToAll)
	require.Len(t, plain, 1)
	assert.Equal(t, "HTTP", plain[80].Properties["Protocol"])
	assert.Contains(t, string(compact(plain[80].Properties["DefaultActions"])), `"Type":"forward"`)

	secure := listeners(t, certified)
	require.Len(t, secure, 2)
	assert.Equal(t, "HTTPS", secure[443].Properties["Protocol"])
	assert.Regexp(t, "^ELBSecurityPolicy-TLS13-1-2-Res-", secure[443].Properties["SslPolicy"])
	assert.Len(t, secure[443].Properties["Certificates"], 1)
	redirect := string(compact(secure[80].Properties["DefaultActions"]))
	assert.Contains(t, redirect, `"Type":"redirect"`)
	assert.NotContains(t, redirect, "forward", "nothing is served in plain text")
	assert.Contains(t, redirect, `"StatusCode":"HTTP_301"`)
}

func TestWeb_loginStandsBeforeEveryPage(t *testing.T) {
	for _, r := range web(t, loggedIn...).Resources {
		if r.Type != "AWS::ElasticLoadBalancingV2::Listener" || r.Properties["Port"] != 443.0 {
			continue
		}
		actions := r.Properties["DefaultActions"].([]any)
		require.Len(t, actions, 2)
		types := map[any]any{}
		for _, action := range actions {
			entry := action.(map[string]any)
			types[entry["Order"]] = entry["Type"]
			if entry["Type"] == "authenticate-oidc" {
				login := entry["AuthenticateOidcConfig"].(map[string]any)
				assert.Equal(t, "{{resolve:secretsmanager:diecast/oidc:SecretString:::}}",
					rendered(login["ClientSecret"]), "a reference, never the secret")
				assert.Equal(t, "https://id.example.com", login["Issuer"])
			}
		}
		assert.Equal(t, map[any]any{1.0: "authenticate-oidc", 2.0: "forward"}, types)
	}
	// The balancer reaches its targets, and the provider only where there is one.
	egress := func(settings []string) []string {
		var all []string
		for id, r := range web(t, settings...).Resources {
			if !strings.HasPrefix(id, "LoadBalancerSecurityGroup") {
				continue
			}
			inline, _ := r.Properties["SecurityGroupEgress"].([]any)
			if r.Type == "AWS::EC2::SecurityGroupEgress" {
				inline = []any{r.Properties}
			}
			for _, one := range inline {
				rule := one.(map[string]any)
				all = append(all, fmt.Sprintf("%v-%v", rule["FromPort"], rule["ToPort"]))
			}
		}
		slices.Sort(all)
		return all
	}
	assert.Equal(t, []string{"443-443", "8080-8080"}, egress(loggedIn))
	assert.Equal(t, []string{"443-443", "8080-8080"}, egress(byToken), "the keys of who issues tokens")
	assert.Equal(t, []string{"8080-8080"}, egress(certified))
	assert.Equal(t, []string{"8080-8080"}, egress(openToAll))
}

// TestWeb_salesAreServedOnlyWhereTheWorldIsNotAdmitted is the template's half; the server's tests
// show what withheld pages answer.
func TestWeb_salesAreServedOnlyWhereTheWorldIsNotAdmitted(t *testing.T) {
	for _, settings := range everyConfiguration() {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			told := told(t, web(t, settings...))
			world := slices.Equal(settings, openToAll) || slices.Equal(settings, byToken)
			assert.Equal(t, map[bool]string{true: "withheld", false: "served"}[world], told["WEB_SALES"])
			login := slices.Equal(settings, loggedIn)
			for _, name := range []string{"WEB_OIDC_ISSUER", "WEB_OIDC_CLIENT_ID", "WEB_OIDC_LOAD_BALANCER",
				"WEB_OIDC_PROVIDER"} {
				assert.Equal(t, login, told[name] != "", name)
			}
			certificate := login || slices.Equal(settings, certified) || slices.Equal(settings, byToken)
			assert.Equal(t, certificate, told["WEB_TLS"] == "true")
		})
	}
}

// TestWeb_theAPIIsAsOpenAsWhatStandsBeforeIt is the template's half; the server's tests show what
// it answers to whom.
func TestWeb_theAPIIsAsOpenAsWhatStandsBeforeIt(t *testing.T) {
	for _, settings := range everyConfiguration() {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			want := "known"
			for access, configured := range map[string][]string{
				"random": openToAll, "login": loggedIn, "token": byToken,
			} {
				if slices.Equal(settings, configured) {
					want = access
				}
			}
			told := told(t, web(t, settings...))
			assert.Equal(t, want, told["WEB_API"])
			shop := slices.Equal(settings, shopping)
			assert.Equal(t, shop, told["WEB_SHOP"] == "true")
			origins := map[bool]string{true: "https://shop.example.com"}[slices.Equal(settings, byToken)]
			assert.Equal(t, origins, told["WEB_SHOP_ORIGINS"])
			for _, name := range []string{"RECOMMENDATIONS_TABLE", "ARTIFACTS_BUCKET", "WEB_STREAM",
				"VECTORS_DATABASE_HOST", "VECTORS_DATABASE_PORT"} {
				assert.NotEmpty(t, told[name], "%s is told in every configuration", name)
			}
			assert.Equal(t, []string{"vectors", "iam", "web_reader", "verify-full"}, []string{
				told["VECTORS_DATABASE_NAME"], told["VECTORS_DATABASE_AUTH"], told["VECTORS_DATABASE_USER"],
				told["VECTORS_DATABASE_TLS"]})
			assert.Equal(t, []string{"120", "6000"},
				[]string{told["WEB_REQUESTS_PER_SESSION"], told["WEB_REQUESTS_PER_TOKEN"]})
		})
	}
}

// rules are those of a stack's listeners, by their priorities.
func rules(stack template) map[float64]resource {
	found := map[float64]resource{}
	for _, r := range stack.Resources {
		if r.Type == "AWS::ElasticLoadBalancingV2::ListenerRule" {
			found[r.Properties["Priority"].(float64)] = r
		}
	}
	return found
}

// untold says how somebody could ask the API without a token, or "".
func untold(built assembly) string {
	const (
		below     = `"Field":"path-pattern","PathPatternConfig":{"Values":["/api/v1/*"]}`
		preflight = `"Field":"http-request-method","HttpRequestMethodConfig":{"Values":["OPTIONS"]}`
	)
	stack, demanded := built.templates["Web"], false
	for _, priority := range slices.Sorted(maps.Keys(rules(stack))) {
		rule := rules(stack)[priority].Properties
		actions, conditions := string(compact(rule["Actions"])), string(compact(rule["Conditions"]))
		_, listener := built.find(built.target("Web", rule["ListenerArn"]))
		switch {
		case listener.Properties["Port"] != 443.0:
			return "a token travels in plain text"
		case strings.Contains(actions, "jwt-validation"):
			list := rule["Actions"].([]any)
			first := string(compact(list[0]))
			if len(list) != 2 || !strings.Contains(first, `"Order":1,"Type":"jwt-validation"`) ||
				!strings.Contains(first, `"Issuer":"https://id.example.com/"`) ||
				!strings.Contains(first, `"JwksEndpoint":"https://id.example.com/keys"`) ||
				!strings.Contains(string(compact(list[1])), `"Order":2`) {
				return "a request goes on before its token is verified: " + actions
			}
			if !strings.Contains(first,
				`"AdditionalClaims":[{"Format":"single-string","Name":"aud","Values":["api://diecast"]}]`) {
				return "a token for another program is taken"
			}
			if conditions != "[{"+below+"}]" {
				return "not every address of the API is guarded: " + conditions
			}
			demanded = true
		case !strings.Contains(conditions, preflight):
			return "more than preflights passes: " + conditions
		}
	}
	if !demanded {
		return "no token is demanded"
	}
	return ""
}

func TestWeb_aTokenStandsBeforeTheAPI(t *testing.T) {
	for name, c := range map[string]struct {
		settings []string
		rules    int
	}{
		"a site's scripts and a backend": {byToken, 2},
		"a backend alone":                {append([]string{"profile=lean", aCertificate}, aToken...), 1},
		"pages behind a login":           {append(slices.Clone(loggedIn), aToken...), 1},
	} {
		t.Run(name, func(t *testing.T) {
			built := synth(t, c.settings...)
			assert.Len(t, rules(built.templates["Web"]), c.rules,
				"browsers ask before they send a token, and nobody else")
			assert.Empty(t, untold(built))
			assert.Equal(t, "token", told(t, built.templates["Web"])["WEB_API"])
		})
	}
	for _, settings := range everyConfiguration() {
		if !slices.Equal(settings, byToken) {
			assert.Empty(t, rules(web(t, settings...)), settings)
		}
	}
	built := synth(t, byToken...)
	for name, change := range map[string]func(properties map[string]any){
		"any audience": func(p map[string]any) {
			first := p["Actions"].([]any)[0].(map[string]any)
			if config, is := first["JwtValidationConfig"].(map[string]any); is {
				delete(config, "AdditionalClaims")
			}
		},
		"no token": func(p map[string]any) {
			actions := p["Actions"].([]any)
			p["Actions"] = actions[len(actions)-1:]
		},
		"another address": func(p map[string]any) {
			if p["Priority"] == 2.0 {
				p["Conditions"] = []any{map[string]any{"Field": "path-pattern",
					"PathPatternConfig": map[string]any{"Values": []any{"/api/v1/recommendations"}}}}
			}
		},
		"every method": func(p map[string]any) {
			if p["Priority"] == 1.0 {
				p["Conditions"] = p["Conditions"].([]any)[:1]
			}
		},
	} {
		t.Run(name+" is caught", func(t *testing.T) {
			broken := changed(t, built, func(_ string, r resource) {
				if r.Type == "AWS::ElasticLoadBalancingV2::ListenerRule" {
					change(r.Properties)
				}
			})
			assert.NotEmpty(t, untold(broken))
		})
	}
}

// servers are the statements about what the web servers may reach: name, actions, and the ends of
// what they are about.
func servers(t *testing.T, settings ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for id, r := range web(t, settings...).Resources {
		if r.Type != "AWS::IAM::Policy" || !strings.HasPrefix(id, "FleetRole") {
			continue
		}
		for _, s := range policiesOf(r) {
			actions := list(s["Action"])
			slices.Sort(actions)
			resources, several := s["Resource"].([]any)
			if !several {
				resources = []any{s["Resource"]}
			}
			for _, one := range resources {
				actions = append(actions, rendered(one))
			}
			found[s["Sid"].(string)] = actions
		}
	}
	return found
}

// tooMuch says what of the servers' statements is more than reading what they show, or "".
func tooMuch(statements map[string][]string, shop bool) string {
	for name, statement := range statements {
		text := strings.Join(statement, " ")
		for _, never := range []string{"dynamodb:Scan", "dynamodb:Put", "dynamodb:Update", "dynamodb:Delete",
			"s3:DeleteObject", "s3:ListBucket", "lambda:", "kinesis:Get", "embeddings", "/models/* ",
			"inference_reader"} {
			if strings.Contains(text+" ", never) {
				return name + ": " + text
			}
		}
		for _, word := range statement {
			wild := strings.Contains(word, "*")
			switch {
			case strings.Contains(text, "dynamodb:") && wild, strings.Contains(text, "rds-db:") && wild,
				strings.Contains(text, "kinesis:") && (wild || !shop):
				return name + ": " + text
			}
		}
	}
	return ""
}

func TestWeb_serversReadWhatTheyShowAndNoMore(t *testing.T) {
	for _, settings := range everyConfiguration() {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			shop := slices.Equal(settings, shopping)
			statements := servers(t, settings...)
			assert.Empty(t, tooMuch(statements, shop))
			assert.Equal(t, shop, statements["PutEvents"] != nil)
			readers := 0
			for name, statement := range statements {
				if strings.HasPrefix(name, "LogIn") {
					readers++
					assert.Len(t, statement, 2)
					assert.Regexp(t, ":dbuser:.+/web_reader$", statement[1], name)
				}
			}
			assert.Equal(t, 2, readers, "one login at the source, one at the vector store")
		})
	}
	statements := servers(t, shopping...)
	for name, want := range map[string][]string{
		"ReadRecommendations":     {"dynamodb:BatchGetItem", "dynamodb:GetItem"},
		"FindSessionsOfCustomers": {"dynamodb:Query"},
		"ReadPopularity":          {"s3:GetObject"},
		"PutEvents":               {"kinesis:PutRecord"},
	} {
		require.GreaterOrEqual(t, len(statements[name]), len(want), name)
		assert.Equal(t, want, statements[name][:len(want)], name)
	}
	assert.True(t, strings.HasSuffix(statements["FindSessionsOfCustomers"][1], "/index/customer_number-event_time"))
	assert.True(t, strings.HasSuffix(statements["ReadPopularity"][1], "/models/*/manifest.json"))
	assert.True(t, strings.HasSuffix(statements["ReadPopularity"][2], "/models/*/popularity/item_popularity.csv"))

	for name, more := range map[string][]string{
		"every index":        {"dynamodb:Query", "arn:aws:dynamodb:us-east-1:1:table/t/index/*"},
		"every table":        {"dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:1:table/*"},
		"a scan":             {"dynamodb:Scan", "arn:aws:dynamodb:us-east-1:1:table/t"},
		"customers' vectors": {"s3:GetObject", "arn:aws:s3:::b/models/*"},
		"another login":      {"rds-db:connect", "arn:aws:rds-db:us-east-1:1:dbuser:db/inference_reader"},
		"every login":        {"rds-db:connect", "arn:aws:rds-db:us-east-1:1:dbuser:db/*"},
		"events":             {"kinesis:PutRecord", "arn:aws:kinesis:us-east-1:1:stream/s"},
	} {
		assert.NotEmpty(t, tooMuch(map[string][]string{"More": more}, false), name)
	}
}

// TestWeb_aBackendMayAskMoreThanABrowser: one address bears the requests of a whole shop.
func TestWeb_aBackendMayAskMoreThanABrowser(t *testing.T) {
	limits := func(settings ...string) []string {
		var found []string
		for _, rule := range one(t, web(t, settings...), "AWS::WAFv2::WebACL").Properties["Rules"].([]any) {
			r := rule.(map[string]any)
			statement, _ := r["Statement"].(map[string]any)["RateBasedStatement"].(map[string]any)
			if statement == nil {
				continue
			}
			scope := string(compact(statement["ScopeDownStatement"]))
			found = append(found, fmt.Sprint(r["Priority"], " ", statement["Limit"], " ",
				strings.Contains(scope, `"PositionalConstraint":"STARTS_WITH","SearchString":"/api/v1/"`), " ",
				strings.Contains(scope, "NotStatement")))
		}
		return found
	}
	assert.Equal(t, []string{"0 2000 true true", "1 120000 true false"}, limits(byToken...),
		"6,000 a minute of each of four servers, for five minutes")
	assert.Equal(t, []string{"0 2000 false false"}, limits("profile=prod"))
}

// TestWeb_aWaitIsNoSlowness: a request that waits for an event's answer is held up to 25 s.
func TestWeb_aWaitIsNoSlowness(t *testing.T) {
	for _, r := range web(t, "profile=lean").Resources {
		if r.Type == "AWS::CloudWatch::Alarm" && r.Properties["MetricName"] == "TargetResponseTime" {
			assert.Equal(t, "p50", r.Properties["ExtendedStatistic"])
			assert.EqualValues(t, 2, r.Properties["Threshold"])
			return
		}
	}
	assert.Fail(t, "no alarm hears of slow answers")
}

func TestWeb_fleetGrowsAndRollsByItself(t *testing.T) {
	want := map[string]struct {
		instance, least, most string
		requests              float64
	}{
		"lean":     {"t4g.nano", "2", "4", 3000},
		"standard": {"t4g.micro", "2", "4", 6000},
		"prod":     {"t4g.small", "2", "8", 12000},
		"course":   {"t3.micro", "2", "4", 60},
	}
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			built := synth(t, "profile="+profile)
			stack, want := built.templates["Web"], want[profile]
			group := one(t, stack, "AWS::AutoScaling::AutoScalingGroup")
			assert.Equal(t, want.least, group.Properties["MinSize"])
			assert.Equal(t, want.most, group.Properties["MaxSize"])
			assert.NotContains(t, group.Properties, "DesiredCapacity", "a deployment would undo what scaling did")
			assert.Equal(t, "ELB", group.Properties["HealthCheckType"])
			assert.EqualValues(t, 180, group.Properties["HealthCheckGracePeriod"])
			assert.EqualValues(t, 60, group.Properties["DefaultInstanceWarmup"])
			zones := map[string]bool{}
			for _, subnet := range group.Properties["VPCZoneIdentifier"].([]any) {
				_, r := built.find(built.target("Web", subnet))
				zones[string(compact(r.Properties["AvailabilityZone"]))] = true
				assert.Contains(t, built.target("Web", subnet), "ApplicationSubnet")
			}
			assert.Len(t, zones, 2)

			data := one(t, stack, "AWS::EC2::LaunchTemplate").Properties["LaunchTemplateData"].(map[string]any)
			assert.Equal(t, want.instance, data["InstanceType"])
			assert.NotContains(t, data, "KeyName")
			assert.Equal(t, map[string]any{"HttpTokens": "required", "HttpPutResponseHopLimit": 1.0},
				data["MetadataOptions"])
			assert.Equal(t, map[string]any{"Enabled": true}, data["Monitoring"])
			assert.Contains(t, string(compact(data["BlockDeviceMappings"])), `"VolumeType":"gp3"`)

			targets := map[string]any{}
			for _, r := range stack.Resources {
				if r.Type == "AWS::AutoScaling::ScalingPolicy" {
					tracking := r.Properties["TargetTrackingConfiguration"].(map[string]any)
					metric := tracking["PredefinedMetricSpecification"].(map[string]any)["PredefinedMetricType"]
					targets[metric.(string)] = tracking["TargetValue"]
				}
			}
			assert.Equal(t, map[string]any{"ALBRequestCountPerTarget": want.requests, "ASGAverageCPUUtilization": 60.0},
				targets)
			assert.Empty(t, rollsBlindly(stack))
		})
	}
}

// rollsBlindly says how a stack's refresh could take the fleet, or "".
func rollsBlindly(stack template) string {
	for id, r := range stack.Resources {
		if r.Type != "AWS::AutoScaling::AutoScalingGroup" {
			continue
		}
		raw := stack.raw["Resources"].(map[string]any)[id].(map[string]any)
		policy, _ := raw["UpdatePolicy"].(map[string]any)
		refresh, ok := policy["AutoScalingInstanceRefresh"].(map[string]any)
		if !ok {
			return "no instance refresh: a change replaces nothing"
		}
		preferences, _ := refresh["Preferences"].(map[string]any)
		number := func(from map[string]any, name string) float64 { n, _ := from[name].(float64); return n }
		alarms := string(compact(preferences["AlarmSpecification"]))
		switch grace := number(r.Properties, "HealthCheckGracePeriod"); {
		case refresh["Strategy"] != "Rolling" || number(preferences, "MinHealthyPercentage") < 100 ||
			number(preferences, "MaxHealthyPercentage") != 150:
			return "servers go before others come"
		case number(preferences, "InstanceWarmup") < grace+30:
			return "the refresh goes on while the health check is not yet looked at"
		case number(preferences, "BakeTime") < 300 || !strings.Contains(alarms, "LoadBalancerErrors"):
			return "errors that begin after the refresh roll nothing back"
		}
	}
	return ""
}

func TestWeb_blindRefreshIsCaught(t *testing.T) {
	built := synth(t, "profile=lean")
	for name, change := range map[string]func(policy, refresh, preferences map[string]any){
		"no refresh": func(policy, _, _ map[string]any) { delete(policy, "AutoScalingInstanceRefresh") },
		"half of the servers": func(_, _, preferences map[string]any) {
			preferences["MinHealthyPercentage"] = 50.0
		},
		"warm before the health check counts": func(_, _, preferences map[string]any) {
			preferences["InstanceWarmup"] = 60.0
		},
		"no bake time": func(_, _, preferences map[string]any) { delete(preferences, "BakeTime") },
		"no alarm":     func(_, _, preferences map[string]any) { delete(preferences, "AlarmSpecification") },
	} {
		t.Run(name, func(t *testing.T) {
			broken := changed(t, built, func(string, resource) {}).templates["Web"]
			broken.raw = decoded(t, built.templates["Web"].raw)
			for _, one := range broken.raw["Resources"].(map[string]any) {
				if r := one.(map[string]any); r["Type"] == "AWS::AutoScaling::AutoScalingGroup" {
					policy := r["UpdatePolicy"].(map[string]any)
					refresh := policy["AutoScalingInstanceRefresh"].(map[string]any)
					change(policy, refresh, refresh["Preferences"].(map[string]any))
				}
			}
			assert.NotEmpty(t, rollsBlindly(broken))
		})
	}
}

func TestWeb_spotIsAboveTheMinimumOnly(t *testing.T) {
	group := one(t, web(t, spot...), "AWS::AutoScaling::AutoScalingGroup").Properties
	mixed := group["MixedInstancesPolicy"].(map[string]any)
	assert.Equal(t, map[string]any{"OnDemandBaseCapacity": 2.0, "OnDemandPercentageAboveBaseCapacity": 0.0,
		"SpotAllocationStrategy": "price-capacity-optimized"}, mixed["InstancesDistribution"])
	assert.Equal(t, "2", group["MinSize"])
	assert.Equal(t, true, group["CapacityRebalance"])
	for _, profile := range profiles {
		group := one(t, web(t, "profile="+profile), "AWS::AutoScaling::AutoScalingGroup").Properties
		assert.NotContains(t, group, "MixedInstancesPolicy", profile)
	}
}

func TestWeb_firewallStandsInProd(t *testing.T) {
	for _, profile := range profiles {
		built := synth(t, "profile="+profile)
		want := map[bool]int{true: 1}[profile == "prod"]
		assert.Equal(t, want, built.count("AWS::WAFv2::WebACL"), profile)
		assert.Equal(t, want, built.count("AWS::WAFv2::WebACLAssociation"), profile)
	}
	built := synth(t, "profile=prod")
	rules := string(compact(one(t, built.templates["Web"], "AWS::WAFv2::WebACL").Properties["Rules"]))
	assert.Contains(t, rules, `"RateBasedStatement":{"AggregateKeyType":"IP","EvaluationWindowSec":300,"Limit":2000}`)
	assert.Contains(t, rules, `"AWSManagedRulesCommonRuleSet"`)
	association := one(t, built.templates["Web"], "AWS::WAFv2::WebACLAssociation").Properties
	assert.Contains(t, built.target("Web", association["ResourceArn"]), "LoadBalancer")
	assert.Contains(t, built.target("Web", association["WebACLArn"]), "Firewall")
}

// TestWeb_firewallLetsTheLoginThrough: the common rules, and no others, leave the callback alone
// where there is a login.
func TestWeb_firewallLetsTheLoginThrough(t *testing.T) {
	const scope = `"ScopeDownStatement":{"NotStatement":{"Statement":{"ByteMatchStatement":{"FieldToMatch":` +
		`{"UriPath":{}},"PositionalConstraint":"EXACTLY","SearchString":"/oauth2/idpresponse",` +
		`"TextTransformations":[{"Priority":0,"Type":"NONE"}]}}}}`
	for name, c := range map[string]struct {
		settings []string
		login    bool
	}{"login": {loggedIn, true}, "certificate alone": {certified, false}, "prod": {[]string{"profile=prod"}, false}} {
		rules := one(t, web(t, c.settings...), "AWS::WAFv2::WebACL").Properties["Rules"].([]any)
		require.Len(t, rules, 2, name)
		for _, rule := range rules {
			text := string(compact(rule))
			common := strings.Contains(text, "AWSManagedRulesCommonRuleSet")
			assert.Equal(t, c.login && common, strings.Contains(text, scope), "%s: %s", name, text)
			assert.Equal(t, c.login && common, strings.Contains(text, "ScopeDown"), "%s: %s", name, text)
		}
	}
}

// TestWeb_aCrashLoopIsHeardOf: servers that never answer are replaced every three to four minutes,
// and between two of them nothing is unhealthy. A roll, which boots one server after the other, is
// no such thing.
func TestWeb_aCrashLoopIsHeardOf(t *testing.T) {
	loop, roll := []bool{true, true, true, false}, []bool{true, false, false, false}
	for _, metric := range []string{"UnHealthyHostCount", "GroupInServiceInstances"} {
		var found []resource
		for _, r := range web(t, "profile=lean").Resources {
			if r.Type == "AWS::CloudWatch::Alarm" && r.Properties["MetricName"] == metric {
				found = append(found, r)
			}
		}
		require.Len(t, found, 1, metric)
		periods, needed := int(found[0].Properties["EvaluationPeriods"].(float64)),
			int(found[0].Properties["DatapointsToAlarm"].(float64))
		least, most := periods, 0
		for begin := range loop {
			looping, rolling := 0, 0
			for minute := range periods {
				if loop[(begin+minute)%len(loop)] {
					looping++
				}
				if roll[(begin+minute)%len(roll)] {
					rolling++
				}
			}
			least, most = min(least, looping), max(most, rolling)
		}
		assert.LessOrEqual(t, needed, least, "%s: a crash loop must be heard of", metric)
		assert.Greater(t, needed, most, "%s: a roll must not", metric)
	}
}

// TestNetwork_serviceRolesAreThereBeforeTheyAreNeeded: every other stack waits for Network
// (TestNetwork_refusesRegionsBeforeAnythingIsCreated), and minutes lie between.
func TestNetwork_serviceRolesAreThereBeforeTheyAreNeeded(t *testing.T) {
	for _, profile := range profiles {
		var services []string
		for id, r := range synth(t, "profile="+profile).templates["Network"].Resources {
			if r.Type == "Custom::ServiceLinkedRole" {
				create := fmt.Sprint(r.Properties["Create"])
				assert.Contains(t, create, `"ignoreErrorCodesMatching":"InvalidInput"`, id)
				assert.NotContains(t, r.Properties, "Delete", "the role is the account's")
				_, service, _ := strings.Cut(create, `"AWSServiceName":"`)
				service, _, _ = strings.Cut(service, `"`)
				services = append(services, service)
			}
			for _, s := range policiesOf(r) {
				if slices.Contains(list(s["Action"]), "iam:CreateServiceLinkedRole") {
					assert.Regexp(t, `role/aws-service-role/[a-z]+\.amazonaws\.com/\*$`, rendered(s["Resource"]), id)
				}
			}
		}
		assert.ElementsMatch(t, []string{"autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com",
			"rds.amazonaws.com", "spot.amazonaws.com"}, services, profile)
	}
}
