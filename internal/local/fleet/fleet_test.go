package fleet

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/load/loadtest"
	"diecast/internal/local/balancer"
	"diecast/internal/local/server/servertest"
)

const (
	patience = 30 * time.Second
	watch    = 5 * time.Millisecond
)

// stage is a group of the specimen behind a load balancer.
type stage struct {
	host    *Host
	group   Group
	targets *balancer.Group
	page    string
	source  string

	mutex sync.Mutex
	told  []string
}

// write makes the specimen's source one of this version.
func write(t *testing.T, source, version string) {
	t.Helper()
	program, err := os.ReadFile(filepath.Join("testdata", "specimen", "main.go"))
	require.NoError(t, err)
	text := strings.Replace(string(program), `version = "one"`, `version = "`+version+`"`, 1)
	require.NoError(t, os.WriteFile(filepath.Join(source, "go.mod"), []byte("module specimen\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"), []byte(text), 0o600))
}

func prepare(t *testing.T, version string) *stage {
	t.Helper()
	host, err := Start(t.Context(), Options{
		Dir: t.TempDir(), Account: "000000000000", Region: "eu-central-1",
		Credentials: aws.Credentials{AccessKeyID: "AKIALOCAL", SecretAccessKey: "laptop"},
		Environment: map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
	})
	require.NoError(t, err)
	good, err := balancer.ParseMatcher("200")
	require.NoError(t, err)
	s := &stage{host: host, source: t.TempDir()}
	s.targets = balancer.NewGroup(balancer.GroupOptions{
		Health: balancer.HealthCheck{Path: "/healthz", Interval: 20 * time.Millisecond, Timeout: time.Second,
			Healthy: 2, Unhealthy: 2, Good: good},
		DeregistrationDelay: 5 * time.Second,
	})
	front, err := balancer.Start(balancer.Options{})
	require.NoError(t, err)
	require.NoError(t, front.Listen(balancer.Listener{Port: 80, Forward: s.targets}))
	s.page = "http://" + front.Address()
	t.Cleanup(func() {
		require.NoError(t, host.Stop(context.Background()))
		require.NoError(t, host.Stop(context.Background()), "twice")
		require.NoError(t, front.Stop(context.Background()))
		s.targets.Stop()
	})
	write(t, s.source, version)
	s.group = Group{
		Name: "servers", Source: s.source, PortVariable: "WEB_PORT", KeyVariable: "WEB_KEY",
		Environment: map[string]string{"WEB_PORT": "8080", "NAME": "value", "AWS_ENDPOINT_URL": "http://aws.example"},
		Size:        2, Zones: []string{"eu-central-1a", "eu-central-1b"}, Grace: 10 * time.Second,
		Stopping: 5 * time.Second,
		Targets:  s.targets, Told: func(line string) {
			s.mutex.Lock()
			defer s.mutex.Unlock()
			s.told = append(s.told, line)
		},
	}
	return s
}

func start(t *testing.T, version string) *stage {
	t.Helper()
	s := prepare(t, version)
	require.NoError(t, s.host.Add(t.Context(), s.group))
	return s
}

func (s *stage) said() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return strings.Join(s.told, "\n")
}

func (s *stage) client() *autoscaling.Client {
	return autoscaling.New(autoscaling.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(s.host.Endpoint()), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIALOCAL", "laptop", ""),
	})
}

// instances are their ids by zone, as the API tells them.
func (s *stage) instances(t *testing.T) map[string]string {
	t.Helper()
	answer, err := s.client().DescribeAutoScalingGroups(t.Context(),
		&autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"servers"}})
	require.NoError(t, err)
	require.Len(t, answer.AutoScalingGroups, 1)
	all := map[string]string{}
	for _, i := range answer.AutoScalingGroups[0].Instances {
		all[*i.AvailabilityZone] = *i.InstanceId
	}
	return all
}

func (s *stage) refresh(t *testing.T) types.InstanceRefresh {
	t.Helper()
	started, err := s.client().StartInstanceRefresh(t.Context(),
		&autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: aws.String("servers")})
	require.NoError(t, err)
	var told types.InstanceRefresh
	require.Eventually(t, func() bool {
		answer, err := s.client().DescribeInstanceRefreshes(t.Context(), &autoscaling.DescribeInstanceRefreshesInput{
			AutoScalingGroupName: aws.String("servers"), InstanceRefreshIds: []string{*started.InstanceRefreshId},
		})
		require.NoError(t, err)
		require.Len(t, answer.InstanceRefreshes, 1)
		told = answer.InstanceRefreshes[0]
		return told.EndTime != nil
	}, patience, watch)
	return told
}

