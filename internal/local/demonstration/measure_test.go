package demonstration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/archive"
	"diecast/internal/classicmodels"
	"diecast/internal/demand"
	"diecast/internal/deployment/outputs"
	"diecast/internal/recommendation"
)

// shopFront answers for Kinesis, DynamoDB and S3: rows can be read a while after their events were
// put, and one object of the archive has them all.
type shopFront struct {
	delay time.Duration
	// writtenAfter is the object's own time, since the last put.
	writtenAfter time.Duration
	// withheld events reach neither table nor archive.
	withheld func(number int) bool

	mutex    sync.Mutex
	puts     int
	rows     map[string][]put
	lines    []byte
	last     time.Time
	keysRead int
	scans    int
}

type put struct {
	event activity.Event
	at    time.Time
}

func (f *shopFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch {
	case operation == "PutRecords":
		f.putRecords(w, r)
	case operation == "BatchGetItem":
		f.batchGetItem(w, r)
	case operation == "Scan":
		f.scans++
		w.WriteHeader(http.StatusBadRequest)
	case r.URL.Query().Get("list-type") == "2":
		_, _ = fmt.Fprintf(w, `<ListBucketResult><Contents><Key>%s1</Key></Contents></ListBucketResult>`,
			archive.Recommendations)
	default:
		w.Header().Set("Last-Modified", f.last.Add(f.writtenAfter).UTC().Format(http.TimeFormat))
		_, _ = w.Write(f.lines)
	}
}

func (f *shopFront) putRecords(w http.ResponseWriter, r *http.Request) {
	var request struct{ Records []struct{ Data []byte } }
	_ = json.NewDecoder(r.Body).Decode(&request)
	var taken []string
	for _, record := range request.Records {
		f.puts++
		taken = append(taken, fmt.Sprintf(`{"SequenceNumber":"%d","ShardId":"s"}`, f.puts))
		event, err := activity.Decode(record.Data)
		if err != nil || f.withheld != nil && f.withheld(f.puts) {
			continue
		}
		f.last = time.Now()
		f.rows[event.SessionID] = append(f.rows[event.SessionID], put{event, f.last})
		line := recommendation.Record{Event: event, Items: []recommendation.Item{{ID: "S1", Score: 0.5}},
			ModelVersion: "0123456789ab", RecommendedAt: f.last.UTC()}.Encode()
		f.lines = append(f.lines, line...)
	}
	_, _ = fmt.Fprintf(w, `{"FailedRecordCount":0,"Records":[%s]}`, strings.Join(taken, ","))
}

