package firehose

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestObjectsEndBySizeOfTheProcessedRecordsOrByInterval(t *testing.T) {
	cases := []struct {
		name   string
		buffer Buffer
		want   []string
		last   time.Duration // from the processor's answer to the last object
	}{
		{"by size", Buffer{Bytes: 6, Interval: time.Minute}, []string{"<a><b>", "<c><d>"}, 0},
		{"by size, a record is never cut", Buffer{Bytes: 4, Interval: time.Minute}, []string{"<a><b>", "<c><d>"}, 0},
		{"by interval", Buffer{Bytes: 100, Interval: 7 * time.Second}, []string{"<a><b><c><d>"}, 7 * time.Second},
		{"the rest by interval", Buffer{Bytes: 9, Interval: 7 * time.Second}, []string{"<a><b><c>", "<d>"},
			7 * time.Second},
		{"at once", Buffer{Bytes: 100}, []string{"<a><b><c><d>"}, 0},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config()
				c.Buffer, c.Processor.Buffer.Interval = test.buffer, 0
				f, s := pump(t, c, acceptAll, "a", "b", "c", "d")
				assert.Equal(t, test.want, f.store.under("data/"))
				assert.Equal(t, test.last, s.Latency.Total.Max)
				assert.Equal(t, len(test.want), s.Objects)
				assert.Equal(t, len("<a><b><c><d>"), s.DeliveredBytes)
			})
		})
	}
}

func TestTheErrorOutputHasABufferOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.Buffer = Buffer{Bytes: 300, Interval: time.Minute} // more than one line of the error output, less than two
		f, s := pump(t, c, func(context.Context, int, event) (any, string, error) { return `{"records":[]}`, "", nil },
			"a", "b", "c", "d")
		assert.Len(t, f.store.under("errors/"), 4)
		assert.Equal(t, Statistics{Failed: 4, ErrorObjects: 4}, Statistics{Failed: s.Failed,
			ErrorObjects: s.ErrorObjects, Objects: s.Objects})
		assert.Equal(t, map[string]int{"Lambda.MissingRecordId": 4}, s.FailedByCode)
	})
}

func TestTheErrorOutputIsWrittenAfterTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.Processor.Buffer.Interval = 0
		source := newStream(1)
		source.put(0, "a")
		f := start(t, c, source, func(context.Context, int, event) (any, string, error) {
			return `{"records":[]}`, "",
				nil
		}, &store{})
		time.Sleep(c.Buffer.Interval - time.Nanosecond)
		synctest.Wait()
		assert.Empty(t, f.store.objects())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Len(t, f.store.under("errors/"), 1)
		f.end(t)
	})
}

func TestAnObjectIsNamedAfterItsOldestRecordInWhateverOrderTheyCome(t *testing.T) {
	bucket := &store{}
	p, err := New(config(), nil, nil, bucket)
	require.NoError(t, err)
	into := &object{prefix: p.prefix}
	for _, hour := range []int{5, 3, 4} {
		arrival := time.Date(2026, 3, 1, hour, 0, 0, 0, time.UTC)
		require.NoError(t, p.add(t.Context(), outcome{record: record{arrival: arrival}, output: []byte("x")}, into,
			nil))
	}
	require.NoError(t, p.put(t.Context(), into))
	assert.Contains(t, bucket.keys[0], "data/2026/03/01/03/archive-1-2026-03-01-03-00-00-")
}

func TestObjectNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.Version, c.Processor.Buffer.Interval = 7, 5*time.Second
		source := newStream(1)
		f := start(t, c, source, func(_ context.Context, _ int, e event) (any, string, error) {
			return reply{[]replied{accepted(e.Records[0])}}, "", nil // the second is missing
		}, &store{})
		// The bubble's clock begins at midnight of 2000-01-01.
		time.Sleep(59*time.Minute + 59*time.Second + 500*time.Millisecond)
		source.put(0, "a")
		time.Sleep(600 * time.Millisecond)
		source.put(0, "b")
		time.Sleep(time.Minute)
		f.end(t)
		keys := slices.Sorted(slices.Values(f.store.objects()))
		require.Len(t, keys, 2)
		const uuid = `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`
		assert.Regexp(t, `^data/2000/01/01/00/archive-7-2000-01-01-00-59-59-`+uuid+`\.jsonl$`, keys[0],
			"by the oldest record, in UTC")
		assert.Regexp(t, `^errors/processing-failed/archive-7-2000-01-01-01-00-00-`+uuid+`$`, keys[1])
	})
}

func TestWithoutAProcessorRecordsAreDeliveredAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.Processor = nil
		f, s := pump(t, c, nil, "a", "", "b")
		assert.Equal(t, "ab", f.store.delivered())
		assert.Equal(t, 3, s.Delivered)
	})
}

// told collects a pump's lines.
func told(c *Config) func() []string {
	var mutex sync.Mutex
	var lines []string
	c.Told = func(line string) {
		mutex.Lock()
		defer mutex.Unlock()
		lines = append(lines, line)
	}
	return func() []string {
		mutex.Lock()
		defer mutex.Unlock()
		return slices.Clone(lines)
	}
}

// Whatever a bucket answers: who has taken it away, or a permission, may bring it back.
func TestABucketThatComesBackLosesNothing(t *testing.T) {
	for name, failure := range map[string]error{
		"down":         nil,
		"NoSuchBucket": &smithy.GenericAPIError{Code: "NoSuchBucket", Message: "lake", Fault: smithy.FaultClient},
		"AccessDenied": &smithy.GenericAPIError{Code: "AccessDenied", Message: "lake", Fault: smithy.FaultClient},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config()
				c.PollInterval = time.Minute
				lines := told(&c)
				source := newStream(1)
				source.put(0, "a", "b")
				bucket := &store{failures: -1, failure: failure}
				f := start(t, c, source, acceptAll, bucket)
				time.Sleep(23 * time.Hour)
				source.put(0, "c")
				s := f.Statistics()
				assert.Equal(t, 2, s.Pending())
				assert.WithinDuration(t, time.Now().Add(-23*time.Hour), s.Waiting, time.Minute)
				assert.Contains(t, s.WaitingFor, "lake")
				require.Len(t, lines(), 1, "a wait is told once")
				assert.Contains(t, lines()[0], "delivery stream archive: s3://lake cannot be written to")

				bucket.mutex.Lock()
				bucket.failures = 0
				bucket.mutex.Unlock()
				time.Sleep(settled)
				s = f.end(t)
				assert.Equal(t, "<a><b><c>", f.store.delivered())
				assert.Positive(t, s.DeliveryRetries)
				assert.Zero(t, s.Waiting)
				assert.Empty(t, s.WaitingFor)
				require.Len(t, lines(), 2)
				assert.Contains(t, lines()[1], "s3://lake is written to again, after 22h59m")
			})
		})
	}
}

// Firehose gives an object up after 24 hours; nothing else of the stream is lost by it.
func TestABucketThatStaysAwayForADayLosesWhatIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.PollInterval = time.Minute
		lines := told(&c)
		source := newStream(2)
		source.put(0, "a", "b")
		source.put(1, "c")
		bucket := &store{failures: -1}
		f := start(t, c, source, acceptAll, bucket)
		time.Sleep(DefaultDeliverFor - time.Minute)
		assert.Zero(t, f.Statistics().Undelivered)
		time.Sleep(2 * time.Minute)
		s := f.Statistics()
		assert.Equal(t, 3, s.Undelivered)
		assert.Zero(t, s.Pending())
		assert.Zero(t, s.Waiting)
		require.Len(t, lines(), 2)
		assert.Contains(t, lines()[1], "with 3 records is given up after 24h0m")
		assert.Contains(t, lines()[1], "bucket lake is down")

		bucket.mutex.Lock()
		bucket.failures = 0
		bucket.mutex.Unlock()
		source.put(0, "d")
		time.Sleep(settled)
		f.end(t)
		assert.Equal(t, "<d>", f.store.delivered())
	})
}

