package platform

import (
	"cmp"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
	"diecast/internal/environment"
	"diecast/internal/load/loadtest"
	"diecast/internal/local/balancer"
	"diecast/internal/local/demonstration"
	"diecast/test/browser"
)

// Two servers, one in each zone, show the shop's sales behind the page's address, which a browser
// reads; one that dies and a roll cost those who read the pages nothing, and a database that dies
// costs them the news.
func TestPagesGoOnWhateverBecomesOfTheirServers(t *testing.T) {
	running := start(t, changed(t, map[string]func(map[string]any){
		"Web": func(resources map[string]any) { serverVariables(t, resources)["WEB_REFRESH_SECONDS"] = "5" },
	}))
	opened := output(t, running, outputs.PageAddress)
	require.Regexp(t, `^http://127\.0\.0\.1:\d+/\?token=[A-Z2-7]{26}$`, opened)
	login, err := deployment.PageLogin(opened)
	require.NoError(t, err)
	address, browsed := login.String(), "http://"+login.Host
	before, err := demonstration.Pages(t.Context(), address)
	require.NoError(t, err)
	require.Len(t, before.Servers, 2)
	assert.Equal(t, []string{"us-east-1a", "us-east-1b"}, zones(t, running))
	assert.Equal(t, 7, before.Lines, "the shop's product lines")

	tab := browser.NewTab(t)
	tab.Visit(t, opened) // which leaves a cookie
	t.Run("figures in a browser", func(t *testing.T) {
		browser.ShowsWhatTheDatabaseHolds(t, tab, browsed, func(statement string) [][]string {
			return asText(t, running, statement)
		})
	})
	t.Run("filters by keyboard", func(t *testing.T) { browser.FiltersByKeyboard(t, tab, browsed) })
	t.Run("provenance in a browser", func(t *testing.T) {
		tab.Visit(t, browsed+"/provenance")
		text := func(id string) string {
			return browser.Value[string](t, tab, `document.getElementById("`+id+`").textContent`)
		}
		assert.Contains(t, before.Servers, text("instance")+" in "+text("zone"))
		assert.Equal(t, "in service", text("state"))
		assert.Empty(t, browser.Violations(t, tab))
	})

	t.Run("killing one", func(t *testing.T) {
		pids := named(t, "web")
		require.Len(t, pids, 2)
		report := loadtest.During(t, address+"/sales", 50, func() {
			require.NoError(t, syscall.Kill(pids[0], syscall.SIGKILL))
			untilServers(t, address, func(servers []string) bool {
				return len(servers) == 2 && (servers[0] != before.Servers[0] || servers[1] != before.Servers[1])
			})
		})
		assert.Equal(t, report.Requests, report.Succeeded, "%v %v", report.Statuses, report.Errors)
		assert.Equal(t, []string{"us-east-1a", "us-east-1b"}, zones(t, running))
		t.Log(balancer.OnAWS(running.Retried()))
		assert.Less(t, running.Retried(), report.Requests/2, "what it hides is a matter of moments")
	})
	t.Run("rolling all", func(t *testing.T) {
		groups, err := running.deployed.AutoScaling(t.Context())
		require.NoError(t, err)
		group := output(t, running, outputs.WebGroupName)
		killed, err := demonstration.Pages(t.Context(), address)
		require.NoError(t, err)
		retried := running.Retried()
		var reason string
		report := loadtest.During(t, address+"/sales", 50, func() {
			started, err := groups.StartInstanceRefresh(t.Context(),
				&autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: &group})
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				told, err := groups.DescribeInstanceRefreshes(t.Context(), &autoscaling.DescribeInstanceRefreshesInput{
					AutoScalingGroupName: &group, InstanceRefreshIds: []string{*started.InstanceRefreshId}})
				require.NoError(t, err)
				require.NotEqual(t, types.InstanceRefreshStatusFailed, told.InstanceRefreshes[0].Status)
				reason = aws.ToString(told.InstanceRefreshes[0].StatusReason)
				return told.InstanceRefreshes[0].Status == types.InstanceRefreshStatusSuccessful
			}, 2*time.Minute, 100*time.Millisecond)
		})
		assert.Equal(t, report.Requests, report.Succeeded, "%v %v", report.Statuses, report.Errors)
		after, err := demonstration.Pages(t.Context(), address)
		require.NoError(t, err)
		require.Len(t, after.Servers, 2)
		for _, server := range killed.Servers {
			assert.NotContains(t, after.Servers, server)
		}
		assert.Equal(t, killed.Revenue, after.Revenue)
		assert.Equal(t, retried, running.Retried(), "a roll needs no second server")
		assert.Equal(t, balancer.OnAWS(0), reason)
	})
	t.Run("killing the database", func(t *testing.T) {
		tab.Visit(t, browsed+"/sales")
		shown := browser.Value[[]string](t, tab, browser.Texts(".cards .value"))
		assert.Empty(t, browser.Value[[]string](t, tab, browser.Texts(".notice")))
		databases := named(t, "mariadbd")
		require.Len(t, databases, 1)
		require.NoError(t, syscall.Kill(databases[0], syscall.SIGKILL))
		require.Eventually(t, func() bool { // both servers say it
			for range 2 {
				tab.Visit(t, browsed+"/sales")
				notices := browser.Value[[]string](t, tab, browser.Texts(".notice"))
				if len(notices) != 1 || !strings.Contains(notices[0], "the database cannot be reached") {
					return false
				}
			}
			return true
		}, time.Minute, 200*time.Millisecond)
		assert.Equal(t, shown, browser.Value[[]string](t, tab, browser.Texts(".cards .value")))
		assert.Empty(t, browser.Violations(t, tab))
		tab.Shoot(t, "database-away")
		pages, err := demonstration.Pages(t.Context(), address)
		require.NoError(t, err)
		assert.Len(t, pages.Servers, 2, "no server leaves the balancer for it")
	})
	tab.Quiet(t)
}

