package shards_test

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/shards"
)

// The tests run in testing/synctest's bubbles: time stands still while anything works, and jumps
// when all wait.

const (
	name = "activity"
	// iteratorLife is Kinesis's.
	iteratorLife = 5 * time.Minute
)

// stream is a Kinesis stream in memory with one shard a page, whose iterators expire.
type stream struct {
	mutex  sync.Mutex
	shards []*streamShard
	// fail is asked before each call for its error, with ListShards, GetShardIterator:<type> or
	// GetRecords.
	fail  func(call, shard string) error
	calls []string
	// pageSize is the most records of a read.
	pageSize int
	// gap is what an empty read is behind the latest record, in milliseconds: Kinesis gives such
	// reads.
	gap int64
}

type streamShard struct {
	id      string
	parents []string
	records []types.Record
	closed  bool
}

func newStream(ids ...string) *stream {
	s := &stream{pageSize: shards.ReadLimit}
	for _, id := range ids {
		s.shards = append(s.shards, &streamShard{id: id})
	}
	return s
}

func (s *stream) find(id string) *streamShard {
	return s.shards[slices.IndexFunc(s.shards, func(each *streamShard) bool { return each.id == id })]
}

func (s *stream) put(id string, payloads ...string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	into := s.find(id)
	for _, payload := range payloads {
		into.records = append(into.records, types.Record{
			Data: []byte(payload), SequenceNumber: aws.String(fmt.Sprintf("%s-%d", id, len(into.records))),
			ApproximateArrivalTimestamp: aws.Time(time.Now()),
		})
	}
}

// reshard closes the parents and lists the child before all others.
func (s *stream) reshard(child string, parents ...string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, parent := range parents {
		s.find(parent).closed = true
	}
	s.shards = append([]*streamShard{{id: child, parents: parents}}, s.shards...)
}

func (s *stream) call(ctx context.Context, what, shard string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.calls = append(s.calls, strings.TrimSpace(what+" "+shard))
	if s.fail == nil {
		return nil
	}
	return s.fail(what, shard)
}

func (s *stream) count(call string) (n int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, each := range s.calls {
		if each == call {
			n++
		}
	}
	return n
}

func (s *stream) ListShards(ctx context.Context, in *kinesis.ListShardsInput,
	_ ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.call(ctx, "ListShards", ""); err != nil {
		return nil, err
	}
	if (in.StreamName == nil) == (in.NextToken == nil) {
		return nil, errors.New("Kinesis takes the name or the token")
	}
	page, _ := strconv.Atoi(aws.ToString(in.NextToken))
	each := s.shards[page]
	listed := types.Shard{ShardId: aws.String(each.id)}
	if len(each.parents) > 0 {
		listed.ParentShardId = aws.String(each.parents[0])
	}
	if len(each.parents) > 1 {
		listed.AdjacentParentShardId = aws.String(each.parents[1])
	}
	output := &kinesis.ListShardsOutput{Shards: []types.Shard{listed}}
	if page+1 < len(s.shards) {
		output.NextToken = aws.String(strconv.Itoa(page + 1))
	}
	return output, nil
}

// iterators are shard/index/time of taking.
func iterator(shard string, index int) *string {
	return aws.String(fmt.Sprintf("%s/%d/%d", shard, index, time.Now().UnixNano()))
}

func (s *stream) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput,
	_ ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.call(ctx, "GetShardIterator:"+string(in.ShardIteratorType), *in.ShardId); err != nil {
		return nil, err
	}
	if *in.StreamName != name {
		return nil, fmt.Errorf("stream %s", *in.StreamName)
	}
	records := s.find(*in.ShardId).records
	index := 0
	switch in.ShardIteratorType {
	case types.ShardIteratorTypeLatest:
		index = len(records)
	case types.ShardIteratorTypeAfterSequenceNumber:
		index = 1 + slices.IndexFunc(records,
			func(r types.Record) bool { return *r.SequenceNumber == *in.StartingSequenceNumber })
	case types.ShardIteratorTypeAtTimestamp:
		index = slices.IndexFunc(records,
			func(r types.Record) bool { return !r.ApproximateArrivalTimestamp.Before(*in.Timestamp) })
		if index < 0 {
			index = len(records)
		}
	}
	return &kinesis.GetShardIteratorOutput{ShardIterator: iterator(*in.ShardId, index)}, nil
}

