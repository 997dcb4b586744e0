package eventsource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/wait"
)

// The tests run in testing/synctest's bubbles: time stands still while anything works, and jumps
// when all wait.

type fakeStream struct {
	listShards       func(*kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error)
	getShardIterator func(*kinesis.GetShardIteratorInput) (*kinesis.GetShardIteratorOutput, error)
	getRecords       func(*kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error)
}

func (f fakeStream) ListShards(_ context.Context, in *kinesis.ListShardsInput,
	_ ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	return f.listShards(in)
}

func (f fakeStream) GetShardIterator(_ context.Context, in *kinesis.GetShardIteratorInput,
	_ ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	return f.getShardIterator(in)
}

func (f fakeStream) GetRecords(_ context.Context, in *kinesis.GetRecordsInput,
	_ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	return f.getRecords(in)
}

type fakeBucket struct {
	putObject func(*s3.PutObjectInput) error
}

func (f fakeBucket) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput,
	error) {
	return &s3.PutObjectOutput{}, f.putObject(in)
}

// memory is a stream in memory. Sequence numbers are counted over all shards, iterators are
// shard/index.
type memory struct {
	mu     sync.Mutex
	shards []types.Shard
	data   map[string][]types.Record
	closed map[string]bool
	next   int
	down   error // of all reads
}

const shardZero = "shardId-000000000000"

func newMemory() *memory {
	return &memory{shards: []types.Shard{{ShardId: aws.String(shardZero)}}, data: map[string][]types.Record{},
		closed: map[string]bool{}}
}

// put returns the sequence number.
func (m *memory) put(shard, key, data string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	sequence := strconv.Itoa(m.next)
	m.next++
	m.data[shard] = append(m.data[shard], types.Record{
		PartitionKey: &key, SequenceNumber: &sequence, Data: []byte(data),
		ApproximateArrivalTimestamp: aws.Time(time.Now()),
	})
	return sequence
}

func (m *memory) split(parent string, children ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed[parent] = true
	for _, child := range children {
		m.shards = append(m.shards, types.Shard{ShardId: &child, ParentShardId: &parent})
	}
}

func (m *memory) fake() fakeStream {
	return fakeStream{
		listShards: func(*kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return &kinesis.ListShardsOutput{Shards: slices.Clone(m.shards)}, nil
		},
		getShardIterator: func(in *kinesis.GetShardIteratorInput) (*kinesis.GetShardIteratorOutput, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			records := m.data[*in.ShardId]
			index := 0
			switch in.ShardIteratorType {
			case types.ShardIteratorTypeLatest:
				index = len(records)
			case types.ShardIteratorTypeAfterSequenceNumber:
				index = 1 + slices.IndexFunc(records,
					func(r types.Record) bool { return *r.SequenceNumber == *in.StartingSequenceNumber })
			}
			return &kinesis.GetShardIteratorOutput{ShardIterator: aws.String(*in.ShardId + "/" + strconv.Itoa(index))},
				nil
		},
		getRecords: func(in *kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.down != nil {
				return nil, m.down
			}
			shard, position, _ := strings.Cut(*in.ShardIterator, "/")
			index, err := strconv.Atoi(position)
			if err != nil {
				return nil, err
			}
			records := m.data[shard][index:]
			records = slices.Clone(records[:min(len(records), int(*in.Limit))])
			output := &kinesis.GetRecordsOutput{Records: records}
			if index += len(records); !m.closed[shard] || index < len(m.data[shard]) {
				output.NextShardIterator = aws.String(shard + "/" + strconv.Itoa(index))
			}
			return output, nil
		},
	}
}

// platform is what a test observes.
type platform struct {
	t      testing.TB
	stream *memory
	poller *Poller

	mu     sync.Mutex
	calls  [][]string // sequence numbers of each invocation
	kept   []failureRecord
	keys   []string
	cancel context.CancelFunc
	ended  chan error
}

const (
	streamARN   = "arn:aws:kinesis:eu-central-1:000000000000:stream/activity"
	functionARN = "arn:aws:lambda:eu-central-1:000000000000:function:deliver"
	mappingUUID = "3f0b9a0e-5c1d-4f5e-9b1e-2d6a7c8e9f00"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// function answers a batch of sequence numbers.
type function func(sequences []string) (Answer, error)

func launch(t testing.TB, stream *memory, handler function, adapt ...func(*Mapping, *Options)) *platform {
	p := &platform{t: t, stream: stream, ended: make(chan error, 1)}
	mapping := Mapping{
		UUID: mappingUUID, StreamARN: streamARN, FunctionARN: functionARN,
		RoleARN:          "arn:aws:iam::000000000000:role/deliver",
		StartingPosition: types.ShardIteratorTypeTrimHorizon, FailureBucket: "failures", RetryAttempts: 2,
	}
	options := Options{Stream: stream.fake(), Logger: quiet()}
	options.Invoker = InvokerFunc(func(_ context.Context, name string, payload []byte) (Answer, error) {
		assert.Equal(t, "deliver", name)
		sequences := sequencesOf(t, payload)
		p.mu.Lock()
		p.calls = append(p.calls, sequences)
		p.mu.Unlock()
		return handler(sequences)
	})
	options.Bucket = fakeBucket{putObject: func(in *s3.PutObjectInput) error {
		p.keep(in)
		return nil
	}}
	for _, change := range adapt {
		change(&mapping, &options)
	}
	var err error
	p.poller, err = New(mapping, options)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.ended <- p.poller.Run(ctx) }()
	return p
}