// asText is a query through the source's loader, no value of which is null.
func asText(t *testing.T, running started, statement string) [][]string {
	t.Helper()
	table, refused := ask(t, running.deployed, outputs.SourceLoaderFunctionName, statement)
	require.Empty(t, refused, statement)
	rows := make([][]string, len(table.Rows))
	for i, row := range table.Rows {
		for _, value := range row {
			require.NotNil(t, value)
			rows[i] = append(rows[i], *value)
		}
	}
	return rows
}

// serverVariables are the environment of the web servers in a template.
func serverVariables(t *testing.T, resources map[string]any) map[string]any {
	t.Helper()
	for _, one := range resources {
		resource := one.(map[string]any)
		if resource["Type"] == "AWS::AutoScaling::AutoScalingGroup" {
			told := resource["Metadata"].(map[string]any)["diecast:server"].(map[string]any)
			return told["environment"].(map[string]any)
		}
	}
	require.Fail(t, "the template has no group of servers")
	return nil
}

// For each type of the web tier, one property is changed in the template alone, and the behaviour
// changes with it.
func TestTemplatesRule_web(t *testing.T) {
	edited := changed(t, map[string]func(map[string]any){
		"Web": func(resources map[string]any) {
			properties(t, resources, "AWS::AutoScaling::AutoScalingGroup", "Fleet")["MinSize"] = "3"
			balancer := properties(t, resources, "AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancer")
			for _, one := range balancer["LoadBalancerAttributes"].([]any) {
				if attribute := one.(map[string]any); attribute["Key"] == "idle_timeout.timeout_seconds" {
					attribute["Value"] = "1"
				}
			}
			targets := properties(t, resources, "AWS::ElasticLoadBalancingV2::TargetGroup", "LoadBalancer")
			targets["HealthCheckPath"], targets["Matcher"] = "/nowhere", map[string]any{"HttpCode": "404"}
			listener := properties(t, resources, "AWS::ElasticLoadBalancingV2::Listener", "LoadBalancer")
			listener["DefaultActions"] = []any{map[string]any{"Type": "redirect", "RedirectConfig": map[string]any{
				"StatusCode": "HTTP_302", "Host": "elsewhere.example", "Port": "8080"}}}
		},
	})
	running := start(t, edited) // the servers are healthy: the other path answers with the other status
	t.Run("servers reach what they read", func(t *testing.T) { reachesWhatItReads(t, running) })
	assert.Equal(t, []string{"us-east-1a", "us-east-1b", "us-east-1a"}, zones(t, running))
	address, err := deployment.PageLogin(output(t, running, outputs.PageAddress))
	require.NoError(t, err)
	client := &http.Client{Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(address.String() + "/sales")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "http://elsewhere.example:8080/sales", response.Header.Get("Location"))

	silent, err := net.Dial("tcp", address.Host)
	require.NoError(t, err)
	defer silent.Close()
	require.NoError(t, silent.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = silent.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the balancer hangs up on who says nothing for a second")
}

// reachesWhatItReads says that a server is told of the run's own table, bucket and stream, and logs
// in to the vector store as who reads items alone.
func reachesWhatItReads(t *testing.T, running started) {
	pids := named(t, "web")
	require.NotEmpty(t, pids)
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pids[0]), "environ"))
	require.NoError(t, err)
	variables := map[string]string{}
	for variable := range strings.SplitSeq(strings.TrimRight(string(text), "\x00"), "\x00") {
		name, value, _ := strings.Cut(variable, "=")
		variables[name] = value
	}
	told, err := environment.Read[environment.Web](variables)
	require.NoError(t, err)
	assert.Equal(t, environment.Recommendations{
		Table:           output(t, running, outputs.RecommendationsTableName),
		ArtifactsBucket: output(t, running, outputs.ArtifactsBucketName),
		Stream:          output(t, running, outputs.StreamName), Shop: true,
	}, told.Recommendations)
	assert.Equal(t, environment.APIKnown, told.Access)
	for _, service := range []string{"S3", "DYNAMODB", "KINESIS", "SECRETS_MANAGER"} {
		assert.Regexp(t, `^http://127\.0\.0\.1:\d+`, cmp.Or(variables["AWS_ENDPOINT_URL_"+service],
			variables["AWS_ENDPOINT_URL"]), service)
	}

	store := vectorsBy(t, running, told.StoreLogin.SecretARN)
	var user string
	var items int
	require.NoError(t, store.QueryRow(t.Context(), "SELECT current_user, count(*) FROM item_emb").Scan(&user, &items))
	assert.Equal(t, "web_reader", user)
	assert.Positive(t, items)
	_, err = store.Exec(t.Context(), "SELECT id FROM user_emb")
	assert.ErrorContains(t, err, "permission denied", "vectors of customers are not for the servers")
}

// zones of the servers, in their order.
func zones(t *testing.T, running started) []string {
	t.Helper()
	groups, err := running.deployed.AutoScaling(t.Context())
	require.NoError(t, err)
	told, err := groups.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{
		AutoScalingGroupNames: []string{output(t, running, outputs.WebGroupName)}})
	require.NoError(t, err)
	require.Len(t, told.AutoScalingGroups, 1)
	var all []string
	for _, instance := range told.AutoScalingGroups[0].Instances {
		all = append(all, aws.ToString(instance.AvailabilityZone))
	}
	return all
}

// named are this process's descendants of a program.
func named(t *testing.T, program string) []int {
	t.Helper()
	var all []int
	for _, pid := range descendants(t, os.Getpid()) {
		name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		if err == nil && strings.TrimSpace(string(name)) == program {
			all = append(all, pid)
		}
	}
	return all
}

// untilServers waits until the pages are answered by other servers.
func untilServers(t *testing.T, address string, reached func(servers []string) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		pages, err := demonstration.Pages(t.Context(), address)
		return err == nil && reached(pages.Servers)
	}, time.Minute, 100*time.Millisecond)
}