func TestInstancesStandInTheZonesByTurns(t *testing.T) {
	s := start(t, "one")
	instances := s.instances(t)
	require.Len(t, instances, 2)
	ids, zones := map[string]bool{}, map[string]bool{}
	for range 2 {
		ids[servertest.Get(t, s.page+"/id")] = true
	}
	for range 2 {
		zones[servertest.Get(t, s.page+"/zone")] = true
	}
	assert.Equal(t, map[string]bool{"eu-central-1a": true, "eu-central-1b": true}, zones)
	assert.Equal(t, map[string]bool{instances["eu-central-1a"]: true, instances["eu-central-1b"]: true}, ids)

	variables := strings.Split(strings.TrimSpace(servertest.Get(t, s.page+"/environment")), "\n")
	for _, want := range []string{"NAME=value", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_ACCESS_KEY_ID=AKIALOCAL"} {
		assert.Contains(t, variables, want)
	}
	assert.NotContains(t, variables, "WEB_PORT=8080", "each instance has a port of its own")
	names := map[string]bool{}
	for _, variable := range variables {
		name, _, _ := strings.Cut(variable, "=")
		names[name] = true
	}
	assert.NotContains(t, names, "GOCACHE", "nothing comes from this process")
	assert.ErrorContains(t, s.host.Add(t.Context(), s.group), "it was added before")
}

// An instance that dies is replaced in its zone, and costs those who ask for pages nothing.
func TestDeadInstanceIsReplaced(t *testing.T) {
	s := start(t, "one")
	before := s.instances(t)
	report := loadtest.During(t, s.page, 200, func() {
		g, err := s.host.find("servers")
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(g.members()[0].server.PID(), syscall.SIGKILL))
		require.Eventually(t, func() bool {
			now := s.instances(t)
			return len(now) == 2 && now["eu-central-1a"] != before["eu-central-1a"]
		}, patience, watch)
	})
	assert.Equal(t, report.Requests, report.Succeeded, "%v %v", report.Statuses, report.Errors)
	assert.Equal(t, before["eu-central-1b"], s.instances(t)["eu-central-1b"], "the other runs on")
	assert.Contains(t, s.said(), "instance "+before["eu-central-1a"]+" in eu-central-1a has ended")
	assert.Contains(t, s.said(), "signal: killed")
	require.Eventually(t, func() bool { return strings.Contains(s.said(), "is healthy") }, patience, watch)
}

func TestUnhealthyInstanceIsReplaced(t *testing.T) {
	s := start(t, "one")
	before := s.instances(t)
	servertest.Get(t, s.page+"/fall-ill")
	require.Eventually(t, func() bool {
		now := s.instances(t)
		return len(now) == 2 && (now["eu-central-1a"] != before["eu-central-1a"] ||
			now["eu-central-1b"] != before["eu-central-1b"])
	}, patience, watch)
	assert.Contains(t, s.said(), "fails its health checks")
}

func TestInstanceWithoutItsMetadataServiceIsReplaced(t *testing.T) {
	s := start(t, "one")
	before := s.instances(t)
	g, err := s.host.find("servers")
	require.NoError(t, err)
	require.NoError(t, g.members()[0].metadata.listener.Close())
	require.Eventually(t, func() bool {
		now := s.instances(t)
		return len(now) == 2 && now["eu-central-1a"] != before["eu-central-1a"]
	}, patience, watch)
	assert.Contains(t, s.said(), "instance "+before["eu-central-1a"]+" in eu-central-1a has lost its metadata service")
}

func TestTerminatedInstanceIsReplaced(t *testing.T) {
	s := start(t, "one")
	before := s.instances(t)
	report := loadtest.During(t, s.page, 200, func() {
		_, err := s.client().TerminateInstanceInAutoScalingGroup(t.Context(),
			&autoscaling.TerminateInstanceInAutoScalingGroupInput{
				InstanceId: aws.String(before["eu-central-1b"]), ShouldDecrementDesiredCapacity: aws.Bool(false),
			})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return s.instances(t)["eu-central-1b"] != before["eu-central-1b"] },
			patience, watch)
	})
	assert.Equal(t, report.Requests, report.Succeeded, "%v %v", report.Statuses, report.Errors)
	assert.Zero(t, s.targets.Retried(), "it was drained")
}

