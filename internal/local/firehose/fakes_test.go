package firehose

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"diecast/internal/erroroutput"
)

// shardSize is the most records that stream gives at once.
const shardSize = 10

// stream is a Kinesis stream in memory. Sequence numbers count from 1 in each shard, behind the
// shard's number.
type stream struct {
	mutex    sync.Mutex
	shards   []*shard
	failures []error // given before anything else by GetRecords
}

type shard struct {
	id      string
	parents []string
	records []types.Record
	closed  bool
}

func newStream(shards int) *stream {
	s := &stream{}
	for i := range shards {
		s.shards = append(s.shards, &shard{id: fmt.Sprintf("shardId-%012d", i)})
	}
	return s
}

func (s *stream) put(number int, payloads ...string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	into := s.shards[number]
	for _, payload := range payloads {
		into.records = append(into.records, types.Record{
			Data: []byte(payload), PartitionKey: aws.String("key"), ApproximateArrivalTimestamp: aws.Time(time.Now()),
			SequenceNumber: aws.String(fmt.Sprintf("49%d%06d", number, len(into.records)+1)),
		})
	}
}

func (s *stream) find(id string) *shard {
	return s.shards[slices.IndexFunc(s.shards, func(each *shard) bool { return each.id == id })]
}

func (s *stream) ListShards(ctx context.Context, input *kinesis.ListShardsInput,
	_ ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	// One shard a page.
	from, _ := strconv.Atoi(aws.ToString(input.NextToken))
	each := s.shards[from]
	listed := types.Shard{ShardId: aws.String(each.id)}
	if len(each.parents) > 0 {
		listed.ParentShardId = aws.String(each.parents[0])
	}
	if len(each.parents) > 1 {
		listed.AdjacentParentShardId = aws.String(each.parents[1])
	}
	output := &kinesis.ListShardsOutput{Shards: []types.Shard{listed}}
	if from+1 < len(s.shards) {
		output.NextToken = aws.String(strconv.Itoa(from + 1))
	}
	return output, ctx.Err()
}

func (s *stream) GetShardIterator(ctx context.Context, input *kinesis.GetShardIteratorInput,
	_ ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	at, each := 0, s.find(*input.ShardId)
	switch input.ShardIteratorType {
	case types.ShardIteratorTypeLatest:
		at = len(each.records)
	case types.ShardIteratorTypeAfterSequenceNumber:
		at = 1 + slices.IndexFunc(each.records,
			func(r types.Record) bool { return *r.SequenceNumber == *input.StartingSequenceNumber })
	}
	return &kinesis.GetShardIteratorOutput{ShardIterator: aws.String(fmt.Sprintf("%s:%d", each.id, at))}, ctx.Err()
}

func (s *stream) GetRecords(ctx context.Context, input *kinesis.GetRecordsInput,
	_ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.failures) > 0 {
		err := s.failures[0]
		s.failures = s.failures[1:]
		if err != nil {
			return nil, err
		}
	}
	id, position, _ := strings.Cut(*input.ShardIterator, ":")
	from, _ := strconv.Atoi(position)
	each := s.find(id)
	to := min(from+shardSize, len(each.records))
	output := &kinesis.GetRecordsOutput{Records: each.records[from:to],
		MillisBehindLatest: aws.Int64(int64(len(each.records) - to))}
	if !each.closed || to < len(each.records) {
		output.NextShardIterator = aws.String(fmt.Sprintf("%s:%d", id, to))
	}
	return output, ctx.Err()
}

// processor is an Invoker from a function of the decoded event.
type processor func(ctx context.Context, call int, e event) (answer any, functionError string, err error)

type invoker struct {
	processor processor
	mutex     sync.Mutex
	events    []event
	sizes     []int
}

func (i *invoker) Invoke(ctx context.Context, _ string, payload []byte) ([]byte, string, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, "", err
	}
	i.mutex.Lock()
	i.events = append(i.events, e)
	i.sizes = append(i.sizes, len(payload))
	call := len(i.events)
	i.mutex.Unlock()
	answered, functionError, err := i.processor(ctx, call, e)
	if text, raw := answered.(string); raw {
		return []byte(text), functionError, err
	}
	encoded, _ := json.Marshal(answered)
	return encoded, functionError, err
}

type reply struct {
	Records []replied `json:"records"`
}

type replied struct {
	RecordID string `json:"recordId"`
	Result   string `json:"result"`
	Data     any    `json:"data,omitempty"`
}

