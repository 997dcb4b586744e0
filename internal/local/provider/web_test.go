package provider

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/assembly"
	"diecast/internal/deployment"
	"diecast/internal/local/engine"
	"diecast/internal/local/server/servertest"
)

const (
	targetGroupType  = "AWS::ElasticLoadBalancingV2::TargetGroup"
	loadBalancerType = "AWS::ElasticLoadBalancingV2::LoadBalancer"
	listenerType     = "AWS::ElasticLoadBalancingV2::Listener"
	serverGroupType  = "AWS::AutoScaling::AutoScalingGroup"
)

// specimenModule is the root of a module that holds the specimen as this one does.
func specimenModule(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	program, err := os.ReadFile("../fleet/testdata/specimen/main.go")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module specimen\n"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "web"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(root, "web", "main.go"), program, 0o600))
	return root
}

func targetGroupForm() *assembly.TargetGroup {
	return &assembly.TargetGroup{
		HealthPath: "/healthz", HealthyStatuses: "200", HealthInterval: 50 * time.Millisecond,
		HealthTimeout:    time.Second,
		HealthyThreshold: 2, UnhealthyThreshold: 2, DeregistrationDelay: 5 * time.Second, MinimumHealthy: 1,
	}
}

func serverGroupForm(targets string) *assembly.ServerGroup {
	return &assembly.ServerGroup{
		Name: "servers", Source: "web", Environment: map[string]string{"WEB_PORT": "8080"}, Size: 2, Zones: 2,
		Grace: 10 * time.Second, TargetGroupARN: targets,
	}
}

// Servers of a group answer at the balancer's name, one in each zone.
func TestWebTier(t *testing.T) {
	run := start(t, engine.Moto, engine.Dynalite, engine.Kinesalite, engine.FleetHost)
	run.Source = specimenModule(t)
	targets := create(t, run, targetGroupType, "Targets", targetGroupForm())
	assert.Regexp(t, "^arn:aws:elasticloadbalancing:us-east-1:000000000000:"+
		"targetgroup/shop-A-Targets-[0-9a-f]{8}/[0-9a-f]{16}$",
		targets.Ref)
	balancer := create(t, run, loadBalancerType, "Balancer",
		&assembly.LoadBalancer{Name: "pages", Idle: time.Minute, KeepAlive: time.Hour, ForwardedFor: "append"})
	assert.Regexp(t, ":loadbalancer/app/pages/[0-9a-f]{16}$", balancer.Ref)
	listening := create(t, run, listenerType, "Http",
		&assembly.Listener{LoadBalancerARN: balancer.Ref, Port: 80, TargetGroupARN: targets.Ref})
	assert.True(t, strings.HasPrefix(listening.Ref, strings.Replace(balancer.Ref, "loadbalancer/", "listener/", 1)+"/"),
		"a listener's ARN holds its balancer's name")
	group := create(t, run, serverGroupType, "Servers", serverGroupForm(targets.Ref))
	assert.Equal(t, "servers", group.Ref)

	page := pageOf(t, balancer)
	assert.ElementsMatch(t, []string{"us-east-1a", "us-east-1b"},
		[]string{servertest.Get(t, page+"/zone"), servertest.Get(t, page+"/zone")})
	variables := servertest.Get(t, page+"/environment")
	assert.Contains(t, variables, "AWS_ENDPOINT_URL=http://127.0.0.1:", "no call leaves the machine")
	assert.Contains(t, variables, "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:", "where the rows lie")
	assert.Contains(t, variables, "AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:", "where the shop's events go")
	assert.Contains(t, variables, "WEB_SHOP=true", "the shop is shown, whatever the template says")

	for want, typed := range map[string]*assembly.Listener{
		`"nobody" is no target group`:     {LoadBalancerARN: balancer.Ref, Secure: true, TargetGroupARN: "nobody"},
		`"nobody" is no load balancer`:    {LoadBalancerARN: "nobody", TargetGroupARN: targets.Ref},
		"the one on port 80 has the same": {LoadBalancerARN: balancer.Ref, Port: 81, TargetGroupARN: targets.Ref},
	} {
		_, err := run.Create(t.Context(), resource(listenerType, "Other"), typed)
		assert.ErrorContains(t, err, want)
	}
	_, err := run.Create(t.Context(), resource(serverGroupType, "Other"), serverGroupForm("nobody"))
	assert.ErrorContains(t, err, `"nobody" is no target group of the template`)
}

// pageOf is the address of a load balancer's pages for a program.
func pageOf(t *testing.T, balancer assembly.Creation) string {
	t.Helper()
	page, err := deployment.PageLogin("http://" + balancer.Attributes["DNSName"].(string))
	require.NoError(t, err)
	return page.String()
}

func TestRedirectingListener(t *testing.T) {
	run := start(t)
	balancer := create(t, run, loadBalancerType, "Balancer",
		&assembly.LoadBalancer{Idle: time.Minute, KeepAlive: time.Hour, ForwardedFor: "append"})
	create(t, run, listenerType, "Http", &assembly.Listener{LoadBalancerARN: balancer.Ref, Port: 80,
		Redirect: &assembly.Redirect{Permanent: true, Protocol: "HTTPS", Host: "shop.example", Port: "443",
			Path: "/#{path}", Query: "#{query}"}})
	client := &http.Client{Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(pageOf(t, balancer) + "/sales?a=b")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusMovedPermanently, response.StatusCode)
	assert.Equal(t, "https://shop.example:443/sales?a=b", response.Header.Get("Location"))
}

func TestWebTierIsCheckedBeforeAnythingStarts(t *testing.T) {
	options := Options{Source: specimenModule(t), Dir: t.TempDir()}
	refused := func(kind string, typed any) string {
		problems := of(kind).refused(t.Context(), options, resource(kind, "X"), typed)
		if len(problems) == 0 {
			return ""
		}
		return problems.Error()
	}
	assert.Empty(t, refused(serverGroupType, serverGroupForm("")))
	assert.Empty(t, refused(targetGroupType, targetGroupForm()))

	elsewhere := serverGroupForm("")
	elsewhere.Source = "elsewhere"
	assert.Contains(t, refused(serverGroupType, elsewhere), "A/X Metadata.diecast:server.package: is elsewhere")
	portless := serverGroupForm("")
	portless.Environment = map[string]string{}
	assert.Contains(t, refused(serverGroupType, portless), "lacks WEB_PORT")
	odd := targetGroupForm()
	odd.HealthyStatuses = "good"
	assert.Contains(t, refused(targetGroupType, odd), `A/X Properties.Matcher.HttpCode: "good" is no status`)
}