func (p *platform) keep(in *s3.PutObjectInput) {
	body, err := io.ReadAll(in.Body)
	assert.NoError(p.t, err)
	var record failureRecord
	assert.NoError(p.t, json.Unmarshal(body, &record))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept, p.keys = append(p.kept, record), append(p.keys, *in.Key)
}

// settle lets virtual time pass, then ends the poller.
func (p *platform) settle(after time.Duration) {
	time.Sleep(after)
	p.stop()
}

func (p *platform) stop() {
	p.cancel()
	require.NoError(p.t, <-p.ended)
}

func sequencesOf(t testing.TB, payload []byte) []string {
	var e events.KinesisEvent
	assert.NoError(t, json.Unmarshal(payload, &e))
	var sequences []string
	for _, r := range e.Records {
		sequences = append(sequences, r.Kinesis.SequenceNumber)
	}
	return sequences
}

func fine([]string) (Answer, error) { return Answer{RequestID: "r", Payload: []byte("null")}, nil }

func failed() Answer {
	return Answer{RequestID: "r", FunctionError: "Unhandled", Payload: []byte(`{"errorMessage":"no"}`)}
}

func report(sequences ...string) Answer {
	var items []string
	for _, s := range sequences {
		items = append(items, fmt.Sprintf(`{"itemIdentifier":%q}`, s))
	}
	return Answer{RequestID: "r", Payload: []byte(`{"batchItemFailures":[` + strings.Join(items, ",") + `]}`)}
}

// numbers writes runs of sequence numbers: numbers(2, 4) is 2, 3, 4.
func numbers(from, to int) []string {
	var list []string
	for n := from; n <= to; n++ {
		list = append(list, strconv.Itoa(n))
	}
	return list
}

func TestEvent_isLambdasToTheByte(t *testing.T) {
	p, err := New(Mapping{
		UUID: mappingUUID, StreamARN: streamARN, FunctionARN: functionARN,
		RoleARN:          "arn:aws:iam::000000000000:role/deliver",
		StartingPosition: types.ShardIteratorTypeLatest,
	}, Options{Stream: fakeStream{}, Invoker: InvokerFunc(nil)})
	require.NoError(t, err)
	r := p.newRecord(shardZero, types.Record{
		PartitionKey:                aws.String("session-1"),
		SequenceNumber:              aws.String("49590338271490256608559692538361571095921575989136588898"),
		Data:                        []byte("Hello, this is a test."),
		ApproximateArrivalTimestamp: aws.Time(time.UnixMilli(1545084650987)),
	})
	assert.Equal(t, `{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"session-1",`+
		`"sequenceNumber":"49590338271490256608559692538361571095921575989136588898",`+
		`"data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",`+
		`"approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0",`+
		`"eventID":"shardId-000000000000:49590338271490256608559692538361571095921575989136588898",`+
		`"eventName":"aws:kinesis:record",`+
		`"invokeIdentityArn":"arn:aws:iam::000000000000:role/deliver","awsRegion":"eu-central-1",`+
		`"eventSourceARN":"arn:aws:kinesis:eu-central-1:000000000000:stream/activity"}]}`, string(payload([]record{r})))
	empty := p.newRecord(shardZero, types.Record{PartitionKey: aws.String("k"), SequenceNumber: aws.String("1")})
	assert.Contains(t, string(empty.wire), `"data":""`)
}

func TestRetries_whatIsInvokedAndWhatIsGivenUp(t *testing.T) {
	// Records 0 to 7; number 3 always fails.
	whole := func(sequences []string) (Answer, error) {
		if slices.Contains(sequences, "3") {
			return failed(), nil
		}
		return fine(nil)
	}
	items := func(sequences []string) (Answer, error) {
		if slices.Contains(sequences, "3") {
			return report("3"), nil
		}
		return report(), nil
	}
	cases := map[string]struct {
		handler         function
		bisect, report  bool
		calls           [][]string
		given           []string
		discarded, fail int64
	}{
		"whole batch": {
			handler: whole, calls: [][]string{numbers(0, 7), numbers(0, 7), numbers(0, 7)}, given: numbers(0, 7),
			fail: 3,
		},
		"bisect": {
			handler: whole, bisect: true,
			calls: [][]string{numbers(0, 7), numbers(0, 3), numbers(0, 1), numbers(2, 3), {"2"}, {"3"}, {"3"}, {"3"},
				numbers(4, 7)},
			given: []string{"3"}, fail: 6,
		},
		"report": {
			handler: items, report: true,
			calls: [][]string{numbers(0, 7), numbers(3, 7), numbers(3, 7)}, given: numbers(3, 7), fail: 3,
		},
		"report and bisect": {
			handler: items, bisect: true, report: true,
			calls: [][]string{numbers(0, 7), numbers(3, 7), numbers(3, 5), numbers(3, 4), {"3"}, {"3"}, {"3"}, {"4"},
				{"5"}, numbers(6, 7)},
			given: []string{"3"}, fail: 7,
		},
		"a report is not read where it is not asked for": {handler: items, calls: [][]string{numbers(0, 7)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stream := newMemory()
				for n := range 8 {
					stream.put(shardZero, "k"+strconv.Itoa(n), "x")
				}
				p := launch(t, stream, c.handler, func(m *Mapping, _ *Options) {
					m.BisectOnError,
						m.ReportItemFailures = c.bisect, c.report
				})
				p.settle(time.Minute)
				assert.Equal(t, c.calls, p.calls)
				var given []string
				for _, kept := range p.kept {
					given = append(given, sequencesOf(t, []byte(kept.Payload))...)
					assert.Equal(t, retryAttemptsExhausted, kept.RequestContext.Condition)
				}
				assert.Equal(t, c.given, given)
				expected := Stats{
					Delivered: int64(8 - len(c.given)), Discarded: int64(len(c.given)),
					Invocations: int64(len(c.calls)), Failed: c.fail,
				}
				if len(c.given) > 0 {
					expected.Kept = map[string]int64{retryAttemptsExhausted: int64(len(c.given))}
				}
				assert.Equal(t, expected, p.poller.Stats())
			})
		})
	}
}