func (s *stream) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput,
	_ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	parts := strings.Split(*in.ShardIterator, "/")
	if err := s.call(ctx, "GetRecords", parts[0]); err != nil {
		return nil, err
	}
	index, _ := strconv.Atoi(parts[1])
	taken, _ := strconv.ParseInt(parts[2], 10, 64)
	if time.Since(time.Unix(0, taken)) > iteratorLife {
		return nil, &types.ExpiredIteratorException{}
	}
	from := s.find(parts[0])
	to := min(len(from.records), index+s.pageSize, index+int(*in.Limit))
	output := &kinesis.GetRecordsOutput{Records: from.records[index:to],
		MillisBehindLatest: aws.Int64(int64(len(from.records) - to))}
	if len(output.Records) == 0 {
		output.MillisBehindLatest = aws.Int64(s.gap)
	}
	if !from.closed || to < len(from.records) {
		output.NextShardIterator = iterator(from.id, to)
	}
	return output, nil
}

// reading is a Reader at work, and what it handed over.
type reading struct {
	stream *stream
	mutex  sync.Mutex
	events []string // open, payload and close, each with the shard
	failed []shards.Failure
	ready  bool
	stop   context.CancelFunc
	ended  chan error
	begun  time.Time
}

type handler struct {
	reading *reading
	shard   string
	context context.Context
	handle  func(ctx context.Context, shard, payload string) error
	close   func(ctx context.Context, shard string) error
}

func (h handler) Handle(records []types.Record) error {
	for _, r := range records {
		if err := h.handle(h.context, h.shard, string(r.Data)); err != nil {
			return err
		}
		h.reading.note(string(r.Data))
	}
	if len(records) == 0 {
		h.reading.note("nothing")
	}
	return nil
}

func (h handler) Close() error {
	err := h.close(h.context, h.shard)
	h.reading.note("close " + h.shard)
	return err
}

func (r *reading) note(event string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.events = append(r.events, event)
}

func (r *reading) payloads() (payloads []string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, event := range r.events {
		if !strings.HasPrefix(event, "open ") && !strings.HasPrefix(event, "close ") {
			payloads = append(payloads, event)
		}
	}
	return payloads
}

const retryPause = time.Second

func begin(t *testing.T, s *stream, position types.ShardIteratorType,
	adapt ...func(*shards.Reader, *handler)) *reading {
	r := &reading{stream: s, ended: make(chan error, 1), begun: time.Now()}
	template := handler{
		reading: r,
		handle:  func(context.Context, string, string) error { return nil },
		close:   func(context.Context, string) error { return nil },
	}
	reader := shards.Reader{
		Stream: s, Name: name, Position: position,
		Open: func(ctx context.Context, shard string) shards.Handler {
			r.note("open " + shard)
			made := template
			made.context, made.shard = ctx, shard
			return made
		},
		Retry: func(ctx context.Context, failure shards.Failure) bool {
			r.mutex.Lock()
			r.failed = append(r.failed, failure)
			r.mutex.Unlock()
			time.Sleep(retryPause)
			return failure.Attempt < 3
		},
		Ready: func() { r.ready = true },
	}
	for _, change := range adapt {
		change(&reader, &template)
	}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.ended <- reader.Run(ctx) }()
	synctest.Wait()
	return r
}

// end stops the reading, which must end without an error.
func (r *reading) end(t *testing.T) {
	t.Helper()
	r.stop()
	require.NoError(t, <-r.ended)
}

