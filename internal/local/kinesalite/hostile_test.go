package kinesalite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/hostiletest"
	"diecast/internal/local/kinesalite"
)

// valid requests of every operation.
func valid(t *testing.T, server *kinesalite.Server) (samples []hostiletest.Sample) {
	login, err := server.Config().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	for _, operation := range [][2]string{
		{"PutRecord", `{"StreamName":"activity","PartitionKey":"a","Data":"YQ==","ExplicitHashKey":"1",` +
			`"SequenceNumberForOrdering":"1"}`},
		{"PutRecords", `{"StreamName":"activity","Records":[{"PartitionKey":"a","Data":"YQ==",` +
			`"ExplicitHashKey":"1"},{"PartitionKey":"b","Data":""}]}`},
		{"GetShardIterator", `{"StreamName":"activity","ShardId":"shardId-000000000000",` +
			`"ShardIteratorType":"AT_SEQUENCE_NUMBER",` +
			`"StartingSequenceNumber":"1","Timestamp":1}`},
		{"GetRecords", `{"ShardIterator":"` + *iterator(t, server.Client(), types.ShardIteratorTypeTrimHorizon, nil) +
			`","Limit":10}`},
		{"DescribeStream", `{"StreamName":"activity","Limit":1,"ExclusiveStartShardId":"shardId-000000000000"}`},
		{"DescribeStreamSummary", `{"StreamName":"activity"}`}, {"ListShards",
			`{"StreamName":"activity","MaxResults":1}`},
		{"ListStreams", `{"Limit":1,"ExclusiveStartStreamName":"a"}`}, {"CreateStream",
			`{"StreamName":"other","ShardCount":1}`},
		{"DeleteStream", `{"StreamName":"other"}`}, {"ListTagsForStream",
			`{"StreamName":"activity","Limit":1,"ExclusiveStartTagKey":"a"}`},
		{"AddTagsToStream", `{"StreamName":"activity","Tags":{"a":"b"}}`}, {"RemoveTagsFromStream",
			`{"StreamName":"activity","TagKeys":["a"]}`},
		{"MergeShards", `{"StreamName":"other","ShardToMerge":"shardId-000000000000",` +
			`"AdjacentShardToMerge":"shardId-000000000001"}`},
		{"SplitShard", `{"StreamName":"other","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"5"}`},
		{"IncreaseStreamRetentionPeriod", `{"StreamName":"other","RetentionPeriodHours":48}`},
		{"DecreaseStreamRetentionPeriod", `{"StreamName":"other","RetentionPeriodHours":24}`},
	} {
		samples = append(samples, hostiletest.Sample{Name: operation[0], Body: operation[1], Headers: map[string]string{
			"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Kinesis_20131202." + operation[0],
			"X-Amz-Date": "20260101T000000Z", "Authorization": "AWS4-HMAC-SHA256 Credential=" + login.AccessKeyID +
				"/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=a",
		}})
	}
	return samples
}

