package kinesalite_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/local/kinesalite"
	"diecast/internal/local/server"
	"diecast/internal/local/server/servertest"
	"diecast/internal/shards"
)

const stream = "activity"

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, options kinesalite.Options) *kinesalite.Server {
	t.Helper()
	servertest.Needed(t, "kinesalite")
	server, err := kinesalite.Start(within(t), options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })
	return server
}

// clock makes kinesalite's clock run ahead by what the returned function is told.
func clock(t *testing.T) (ahead func(time.Duration)) {
	t.Helper()
	servertest.Needed(t, "kinesalite")
	real, err := installed.NodePackage("kinesalite", "")
	require.NoError(t, err)
	modules := t.TempDir()
	folder, file := filepath.Join(modules, "kinesalite"), filepath.Join(modules, "ahead")
	ahead = func(by time.Duration) {
		require.NoError(t, os.WriteFile(file, []byte(strconv.FormatInt(by.Milliseconds(), 10)), 0o600))
	}
	ahead(0)
	require.NoError(t, os.Mkdir(folder, 0o700))
	for _, part := range []string{"actions", "db", "validations"} {
		require.NoError(t, os.Symlink(filepath.Join(real, part), filepath.Join(folder, part)))
	}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "package.json"),
		[]byte(`{"name":"kinesalite","main":"index.js"}`), 0o600))
	script := `const now = Date.now
Date.now = () => now() + Number(require('fs').readFileSync(` + strconv.Quote(file) + `))
module.exports = require(` + strconv.Quote(real) + `)`
	require.NoError(t, os.WriteFile(filepath.Join(folder, "index.js"), []byte(script), 0o600))
	t.Setenv("DIECAST_NODE_MODULES", modules)
	return ahead
}

func put(t *testing.T, client *kinesis.Client, payload string) {
	t.Helper()
	_, err := client.PutRecord(within(t), &kinesis.PutRecordInput{
		StreamName: aws.String(stream), PartitionKey: aws.String("s-1"), Data: []byte(payload),
	})
	require.NoError(t, err)
}

func iterator(t *testing.T, client *kinesis.Client, from types.ShardIteratorType, at *time.Time) *string {
	t.Helper()
	output, err := client.GetShardIterator(within(t), &kinesis.GetShardIteratorInput{
		StreamName: aws.String(stream), ShardId: aws.String("shardId-000000000000"), ShardIteratorType: from,
		Timestamp: at,
	})
	require.NoError(t, err)
	return output.ShardIterator
}

func read(t *testing.T, client *kinesis.Client, from *string) (payloads []string) {
	t.Helper()
	output, err := client.GetRecords(within(t), &kinesis.GetRecordsInput{ShardIterator: from})
	require.NoError(t, err)
	for _, record := range output.Records {
		payloads = append(payloads, string(record.Data))
	}
	return payloads
}

func TestServerKeepsTheContractOfAnEngine(t *testing.T) {
	folder := func(t testing.TB) string { return t.TempDir() }
	servertest.Contract(t, "kinesalite", folder, func(ctx context.Context, options server.Options) (servertest.Engine,
		error) {
		return kinesalite.Start(ctx, kinesalite.Options{Dir: options.Dir, Fresh: options.Fresh, Port: options.Port})
	})
}

func TestServerAdmitsTheRunAlone(t *testing.T) {
	servertest.AdmitsTheRunAlone(t, start(t, kinesalite.Options{}).Config(), "Kinesis_20131202.ListStreams")
}

func TestInstalledSaysWhatIsMissing(t *testing.T) {
	t.Setenv("DIECAST_NODE_MODULES", t.TempDir())
	require.ErrorIs(t, kinesalite.Installed(t.Context(), ""), installed.ErrNotInstalled)
	_, err := kinesalite.Start(t.Context(), kinesalite.Options{})
	require.ErrorIs(t, err, installed.ErrNotInstalled)
}