func TestPosition(t *testing.T) {
	for position, expected := range map[types.ShardIteratorType][]string{
		types.ShardIteratorTypeTrimHorizon: {"before", "after"}, types.ShardIteratorTypeLatest: {"after"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStream("a", "b")
			s.put("a", "before")
			r := begin(t, s, position)
			require.True(t, r.ready)
			s.put("b", "after")
			time.Sleep(time.Minute)
			r.end(t)
			assert.Equal(t, expected, r.payloads())
			assert.ElementsMatch(t, []string{"close a", "close b"}, r.events[len(r.events)-2:])
		})
	}
}

func TestParentsAreHandledBeforeTheirChildrenAreBegun(t *testing.T) {
	for _, whileReading := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newStream("a", "b")
			position := types.ShardIteratorTypeTrimHorizon
			fill := func() {
				s.put("a", "a1")
				s.put("b", "b1")
				s.reshard("child", "a", "b")
				s.put("child", "c1")
			}
			if !whileReading {
				fill()
			} else {
				position = types.ShardIteratorTypeLatest // what appears later is read whole in any case
			}
			r := begin(t, s, position, func(_ *shards.Reader, h *handler) {
				h.close = func(_ context.Context, shard string) error {
					if shard == "b" {
						time.Sleep(time.Hour) // the other parent is done long before
					}
					return nil
				}
			})
			if whileReading {
				fill()
			}
			time.Sleep(30 * time.Minute)
			assert.NotContains(t, r.events, "open child")
			time.Sleep(time.Hour)
			r.end(t)
			begun := slices.Index(r.events, "open child")
			for _, earlier := range []string{"a1", "b1", "close a", "close b"} {
				assert.Less(t, slices.Index(r.events, earlier), begun, "%s in %v", earlier, r.events)
			}
			assert.Contains(t, r.events, "c1")
			assert.Equal(t, 1, s.count("GetShardIterator:TRIM_HORIZON child"))
		})
	}
}

func TestAChildWhoseParentsTheStreamNoLongerKeepsIsReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		s.find("a").parents = []string{"gone", "gone, too"}
		s.put("a", "x")
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon)
		r.end(t)
		assert.Equal(t, []string{"x"}, r.payloads())
	})
}

func TestAtLatestNobodyWaitsForParents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		s.reshard("child", "a")
		s.find("a").closed = false
		r := begin(t, s, types.ShardIteratorTypeLatest)
		s.put("child", "x")
		time.Sleep(time.Second)
		r.end(t)
		assert.Equal(t, []string{"x"}, r.payloads())
	})
}

func TestTheEndOfEveryShardIsTheEndOfTheReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a", "b")
		s.put("a", "x")
		s.find("a").closed, s.find("b").closed = true, true
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon)
		require.NoError(t, <-r.ended)
		assert.Equal(t, []string{"x"}, r.payloads())
	})
}

// A suspended laptop: nobody reads while the iterator expires.
func TestAnIteratorThatExpires(t *testing.T) {
	for name, c := range map[string]struct {
		position types.ShardIteratorType
		before   []string // put before the reading begins
		first    []string // put, and read, before the pause
		resumes  string
		expected []string
	}{
		"after records: behind the last one that was handled": {
			types.ShardIteratorTypeLatest, []string{"before"}, []string{"1", "2"}, "AFTER_SEQUENCE_NUMBER",
			[]string{"1", "2", "meanwhile", "later"},
		},
		"before the first record, from LATEST: at the time at which it was taken": {
			types.ShardIteratorTypeLatest, []string{"before"}, nil, "AT_TIMESTAMP", []string{"meanwhile", "later"},
		},
		"before the first record, from the beginning: there": {
			types.ShardIteratorTypeTrimHorizon, nil, nil, "TRIM_HORIZON", []string{"meanwhile", "later"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStream("a")
				s.put("a", c.before...)
				time.Sleep(time.Second)
				r := begin(t, s, c.position,
					func(reader *shards.Reader, _ *handler) { reader.PollInterval = 10 * time.Minute })
				s.put("a", c.first...)
				time.Sleep(10*time.Minute + time.Second) // reads what came first, as often as it takes
				s.put("a", "meanwhile")
				time.Sleep(30 * time.Minute)
				s.put("a", "later")
				time.Sleep(30 * time.Minute)
				r.end(t)
				if c.first != nil { // the first read came too late for its iterator, too
					assert.Equal(t, 1, s.count("GetShardIterator:AT_TIMESTAMP a"))
				}
				assert.Equal(t, c.expected, r.payloads())
				assert.GreaterOrEqual(t, s.count("GetShardIterator:"+c.resumes+" a"), 1)
				assert.LessOrEqual(t, s.count("GetShardIterator:LATEST a"), 1, "nothing is passed over")
				assert.Empty(t, r.failed, "that is no failure")
			})
		})
	}
}

