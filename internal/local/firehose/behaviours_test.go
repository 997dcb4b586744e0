package firehose

import (
	"context"
	"encoding/base64"
	"maps"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

// behaviour is one that a processor may show, and what becomes of the three records, a to c, that
// it was invoked with.
type behaviour struct {
	name string
	// documented is what Firehose's guide ("Required parameters for data transformation", "Data
	// transformation failure handling", "Lambda invocation error") says of it. Where it is empty
	// the guide leaves it open, and it is decided so that nothing is lost: decision 0071.
	documented string
	processor  processor
	// retried says that the batch is tried again, three times.
	retried bool
	// The account: delivered in the order of the stream, dropped, and in the error output by
	// payload. strangers are answers for records that were not asked for.
	delivered string
	dropped   int
	refused   map[string]string
	strangers int
}

const (
	exactlyOnce = "every record id of the request is answered exactly once"
	results     = "a result is Ok, Dropped or ProcessingFailed"
	invocation  = "the invocation failed: three retries, then the error output"
)

// answering is a processor that always answers, so or so.
func answering(answer func(e event) any) processor {
	return func(_ context.Context, _ int, e event) (any, string, error) { return answer(e), "", nil }
}

// replacing is a processor that accepts all records but b, which it answers with others.
func replacing(answers func(b eventRecord) []replied) processor {
	return answering(func(e event) any {
		all := append([]replied{accepted(e.Records[0])}, answers(e.Records[1])...)
		return reply{append(all, accepted(e.Records[2]))}
	})
}

func all(code string) map[string]string { return map[string]string{"a": code, "b": code, "c": code} }

func behaviours() []behaviour {
	encoded := base64.StdEncoding.EncodeToString
	ways := retried()
	b := func(code string) map[string]string { return map[string]string{"b": code} }
	return []behaviour{
		{name: "all Ok, in another order", documented: exactlyOnce, delivered: "<a><b><c>",
			processor: answering(func(e event) any {
				return reply{[]replied{accepted(e.Records[2]), accepted(e.Records[0]), accepted(e.Records[1])}}
			})},
		{name: "a record is missing", documented: exactlyOnce, delivered: "<a><c>", refused: b(codeMissing),
			processor: replacing(func(eventRecord) []replied { return nil })},
		{name: "a record is there twice", documented: exactlyOnce, delivered: "<a><c>", refused: b(codeDoubled),
			processor: replacing(func(r eventRecord) []replied { return []replied{accepted(r), accepted(r)} })},
		{name: "a record is there as Dropped and as Ok", documented: exactlyOnce, delivered: "<a><c>",
			refused: b(codeDoubled), processor: replacing(func(r eventRecord) []replied {
				return []replied{{r.RecordID, "Dropped", nil}, accepted(r)}
			})},
		{name: "an unknown id in a record's stead", documented: exactlyOnce, delivered: "<a><c>",
			refused: b(codeMissing), strangers: 1, processor: replacing(func(r eventRecord) []replied {
				r.RecordID = "stranger"
				return []replied{accepted(r)}
			})},
		{name: "more records than were asked for", delivered: "<a><b><c>", strangers: 2,
			processor: replacing(func(r eventRecord) []replied {
				stranger := accepted(r)
				stranger.RecordID = "stranger"
				return []replied{accepted(r), stranger, stranger}
			})},
		{name: "Dropped", documented: results, delivered: "<a><c>", dropped: 1,
			processor: replacing(func(r eventRecord) []replied { return []replied{{r.RecordID, "Dropped", nil}} })},
		{name: "Dropped with data", delivered: "<a><c>", dropped: 1,
			processor: replacing(func(r eventRecord) []replied {
				return []replied{{r.RecordID, "Dropped", encoded([]byte("x"))}}
			})},
		{name: "ProcessingFailed with data", documented: results, delivered: "<a><c>",
			refused: b(codeProcessingFailed), processor: replacing(func(r eventRecord) []replied {
				return []replied{{r.RecordID, "ProcessingFailed", encoded([]byte("x"))}}
			})},
		{name: "a result in another case", documented: results, delivered: "<a><c>", refused: b(codeMalformed),
			processor: replacing(func(r eventRecord) []replied { return []replied{{r.RecordID, "ok", "AA=="}} })},
		{name: "no result", documented: results, delivered: "<a><c>", refused: b(codeMalformed),
			processor: replacing(func(r eventRecord) []replied { return []replied{{r.RecordID, "", "AA=="}} })},
		{name: "Ok without data", delivered: "<a><c>", refused: b(codeMissing),
			processor: replacing(func(r eventRecord) []replied { return []replied{{r.RecordID, "Ok", nil}} })},
		{name: "Ok with empty data", delivered: "<a><c>", refused: b(codeMissing),
			processor: replacing(func(r eventRecord) []replied { return []replied{{r.RecordID, "Ok", ""}} })},
		{name: "data that are no base64", delivered: "<a><c>", refused: b(codeMalformed),
			processor: replacing(func(r eventRecord) []replied { return []replied{{r.RecordID, "Ok", "%"}} })},
		{name: "data that are nearly base64: bits that stand for nothing", delivered: "<a><c>",
			refused:   b(codeMalformed),
			processor: replacing(func(r eventRecord) []replied { return []replied{{r.RecordID, "Ok", "YR=="}} })},
		{name: "data that are nearly base64: a line break", delivered: "<a><c>", refused: b(codeMalformed),
			processor: replacing(func(r eventRecord) []replied { return []replied{{r.RecordID, "Ok", "Y\nQ=="}} })},
		{name: "data that are a number", refused: all(codeMalformed),
			processor: replacing(func(r eventRecord) []replied { return []replied{{r.RecordID, "Ok", 5}} })},
		{name: "metadata and names that are not known", delivered: "<a>", refused: map[string]string{
			"b": codeMissing, "c": codeMissing}, processor: answering(func(e event) any {
			one := accepted(e.Records[0])
			return map[string]any{"version": 1, "records": []any{map[string]any{"recordId": one.RecordID,
				"result": one.Result, "data": one.Data,
				"metadata": map[string]any{"partitionKeys": map[string]string{"year": "2026"}, "x": nil}}}}
		})},
		{name: "an empty list", documented: exactlyOnce, refused: all(codeMissing),
			processor: answering(func(event) any { return `{"records":[]}` })},
		{name: "another document", refused: all(codeMalformed), processor: answering(func(event) any { return `{}` })},
		{name: "names in another case", refused: all(codeMalformed),
			processor: answering(func(event) any { return `{"Records":[]}` })},
		{name: "null", refused: all(codeMalformed), processor: answering(func(event) any { return `null` })},
		{name: "a null record", refused: all(codeMalformed),
			processor: answering(func(event) any { return `{"records":[null]}` })},
		{name: "nothing", refused: all(codeMalformed), processor: answering(func(event) any { return `` })},
		{name: "an answer that was cut", refused: all(codeMalformed),
			processor: answering(func(event) any { return `{"records":[{"recordId":"4` })},
		{name: "an error, or the process ended", documented: invocation, retried: true,
			refused: all(codeFunctionError), processor: ways["function error"].fail},
		{name: "an answer after its time-out", documented: invocation, retried: true, refused: all(codeTimedOut),
			processor: func(ctx context.Context, call int, e event) (any, string, error) {
				<-ctx.Done()
				return acceptAll(ctx, call, e)
			}},
		{name: "an answer over 6 MB", documented: invocation, retried: true, refused: all(codeFunctionError),
			processor: ways["answer over 6 MB"].fail},
		{name: "throttled", documented: invocation, retried: true, refused: all("Lambda.InvokeLimitExceeded"),
			processor: ways["throttle"].fail},
		{name: "the connection was cut in mid-answer", documented: invocation, retried: true,
			refused: all(codeInvokeFailed), processor: ways["not reachable"].fail},
	}
}

func TestTransformContract(t *testing.T) {
	for _, test := range behaviours() {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := pump(t, config(), test.processor, "a", "b", "c")
				attempts := 1
				if test.retried {
					attempts += config().Processor.Retries
				}
				assert.Equal(t, attempts, s.Invocations)
				assert.Equal(t, test.delivered, f.store.delivered())
				assert.Equal(t, test.dropped, s.Dropped)
				assert.Equal(t, test.strangers, s.UnknownRecordIDs)
				refused := map[string]string{}
				for _, entry := range f.store.refused(t) {
					refused[string(entry.Payload)] = entry.Code
					assert.Equal(t, attempts, entry.Attempts)
					assert.NotEmpty(t, entry.Message)
				}
				assert.True(t, maps.Equal(test.refused, refused), "in the error output: %v", refused)
				assert.Equal(t, 3, s.Delivered+s.Dropped+s.Failed, "each record ends in one place")
				t.Logf("3 read: %d delivered, %d dropped, %d in error %v", s.Delivered, s.Dropped, s.Failed,
					s.FailedByCode)
			})
			if test.retried {
				synctest.Test(t, func(t *testing.T) {
					f, _ := pump(t, config(), func(ctx context.Context, call int, e event) (any, string, error) {
						if call == 1 {
							return test.processor(ctx, call, e)
						}
						return acceptAll(ctx, call, e)
					}, "a", "b", "c")
					assert.Equal(t, "<a><b><c>", f.store.delivered(), "behaved so once")
					assert.Empty(t, f.store.refused(t))
				})
			}
		})
	}
}
