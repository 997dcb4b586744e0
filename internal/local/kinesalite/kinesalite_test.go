package kinesalite_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/kinesalite"
)

func TestStreamKeepsWhatIsPut(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := kinesalite.Start(ctx, kinesalite.Options{Account: "111122223333", Region: "eu-west-1"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })

	arn, err := server.CreateStream(ctx, "activity", 2)
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:kinesis:eu-west-1:111122223333:stream/activity", arn)
	_, err = server.CreateStream(ctx, "activity", 2)
	var taken *types.ResourceInUseException
	require.ErrorAs(t, err, &taken)

	client := server.Client()
	shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("activity")})
	require.NoError(t, err)
	require.Len(t, shards.Shards, 2)
	put, err := client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String("activity"), PartitionKey: aws.String("s-1"), Data: []byte("payload")})
	require.NoError(t, err)
	iterator, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: aws.String("activity"), ShardId: put.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	require.NoError(t, err)
	output, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator.ShardIterator})
	require.NoError(t, err)
	require.Len(t, output.Records, 1)
	assert.Equal(t, "payload", string(output.Records[0].Data))
	assert.WithinDuration(t, time.Now(), *output.Records[0].ApproximateArrivalTimestamp, time.Minute)
}