func TestTheTimeOfTheFirstIteratorIsTheOneThatCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		expire := false
		s.fail = func(call, _ string) error {
			if call == "GetRecords" && expire {
				return &types.ExpiredIteratorException{}
			}
			return nil
		}
		s.put("a", "before")
		time.Sleep(time.Nanosecond)
		r := begin(t, s, types.ShardIteratorTypeLatest, func(reader *shards.Reader, _ *handler) {
			reader.Retry = func(context.Context, shards.Failure) bool { time.Sleep(time.Minute); return true }
		})
		s.mutex.Lock()
		expire = true
		s.mutex.Unlock()
		s.put("a", "1") // in the moment of the first iterator
		time.Sleep(time.Hour)
		s.mutex.Lock()
		expire = false
		s.mutex.Unlock()
		time.Sleep(time.Hour)
		r.end(t)
		assert.Equal(t, []string{"1"}, r.payloads())
	})
}

func TestAnIteratorThatExpiresAgainAtOnceIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		s.fail = func(call, _ string) error {
			if call == "GetRecords" {
				return &types.ExpiredIteratorException{}
			}
			return nil
		}
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon)
		var expired *types.ExpiredIteratorException
		require.ErrorAs(t, <-r.ended, &expired)
		assert.Len(t, r.failed, 3)
		assert.Equal(t, 4, s.count("GetRecords a"), "one more, at once")
		assert.Equal(t, 4, s.count("GetShardIterator:TRIM_HORIZON a"))
		assert.Equal(t, 3*retryPause, time.Since(r.begun))
	})
}

func TestWhatACallWillNotChangeEndsTheReadingAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		answer error
		final  bool
	}{
		"access denied":  {&smithy.GenericAPIError{Code: "AccessDeniedException", Fault: smithy.FaultClient}, true},
		"unknown client": {&smithy.GenericAPIError{Code: "UnrecognizedClientException"}, true},
		"no such stream": {&types.ResourceNotFoundException{}, true},
		"throttled":      {&types.ProvisionedThroughputExceededException{}, false},
		"service failed": {&smithy.GenericAPIError{Code: "InternalFailure", Fault: smithy.FaultServer}, false},
	} {
		for _, call := range []string{"ListShards", "GetShardIterator:TRIM_HORIZON", "GetRecords"} {
			synctest.Test(t, func(t *testing.T) {
				s := newStream("a")
				s.fail = func(called, _ string) error {
					if called == call {
						return test.answer
					}
					return nil
				}
				r := begin(t, s, types.ShardIteratorTypeTrimHorizon)
				require.ErrorIs(t, <-r.ended, test.answer, name)
				if test.final {
					assert.Empty(t, r.failed, name)
					assert.Zero(t, time.Since(r.begun), name)
				} else {
					assert.Len(t, r.failed, 3, name)
				}
			})
		}
	}
}