// Who stops a pump whose bucket is away waits for the shutdown time-out at most, and not for that
// where nobody has the time; what it read and could not keep is told.
func TestTheEndDoesNotWaitForABucketThatIsAway(t *testing.T) {
	for _, given := range []time.Duration{DefaultShutdownTimeout, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			source := newStream(1)
			source.put(0, "a", "b")
			f := start(t, config(), source, acceptAll, &store{failures: -1})
			time.Sleep(time.Hour)
			stopped := time.Now()
			f.stop()
			time.AfterFunc(given, f.GiveUp)
			err := <-f.ended
			assert.Equal(t, given, time.Since(stopped))
			require.ErrorIs(t, err, errShutdown)
			require.ErrorContains(t, err, "2 records were read and neither delivered nor put into the error output")
			assert.Equal(t, 2, f.Statistics().Pending())
		})
	}
}

func TestTheEndFlushesWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.Buffer.Interval, c.Processor.Buffer.Interval = 15*time.Minute, 15*time.Minute
		source := newStream(2)
		source.put(0, "a")
		source.put(1, "b")
		f := start(t, c, source, acceptAll, &store{})
		synctest.Wait()
		assert.Empty(t, f.store.objects())
		f.end(t)
		assert.ElementsMatch(t, []string{"<a>", "<b>"}, strings.SplitAfter(f.store.delivered(), ">")[:2])
	})
}

func TestAFlushThatTakesTooLongIsEndedAndTheLossIsCounted(t *testing.T) {
	hangs := func(ctx context.Context, _ int, _ event) (any, string, error) {
		<-ctx.Done()
		return nil, "", ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		source := newStream(1)
		source.put(0, "a", "b")
		f := start(t, config(), source, hangs, &store{})
		time.Sleep(2 * time.Second)
		f.stop()
		began := time.Now()
		err := <-f.ended
		require.ErrorIs(t, err, errShutdown)
		require.ErrorContains(t, err, "2 records were read")
		assert.Equal(t, DefaultShutdownTimeout, time.Since(began))
	})
}

func TestOrderIsKeptByShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.Processor.Buffer.Bytes = 20
		source := newStream(3)
		for i := range 200 {
			source.put(i%3, fmt.Sprintf("%d-%03d", i%3, i))
		}
		f := start(t, c, source, func(ctx context.Context, call int, e event) (any, string, error) {
			time.Sleep(time.Duration(call%7) * time.Millisecond) // the shards overtake each other
			return acceptAll(ctx, call, e)
		}, &store{})
		time.Sleep(settled)
		f.end(t)
		last := map[string]string{}
		all := strings.Split(strings.Trim(f.store.delivered(), "<>"), "><")
		require.Len(t, all, 200)
		for _, record := range all {
			require.Greater(t, record, last[record[:1]])
			last[record[:1]] = record
		}
		for _, e := range f.invoker.events {
			for _, r := range e.Records {
				require.Equal(t, e.Records[0].Source.ShardID, r.Source.ShardID, "a batch is of one shard")
			}
		}
	})
}

func TestTheStreamIsReadFromLatestUnlessFromTheTrimHorizon(t *testing.T) {
	for _, fromTrimHorizon := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := config()
			c.FromTrimHorizon = fromTrimHorizon
			source := newStream(2)
			source.put(0, "old")
			f := start(t, c, source, acceptAll, &store{})
			<-f.Ready()
			source.put(1, "new")
			time.Sleep(time.Minute)
			f.end(t)
			assert.Contains(t, f.store.delivered(), "<new>")
			assert.Equal(t, fromTrimHorizon, strings.Contains(f.store.delivered(), "<old>"))
		})
	}
}

