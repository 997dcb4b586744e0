package schedules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	rowtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/activity"
	"diecast/internal/recommendation/row"
)

var errChance = errors.New("down, by chance")

// dice are thrown by many.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

// roll is a number from 0 on, below the sides.
func (d *dice) roll(sides int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(sides)
}

// one says yes once in so many times.
func (d *dice) one(in int) bool { return d.roll(in) == 0 }

func (d *dice) wait(most time.Duration) { time.Sleep(time.Duration(d.roll(int(most)))) }

const streamName = "activity"

// stream is a Kinesis stream; an iterator is its shard, a slash and an index.
type stream struct {
	*dice
	mu     sync.Mutex
	shards []types.Shard
	data   map[string][]types.Record
	closed map[string]bool
	put    []stored
	// begun says that both consumers read: before that, a stream that is away ends them.
	begun atomic.Bool
}

func (s *stream) fails() bool { return s.begun.Load() && s.one(10) }

func newStream(d *dice, shards int) *stream {
	s := &stream{dice: d, data: map[string][]types.Record{}, closed: map[string]bool{}}
	for range shards {
		s.open("")
	}
	return s
}

func (s *stream) open(parent string) {
	shard := types.Shard{ShardId: aws.String(fmt.Sprintf("shardId-%012d", len(s.shards)))}
	if parent != "" {
		shard.ParentShardId = &parent
	}
	s.shards = append(s.shards, shard)
}

// split closes a shard that is open and opens two that come of it.
func (s *stream) split() {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.opened()
	parent := open[s.roll(len(open))]
	s.closed[parent] = true
	s.open(parent)
	s.open(parent)
}

func (s *stream) opened() (ids []string) {
	for _, shard := range s.shards {
		if !s.closed[*shard.ShardId] {
			ids = append(ids, *shard.ShardId)
		}
	}
	return ids
}

// add puts a record; those of one key share a shard, as long as none is split.
func (s *stream) add(key int, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.opened()
	id := open[key%len(open)]
	sequence := strconv.Itoa(4_000_000_000 + len(s.put))
	now := time.Now().Truncate(time.Millisecond) // as Kinesis tells it
	s.data[id] = append(s.data[id], types.Record{PartitionKey: aws.String(strconv.Itoa(key)), Data: payload,
		SequenceNumber: &sequence, ApproximateArrivalTimestamp: &now})
	at := activity.Place{Stream: streamName, Shard: id, SequenceNumber: sequence}
	s.put = append(s.put, stored{arrived: activity.FromStream(at, now), sequence: sequence, payload: payload})
}

func (s *stream) ListShards(context.Context, *kinesis.ListShardsInput,
	...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	if s.fails() {
		return nil, errChance
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &kinesis.ListShardsOutput{Shards: slices.Clone(s.shards)}, nil
}

func (s *stream) GetShardIterator(_ context.Context, input *kinesis.GetShardIteratorInput,
	_ ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	if s.fails() {
		return nil, errChance
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	index := 0
	if input.ShardIteratorType == types.ShardIteratorTypeAfterSequenceNumber {
		index = 1 + slices.IndexFunc(s.data[*input.ShardId],
			func(r types.Record) bool { return *r.SequenceNumber == *input.StartingSequenceNumber })
	}
	return &kinesis.GetShardIteratorOutput{ShardIterator: aws.String(*input.ShardId + "/" + strconv.Itoa(index))}, nil
}

func (s *stream) GetRecords(_ context.Context, input *kinesis.GetRecordsInput,
	_ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	switch s.roll(40) {
	case 0:
		return nil, errChance
	case 1:
		return nil, &types.ExpiredIteratorException{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, position, _ := strings.Cut(*input.ShardIterator, "/")
	from, err := strconv.Atoi(position)
	if err != nil {
		return nil, err
	}
	to := min(len(s.data[id]), from+1+s.roll(500))
	output := &kinesis.GetRecordsOutput{Records: slices.Clone(s.data[id][from:to])}
	if !s.closed[id] || to < len(s.data[id]) {
		output.NextShardIterator = aws.String(id + "/" + strconv.Itoa(to))
	}
	return output, nil
}

// bucket keeps the last body under each key. A put that fails may have been done.
type bucket struct {
	*dice
	mu     sync.Mutex
	bodies map[string][]byte
}

func (b *bucket) PutObject(_ context.Context, input *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput,
	error) {
	if b.one(8) {
		return nil, errChance
	}
	body, err := io.ReadAll(input.Body)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.bodies[*input.Key] = body
	b.mu.Unlock()
	if b.one(8) {
		return nil, errChance
	}
	return &s3.PutObjectOutput{}, nil
}

// table evaluates row.Condition, as internal/recommendation/row holds two engines to it. A put that
// fails may have been done.
type table struct {
	*dice
	mu     sync.Mutex
	items  map[string]map[string]rowtypes.AttributeValue
	writes map[string][]place
}

func (t *table) PutItem(_ context.Context, input *dynamodb.PutItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if *input.ConditionExpression != row.Condition {
		return nil, fmt.Errorf("another condition: %s", *input.ConditionExpression)
	}
	if t.one(60) {
		return nil, errChance
	}
	t.wait(5 * time.Millisecond)
	session := text(input.Item[row.SessionID])
	t.mu.Lock()
	lets := t.lets(t.items[session], input.ExpressionAttributeValues)
	if lets {
		t.items[session] = input.Item
		t.writes[session] = append(t.writes[session], placeOf(input.Item))
	}
	t.mu.Unlock()
	if t.one(60) {
		return nil, errChance
	}
	if !lets {
		return nil, &rowtypes.ConditionalCheckFailedException{}
	}
	return &dynamodb.PutItemOutput{}, nil
}

func (t *table) lets(stored, values map[string]rowtypes.AttributeValue) bool {
	if stored == nil {
		return true
	}
	time, id := text(stored[row.EventTime]), text(stored[row.EventID])
	sameTime, sameID := time == text(values[":time"]), id == text(values[":id"])
	return time < text(values[":time"]) || sameTime && id < text(values[":id"]) ||
		sameTime && sameID && reflect.DeepEqual(stored[row.Degraded], values[":beaten"])
}

func placeOf(item map[string]rowtypes.AttributeValue) place {
	degraded := item[row.Degraded].(*rowtypes.AttributeValueMemberBOOL).Value
	return place{time: text(item[row.EventTime]), id: text(item[row.EventID]), answered: !degraded}
}

func text(value rowtypes.AttributeValue) string { return value.(*rowtypes.AttributeValueMemberS).Value }
