package deployment

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// service is a server that keeps the last request's signature and path, and refuses.
type service struct {
	*httptest.Server
	calls               atomic.Int32
	authorization, path atomic.Value
}

func startService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		s.authorization.Store(r.Header.Get("Authorization"))
		s.path.Store(r.URL.Path)
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(s.Close)
	return s
}

// calls ask each service for something that answers at once.
var calls = map[string]func(context.Context, *Deployment) error{
	"KINESIS": func(ctx context.Context, d *Deployment) error {
		client, err := d.Kinesis(ctx)
		if err == nil {
			_, err = client.ListStreams(ctx, &kinesis.ListStreamsInput{})
		}
		return err
	},
	"DYNAMODB": func(ctx context.Context, d *Deployment) error {
		client, err := d.DynamoDB(ctx)
		if err == nil {
			_, err = client.ListTables(ctx, &dynamodb.ListTablesInput{})
		}
		return err
	},
	"AUTO_SCALING": func(ctx context.Context, d *Deployment) error {
		client, err := d.AutoScaling(ctx)
		if err == nil {
			_, err = client.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{})
		}
		return err
	},
	"S3": func(ctx context.Context, d *Deployment) error {
		client, err := d.S3(ctx)
		if err == nil {
			_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key")})
		}
		return err
	},
	"LAMBDA": func(ctx context.Context, d *Deployment) error {
		client, err := d.Lambda(ctx)
		if err == nil {
			_, err = client.ListFunctions(ctx, &lambda.ListFunctionsInput{})
		}
		return err
	},
	"SFN": func(ctx context.Context, d *Deployment) error {
		client, err := d.StepFunctions(ctx)
		if err == nil {
			_, err = client.ListStateMachines(ctx, &sfn.ListStateMachinesInput{})
		}
		return err
	},
	"SECRETS_MANAGER": func(ctx context.Context, d *Deployment) error {
		client, err := d.SecretsManager(ctx)
		if err == nil {
			_, err = client.ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
		}
		return err
	},
}

// elsewhere fills the environment, a profile and the instance's metadata with ways to another
// place, which must not be asked.
func elsewhere(t *testing.T) {
	t.Helper()
	wrong := startService(t)
	folder := t.TempDir()
	profile := "[profile p]\nregion = ap-south-1\nendpoint_url = " + wrong.URL + "\nuse_fips_endpoint = true\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "config"), []byte(profile), 0o600))
	credentials := "[p]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = profile\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "credentials"), []byte(credentials), 0o600))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(folder, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(folder, "credentials"))
	t.Setenv("AWS_PROFILE", "p")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "environment")
	t.Setenv("AWS_SESSION_TOKEN", "token")
	t.Setenv("AWS_REGION", "ap-south-2")
	t.Setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", wrong.URL)
	t.Setenv("AWS_ENDPOINT_URL", wrong.URL)
	t.Setenv("HTTP_PROXY", wrong.URL)
	for name := range calls {
		t.Setenv("AWS_ENDPOINT_URL_"+name, wrong.URL)
	}
	t.Cleanup(func() { assert.Zero(t, wrong.calls.Load(), "a request went elsewhere") })
}

// local is a run's file with these endpoints.
func local(t *testing.T, endpoints ...string) *Deployment {
	t.Helper()
	return read(t, `{"shop-Streaming":{},"endpoints":{`+strings.Join(endpoints, ",")+`}}`)
}

var login = []string{`"AWS_ACCESS_KEY_ID":"AKIAFILE"`, `"AWS_SECRET_ACCESS_KEY":"file"`, `"AWS_REGION":"us-east-1"`}

func TestARunsFileIsAllThatItsClientsUse(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			elsewhere(t)
			engine := startService(t)
			deployed := local(t, append(login, fmt.Sprintf(`"AWS_ENDPOINT_URL_%s":%q`, name, engine.URL))...)
			require.Error(t, call(t.Context(), deployed), "the server refuses")
			require.EqualValues(t, 1, engine.calls.Load())
			assert.Regexp(t, `Credential=AKIAFILE/\d+/us-east-1/`, engine.authorization.Load())
			if name == "S3" {
				assert.Equal(t, "/bucket/key", engine.path.Load(), "the bucket is in the path")
			}
		})
	}
}