func TestShardsThatComeOfOthersAreReadAfterThem(t *testing.T) {
	for _, whileRunning := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := config()
			c.FromTrimHorizon = !whileRunning // a shard that appears later is read whole in any case
			source := newStream(2)
			parents := func() {
				source.put(0, "a1", "a2")
				source.put(1, "b1")
			}
			reshard := func() {
				source.mutex.Lock()
				// The child is listed before its parents.
				source.shards = append([]*shard{{id: "child", parents: []string{source.shards[0].id,
					source.shards[1].id}}}, source.shards...)
				source.shards[1].closed, source.shards[2].closed = true, true
				source.mutex.Unlock()
				source.put(0, "c1", "c2")
			}
			if !whileRunning {
				parents()
				reshard()
			}
			f := start(t, c, source, func(ctx context.Context, call int, e event) (any, string, error) {
				if strings.HasPrefix(string(e.Records[0].Data), "b") {
					time.Sleep(time.Minute) // the other parent is done long before
				}
				return acceptAll(ctx, call, e)
			}, &store{})
			if whileRunning {
				<-f.Ready()
				parents()
				time.Sleep(10 * time.Second)
				reshard()
			}
			time.Sleep(settled)
			f.end(t)
			all := f.store.delivered()
			assert.Len(t, all, len("<a1><a2><b1><c1><c2>"))
			assert.True(t, strings.HasSuffix(all, "<c1><c2>"), all)
		})
	}
}

func TestAStreamWhoseShardsAllEndedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newStream(1)
		source.put(0, "a")
		source.shards[0].closed = true
		f := start(t, config(), source, acceptAll, &store{})
		require.ErrorContains(t, <-f.ended, "stream activity has no open shard")
		assert.Equal(t, "<a>", f.store.delivered(), "what was read is flushed")
	})
}

func TestReadsThatFailAreTriedAgain(t *testing.T) {
	down := errors.New("down")
	throttled := &types.ProvisionedThroughputExceededException{}
	expired := &types.ExpiredIteratorException{}
	synctest.Test(t, func(t *testing.T) {
		source := newStream(1)
		for i := range 3 * shardSize {
			source.put(0, fmt.Sprintf("%02d", i))
		}
		source.failures = []error{down, throttled, nil, expired, nil, expired, expired, down}
		f := start(t, config(), source, acceptAll, &store{})
		time.Sleep(settled)
		s := f.end(t)
		all := strings.Split(strings.Trim(f.store.delivered(), "<>"), "><")
		require.Len(t, all, 3*shardSize)
		assert.IsIncreasing(t, all)
		assert.Equal(t, 4, s.SourceRetries)
	})
}

func TestAStreamThatStaysAwayEndsThePump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newStream(2)
		source.put(0, "a")
		f := start(t, config(), source, acceptAll, &store{})
		time.Sleep(2 * time.Second)
		source.mutex.Lock()
		for range 3 * DefaultAttempts {
			source.failures = append(source.failures, errors.New("down"))
		}
		source.mutex.Unlock()
		err := <-f.ended
		require.ErrorContains(t, err, "delivery stream archive: read shard shardId-")
		require.ErrorContains(t, err, fmt.Sprintf("attempt %d: down", DefaultAttempts))
		assert.Equal(t, "<a>", f.store.delivered(), "what was read is flushed")
	})
}

func TestAStreamThatIsNotThereIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newStream(1)
		source.failures = []error{&types.ResourceNotFoundException{}}
		f := start(t, config(), source, acceptAll, &store{})
		require.ErrorContains(t, <-f.ended, "attempt 1: ResourceNotFoundException")
	})
}