func TestRetries_checkpointIsTheLowestFailedNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		for range 6 {
			stream.put(shardZero, "k", "x")
		}
		first := true
		p := launch(t, stream, func([]string) (Answer, error) {
			if first {
				first = false
				return report("4", "1", "3"), nil
			}
			return report(), nil
		}, func(m *Mapping, _ *Options) { m.ReportItemFailures = true })
		p.settle(time.Minute)
		assert.Equal(t, [][]string{numbers(0, 5), numbers(1, 5)}, p.calls)
		assert.Empty(t, p.kept)
	})
}

func TestRetries_endless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		stream.put(shardZero, "k", "x")
		p := launch(t, stream, func([]string) (Answer, error) { return failed(), nil },
			func(m *Mapping, _ *Options) { m.RetryAttempts = EndlessRetries })
		p.settle(time.Hour)
		assert.Greater(t, len(p.calls), 300)
		assert.Empty(t, p.kept)
	})
}

func TestFirstFailure_readsTheReport(t *testing.T) {
	records := []record{{sequence: "10"}, {sequence: "11"}, {sequence: "12"}}
	cases := map[string]struct {
		answer string
		index  int
		reason string
	}{
		"null":               {`null`, 3, ""},
		"empty object":       {`{}`, 3, ""},
		"null list":          {`{"batchItemFailures":null}`, 3, ""},
		"empty list":         {`{"batchItemFailures":[]}`, 3, ""},
		"more than a report": {`{"batchItemFailures":[],"statusCode":200}`, 3, ""},
		"a text":             {`"success"`, 0, "no JSON object"},
		"true":               {`true`, 0, "no JSON object"},
		"a list":             {`[]`, 0, "no JSON object"},
		"nothing":            {``, 0, "no JSON object"},
		"a page":             {`<html>`, 0, "no JSON object"},
		"half":               {`{"batchItemFailures":[`, 0, "no JSON object"},
		"more after it":      {`{} {}`, 0, "no JSON object"},
		"another object":     {`{"statusCode":200}`, 0, "without batchItemFailures"},
		"another case":       {`{"BatchItemFailures":[]}`, 0, "without batchItemFailures"},
		"an item's case":     {`{"batchItemFailures":[{"ItemIdentifier":"12"}]}`, 0, "without an itemIdentifier"},
		"twice": {`{"batchItemFailures":[{"itemIdentifier":"10"}],"batchItemFailures":[]}`, 0,
			"duplicate"},
		"a null item":        {`{"batchItemFailures":[null]}`, 0, "without an itemIdentifier"},
		"too large":          {`null` + strings.Repeat(" ", MaxPayload-3), 0, "are allowed"},
		"as large as can be": {`null` + strings.Repeat(" ", MaxPayload-4), 3, ""},
		"one":                {`{"batchItemFailures":[{"itemIdentifier":"11"}]}`, 1, ""},
		"lowest of several":  {`{"batchItemFailures":[{"itemIdentifier":"12"},{"itemIdentifier":"11"}]}`, 1, ""},
		"unknown":            {`{"batchItemFailures":[{"itemIdentifier":"12"},{"itemIdentifier":"13"}]}`, 0, `"13"`},
		"empty identifier":   {`{"batchItemFailures":[{"itemIdentifier":""}]}`, 0, "without an itemIdentifier"},
		"null identifier":    {`{"batchItemFailures":[{"itemIdentifier":null}]}`, 0, "without an itemIdentifier"},
		"other key":          {`{"batchItemFailures":[{"item":"12"}]}`, 0, "without an itemIdentifier"},
		"number":             {`{"batchItemFailures":[{"itemIdentifier":12}]}`, 0, "batchItemFailures"},
		"object for a list":  {`{"batchItemFailures":{"itemIdentifier":"12"}}`, 0, "batchItemFailures"},
		"first of the batch": {`{"batchItemFailures":[{"itemIdentifier":"10"}]}`, 0, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			index, reason := firstFailure([]byte(c.answer), records)
			assert.Equal(t, c.index, index)
			if c.reason == "" {
				assert.NoError(t, reason)
			} else {
				assert.ErrorContains(t, reason, c.reason)
			}
		})
	}
}