// A refresh tells what requests would have met on AWS, of those alone that came while it lasted.
func TestARefreshTellsWhatItWouldHaveCostOnAWS(t *testing.T) {
	s := prepare(t, "one")
	counted := &counting{Targets: s.targets, retried: []int{3, 5}}
	s.group.Targets = counted
	require.NoError(t, s.host.Add(t.Context(), s.group))
	told := s.refresh(t)
	assert.Equal(t, types.InstanceRefreshStatusSuccessful, told.Status)
	assert.Equal(t, "on AWS, 2 requests would have been answered with 502", aws.ToString(told.StatusReason))
}

// counting says how many were retried, one answer after the other.
type counting struct {
	Targets
	retried []int
}

func (c *counting) Retried() int {
	next := c.retried[0]
	c.retried = c.retried[1:]
	return next
}

// Rolling to another build loses no request at all, and needs no luck: none had to be sent twice.
func TestRollingLosesNoRequest(t *testing.T) {
	s := start(t, "one")
	before := s.instances(t)
	require.Equal(t, "one", servertest.Get(t, s.page))
	write(t, s.source, "two")
	var told types.InstanceRefresh
	report := loadtest.During(t, s.page, 200, func() { told = s.refresh(t) })
	assert.Equal(t, types.InstanceRefreshStatusSuccessful, told.Status, aws.ToString(told.StatusReason))
	assert.EqualValues(t, 100, *told.PercentageComplete)
	assert.Zero(t, *told.InstancesToUpdate)
	assert.Greater(t, report.Requests, 50)
	assert.Equal(t, report.Requests, report.Succeeded, "%v %v", report.Statuses, report.Errors)
	assert.Zero(t, s.targets.Retried())
	for range 4 {
		assert.Equal(t, "two", servertest.Get(t, s.page))
	}
	now := s.instances(t)
	assert.Len(t, now, 2)
	for zone := range before {
		assert.NotEqual(t, before[zone], now[zone])
	}
}

// A build that is never healthy, does not start or does not compile never takes the group.
func TestBadBuildIsNotRolled(t *testing.T) {
	for version, want := range map[string]struct {
		status types.InstanceRefreshStatus
		reason string
	}{
		"ill":  {types.InstanceRefreshStatusRollbackSuccessful, "503 Service Unavailable"},
		"dead": {types.InstanceRefreshStatusRollbackSuccessful, "this build does not start"},
		`"x`:   {types.InstanceRefreshStatusFailed, "syntax error"},
	} {
		t.Run(version, func(t *testing.T) {
			s := prepare(t, "one")
			s.group.Grace = 2 * time.Second
			require.NoError(t, s.host.Add(t.Context(), s.group))
			before := s.instances(t)
			write(t, s.source, version)
			var told types.InstanceRefresh
			report := loadtest.During(t, s.page, 200, func() { told = s.refresh(t) })
			assert.Equal(t, want.status, told.Status)
			assert.Contains(t, aws.ToString(told.StatusReason), want.reason)
			assert.Equal(t, report.Requests, report.Succeeded, "%v %v", report.Statuses, report.Errors)
			assert.Equal(t, before, s.instances(t))
			assert.Equal(t, "one", servertest.Get(t, s.page))
		})
	}
}

// Where a later instance fails, those before it are rolled back.
func TestHalfRolledGroupIsRolledBack(t *testing.T) {
	s := start(t, "one")
	g, err := s.host.find("servers")
	require.NoError(t, err)
	good, err := s.host.compile(t.Context(), s.source)
	require.NoError(t, err)
	calls := 0
	err = g.roll(good, func(done, of int) {
		if calls++; calls == 2 { // after the first instance
			require.NoError(t, os.Remove(good))
		}
	})
	require.ErrorIs(t, err, errRolledBack)
	for _, i := range g.members() {
		assert.Equal(t, g.executable, i.executable)
		assert.NotEqual(t, good, i.executable)
	}
	assert.Len(t, s.instances(t), 2)
}

func TestGroupThatCannotStartIsToldWhy(t *testing.T) {
	s := prepare(t, "dead")
	err := s.host.Add(t.Context(), s.group)
	require.ErrorContains(t, err, "exit status 3")
	assert.ErrorContains(t, err, "this build does not start")
	assert.Empty(t, s.targets.Targets(), "nothing is left")

	s = prepare(t, "ill")
	s.group.Grace = time.Second
	err = s.host.Add(t.Context(), s.group)
	require.ErrorContains(t, err, "grace period of 1s is over")
	assert.ErrorContains(t, err, "503 Service Unavailable")
	assert.Empty(t, s.targets.Targets(), "nothing is left")
}