func TestAConfigurationIsRefusedWithAllItsProblems(t *testing.T) {
	_, err := New(Config{
		Prefix: "!{timestamp:yyyy}", Buffer: Buffer{Bytes: 0, Interval: time.Hour}, PollInterval: -1, Attempts: -1,
		Processor: &Processor{Buffer: Buffer{Interval: -1}, Retries: 301, Timeout: time.Hour},
	}, nil, nil, nil)
	for _, problem := range []string{
		"Name is empty", "SourceStream is empty", "Bucket is empty", "Buffer.Bytes is 0", "Buffer.Interval is 1h0m0s",
		"PollInterval is -1ns",
		"Attempts is -1", "Processor.Buffer.Bytes is 0", "Processor.Buffer.Interval is -1ns",
		"Processor.FunctionARN is empty",
		"Processor.Retries is 301", "Processor.Timeout is 1h0m0s", "ErrorPrefix: it is empty",
	} {
		assert.ErrorContains(t, err, problem)
	}
}

func TestLatenciesAreThoseOfTheStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.PollInterval, c.Processor.Buffer.Interval, c.Buffer.Interval = 10*time.Second, 2*time.Second, 5*time.Second
		source := newStream(1)
		f := start(t, c, source, func(ctx context.Context, call int, e event) (any, string, error) {
			time.Sleep(3 * time.Second)
			return acceptAll(ctx, call, e)
		}, &store{})
		time.Sleep(9 * time.Second)
		source.put(0, "a")
		time.Sleep(time.Minute)
		l := f.end(t).Latency
		for stage, want := range map[*Latency]time.Duration{
			&l.Source: time.Second, &l.Buffer: 2 * time.Second, &l.Process: 3 * time.Second,
			&l.Delivery: 5 * time.Second, &l.Total: 11 * time.Second,
		} {
			assert.Equal(t, Latency{Count: 1, Mean: want, P50: want, P99: want, Max: want}, *stage)
		}
	})
}

func TestQuantilesAreWithinTheStatedError(t *testing.T) {
	var h histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	h.add(-time.Second) // clocks differ
	l := h.latency()
	assert.Equal(t, 1001, l.Count)
	assert.Equal(t, time.Second, l.Max)
	for quantile, want := range map[time.Duration]time.Duration{l.P50: 500 * time.Millisecond,
		l.P99: 990 * time.Millisecond} {
		assert.GreaterOrEqual(t, quantile, want)
		assert.LessOrEqual(t, float64(quantile), 1.091*float64(want))
	}
	assert.Zero(t, (&histogram{}).latency())
}

// Readers tell by the content; the error output stays as it is, for who looks into it by hand.
func TestDeliveredObjectsAreCompressedOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.GZIP, c.FileExtension = true, ".jsonl.gz"
		c.Buffer = Buffer{Bytes: 6, Interval: time.Minute} // of what is not compressed
		f, s := pump(t, c, func(ctx context.Context, attempt int, e event) (any, string, error) {
			answer := reply{}
			for _, r := range e.Records {
				if string(r.Data) == "bad" {
					answer.Records = append(answer.Records, replied{r.RecordID, "ProcessingFailed", r.Data})
					continue
				}
				answer.Records = append(answer.Records, accepted(r))
			}
			return answer, "", nil
		}, "a", "b", "bad", "c", "d")
		var read []string
		for _, body := range f.store.under("data/") {
			opened, err := gzip.NewReader(strings.NewReader(body))
			require.NoError(t, err)
			content, err := io.ReadAll(opened)
			require.NoError(t, err)
			read = append(read, string(content))
		}
		assert.Equal(t, []string{"<a><b>", "<c><d>"}, read)
		assert.Len(t, f.store.refused(t), 1)
		assert.Equal(t, len("<a><b><c><d>"), s.DeliveredBytes)
		for _, key := range f.store.objects() {
			assert.Equal(t, strings.HasPrefix(key, "data/"), strings.HasSuffix(key, ".jsonl.gz"), key)
		}
	})
}