func TestFailuresAreToldAndCountedInARow(t *testing.T) {
	down := errors.New("down")
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a", "b")
		failures := map[string]int{"ListShards": 2, "GetShardIterator:LATEST": 2, "GetRecords": 2}
		s.fail = func(call, shard string) error {
			if failures[call] > 0 && shard != "b" {
				failures[call]--
				return down
			}
			return nil
		}
		r := begin(t, s, types.ShardIteratorTypeLatest, func(reader *shards.Reader, _ *handler) {
			tell := reader.Retry
			reader.Retry = func(ctx context.Context, failure shards.Failure) bool { tell(ctx, failure); return true }
		})
		assert.False(t, r.ready)
		time.Sleep(3500 * time.Millisecond)
		assert.False(t, r.ready, "one shard has no iterator")
		time.Sleep(3 * time.Second)
		assert.True(t, r.ready)
		s.put("a", "x")
		time.Sleep(time.Second)
		s.mutex.Lock()
		failures["GetRecords"] = 1
		s.mutex.Unlock()
		time.Sleep(10 * time.Second)
		r.end(t)
		const list, take, read = "list the shards of stream activity", "begin to read shard a of stream activity",
			"read shard a of stream activity"
		assert.Equal(t, []shards.Failure{
			{Call: list, Attempt: 1, Err: down}, {Call: list, Attempt: 2, Err: down},
			{Call: take, Shard: "a", Attempt: 1, Err: down}, {Call: take, Shard: "a", Attempt: 2, Err: down},
			{Call: read, Shard: "a", Attempt: 3, Err: down},
			{Call: read, Shard: "a", Attempt: 4, Err: down},
			{Call: read, Shard: "a", Attempt: 1, Err: down},
		}, r.failed, "the first answer ends the row")
	})
}

func TestAPageThatFailsIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a", "b", "c")
		s.fail = func(call, _ string) error {
			if n := len(s.calls); call == "ListShards" && n%2 == 0 {
				return errors.New("down")
			}
			return nil
		}
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon)
		time.Sleep(time.Minute)
		r.end(t)
		for _, shard := range []string{"a", "b", "c"} {
			assert.Equal(t, 1, s.count("GetShardIterator:TRIM_HORIZON "+shard))
		}
		for _, failure := range r.failed {
			assert.Equal(t, 1, failure.Attempt, "an answer ends the row")
		}
	})
}

func TestWhatCannotBeReadEndsTheReadingOfAllShards(t *testing.T) {
	down, missing := errors.New("down"), &types.ResourceNotFoundException{}
	for name, c := range map[string]struct {
		call    string
		err     error
		told    int
		message string
	}{
		"listing": {"ListShards", down, 3, "list the shards of stream activity, attempt 3: down"},
		"beginning": {"GetShardIterator:TRIM_HORIZON", down, 3,
			"begin to read shard a of stream activity, attempt 3: down"},
		"reading": {"GetRecords", down, 3, "read shard a of stream activity, attempt 3: down"},
		"no stream": {"ListShards", missing, 0,
			"list the shards of stream activity, attempt 1: ResourceNotFoundException"},
		"no shard": {"GetShardIterator:TRIM_HORIZON", missing, 0,
			"begin to read shard a of stream activity, attempt 1: Resource"},
		"no stream any more":  {"GetRecords", missing, 0, "read shard a of stream activity, attempt 1: Resource"},
		"a failure in a list": {"ListShards", fmt.Errorf("wrapped: %w", missing), 0, "attempt 1: wrapped"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStream("a", "b")
				s.fail = func(call, shard string) error {
					if call == c.call && shard != "b" {
						return c.err
					}
					return nil
				}
				waited := false
				r := begin(t, s, types.ShardIteratorTypeTrimHorizon, func(_ *shards.Reader, h *handler) {
					h.close = func(ctx context.Context, shard string) error {
						if shard == "b" {
							<-ctx.Done()
							waited = true
						}
						return nil
					}
				})
				err := <-r.ended
				require.ErrorContains(t, err, c.message)
				assert.NotContains(t, err.Error(), "canceled", "the end of the other shard is no failure")
				assert.Len(t, r.failed, c.told)
				assert.Equal(t, c.call != "ListShards", waited)
				s.mutex.Lock()
				s.fail = nil
				s.mutex.Unlock()
				before := len(s.calls)
				time.Sleep(time.Hour)
				assert.Len(t, s.calls, before, "nobody reads any more")
			})
		})
	}
}

func TestAChildIsNotBegunWhereTheReadingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		s.reshard("child", "a")
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon, func(_ *shards.Reader, h *handler) {
			h.close = func(ctx context.Context, _ string) error { <-ctx.Done(); return nil }
		})
		r.end(t)
		assert.Equal(t, []string{"open a", "close a"}, r.events)
	})
}