func TestStreamKeepsWhatIsPut(t *testing.T) {
	server := start(t, kinesalite.Options{Account: "111122223333", Region: "eu-west-1"})
	arn, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 2})
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:kinesis:eu-west-1:111122223333:stream/activity", arn)
	_, err = server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 2})
	var taken *types.ResourceInUseException
	require.ErrorAs(t, err, &taken)

	client := server.Client()
	shards, err := client.ListShards(within(t), &kinesis.ListShardsInput{StreamName: aws.String(stream)})
	require.NoError(t, err)
	require.Len(t, shards.Shards, 2)
	put(t, client, "payload")
	for _, shard := range shards.Shards {
		output, err := client.GetShardIterator(within(t), &kinesis.GetShardIteratorInput{
			StreamName: aws.String(stream), ShardId: shard.ShardId,
			ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		require.NoError(t, err)
		records, err := client.GetRecords(within(t), &kinesis.GetRecordsInput{ShardIterator: output.ShardIterator})
		require.NoError(t, err)
		for _, record := range records.Records {
			assert.Equal(t, "payload", string(record.Data))
			assert.WithinDuration(t, time.Now(), *record.ApproximateArrivalTimestamp, time.Minute)
			return
		}
	}
	t.Fatal("the record is in no shard")
}

func TestAStreamTellsHowManyRecordsItHasAccepted(t *testing.T) {
	server := start(t, kinesalite.Options{})
	_, err := server.Accepted(within(t), stream)
	require.Error(t, err, "it is not there")
	_, err = server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 2})
	require.NoError(t, err)
	expect := func(records int) {
		t.Helper()
		accepted, err := server.Accepted(within(t), stream)
		require.NoError(t, err)
		assert.Equal(t, records, accepted)
	}
	expect(0)
	put(t, server.Client(), "one")
	expect(1)
	_, err = server.Client().PutRecords(within(t), &kinesis.PutRecordsInput{StreamName: aws.String(stream),
		Records: []types.PutRecordsRequestEntry{{PartitionKey: aws.String("a"), Data: []byte("two")},
			{PartitionKey: aws.String("b"), Data: []byte("three")}}})
	require.NoError(t, err)
	expect(3)
	_, err = server.Client().PutRecord(within(t), &kinesis.PutRecordInput{StreamName: aws.String(stream),
		PartitionKey: aws.String(""), Data: []byte("refused")})
	require.Error(t, err)
	expect(3)
}

// An engine that would take all of the machine's memory refuses more before: what it holds can be
// read, and nobody takes a refusal for an acceptance.
func TestAFullServerRefusesMoreAndKeepsWhatItHas(t *testing.T) {
	server := start(t, kinesalite.Options{MemoryLimit: 200 << 20})
	_, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 1})
	require.NoError(t, err)
	client := kinesis.New(server.Client().Options(), func(o *kinesis.Options) { o.RetryMaxAttempts = 1 })
	accepted := 0
	var full *types.LimitExceededException
	for {
		_, err := client.PutRecord(within(t), &kinesis.PutRecordInput{StreamName: aws.String(stream),
			PartitionKey: aws.String("a"), Data: make([]byte, 1<<20)})
		if err != nil {
			require.ErrorAs(t, err, &full)
			break
		}
		accepted++
		require.Less(t, accepted, 400)
	}
	assert.Greater(t, accepted, 10)
	told, err := server.Accepted(within(t), stream)
	require.NoError(t, err)
	assert.Equal(t, accepted, told)
	assert.NotEmpty(t, read(t, client, iterator(t, client, types.ShardIteratorTypeTrimHorizon, nil)))
	taken, limit, err := server.Memory()
	require.NoError(t, err)
	assert.Greater(t, taken, limit)
	assert.EqualValues(t, 200<<20, limit)
}

func TestRecordsAreGoneAfterTheRetention(t *testing.T) {
	for name, c := range map[string]struct{ asked, kept time.Duration }{
		"default": {0, kinesalite.DefaultRetention}, "a week": {7 * 24 * time.Hour, 7 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			ahead := clock(t)
			server := start(t, kinesalite.Options{})
			_, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 1, Retention: c.asked})
			require.NoError(t, err)
			client := server.Client()
			described, err := client.DescribeStreamSummary(within(t),
				&kinesis.DescribeStreamSummaryInput{StreamName: aws.String(stream)})
			require.NoError(t, err)
			assert.EqualValues(t, c.kept/time.Hour, *described.StreamDescriptionSummary.RetentionPeriodHours)

			put(t, client, "old")
			ahead(c.kept - time.Minute)
			assert.Equal(t, []string{"old"}, read(t, client, iterator(t, client, types.ShardIteratorTypeTrimHorizon,
				nil)))
			put(t, client, "new")
			ahead(c.kept + time.Minute)
			assert.Equal(t, []string{"new"}, read(t, client, iterator(t, client, types.ShardIteratorTypeTrimHorizon,
				nil)))
		})
	}
}

