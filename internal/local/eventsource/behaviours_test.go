package eventsource

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// behaviour is one that a function may show towards a mapping that reads its reports, and what
// becomes of the six records, 0 to 5, that it was invoked with.
type behaviour struct {
	name string
	// documented is what Lambda's guide ("Configuring partial batch response with Kinesis Data
	// Streams and Lambda", "Success and failure conditions"; "Understanding retry behavior") says
	// of it. Where it is empty the guide leaves it open, and it is decided so that nothing is lost:
	// decision 0071.
	documented string
	answer     function
	// handled is how many records, from the first on, count as handled; the others are tried again,
	// and kept when the retries are used up.
	handled int
	// uncounted says that an attempt uses up no retry: the records are tried until they are too
	// old.
	uncounted bool
}

const (
	success = "a complete success"
	failure = "a complete failure"
	lowest  = "the lowest sequence number is the checkpoint; it and all after it are tried again"
)

func saying(payload string) function {
	return func([]string) (Answer, error) { return Answer{RequestID: "r", Payload: []byte(payload)}, nil }
}

// erring is a function whose invocation the host ended, or that ended itself.
func erring(kind, message string) function {
	return func([]string) (Answer, error) {
		return Answer{RequestID: "r", FunctionError: "Unhandled",
			Payload: fmt.Appendf(nil, `{"errorType":%q,"errorMessage":%q}`, kind, message)}, nil
	}
}

// reporting is a function that fails these records, of those that it gets.
func reporting(failed ...string) function {
	return func(sequences []string) (Answer, error) {
		return report(slices.DeleteFunc(slices.Clone(failed), func(s string) bool {
			return !slices.Contains(sequences, s)
		})...), nil
	}
}

var behaviours = []behaviour{
	{name: "an empty list", documented: success, answer: saying(`{"batchItemFailures":[]}`), handled: 6},
	{name: "a null list", documented: success, answer: saying(`{"batchItemFailures":null}`), handled: 6},
	{name: "an empty object", documented: success, answer: saying(`{}`), handled: 6},
	{name: "null", documented: success, answer: saying(`null`), handled: 6},
	{name: "one failed record", documented: lowest, answer: reporting("2"), handled: 2},
	{name: "several, in no order", documented: lowest, answer: reporting("4", "1", "3"), handled: 1},
	{name: "an empty identifier", documented: failure, answer: saying(`{"batchItemFailures":[{"itemIdentifier":""}]}`)},
	{name: "a null identifier", documented: failure, answer: saying(`{"batchItemFailures":[{"itemIdentifier":null}]}`)},
	{name: "another key", documented: failure, answer: saying(`{"batchItemFailures":[{"ItemIdentifier":"3"}]}`)},
	{name: "an unknown identifier",
		answer: saying(`{"batchItemFailures":[{"itemIdentifier":"3"},{"itemIdentifier":"x"}]}`)},
	{name: "nothing", answer: saying(``)},
	{name: "garbage", answer: saying(`{"batchItemFailures":[`)},
	{name: "a text", answer: saying(`"success"`)},
	{name: "a list", answer: saying(`[]`)},
	{name: "another object", answer: saying(`{"statusCode":200}`)},
	{name: "an error", documented: failure, answer: erring("Runtime.Unknown", "no")},
	{name: "a time-out, whatever is answered after it", documented: failure,
		answer: func([]string) (Answer, error) {
			time.Sleep(3 * time.Second)
			return erring("Sandbox.Timedout", "Task timed out after 3.00 seconds")(nil)
		}},
	{name: "an answer over 6 MB", documented: failure,
		answer: erring("Function.ResponseSizeTooLarge", "Response payload size exceeded")},
	{name: "an answer over 6 MB that nobody refused", answer: saying(`{}` + strings.Repeat(" ", MaxPayload))},
	{name: "an exit without an answer", documented: failure,
		answer: erring("Runtime.ExitError", "Runtime exited with error: exit status 1")},
	{name: "a connection that was cut in mid-answer, or a throttle", uncounted: true,
		answer: func([]string) (Answer, error) { return Answer{}, errors.New("unexpected EOF") }},
}

// play lets the mapping hand the six records to a function and returns what became of them.
func play(t *testing.T, answer function) (p *platform, kept []string, conditions map[string]bool) {
	stream := newMemory()
	for n := range 6 {
		stream.put(shardZero, "k", strconv.Itoa(n))
	}
	p = launch(t, stream, answer, func(m *Mapping, _ *Options) {
		m.ReportItemFailures, m.MaxRecordAge = true, 10*time.Minute
	})
	p.settle(time.Hour)
	conditions = map[string]bool{}
	for _, record := range p.kept {
		kept = append(kept, sequencesOf(t, []byte(record.Payload))...)
		conditions[record.RequestContext.Condition] = true
	}
	return p, kept, conditions
}

func TestDeliverContract(t *testing.T) {
	for _, test := range behaviours {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, kept, conditions := play(t, test.answer)
				stats := p.poller.Stats()
				assert.Equal(t, int64(test.handled), stats.Delivered)
				assert.Equal(t, int64(6-test.handled), stats.Discarded, "each record is handled or kept")
				assert.Equal(t, numbers(test.handled, 5), kept)
				switch {
				case test.handled == 6:
					assert.Empty(t, conditions)
				case test.uncounted:
					assert.Equal(t, map[string]bool{recordAgeExceeded: true}, conditions)
					assert.Greater(t, stats.Throttled, int64(10))
				default:
					assert.Equal(t, map[string]bool{retryAttemptsExhausted: true}, conditions)
				}
				t.Logf("6 read: %d delivered, %d given up after %d invocations", stats.Delivered, stats.Discarded,
					stats.Invocations)
			})
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				p, kept, _ := play(t, func(sequences []string) (Answer, error) {
					if calls++; calls == 1 {
						return test.answer(sequences)
					}
					return report(), nil
				})
				assert.Empty(t, kept, "behaved so once")
				assert.Equal(t, int64(6), p.poller.Stats().Delivered)
				if test.handled < 6 {
					assert.Equal(t, [][]string{numbers(0, 5), numbers(test.handled, 5)}, p.calls)
				}
			})
		})
	}
}