func TestHandlersThatFailEndTheReading(t *testing.T) {
	broken := errors.New("broken")
	for name, adapt := range map[string]func(*handler){
		"at a record": func(h *handler) { h.handle = func(context.Context, string, string) error { return broken } },
		"at the end":  func(h *handler) { h.close = func(context.Context, string) error { return broken } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStream("a", "b")
				s.find("a").closed = true
				s.put("a", "x")
				r := begin(t, s, types.ShardIteratorTypeTrimHorizon, func(_ *shards.Reader, h *handler) { adapt(h) })
				require.ErrorIs(t, <-r.ended, broken)
				assert.Contains(t, r.events, "close a")
				assert.Contains(t, r.events, "close b")
			})
		})
	}
}

func TestAHandlerThatGivesUpBecauseTheReadingEndsIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		s.put("a", "x")
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon, func(_ *shards.Reader, h *handler) {
			h.handle = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
		})
		r.end(t)
		assert.Empty(t, r.payloads())
	})
}

func TestAHandlerHoldsTheReadingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		s.pageSize = 1
		s.put("a", "1", "2")
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon, func(_ *shards.Reader, h *handler) {
			h.handle = func(context.Context, string, string) error { time.Sleep(time.Minute); return nil }
		})
		assert.Equal(t, 1, s.count("GetRecords a"))
		time.Sleep(time.Minute + time.Second)
		assert.Equal(t, 2, s.count("GetRecords a"))
		time.Sleep(time.Hour)
		r.end(t)
		assert.Equal(t, []string{"1", "2"}, r.payloads())
	})
}

func TestAPauseFollowsAReadThatLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		records, page int
		interval      time.Duration
		reads         int // within the first instant
	}{
		"nothing":             {0, 1, 0, 1},
		"all in one":          {3, 10, 0, 1},
		"all in three":        {3, 1, 0, 3},
		"as many as a read's": {shards.ReadLimit, shards.ReadLimit, 0, 2},
		"one less":            {shards.ReadLimit - 1, shards.ReadLimit, 0, 1},
		"own interval":        {1, 1, time.Minute, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStream("a")
				s.pageSize = c.page
				s.put("a", slices.Repeat([]string{"x"}, c.records)...)
				r := begin(t, s, types.ShardIteratorTypeTrimHorizon,
					func(reader *shards.Reader, _ *handler) { reader.PollInterval = c.interval })
				assert.Equal(t, c.reads, s.count("GetRecords a"))
				interval := c.interval
				if interval == 0 {
					interval = shards.DefaultPollInterval
				}
				time.Sleep(interval - time.Nanosecond)
				assert.Equal(t, c.reads, s.count("GetRecords a"))
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				assert.Equal(t, c.reads+1, s.count("GetRecords a"))
				r.end(t)
				assert.Len(t, r.payloads(), c.records, "an empty read is not handed over")
			})
		})
	}
}

func TestAPauseFollowsAnEmptyReadThatIsBehindTheLatestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		s.gap = 1000
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon)
		assert.Equal(t, 1, s.count("GetRecords a"))
		r.end(t)
	})
}

func TestTheEndOfTheContextCutsEveryPauseShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon,
			func(reader *shards.Reader, _ *handler) { reader.PollInterval = time.Hour })
		r.end(t)
		assert.Zero(t, time.Since(r.begun))
	})
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		s.fail = func(string, string) error { return errors.New("down") }
		r := begin(t, s, types.ShardIteratorTypeTrimHorizon)
		r.end(t) // while it retries the listing
		assert.Len(t, r.failed, 1)
	})
}

func TestReadyMayBeLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream("a")
		r := begin(t, s, types.ShardIteratorTypeLatest, func(reader *shards.Reader, _ *handler) { reader.Ready = nil })
		s.put("a", "x")
		time.Sleep(time.Second)
		r.end(t)
		assert.Equal(t, []string{"x"}, r.payloads())
	})
}
