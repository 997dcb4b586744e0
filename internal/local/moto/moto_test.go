package moto_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/local/moto"
	"diecast/internal/local/server"
	"diecast/internal/local/server/servertest"
)

func start(t *testing.T, ctx context.Context, options moto.Options) *moto.Server {
	t.Helper()
	servertest.Needed(t, "moto")
	server, err := moto.Start(ctx, options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })
	return server
}

func TestServerKeepsTheContractOfAnEngine(t *testing.T) {
	folder := func(t testing.TB) string { return t.TempDir() }
	servertest.Contract(t, "moto", folder, func(ctx context.Context, options server.Options) (servertest.Engine,
		error) {
		return moto.Start(ctx, moto.Options{Dir: options.Dir, Fresh: options.Fresh, Port: options.Port})
	})
}

func TestAVersionedBucketKeepsWhatIsWrittenOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := start(t, ctx, moto.Options{})
	for name, kept := range map[string]int{"versioned": 2, "plain": 1} {
		require.NoError(t, server.CreateBucket(ctx, moto.Bucket{Name: name, Versioned: name == "versioned"}))
		for _, body := range []string{"first", "second"} {
			_, err := server.S3().PutObject(ctx, &s3.PutObjectInput{
				Bucket: aws.String(name), Key: aws.String("key"), Body: strings.NewReader(body),
			})
			require.NoError(t, err)
		}
		versions, err := server.S3().ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String(name)})
		require.NoError(t, err)
		assert.Len(t, versions.Versions, kept, name)
		oldest := versions.Versions[len(versions.Versions)-1]
		object, err := server.S3().GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(name), Key: oldest.Key,
			VersionId: oldest.VersionId})
		require.NoError(t, err)
		body, err := io.ReadAll(object.Body)
		require.NoError(t, err)
		assert.Equal(t, map[int]string{1: "second", 2: "first"}[kept], string(body))
	}
	err := server.CreateBucket(ctx, moto.Bucket{Name: "x", Versioned: true})
	require.ErrorContains(t, err, "create bucket x")
}

// Also its own API, by which anybody could have it forget all that it stores, is the run's alone.
func TestServerAdmitsTheRunAlone(t *testing.T) {
	server := start(t, t.Context(), moto.Options{})
	servertest.AdmitsTheRunAlone(t, server.Config(), "secretsmanager.ListSecrets")
	servertest.AdmitsTheRunAlone(t, server.Config(), "")
	for _, path := range []string{"/moto-api/reset", "/lake/key", "/?Action=GetCallerIdentity"} {
		response, err := http.Post(server.Endpoint()+path, "", nil)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusForbidden, response.StatusCode, path)
	}
}

func TestAnAddressThatWasSignedBeforehandWorks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := start(t, ctx, moto.Options{})
	require.NoError(t, server.CreateBucket(ctx, moto.Bucket{Name: "lake"}))
	_, err := server.S3().PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("lake"), Key: aws.String("key"), Body: strings.NewReader("body"),
	})
	require.NoError(t, err)
	signed, err := s3.NewPresignClient(server.S3()).PresignGetObject(ctx,
		&s3.GetObjectInput{Bucket: aws.String("lake"), Key: aws.String("key")})
	require.NoError(t, err)
	key, err := server.Config().Credentials.Retrieve(ctx)
	require.NoError(t, err)
	// boto3 signs addresses of objects by version 2.
	before := func(id string) string {
		return server.Endpoint() + "/lake/key?AWSAccessKeyId=" + id + "&Signature=x&Expires=9999999999"
	}
	for address, status := range map[string]int{
		signed.URL: http.StatusOK, before(key.AccessKeyID): http.StatusOK, before("AKIAOTHER"): http.StatusForbidden,
	} {
		response, err := http.Get(address)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, status, response.StatusCode, address)
	}
}

func TestInstalled(t *testing.T) {
	t.Run("there", func(t *testing.T) {
		servertest.Needed(t, "moto")
		require.NoError(t, moto.Installed(t.Context()))
	})
	for name, python := range map[string]string{"no interpreter": "", "no package": "#!/bin/sh\nexit 1\n"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "python")
			if python != "" {
				require.NoError(t, os.WriteFile(file, []byte(python), 0o700))
			}
			t.Setenv("DIECAST_PYTHON", file)
			err := moto.Installed(t.Context())
			require.ErrorIs(t, err, installed.ErrNotInstalled)
			require.ErrorContains(t, err, file)
		})
	}
}

func TestBucketAndSecretKeepWhatIsPut(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := start(t, ctx, moto.Options{Region: "eu-west-1", Account: "111122223333"})

	require.NoError(t, server.CreateBucket(ctx, moto.Bucket{Name: "lake"}))
	_, err := server.S3().PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String("a/b"),
		Body: strings.NewReader("body")})
	require.NoError(t, err)
	require.NoError(t, server.CreateBucket(ctx, moto.Bucket{Name: "lake"}), "again")
	object, err := server.S3().GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("lake"), Key: aws.String("a/b")})
	require.NoError(t, err)
	body, err := io.ReadAll(object.Body)
	require.NoError(t, err)
	assert.Equal(t, "body", string(body))

	arn, err := server.CreateSecret(ctx, "source", `{"username":"etl"}`)
	require.NoError(t, err)
	assert.Contains(t, arn, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:source-")
	secret, err := server.SecretsManager().GetSecretValue(ctx,
		&secretsmanager.GetSecretValueInput{SecretId: aws.String(arn)})
	require.NoError(t, err)
	assert.JSONEq(t, `{"username":"etl"}`, aws.ToString(secret.SecretString))
	_, err = server.CreateSecret(ctx, "source", "other")
	require.Error(t, err)
}

func TestAPythonWithoutMotoIsNamedWithTheRemedy(t *testing.T) {
	python := filepath.Join(t.TempDir(), "python")
	require.NoError(t, os.WriteFile(python,
		[]byte("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'moto'\" >&2\nexit 1\n"), 0o700))
	t.Setenv("DIECAST_PYTHON", python)
	_, err := moto.Start(t.Context(), moto.Options{})
	require.ErrorIs(t, err, installed.ErrNotInstalled)
}
