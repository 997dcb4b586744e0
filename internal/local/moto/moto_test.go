package moto_test

import (
	"context"
	"io"
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
)

func TestBucketAndSecretKeepWhatIsPut(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := moto.Start(ctx, moto.Options{Region: "eu-west-1", Account: "111122223333"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })

	require.NoError(t, server.CreateBucket(ctx, "lake"))
	_, err = server.S3().PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String("a/b"), Body: strings.NewReader("body")})
	require.NoError(t, err)
	require.NoError(t, server.CreateBucket(ctx, "lake"), "again")
	object, err := server.S3().GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("lake"), Key: aws.String("a/b")})
	require.NoError(t, err)
	body, err := io.ReadAll(object.Body)
	require.NoError(t, err)
	assert.Equal(t, "body", string(body))

	arn, err := server.CreateSecret(ctx, "source", `{"username":"etl"}`)
	require.NoError(t, err)
	assert.Contains(t, arn, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:source-")
	secret, err := server.SecretsManager().GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(arn)})
	require.NoError(t, err)
	assert.JSONEq(t, `{"username":"etl"}`, aws.ToString(secret.SecretString))
	_, err = server.CreateSecret(ctx, "source", "other")
	require.Error(t, err)
}

func TestAPythonWithoutMotoIsNamedWithTheRemedy(t *testing.T) {
	python := filepath.Join(t.TempDir(), "python")
	require.NoError(t, os.WriteFile(python, []byte("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'moto'\" >&2\nexit 1\n"), 0o700))
	t.Setenv("DIECAST_PYTHON", python)
	_, err := moto.Start(t.Context(), moto.Options{})
	require.ErrorIs(t, err, installed.ErrNotInstalled)
}
