package queries_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/archive"
	"diecast/internal/local/server/servertest"
	"diecast/internal/recommendation"
	"diecast/test/queries"
)

const (
	older, newer = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
	noRung       = `"rung":`
)

// hour is the folder of a time.
func hour(at time.Time) string { return at.UTC().Format("year=2006/month=01/day=02/hour=15") }

// bucket is a folder of objects.
type bucket struct {
	t      *testing.T
	folder string
	count  int
}

func (b *bucket) put(key, content string) {
	b.t.Helper()
	if strings.HasSuffix(key, ".gz") {
		var compressed bytes.Buffer
		writer := gzip.NewWriter(&compressed)
		_, err := writer.Write([]byte(content))
		require.NoError(b.t, errors.Join(err, writer.Close()))
		content = compressed.String()
	}
	path := filepath.Join(b.folder, filepath.FromSlash(key))
	require.NoError(b.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(b.t, os.WriteFile(path, []byte(content), 0o600))
}

// archive puts records of one hour into an object.
func (b *bucket) archive(at time.Time, extension string, lines ...string) {
	b.t.Helper()
	b.count++
	b.put(fmt.Sprintf("%s%s/archive-%d%s", archive.Recommendations, hour(at), b.count, extension),
		strings.Join(lines, ""))
}

// record is one of a session: what it has in the cart, and what it is recommended.
type record struct {
	id       int
	session  string
	customer int
	at       time.Time
	took     time.Duration
	cart     string
	items    string
	model    string
	rung     recommendation.Rung
}

func (r record) line(t *testing.T) string {
	t.Helper()
	var browsed []string
	for _, product := range strings.Fields(r.cart) {
		browsed = append(browsed, fmt.Sprintf(`{"product_code":%q,"quantity":"2","in_shopping_cart":true}`, product))
	}
	// A quantity can be a number, times have zones, and the shop has fields of its own.
	browsed = append(browsed, `{"product_code":"seen","quantity":1,"in_shopping_cart":false}`)
	event, err := activity.Decode(fmt.Appendf(nil, `{"session_id":%q,"customer_number":%d,"city":"Nantes","City":7,`+
		`"country":"France","credit_limit":21000.5,"event_id":%q,"event_time":%q,"browse_history":[%s]}`,
		r.session, r.customer, uuid.NewSHA1(uuid.Nil, []byte{byte(r.id)}),
		r.at.In(time.FixedZone("", 2*3600)).Format(time.RFC3339Nano), strings.Join(browsed, ",")))
	require.NoError(t, err)
	made := recommendation.Record{Event: event, ModelVersion: r.model, Rung: r.rung, RecommendedAt: r.at.Add(r.took)}
	for i, item := range strings.Fields(r.items) {
		made.Items = append(made.Items, recommendation.Item{ID: item, Score: 1 / float64(i+1)})
	}
	return string(made.Encode())
}

// Every saved query says what the contracts' own rules say, over plain and compressed objects, with
// each event counted once.
func TestSavedQueriesOfTheArchive(t *testing.T) {
	servertest.Needed(t, "the Python of the jobs")
	b := &bucket{t: t, folder: t.TempDir()}
	begin := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
	after := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	// Session a takes what it was recommended into its cart later, b what it was not, c earlier, d
	// only after another model's advice; e saw it once more from the most popular ones.
	a1 := record{1, "a", 1, after(1), time.Second, "", "P1 P2", older, recommendation.Store}
	a2 := record{2, "a", 1, after(2), 2 * time.Second, "P1", "P2 P3", older, recommendation.Store}
	b1 := record{3, "b", 2, after(3), 30 * time.Millisecond, "", "P1", older, recommendation.Memory}
	b2 := record{4, "b", 2, after(4), 40 * time.Millisecond, "P9", "P1", older, recommendation.Store}
	c1 := record{5, "c", 3, after(61), time.Second, "P5", "P1", older, recommendation.Store}
	c2 := record{6, "c", 3, after(62), time.Second, "", "P5", older, recommendation.Store}
	d1 := record{7, "d", 4, after(63), time.Second, "", "P7", older, recommendation.Store}
	d2 := record{8, "d", 4, after(64), time.Second, "", "P8", newer, recommendation.Store}
	d3 := record{9, "d", 4, after(65), time.Second, "P7", "P8", newer, recommendation.Store}
	// Degraded at first and answered on a redrive an hour later, which has doubled another.
	e1 := record{10, "e", 5, after(66), time.Second, "", "P6", newer, recommendation.Popular}
	e1again := e1
	e1again.took, e1again.rung, e1again.items = time.Hour, recommendation.Store, "P4"
	d1again := d1
	d1again.took = time.Hour
	// Before the rungs, records said degraded alone.
	f1 := record{11, "f", 6, after(121), time.Second, "", "P1", newer, recommendation.Popular}
	gone := record{12, "g", 1, begin.AddDate(0, 0, -8), time.Second, "", "P1", older, recommendation.Store}

	b.archive(after(0), archive.Extension, a1.line(t), a2.line(t), b1.line(t), b2.line(t))
	b.archive(after(60), archive.GZIPExtension, c1.line(t), c2.line(t), d1.line(t), d1.line(t), d2.line(t))
	b.archive(after(60), archive.Extension, d3.line(t), e1.line(t))
	b.archive(after(120), archive.GZIPExtension, e1again.line(t), d1again.line(t),
		strings.Replace(f1.line(t), `"rung":"popular",`, "", 1))
	require.NotContains(t, strings.Replace(f1.line(t), `"rung":"popular",`, "", 1), noRung)
	b.archive(gone.at, archive.Extension, gone.line(t))
	b.refuse(after(0), "Lambda.ProcessingFailedStatus", "it is bad", "one", "two", "one")
	b.refuse(after(1), "Lambda.ProcessingFailedStatus", "it is bad", "one") // another event like it
	b.refuse(after(60), "Lambda.FunctionError", "it failed", "three")
	b.giveUp(after(60), "RetryAttemptsExhausted", 7)

	found, err := queries.Run(t.Context(), b.folder, 1)
	require.NoError(t, err)
	lines, err := queries.ReadLines(b.folder)
	require.NoError(t, err)
	require.Equal(t, 15, len(lines))
	lines = lines[1:] // the one of last week

	t.Run("rungs_by_hour", func(t *testing.T) {
		assert.Equal(t, queries.RungsByHour(lines), found["rungs_by_hour"])
		share := 1.0 / 2
		assert.Equal(t, queries.Row{archive.HourColumn: hour(after(120)), "events": 2.0, "store": 1.0, "memory": 0.0,
			"popular": 1.0, "degraded_share": share, "doubles": 1.0}, found["rungs_by_hour"][2])
	})
	t.Run("hit_rate", func(t *testing.T) {
		rates := map[string]queries.Row{}
		for _, row := range found["hit_rate"] {
			rates[row["model_version"].(string)] = row
		}
		assert.Equal(t, queries.HitRate(lines), rates)
		assert.Equal(t, []any{4.0, 2.0, 0.5, 2.0}, []any{rates[older]["sessions"], rates[older]["sessions_with_hit"],
			rates[older]["hit_rate"], rates[older]["items_taken"]}, "of a, b, c and d those of a and d")
		assert.Equal(t, []any{3.0, 0.0}, []any{rates[newer]["sessions"], rates[newer]["sessions_with_hit"]})
	})
	t.Run("event_to_recommended", func(t *testing.T) {
		rows := queries.LongestByHour(lines)
		require.Len(t, found["event_to_recommended"], len(rows))
		for i, row := range found["event_to_recommended"] {
			p50, p99 := row["p50"].(float64), row["p99"].(float64)
			assert.LessOrEqual(t, p50, p99)
			assert.LessOrEqual(t, p99, row["longest"])
			delete(row, "p50")
			delete(row, "p99")
			assert.Equal(t, rows[i], row)
		}
		assert.Equal(t, 2000.0, rows[0]["longest"])
	})
	t.Run("customer_recommendations", func(t *testing.T) {
		rows := found["customer_recommendations"]
		require.Len(t, rows, 2, "the customer's two of this week, and nobody else's")
		assert.Equal(t, []any{"P2 P3", "a", older, "store"}, []any{rows[0]["recommended"], rows[0]["session_id"],
			rows[0]["model_version"], rows[0]["rung"]})
		assert.Equal(t, "P1 P2", rows[1]["recommended"])
	})
	t.Run("refused_by_reason", func(t *testing.T) {
		counted := map[string]any{}
		for _, row := range found["refused_by_reason"] {
			counted[fmt.Sprint(row["consumer"], " ", row["reason"], " ", row["explanation"])] = row["events"]
		}
		assert.Equal(t, map[string]any{
			"archive Lambda.ProcessingFailedStatus it is bad": 3.0, "archive Lambda.FunctionError it failed": 1.0,
			"shop RetryAttemptsExhausted <nil>": 7.0,
		}, counted)
	})
}

// refuse puts payloads into the error output. Numbers are texts there, or numbers.
func (b *bucket) refuse(at time.Time, code, message string, payloads ...string) {
	b.t.Helper()
	var lines strings.Builder
	for i, payload := range payloads {
		arrival := fmt.Sprint(at.UnixMilli())
		if i%2 == 0 {
			arrival = `"` + arrival + `"`
		}
		fmt.Fprintf(&lines, `{"rawData":%q,"errorCode":%q,"errorMessage":%q,"attemptsMade":1,`+
			`"arrivalTimestamp":%s}`+"\n",
			base64.StdEncoding.EncodeToString([]byte(payload)), code, message, arrival)
	}
	b.count++
	b.put(fmt.Sprintf("%s%s/archive-%d", archive.Refused, hour(at), b.count), lines.String())
}

func (b *bucket) giveUp(at time.Time, condition string, size int) {
	b.t.Helper()
	b.put(archive.Failures+"mapping/shard/2026/01/01/one", fmt.Sprintf(`{"requestContext":{"requestId":"r",`+
		`"condition":%q,"approximateInvokeCount":6},"version":"1.0","KinesisBatchInfo":{"shardId":"s","batchSize":%d,`+
		`"approximateArrivalOfFirstRecord":%q},"payload":"{}"}`, condition, size,
		at.Format("2006-01-02T15:04:05.000Z")))
}

// An archive in which nothing has happened yet is no error.
func TestSavedQueriesOfAnEmptyArchive(t *testing.T) {
	servertest.Needed(t, "the Python of the jobs")
	found, err := queries.Run(t.Context(), t.TempDir(), 1)
	require.NoError(t, err)
	for name, rows := range found {
		assert.Empty(t, rows, name)
	}
	assert.Len(t, found, 5)
}