func (f *shopFront) batchGetItem(w http.ResponseWriter, r *http.Request) {
	type item map[string]map[string]string
	var request struct {
		RequestItems map[string]struct{ Keys []item }
	}
	_ = json.NewDecoder(r.Body).Decode(&request)
	items := []item{}
	for _, key := range request.RequestItems["table"].Keys {
		f.keysRead++
		session := key["session_id"]["S"]
		newest := time.Time{}
		for _, one := range f.rows[session] {
			if time.Since(one.at) >= f.delay && one.event.Time.After(newest) {
				newest = one.event.Time
			}
		}
		if !newest.IsZero() {
			items = append(items, item{"session_id": {"S": session},
				"event_time": {"S": newest.UTC().Format("2006-01-02T15:04:05.000000000Z")}})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Responses": map[string]any{"table": items}})
}

func (f *shopFront) target(t *testing.T) Target {
	t.Helper()
	f.rows = map[string][]put{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	endpoints := outputs.Endpoints{outputs.AccessKeyID: "a", outputs.SecretAccessKey: "s", outputs.Region: "us-east-1"}
	for _, service := range []string{"Kinesis", "DynamoDB", "S3"} {
		endpoints[outputs.EndpointOf(service)] = server.URL
	}
	target, err := TargetOf(t.Context(), outputsOf(t, map[string]string{outputs.StreamName.Name: "stream",
		outputs.RecommendationsTableName.Name: "table", outputs.RecommendationsBucketName.Name: "bucket"}, endpoints))
	require.NoError(t, err)
	return target
}

func shop(t *testing.T) *classicmodels.Shop {
	t.Helper()
	made, err := classicmodels.New(classicmodels.DefaultOptions())
	require.NoError(t, err)
	return made
}

// Latencies are of sampled reads by key and of the objects' own times: the table is never scanned,
// and an object that is looked at late is not late.
func TestLatenciesAreOfSampledReadsAndTheObjectsOwnTimes(t *testing.T) {
	f := &shopFront{delay: 300 * time.Millisecond, writtenAfter: 500 * time.Millisecond}
	const events = 600
	report, err := Run(t.Context(), f.target(t), Options{Shop: shop(t), Events: events,
		Profile: demand.Steady(400, time.Second)})
	require.NoError(t, err)
	assert.Equal(t, []int{events, events, events, 0}, []int{report.Sent, report.Archived, report.Delivered,
		report.Duplicates})
	require.NoError(t, report.Unfinished)
	assert.Zero(t, f.scans)
	assert.InDelta(t, sampled*1.5, len(report.Readable), sampled)
	assert.Zero(t, report.Unread)
	assert.InDelta(t, 0.35, Percentile(report.Readable, 50).Seconds(), 0.1)
	for _, took := range report.Readable {
		assert.Greater(t, took, f.delay)
	}
	assert.Less(t, f.keysRead, 10*events, "the measure is not the load")
	require.Len(t, report.Stored, events)
	assert.Less(t, slices.Max(report.Stored), 4*time.Second)
	assert.Len(t, report.Records, events)
}

// An interrupted run says so, and counts what is there.
func TestAnInterruptedRunCountsWhatIsThere(t *testing.T) {
	f := &shopFront{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	report, err := Run(ctx, f.target(t), Options{Shop: shop(t), Events: 10_000,
		Profile: demand.Steady(500, time.Second), Progress: func(taken int) {
			if taken >= 200 {
				cancel()
			}
		}})
	require.ErrorIs(t, err, context.Canceled)
	require.EqualError(t, report.Unfinished, "it was interrupted")
	assert.GreaterOrEqual(t, report.Sent, 200)
	assert.Less(t, report.Sent, 1000)
	assert.Equal(t, []int{report.Sent, report.Sent}, []int{report.Archived, report.Delivered})
	require.NoError(t, report.Producer.Check())
}

func TestARunWithoutAnEndSaysWhatIsMissing(t *testing.T) {
	f := &shopFront{withheld: func(number int) bool { return number > 90 }}
	report, err := Run(t.Context(), f.target(t), Options{Shop: shop(t), Events: 100,
		Patience: 300 * time.Millisecond})
	require.ErrorContains(t, err, "not all events are accounted for 300ms after the last was sent: of 100 valid "+
		"events 90 are archived and ")
	require.Equal(t, err, report.Unfinished)
	assert.Equal(t, 90, report.Archived)
}

func TestFlowTellsLagAndP99ByTheSecond(t *testing.T) {
	begun := time.Now()
	at := func(due, took time.Duration) *sent {
		one := &sent{due: begun.Add(due), sample: true, taken: true, event: activity.Event{ID: uuid.New()}}
		if took > 0 {
			one.readAt = one.due.Add(took)
		}
		return one
	}
	const ms = time.Millisecond
	seconds := flow([]*sent{
		at(100*ms, 200*ms), at(500*ms, 2000*ms), {due: begun.Add(600 * ms), taken: true},
		at(1100*ms, 300*ms), at(2900*ms, 0),
	}, begun, begun.Add(4*time.Second))
	assert.Equal(t, []Second{
		{In: 3, Lag: 500 * ms, P99: 2000 * ms}, {In: 1, Lag: 1500 * ms, P99: 300 * ms},
		{In: 1, Lag: 100 * ms, P99: 1100 * ms},
	}, seconds)
}
