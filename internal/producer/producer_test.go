package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
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

	"diecast/internal/demand"
)

// stream is a Kinesis that answers as it is told, after a time.
type stream struct {
	// refuse gives the reason for which a record is not taken; fail the error of a whole request.
	refuse func(key string, request int) string
	fail   func(request int) error
	takes  time.Duration

	mutex    sync.Mutex
	requests int
	batches  []int
	held     []string
	at       []time.Time
}

func (s *stream) PutRecords(ctx context.Context, input *kinesis.PutRecordsInput, _ ...func(*kinesis.Options),
) (*kinesis.PutRecordsOutput, error) {
	s.mutex.Lock()
	s.requests++
	number := s.requests
	s.batches, s.at = append(s.batches, len(input.Records)), append(s.at, time.Now())
	s.mutex.Unlock()
	if s.takes > 0 && !pass(ctx, s.takes) {
		return nil, ctx.Err()
	}
	if s.fail != nil {
		if err := s.fail(number); err != nil {
			return nil, err
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	output := &kinesis.PutRecordsOutput{}
	for _, record := range input.Records {
		if s.refuse != nil {
			if reason := s.refuse(*record.PartitionKey, number); reason != "" {
				output.Records = append(output.Records, types.PutRecordsResultEntry{ErrorCode: &reason})
				continue
			}
		}
		s.held = append(s.held, string(record.Data))
		output.Records = append(output.Records, types.PutRecordsResultEntry{ShardId: aws.String("shard"),
			SequenceNumber: aws.String(strconv.Itoa(len(s.held)))})
	}
	return output, nil
}

// numbered events of so many sessions by turns.
func numbered(sessions int) Source {
	n := 0
	return func(time.Time) (Event, error) {
		n++
		return Event{Key: fmt.Sprint("s", n%sessions), Data: []byte(strconv.Itoa(n))}, nil
	}
}

func once(t *testing.T, held []string, events int) {
	t.Helper()
	times := map[string]int{}
	for _, data := range held {
		times[data]++
	}
	assert.Len(t, times, events)
	assert.Len(t, held, events)
}

func TestEventsGoWhenTheyAreDueInFullBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{}
		begun := time.Now()
		var receipts []Receipt
		account, err := Run(t.Context(), Options{Stream: s, Name: "activity", Source: numbered(7),
			Profile: demand.Steady(20_000, time.Second),
			Taken:   func(some []Receipt) { receipts = append(receipts, some...) }})
		require.NoError(t, err)
		require.NoError(t, account.Check())
		assert.InDelta(t, 20_000, account.Taken, 1)
		once(t, s.held, account.Taken)
		for n, batch := range s.batches {
			assert.LessOrEqual(t, batch, MaxBatch)
			assert.LessOrEqual(t, s.at[n].Sub(begun), time.Second+Linger)
		}
		assert.InDelta(t, account.Taken/MaxBatch, len(s.batches), 21, "they wait for each other")
		require.Len(t, receipts, account.Taken)
		for _, receipt := range receipts {
			assert.False(t, receipt.Put.Before(receipt.Due))
			assert.LessOrEqual(t, receipt.Put.Sub(receipt.Due), Linger)
			assert.Equal(t, begun.Add(time.Duration(receipt.Number)*50*time.Microsecond), receipt.Due)
		}
		assert.Zero(t, account.Late)
	})
}

// The events of a stream that stands still are due all the same, and their waiting is told.
func TestASlowStreamDoesNotSlowTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{takes: 5 * time.Second}
		account, err := Run(t.Context(), Options{Stream: s, Source: numbered(7),
			Profile: demand.Steady(100, 4*time.Second)})
		require.NoError(t, err)
		require.NoError(t, account.Check())
		assert.InDelta(t, 400, account.Taken, 1)
		assert.InDelta(t, 21, account.Late.Seconds(), 0.1, "80 requests, of which 16 are under way at a time")
	})
}

func TestWhatIsNotTakenIsPutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = "ProvisionedThroughputExceededException"
		s := &stream{refuse: func(key string, request int) string {
			if key == "s0" && request < 40 {
				return slow
			}
			return ""
		}}
		account, err := Run(t.Context(), Options{Stream: s, Source: numbered(2),
			Profile: demand.Steady(1000, time.Second)})
		require.NoError(t, err)
		require.NoError(t, account.Check())
		assert.InDelta(t, 1000, account.Taken, 1)
		assert.Positive(t, account.Refused[slow])
		assert.Zero(t, account.Unanswered)
		once(t, s.held, account.Taken)
	})
}

