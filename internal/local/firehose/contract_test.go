package firehose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/aggregation/aggregationtest"
	"diecast/internal/quotas"
)

func TestEventHasTheDocumentedShape(t *testing.T) {
	p := &Pump{config: config()}
	arrival := time.UnixMilli(1772357400250)
	wire, err := p.request([]record{{shard: "shardId-000000000000", sequence: "4951", partitionKey: "s-1",
		arrival: arrival, data: []byte("payload")}})
	require.NoError(t, err)
	var decoded map[string]any
	require.NoError(t, json.Unmarshal(wire, &decoded))
	assert.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, decoded["invocationId"])
	delete(decoded, "invocationId")
	shape, err := json.Marshal(decoded)
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"deliveryStreamArn": "arn:aws:firehose:us-east-1:000000000000:deliverystream/archive",
		"sourceKinesisStreamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/activity", "region": "us-east-1",
		"records": [{"recordId": "4951000000", "approximateArrivalTimestamp": 1772357400250, "data": "cGF5bG9hZA==",
			"kinesisRecordMetadata": {"shardId": "shardId-000000000000", "partitionKey": "s-1", `+
		`"sequenceNumber": "4951",
				"subsequenceNumber": 0, "approximateArrivalTimestamp": 1772357400250}}]}`, string(shape))
}

func TestAnEmptyRecordIsEmptyTextInTheEvent(t *testing.T) {
	wire, err := (&Pump{config: config()}).request([]record{{sequence: "1"}})
	require.NoError(t, err)
	assert.Contains(t, string(wire), `"data":""`)
}

func TestAggregatesAreSplitBeforeTheyAreProcessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aggregate := aggregationtest.Aggregate("inner", []byte("b"), []byte("c"))
		broken := aggregate[:len(aggregate)-1]
		nested := aggregationtest.Aggregate("outer", aggregate)
		f, s := pump(t, config(), acceptAll, "a", string(aggregate), "d", string(broken), string(nested))
		require.Len(t, f.invoker.events, 1)
		type place struct {
			id, key     string
			subsequence int
			data        string
		}
		var places []place
		for _, record := range f.invoker.events[0].Records {
			places = append(places, place{record.RecordID, record.Source.PartitionKey,
				record.Source.SubsequenceNumber, string(record.Data)})
		}
		assert.Equal(t, []place{
			{"490000001000000", "key", 0, "a"},
			{"490000002000000", "inner", 0, "b"}, {"490000002000001", "inner", 1, "c"},
			{"490000003000000", "key", 0, "d"},
			{"490000004000000", "key", 0, string(broken)}, // the processor refuses it, and so it is kept
			{"490000005000000", "outer", 0, string(aggregate)},
		}, places)
		assert.Equal(t, 6, s.Read)
		assert.Equal(t, 6, s.Delivered)
	})
}

// retried are the ways in which an invocation fails that are tried again.
func retried() map[string]struct {
	code string
	fail processor
} {
	api := func(code string) error {
		return fmt.Errorf("invoke: %w", &smithy.GenericAPIError{Code: code, Message: "m"})
	}
	type way = struct {
		code string
		fail processor
	}
	return map[string]way{
		"function error": {"Lambda.FunctionError", func(context.Context, int, event) (any, string, error) {
			return `{"errorMessage":"boom"}`, "Unhandled", nil
		}},
		"throttle": {"Lambda.InvokeLimitExceeded", func(context.Context, int, event) (any, string, error) {
			return nil, "", api("TooManyRequestsException")
		}},
		"time-out": {"Lambda.FunctionRequestTimedOut", func(ctx context.Context, _ int, _ event) (any, string, error) {
			<-ctx.Done()
			return nil, "", ctx.Err()
		}},
		"answer over 6 MB": {"Lambda.FunctionError", func(context.Context, int, event) (any, string, error) {
			return strings.Repeat("x", MaxPayload+1), "", nil
		}},
		"no such function": {"Lambda.ResourceNotFound", func(context.Context, int, event) (any, string, error) {
			return nil, "", api("ResourceNotFoundException")
		}},
		"not reachable": {"Lambda.InternalServerError", func(context.Context, int, event) (any, string, error) {
			return nil, "", errors.New("connection refused \xff" + strings.Repeat("x", 2*maxMessage))
		}},
	}
}

func TestAFailedInvocationIsTriedAgainThenGivenUpAndTheStreamMovesOn(t *testing.T) {
	for name, way := range retried() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config()
				c.Processor.Buffer.Bytes = 2 // two records a batch
				began := time.Now()
				f, s := pump(t, c, func(ctx context.Context, call int, e event) (any, string, error) {
					if call <= 4 {
						return way.fail(ctx, call, e)
					}
					return acceptAll(ctx, call, e)
				}, "a", "b", "c", "d")
				assert.Equal(t, 5, s.Invocations)
				assert.Equal(t, 3, s.Retries)
				assert.Equal(t, "<c><d>", f.store.delivered())
				entries := f.store.refused(t)
				require.Len(t, entries, 2)
				for i, entry := range entries {
					assert.Equal(t, []string{"a", "b"}[i], string(entry.Payload))
					assert.Equal(t, way.code, entry.Code)
					assert.Equal(t, 4, entry.Attempts)
					assert.Equal(t, functionARN, entry.LambdaARN)
					assert.True(t, entry.ArrivedAt.Equal(began.Truncate(time.Millisecond)))
					assert.True(t, entry.LastAttemptAt.After(began))
				}
				ids := map[string]bool{}
				for _, e := range f.invoker.events[:4] {
					ids[e.InvocationID] = true
					assert.Equal(t, f.invoker.events[0].Records, e.Records)
				}
				assert.Len(t, ids, 4, "every attempt has an id of its own")
			})
		})
	}
}

func TestTheLastRetryStillDelivers(t *testing.T) {
	for name, way := range retried() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := pump(t, config(), func(ctx context.Context, call int, e event) (any, string, error) {
					if call <= 3 {
						return way.fail(ctx, call, e)
					}
					return acceptAll(ctx, call, e)
				}, "a", "b")
				assert.Equal(t, "<a><b>", f.store.delivered())
				assert.Equal(t, Statistics{Failed: 0, Retries: 3}, Statistics{Failed: s.Failed, Retries: s.Retries})
			})
		})
	}
}

func TestAnAnswerOfExactly6MBIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := pump(t, config(), func(ctx context.Context, call int, e event) (any, string, error) {
			all, _, _ := acceptAll(ctx, call, e)
			wire, err := json.Marshal(all)
			return string(wire) + strings.Repeat(" ", MaxPayload-len(wire)), "", err
		}, "a")
		assert.Equal(t, "<a>", f.store.delivered())
	})
}

func TestARequestStaysBelow6MB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.Processor.Buffer = Buffer{Bytes: 3 << 20, Interval: time.Minute}
		var payloads []string
		for i := range 25_000 { // 1 MB as they are, 7 MB with what an event says of each
			payloads = append(payloads, fmt.Sprintf("%040d", i))
		}
		f, s := pump(t, c, acceptAll, payloads...)
		assert.Equal(t, len(payloads), s.Delivered)
		require.Len(t, f.invoker.sizes, 2)
		for _, size := range f.invoker.sizes {
			assert.LessOrEqual(t, size, MaxPayload)
		}
		assert.Greater(t, f.invoker.sizes[0], MaxPayload-1000, "a request is filled before the next is begun")
	})
}

func TestTheBufferEndsABatch(t *testing.T) {
	payload := strings.Repeat("x", 100)
	cases := []struct {
		name    string
		buffer  Buffer
		batches []int
		first   time.Duration // after the read
	}{
		{"by size", Buffer{Bytes: 300, Interval: time.Minute}, []int{3, 3, 1}, 0},
		{"a record never makes it larger", Buffer{Bytes: 299, Interval: time.Minute}, []int{2, 2, 2, 1}, 0},
		{"a record larger than it goes alone", Buffer{Bytes: 50, Interval: time.Minute}, []int{1, 1, 1, 1, 1, 1, 1}, 0},
		{"by interval", Buffer{Bytes: 1 << 20, Interval: 7 * time.Second}, []int{7}, 7 * time.Second},
		{"at once", Buffer{Bytes: 1 << 20}, []int{7}, 0},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config()
				c.Processor.Buffer = test.buffer
				var at []time.Duration
				began := time.Now()
				f, _ := pump(t, c, func(ctx context.Context, call int, e event) (any, string, error) {
					at = append(at, time.Since(began))
					return acceptAll(ctx, call, e)
				}, payload, payload, payload, payload, payload, payload, payload)
				var batches []int
				for _, e := range f.invoker.events {
					batches = append(batches, len(e.Records))
				}
				assert.Equal(t, test.batches, batches)
				assert.Equal(t, test.first, at[0])
			})
		})
	}
}

func TestTheStatedFlagShortensIntervals(t *testing.T) {
	c := config()
	c.Buffer.Interval, c.Processor.Buffer.Interval = 5*time.Minute, time.Second
	c.MaxInterval = 2 * time.Second
	p, err := New(c, nil, nil, nil)
	require.NoError(t, err)
	assert.Equal(t, 2*time.Second, p.config.Buffer.Interval)
	assert.Equal(t, time.Second, p.config.Processor.Buffer.Interval, "never longer")
	assert.Equal(t, time.Second, c.Processor.Buffer.Interval, "the caller's processor is left alone")
}

func TestALineOfTheErrorOutputHoldsTheLargestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		largest := strings.Repeat("x", quotas.KinesisRecord)
		f, _ := pump(t, config(), func(context.Context, int, event) (any, string, error) {
			return "", "Unhandled",
				nil
		}, largest)
		entries := f.store.refused(t)
		require.Len(t, entries, 1)
		assert.Equal(t, largest, string(entries[0].Payload))
	})
}

func TestTheErrorOutputIsWrittenAsSeen(t *testing.T) {
	p := &Pump{config: config()}
	at := time.UnixMilli(1772357400250)
	line, err := p.errorLine(outcome{
		record: record{data: []byte("payload"), arrival: at}, failure: failure{"Lambda.FunctionError", "why"},
		attempts: 4, ended: at.Add(time.Minute),
	})
	require.NoError(t, err)
	assert.Equal(t, `{"rawData":"cGF5bG9hZA==","errorCode":"Lambda.FunctionError","errorMessage":"why",`+
		`"attemptsMade":4,"arrivalTimestamp":1772357400250,"attemptEndingTimestamp":1772357460250,`+
		`"lambdaARN":"`+functionARN+`"}`+"\n",
		string(line))
}
