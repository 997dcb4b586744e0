package moto_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/hostiletest"
	"diecast/internal/local/moto"
	"diecast/internal/local/server/servertest"
)

// valid requests of the services that a run uses.
func valid(t *testing.T, server *moto.Server) (samples []hostiletest.Sample) {
	login, err := server.Config().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	add := func(service string, sample hostiletest.Sample) {
		headers := map[string]string{"X-Amz-Date": "20260101T000000Z", "Authorization": "AWS4-HMAC-SHA256 Credential=" +
			login.AccessKeyID + "/20260101/us-east-1/" + service +
			"/aws4_request, SignedHeaders=host;x-amz-date, Signature=a"}
		for name, value := range sample.Headers {
			headers[name] = value
		}
		sample.Headers = headers
		samples = append(samples, sample)
	}
	for _, line := range [][3]string{
		{"PUT", "/odd/a%20key", "body"}, {"GET", "/odd/a%20key?versionId=null", ""}, {"HEAD", "/odd/a%20key", ""},
		{"DELETE", "/odd/other", ""},
		{"GET", "/odd?list-type=2&prefix=a&delimiter=/&max-keys=1", ""}, {"GET", "/odd?versions", ""}, {"POST",
			"/odd/a?uploads", ""},
		{"PUT", "/odd/a?partNumber=1&uploadId=b", "part"}, {"PUT", "/other", ""}, {"DELETE", "/other", ""}, {"GET",
			"/", ""},
		{"POST", "/odd/a?uploadId=b",
			"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>"},
		{"POST", "/odd?delete", "<Delete><Object><Key>other</Key></Object></Delete>"}, {"PUT", "/odd?tagging",
			"<Tagging><TagSet/></Tagging>"},
		{"PUT", "/odd?lifecycle", "<LifecycleConfiguration><Rule><ID>a</ID></Rule></LifecycleConfiguration>"},
		{"PUT", "/odd?versioning", "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"},
	} {
		add("s3", hostiletest.Sample{Name: "S3 " + line[0] + " " + line[1], Method: line[0], Path: line[1],
			Body: line[2]})
	}
	for _, operation := range [][3]string{
		{"secretsmanager", "secretsmanager.GetSecretValue",
			`{"SecretId":"kept","VersionStage":"AWSCURRENT","VersionId":"a"}`},
		{"secretsmanager", "secretsmanager.PutSecretValue",
			`{"SecretId":"odd","SecretString":"a","VersionStages":["a"]}`},
		{"secretsmanager", "secretsmanager.CreateSecret",
			`{"Name":"odd","SecretString":"a","Tags":[{"Key":"a","Value":"b"}]}`},
		{"secretsmanager", "secretsmanager.ListSecrets", `{"MaxResults":1,"Filters":[{"Key":"name","Values":["a"]}]}`},
		{"ssm", "AmazonSSM.PutParameter",
			`{"Name":"/odd","Value":"a","Type":"String","Tags":[{"Key":"a","Value":"b"}]}`},
		{"ssm", "AmazonSSM.GetParametersByPath", `{"Path":"/","Recursive":true,"MaxResults":1}`},
	} {
		add(operation[0], hostiletest.Sample{Name: operation[1], Body: operation[2], Headers: map[string]string{
			"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": operation[1]}})
	}
	for service, body := range map[string]string{
		"sts": "Action=GetCallerIdentity&Version=2011-06-15",
		"sns": "Action=Publish&TopicArn=arn:aws:sns:us-east-1:000000000000:a&Message=b",
		"sqs": "Action=SendMessage&QueueUrl=http://127.0.0.1/000000000000/a&MessageBody=b",
	} {
		add(service, hostiletest.Sample{Name: service, Body: body,
			Headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
	}
	return samples
}

// moto keeps large objects on disk, so no number of them fills it for sure: here it is full from
// the beginning.
func TestAFullServerRefusesMoreAndAnswersWhoReads(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := start(t, ctx, moto.Options{MemoryLimit: 1})
	client := s3.New(server.S3().Options(), func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("kept"), Key: aws.String("a"),
		Body: strings.NewReader("a")})
	require.ErrorContains(t, err, "SlowDown")
	_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("kept"), Key: aws.String("a")})
	require.ErrorContains(t, err, "NoSuchBucket")
}

// moto has an API of its own, which would have it forget everything for whoever asks.
func TestMotosOwnAPIIsNotServed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := start(t, ctx, moto.Options{})
	require.NoError(t, server.CreateBucket(ctx, moto.Bucket{Name: "kept"}))
	for _, sample := range valid(t, server) {
		sample.Method, sample.Path = http.MethodPost, "/moto-api/reset"
		answer, err := sample.Request("").Send(server.Address())
		require.NoError(t, err)
		assert.NotEqual(t, http.StatusOK, answer.Status, "%s: %s", sample.Name, answer.Body)
	}
	_, err := server.S3().HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("kept")})
	require.NoError(t, err)
}

func TestNoRequestEndsIt(t *testing.T) {
	servertest.Needed(t, "moto")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	server, err := moto.Start(ctx, moto.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })
	for _, bucket := range []string{"kept", "odd"} {
		require.NoError(t, server.CreateBucket(ctx, moto.Bucket{Name: bucket}))
	}
	_, err = server.CreateSecret(ctx, "kept", "secret")
	require.NoError(t, err)
	objects := 0
	holds := func() {
		key := "after " + strconv.Itoa(objects)
		objects++
		_, err := server.S3().PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("kept"), Key: aws.String(key),
			Body: strings.NewReader(key)})
		require.NoError(t, err)
		listed, err := server.S3().ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("kept")})
		require.NoError(t, err)
		assert.Len(t, listed.Contents, objects)
		first, err := server.S3().GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("kept"),
			Key: aws.String("after 0")})
		require.NoError(t, err)
		body, err := io.ReadAll(first.Body)
		require.NoError(t, err)
		require.NoError(t, first.Body.Close())
		assert.Equal(t, "after 0", string(body))
		secret, err := server.SecretsManager().GetSecretValue(ctx,
			&secretsmanager.GetSecretValueInput{SecretId: aws.String("kept")})
		require.NoError(t, err)
		assert.Equal(t, "secret", *secret.SecretString)
	}
	holds()
	t.Cleanup(func() { assert.NoError(t, server.Err()) })
	t.Log(hostiletest.Fuzz(t, server.Address(), hostiletest.Requests(1, 1500, valid(t, server)), holds))
}