// A shard that takes nothing does not hold up the events of another.
func TestAHotSessionHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{refuse: func(key string, _ int) string {
			if key == "s0" {
				return "ProvisionedThroughputExceededException"
			}
			return ""
		}}
		latest := time.Duration(0)
		account, err := Run(t.Context(), Options{Stream: s, Source: numbered(2),
			Profile: demand.Steady(1000, 10*time.Second),
			Taken: func(some []Receipt) {
				for _, one := range some {
					latest = max(latest, one.Taken.Sub(one.Due))
				}
			}})
		require.NoError(t, err)
		require.NoError(t, account.Check())
		assert.InDelta(t, 5000, account.Taken, 1)
		assert.Equal(t, account.Due-account.Taken, account.GivenUp["ProvisionedThroughputExceededException"])
		assert.LessOrEqual(t, latest, Linger)
	})
}

func TestARequestWithoutAnAnswerMayBeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{fail: func(request int) error {
			switch request {
			case 1:
				return errors.New("use of closed network connection")
			case 2:
				return &smithy.GenericAPIError{Code: "LimitExceededException", Fault: smithy.FaultClient}
			}
			return nil
		}}
		account, err := Run(t.Context(), Options{Stream: s, Source: numbered(2), Events: 1,
			Profile: demand.Steady(1, time.Second)})
		require.NoError(t, err)
		require.NoError(t, account.Check())
		assert.Equal(t, 1, account.Taken)
		assert.Equal(t, 1, account.Unanswered)
		assert.Equal(t, map[string]int{"LimitExceededException": 1}, account.Refused)
	})
}

func TestAStreamThatIsNotThereEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{fail: func(int) error {
			return &types.ResourceNotFoundException{Message: aws.String("no stream activity")}
		}}
		begun := time.Now()
		account, err := Run(t.Context(), Options{Stream: s, Name: "activity", Source: numbered(2),
			Profile: demand.Steady(100, time.Hour)})
		require.ErrorContains(t, err, "stream activity: ResourceNotFoundException: no stream activity")
		require.NoError(t, account.Check())
		assert.Zero(t, account.Taken)
		assert.False(t, account.Interrupted)
		assert.Less(t, time.Since(begun), time.Second)
	})
}

func TestAnInterruptedRunAccountsForWhatWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{takes: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		account, err := Run(ctx, Options{Stream: s, Source: numbered(2), Profile: demand.Steady(200, time.Hour)})
		require.NoError(t, err)
		require.NoError(t, account.Check())
		assert.True(t, account.Interrupted)
		assert.Positive(t, account.Taken)
		assert.InDelta(t, 500, account.Due, 11)
		once(t, s.held, account.Taken)
	})
}

func TestTheSourceEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		give := func(last error, data string, key string) Source {
			n := 0
			return func(time.Time) (Event, error) {
				if n++; n <= 3 {
					return Event{Key: "k", Data: []byte("d")}, nil
				}
				return Event{Key: key, Data: []byte(data)}, last
			}
		}
		for want, source := range map[string]Source{
			"":                       give(io.EOF, "", ""),
			"event 4: the disk":      give(errors.New("the disk is gone"), "", ""),
			"event 4: its partition": give(nil, "", ""),
			"event 4: it has 1048577 bytes: a stream takes 1048576": give(nil, strings.Repeat("x", 1<<20+1), "k"),
		} {
			account, err := Run(t.Context(), Options{Stream: &stream{}, Source: source,
				Profile: demand.Steady(100, time.Hour)})
			if want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, want)
			}
			require.NoError(t, account.Check())
			assert.Equal(t, 3, account.Taken)
		}
	})
}

// A request has at most five megabytes.
func TestLargeEventsAreSplitIntoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, large := &stream{}, make([]byte, 1<<20)
		account, err := Run(t.Context(), Options{Stream: s, Events: 12, Profile: demand.Steady(100_000, time.Hour),
			Source: func(time.Time) (Event, error) { return Event{Key: "k", Data: large}, nil }})
		require.NoError(t, err)
		require.NoError(t, account.Check())
		assert.Equal(t, 12, account.Taken)
		for _, batch := range s.batches {
			assert.LessOrEqual(t, batch, 4, "five of a megabyte and their keys are too many")
		}
	})
}

func TestAnAccountThatDoesNotAddUpIsCaught(t *testing.T) {
	assert.NoError(t, Account{Due: 6, Taken: 3, GivenUp: map[string]int{"a": 1, "b": 1}, Unsent: 1}.Check())
	assert.EqualError(t, Account{Due: 7, Taken: 3, GivenUp: map[string]int{"a": 2}, Unsent: 1}.Check(),
		"7 events were due, and 6 are accounted for: 3 taken, 2 given up, 1 not sent")
}
