package schedules

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	rowtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/erroroutput"
	"diecast/internal/local/eventsource"
	"diecast/internal/local/firehose"
	"diecast/internal/metrics"
	"diecast/internal/recommendation"
	"diecast/lambda/deliver/handler"
)

const (
	streamARN    = "arn:aws:kinesis:us-east-1:000000000000:stream/" + streamName
	transformARN = "arn:aws:lambda:us-east-1:000000000000:function:transform"
	deliverARN   = "arn:aws:lambda:us-east-1:000000000000:function:deliver"
	// patience is of the bubble's clock.
	patience = 30 * 24 * time.Hour
)

// play puts events on a stream while both consumers read it, and waits until each has come to its
// end.
func play(t *testing.T, seed uint64, events int) *ledger {
	time.Sleep(48 * time.Hour) // the bubble's clock begins at 2000, the contract's times as well
	d := &dice{random: rand.New(rand.NewPCG(seed, 12))}
	source := newStream(d, 1+d.roll(3))
	archive, kept := &bucket{dice: d, bodies: map[string][]byte{}}, &bucket{dice: d, bodies: map[string][]byte{}}
	rows := &table{dice: d, items: map[string]map[string]rowtypes.AttributeValue{}, writes: map[string][]place{}}
	transform := &transformer{dice: d, dropped: map[string]int{}}

	pump, err := firehose.New(firehose.Config{
		Name: "archive", ARN: "arn:aws:firehose:us-east-1:000000000000:deliverystream/archive", Region: "us-east-1",
		SourceStream: streamName, SourceARN: streamARN, FromTrimHorizon: true, Bucket: "archive",
		Processor: &firehose.Processor{FunctionARN: transformARN, Retries: d.roll(4), Timeout: 5 * time.Second,
			Buffer: firehose.Buffer{Bytes: 500 + d.roll(100_000), Interval: time.Duration(d.roll(3)) * time.Second}},
		Buffer: firehose.Buffer{Bytes: 1 + d.roll(200_000), Interval: time.Duration(d.roll(20)) * time.Second},
		Prefix: "data/", ErrorPrefix: "errors/", Attempts: 100,
	}, source, transform, archive)
	require.NoError(t, err)

	mapping := eventsource.Mapping{
		UUID: "3f0b9a0e-5c1d-4f5e-9b1e-2d6a7c8e9f00", StreamARN: streamARN, FunctionARN: deliverARN,
		RoleARN: "arn:aws:iam::000000000000:role/deliver", StartingPosition: types.ShardIteratorTypeTrimHorizon,
		BatchSize: 1 + d.roll(300), BatchWindow: time.Duration(d.roll(2)) * time.Second,
		Parallelization: 1 + d.roll(4), RetryAttempts: d.roll(8) - 1, BisectOnError: d.one(2),
		ReportItemFailures: true, FailureBucket: "kept",
	}
	poller, err := eventsource.New(mapping, eventsource.Options{
		Stream: source, Bucket: kept, Logger: slog.New(slog.DiscardHandler),
		Invoker: &deliverer{dice: d, handler: handler.Handler{
			Recommender: recommender{d}, Table: handler.Table{Client: rows, Name: "rows", Keep: time.Hour},
			Logger: slog.New(slog.DiscardHandler), Metrics: metrics.Writer{Output: io.Discard},
		}},
	})
	require.NoError(t, err)

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for name, run := range map[string]func(context.Context) error{"pump": pump.Run, "poller": poller.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
				stop()
			}
		})
	}
	<-pump.Ready()
	<-poller.Ready()
	source.begun.Store(true)
	produce(d, source, events)
	settled := func() bool {
		s, m := pump.Statistics(), poller.Stats()
		return s.Read == events && s.Pending() == 0 && m.Delivered+m.Discarded == int64(events)
	}
	for end := time.Now().Add(patience); !settled() && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(time.Minute)
	}
	stop()
	running.Wait()

	s, m := pump.Statistics(), poller.Stats()
	l := &ledger{
		put: source.put, archived: map[string]int{}, refused: map[string]int{}, read: s.Read, dropped: s.Dropped,
		droppedBy: transform.dropped, delivered: int(m.Delivered), discarded: int(m.Discarded),
		givenUp: map[string]int{}, writes: rows.writes, rows: map[string]place{},
	}
	for key, body := range archive.bodies {
		if strings.HasPrefix(key, "errors/") {
			for entry, err := range erroroutput.Read(bytes.NewReader(body)) {
				require.NoError(t, err)
				l.refused[string(entry.Payload)]++
			}
			continue
		}
		for _, line := range bytes.SplitAfter(body, []byte("\n")) {
			if len(line) > 0 {
				l.archived[strings.TrimSuffix(string(line), "\n")]++
			}
		}
	}
	for _, body := range kept.bodies {
		var record struct{ Payload string }
		require.NoError(t, json.Unmarshal(body, &record))
		var event struct {
			Records []struct {
				Kinesis struct{ SequenceNumber string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(record.Payload), &event))
		for _, r := range event.Records {
			l.givenUp[r.Kinesis.SequenceNumber]++
		}
	}
	for session, item := range rows.items {
		l.rows[session] = placeOf(item)
	}
	return l
}

