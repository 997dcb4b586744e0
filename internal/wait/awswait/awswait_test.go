package awswait

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// configuration reaches one address, and asks twice at most, without pauses.
func configuration(address string, client aws.HTTPClient) aws.Config {
	return aws.Config{
		Region: "eu-central-1", BaseEndpoint: &address, HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff = 2, time.Millisecond
			})
		},
	}
}

// TestServicesAnswers asks real clients, so that codes are read as the SDK reads them.
func TestServicesAnswers(t *testing.T) {
	answers := map[string]struct {
		status int
		code   string
		final  bool
	}{
		"denied":           {403, "AccessDeniedException", true},
		"token expired":    {400, "ExpiredTokenException", true},
		"unknown client":   {403, "UnrecognizedClientException", true},
		"no such stream":   {400, "ResourceNotFoundException", true},
		"wrong request":    {400, "ValidationException", true},
		"throttled":        {400, "ProvisionedThroughputExceededException", false},
		"limit":            {400, "LimitExceededException", false},
		"throttled by KMS": {400, "KMSThrottlingException", false},
		"failed":           {500, "InternalFailure", false},
		"unavailable":      {503, "ServiceUnavailable", false},
	}
	for name, answer := range answers {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-ErrorType", answer.code)
			w.WriteHeader(answer.status)
			_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"told"}`, answer.code)
		}))
		client := kinesis.NewFromConfig(configuration(server.URL, server.Client()))
		_, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("activity")})
		require.ErrorContains(t, err, "told", name)
		assert.Equal(t, answer.final, Final(err), name)
		server.Close()
	}
}

func TestS3sAnswers(t *testing.T) {
	for status, test := range map[int]struct {
		code  string
		final bool
	}{404: {"NoSuchBucket", true}, 403: {"AccessDenied", true}, 503: {"SlowDown", false}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", test.code)
		}))
		client := s3.NewFromConfig(configuration(server.URL, server.Client()))
		_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("k")})
		require.Error(t, err)
		assert.Equal(t, test.final, Final(err), test.code)
		server.Close()
	}
}

func TestConnectionsThatDoNotComeAbout(t *testing.T) {
	ask := func(address string, client aws.HTTPClient) error {
		_, err := kinesis.NewFromConfig(configuration(address, client)).ListShards(t.Context(),
			&kinesis.ListShardsInput{StreamName: aws.String("activity")})
		require.Error(t, err)
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	assert.False(t, Final(ask("http://"+address, http.DefaultClient)), "somebody may come back")

	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	defer stranger.Close()
	assert.True(t, Final(ask(stranger.URL, &http.Client{})), "a certificate that is not trusted")

	assert.False(t, Final(errors.New("anything")))
	assert.False(t, Final(context.DeadlineExceeded))
	assert.False(t, Final(nil))
}
