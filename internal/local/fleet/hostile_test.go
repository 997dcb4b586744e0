package fleet

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/hostiletest"
)

func TestNoRequestEndsTheHost(t *testing.T) {
	s := start(t, "one")
	holds := func() {
		described, err := s.client().DescribeAutoScalingGroups(t.Context(),
			&autoscaling.DescribeAutoScalingGroupsInput{})
		require.NoError(t, err)
		require.Len(t, described.AutoScalingGroups, 1)
		assert.Len(t, described.AutoScalingGroups[0].Instances, 2)
	}
	var samples []hostiletest.Sample
	for _, body := range []string{
		"Action=DescribeAutoScalingGroups&Version=2011-01-01&AutoScalingGroupNames.member.1=servers",
		"Action=DescribeInstanceRefreshes&Version=2011-01-01&AutoScalingGroupName=servers",
		"Action=StartInstanceRefresh&Version=2011-01-01&AutoScalingGroupName=other&Strategy=Rolling",
		"Action=TerminateInstanceInAutoScalingGroup&Version=2011-01-01&InstanceId=i-1&ShouldDecrementDesiredCapac" +
			"ity=false",
	} {
		samples = append(samples, hostiletest.Sample{Name: body, Body: body, Headers: map[string]string{
			"Content-Type": "application/x-www-form-urlencoded",
			"Authorization": "AWS4-HMAC-SHA256 Credential=AKIALOCAL/20260101/eu-central-1/autoscaling/aws4_request, " +
				"SignedHeaders=host, Signature=a",
		}})
	}
	statuses := hostiletest.Fuzz(t, strings.TrimPrefix(s.host.Endpoint(), "http://"),
		hostiletest.Requests(1, 500, samples), holds)
	assert.Zero(t, statuses[http.StatusInternalServerError])
}

func TestNoRequestEndsTheMetadata(t *testing.T) {
	m, err := startMetadata("i-1", "eu-central-1a", "eu-central-1")
	require.NoError(t, err)
	defer func() { assert.NoError(t, m.stop()) }()
	token := func() string {
		recorded, request := httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "/latest/api/token", nil)
		request.Header.Set(lifeHeader, "60")
		m.server.Handler.ServeHTTP(recorded, request)
		require.Equal(t, http.StatusOK, recorded.Code)
		return recorded.Body.String()
	}
	samples := []hostiletest.Sample{
		{Name: "token", Method: http.MethodPut, Path: "/latest/api/token",
			Headers: map[string]string{lifeHeader: "60"}},
		{Name: "id", Method: http.MethodGet, Path: "/latest/meta-data/instance-id"},
	}
	statuses := hostiletest.Fuzz(t, strings.TrimPrefix(m.endpoint(), "http://"), hostiletest.Requests(1, 500, samples),
		func() {
			recorded, request := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet,
				"/latest/meta-data/instance-id", nil)
			request.Header.Set(tokenHeader, token())
			m.server.Handler.ServeHTTP(recorded, request)
			assert.Equal(t, "i-1", recorded.Body.String())
		})
	assert.Zero(t, statuses[http.StatusInternalServerError])
	for range 2 * mostTokens {
		token()
	}
	assert.LessOrEqual(t, len(m.tokens), mostTokens, "who asks for ever takes no memory for ever")
}