// produce puts events in bursts: late ones, ids and whole events that were put before, some without
// identity, some broken, while shards are split.
func produce(d *dice, source *stream, events int) {
	ids := map[int]string{} // the last one of each session
	var before []byte
	sessions := 1 + events/(2+d.roll(60))
	for n := range events {
		session := d.roll(sessions)
		identity := ""
		if !d.one(10) {
			// Few milliseconds, so that equal times meet.
			at := time.Now().Add(-time.Duration(d.roll(400)) * 100 * time.Millisecond).Truncate(100 * time.Millisecond)
			if ids[session] == "" || !d.one(4) {
				ids[session] = fmt.Sprintf("%08x-0000-4000-8000-%012x", d.roll(1<<31), n)
			}
			identity = fmt.Sprintf(`,"event_id":%q,"event_time":%q`, ids[session], at.Format(time.RFC3339Nano))
		}
		payload := fmt.Appendf(nil, `{"session_id":"s%d","customer_number":%d,"city":"","country":"",`+
			`"credit_limit":0%s}`, session, n, identity)
		switch d.roll(50) {
		case 0:
			payload = payload[:len(payload)-1-d.roll(20)]
		case 1:
			if before != nil {
				payload = before
			}
		}
		before = payload
		source.add(session, payload)
		switch d.roll(100) {
		case 0:
			d.wait(2 * time.Second)
		case 1:
			if len(source.shards) < 9 && d.one(20) {
				source.split()
			}
		}
	}
}

// transformer is a delivery stream's processor that answers rightly, wrongly, late or not at all.
type transformer struct {
	*dice
	mu      sync.Mutex
	dropped map[string]int
}

type answered struct {
	RecordID string `json:"recordId"`
	Result   string `json:"result"`
	Data     []byte `json:"data,omitempty"`
}

func (f *transformer) Invoke(ctx context.Context, _ string, payload []byte) ([]byte, string, error) {
	f.wait(200 * time.Millisecond)
	switch f.roll(20) {
	case 0:
		return nil, "Unhandled", nil
	case 1:
		return nil, "", errChance
	case 2:
		<-ctx.Done()
		return nil, "", ctx.Err()
	case 3:
		return []byte([]string{"", "null", "[]", `{"records":[`, `{"records":[{}]}`}[f.roll(5)]), "", nil
	}
	var request struct {
		Records []struct {
			RecordID string `json:"recordId"`
			Data     []byte `json:"data"`
		} `json:"records"`
	}
	if err := json.Unmarshal(payload, &request); err != nil {
		return nil, "", err
	}
	var answer struct {
		Records []answered `json:"records"`
	}
	var drops []string
	for _, record := range request.Records {
		one := answered{record.RecordID, "Ok", append(record.Data, '\n')}
		switch f.roll(200) {
		case 0:
			one.Result = "ProcessingFailed"
		case 1:
			one.Result, one.Data = "Dropped", nil
			drops = append(drops, string(record.Data))
		case 2:
			one.Data = nil
		case 3:
			continue
		case 4:
			answer.Records = append(answer.Records, one)
		case 5:
			one.RecordID += "0"
		}
		answer.Records = append(answer.Records, one)
	}
	encoded, err := json.Marshal(answer)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, payload := range drops {
		f.dropped[payload]++
	}
	return encoded, "", err
}

// recommender answers each event, now and then degraded, too few or none.
type recommender struct{ *dice }

func (r recommender) Recommend(_ context.Context, events []activity.Event) ([]recommendation.Record, error) {
	if r.one(30) {
		return nil, errChance
	}
	records := make([]recommendation.Record, len(events))
	for n, event := range events {
		records[n] = recommendation.Record{Event: event, Items: []recommendation.Item{}, ModelVersion: "0123456789ab",
			Rung: recommendation.Rungs()[r.roll(3)], RecommendedAt: time.Now()}
	}
	if r.one(60) {
		return records[1:], nil
	}
	return records, nil
}

// deliverer is deliver's own handler, whose answer is lost, late, garbled or never made, by chance.
type deliverer struct {
	*dice
	handler handler.Handler
}

func (f *deliverer) Invoke(ctx context.Context, _ string, payload []byte) (eventsource.Answer, error) {
	failed := eventsource.Answer{RequestID: uuid.NewString(), FunctionError: "Unhandled", Payload: []byte(`{}`)}
	chance := f.roll(30)
	switch chance {
	case 0:
		return eventsource.Answer{}, errChance
	case 1:
		return failed, nil
	case 2:
		time.Sleep(3 * time.Second)
		return failed, nil
	}
	var batch handler.Batch
	if err := json.Unmarshal(payload, &batch); err != nil {
		return failed, nil
	}
	response, err := f.handler.Handle(ctx, batch)
	if err != nil {
		return failed, nil
	}
	encoded, err := json.Marshal(response)
	switch chance { // the work is done, and nobody learns of it
	case 3:
		return eventsource.Answer{}, errChance
	case 4:
		return failed, nil
	case 5:
		encoded = []byte([]string{"", "0", `"ok"`, `[]`, `{"statusCode":200}`,
			`{"batchItemFailures":[{"itemIdentifier":"x"}]}`}[f.roll(6)])
	}
	return eventsource.Answer{RequestID: failed.RequestID, Payload: encoded}, err
}