func FuzzFirstFailure(f *testing.F) {
	f.Add([]byte(`{"batchItemFailures":[{"itemIdentifier":"11"}]}`))
	f.Add([]byte(`{"batchItemFailures":[{"itemIdentifier":null}]}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`{"batchItemFailures":[],"batchItemFailures":[{"itemIdentifier":"11"}]}`))
	f.Add([]byte(`{"batchitemfailures":[{"itemIdentifier":"11"}]}`))
	records := []record{{sequence: "10"}, {sequence: "11"}, {sequence: "12"}}
	f.Fuzz(func(t *testing.T, answer []byte) {
		index, reason := firstFailure(answer, records)
		if index < 0 || index > len(records) || reason != nil && index != 0 {
			t.Fatalf("index %d, reason %v", index, reason)
		}
		if index < len(records) {
			return
		}
		var read any
		if json.Unmarshal(answer, &read) != nil {
			t.Fatal("what is no JSON counts as a success")
		}
		fields, object := read.(map[string]any)
		if list, present := fields["batchItemFailures"]; read != nil && (!object || len(fields) > 0 && !present ||
			list != nil && len(list.([]any)) > 0) {
			t.Fatalf("%s counts as a success", answer)
		}
	})
}

func TestBatches_sizeAndWindow(t *testing.T) {
	t.Run("what is there is cut to the batch size", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stream := newMemory()
			for range 25 {
				stream.put(shardZero, "k", "x")
			}
			p := launch(t, stream, fine, func(m *Mapping, _ *Options) { m.BatchSize = 10 })
			p.settle(time.Second)
			assert.Equal(t, [][]string{numbers(0, 9), numbers(10, 19), numbers(20, 24)}, p.calls)
		})
	})
	t.Run("the window gathers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stream := newMemory()
			begun := time.Now()
			var at []time.Duration
			p := launch(t, stream,
				func([]string) (Answer, error) { at = append(at, time.Since(begun)); return fine(nil) },
				func(m *Mapping, _ *Options) { m.BatchWindow = 2 * time.Second })
			for range 5 {
				stream.put(shardZero, "k", "x")
				time.Sleep(700 * time.Millisecond)
			}
			p.settle(10 * time.Second)
			assert.Equal(t, [][]string{numbers(0, 2), numbers(3, 4)}, p.calls)
			assert.Equal(t, []time.Duration{2 * time.Second, 4200 * time.Millisecond}, at)
		})
	})
	t.Run("a full batch does not wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stream := newMemory()
			p := launch(t, stream, fine, func(m *Mapping, _ *Options) { m.BatchWindow, m.BatchSize = time.Minute, 3 })
			for range 4 {
				stream.put(shardZero, "k", "x")
			}
			time.Sleep(time.Second)
			synctest.Wait()
			assert.Equal(t, [][]string{numbers(0, 2)}, p.calls)
			p.stop()
		})
	})
	t.Run("an event stays below 6 MB", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stream := newMemory()
			for range 10 {
				stream.put(shardZero, "k", strings.Repeat("x", 1_000_000))
			}
			largest := 0
			p := launch(t, stream, nil, func(_ *Mapping, o *Options) {
				o.Invoker = InvokerFunc(func(_ context.Context, _ string, payload []byte) (Answer, error) {
					largest = max(largest, len(payload))
					return fine(nil)
				})
			})
			p.settle(time.Second)
			assert.LessOrEqual(t, largest, MaxPayload)
			assert.Equal(t, int64(3), p.poller.Stats().Invocations, "four records of 1.33 MB fit")
		})
	})
}

func TestAge_givesUpWhatIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		stream.put(shardZero, "k", "old")
		time.Sleep(10 * time.Minute)
		stream.put(shardZero, "k", "new")
		p := launch(t, stream, fine, func(m *Mapping, _ *Options) { m.MaxRecordAge = 5 * time.Minute })
		p.settle(time.Second)
		assert.Equal(t, [][]string{{"1"}}, p.calls)
		require.Len(t, p.kept, 1)
		assert.Equal(t, recordAgeExceeded, p.kept[0].RequestContext.Condition)
		assert.Zero(t, p.kept[0].RequestContext.ApproximateInvokeCount)
		assert.Nil(t, p.kept[0].ResponseContext)
		assert.Equal(t, []string{"0"}, sequencesOf(t, []byte(p.kept[0].Payload)))
	})
}

func TestAge_endsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		stream.put(shardZero, "k", "x")
		p := launch(t, stream, func([]string) (Answer, error) { return failed(), nil },
			func(m *Mapping, _ *Options) { m.RetryAttempts, m.MaxRecordAge = EndlessRetries, time.Minute })
		p.settle(time.Hour)
		require.Len(t, p.kept, 1)
		assert.Equal(t, recordAgeExceeded, p.kept[0].RequestContext.Condition)
		assert.Equal(t, len(p.calls), p.kept[0].RequestContext.ApproximateInvokeCount)
	})
}

func TestThrottle_usesUpNoRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		stream.put(shardZero, "k", "x")
		refusals := 20
		p := launch(t, stream, func([]string) (Answer, error) {
			if refusals--; refusals >= 0 {
				return Answer{}, errors.New("rate exceeded")
			}
			return fine(nil)
		}, func(m *Mapping, _ *Options) { m.RetryAttempts = 0 })
		p.settle(10 * time.Minute)
		assert.Equal(t, Stats{Delivered: 1, Invocations: 1, Throttled: 20}, p.poller.Stats())
		assert.Empty(t, p.kept)
	})
}

func TestInvoke_thatNeverWillSucceedEndsThePoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		stream.put(shardZero, "k", "x")
		refusals := 2
		p := launch(t, stream, func([]string) (Answer, error) {
			if refusals--; refusals >= 0 {
				return Answer{}, errors.New("rate exceeded")
			}
			return Answer{}, wait.Permanent(errors.New("function not found"))
		})
		require.EqualError(t, <-p.ended, "the records of shard "+shardZero+
			" stay in stream activity: function not found")
		assert.Equal(t, Stats{Throttled: 2}, p.poller.Stats(), "what is transient was waited for")
		assert.Empty(t, p.kept)
	})
}

func TestStream_thatStaysAwayEndsThePoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		p := launch(t, stream, fine)
		time.Sleep(time.Second)
		begun := time.Now()
		down := errors.New("connection refused")
		stream.mu.Lock()
		stream.down = down
		stream.mu.Unlock()
		require.ErrorIs(t, <-p.ended, down)
		assert.InDelta(t, 9*time.Minute, time.Since(begun), float64(time.Minute))
	})
}

// Whatever a bucket answers: who has taken it away, or a permission, may bring it back.
func TestDiscard_waitsADayForABucketAndEndsThePollerThen(t *testing.T) {
	for name, answer := range map[string]error{
		"refuses":    &smithy.GenericAPIError{Code: "AccessDenied", Fault: smithy.FaultClient},
		"stays away": errors.New("connection refused"),
	} {
		for _, comesBack := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, comes back: %t", name, comesBack), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					stream := newMemory()
					stream.put(shardZero, "k", "x")
					begun := time.Now()
					p := launch(t, stream, func([]string) (Answer, error) { return failed(), nil },
						func(m *Mapping, o *Options) {
							m.RetryAttempts = 0
							o.Bucket = fakeBucket{putObject: func(*s3.PutObjectInput) error {
								if comesBack && time.Since(begun) > 23*time.Hour {
									return nil
								}
								return answer
							}}
						})
					if comesBack {
						p.settle(24 * time.Hour)
						assert.EqualValues(t, 1, p.poller.Stats().Discarded)
						return
					}
					err := <-p.ended
					assert.GreaterOrEqual(t, time.Since(begun), keepFor)
					require.ErrorIs(t, err, answer)
					require.ErrorContains(t, err, "cannot be kept in s3://failures/")
					assert.Zero(t, p.poller.Stats().Discarded)
				})
			})
		}
	}
}

func TestFailureRecord_isLambdas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		stream.put(shardZero, "k", "a")
		time.Sleep(1500 * time.Millisecond)
		stream.put(shardZero, "k", "b")
		var body []byte
		var key string
		refusals := 3
		p := launch(t, stream, func([]string) (Answer, error) { return failed(), nil }, func(m *Mapping, o *Options) {
			m.RetryAttempts = 1
			o.Bucket = fakeBucket{putObject: func(in *s3.PutObjectInput) (err error) {
				assert.Equal(t, "failures", *in.Bucket)
				if refusals--; refusals >= 0 {
					return errors.New("slow down")
				}
				key = *in.Key
				body, err = io.ReadAll(in.Body)
				return err
			}}
		})
		p.settle(time.Minute)
		require.NotEmpty(t, body, "it is tried until the bucket takes it")
		assert.Regexp(t,
			`^aws/lambda/`+mappingUUID+`/shardId-000000000000/2000/01/01/2000-01-01T00\.00\.01-[0-9a-f-]{36}$`, key)
		var record map[string]any
		require.NoError(t, json.Unmarshal(body, &record))
		whole, isText := record["payload"].(string)
		require.True(t, isText)
		assert.Equal(t, []string{"0", "1"}, sequencesOf(t, []byte(whole)))
		delete(record, "payload")
		assert.Equal(t, map[string]any{
			"requestContext": map[string]any{
				"requestId": "r", "functionArn": functionARN, "condition": "RetryAttemptsExhausted",
				"approximateInvokeCount": 2.0,
			},
			"responseContext": map[string]any{"statusCode": 200.0, "executedVersion": "$LATEST",
				"functionError": "Unhandled"},
			"version": "1.0", "timestamp": "2000-01-01T00:00:01.600Z",
			"KinesisBatchInfo": map[string]any{
				"shardId": shardZero, "startSequenceNumber": "0", "endSequenceNumber": "1", "batchSize": 2.0,
				"streamArn":                       streamARN,
				"approximateArrivalOfFirstRecord": "2000-01-01T00:00:00.000Z",
				"approximateArrivalOfLastRecord":  "2000-01-01T00:00:01.500Z",
			},
		}, record)
	})
}

func TestParallelization_lanesRunTogetherAndKeepTheOrderOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lanes = 4
		stream := newMemory()
		keyOf := map[string]string{}
		for n := range 400 {
			key := fmt.Sprintf("session-%d", n%23)
			keyOf[stream.put(shardZero, key, "x")] = key
		}
		var under, most atomic.Int64
		seen := map[string][]int{}
		var mu sync.Mutex
		p := launch(t, stream, func(sequences []string) (Answer, error) {
			now := under.Add(1)
			for {
				if high := most.Load(); now <= high || most.CompareAndSwap(high, now) {
					break
				}
			}
			time.Sleep(time.Second)
			under.Add(-1)
			mu.Lock()
			defer mu.Unlock()
			for _, s := range sequences {
				number, err := strconv.Atoi(s)
				assert.NoError(t, err)
				seen[keyOf[s]] = append(seen[keyOf[s]], number)
			}
			return fine(nil)
		}, func(m *Mapping, _ *Options) { m.Parallelization, m.BatchSize = lanes, 10 })
		p.settle(time.Minute)
		assert.Equal(t, int64(lanes), most.Load())
		total := 0
		for key, order := range seen {
			assert.True(t, slices.IsSorted(order), "%s: %v", key, order)
			total += len(order)
		}
		assert.Equal(t, 400, total)
	})
}

func TestStartingPosition(t *testing.T) {
	for position, expected := range map[types.ShardIteratorType][][]string{
		types.ShardIteratorTypeTrimHorizon: {{"0"}, {"1"}},
		types.ShardIteratorTypeLatest:      {{"1"}},
	} {
		t.Run(string(position), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stream := newMemory()
				stream.put(shardZero, "k", "before")
				p := launch(t, stream, fine, func(m *Mapping, _ *Options) { m.StartingPosition = position })
				<-p.poller.Ready()
				synctest.Wait()
				stream.put(shardZero, "k", "after")
				p.settle(time.Second)
				assert.Equal(t, expected, p.calls)
			})
		})
	}
}

func TestReshard_childrenComeAfterTheirParentIsHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		stream.put(shardZero, "k", "x")
		p := launch(t, stream, func([]string) (Answer, error) { time.Sleep(5 * time.Second); return fine(nil) },
			func(m *Mapping, _ *Options) { m.StartingPosition = types.ShardIteratorTypeTrimHorizon })
		time.Sleep(time.Second) // the first invocation is under way
		stream.put(shardZero, "k", "last of the parent")
		stream.split(shardZero, "shardId-000000000001", "shardId-000000000002")
		stream.put("shardId-000000000001", "k", "x")
		stream.put("shardId-000000000002", "j", "x")
		time.Sleep(8 * time.Second)
		p.mu.Lock()
		assert.Equal(t, [][]string{{"0"}, {"1"}}, p.calls)
		p.mu.Unlock()
		p.settle(time.Minute)
		require.Len(t, p.calls, 4)
		assert.ElementsMatch(t, [][]string{{"2"}, {"3"}}, p.calls[2:])
	})
}

func TestRead_recoversFromExpiredIteratorsAndPassingErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		reads := 0
		p := launch(t, stream, fine, func(_ *Mapping, o *Options) {
			fake := stream.fake()
			read, list := fake.getRecords, fake.listShards
			fake.getRecords = func(in *kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error) {
				reads++
				switch reads % 3 {
				case 1:
					return nil, &types.ExpiredIteratorException{}
				case 2:
					return nil, &types.ProvisionedThroughputExceededException{}
				}
				return read(in)
			}
			fake.listShards = func(in *kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) {
				if in.NextToken == nil { // an empty page first
					assert.Equal(t, "activity", *in.StreamName)
					return &kinesis.ListShardsOutput{NextToken: aws.String("more")}, nil
				}
				assert.Nil(t, in.StreamName, "Kinesis takes one of the two")
				return list(in)
			}
			o.Stream = fake
		})
		for range 5 {
			stream.put(shardZero, "k", "x")
			time.Sleep(time.Minute)
		}
		p.stop()
		assert.Equal(t, [][]string{{"0"}, {"1"}, {"2"}, {"3"}, {"4"}}, p.calls)
	})
}

// What was read when a poller is stopped is handled, and waits for nothing more.
func TestRun_flushesWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		p := launch(t, stream, fine, func(m *Mapping, _ *Options) { m.BatchWindow = MaxBatchWindow })
		for range 3 {
			stream.put(shardZero, "k", "x")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(t, p.calls)
		stopped := time.Now()
		p.stop()
		assert.Equal(t, [][]string{numbers(0, 2)}, p.calls)
		assert.EqualValues(t, 3, p.poller.Stats().Delivered)
		assert.Less(t, time.Since(stopped), time.Second)
	})
}

// What would be tried again at the end stays in the stream, and so does what comes behind it.
func TestRun_triesNothingAgainAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		for range 4 {
			stream.put(shardZero, "k", "x")
		}
		p := launch(t, stream, func([]string) (Answer, error) {
			time.Sleep(time.Minute)
			return failed(), nil
		}, func(m *Mapping, _ *Options) { m.BatchSize, m.RetryAttempts = 2, EndlessRetries })
		time.Sleep(time.Second)
		p.stop()
		assert.Equal(t, [][]string{numbers(0, 1)}, p.calls)
		assert.Empty(t, p.kept)
	})
}

// Who has no time for the flush ends what it waits for.
func TestGiveUp_endsTheFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		stream.put(shardZero, "k", "x")
		p := launch(t, stream, func([]string) (Answer, error) { return failed(), nil },
			func(m *Mapping, o *Options) {
				m.RetryAttempts = 0
				o.Bucket = fakeBucket{putObject: func(*s3.PutObjectInput) error { return errors.New("down") }}
			})
		time.Sleep(time.Minute)
		p.cancel()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, p.ended, "the bucket may come back")
		p.poller.GiveUp()
		p.poller.GiveUp()
		require.NoError(t, <-p.ended)
		assert.Zero(t, p.poller.Stats().Discarded)
	})
}

func TestRun_failsWhereThereIsNoStream(t *testing.T) {
	gone := &types.ResourceNotFoundException{Message: aws.String("Stream activity not found")}
	for name, fake := range map[string]func(*fakeStream){
		"at the start": func(f *fakeStream) {
			f.listShards = func(*kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) { return nil, gone }
		},
		"later": func(f *fakeStream) {
			f.getRecords = func(*kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error) { return nil, gone }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := launch(t, newMemory(), fine, func(_ *Mapping, o *Options) {
					stream := newMemory().fake()
					fake(&stream)
					o.Stream = stream
				})
				err := <-p.ended
				require.ErrorIs(t, err, gone)
				require.ErrorContains(t, err, "stream activity")
				p.cancel()
			})
		})
	}
}

func TestRun_aShardThatCannotBeReadEndsTheRetriesOfTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const other = "shardId-000000000001"
		stream := newMemory()
		stream.shards = append(stream.shards, types.Shard{ShardId: aws.String(other)})
		stream.put(shardZero, "k", "x")
		gone := &types.ResourceNotFoundException{}
		p := launch(t, stream, func([]string) (Answer, error) { return failed(), nil }, func(m *Mapping, o *Options) {
			m.RetryAttempts = EndlessRetries
			fake, begun := stream.fake(), time.Now()
			read := fake.getRecords
			fake.getRecords = func(in *kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error) {
				if strings.HasPrefix(*in.ShardIterator, other) && time.Since(begun) > time.Minute {
					return nil, gone
				}
				return read(in)
			}
			o.Stream = fake
		})
		err := <-p.ended
		require.ErrorIs(t, err, gone)
		require.ErrorContains(t, err, other)
		assert.NotEmpty(t, p.calls)
		p.cancel()
	})
}

func TestShutdown_waitsForWhatIsUnderWayAndBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newMemory()
		for range 20 {
			stream.put(shardZero, "k", "x")
		}
		done := false
		p := launch(t, stream,
			func([]string) (Answer, error) { time.Sleep(30 * time.Second); done = true; return failed(), nil },
			func(m *Mapping, _ *Options) { m.BatchSize = 10 })
		time.Sleep(time.Second)
		p.cancel()
		synctest.Wait()
		select {
		case <-p.ended:
			t.Fatal("the invocation was not waited for")
		default:
		}
		require.NoError(t, <-p.ended)
		assert.True(t, done)
		assert.Equal(t, [][]string{numbers(0, 9)}, p.calls)
		assert.Empty(t, p.kept, "what may be tried again stays in the stream")
	})
}

// Whatever fails, each record is handled or kept, none is lost, and a key's records are handled in
// their order.
func TestProperty_nothingIsLostAndOrderIsKept(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkProperty(t, seed) })
		})
	}
}

func checkProperty(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 7))
	stream := newMemory()
	stream.shards = append(stream.shards, types.Shard{ShardId: aws.String("shardId-000000000001")})
	var mu sync.Mutex // also of the dice
	keyOf := map[string]string{}
	total := 50 + dice.IntN(300)
	put := func() {
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprintf("session-%d", dice.IntN(12))
		shard := "shardId-00000000000" + strconv.Itoa(laneOf(key, 2))
		keyOf[stream.put(shard, key, "x")] = key
	}
	for range total / 2 {
		put()
	}
	poison := func(sequence string) bool { return len(sequence)%3 == 2 && strings.HasSuffix(sequence, "7") }

	settled := map[string]int{}
	order := map[string][]int{}
	settle := func(sequences []string) {
		for _, s := range sequences {
			settled[s]++
			number, err := strconv.Atoi(s)
			assert.NoError(t, err)
			order[keyOf[s]] = append(order[keyOf[s]], number)
		}
	}
	roll := func(sides int) int { mu.Lock(); defer mu.Unlock(); return dice.IntN(sides) }
	mapping := Mapping{
		BatchSize: 1 + dice.IntN(30), BatchWindow: time.Duration(dice.IntN(3)) * time.Second, Parallelization: 1 +
			dice.IntN(5),
		RetryAttempts: dice.IntN(5), BisectOnError: dice.IntN(2) == 0, ReportItemFailures: dice.IntN(2) == 0,
	}
	if dice.IntN(3) == 0 {
		mapping.MaxRecordAge = time.Minute
	}
	p := launch(t, stream, func(sequences []string) (Answer, error) {
		chance := roll(10)
		if chance == 0 {
			return Answer{}, errors.New("rate exceeded")
		}
		time.Sleep(time.Duration(roll(2000)) * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		bad := slices.IndexFunc(sequences, poison)
		if chance == 1 {
			bad = dice.IntN(len(sequences))
		}
		switch {
		case bad < 0:
			settle(sequences)
			return report(), nil
		case mapping.ReportItemFailures && chance != 2:
			settle(sequences[:bad])
			return report(sequences[bad]), nil
		}
		return failed(), nil
	}, func(m *Mapping, o *Options) {
		m.BatchSize, m.BatchWindow, m.Parallelization, m.RetryAttempts = mapping.BatchSize, mapping.BatchWindow,
			mapping.Parallelization, mapping.RetryAttempts
		m.BisectOnError, m.ReportItemFailures, m.MaxRecordAge = mapping.BisectOnError, mapping.ReportItemFailures,
			mapping.MaxRecordAge
		o.Bucket = fakeBucket{putObject: func(in *s3.PutObjectInput) error {
			if roll(4) == 0 {
				return errors.New("slow down")
			}
			body, err := io.ReadAll(in.Body)
			assert.NoError(t, err)
			var kept failureRecord
			assert.NoError(t, json.Unmarshal(body, &kept))
			mu.Lock()
			defer mu.Unlock()
			settle(sequencesOf(t, []byte(kept.Payload)))
			return nil
		}}
	})
	for range total - total/2 {
		time.Sleep(time.Duration(roll(500)) * time.Millisecond)
		put()
	}
	done := func() int64 { stats := p.poller.Stats(); return stats.Delivered + stats.Discarded }
	for limit := time.Now().Add(24 * time.Hour); done() < int64(total) && time.Now().Before(limit); {
		time.Sleep(time.Second)
	}
	p.settle(time.Minute)
	assert.Len(t, settled, total, "a record is lost: %+v", mapping)
	for sequence, times := range settled {
		assert.Equal(t, 1, times, "record %s is settled more than once: %+v", sequence, mapping)
	}
	for key, numbers := range order {
		assert.True(t, slices.IsSorted(numbers), "key %s: %v, %+v", key, numbers, mapping)
	}
	assert.Equal(t, int64(total), done())
}

// A consumer with enhanced fan-out reads its stream as fast as Kinesis pushes; its events name it.
func TestFanOut_readsTheStreamOfItsConsumerAtOnce(t *testing.T) {
	mapping := Mapping{
		UUID: mappingUUID, StreamARN: streamARN, FunctionARN: functionARN,
		StartingPosition: types.ShardIteratorTypeLatest,
	}
	options := Options{Stream: fakeStream{}, Invoker: InvokerFunc(nil)}
	plain, err := New(mapping, options)
	require.NoError(t, err)
	assert.Zero(t, plain.options.PollInterval, "the reader's own")
	assert.False(t, mapping.FanOut())

	mapping.StreamARN += "/consumer/deliver:1764370800"
	pushed, err := New(mapping, options)
	require.NoError(t, err)
	assert.True(t, mapping.FanOut())
	assert.Equal(t, FanOutInterval, pushed.options.PollInterval)
	assert.Equal(t, plain.stream, pushed.stream)
	assert.Equal(t, plain.region, pushed.region)
	assert.Equal(t, "activity", mapping.Stream())
	r := pushed.newRecord(shardZero, types.Record{PartitionKey: aws.String("k"), SequenceNumber: aws.String("1")})
	assert.Contains(t, string(r.wire), `"eventSourceARN":"`+mapping.StreamARN+`"`)

	for _, odd := range []string{streamARN + "/consumer/", strings.Replace(streamARN, "stream/", "table/", 1) +
		"/consumer/deliver:1"} {
		mapping.StreamARN = odd
		require.ErrorContains(t, mapping.Validate(), "is no ARN of a Kinesis stream", odd)
	}
}

func TestMapping_validatesAlone(t *testing.T) {
	mapping := Mapping{
		UUID: "u", StreamARN: "arn:aws:kinesis:us-east-1:000000000000:stream/activity",
		FunctionARN:      "arn:aws:lambda:us-east-1:000000000000:function:f",
		StartingPosition: types.ShardIteratorTypeLatest, FailureBucket: "failures",
	}
	require.NoError(t, mapping.Validate(), "what it works with is not asked for")
	mapping.StreamARN, mapping.BatchSize = "activity", 20_000
	require.ErrorContains(t, mapping.Validate(), `StreamARN "activity"`)
	require.ErrorContains(t, mapping.Validate(), "BatchSize 20000")
}

func TestNew_refusesNamingEveryProblem(t *testing.T) {
	_, err := New(Mapping{
		StreamARN: "activity", FunctionARN: "arn:aws:lambda:eu-central-1:000000000000:layer:x",
		StartingPosition: "AT_TIMESTAMP", BatchSize: 20_000,
		BatchWindow: time.Hour, Parallelization: 11, RetryAttempts: -2, MaxRecordAge: 8 * 24 * time.Hour,
		FailureBucket: "failures",
	}, Options{})
	for _, part := range []string{
		`StreamARN "activity"`, "FunctionARN", "UUID", "AT_TIMESTAMP", "BatchSize 20000", "BatchWindow 1h0m0s",
		"Parallelization 11",
		"RetryAttempts -2", "MaxRecordAge 192h0m0s", "no Stream", "no Invoker",
		`FailureBucket "failures" needs a Bucket`,
	} {
		require.ErrorContains(t, err, part)
	}
}