func TestStopLeavesNothing(t *testing.T) {
	s := start(t, "one")
	g, err := s.host.find("servers")
	require.NoError(t, err)
	members := g.members()
	require.NoError(t, s.host.Stop(t.Context()))
	require.NoError(t, s.host.Err())
	for _, i := range members {
		select {
		case <-i.server.Exited():
		default:
			t.Errorf("%s runs on", i.id)
		}
		log, err := os.ReadFile(i.server.LogFile())
		require.NoError(t, err)
		assert.Contains(t, string(log), "asked to end")
		_, err = http.Get(i.metadata.endpoint())
		assert.Error(t, err)
	}
	assert.Empty(t, s.targets.Targets())
}

// Every user of this machine reaches an instance's port: it serves its load balancer alone, and a
// program that serves everybody is not launched.
func TestInstancesServeTheirTargetGroupAlone(t *testing.T) {
	s := start(t, "one")
	g, err := s.host.find("servers")
	require.NoError(t, err)
	for _, i := range g.members() {
		for _, path := range []string{"/", "/healthz", "/environment"} {
			response, err := http.Get("http://" + i.server.Address() + path)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusForbidden, response.StatusCode, path)
		}
	}
	open := prepare(t, "open")
	err = open.host.Add(t.Context(), open.group)
	require.ErrorContains(t, err, "it answers 200 OK to who does not tell its key in X-Diecast-Key: it must answer 403")
}

func TestAllProblemsOfAGroupAreNamed(t *testing.T) {
	err := Group{PortVariable: "PORT"}.Validate()
	for _, want := range []string{"0 instances", "no zone", "lacks PORT", "0s until healthy",
		"no variable takes the key"} {
		assert.ErrorContains(t, err, want)
	}
}

func TestAPIRefusesWhatItDoesNotHonour(t *testing.T) {
	s := start(t, "one")
	ctx, client := t.Context(), s.client()
	_, err := client.StartInstanceRefresh(ctx,
		&autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: aws.String("x")})
	assert.ErrorContains(t, err, `no group is called "x"; there are [servers]`)
	_, err = client.StartInstanceRefresh(ctx, &autoscaling.StartInstanceRefreshInput{
		AutoScalingGroupName: aws.String("servers"), Strategy: types.RefreshStrategyReplaceRootVolume})
	assert.ErrorContains(t, err, "only Rolling")
	_, err = client.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{
		AutoScalingGroupName: aws.String("servers"), DesiredCapacity: aws.Int32(3)})
	assert.ErrorContains(t, err, `InvalidAction: "SetDesiredCapacity" is not known here`)
	_, err = client.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
		InstanceId: aws.String("i-1"), ShouldDecrementDesiredCapacity: aws.Bool(false)})
	assert.ErrorContains(t, err, "no instance")
	_, err = client.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
		InstanceId: aws.String("i-1"), ShouldDecrementDesiredCapacity: aws.Bool(true)})
	assert.ErrorContains(t, err, "keeps its size")
	_, err = client.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{
		Filters: []types.Filter{{Name: aws.String("tag-key"), Values: []string{"x"}}}})
	assert.ErrorContains(t, err, "Filters is not known here")
}

// What EC2's own client asks for is told to those with a token, and to nobody else.
func TestMetadataServiceSpeaksVersionTwo(t *testing.T) {
	m, err := startMetadata("i-0123", "eu-central-1a", "eu-central-1")
	require.NoError(t, err)
	defer func() { require.NoError(t, m.stop()) }()
	client := imds.New(imds.Options{Endpoint: m.endpoint(), EnableFallback: aws.FalseTernary})
	for path, want := range map[string]string{
		"instance-id": "i-0123", "placement/availability-zone": "eu-central-1a", "placement/region": "eu-central-1",
	} {
		answer, err := client.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: path})
		require.NoError(t, err)
		content, err := io.ReadAll(answer.Content)
		require.NoError(t, err)
		assert.Equal(t, want, string(content))
	}
	_, at, _ := strings.Cut(m.endpoint(), "@")
	for _, address := range []string{"http://" + at, "http://instance:other@" + at} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, address+"/latest/api/token", nil)
		require.NoError(t, err)
		request.Header.Set(lifeHeader, "60")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusForbidden, response.StatusCode, "another user of this machine")
	}
	response, err := http.Get(m.endpoint() + "/latest/meta-data/instance-id")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode, "version 1 asks without a token")
	_, err = client.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: "iam/security-credentials/"})
	assert.Error(t, err)
}

func TestIDsAreLikeEC2s(t *testing.T) {
	ids := []string{newID(), newID()}
	for _, id := range ids {
		assert.Regexp(t, `^i-[0-9a-f]{17}$`, id)
	}
	assert.Len(t, slices.Compact(ids), 2)
}
