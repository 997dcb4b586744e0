package firehose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/firehose"
	"diecast/internal/local/kinesalite"
	"diecast/internal/local/moto"
	"diecast/internal/local/server/servertest"
)

// upperCase is a processor inside the test: it decodes what Firehose sends with types of its own.
type upperCase struct{}

func (upperCase) Invoke(_ context.Context, _ string, payload []byte) ([]byte, string, error) {
	type record struct {
		RecordID string `json:"recordId"`
		Result   string `json:"result"`
		Data     []byte `json:"data"`
	}
	var batch struct {
		Records []record `json:"records"`
	}
	if err := json.Unmarshal(payload, &batch); err != nil {
		return nil, "", err
	}
	for i := range batch.Records {
		batch.Records[i].Result = "Ok"
		batch.Records[i].Data = append([]byte(strings.ToUpper(string(batch.Records[i].Data))), '\n')
	}
	answer, err := json.Marshal(batch)
	return answer, "", err
}

func TestRecordsReachABucketCompleteAndExact(t *testing.T) {
	servertest.Needed(t, "kinesalite and moto")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	streams, err := kinesalite.Start(ctx, kinesalite.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, streams.Stop(context.Background())) })
	services, err := moto.Start(ctx, moto.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, services.Stop(context.Background())) })
	arn, err := streams.CreateStream(ctx, kinesalite.Stream{Name: "activity", Shards: 2})
	require.NoError(t, err)
	require.NoError(t, services.CreateBucket(ctx, moto.Bucket{Name: "lake"}))

	pump, err := firehose.New(firehose.Config{
		Name: "archive", SourceStream: "activity", SourceARN: arn, Bucket: "lake", Prefix: "data/",
		FileExtension: ".txt",
		Processor: &firehose.Processor{FunctionARN: "transform", Buffer: firehose.Buffer{Bytes: 2000,
			Interval: 10 * time.Millisecond}, Retries: 3},
		Buffer: firehose.Buffer{Bytes: 1000, Interval: 10 * time.Millisecond}, PollInterval: 10 * time.Millisecond,
	}, streams.Client(), upperCase{}, services.S3())
	require.NoError(t, err)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- pump.Run(running) }()
	select {
	case <-pump.Ready():
	case err := <-ended:
		require.NoError(t, err)
	}

	const count = 500
	batch := make([]types.PutRecordsRequestEntry, count)
	want := make([]string, count)
	for i := range batch {
		payload := fmt.Sprintf("record %03d é", i)
		batch[i] = types.PutRecordsRequestEntry{Data: []byte(payload),
			PartitionKey: aws.String(fmt.Sprintf("session-%d", i%50))}
		want[i] = strings.ToUpper(payload)
	}
	put, err := streams.Client().PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String("activity"),
		Records: batch})
	require.NoError(t, err)
	require.Zero(t, aws.ToInt32(put.FailedRecordCount))
	require.Eventually(t, func() bool { return pump.Statistics().Delivered == count }, 30*time.Second,
		5*time.Millisecond)
	stop()
	require.NoError(t, <-ended)

	var got []string
	listed, err := services.S3().ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("lake")})
	require.NoError(t, err)
	for _, entry := range listed.Contents {
		assert.Regexp(t, `^data/\d{4}/\d\d/\d\d/\d\d/archive-1-.+\.txt$`, *entry.Key)
		object, err := services.S3().GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("lake"), Key: entry.Key})
		require.NoError(t, err)
		body, err := io.ReadAll(object.Body)
		require.NoError(t, err)
		got = append(got, strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")...)
	}
	assert.ElementsMatch(t, want, got)
	s := pump.Statistics()
	assert.Equal(t, len(listed.Contents), s.Objects)
	t.Logf("%d objects; latency from arrival to object: %+v", s.Objects, s.Latency.Total)
}
