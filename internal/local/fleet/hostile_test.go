package fleet

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
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
	at, err := url.Parse(m.endpoint())
	require.NoError(t, err)
	password, _ := at.User.Password()
	ask := func(method, path, header, value string) string {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+at.Host+path, nil)
		require.NoError(t, err)
		request.SetBasicAuth(at.User.Username(), password)
		request.Header.Set(header, value)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode, "%s", body)
		return string(body)
	}
	token := func() string { return ask(http.MethodPut, "/latest/api/token", lifeHeader, "60") }
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte(at.User.String()))
	samples := []hostiletest.Sample{
		{Name: "token", Method: http.MethodPut, Path: "/latest/api/token",
			Headers: map[string]string{lifeHeader: "60", "Authorization": login}},
		{Name: "id", Method: http.MethodGet, Path: "/latest/meta-data/instance-id",
			Headers: map[string]string{"Authorization": login}},
	}
	statuses := hostiletest.Fuzz(t, at.Host, hostiletest.Requests(1, 500, samples), func() {
		assert.Equal(t, "i-1", ask(http.MethodGet, "/latest/meta-data/instance-id", tokenHeader, token()))
	})
	assert.NotZero(t, statuses[http.StatusOK], "some of them are let in")
	assert.Zero(t, statuses[http.StatusInternalServerError])
	for range 2 * mostTokens {
		token()
	}
	assert.LessOrEqual(t, len(m.tokens), mostTokens, "who asks for ever takes no memory for ever")
}