// What is malformed is refused as Kinesis refuses it; none of these is another's error.
func TestMalformedRequestsAreAnsweredAsKinesisDoes(t *testing.T) {
	server := start(t, kinesalite.Options{})
	_, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 1})
	require.NoError(t, err)
	samples := map[string]hostiletest.Sample{}
	for _, sample := range valid(t, server) {
		samples[sample.Name] = sample
	}
	for _, c := range []struct{ operation, body, kind string }{
		{"PutRecords", `{"StreamName":"activity","Records":[null]}`, "ValidationException"},
		{"PutRecords", `{"StreamName":"activity","Records":[{}]}`, "ValidationException"},
		{"PutRecords", `{"StreamName":"activity","Records":[]}`, "ValidationException"},
		{"PutRecords", `{"StreamName":"length","Records":[{"PartitionKey":"a","Data":""}]}`,
			"ResourceNotFoundException"},
		{"PutRecord", `{"StreamName":"length","PartitionKey":"a","Data":""}`, "ResourceNotFoundException"},
		{"PutRecord", `{"StreamName":"__proto__","PartitionKey":"a","Data":""}`, "ResourceNotFoundException"},
		{"PutRecord", `{"PartitionKey":"a","Data":""}`, "ValidationException"},
		{"PutRecord", `{"StreamName":"activity","PartitionKey":"","Data":""}`, "ValidationException"},
		{"PutRecord", `{"StreamName":"activity","PartitionKey":"a","Data":"?"}`, "SerializationException"},
		{"PutRecord", `{"StreamName":"activity","PartitionKey":1,"Data":""}`, "SerializationException"},
		{"PutRecord", `{"StreamName":"activity","PartitionKey":"a","Data":"","ExplicitHashKey":"0x1"}`,
			"ValidationException"},
		{"PutRecord", `{"StreamName":"activity","PartitionKey":"a","Data":"","ExplicitHashKey":"` +
			strings.Repeat("9", 39) + `"}`,
			"InvalidArgumentException"},
		{"PutRecord", `[]`, "SerializationException"}, {"PutRecord", `null`, "SerializationException"},
		{"PutRecord", `{`, "SerializationException"}, {"PutRecord", ``, "SerializationException"},
		{"GetRecords", `{"ShardIterator":"AAAA"}`, "InvalidArgumentException"}, {"GetRecords", `{}`,
			"ValidationException"},
		{"GetRecords", `{"ShardIterator":"` + strings.Repeat("A", 200) + `"}`, "InvalidArgumentException"},
		{"GetRecords", `{"ShardIterator":null,"Limit":1e999}`, "ValidationException"},
		{"GetShardIterator", `{"StreamName":"activity","ShardId":"shardId-x","ShardIteratorType":"LATEST"}`,
			"ResourceNotFoundException"},
		{"GetShardIterator", `{"StreamName":"activity","ShardId":"shardId-000000000000",` +
			`"ShardIteratorType":"AT_SEQUENCE_NUMBER",` +
			`"StartingSequenceNumber":"0.1"}`, "ValidationException"},
		{"RemoveTagsFromStream", `{"StreamName":"activity","TagKeys":[null]}`, "ValidationException"},
		{"AddTagsToStream", `{"StreamName":"activity","Tags":{"a":null}}`, "ValidationException"},
	} {
		sample := samples[c.operation]
		sample.Body = c.body
		answer, err := sample.Request("").Send(server.Address())
		require.NoError(t, err, "%s %s", c.operation, c.body)
		assert.Equal(t, http.StatusBadRequest, answer.Status, "%s %s: %s", c.operation, c.body, answer.Body)
		assert.Contains(t, answer.Body, `"__type":"`+c.kind+`"`, "%s %s", c.operation, c.body)
		put(t, server.Client(), "the next one")
	}
}

// A stream may have the name of anything.
func TestAStreamHasAnyName(t *testing.T) {
	server := start(t, kinesalite.Options{})
	client := server.Client()
	for _, name := range []string{"length", "push", "constructor", "__proto__", "toString", "0", "4294967295", "..",
		"a.b-c_d"} {
		_, err := server.CreateStream(within(t), kinesalite.Stream{Name: name, Shards: 1})
		require.NoError(t, err, name)
		_, err = client.PutRecord(within(t), &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("a"),
			Data: []byte(name)})
		require.NoError(t, err, name)
		from, err := client.GetShardIterator(within(t), &kinesis.GetShardIteratorInput{StreamName: &name,
			ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		require.NoError(t, err, name)
		assert.Equal(t, []string{name}, read(t, client, from.ShardIterator))
		_, err = client.DeleteStream(within(t), &kinesis.DeleteStreamInput{StreamName: &name})
		require.NoError(t, err, name)
	}
}

func TestAReadHas10MB(t *testing.T) {
	server := start(t, kinesalite.Options{})
	_, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 1})
	require.NoError(t, err)
	client := server.Client()
	const records = 25
	payload := strings.Repeat("a", 1<<20)
	for range records {
		put(t, client, payload)
	}
	var sizes []int
	for next := iterator(t, client, types.ShardIteratorTypeTrimHorizon, nil); ; {
		output, err := client.GetRecords(within(t), &kinesis.GetRecordsInput{ShardIterator: next})
		require.NoError(t, err)
		sizes = append(sizes, len(output.Records))
		if *output.MillisBehindLatest == 0 {
			break
		}
		next = output.NextShardIterator
	}
	assert.Equal(t, []int{10, 10, 5}, sizes)
}

func TestNoRequestEndsIt(t *testing.T) {
	server := start(t, kinesalite.Options{})
	_, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 1})
	require.NoError(t, err)
	client := server.Client()
	expected := []string{"before"}
	put(t, client, "before")
	holds := func() {
		payload := fmt.Sprintf("after %d", len(expected))
		put(t, client, payload)
		expected = append(expected, payload)
		var ours []string
		for _, payload := range read(t, client, iterator(t, client, types.ShardIteratorTypeTrimHorizon, nil)) {
			if len(payload) > 1 && payload != "a" {
				ours = append(ours, payload)
			}
		}
		assert.Subset(t, ours, expected)
	}
	t.Cleanup(func() { assert.NoError(t, server.Err()) })
	statuses := hostiletest.Fuzz(t, server.Address(), hostiletest.Requests(1, 1500, valid(t, server)), holds)
	t.Log(statuses)
	_, err = client.DescribeStream(within(t), &kinesis.DescribeStreamInput{StreamName: aws.String(stream)})
	require.NoError(t, err)
}