func TestARetentionThatKinesisDoesNotHaveIsRefused(t *testing.T) {
	server := start(t, kinesalite.Options{})
	for _, retention := range []time.Duration{time.Hour, 24*time.Hour + time.Minute, 8761 * time.Hour,
		-24 * time.Hour} {
		_, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 1, Retention: retention})
		require.ErrorContains(t, err, "retention "+retention.String())
	}
	_, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 1,
		Retention: kinesalite.MaxRetention})
	require.NoError(t, err, "what was refused made no stream")
}

func TestAnIteratorAtATimestamp(t *testing.T) {
	server := start(t, kinesalite.Options{})
	_, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 1})
	require.NoError(t, err)
	client := server.Client()
	before := time.Now()
	empty := iterator(t, client, types.ShardIteratorTypeAtTimestamp, &before)
	put(t, client, "a")
	assert.Equal(t, []string{"a"}, read(t, client, empty), "a shard without records: the next to come")
	assert.Equal(t, []string{"a"}, read(t, client, iterator(t, client, types.ShardIteratorTypeAtTimestamp, &before)))
	time.Sleep(2 * time.Millisecond) // the clock's step
	after := time.Now()
	later := iterator(t, client, types.ShardIteratorTypeAtTimestamp, &after)
	put(t, client, "b")
	assert.Equal(t, []string{"b"}, read(t, client, later), "no record is as late: the next to come")
	put(t, client, "c")
	assert.Equal(t, []string{"b", "c"}, read(t, client, iterator(t, client, types.ShardIteratorTypeAtTimestamp,
		&after)))

	future := time.Now().Add(time.Hour)
	_, err = client.GetShardIterator(within(t), &kinesis.GetShardIteratorInput{
		StreamName: aws.String(stream), ShardId: aws.String("shardId-000000000000"),
		ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &future,
	})
	require.ErrorContains(t, err, "InvalidArgumentException")
	_, err = client.GetShardIterator(within(t), &kinesis.GetShardIteratorInput{
		StreamName: aws.String("nowhere"), ShardId: aws.String("shardId-000000000000"),
		ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &before,
	})
	var missing *types.ResourceNotFoundException
	require.ErrorAs(t, err, &missing)
}

// suspended is a client that reads nothing until it is woken.
type suspended struct {
	*kinesis.Client
	woken chan struct{}
}

func (s suspended) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput,
	options ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	select {
	case <-s.woken:
		return s.Client.GetRecords(ctx, in, options...)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type handler func(payload string)

func (h handler) Handle(records []types.Record) error {
	for _, record := range records {
		h(string(record.Data))
	}
	return nil
}

func (handler) Close() error { return nil }

func TestAReaderThatWasSuspendedLosesNothing(t *testing.T) {
	for name, meanwhile := range map[string][]string{"records came": {"meanwhile"}, "nothing came": nil} {
		t.Run(name, func(t *testing.T) {
			ahead := clock(t)
			server := start(t, kinesalite.Options{})
			_, err := server.CreateStream(within(t), kinesalite.Stream{Name: stream, Shards: 1})
			require.NoError(t, err)
			client := suspended{server.Client(), make(chan struct{})}
			put(t, client.Client, "before")
			time.Sleep(2 * time.Millisecond) // the clock's step

			ready, payloads := make(chan struct{}), make(chan string, 10)
			ctx, stop := context.WithCancel(within(t))
			ended := make(chan error, 1)
			go func() {
				ended <- shards.Reader{
					Stream: client, Name: stream, Position: types.ShardIteratorTypeLatest,
					Open: func(context.Context, string) shards.Handler {
						return handler(func(payload string) { payloads <- payload })
					},
					Retry: func(_ context.Context, failure shards.Failure) bool { t.Error(failure); return false },
					Ready: func() { close(ready) },
				}.Run(ctx)
			}()
			<-ready
			ahead(6 * time.Minute) // kinesalite's iterators expire after five
			for _, payload := range meanwhile {
				put(t, client.Client, payload)
			}
			close(client.woken)
			next := func() string {
				select {
				case payload := <-payloads:
					return payload
				case <-ctx.Done():
					return "nothing"
				}
			}
			for _, expected := range meanwhile {
				require.Equal(t, expected, next())
			}
			put(t, client.Client, "later")
			require.Equal(t, "later", next())
			stop()
			require.NoError(t, <-ended)
		})
	}
}