func TestAServiceThatTheRunLacksIsNotAskedOfAWS(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			elsewhere(t)
			engine := startService(t)
			err := call(t.Context(), local(t, append(login, fmt.Sprintf(`"AWS_ENDPOINT_URL":%q`, engine.URL))...))
			require.ErrorContains(t, err, "outputs.json: its endpoints lack AWS_ENDPOINT_URL_"+name)
			assert.Zero(t, engine.calls.Load(), "the engine that serves everything else would answer, and wrongly")
		})
	}
}

func TestARunsFileNamesAllThatItLacks(t *testing.T) {
	elsewhere(t)
	_, err := local(t).Kinesis(t.Context())
	for _, name := range []string{"AWS_ENDPOINT_URL_KINESIS", "AWS_REGION", "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY"} {
		require.ErrorContains(t, err, "lack "+name+", so that Kinesis cannot be reached on this machine")
	}
}

func TestARunsAddressesAreOnThisMachine(t *testing.T) {
	elsewhere(t)
	for _, address := range []string{"https://kinesis.us-east-1.amazonaws.com", "http://10.0.0.1:4566",
		"127.0.0.1:4566", "http://[::1"} {
		_, err := local(t, append(login, fmt.Sprintf(`"AWS_ENDPOINT_URL_KINESIS":%q`, address))...).Kinesis(t.Context())
		require.ErrorContains(t, err, fmt.Sprintf("AWS_ENDPOINT_URL_KINESIS is %q", address))
	}
	_, err := local(t, append(login, `"AWS_ENDPOINT_URL_KINESIS":"http://localhost:4566"`)...).Kinesis(t.Context())
	require.NoError(t, err)
}

func TestBucketsAreInThePathOnThisMachineOnly(t *testing.T) {
	elsewhere(t)
	client, err := local(t, append(login, `"AWS_ENDPOINT_URL_S3":"http://127.0.0.1:4566"`)...).S3(t.Context())
	require.NoError(t, err)
	assert.True(t, client.Options().UsePathStyle)
	onAWS(t)
	client, err = read(t, `{"shop-Streaming":{}}`).S3(t.Context())
	require.NoError(t, err)
	assert.False(t, client.Options().UsePathStyle)
}

// onAWS is the environment of somebody who is logged in, with one endpoint in AWS's stead.
func onAWS(t *testing.T) *service {
	t.Helper()
	cloud := startService(t)
	missing := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", missing)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", missing)
	t.Setenv("AWS_PROFILE", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "environment")
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ENDPOINT_URL", cloud.URL)
	return cloud
}

func TestADeploymentOnAWSUsesTheDefaultChainInItsRegion(t *testing.T) {
	for text, region := range map[string]string{
		`{"shop-Network":{"AlarmTopicArn":"arn:aws:sns:eu-central-1:123456789012:alarms"}}`: "eu-central-1",
		`{"shop-Streaming":{}}`: "eu-west-1",
	} {
		cloud := onAWS(t)
		deployed := read(t, text)
		for name, call := range calls {
			require.Error(t, call(t.Context(), deployed), "the server refuses")
			assert.Regexp(t, `Credential=AKIAENVIRONMENT/\d+/`+region+"/", cloud.authorization.Load(), name)
		}
		assert.EqualValues(t, len(calls), cloud.calls.Load())
	}
}

func TestTheChainIsLoadedOnce(t *testing.T) {
	onAWS(t)
	deployed := read(t, `{"shop-Streaming":{}}`)
	_, err := deployed.Kinesis(t.Context())
	require.NoError(t, err)
	t.Setenv("AWS_PROFILE", "missing")
	_, err = deployed.DynamoDB(t.Context())
	require.NoError(t, err)
}

func TestABrokenLoginSaysHowToTryIt(t *testing.T) {
	onAWS(t)
	t.Setenv("AWS_PROFILE", "missing")
	_, err := read(t, `{"shop-Streaming":{}}`).Kinesis(t.Context())
	require.ErrorContains(t, err,
		"outputs.json: the AWS configuration cannot be loaded; `aws sts get-caller-identity` must work")
	require.ErrorContains(t, err, "missing")
}
