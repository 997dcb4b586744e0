package firehose

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// unruly is a processor that answers rightly, wrongly, too late, too much or not at all, by chance.
// It notes what it dropped.
func unruly(random *rand.Rand, drops map[string]bool) processor {
	return func(ctx context.Context, call int, e event) (any, string, error) {
		time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
		switch random.IntN(12) {
		case 0:
			return nil, "Unhandled", nil
		case 1:
			return nil, "", errors.New("throttled")
		case 2:
			<-ctx.Done()
			return nil, "", ctx.Err()
		case 3:
			return strings.Repeat(" ", MaxPayload+1), "", nil
		case 4:
			return []string{"", "null", "[]", "{", `{"records":{}}`, `{"records":[{}]}`,
				`{"records":[null]}`}[random.IntN(7)], "", nil
		}
		var all reply
		var dropping []string
		for _, r := range e.Records {
			copies := 1
			answered := accepted(r)
			switch random.IntN(16) {
			case 0:
				answered.Result = "ProcessingFailed"
			case 1:
				answered.Result = "Dropped"
			case 2:
				answered.Result = "Great"
			case 3:
				answered.Data = nil
			case 4:
				answered.Data = "*"
			case 5:
				copies = 0
			case 6:
				copies = 2
			case 7:
				answered.RecordID += "0"
			}
			if answered.Result == "Dropped" && copies == 1 {
				dropping = append(dropping, string(r.Data))
			}
			for range copies {
				all.Records = append(all.Records, answered)
			}
		}
		random.Shuffle(len(all.Records), func(i, j int) {
			all.Records[i], all.Records[j] = all.Records[j],
				all.Records[i]
		})
		for _, payload := range dropping {
			drops[payload] = true
		}
		return all, "", nil
	}
}

// TestEachRecordEndsInOnePlace is what the package is for: delivered, dropped or in the error
// output, whatever the processor does, while the bucket and the stream fail now and then and the
// pump is stopped at any time.
func TestEachRecordEndsInOnePlace(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				c := config()
				c.ShutdownTimeout = 24 * time.Hour
				c.Processor.Retries, c.Processor.Timeout = random.IntN(3), 3*time.Second
				c.Processor.Buffer = Buffer{Bytes: 1 + random.IntN(60),
					Interval: time.Duration(random.IntN(5)) * time.Second}
				c.Buffer = Buffer{Bytes: 1 + random.IntN(600), Interval: time.Duration(random.IntN(5)) * time.Second}
				bucket := &store{failures: random.IntN(DefaultAttempts - 1)}
				// One shard: the chances of two would depend on which of them is faster.
				source, drops := newStream(1), map[string]bool{}
				for range random.IntN(4) {
					source.failures = append(source.failures, errors.New("down"))
				}
				f := start(t, c, source, unruly(rand.New(rand.NewPCG(seed, 2)), drops), bucket)
				count := random.IntN(100)
				for i := range count {
					source.put(0, fmt.Sprintf("r%03d", i))
					time.Sleep(time.Duration(i%3) * 100 * time.Millisecond)
				}
				if random.IntN(2) == 0 {
					time.Sleep(settled) // else it is stopped in the middle
				}
				s := f.end(t)

				places := map[string]int{}
				for payload := range drops {
					places[payload]++
				}
				for _, payload := range strings.FieldsFunc(bucket.delivered(), func(r rune) bool {
					return r == '<' ||
						r == '>'
				}) {
					places[payload]++
				}
				require.Len(t, drops, s.Dropped)
				refused := bucket.refused(t)
				require.Len(t, refused, s.Failed)
				for _, entry := range refused {
					places[string(entry.Payload)]++
				}
				require.Len(t, places, s.Read)
				for i := range s.Read {
					require.Equal(t, 1, places[fmt.Sprintf("r%03d", i)], "record %d", i)
				}
			})
		})
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"records":[{"recordId":"1000000","result":"Ok","data":"YQ=="},{"recordId":"2000000","result":"Dropped"}]}`,
		`{"records":[{"recordId":"1000000","result":"ProcessingFailed","data":"YQ=="},{"recordId":"1000000",` +
			`"result":"Ok","data":"YQ=="}]}`,
		`{"records":[{"recordId":"3000000","result":"Ok","data":"Y Q=="},{"recordId":"2000000","result":"Ok"}]}`,
		`{"records":[{"recordId":"1000000","result":"Ok","data":"YR=="},{"recordId":"2000000","result":"Ok",` +
			`"data":"Y\nQ=="}]}`,
		`{"records":[{"recordId":"1000000","result":"Ok","data":"YQ==","metadata":{"partitionKeys":{"a":"b"}}}]}`,
		`{"records":null}`, `{"records":[null]}`, `[]`, `null`, ``, `{"Records":[]}`, `{"records":[],"records":[]}`,
		"\xff",
	} {
		f.Add([]byte(seed))
	}
	batch := []record{{sequence: "1", data: []byte("a")}, {sequence: "2", data: []byte("b")}}
	f.Fuzz(func(t *testing.T, payload []byte) {
		p := &Pump{config: config()}
		outcomes := p.judge(batch, payload, 1, time.Now())
		require.Len(t, outcomes, len(batch))
		var loose struct {
			Records []struct {
				RecordID, Result string
				Data             *string
			}
		}
		readable := json.Unmarshal(payload, &loose) == nil
		for i, o := range outcomes {
			require.Equal(t, batch[i].id(), o.id())
			times, data, result := 0, "", ""
			for _, answered := range loose.Records {
				if answered.RecordID == o.id() {
					times++
					result = answered.Result
					if answered.Data != nil {
						data = *answered.Data
					}
				}
			}
			switch o.result {
			case delivered:
				require.True(t, readable)
				require.Equal(t, 1, times)
				require.Equal(t, "Ok", result)
				require.NotEmpty(t, o.output)
				require.Equal(t, base64.StdEncoding.EncodeToString(o.output), data)
			case dropped:
				require.True(t, readable)
				require.Equal(t, 1, times)
				require.Equal(t, "Dropped", result)
			case failed:
				require.NotEmpty(t, o.code)
				require.NotEmpty(t, o.message)
				require.Empty(t, o.output)
				_, err := p.errorLine(o)
				require.NoError(t, err)
			}
		}
	})
}