// transformed is what the processor of the tests makes of a payload.
func transformed(data []byte) string { return "<" + string(data) + ">" }

func accepted(r eventRecord) replied {
	return replied{r.RecordID, "Ok", base64.StdEncoding.EncodeToString([]byte(transformed(r.Data)))}
}

func acceptAll(_ context.Context, _ int, e event) (any, string, error) {
	var all reply
	for _, r := range e.Records {
		all.Records = append(all.Records, accepted(r))
	}
	return all, "", nil
}

// store keeps objects in memory, in the order of writing.
type store struct {
	mutex    sync.Mutex
	keys     []string
	bodies   map[string]string
	failures int // of the next calls; below zero: of all
	failure  error
	calls    int
}

func (s *store) PutObject(ctx context.Context, input *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput,
	error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.calls++
	if s.failures != 0 {
		s.failures--
		if s.failure != nil {
			return nil, s.failure
		}
		return nil, fmt.Errorf("bucket %s is down", *input.Bucket)
	}
	body, err := io.ReadAll(input.Body)
	if err != nil {
		return nil, err
	}
	if s.bodies == nil {
		s.bodies = map[string]string{}
	}
	if _, again := s.bodies[*input.Key]; !again {
		s.keys = append(s.keys, *input.Key)
	}
	s.bodies[*input.Key] = string(body)
	return &s3.PutObjectOutput{}, ctx.Err()
}

// objects are the keys so far.
func (s *store) objects() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.keys)
}

func (s *store) under(prefix string) (bodies []string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, key := range s.keys {
		if strings.HasPrefix(key, prefix) {
			bodies = append(bodies, s.bodies[key])
		}
	}
	return bodies
}

func (s *store) delivered() string { return strings.Join(s.under("data/"), "") }

// refused reads the error output as the redrive does.
func (s *store) refused(t require.TestingT) (entries []erroroutput.Entry) {
	for _, body := range s.under("errors/") {
		for entry, err := range erroroutput.Read(strings.NewReader(body)) {
			require.NoError(t, err)
			entries = append(entries, entry)
		}
	}
	return entries
}

// settled is when every interval and delay is over, four time-outs of the processor included.
const settled = 25 * time.Minute

const functionARN = "arn:aws:lambda:us-east-1:000000000000:function:transform"

func config() Config {
	return Config{
		Name: "archive", ARN: "arn:aws:firehose:us-east-1:000000000000:deliverystream/archive", Region: "us-east-1",
		SourceStream: "activity", SourceARN: "arn:aws:kinesis:us-east-1:000000000000:stream/activity",
		FromTrimHorizon: true,
		Processor: &Processor{FunctionARN: functionARN, Buffer: Buffer{Bytes: 1 << 20, Interval: time.Second},
			Retries: 3},
		Bucket: "lake", Buffer: Buffer{Bytes: 1 << 20, Interval: 10 * time.Second},
		Prefix: "data/!{timestamp:yyyy/MM/dd/HH}/", ErrorPrefix: "errors/!{firehose:error-output-type}/",
		FileExtension: ".jsonl",
		PollInterval:  time.Second, // the bubble's clock is fast, but not for nothing
	}
}

// fixture is a pump whose neighbours are in memory, inside a synctest bubble: its clock stands
// still while anything works.
type fixture struct {
	*Pump
	stream  *stream
	invoker *invoker
	store   *store
	stop    context.CancelFunc
	ended   chan error
}

func start(t *testing.T, c Config, s *stream, p processor, bucket *store) *fixture {
	f := &fixture{stream: s, invoker: &invoker{processor: p}, store: bucket, ended: make(chan error, 1)}
	pump, err := New(c, s, f.invoker, bucket)
	require.NoError(t, err)
	f.Pump = pump
	ctx, stop := context.WithCancel(t.Context())
	f.stop = stop
	go func() { f.ended <- pump.Run(ctx) }()
	return f
}

// end stops the pump, which must end without an error and with every record in its place.
func (f *fixture) end(t *testing.T) Statistics {
	f.stop()
	require.NoError(t, <-f.ended)
	s := f.Statistics()
	require.Zero(t, s.Pending())
	return s
}

// pump runs the records of one shard through a processor to the end.
func pump(t *testing.T, c Config, p processor, payloads ...string) (f *fixture, s Statistics) {
	source := newStream(1)
	source.put(0, payloads...)
	f = start(t, c, source, p, &store{})
	time.Sleep(settled) // of the bubble's clock: every interval and delay is over
	synctest.Wait()
	return f, f.end(t)
}
